"""A small HTTP/1.1 client: connections that are used again, bodies that stream both ways with back-pressure.

For servers that the engine speaks to often and for long (long polls by the hundred cost a socket each, no thread).
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import cast

import httptools

#: Bytes of a response's body that may wait for their reader before no more is read.
_AHEAD_MAX_BYTES = 256 * 1024
#: Connections that are kept for the next request, and for how many seconds.
_IDLE_MAX, _IDLE_MAX_S = 64, 30.0

#: Opens a connection with a protocol.
Connect = Callable[[Callable[[], asyncio.Protocol]], Awaitable[tuple[asyncio.BaseTransport, asyncio.BaseProtocol]]]


class Disconnected(ConnectionError):
    """The server closed the connection before its answer was whole."""


class Reply:
    """A response whose head has come; the body is read by ``read`` or ``chunks``, or given up by ``close``."""

    def __init__(self, connection: _Connection, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._connection = connection
        self.status = status
        self.raw_headers = headers

    @property
    def headers(self) -> dict[str, str]:
        """Lower-case name → value; repeated ones joined by a comma."""
        merged: dict[str, str] = {}
        for name, value in self.raw_headers:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            merged[key] = f"{merged[key]},{text}" if key in merged else text
        return merged

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            Disconnected: It broke off.
        """
        connection = self._connection
        try:
            while (chunk := await connection.next_chunk()) is not None:
                yield chunk
        finally:
            self.close()

    async def read(self) -> bytes:
        """The whole body.

        Raises:
            Disconnected: It broke off.
        """
        return b"".join([chunk async for chunk in self.chunks()])

    def close(self) -> None:
        """Done with it: the connection is kept if the response was whole, else closed. Safe to call twice."""
        self._connection.finish()


class _Connection(asyncio.Protocol):
    """One request at a time; the parser's callbacks are httptools'."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.closed = False
        self.since_s = 0.0
        self._writable: asyncio.Future[None] | None = None
        self._in_use = False
        self._begin(head_only=False)

    def _begin(self, *, head_only: bool) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._head_only = head_only
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: deque[bytes] = deque()
        self._ahead_bytes = 0
        self._paused = False
        self._began = self._whole = self._sent = False
        self._keep_alive = True
        self._head: asyncio.Future[tuple[int, list[tuple[bytes, bytes]]]] = self._loop.create_future()
        self._more: asyncio.Future[None] | None = None

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self.transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has closed, or we did."""
        self.closed = True
        if self._in_use and not self._whole:
            self._parser_ends()
        self.resume_writing()
        self._wake()

    def _parser_ends(self) -> None:
        """A body without a length ends with the connection; everything else is cut short."""
        if self._head.done() and not self._head.cancelled() and not self._head.exception():
            named = {name.lower() for name, _ in self._headers}
            if not named & {b"content-length", b"transfer-encoding"}:
                self._whole = True
        else:
            self._fail(Disconnected("the server closed the connection before it answered"))

    def _fail(self, error: Exception) -> None:
        if not self._head.done():
            self._head.set_exception(error)

    def pause_writing(self) -> None:
        """The server reads too slowly."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a server that doesn't speak HTTP is left."""
        if not self._in_use or self._whole:
            self.abort()  # nobody asked for this
            return
        self._began = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as exc:
            self._fail(Disconnected(f"the server's answer is not HTTP: {exc}"))
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody needs."""
        if not self._head.done():
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole; 100 Continue and its like are passed over."""
        status = self._parser.get_status_code()
        if status < 200:
            self._headers = []
            return
        self._keep_alive = self._parser.should_keep_alive()
        if not self._head.done():
            self._head.set_result((status, self._headers))
        if self._head_only:
            self._end()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._whole:
            return
        self._chunks.append(body)
        self._ahead_bytes += len(body)
        if self._ahead_bytes > _AHEAD_MAX_BYTES and not self._paused and self.transport:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        """The response is whole."""
        if self._parser.get_status_code() >= 200:
            self._end()

    def _end(self) -> None:
        self._whole = True
        self._wake()

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    # --- one exchange

    async def exchange(self, head: bytes, body: bytes | AsyncIterator[bytes], *, head_only: bool) -> Reply:
        """Send a request and wait for the head of its response, which may come before the request is whole."""
        self._begin(head_only=head_only)
        self._in_use = True
        assert self.transport is not None
        if isinstance(body, bytes):
            self.transport.write(head + body)
            self._sent = True
        else:
            self.transport.write(head)
            await self._send(body)
        status, headers = await self._head
        return Reply(self, status, headers)

    async def _send(self, body: AsyncIterator[bytes]) -> None:
        """A body that breaks off takes the connection with it, so that the server never believes it whole."""
        try:
            async for chunk in body:
                if self._head.done() or self.closed:
                    return  # answered already: nobody reads the rest
                assert self.transport is not None
                self.transport.write(chunk)
                if self._writable is not None:
                    await self._writable
            self._sent = True
        except BaseException:
            self.abort()
            # What broke the body is what the caller learns; nobody asks for the head any more.
            if not self._head.cancel() and not self._head.cancelled():
                self._head.exception()  # retrieved
            raise

    async def next_chunk(self) -> bytes | None:
        """A part of the body; None at its end."""
        while not self._chunks:
            if self._whole:
                return None
            if self.closed:
                raise Disconnected("the server closed the connection within its answer")
            self._more = self._loop.create_future()
            await self._more
        chunk = self._chunks.popleft()
        self._ahead_bytes -= len(chunk)
        if self._paused and self._ahead_bytes <= _AHEAD_MAX_BYTES // 2 and self.transport and not self.closed:
            self._paused = False
            self.transport.resume_reading()
        return chunk

    @property
    def unanswered(self) -> bool:
        """True when not a byte of an answer has come."""
        return not self._began

    def finish(self) -> None:
        """See ``Reply.close``."""
        if not self._in_use:
            return
        self._in_use = False
        if self._whole and self._sent and self._keep_alive and not self.closed and not self._paused:
            self._client.keep(self)
        else:
            self.abort()

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.abort()


class Client:
    """Speaks to one server."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._idle: deque[_Connection] = deque()
        self._closed = False

    async def request(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] = b"",
        *,
        timeout_s: float | None = 60.0,
    ) -> Reply:
        """Send one request and wait for the head of its response; the caller reads or closes the reply.

        Args:
            target: Path and query as they go over the wire.
            headers: All there are, Host included; for a body that is no bytes its Content-Length too, or
                ``Transfer-Encoding: chunked``.
            timeout_s: From here to the head of the response.
        Raises:
            OSError: No connection, or it broke off (``Disconnected``).
            TimeoutError: The server took too long.
        """
        named = list(headers)
        lines = "".join([f"{name}: {value}\r\n" for name, value in named])
        if not isinstance(body, bytes) and any(name.lower() == "transfer-encoding" for name, _ in named):
            body = _in_chunks(body)
        framed = isinstance(body, bytes) and (bool(body) or method in ("POST", "PUT"))
        if isinstance(body, bytes) and framed:
            lines += f"Content-Length: {len(body)}\r\n"
        head = f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
        if head.count(b"\n") != len(named) + 2 + framed or head.count(b"\r") != len(named) + 2 + framed:
            raise ValueError("line break in a request's header")
        async with asyncio.timeout(timeout_s):
            while True:
                connection, kept = await self._connection()
                try:
                    return await connection.exchange(head, body, head_only=method == "HEAD")
                except Disconnected:
                    if not (kept and connection.unanswered and isinstance(body, bytes)):
                        raise
                except BaseException:
                    connection.abort()
                    raise

    async def _connection(self) -> tuple[_Connection, bool]:
        now_s = asyncio.get_running_loop().time()
        while self._idle:
            kept = self._idle.pop()
            if not kept.closed and now_s - kept.since_s < _IDLE_MAX_S:
                return kept, True
            kept.abort()
        _, protocol = await self._connect(lambda: _Connection(self))
        return cast(_Connection, protocol), False

    def keep(self, connection: _Connection) -> None:
        """A connection is free for the next request."""
        if self._closed:
            connection.abort()
            return
        connection.since_s = asyncio.get_running_loop().time()
        self._idle.append(connection)
        if len(self._idle) > _IDLE_MAX:
            self._idle.popleft().abort()

    def close(self) -> None:
        """Close what is idle; what is under way ends by itself."""
        self._closed = True
        while self._idle:
            self._idle.pop().abort()


async def _in_chunks(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for part in body:
        if part:
            yield b"%x\r\n%s\r\n" % (len(part), part)
    yield b"0\r\n\r\n"
