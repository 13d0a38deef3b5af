"""What becomes of sandboxes when Docker itself stops, dies, or comes back: tried on an engine of the test's own."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.docker.client import DockerClient
from jupyter_lambda.sandbox.docker.scratch import unmount_below

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif("os.geteuid() != 0 or not shutil.which('dockerd')", reason="starts a Docker engine of its own"),
]


class Daemon:
    """A Docker engine beside the host's, with a directory and a network namespace of its own.

    The namespace is needed: an engine without a bridge removes the bridge of the host's engine at its start.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.url = f"unix://{directory}/docker.sock"
        self._name = f"test{secrets.token_hex(4)}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        name = self._name
        command = ["unshare", "--net", "dockerd", "--data-root", f"{self._directory}/data",
                   "--exec-root", f"{self._directory}/exec", "--pidfile", f"{self._directory}/pid", "--host", self.url,
                   "--bridge=none", "--iptables=false", "--ip6tables=false", "--containerd-namespace", name,
                   "--containerd-plugins-namespace", f"{name}p", "--shutdown-timeout", "2"]  # fmt: skip
        with (self._directory / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            client = DockerClient(self.url)
            try:
                await client.connect()
            except DriverError:
                await asyncio.sleep(0.1)
            else:
                return
            finally:
                client.close()
        raise AssertionError((self._directory / "log").read_text()[-2000:])

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            await self._process.wait()
            self._process = None
            # Else a killed engine's successor waits for its containerd, which went with it.
            (self._directory / "exec/containerd/containerd.pid").unlink(missing_ok=True)


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    directory = Path(tempfile.mkdtemp(prefix="jl-dockerd-"))
    daemon = Daemon(directory)
    await daemon.start()
    try:
        yield daemon
    finally:
        await daemon.stop()
        unmount_below(directory)
        shutil.rmtree(directory)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_restart_is_no_fault_of_the_function(
    make_bench: Any, daemon: Daemon, tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", daemon.url)
    bench = make_bench(tmp_path / "state")
    await bench.driver.open()
    try:
        sandbox = await bench.start()
        running = asyncio.ensure_future(bench.invoke(sandbox, {"source": "time.sleep(60)"}, timeout_s=60))
        await asyncio.sleep(0.2)
        await daemon.stop(number)
        with pytest.raises(DriverError, match="can't be reached"):
            await bench.start()
        await daemon.start()
        outcome = await asyncio.wait_for(running, 30)
        assert outcome.kind == "system"
        assert outcome.exit.system
        await sandbox.close()
        assert await bench.run(await bench.start(), "result = 'works again'") == "works again"
    finally:
        await bench.close()
    assert os.listdir(tmp_path / "state" / "sandboxes") == []  # noqa: PTH208


async def test_a_hanging_engine_does_not_hang_us(
    make_bench: Any, daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", daemon.url)
    monkeypatch.setattr("jupyter_lambda.sandbox.docker.client.CONNECT_TIMEOUT_S", 1)
    bench = make_bench(tmp_path / "state")
    assert daemon._process is not None
    daemon._process.send_signal(signal.SIGSTOP)
    try:
        before = time.monotonic()
        with pytest.raises(DriverError, match="did not answer in time"):
            await bench.driver.open()
        assert time.monotonic() - before < 5
    finally:
        daemon._process.send_signal(signal.SIGCONT)
        await bench.driver.close()
