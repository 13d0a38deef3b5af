"""Streamed responses of a runtime: limits, trailers, connections that break off."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from jupyter_lambda import http1
from jupyter_lambda.model.stream import ResponseStream
from jupyter_lambda.sandbox import streamed
from jupyter_lambda.sandbox.base import RuntimeEvent
from jupyter_lambda.sandbox.session import Answer, Poll, Refusal, Session
from jupyter_lambda.sandbox.streamed import is_streamed, receive, streamed_or

HEADERS = [(b"Lambda-Runtime-Function-Response-Mode", b"streaming"), (b"Content-Type", b"text/x")]
TARGET = b"/2018-06-01/runtime/invocation/a/response"


class Body:
    """Chunks that come one after the other; None: the connection goes."""

    def __init__(self, *chunks: bytes | None) -> None:
        self.chunks = chunks

    async def __aiter__(self):
        for chunk in self.chunks:
            await asyncio.sleep(0)
            if chunk is None:
                raise http1.BrokenBody
            yield chunk


def request(*chunks: bytes | None, trailers: list[tuple[bytes, bytes]] | None = None) -> http1.Request:
    given: Any = Body(*chunks)
    nobody: Any = None
    return http1.Request("POST", TARGET.decode(), "", HEADERS, b"", "unix", nobody, trailers or [], given)


@pytest.fixture
def answers() -> list[Answer]:
    return []


def session(answers: list[Answer], stream: ResponseStream | None) -> Session:
    made = Session(on_report=lambda _: None, on_answer=answers.append)
    made.next(Poll(lambda _: None, lambda: True))
    made.offer(RuntimeEvent("a", b"{}", "arn", 1, stream=stream))
    return made


async def read(stream: ResponseStream) -> bytes:
    read = b""
    while not read.endswith(b"end"):
        read += await stream.read()
    return read


async def test_chunks_go_to_whoever_reads(answers):
    stream = ResponseStream()
    reading = asyncio.create_task(read(stream))
    await receive(request(b"one ", b"two ", b"end"), session(answers, stream), "a")
    assert await reading == b"one two end"
    assert stream.content_type == "text/x"
    assert answers == [Answer("response", b"")]


async def test_where_it_is_wanted_whole_it_is_collected(answers):
    await receive(request(b"one ", b"two"), session(answers, None), "a")
    assert answers == [Answer("response", b"one two")]


async def test_an_error_in_trailers(answers):
    document = base64.b64encode(b'{"errorType":"E"}')
    trailers = [
        (b"Lambda-Runtime-Function-Error-Type", b"E"),
        (b"Lambda-Runtime-Function-Error-Body", document),
    ]
    await receive(request(b"one", trailers=trailers), session(answers, ResponseStream()), "a")
    assert answers == [Answer("error", b'{"errorType":"E"}', "E")]


@pytest.mark.parametrize("whole", [True, False])
async def test_more_than_the_limit(answers, monkeypatch, whole):
    monkeypatch.setattr(streamed, "STREAMED_RESPONSE_MAX_BYTES", 5)
    monkeypatch.setattr(streamed, "RESPONSE_MAX_BYTES", 5)
    with pytest.raises(Refusal) as caught:
        await receive(request(b"123", b"456"), session(answers, None if whole else ResponseStream()), "a")
    assert caught.value.status == 413
    (answer,) = answers
    if whole:
        assert answer == Answer("too_large")
    else:
        assert (answer.kind, answer.error_type) == ("error", "Function.ResponseSizeTooLarge")


async def test_a_connection_that_goes_while_the_runtime_lives(answers, monkeypatch):
    monkeypatch.setattr(streamed, "_END_WAIT_S", 0.0)
    await receive(request(b"123", None), session(answers, ResponseStream()), "a")
    (answer,) = answers
    assert (answer.kind, answer.error_type) == ("error", "Runtime.TruncatedResponse")
    assert json.loads(answer.payload)["errorType"] == "Runtime.TruncatedResponse"


async def test_a_connection_that_goes_with_its_process(answers, monkeypatch):
    monkeypatch.setattr(streamed, "_END_WAIT_S", 0.01)
    made = session(answers, ResponseStream())
    receiving = asyncio.create_task(receive(request(b"123", None), made, "a"))
    await asyncio.sleep(0)
    made.end()
    await receiving
    assert answers == [Answer("exit")]


async def test_a_second_response_and_a_strangers(answers):
    stream = ResponseStream()
    made = session(answers, stream)
    with pytest.raises(Refusal) as caught:
        await receive(request(b"1"), made, "b")
    assert caught.value.error_type == "InvalidRequestID"
    stream.begin("")
    with pytest.raises(Refusal) as caught:
        await receive(request(b"1"), made, "a")
    assert caught.value.error_type == "InvalidStateTransition"
    assert answers == []


def test_which_requests_are_handed_on_in_parts():
    assert is_streamed(b"POST", TARGET, HEADERS)
    assert not is_streamed(b"POST", TARGET, [(b"Content-Type", b"a/b")])
    assert not is_streamed(b"GET", TARGET, HEADERS)
    assert not is_streamed(b"POST", b"/bucket/key", HEADERS)
    both = streamed_or(lambda method, target, headers: target == b"/bucket/key")
    assert both(b"POST", TARGET, HEADERS)
    assert both(b"PUT", b"/bucket/key", [])
    assert not both(b"PUT", b"/other", [])
