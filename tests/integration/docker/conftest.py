"""A Docker driver of a throw-away installation, and functions that do what a test tells them."""

from __future__ import annotations

import importlib.util
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import docker
import pytest

from jupyter_lambda.sandbox.base import RuntimeEvent, SandboxOutcome, SandboxSettings, SandboxSpec
from jupyter_lambda.sandbox.docker import DockerDriver
from jupyter_lambda.sandbox.sandbox import Sandbox
from jupyter_lambda.sandbox.sandboxes import Sandboxes

#: A handler that runs the event's source; what it calls ``result`` is the answer.
OBEDIENT = '''
import ctypes, errno, json, os, socket, subprocess, sys, time

def attempt(action):
    """"done", or the name of the error number by which it was refused."""
    try:
        action()
    except OSError as exc:
        return errno.errorcode.get(exc.errno, type(exc).__name__)
    return "done"

def call(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    if libc.syscall(number, *arguments) < 0:
        return errno.errorcode[ctypes.get_errno()]
    return "done"

def handler(event, context):
    scope = dict(globals())
    exec(event["source"], scope)
    return scope.get("result")
'''


class Bench:
    """One driver with its sandboxes, and a short way to run code in one."""

    def __init__(self, state_dir: Path, installation_id: str | None = None) -> None:
        self.state_dir = state_dir
        self.settings = SandboxSettings(state_dir, installation_id or secrets.token_hex(16), secrets.token_hex(8))
        self.driver = DockerDriver(self.settings)
        self.sandboxes = Sandboxes(self.driver, state_dir)
        self.output: list[bytes] = []
        self.code = state_dir / "packages" / "obedient"
        if not self.code.exists():
            self.code.mkdir(parents=True)
            (self.code / "app.py").write_text(OBEDIENT)

    def spec(self, **changes: Any) -> SandboxSpec:
        values: dict[str, Any] = {
            "sandbox_id": secrets.token_hex(8), "function_name": "f", "version": "$LATEST", "memory_mb": 256,
            "ephemeral_storage_mb": 512, "handler": "app.handler", "environment": {}, "code_dir": self.code,
            "interpreter": Path(sys.executable), **changes,
        }  # fmt: skip
        return SandboxSpec(**values)

    async def start(self, **changes: Any) -> Sandbox:
        """Start a sandbox and see it initialised."""
        sandbox = await self.sandboxes.start(self.spec(**changes), lambda _, data: self.output.append(data))
        outcome = await sandbox.init()
        assert outcome.kind == "ready", (outcome, self.output)
        return sandbox

    async def invoke(self, sandbox: Sandbox, payload: object, timeout_s: float = 20) -> SandboxOutcome:
        deadline = int((time.time() + timeout_s) * 1000)
        event = RuntimeEvent(secrets.token_hex(8), json.dumps(payload).encode(), "arn:aws:lambda:::f", deadline)
        return await sandbox.invoke(event, timeout_s)

    async def run(self, sandbox: Sandbox, source: str, timeout_s: float = 20) -> Any:
        """What the source calls ``result``."""
        outcome = await self.invoke(sandbox, {"source": source}, timeout_s)
        assert outcome.kind == "response", (outcome, self.output)
        return json.loads(outcome.payload)

    def process(self, sandbox: Sandbox) -> Any:
        return sandbox._process

    async def close(self) -> None:
        await self.sandboxes.close()
        await self.driver.close()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path / "state")
    await bench.driver.open()
    try:
        yield bench
    finally:
        await bench.close()


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    return Bench


@pytest.fixture
def api() -> Iterator[docker.APIClient]:
    """Docker's own word, past our driver."""
    with closing(docker.APIClient(version="auto", timeout=30)) as client:
        yield client


@pytest.fixture(scope="session")
def function_image() -> str:
    """An image with the official awslambdaric, made here."""
    path = Path(__file__).parents[2] / "docker_image" / "build.py"
    spec = importlib.util.spec_from_file_location("docker_image_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    name: str = module.build()
    return name
