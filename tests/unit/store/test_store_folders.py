"""Watched folders in the store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jupyter_lambda.errors import ResourceNotFoundException
from jupyter_lambda.model.folder import File, Folder
from jupyter_lambda.model.invocation import AsyncEvent
from jupyter_lambda.store import folders as module

FOLDER = Folder("1", "f", "/data", "*.csv", deleted=True, content=False, settle_s=2.5, created_s=7.0)


def event(number: int) -> AsyncEvent:
    return AsyncEvent(str(number), "f", "$LATEST", b"{}", "folder:/data", 1.0)


async def test_a_folder_comes_back_as_it_went(store):
    await store.folders.add(FOLDER, {"a": File(1, 2, 3, "ab"), "b": File(4, 5, 6)})
    assert store.folders.all() == [FOLDER]
    assert store.folders.files("1") == {"a": File(1, 2, 3, "ab"), "b": File(4, 5, 6)}
    changed = replace(FOLDER, paused=True, settle_s=1.0)
    await store.folders.change(changed)
    assert store.folders.all() == [changed]
    await store.folders.remove("1")
    assert store.folders.all() == []
    assert store.folders.files("1") == {}
    with pytest.raises(ResourceNotFoundException):
        await store.folders.change(changed)


async def test_events_and_states_are_written_together_or_not_at_all(store):
    await store.folders.add(FOLDER, {"a": File(1, 1, 1), "gone": File(1, 1, 1)})
    told: list[AsyncEvent] = []
    seen = {f"{number}": File(number, 1, 1) for number in range(200)}
    events = [event(number) for number in range(200)]
    assert await store.folders.tell("1", events, seen=seen, gone=["gone"], then=told.extend)
    assert told == events
    assert store.folders.files("1") == {"a": File(1, 1, 1), **seen}
    with pytest.raises(Exception, match="UNIQUE"):  # an id that is in the queue already
        await store.folders.tell("1", [event(5)], seen={"b": File(1, 1, 1)}, gone=["a"], then=told.extend)
    assert "b" not in store.folders.files("1")
    assert "a" in store.folders.files("1")
    await store.folders.remove("1")
    assert not await store.folders.tell("1", [event(900)], seen={"b": File(1, 1, 1)}, then=told.extend)
    assert len(told) == 200
    assert store.events.get("900") is None


@pytest.mark.parametrize("sql", module.STATEMENTS)
async def test_statements_use_an_index(store, sql):
    parameters = ("1",) * sql.count("?")
    plan = store.folders._database.query(f"EXPLAIN QUERY PLAN {sql}", parameters)
    assert all("SEARCH" in row[3] and "SCAN" not in row[3] for row in plan), plan
