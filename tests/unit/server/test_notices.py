"""Failures of scheduled runs reach whoever listens to the server: each once, and nobody is asked for nothing."""

from __future__ import annotations

import asyncio
import json

import pytest

from jupyter_lambda.server import notices
from jupyter_lambda.server.notices import SCHEMA_ID

RUN = {
    "run_id": "r1",
    "request_id": "r1",
    "function_name": "report",
    "notebook": "report.ipynb",
    "status": "failed",
    "reason": "cell 3: ValueError: no data",
    "source": "schedule:daily",
    "started_s": 100.0,
    "ended_s": 101.5,
    "files": {"notebook.ipynb": 12, "report.html": 34},
}


@pytest.fixture
def failures(engine, monkeypatch):
    """Sets what the engine says has failed."""
    monkeypatch.setattr(notices.FailureNotices.__init__, "__kwdefaults__", {"look_every_s": 0.02})

    def tell(*runs):
        body = json.dumps({"runs": list(runs), "since_s": 50.0}).encode()
        engine.answers["/_jupyter_lambda/runs"] = (200, {"Content-Type": "application/json"}, [body])

    tell()
    return tell


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def asked(engine) -> list[str]:
    return [seen.path for seen in engine.requests if seen.path.startswith("/_jupyter_lambda/runs")]


async def test_each_failure_is_told_once_to_who_listens(serve, engine, failures):
    server = await serve()
    heard = []

    async def listen(logger, schema_id, data):
        heard.append(data)

    server.app.event_logger.add_listener(schema_id=SCHEMA_ID, listener=listen)
    assert (await server.fetch("lambda/engine/x")).code == 200
    await until(lambda: asked(engine))
    assert asked(engine)[0].endswith("failed_since=seen")
    failures({**RUN, "run_id": "r2", "ended_s": 103.0}, RUN)
    await until(lambda: len(heard) == 2)
    count = len(asked(engine))
    await until(lambda: len(asked(engine)) > count + 2)
    assert [one["run_id"] for one in heard] == ["r1", "r2"]
    assert heard[0] == {
        "run_id": "r1",
        "job": "report",
        "notebook": "report.ipynb",
        "reason": "cell 3: ValueError: no data",
        "source": "schedule:daily",
        "started_s": 100.0,
        "ended_s": 101.5,
        "files": ["notebook.ipynb", "report.html"],
    }
    assert asked(engine)[-1].endswith("failed_since=103.0")


async def test_nobody_is_asked_while_nobody_listens_and_no_engine_is_started(serve, engine, failures):
    server = await serve()
    await asyncio.sleep(0.1)
    assert engine.starts == 0
    assert (await server.fetch("lambda/engine/x")).code == 200
    await asyncio.sleep(0.1)
    assert asked(engine) == []


async def test_an_engine_that_refuses_is_asked_again(serve, engine, failures):
    server = await serve()
    engine.answers["/_jupyter_lambda/runs"] = (500, {}, [b'{"message": "no"}'])

    async def listen(logger, schema_id, data):
        raise AssertionError(data)

    server.app.event_logger.add_listener(schema_id=SCHEMA_ID, listener=listen)
    assert (await server.fetch("lambda/engine/x")).code == 200
    await until(lambda: len(asked(engine)) > 2)
    server.app.event_logger.remove_listener(listener=listen)
