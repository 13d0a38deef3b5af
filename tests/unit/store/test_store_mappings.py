"""Event source mappings and their positions on disk."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jupyter_lambda.errors import ResourceConflictException, ResourceNotFoundException
from jupyter_lambda.model.mapping import EventSourceMapping, Options
from jupyter_lambda.store import Store

ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/clicks"
OPTIONS = Options(100, starting_position="LATEST", filters=("{}",), metrics=("EventCount",), on_failure_arn="arn:x")


def mapping(uuid: str = "u1", **changes: object) -> EventSourceMapping:
    made = EventSourceMapping(uuid, "kinesis", ARN, "f", None, OPTIONS, "Creating", "User action", 1.5, tags={"a": "1"})
    return replace(made, **changes)  # type: ignore[arg-type]


async def test_a_mapping_comes_back_whole(store, tmp_path):
    await store.mappings.add(mapping())
    await store.mappings.save_shards("u1", {"s": {"after": 10**56}})
    store.mappings.result("u1", "OK")
    await store.close()
    again = await Store.open(store.state_dir)
    try:
        assert again.mappings.get("u1") == mapping(last_result="OK")
        assert again.mappings.shards("u1") == {"s": {"after": 10**56}}
    finally:
        await again.close()


async def test_a_function_reads_a_source_once(store):
    await store.mappings.add(mapping())
    with pytest.raises(ResourceConflictException, match="UUID u1"):
        await store.mappings.add(mapping("u2"))
    await store.mappings.add(mapping("u2", qualifier="live"))
    await store.mappings.add(mapping("u3", function_name="g"))
    assert [one.uuid for one in store.mappings.all()] == ["u1", "u2", "u3"]


async def test_a_state_moves_only_from_where_it_was(store):
    await store.mappings.add(mapping())
    assert await store.mappings.move("u1", "Creating", "Enabled", "User action")
    assert not await store.mappings.move("u1", "Creating", "Disabled", "User action")
    assert store.mappings.get("u1").state == "Enabled"


async def test_tags_leave_the_state_alone(store):
    await store.mappings.add(mapping())
    moving = store.mappings.move("u1", "Creating", "Enabled", "User action")
    await store.mappings.retag("u1", {"b": "2"})
    await moving
    found = store.mappings.get("u1")
    assert (found.state, found.tags, found.options) == ("Enabled", {"b": "2"}, OPTIONS)


async def test_a_change_keeps_the_last_result(store):
    await store.mappings.add(mapping())
    before = store.mappings.get("u1")
    store.mappings.result("u1", "OK")
    await store.mappings.put(replace(before, state="Updating"))
    found = store.mappings.get("u1")
    assert (found.state, found.last_result) == ("Updating", "OK")


async def test_what_is_gone_does_not_come_back(store):
    await store.mappings.add(mapping())
    await store.mappings.save_shards("u1", {"a": {}, "b": {}})
    await store.mappings.save_shards("u1", {"c": {}}, forget=["a"])
    assert set(store.mappings.shards("u1")) == {"b", "c"}
    await store.mappings.remove("u1")
    assert store.mappings.shards("u1") == {}
    with pytest.raises(ResourceNotFoundException):
        await store.mappings.put(mapping())
    with pytest.raises(ResourceNotFoundException):
        await store.mappings.retag("u1", {})
    store.mappings.result("u1", "OK")
    assert store.mappings.all() == []
