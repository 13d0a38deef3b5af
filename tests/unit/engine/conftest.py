"""A real store and service on sandboxes made of coroutines: no process, no container, no waiting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from jupyter_lambda.engine.credentials import Credentials
from jupyter_lambda.engine.runtimes import Runtimes
from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.engine.settings import EngineSettings
from jupyter_lambda.model.arn import Account
from jupyter_lambda.model.function import Function, FunctionVersion
from jupyter_lambda.sandbox.base import Exit, GenericSpec, InitOutcome, RuntimeEvent, SandboxOutcome, SandboxSpec
from jupyter_lambda.store import Store


class FakeDriver:
    name, isolated = "fake", False
    can_prepare = False


Behaviour = Callable[["FakeSandbox", RuntimeEvent], Awaitable[SandboxOutcome]]


def answer(data: object) -> SandboxOutcome:
    return SandboxOutcome("response", json.dumps(data).encode(), 1.0)


async def echo(sandbox: FakeSandbox, event: RuntimeEvent) -> SandboxOutcome:
    return answer(json.loads(event.payload))


class FakeSandbox:
    """Runs ``behaviour`` for each event."""

    def __init__(self, spec: SandboxSpec | GenericSpec, factory: FakeSandboxes, sink) -> None:
        self.spec, self.sandbox_id, self.sink = spec, spec.sandbox_id, sink
        self.factory = factory
        self.exited = asyncio.get_running_loop().create_future()
        self.busy = False
        self.closed = False
        self.frozen = False
        self.cancelled = asyncio.Event()

    async def init(self, timeout_s: float) -> InitOutcome:
        await self.factory.gate.wait()
        return self.factory.init_outcomes.pop(0) if self.factory.init_outcomes else InitOutcome("ready", 5.0)

    async def invoke(self, event: RuntimeEvent, timeout_s: float) -> SandboxOutcome:
        assert not self.busy, "two invocations in one environment"
        assert not self.closed
        assert not self.frozen
        self.busy = True
        try:
            return await self.factory.behaviour(self, event)
        finally:
            self.busy = False

    async def cancel(self, request_id: str | None = None) -> None:
        self.cancelled.set()

    async def adopt(self, spec: SandboxSpec, sink) -> None:
        if self.factory.adopt_errors:
            raise self.factory.adopt_errors.pop(0)
        assert isinstance(self.spec, GenericSpec)
        assert not self.frozen
        assert spec.sandbox_id == self.sandbox_id
        self.preloaded = self.spec.imports
        self.spec, self.sink = spec, sink

    async def freeze(self) -> None:
        await self.factory.freeze_gate.wait()
        self.frozen = True

    async def thaw(self) -> None:
        if self.factory.thaw_errors:
            raise self.factory.thaw_errors.pop(0)
        self.frozen = False

    async def close(self) -> None:
        self.closed = True
        if not self.exited.done():
            self.exited.set_result(Exit(None, 9))

    def log_tail(self, request_id: str) -> bytes:
        return b"output\n"


class FakeSandboxes:
    def __init__(self) -> None:
        self.started: list[FakeSandbox] = []
        self.behaviour: Behaviour = echo
        self.init_outcomes: list[InitOutcome] = []
        self.start_errors: list[Exception] = []
        self.adopt_errors: list[Exception] = []
        self.thaw_errors: list[Exception] = []
        self.prepare_errors: list[Exception] = []
        self.prepared: list[FakeSandbox] = []
        self.driver = FakeDriver()
        self.gate = asyncio.Event()
        self.gate.set()
        self.freeze_gate = asyncio.Event()
        self.freeze_gate.set()

    async def start(self, spec: SandboxSpec, sink) -> FakeSandbox:
        if self.start_errors:
            raise self.start_errors.pop(0)
        sandbox = FakeSandbox(spec, self, sink)
        self.started.append(sandbox)
        return sandbox

    async def prepare(self, spec: GenericSpec) -> FakeSandbox:
        if self.prepare_errors:
            raise self.prepare_errors.pop(0)
        sandbox = FakeSandbox(spec, self, None)
        self.prepared.append(sandbox)
        return sandbox

    def can_adopt(self, spec: SandboxSpec, imports: tuple[str, ...]) -> bool:
        return not any(name.startswith("LD_") for name in spec.environment)

    @property
    def alive(self) -> list[FakeSandbox]:
        return [s for s in [*self.started, *self.prepared] if not s.closed]


class FakePackages:
    """Every package is unpacked already."""


@pytest.fixture
def settings(tmp_path) -> EngineSettings:
    import sys
    from pathlib import Path

    return EngineSettings(
        account=Account(),
        memory_budget_mb=100_000,
        event_retry_delays_s=(0.0, 0.0),
        event_backoff_s=(0.01, 0.05),
        interpreters=(Path(sys.executable),),
    )


@pytest.fixture
def sandboxes() -> FakeSandboxes:
    return FakeSandboxes()


@pytest.fixture
async def store(tmp_path):
    store = await Store.open(tmp_path / "state")
    yield store
    await store.close()


@pytest.fixture
async def make_service(tmp_path, settings, sandboxes, store):
    running: list[LambdaService] = []

    async def make(**changes) -> LambdaService:
        chosen = replace(settings, **changes)
        service = LambdaService(
            chosen,
            store,
            sandboxes,  # type: ignore[arg-type]
            sandboxes.driver,  # type: ignore[arg-type]
            Credentials.load(store.state_dir, account=chosen.account),
            Runtimes(chosen),
        )
        running.append(service)
        return await service.__aenter__()

    yield make
    for service in running:
        await service.__aexit__(None, None, None)


@pytest.fixture
async def service(make_service) -> LambdaService:
    return await make_service()


def version_of(name: str = "f", **changes) -> FunctionVersion:
    values = {
        "name": name,
        "version": "$LATEST",
        "role": "arn:aws:iam::000000000000:role/r",
        "last_modified": "2026-11-23T08:44:39.000+0000",
        "revision_id": "r1",
        "code_sha256": "0" * 64,
        "package_type": "Image",
        "image_uri": "i",
        "timeout_s": 3,
    }
    return FunctionVersion(**(values | changes))


@pytest.fixture
async def function(store) -> Function:
    function = Function("f", version_of())
    await store.functions.create(function)
    return function
