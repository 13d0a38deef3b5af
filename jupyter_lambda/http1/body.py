"""A request's body that is too large to wait for: it is read as it comes, and the client waits for its reader."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

#: Bytes that may wait for their reader before no more is read from the client.
_AHEAD_MAX_BYTES = 256 * 1024
#: Bytes of one streamed body. Source: Amazon S3 User Guide, "Uploading objects": 5 GB in a single PUT.
STREAM_MAX_BYTES = 5 * 1024**3
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class BrokenBody(ConnectionError):
    """The client has gone before its request was whole."""


class IncomingBody:
    """Fed by the connection, read once by the handler with ``async for``."""

    def __init__(
        self, transport: asyncio.Transport, *, expects_continue: bool, flowing: Callable[[bool], None]
    ) -> None:
        """
        Args:
            expects_continue: The client waits to be told that somebody reads.
            flowing: Told False when the client is made to wait, and True when it may go on.
        """
        self._transport = transport
        self._expected = expects_continue
        self._flowing = flowing
        self._chunks: deque[bytes] = deque()
        self._ahead_bytes = 0
        self._paused = self._ended = self._discarding = False
        self._error: Exception | None = None
        self._more: asyncio.Future[None] | None = None

    @property
    def asked_for(self) -> bool:
        """False while the client still waits to be told to send."""
        return not self._expected

    @property
    def discarding(self) -> bool:
        """True when nobody reads what still comes."""
        return self._discarding

    @property
    def paused(self) -> bool:
        """True while the client is made to wait."""
        return self._paused

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            BrokenBody: The client has gone.
        """
        if self._expected:
            self._expected = False
            self._transport.write(_CONTINUE)
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._ahead_bytes -= len(chunk)
                if self._paused and self._ahead_bytes <= _AHEAD_MAX_BYTES // 2:
                    self._pause(False)
                yield chunk
            if self._ended:
                return
            if self._error is not None:
                raise self._error
            self._more = asyncio.get_running_loop().create_future()
            await self._more

    def discard(self) -> None:
        """Nobody reads any more: what still comes is dropped."""
        self._discarding = True
        self._chunks.clear()
        self._ahead_bytes = 0
        if self._paused:
            self._pause(False)

    # --- the connection's side

    def feed(self, data: bytes) -> None:
        """A part has come."""
        if self._discarding:
            return
        self._expected = False  # it did not wait to be told
        self._chunks.append(data)
        self._ahead_bytes += len(data)
        if self._ahead_bytes > _AHEAD_MAX_BYTES and not self._paused:
            self._pause(True)
        self._wake()

    def end(self) -> None:
        """All of it has come."""
        self._ended = True
        self._wake()

    def fail(self) -> None:
        """The client has gone."""
        self._error = BrokenBody("the client has gone before its request was whole")
        self._wake()

    def _pause(self, wanted: bool) -> None:
        self._paused = wanted
        if self._transport.is_closing():
            return
        if wanted:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
        self._flowing(not wanted)

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)
