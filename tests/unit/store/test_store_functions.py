"""Functions, versions, aliases, layers, invoke configurations, policies."""

import asyncio
from dataclasses import replace

import pytest

from jupyter_lambda.errors import ResourceConflictException, ResourceNotFoundException
from jupyter_lambda.model.function import Alias, EventInvokeConfig, ImageConfig, LayerVersion
from jupyter_lambda.store import Store

ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"


async def reopened(store: Store) -> Store:
    """The same directory with empty caches."""
    await store.close()
    return await Store.open(store.state_dir)


async def test_everything_of_a_function_comes_back(store: Store, make_function, make_version):
    function = make_function(tags={"a": "b"}, reserved_concurrency=0, next_version=4)
    latest = replace(
        function.latest,
        layers=("l1", "l2"),
        environment={"K": "V"},
        image_config=ImageConfig(("/e",), None, "/w"),
        extras={"VpcConfig": {"SubnetIds": ["s"]}},
        network="none",
    )
    function = replace(function, latest=latest)
    await store.functions.create(function)
    assert store.functions.get("f") == function
    store = await reopened(store)
    assert store.functions.get("f") == function
    assert store.functions.version("f", "$LATEST") == latest
    await store.close()


async def test_create_twice_conflicts_also_at_the_same_time(store: Store, make_function):
    results = await asyncio.gather(
        *(store.functions.create(make_function(tags={"n": str(i)})) for i in range(3)), return_exceptions=True
    )
    assert [type(r) for r in results] == [type(None), ResourceConflictException, ResourceConflictException]
    assert store.functions.get("f").tags == {"n": "0"}


async def test_publish_put_and_delete_versions(store: Store, make_function, make_version):
    functions = store.functions
    await functions.create(make_function())
    for number in range(1, 12):
        await functions.publish(make_function(next_version=number + 1), make_version(version=str(number)))
    assert functions.get("f").next_version == 12
    assert [v.version for v in functions.versions("f", None, 4)] == ["$LATEST", "1", "2", "3"]
    assert [v.version for v in functions.versions("f", "9", 4)] == ["10", "11"]
    with pytest.raises(ResourceConflictException, match="Version 3 of f"):
        await functions.publish(make_function(), make_version(version="3"))
    changed = make_version(version="3", state="Inactive")
    await functions.put_version(changed)
    assert functions.version("f", "3") == changed
    await functions.put_version(make_version(state="Pending"))
    assert functions.get("f").latest.state == "Pending"
    assert functions.get("f").next_version == 12
    await functions.delete_version("f", "3")
    assert functions.version("f", "3") is None
    with pytest.raises(ResourceNotFoundException):
        await functions.delete_version("f", "$LATEST")


@pytest.mark.parametrize("version", ["0", "99", "-1", "x", "", "¹", "9" * 30])
async def test_versions_that_are_not_there(store: Store, make_function, version: str):
    await store.functions.create(make_function())
    found = store.functions.version("f", version)
    assert found is None or found.version == "$LATEST"
    assert store.functions.version("nope", version) is None


async def test_writes_to_a_deleted_function_find_nothing(store: Store, make_function, make_version):
    functions = store.functions
    alias = Alias("f", "live", "1", "", "r")
    for write in (
        functions.put(make_function()),
        functions.publish(make_function(), make_version(version="1")),
        functions.put_version(make_version()),
        functions.put_alias(alias),
        functions.put_invoke_config(EventInvokeConfig("f", "$LATEST", 1.0)),
    ):
        with pytest.raises(ResourceNotFoundException, match="Function not found: f"):
            await write
    assert functions.get("f") is None
    assert functions.alias("f", "live") is None


async def test_delete_takes_everything_along(store: Store, make_function, make_version):
    functions = store.functions
    for name in ("f", "f2"):
        await functions.create(make_function(name))
        await functions.publish(make_function(name, next_version=2), make_version(name, "1"))
        await functions.put_alias(Alias(name, "live", "1", "", "r"))
        await functions.put_invoke_config(EventInvokeConfig(name, "live", 1.0))
        await functions.put_policy(ARN.replace(":f", f":{name}") if name == "f" else f"{ARN}2:live", {"Id": name})
    await functions.delete("f")
    await functions.delete("f")
    assert functions.get("f") is functions.version("f", "1") is functions.alias("f", "live") is None
    assert functions.invoke_config("f", "live") is functions.policy(ARN) is None
    assert functions.count() == 1
    assert functions.policy(f"{ARN}2:live") == {"Id": "f2"}
    # A new one of the same name starts clean.
    await functions.create(make_function("f"))
    assert functions.versions("f", None, 10) == [make_version("f")]
    assert list(functions.aliases("f", None, None, 10)) == []


async def test_pages(store: Store, make_function, make_version):
    functions = store.functions
    await asyncio.gather(*(functions.create(make_function(f"f{i:02}")) for i in range(25)))
    await functions.publish(make_function("f01", next_version=2), make_version("f01", "1"))
    seen, after = [], None
    while page := functions.list(after, 10):
        seen += [f.name for f in page]
        after = seen[-1]
    assert seen == [f"f{i:02}" for i in range(25)]
    versions, at = [], None
    while page := functions.list_all_versions(at, 4):
        versions += [(v.name, v.version) for v in page]
        at = versions[-1]
    assert versions[:4] == [("f00", "$LATEST"), ("f01", "$LATEST"), ("f01", "1"), ("f02", "$LATEST")]
    assert len(versions) == 26


async def test_totals_follow_every_change(store: Store, make_function, make_version):
    functions = store.functions
    assert (functions.count(), functions.total_reserved(), functions.code_storage_bytes()) == (0, 0, 0)
    await functions.create(make_function(reserved_concurrency=5))
    await functions.create(make_function("g", reserved_concurrency=7))
    assert (functions.count(), functions.total_reserved(), functions.code_storage_bytes()) == (2, 12, 20)
    await functions.publish(make_function(next_version=2), make_version(version="1", code_size=100))
    assert (functions.total_reserved(), functions.code_storage_bytes()) == (7, 120)
    layer = await functions.add_layer_version("l", lambda n: LayerVersion("l", n, "", "", "layersha", 1000))
    assert functions.code_storage_bytes() == 1120
    assert functions.package_users("sha")
    assert functions.package_users("layersha")
    assert not functions.package_users("other")
    await functions.delete_layer_version("l", layer.version)
    await functions.delete("f")
    assert (functions.count(), functions.total_reserved(), functions.code_storage_bytes()) == (1, 7, 10)
    assert not functions.package_users("layersha")


async def test_cancelled_write_still_reaches_the_cache(store: Store, make_function):
    await store.functions.create(make_function())
    writing = asyncio.ensure_future(store.functions.put(make_function(tags={"new": "yes"})))
    await asyncio.sleep(0)
    writing.cancel()
    await store.ledger.flush()
    assert store.functions.get("f").tags == {"new": "yes"}


async def test_aliases(store: Store, make_function):
    functions = store.functions
    await functions.create(make_function())
    for name, version, routing in (("a", "1", {}), ("b", "2", {"1": 0.25}), ("c", "2", {})):
        await functions.put_alias(Alias("f", name, version, "", "r", routing))
    assert functions.alias("f", "b").routing == {"1": 0.25}
    assert [a.name for a in functions.aliases("f", None, None, 2)] == ["a", "b"]
    assert [a.name for a in functions.aliases("f", None, "b", 2)] == ["c"]
    assert [a.name for a in functions.aliases("f", "1", None, 9)] == ["a", "b"]
    assert list(functions.aliases("f", '1"', None, 9)) == []
    await functions.put_invoke_config(EventInvokeConfig("f", "b", 1.0, on_failure_arn="x"))
    await functions.delete_alias("f", "b")
    assert functions.alias("f", "b") is functions.invoke_config("f", "b") is None


async def test_layer_numbers_are_never_used_again(store: Store):
    functions = store.functions

    def build(number: int) -> LayerVersion:
        return LayerVersion("l", number, "", "now", "sha", 1, ("python3.11",), ("x86_64",))

    added = await asyncio.gather(*(functions.add_layer_version("l", build) for _ in range(5)))
    assert [layer.version for layer in added] == [1, 2, 3, 4, 5]
    assert functions.layer_version("l", 2) == build(2)
    assert [layer.version for layer in functions.layer_versions("l", None, 2)] == [5, 4]
    assert [layer.version for layer in functions.layer_versions("l", 4, 9)] == [3, 2, 1]
    await functions.add_layer_version("m", lambda n: replace(build(n), name="m"))
    assert [(layer.name, layer.version) for layer in functions.layers(None, 9)] == [("l", 5), ("m", 1)]
    assert [layer.name for layer in functions.layers("l", 9)] == ["m"]
    for version in range(1, 6):
        await functions.delete_layer_version("l", version)
    assert [layer.name for layer in functions.layers(None, 9)] == ["m"]
    assert (await functions.add_layer_version("l", build)).version == 6


async def test_layer_that_cannot_be_built_uses_no_number(store: Store):
    def fail(number: int) -> LayerVersion:
        raise ValueError(number)

    with pytest.raises(ValueError, match="1"):
        await store.functions.add_layer_version("l", fail)
    layer = await store.functions.add_layer_version("l", lambda n: LayerVersion("l", n, "", "", "s", 1))
    assert layer.version == 1


async def test_invoke_configs_and_policies(store: Store, make_function):
    functions = store.functions
    await functions.create(make_function())
    assert functions.invoke_config("f", "$LATEST") is None
    config = EventInvokeConfig("f", "$LATEST", 5.0, 0, 60, None, "arn:dlq")
    await functions.put_invoke_config(config)
    assert functions.invoke_config("f", "$LATEST") == config
    assert functions.invoke_configs("f") == [config]
    await functions.delete_invoke_config("f", "$LATEST")
    assert functions.invoke_config("f", "$LATEST") is None
    await functions.put_policy(ARN, {"Statement": [1]})
    assert functions.policy(ARN) == {"Statement": [1]}
    await functions.put_policy(ARN, None)
    assert functions.policy(ARN) is None
