"""``GET /_jupyter_lambda/live`` of an engine with the real service, read as the Jupyter server reads it."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest

from jupyter_lambda.connection import Connection
from jupyter_lambda.server.subscription import subscribe

from .conftest import REGION


@pytest.fixture
def connection(engine) -> Connection:
    owner = engine.service.credentials.owner
    return Connection(engine.url, REGION, owner.access_key, owner.secret_key)


async def until(batches: Any, wanted: Any) -> list[dict[str, Any]]:
    """Events up to the first that is wanted."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while not any(wanted(event) for event in found):
            found += (await anext(batches)).get("events", [])
    return found


async def test_a_function_is_made_fails_and_is_deleted(engine, connection, client, make, name):
    async with aclosing(subscribe(connection, None, None)) as batches:
        first = await anext(batches)
        assert first["epoch"] == engine.service.store.epoch
        assert first["reset"]["engine"]["driver"] == "docker"
        await asyncio.to_thread(make)
        await asyncio.to_thread(client.invoke, FunctionName=name, Payload=b"{}")
        failed = await asyncio.to_thread(client.invoke, FunctionName=name, Payload=b'{"fail": "x"}')
        request_id = failed["ResponseMetadata"]["RequestId"]
        await asyncio.to_thread(client.delete_function, FunctionName=name)
        events = [e for e in await until(batches, lambda e: e.get("change") == "deleted") if e["function"] == name]
    told = [(event["kind"], event.get("change") or event.get("status") or event.get("state")) for event in events]
    expected = [("function", "created"), ("environment", "starting"), ("environment", "ready"), ("began", None)]
    expected += [("ended", "success"), ("began", None), ("ended", "error"), ("function", "deleted")]
    assert [one for one in told if one != ("environment", "gone")] == expected
    ended = [event for event in events if event["kind"] == "ended"]
    assert [event["cold"] for event in ended] == [True, False]
    assert ended[1]["request_id"] == request_id
    async with aclosing(subscribe(connection, None, None)) as batches:
        totals = (await anext(batches))["reset"]["totals"][name]
    assert (totals["invocations"], totals["errors"], totals["cold"]) == (2, 1, 1)


async def test_it_goes_on_where_it_stopped(connection, client, make, name):
    await asyncio.to_thread(make)
    async with aclosing(subscribe(connection, None, None)) as batches:
        first = await anext(batches)
    ids = []
    for _ in range(5):
        answer = await asyncio.to_thread(client.invoke, FunctionName=name, Payload=b"{}")
        ids.append(answer["ResponseMetadata"]["RequestId"])
    async with aclosing(subscribe(connection, first["seq"], first["epoch"])) as batches:
        assert "reset" not in await anext(batches)
        events = await until(batches, lambda e: e["kind"] == "ended" and e["request_id"] == ids[-1])
    assert [event["request_id"] for event in events if event["kind"] == "ended"] == ids


def test_only_the_owner_may_listen_and_after_is_a_number(engine):
    assert engine.raw("GET", "/_jupyter_lambda/live")[0] == 403
    status, _, body = engine.signed("GET", "/_jupyter_lambda/live?after=-1")
    assert status == 400
    assert "after" in json.loads(body)["message"]


async def test_schedules_that_change_are_told(engine, connection, name):
    async with aclosing(subscribe(connection, None, None)) as batches:
        await anext(batches)
        engine.loop.call_soon_threadsafe(engine.triggers.schedules.clockwork.changed)
        assert await until(batches, lambda event: event["kind"] == "schedules")
