"""What an image's function writes to stdout and stderr: Docker's attach stream, read by the event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from jupyter_lambda.sandbox.docker.client import DockerClient

log = logging.getLogger(__name__)

#: Bytes of a frame's header: stream, three zeros, length. Source: Docker Engine API, "Attach to a container".
_HEADER = 8
_READ_BYTES = 65_536


class Frames:
    """Takes the multiplexed stream in any pieces, gives what is inside."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0

    def feed(self, data: bytes) -> bytes:
        """The payload in ``data``; stdout and stderr in the order in which they came."""
        payload: list[bytes] = []
        while data:
            if self._left:
                piece, data = data[: self._left], data[self._left :]
                self._left -= len(piece)
                payload.append(piece)
                continue
            need = _HEADER - len(self._header)
            self._header, data = self._header + data[:need], data[need:]
            if len(self._header) == _HEADER:
                self._left = int.from_bytes(self._header[4:], "big")
                self._header = b""
        return b"".join(payload)


class OutputStream:
    """The output of one container, from before its start to its end."""

    def __init__(self, connection: socket.socket, sink: Callable[[bytes], None]) -> None:
        self._connection = connection
        self._sink = sink
        self._frames = Frames()
        self._task = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def attach(cls, client: DockerClient, container_id: str, sink: Callable[[bytes], None]) -> OutputStream:
        """Attach to a container that has not been started yet, so that no byte is missed.

        Raises:
            DriverError: Docker refused.
        """

        def connect(api: Any) -> socket.socket:
            stream = api.attach_socket(container_id, {"stdout": 1, "stderr": 1, "stream": 1})
            try:
                connection = socket.socket(fileno=os.dup(stream.fileno()))
            finally:
                stream._response.close()  # docker-py's hold on the HTTP response, of which we want the connection only
            connection.setblocking(False)
            return connection

        return cls(await client.call(f"attach to container {container_id[:12]}", connect), sink)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(self._connection, _READ_BYTES):
                if payload := self._frames.feed(data):
                    self._sink(payload)
        except OSError as exc:
            log.warning("a function's output is cut off: Docker's attach stream failed: %s", exc)
        finally:
            self._connection.close()

    async def finish(self, timeout_s: float) -> None:
        """Read to the end, which comes when the container has ended; at most so long."""
        done, _ = await asyncio.wait({self._task}, timeout=timeout_s)
        if not done:
            await self.close()

    async def close(self) -> None:
        """Stop reading."""
        self._task.cancel()
        await asyncio.wait({self._task})
