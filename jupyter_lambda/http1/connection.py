"""One client's connection: what it asked for (`reading`) is answered in order, in one piece or streamed."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, cast

from .message import CutShort, Request, Response, encode_head
from .reading import PIPELINE_MAX, Reading

if TYPE_CHECKING:
    from .server import Server

log = logging.getLogger(__name__)

#: Bodies up to this size are sent in one piece with their head.
_JOINED_MAX_BYTES = 64 * 1024
_FAILED = Response(500, [("Content-Type", "text/plain")], b"internal error; see the engine's log\n")


class Connection(Reading):
    """One client's connection."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._loop = asyncio.get_running_loop()
        #: The request that is being answered, and whether the connection may go on after it.
        self._current: Request | None = None
        self._keep_alive = True
        #: Drives the coroutines that answer: one for all of them, as making one costs more than most answers.
        self.task: asyncio.Task[None] | None = None
        #: Takes the next of them, while the task has none.
        self._handed: asyncio.Future[Awaitable[Response]] | None = None
        self._drained: asyncio.Future[None] | None = None

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
        self._server.stalling.pop(self, None)
        self._waiting.clear()
        if not self._driven:
            self._current = None
            if self._handed is not None:
                self._handed.cancel()
        self._wake_writer()
        if self._incoming is not None:
            self._incoming.fail()
        if self._server.closing:
            self._server.went_idle()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._wake_writer()
        self._drained = None
        self._serve_waiting()

    def _wake_writer(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # --- serving

    @property
    def answering(self) -> bool:
        """True while a request of this connection waits for its answer."""
        return self._current is not None or bool(self._waiting)

    @property
    def busy(self) -> bool:
        """True while a request of this connection is being answered or has come in part."""
        return self.answering or self._in_message

    @property
    def _driven(self) -> bool:
        """True while the task answers."""
        return self.task is not None and self._handed is None

    def _serve_waiting(self) -> None:
        """Begin with what waits, unless something is being answered."""
        if self._waiting and self._current is None and not self._driven:
            self._serve()

    def _serve(self) -> None:
        """Begin with what waits; nothing is being answered now."""
        made = self._begin()
        if made is None:
            return
        handed, self._handed = self._handed, None
        if handed is None:
            self.task = self._loop.create_task(self._drive(made))
        else:
            handed.set_result(made)

    def _begin(self) -> Awaitable[Response] | None:
        """Answer the requests that can be answered at once; the first that can't is returned, if it takes a task."""
        while self._waiting and self._drained is None:
            self._current, self._keep_alive = self._waiting.popleft()
            try:
                made = self._server.handler(self._current)
            except Exception:
                log.exception("handler failed: %s %s", self._current.method, self._current.path)
                made = _FAILED
            if made is None:
                return None
            if not isinstance(made, Response):
                return made
            if not isinstance(made.body, bytes):
                return _ready(made)
            self._write(made)
        return None

    async def _drive(self, made: Awaitable[Response]) -> None:
        """Answer for as long as the connection lasts."""
        try:
            while True:
                await self._wait(made)
                if self.closed:
                    return
                self._handed = self._loop.create_future()
                made = await self._handed
        finally:
            self.task = self._handed = None

    async def _wait(self, made: Awaitable[Response] | None) -> None:
        """Answer this request, and those that came meanwhile."""
        request = self._current
        try:
            while made is not None and request is not None:
                try:
                    response = await made
                except Exception:
                    log.exception("handler failed: %s %s", request.method, request.path)
                    response = _FAILED
                if isinstance(response.body, bytes):
                    self._write(response)
                else:
                    await self._stream(request, response, response.body)
                if self._drained is not None:
                    await self._drained
                made = self._begin()
                request = self._current
        finally:
            if made is not None:
                self._current = None  # cancelled: the server closes, or something tore the task down
                self.close()

    def answer(self, response: Response) -> bool:
        """Answer the request that a handler has left to somebody else; the body must be bytes.

        Returns:
            False when nobody is there any more to read it.
        """
        if self._current is None or self._driven:
            return False
        written = self._write(response)
        if self._waiting:
            self._serve()
        return written

    def _write(self, response: Response) -> bool:
        """Head and body in one go; False when the client has gone."""
        request, transport = self._current, self._transport
        self._current = None
        if request is None or transport is None or self.closed or transport.is_closing():
            return False
        keep_alive = self._goes_on(response)
        body = response.body
        assert isinstance(body, bytes)
        try:
            head = encode_head(response.status, response.headers, len(body), close=not keep_alive)
        except ValueError:
            log.exception("answer to %s %s can't be sent", request.method, request.path)
            body = cast(bytes, _FAILED.body)
            head = encode_head(_FAILED.status, _FAILED.headers, len(body), close=not keep_alive)
        if request.method == "HEAD":
            if response.length is not None:
                head = encode_head(response.status, response.headers, response.length, close=not keep_alive)
            transport.write(head)
        elif len(body) <= _JOINED_MAX_BYTES:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        self._answered(keep_alive)
        return True

    def _goes_on(self, response: Response) -> bool:
        cut_short = self._incoming is not None  # answered before the request was whole
        return self._keep_alive and not (response.close or self._refused or self._server.closing or cut_short)

    def _answered(self, keep_alive: bool) -> None:
        if not keep_alive:
            self._waiting.clear()
            if self._incoming is not None and self._incoming.asked_for:
                self._incoming.discard()  # closed while the client still sends, it would not read the answer
            else:
                self.close()
        elif not self._reading and len(self._waiting) <= PIPELINE_MAX // 2 and self._transport:
            self._reading = True
            self._transport.resume_reading()
        if self._server.closing:
            self._server.went_idle()

    async def _stream(self, request: Request, response: Response, body: AsyncIterator[bytes]) -> None:
        transport = self._transport
        try:
            if transport is None or self.closed:
                return
            keep_alive = self._goes_on(response)
            transport.write(encode_head(response.status, response.headers, response.length, close=not keep_alive))
            if request.method != "HEAD" and not await self._send(transport, body, response.length):
                return
        except Exception as exc:
            if not isinstance(exc, CutShort):
                log.exception("streamed response failed: %s %s", request.method, request.path)
            if transport is not None:
                transport.abort()  # a missing last chunk tells the client that the body is cut short
        else:
            self._current = None
            self._answered(keep_alive)
        finally:
            self._current = None
            await _close_stream(body)

    async def _send(self, transport: asyncio.Transport, body: AsyncIterator[bytes], length: int | None) -> bool:
        """A body as it comes; False when the client has gone."""
        sent = 0
        async for chunk in body:
            if transport.is_closing():
                return False
            if chunk:
                transport.write(chunk if length is not None else b"%x\r\n%s\r\n" % (len(chunk), chunk))
                sent += len(chunk)
            if self._drained is not None:
                await self._drained
        if length is None:
            transport.write(b"0\r\n\r\n")
        elif sent != length:
            raise ValueError(f"{sent} bytes of {length}")
        return True

    def close(self) -> None:
        """Close after what was written has gone out."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def refuse(self, status: int, message: str) -> None:
        """Answer what can't be read, unless another answer is under way, and close."""
        self._refused = True
        method, path = self._parser.get_method().decode("latin-1"), self._url.decode("latin-1").partition("?")[0]
        for callback in self._server.on_refused:
            callback(method, path, status)
        if self._transport is not None and not self.answering:
            body = (message + "\n").encode()
            self._transport.write(encode_head(status, [("Content-Type", "text/plain")], len(body), close=True) + body)
        self.close()


async def _ready(response: Response) -> Response:
    return response


async def _close_stream(body: AsyncIterator[bytes]) -> None:
    closer = getattr(body, "aclose", None)
    if closer is not None:
        await closer()
