"""The server: sockets, limits, and one coarse timer for all connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from .connection import Connection
from .message import DirectHandler
from .reading import Reading

#: Seconds a peer may take from its first byte to the end of its headers and body, without sending anything; it is
#: noticed up to a quarter later.
STALL_TIMEOUT_S = 60.0


class Server:
    """Listens on TCP or on a Unix socket and gives each request to ``handler``."""

    def __init__(
        self,
        handler: DirectHandler,
        *,
        max_body_bytes: int = 80 * 1024 * 1024,
        max_connections: int | None = None,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        protocol: Callable[[Server], Connection] = Connection,
    ) -> None:
        """
        Args:
            protocol: Makes the protocol of each connection: a subclass may read what is usual on its own.
        """
        self.handler = handler
        self._protocol = protocol
        self.max_body_bytes = max_body_bytes
        #: Decides by method, target and headers whether a request that has come in part is handed on before its body is
        #: whole; None: never.
        self.streams: Callable[[bytes, bytes, list[tuple[bytes, bytes]]], bool] | None = None
        self.stall_timeout_s = stall_timeout_s
        #: More than these are closed as they come; None: no limit but the process's.
        self.max_connections = max_connections
        self.connections: set[Connection] = set()
        #: Connections whose request has come in part → when more of it came last, in the loop's time.
        self.stalling: dict[Reading, float] = {}
        #: Called with method, path and status of each request that the server itself refused (too large, malformed).
        self.on_refused: list[Callable[[str, str, int], None]] = []
        self.closing = False
        self._listeners: list[asyncio.Server] = []
        self._stall_timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.Event | None = None

    async def listen_tcp(self, host: str, port: int) -> tuple[str, int]:
        """Listen; returns the address (port 0 chooses one)."""
        listener = await asyncio.get_running_loop().create_server(
            lambda: self._protocol(self), host, port, backlog=2048
        )
        self._listeners.append(listener)
        name = listener.sockets[0].getsockname()
        return name[0], name[1]

    async def listen_unix(self, path: Path, *, mode: int = 0o600) -> None:
        """Listen on a Unix socket, replacing what an earlier process left at ``path``."""
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - a local file system's directory entry
        listener = await asyncio.get_running_loop().create_unix_server(
            lambda: self._protocol(self), str(path), backlog=128, start_serving=False
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
        if grace_s > 0 and any(c.answering for c in self.connections):
            self._idle = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), grace_s)
        tasks = [c.task for c in self.connections if c.task is not None]
        for connection in list(self.connections):
            connection.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._stall_timer is not None:
            self._stall_timer.cancel()

    def went_idle(self) -> None:
        """A connection has answered its request or gone: tell ``close`` when it was the last."""
        if self._idle is not None and not any(c.answering for c in self.connections):
            self._idle.set()

    def watch(self, connection: Reading) -> None:
        """A request has come in part: it must not stall. One coarse timer serves all connections."""
        loop = asyncio.get_running_loop()
        self.stalling[connection] = loop.time()
        if self._stall_timer is None:
            self._stall_timer = loop.call_later(self.stall_timeout_s / 4, self._check_stalled)

    def _check_stalled(self) -> None:
        self._stall_timer = None
        loop = asyncio.get_running_loop()
        late = loop.time() - self.stall_timeout_s
        for connection in [c for c, since in self.stalling.items() if since <= late]:
            del self.stalling[connection]
            connection.refuse(408, "the request did not arrive in time")
        if self.stalling and not self.closing:
            self._stall_timer = loop.call_later(self.stall_timeout_s / 4, self._check_stalled)
