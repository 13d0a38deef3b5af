"""The client and bodies that stream, against this project's own server."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Self

import pytest

from jupyter_lambda.http1 import BrokenBody, Request, Response, Server
from jupyter_lambda.http1.client import Client, Disconnected

HOST = [("Host", "localhost")]
Handle = Callable[[Request], Awaitable[Response]]


class Pair:
    """A server and a client of it."""

    def __init__(self, handler: Handle) -> None:
        self.server = Server(handler)
        self.opened = 0

    async def __aenter__(self) -> Self:
        self.host, self.port = await self.server.listen_tcp("127.0.0.1", 0)
        self.client = Client(self.connect)
        return self

    async def connect(self, protocol: Callable[[], asyncio.Protocol]) -> tuple[object, object]:
        self.opened += 1
        return await asyncio.get_running_loop().create_connection(protocol, self.host, self.port)

    async def __aexit__(self, *exc: object) -> None:
        self.client.close()
        await self.server.close()


async def parts(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


async def echo(request: Request) -> Response:
    body = request.body if request.stream is None else b"".join([part async for part in request.stream])
    return Response(200, [("X-Streamed", str(request.stream is not None)), ("X-Method", request.method)], body)


async def test_connections_are_used_again() -> None:
    async with Pair(echo) as pair:
        for n in range(5):
            reply = await pair.client.request("POST", "/a?b=c", HOST, b"%d" % n)
            assert (reply.status, await reply.read()) == (200, b"%d" % n)
        head = await pair.client.request("HEAD", "/", HOST)
        assert await head.read() == b""
        reply = await pair.client.request("GET", "/", HOST)
        assert reply.headers["x-method"] == "GET"
        await reply.read()
        assert pair.opened == 1


async def test_a_connection_that_the_server_has_closed_meanwhile_is_replaced() -> None:
    async with Pair(echo) as pair:
        await (await pair.client.request("GET", "/", HOST)).read()
        for connection in list(pair.server.connections):
            connection._transport.abort()  # the client doesn't know yet
        reply = await pair.client.request("POST", "/", HOST, b"again")
        assert await reply.read() == b"again"
        assert pair.opened == 2


async def test_bodies_stream_both_ways_with_and_without_a_length() -> None:
    data = bytes(range(256)) * 8192  # 2 MB: more than waits anywhere

    async def handler(request: Request) -> Response:
        assert request.stream is not None
        chunks = [part async for part in request.stream]
        return Response(200, [], parts(*chunks), length=len(data))

    async with Pair(handler) as pair:
        pair.server.streams = lambda *_: True
        for framing in (("Content-Length", str(len(data))), ("Transfer-Encoding", "chunked")):
            pieces = [data[i : i + 100_000] for i in range(0, len(data), 100_000)]
            reply = await pair.client.request("PUT", "/", [*HOST, framing], parts(*pieces))
            assert reply.headers["content-length"] == str(len(data))
            assert await reply.read() == data
        assert pair.opened == 1


async def test_the_server_holds_little_of_a_body_that_nobody_reads_yet() -> None:
    reading, sent = asyncio.Event(), 0

    async def handler(request: Request) -> Response:
        await reading.wait()
        return await echo(request)

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(200):
            yield b"x" * 100_000
            sent += 1

    async with Pair(handler) as pair:
        pair.server.streams = lambda *_: True
        asking = asyncio.ensure_future(pair.client.request("PUT", "/", [*HOST, ("Content-Length", "20000000")], body()))
        before = -1
        while sent != before:  # until back-pressure has stopped it
            before = sent
            await asyncio.sleep(0.05)
        assert sent < 150
        assert not pair.server.stalling, "who is made to wait does not stall"
        reading.set()
        assert len(await (await asking).read()) == 20_000_000


async def test_an_answer_before_the_body_is_whole_reaches_the_client() -> None:
    async def handler(request: Request) -> Response:
        return Response(403, [], b"no")

    async with Pair(handler) as pair:
        pair.server.streams = lambda *_: True
        endless = parts(*[b"x" * 10_000] * 100)
        reply = await pair.client.request("PUT", "/", [*HOST, ("Content-Length", "1000000")], endless)
        assert (reply.status, await reply.read()) == (403, b"no")


async def test_continue_is_said_when_somebody_reads() -> None:
    allowed = asyncio.Event()

    async def handler(request: Request) -> Response:
        await allowed.wait()
        return await echo(request)

    async with Pair(handler) as pair:
        pair.server.streams = lambda *_: True
        reader, writer = await asyncio.open_connection(pair.host, pair.port)
        writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.05)
        allowed.set()
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(2) == b"ok"
        # The connection goes on as any other.
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_client_that_goes_breaks_the_body() -> None:
    broken: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def handler(request: Request) -> Response:
        try:
            return await echo(request)
        except BrokenBody as exc:
            broken.set_result(exc)
            return Response(400)

    async with Pair(handler) as pair:
        pair.server.streams = lambda *_: True
        _, writer = await asyncio.open_connection(pair.host, pair.port)
        writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        await asyncio.sleep(0.02)
        writer.transport.abort()
        assert isinstance(await asyncio.wait_for(broken, 5), BrokenBody)


async def test_a_body_that_fails_is_never_whole_to_the_server() -> None:
    seen: list[object] = []

    async def handler(request: Request) -> Response:
        try:
            return await echo(request)
        except BrokenBody as exc:
            seen.append(exc)
            return Response(400)

    async def failing() -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.sleep(0.02)
        raise ValueError("no more")

    async with Pair(handler) as pair:
        pair.server.streams = lambda *_: True
        with pytest.raises(ValueError, match="no more"):
            await pair.client.request("PUT", "/", [*HOST, ("Content-Length", "8")], failing())
        while not seen:
            await asyncio.sleep(0.01)
        assert isinstance(seen[0], BrokenBody)


async def test_what_is_no_http_and_what_breaks_off_are_told() -> None:
    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"hello\r\n\r\n" if b"/garbage" in head else b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        writer.close()

    server = await asyncio.start_server(garbage, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    client = Client(lambda protocol: asyncio.get_running_loop().create_connection(protocol, host, port))
    with pytest.raises(Disconnected, match="not HTTP"):
        await client.request("GET", "/garbage", HOST)
    reply = await client.request("GET", "/half", HOST)
    with pytest.raises(Disconnected, match="within its answer"):
        await reply.read()
    server.close()


async def test_a_header_can_not_carry_another_request() -> None:
    async with Pair(echo) as pair:
        with pytest.raises(ValueError, match="line break"):
            await pair.client.request("GET", "/", [*HOST, ("X", "a\r\n\r\nGET /b HTTP/1.1")])


async def test_a_body_that_fails_leaves_no_error_behind() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"a"
        raise ValueError("no more")

    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
    async with Pair(echo) as pair:
        with pytest.raises(ValueError, match="no more"):
            await pair.client.request("POST", "/", [*HOST, ("Content-Length", "9")], failing())
        await asyncio.sleep(0.05)
    gc.collect()
    await asyncio.sleep(0)
    assert told == []
