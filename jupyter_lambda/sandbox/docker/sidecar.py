"""The container beside an image's function that gives it the Runtime API on its loopback interface.

An image may hold no interpreter of ours, so nothing of ours can listen inside it. This container owns the network
namespace, listens there on 127.0.0.1:9001, and passes everything to the engine's Unix socket; the function's container
joins the namespace and nothing else of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.base import Exit
from jupyter_lambda.sandbox.docker.layout import Layout
from jupyter_lambda.sandbox.docker.profile import ContainerSpec, Mount

#: Where functions find the Runtime API and AWS's endpoint.
ADDRESS = "127.0.0.1:9001"
#: Enough for an interpreter and a few megabytes in flight.
MEMORY_MB = 64
PIDS_MAX = 256
#: Seconds it may take to listen.
READY_TIMEOUT_S = 20.0
_READY = "ready"

_SCRIPT = f"""
import sys
sys.path.insert(0, "/var/runtime")
import _socket, forward
def connect():
    stream = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    stream.connect("/run/jl/api.sock")
    return stream
listener = forward.listen("{ADDRESS}")
with open("/run/jl/{_READY}", "wb", buffering=0) as ready:
    ready.write(b"1")
forward.serve(listener, connect)
"""


def sidecar_spec(
    image: str, uid: int, layout: Layout, mounts: tuple[Mount, ...], network: str, labels: Mapping[str, str]
) -> ContainerSpec:
    """The sidecar of one sandbox.

    Args:
        mounts: The system's, the runtime's and the run directory's.
    """
    return ContainerSpec(
        image=image,
        uid=uid,
        memory_mb=MEMORY_MB,
        environment={"PATH": "/usr/bin:/bin"},
        labels=labels,
        mounts=(*mounts, *layout.mounts),
        network=network,
        entry_point=[layout.executable, "-I", "-S", "-c", _SCRIPT],
        pids_max=PIDS_MAX,
        tmpfs_mb=1,
        # Its share while others want the CPU too is small, but an answer of 6 MB must not crawl through it.
        extra_host_config={"CpuQuota": 0, "CpuShares": 256},
    )


class Readiness(AbstractContextManager["Readiness"]):
    """A FIFO by which the sidecar says that it listens."""

    def __init__(self, run: Path, uid: int) -> None:
        path = run / _READY
        os.mkfifo(path, 0o600)
        if os.geteuid() == 0:
            os.chown(path, uid, uid)
        else:
            path.chmod(0o666)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    async def wait(self, ended: asyncio.Future[Exit]) -> None:
        """Until it listens.

        Args:
            ended: Done when the sidecar has ended.
        Raises:
            DriverError: It ended instead, or took too long.
        """
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[object] = loop.create_future()

        def readable() -> None:
            loop.remove_reader(self._fd)
            if not ready.done():
                ready.set_result(None)

        loop.add_reader(self._fd, readable)
        try:
            either: list[asyncio.Future[Any]] = [ready, ended]
            await asyncio.wait(either, timeout=READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(self._fd)
        if not ready.done():
            what = f"ended ({ended.result()})" if ended.done() else f"did not listen within {READY_TIMEOUT_S:.0f} s"
            raise DriverError(f"the forwarder of an image's function {what}")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
