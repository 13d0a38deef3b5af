"""Fixtures of the store's tests."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from jupyter_lambda.model.function import Function, FunctionVersion
from jupyter_lambda.model.invocation import AsyncEvent, InvocationRecord
from jupyter_lambda.store import Store


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now_s = 1_763_887_479.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "state", clock)
    yield opened
    await opened.close()


@pytest.fixture
def make_version() -> Callable[..., FunctionVersion]:
    def make(name: str = "f", version: str = "$LATEST", **fields) -> FunctionVersion:
        defaults = {
            "role": "arn:aws:iam::000000000000:role/r",
            "last_modified": "2026-11-23T08:44:39.000+0000",
            "revision_id": "r1",
            "code_sha256": "sha",
            "code_size": 10,
        }
        return FunctionVersion(name, version, **{**defaults, **fields})

    return make


@pytest.fixture
def make_function(make_version) -> Callable[..., Function]:
    def make(name: str = "f", **fields) -> Function:
        return Function(name, make_version(name), **fields)

    return make


@pytest.fixture
def make_event(clock: Clock) -> Callable[..., AsyncEvent]:
    def make(request_id: str = "e1", **fields) -> AsyncEvent:
        defaults = {
            "function_name": "f",
            "qualifier": "$LATEST",
            "payload": b'{"n": 1}',
            "source": "sdk",
            "enqueued_s": clock(),
        }
        return AsyncEvent(request_id, **{**defaults, **fields})

    return make


@pytest.fixture
def make_record(clock: Clock) -> Callable[..., InvocationRecord]:
    def make(request_id: str = "e1", **fields) -> InvocationRecord:
        defaults = {
            "function_name": "f",
            "version": "$LATEST",
            "source": "sdk",
            "status": "success",
            "received_s": clock(),
            "started_s": clock(),
            "queue_ms": 0.5,
            "init_ms": None,
            "run_ms": 12.0,
            "billed_ms": 100,
            "memory_mb": 128,
            "memory_used_mb": 40,
            "cold": False,
            "gb_s": 0.0125,
        }
        return InvocationRecord(request_id, **{**defaults, **fields})

    return make
