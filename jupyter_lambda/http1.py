"""A small HTTP/1.1 server on asyncio's Protocol and httptools: the engine's endpoint and each sandbox's Runtime API.

One handler coroutine per request, one request of a connection at a time (pipelined ones wait), keep-alive, chunked
bodies and trailers, ``Expect: 100-continue``, streamed responses with back-pressure, limits on everything a peer sends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import cast

import httptools

log = logging.getLogger(__name__)

#: Bytes of request line and headers together.
MAX_HEADER_BYTES = 64 * 1024
#: Seconds a peer may take from its first byte to the end of its headers and body, without sending anything.
STALL_TIMEOUT_S = 60.0
_REASONS = {s.value: s.phrase.encode() for s in HTTPStatus}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(slots=True)
class Request:
    """One request, body read whole."""

    method: str
    #: Path as sent (still percent-encoded), without the query.
    path: str
    #: Query as sent, without "?"; "" where there is none.
    query: str
    raw_headers: list[tuple[bytes, bytes]]
    body: bytes
    #: "unix" or the peer's IP address.
    peer: str
    #: The Protocol's connection; ``closed`` tells a long poll that nobody waits any more.
    connection: Connection
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    _headers: dict[str, str] | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Lower-case name → value; repeated headers joined by a comma, as RFC 9110 allows."""
        if self._headers is None:
            merged: dict[str, str] = {}
            for name, value in self.raw_headers:
                key, text = name.decode("latin-1").lower(), value.decode("latin-1")
                merged[key] = f"{merged[key]},{text}" if key in merged else text
            self._headers = merged
        return self._headers


@dataclass(slots=True)
class Response:
    """What a handler answers. ``body`` may be an async iterator: it is then sent chunked as it comes."""

    status: int = 200
    headers: Iterable[tuple[str, str]] = ()
    body: bytes | AsyncIterator[bytes] = b""
    #: True when the connection must not be used again.
    close: bool = False


Handler = Callable[[Request], Awaitable[Response]]


class BadRequest(Exception):
    """What the peer sent is not HTTP, or too large; answered by the server itself."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def encode_head(status: int, headers: Iterable[tuple[str, str]], length: int | None, *, close: bool) -> bytes:
    """Status line and headers; ``length`` None means chunked. A line break in a value is an error, not a header."""
    lines = [b"HTTP/1.1 %d %s\r\n" % (status, _REASONS.get(status, b""))]
    for name, value in headers:
        if "\n" in value or "\r" in value:
            raise ValueError(f"line break in the value of header {name}")
        lines.append(f"{name}: {value}\r\n".encode("latin-1", "replace"))
    lines.append(b"Transfer-Encoding: chunked\r\n" if length is None else b"Content-Length: %d\r\n" % length)
    if close:
        lines.append(b"Connection: close\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._stall: asyncio.TimerHandle | None = None
        #: Nothing more is read from this client.
        self._refused = False
        self.closed = False
        self.peer = "unix"
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._trailers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._header_bytes = self._body_bytes = 0
        self._headers_done = self._in_message = False

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        # uvloop's Unix transports are no subclass of asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        if isinstance(name, tuple):
            self.peer = name[0]
            sock = transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server.connections.add(self)
        if self._server.max_connections is not None and len(self._server.connections) > self._server.max_connections:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or we closed."""
        self.closed = True
        self._server.connections.discard(self)
        self._stop_stall()
        self._waiting.clear()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what isn't HTTP is refused."""
        if self._refused:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The offer to upgrade is ignored, as RFC 9110 allows: the request is answered, then the connection closed.
            self._refused = True
        except httptools.HttpParserCallbackError as exc:
            cause = exc.__context__
            if isinstance(cause, BadRequest):
                self._refuse(cause.status, str(cause))
            else:
                log.exception("HTTP parser callback failed")
                self._refuse(400, "bad request")
        except httptools.HttpParserError as exc:
            self._refuse(400, f"malformed HTTP request: {exc}")
        else:
            self._watch_stall()

    # --- httptools callbacks

    def on_message_begin(self) -> None:
        """A request begins."""
        self._reset()
        self._in_message = True

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        self._url += url
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer after the body."""
        self._count_header(len(name) + len(value))
        (self._trailers if self._headers_done else self._headers).append((name, value))

    def on_headers_complete(self) -> None:
        """Refuse what is declared too large before it is sent."""
        self._headers_done = True
        for name, value in self._headers:
            lower = name.lower()
            if lower == b"content-length" and value.isdigit() and int(value) > self._server.max_body_bytes:
                raise BadRequest(413, f"the request body is larger than {self._server.max_body_bytes} bytes")
            if lower == b"expect" and value.lower() == b"100-continue" and self._transport and self._task is None:
                self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body_bytes += len(body)
        if self._body_bytes > self._server.max_body_bytes:
            raise BadRequest(413, f"the request body is larger than {self._server.max_body_bytes} bytes")
        self._body.append(body)

    def on_message_complete(self) -> None:
        """A request is whole: answer it, or queue it behind the one being answered."""
        self._in_message = False
        path, _, query = self._url.decode("latin-1").partition("?")
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = Request(
            self._parser.get_method().decode("latin-1"),
            path,
            query,
            self._headers,
            body,
            self.peer,
            self,
            self._trailers,
        )
        self._waiting.append((request, self._parser.should_keep_alive()))
        if self._task is None:
            self._task = self._loop.create_task(self._serve())
        elif len(self._waiting) > 16 and self._transport:
            self._transport.pause_reading()

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise BadRequest(431, f"the request's headers are larger than {MAX_HEADER_BYTES} bytes")

    # --- serving

    async def _serve(self) -> None:
        try:
            while self._waiting:
                request, keep_alive = self._waiting.popleft()
                response = await self._answer(request)
                keep_alive = keep_alive and not (response.close or self._refused or self._server.closing)
                await self._send(request, response, keep_alive)
                if not keep_alive:
                    self.close()
                    return
                if self._transport and not self._transport.is_closing():
                    self._transport.resume_reading()
        finally:
            self._task = None

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._server.handler(request)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("handler failed: %s %s", request.method, request.path)
            return Response(500, [("Content-Type", "text/plain")], b"internal error; see the engine's log\n")

    async def _send(self, request: Request, response: Response, keep_alive: bool) -> None:
        transport = self._transport
        if transport is None or self.closed:
            if not isinstance(response.body, bytes):
                await _close_stream(response.body)
            return
        if isinstance(response.body, bytes):
            body = b"" if request.method == "HEAD" else response.body
            head = encode_head(response.status, response.headers, len(response.body), close=not keep_alive)
            transport.write(head + body)
            if self._drained is not None:
                await self._drained
            return
        transport.write(encode_head(response.status, response.headers, None, close=not keep_alive))
        try:
            async for chunk in response.body:
                if transport.is_closing():
                    return
                if chunk:
                    transport.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                if self._drained is not None:
                    await self._drained
        except Exception:
            log.exception("streamed response failed: %s %s", request.method, request.path)
            transport.abort()  # a missing last chunk tells the client that the body is cut short
            return
        finally:
            await _close_stream(response.body)
        transport.write(b"0\r\n\r\n")

    def close(self) -> None:
        """Close after what was written has gone out."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    @property
    def busy(self) -> bool:
        """True while a request of this connection is being answered or has come in part."""
        return self._task is not None or self._in_message

    def _refuse(self, status: int, message: str) -> None:
        self._refused = True
        method, path = self._parser.get_method().decode("latin-1"), self._url.decode("latin-1").partition("?")[0]
        for callback in self._server.on_refused:
            callback(method, path, status)
        if self._transport is not None and self._task is None:
            body = (message + "\n").encode()
            self._transport.write(encode_head(status, [("Content-Type", "text/plain")], len(body), close=True) + body)
        self.close()

    def _watch_stall(self) -> None:
        self._stop_stall()
        if self._in_message:
            self._stall = self._loop.call_later(
                STALL_TIMEOUT_S, self._refuse, 408, "the request did not arrive in time"
            )

    def _stop_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


async def _close_stream(body: AsyncIterator[bytes]) -> None:
    closer = getattr(body, "aclose", None)
    if closer is not None:
        await closer()


class Server:
    """Listens on TCP or on a Unix socket and gives each request to ``handler``."""

    def __init__(
        self, handler: Handler, *, max_body_bytes: int = 80 * 1024 * 1024, max_connections: int | None = None
    ) -> None:
        self.handler = handler
        self.max_body_bytes = max_body_bytes
        #: More than these are closed as they come; None: no limit but the process's.
        self.max_connections = max_connections
        self.connections: set[Connection] = set()
        #: Called with method, path and status of each request that the server itself refused (too large, malformed).
        self.on_refused: list[Callable[[str, str, int], None]] = []
        self.closing = False
        self._listeners: list[asyncio.Server] = []

    async def listen_tcp(self, host: str, port: int) -> tuple[str, int]:
        """Listen; returns the address (port 0 chooses one)."""
        listener = await asyncio.get_running_loop().create_server(lambda: Connection(self), host, port, backlog=2048)
        self._listeners.append(listener)
        name = listener.sockets[0].getsockname()
        return name[0], name[1]

    async def listen_unix(self, path: Path, *, mode: int = 0o600) -> None:
        """Listen on a Unix socket, replacing what an earlier process left at ``path``."""
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - a local file system's directory entry
        listener = await asyncio.get_running_loop().create_unix_server(
            lambda: Connection(self), str(path), backlog=128, start_serving=False
        )
        self._listeners.append(listener)  # before anything is awaited: a cancelled start must still be closed
        path.chmod(mode)  # noqa: ASYNC240 - same
        await listener.start_serving()

    async def close(self, *, grace_s: float = 0.0) -> None:
        """Stop listening, let requests in flight finish for ``grace_s`` seconds, then close every connection."""
        self.closing = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            if not connection.busy:
                connection.close()
        tasks = [c._task for c in self.connections if c._task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for connection in list(self.connections):
            connection.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
