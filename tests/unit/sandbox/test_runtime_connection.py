"""The short way of the Runtime API: the bytes of our own runtime's client, and what almost reads like them."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import BinaryIO, Self

import pytest

from jupyter_lambda import http1
from jupyter_lambda.runtime.client import Client as RuntimeClient
from jupyter_lambda.sandbox import runtime_connection
from jupyter_lambda.sandbox.base import RuntimeEvent
from jupyter_lambda.sandbox.runtime_api import event_headers
from jupyter_lambda.sandbox.runtime_connection import event_head

from .test_sandbox import EVENT, World

ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"status":"OK"}\n'


class Settings:
    socket, tcp_address = "/run/jl/api.sock", ""


def answer(request_id: str = "id", body: bytes = b"yes") -> bytes:
    return RuntimeClient(Settings()).response(request_id, "application/json", body)  # type: ignore[arg-type]


NEXT: bytes = RuntimeClient(Settings())._next  # type: ignore[arg-type]


@pytest.fixture
async def world(tmp_path):
    world = World(tmp_path)
    yield world
    await world.boxes.close()


@pytest.fixture
def general(monkeypatch):
    """What took the general way."""
    taken: list[bytes] = []
    original = http1.Connection.data_received

    def data_received(self, data: bytes) -> None:
        taken.append(data)
        original(self, data)

    monkeypatch.setattr(http1.Connection, "data_received", data_received)
    return taken


class Runtime:
    """A raw connection to the sandbox."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_unix_connection(str(self._socket))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.writer.close()

    async def read(self) -> tuple[bytes, bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
        return head, await self.reader.readexactly(size)


def read_answer(answers: BinaryIO) -> bytes:
    """The head; the body is read too."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += answers.readline()
    answers.read(int(head.split(b"Content-Length: ")[1].split(b"\r")[0]))
    return head


async def asking(sandbox, runtime: Runtime) -> None:
    """Until the sandbox knows that its runtime waits for an event."""
    runtime.writer.write(NEXT)
    await sandbox.init()


async def test_what_our_runtime_sends_takes_the_short_way(world, general):
    sandbox = await world.start()
    async with Runtime(world.client.socket) as runtime:
        await asking(sandbox, runtime)
        for number in range(3):
            task = asyncio.create_task(sandbox.invoke(RuntimeEvent(f"id{number}", b"[1]", "arn", 5), 60))
            if number:
                assert await runtime.reader.readexactly(len(ACCEPTED)) == ACCEPTED
            head, body = await runtime.read()
            assert (head, body) == (event_head(RuntimeEvent(f"id{number}", b"[1]", "arn", 5)), b"[1]")
            runtime.writer.write(answer(f"id{number}", b"yes") + NEXT)
            outcome = await task
            assert (outcome.kind, outcome.payload) == ("response", b"yes")
    assert general == []


@pytest.mark.parametrize(
    "more", [{}, {"trace_id": "Root=1"}, {"client_context": '{"a":"ü"}'}, {"cognito_identity": "{}"}], ids=str
)
def test_both_ways_write_the_same_head(more):
    event = RuntimeEvent("id", b"[1]", "arn", 5, **more)
    assert event_head(event) == http1.encode_head(200, event_headers(event), 3, close=False)


def test_a_line_break_in_a_header_is_no_header():
    with pytest.raises(ValueError, match="line break"):
        event_head(RuntimeEvent("id", b"", "arn\r\nX: y", 5))


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (answer(body=b"x" * 1_000_000) + NEXT, "response"),
        (answer() + NEXT.replace(b"localhost", b"localhos7"), "response"),
        (answer().replace(b"Content-Length", b"content-length") + NEXT, "response"),
        (answer().replace(b"Host: localhost", b"Host: localhost\r\nX: y") + NEXT, "response"),
        (answer().replace(b"/response", b"/error") + NEXT, "error"),
        (answer(), "response"),
    ],
    ids=["large", "another host", "another case", "another header", "an error", "next comes later"],
)
async def test_what_reads_differently_is_answered_all_the_same(world, general, sent, kind):
    sandbox = await world.start()
    async with Runtime(world.client.socket) as runtime:
        await asking(sandbox, runtime)
        task = asyncio.create_task(sandbox.invoke(EVENT, 60))
        await runtime.read()
        runtime.writer.write(sent)
        assert (await task).kind == kind
        assert general
        head, body = await runtime.read()
        assert (head.split()[1], body) == (b"202", b'{"status":"OK"}\n')
        if sent == answer():
            runtime.writer.write(NEXT)
        task = asyncio.create_task(sandbox.invoke(RuntimeEvent("id2", b"[2]", "arn", 5), 60))
        head, body = await runtime.read()
        assert body == b"[2]"
        runtime.writer.write(answer("id2") + NEXT)
        assert (await task).payload == b"yes"


async def test_an_answer_to_another_event_is_refused(world):
    sandbox = await world.start()
    async with Runtime(world.client.socket) as runtime:
        await asking(sandbox, runtime)
        task = asyncio.create_task(sandbox.invoke(EVENT, 60))
        await runtime.read()
        runtime.writer.write(answer("other"))
        head, body = await runtime.read()
        assert head.split()[1] == b"400"
        assert b"InvalidRequestID" in body
        runtime.writer.write(answer() + NEXT)
        assert (await task).payload == b"yes"


async def test_an_event_whose_answer_came_by_another_connection_is_answered_once(world):
    sandbox = await world.start()
    async with Runtime(world.client.socket) as runtime:
        await asking(sandbox, runtime)
        task = asyncio.create_task(sandbox.invoke(EVENT, 60))
        await runtime.read()
        assert (await world.client.ask("POST", "/invocation/id/response", b"first"))[0] == 202
        assert (await task).payload == b"first"
        runtime.writer.write(answer(body=b"second") + NEXT)
        head, body = await runtime.read()
        assert head.split()[1] == b"403"
        assert b"InvalidStateTransition" in body


async def test_what_is_sent_while_the_poll_is_open_waits_its_turn(world):
    sandbox = await world.start()
    async with Runtime(world.client.socket) as runtime:
        await asking(sandbox, runtime)
        runtime.writer.write(answer())
        await asyncio.sleep(0.01)
        task = asyncio.create_task(sandbox.invoke(EVENT, 60))
        assert (await runtime.read())[1] == b"[1]"
        assert (await runtime.read())[0].split()[1] == b"202"
        assert (await task).payload == b"yes"


async def test_the_end_of_the_sandbox_ends_the_poll(world):
    sandbox = await world.start()
    async with Runtime(world.client.socket) as runtime:
        await asking(sandbox, runtime)
        task = asyncio.create_task(sandbox.invoke(EVENT, 60))
        await runtime.read()
        runtime.writer.write(answer() + NEXT)
        await task
        await sandbox.close()
        assert (await runtime.read())[0].split()[1] == b"202", "the answer was taken"
        head, body = await runtime.read()
        assert head.split()[1] == b"500"
        assert b"ContainerError" in body


async def test_an_event_for_a_connection_that_went_waits_for_the_next(world):
    sandbox = await world.start()
    async with Runtime(world.client.socket) as runtime:
        await asking(sandbox, runtime)
    async with asyncio.timeout(10):
        while sandbox._server.connections:
            await asyncio.sleep(0)
    task = asyncio.create_task(sandbox.invoke(EVENT, 60))
    async with Runtime(world.client.socket) as runtime:
        runtime.writer.write(NEXT)
        assert (await runtime.read())[1] == b"[1]"
        runtime.writer.write(answer() + NEXT)
        assert (await task).payload == b"yes"


@pytest.mark.parametrize("size_bytes", [10, 50_000, 200_000])
async def test_what_was_printed_before_the_answer_belongs_to_its_invocation(world, size_bytes):
    """A thread is the function: it prints, answers and asks without ever looking at the engine's loop."""
    sandbox = await world.start()
    fifo = str(world.state / "sandboxes" / ("f" * 16) / "run/log")
    rounds = 30

    def function() -> None:
        log = os.open(fifo, os.O_WRONLY)
        with socket.socket(socket.AF_UNIX) as stream, stream.makefile("rb") as answers:
            stream.connect(str(world.client.socket))
            stream.sendall(NEXT)
            for number in range(rounds):
                if number:
                    assert b" 202 " in read_answer(answers)
                request_id = read_answer(answers).split(b"Request-Id: ")[1].split(b"\r")[0].decode()
                left = memoryview(request_id.encode().ljust(size_bytes, b".") + b"\n")
                while left:
                    left = left[os.write(log, left) :]
                stream.sendall(answer(request_id) + NEXT)
        os.close(log)

    thread = asyncio.create_task(asyncio.to_thread(function))
    await sandbox.init()
    for number in range(rounds):
        await sandbox.invoke(RuntimeEvent(f"id{number}", b"[1]", "arn", 5), 60)
    await thread
    written: dict[str | None, bytes] = {}
    for request_id, data in world.written:
        written[request_id] = written.get(request_id, b"") + data
    assert written == {f"id{n}": f"id{n}".encode().ljust(size_bytes, b".") + b"\n" for n in range(rounds)}


def test_the_two_ends_have_the_same_words():
    assert runtime_connection._NEXT == NEXT
    assert answer("id", b"").startswith(runtime_connection._RESPONSE % b"id")
    assert runtime_connection._ACCEPTED == ACCEPTED


async def test_memory_is_read_for_the_first_and_for_slow_invocations_else_now_and_then(world):
    now = [100.0]
    world.boxes._clock = lambda: now[0]
    sandbox = await world.start()
    reads = []
    world.driver.processes[0].memory_peak_mb = lambda: reads.append(now[0]) or 40 + len(reads)
    told = []
    async with Runtime(world.client.socket) as runtime:
        await asking(sandbox, runtime)
        for number, (pause_s, run_s) in enumerate([(0, 0), (0.01, 0), (0.01, 0.02), (0.05, 0), (0.06, 0)]):
            now[0] += pause_s
            task = asyncio.create_task(sandbox.invoke(RuntimeEvent(f"id{number}", b"[1]", "arn", 5), 60))
            if number:
                await runtime.read()
            await runtime.read()
            now[0] += run_s
            runtime.writer.write(answer(f"id{number}") + NEXT)
            told.append((await task).memory_used_mb)
    assert told == [41, 41, 42, 42, 43]


async def test_a_deadline_that_has_passed_is_not_the_next_invocations(world):
    sandbox = await world.start()
    async with Runtime(world.client.socket) as runtime:
        await asking(sandbox, runtime)
        task = asyncio.create_task(sandbox.invoke(EVENT, 0.01))
        await runtime.read()
        runtime.writer.write(answer() + NEXT)
        assert (await task).kind == "response"
        task = asyncio.create_task(sandbox.invoke(RuntimeEvent("id2", b"[1]", "arn", 5), 0.1))
        assert (await task).kind == "timeout", "by a timer that was set for the one before, and set again"
        sandbox._alarmed()
    assert world.driver.processes[0].kills == 1
