"""What a sandbox writes: read from its FIFO without blocking the engine, attributed to the running invocation."""

from __future__ import annotations

import array
import asyncio
import fcntl
import logging
import os
import termios
from pathlib import Path

from jupyter_lambda.model.limits import LOG_TAIL_BYTES

from .base import LogSink

log = logging.getLogger(__name__)

#: Bytes read at most each time the FIFO is readable; a flood in one sandbox then leaves the others their turn, and the
#: pipe's own buffer holds the writer back.
READ_BYTES = 65_536
#: Bytes read at most when an answer has come: all that a pipe holds by default, so all that was written before it.
DRAIN_BYTES = 4 * READ_BYTES


class LogPipe:
    """The engine's end of a sandbox's output."""

    def __init__(self, sink: LogSink) -> None:
        self._sink = sink
        self._fd: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._request_id: str | None = None
        self._closed = False
        self._tail_id: str | None = None
        self._tail = bytearray()
        self._unread = array.array("i", [0])
        #: The last read took as much as it may: there may be more.
        self._more = False

    def open(self, fifo: Path) -> None:
        """Read ``fifo`` from now on. It is opened for writing too, so that it never ends while writers come and go.

        Raises:
            OSError: No such FIFO, or no file descriptor left.
        """
        self._fd = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)

    def redirect(self, sink: LogSink) -> None:
        """What is written from now on goes to ``sink``; what was before, to the one before."""
        self.drain()
        self._sink = sink

    def begin(self, request_id: str) -> None:
        """What is read from now on belongs to this invocation.

        What its predecessor printed is read by now (see ``end``); what a thread or process in the background prints
        while nothing runs has no order to events that come.
        """
        self._request_id = self._tail_id = request_id
        self._tail.clear()

    def end(self, *, after_log: bool = False) -> None:
        """The invocation is over: take what was written before, leave what comes after to no invocation.

        Args:
            after_log: What was written before has been read already, as far as one read goes.
        """
        if self._more or not after_log:
            self.drain()
        self._request_id = None

    def feed(self, data: bytes) -> None:
        """Output that came another way (a container's attach stream)."""
        if not data or self._closed:
            return
        if self._request_id is not None:
            self._tail += data[-LOG_TAIL_BYTES:]
            if len(self._tail) > LOG_TAIL_BYTES:
                del self._tail[:-LOG_TAIL_BYTES]
        try:
            self._sink(self._request_id, data)
        except Exception:
            log.exception("the log could not be kept")

    def tail(self, request_id: str) -> bytes:
        """The last 4 KB of what the present or last invocation wrote; b"" for any other."""
        return bytes(self._tail) if request_id == self._tail_id else b""

    def drain(self) -> None:
        """Read what is there, but not for ever: another process of the sandbox may go on writing."""
        left = DRAIN_BYTES
        while left > 0 and self._waiting():
            size = self._readable()
            if size == 0:
                return
            left -= size

    def close(self) -> None:
        """Read what is left and let go; what comes afterwards is dropped."""
        if self._fd is not None:
            self.drain()
        self._closed = True
        if self._fd is None:
            return
        assert self._loop is not None
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = None

    def _waiting(self) -> bool:
        # Asked first, as mostly there is nothing, and a read that fails costs three times as much.
        if self._fd is None:
            return False
        fcntl.ioctl(self._fd, termios.FIONREAD, self._unread)
        return self._unread[0] > 0

    def _readable(self) -> int:
        if self._fd is None:
            return 0
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return 0
        self._more = len(data) == READ_BYTES
        self.feed(data)
        return len(data)
