"""Requests like the one before take a short way; whatever comes, it must be read as the parser would have read it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_lambda.http1 import Connection, Request, Response, Server
from jupyter_lambda.http1.reading import PIPELINE_MAX
from jupyter_lambda.http1.usual import Usual

HEAD = (
    b"POST /2015-03-31/functions/f/invocations?Qualifier=1 HTTP/1.1\r\n"
    b"Host: 127.0.0.1:4566\r\n"
    b"Content-Type: application/octet-stream\r\n"
    b"X-Amz-Date: 20261125T203900Z\r\n"
    b"Authorization: AWS4-HMAC-SHA256 Credential=A/1, SignedHeaders=host;x-amz-date, Signature=%s\r\n"
    b"Content-Length: %d\r\n\r\n"
)
FIRST = HEAD % (b"0" * 64, 2) + b"{}"


class Transport:
    """Takes what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def get_extra_info(self, name: str) -> Any:
        return None

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class Peer:
    """One connection, the requests that its handler saw, and what was answered."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.transport: Any = Transport()
        self.connection = Connection(Server(self.answer, max_body_bytes=100))
        self.connection.connection_made(self.transport)

    def answer(self, request: Request) -> Response:
        self.seen.append(
            (request.method, request.path, request.query, request.raw_headers, request.headers, request.body)
        )
        return Response(200)

    def send(self, data: bytes) -> Peer:
        self.connection.data_received(data)
        return self

    def outcome(self) -> tuple[Any, ...]:
        return self.seen, self.transport.written, self.transport.closed


def short_ways(peer: Peer) -> int:
    """How many requests the parser has not seen."""
    return len(peer.seen) - peer.connection._came


def after_the_first(data: bytes) -> tuple[Any, ...]:
    """What comes of data after the usual request."""
    peer = Peer().send(FIRST)
    assert len(peer.seen) == 1
    peer.seen.clear()
    peer.transport.written = b""
    return peer.send(data).outcome()


async def test_the_like_of_the_last_request_takes_the_short_way():
    peer = Peer().send(FIRST)
    other = HEAD.replace(b"203900", b"203901") % (b"f" * 64, 9) + b'{"n": 12}'
    peer.send(other)
    peer.send(FIRST)
    assert short_ways(peer) == 2
    assert peer.seen[1] == Peer().send(other).seen[0]
    assert peer.seen[2] == peer.seen[0]
    peer.seen[1][4]["host"] = "changed by a handler"
    peer.send(other)
    assert peer.seen[3][4]["host"] == "127.0.0.1:4566", "each request has its own headers"


@pytest.mark.parametrize(
    "other",
    [
        FIRST.replace(b"/f/", b"/g/"),
        FIRST.replace(b"Host", b"host"),
        FIRST.replace(b"Host: ", b"Host:"),
        FIRST + FIRST,
        FIRST[:-1],
        FIRST.replace(b"Content-Length: 2", b"Content-Length: +2"),
        FIRST.replace(b"Content-Length: 2", b"Content-Length: 0x2"),
        FIRST.replace(b"Content-Length: 2", b"Content-Length: 101") + b"x" * 99,
        FIRST.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked"),
        FIRST.replace(b"application/octet-stream", b"a\x00b"),
        FIRST.replace(b"application/octet-stream", b"a\nX-Evil: 1"),
        FIRST.replace(b"application/octet-stream", b"a\r\n X-Folded: 1"),
        FIRST.replace(b"application/octet-stream", b""),
        FIRST.replace(b"application/octet-stream", b"a "),
        FIRST.replace(b"application/octet-stream", "\u00fc".encode("latin-1")),
        FIRST.replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"\r\n" + FIRST,
    ],
)
async def test_what_is_not_so_plain_is_left_to_the_parser(other):
    peer = Peer().send(FIRST)
    peer.send(other)
    assert short_ways(peer) == 0
    assert after_the_first(other) == Peer().send(other).outcome()


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nX: 1\r\nX: 2\r\nContent-Length: 0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nX:\r\nContent-Length: 0\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 5000 + b"\r\n\r\n",
    ],
)
async def test_what_says_how_messages_end_is_never_kept(head):
    peer = Peer().send(head)
    assert len(peer.seen) == 1
    assert peer.connection._usual is None


async def test_a_request_in_parts_is_the_parsers_and_so_is_the_rest_of_it():
    peer = Peer().send(FIRST)
    for part in (FIRST[:40], FIRST[40:]):
        peer.send(part)
    assert len(peer.seen) == 2
    assert short_ways(peer) == 0
    peer.send(FIRST)
    assert len(peer.seen) == 3


async def test_a_client_that_asks_for_another_thing_each_time_costs_no_more_looks():
    peer = Peer()
    for n in range(40):
        peer.send(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n)
    assert peer.connection._usual is None
    assert len(peer.seen) == 40


async def test_requests_that_wait_are_bounded():
    peer = Peer()
    peer.answer = lambda request: None  # type: ignore[method-assign, assignment, return-value]
    peer.connection._server.handler = peer.answer  # type: ignore[assignment]
    for _ in range(PIPELINE_MAX + 3):
        peer.send(FIRST)
    assert len(peer.connection._waiting) > PIPELINE_MAX
    assert not peer.connection._reading


PIECES = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b" ", b":", b"\x00", b"\t", b"0", b"7", b"a", b"\xff", b"chunked", b"close",
     b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Connection: close", b"\r\n\r\n", b"HTTP/1.1"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(FIRST) - 1), st.integers(0, 3), PIECES | st.binary(max_size=3)), max_size=3),
    st.integers(0, 12),
)
def test_whatever_is_changed_is_read_as_the_parser_reads_it(changes, body_bytes):
    data = bytearray(HEAD % (b"a" * 64, body_bytes) + b"x" * body_bytes)
    for at, cut, piece in changes:
        data[at : at + cut] = piece

    async def compare() -> None:
        mine, parsers = after_the_first(bytes(data)), Peer().send(bytes(data)).outcome()
        assert mine == parsers

    asyncio.run(compare())


def test_learning_looks_at_what_the_parser_saw():
    raw = [(b"Host", b"h")]
    whole = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    assert Usual.learn(whole, "GET", "/", "", raw, 0) is not None
    assert Usual.learn(whole, "GET", "/", "", [], 0) is None
    assert Usual.learn(whole, "GET", "/", "", raw, 1) is None
    assert Usual.learn(whole.replace(b"Host", b"Hos\x80"), "GET", "/", "", raw, 0) is None
