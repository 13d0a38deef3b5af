"""Provisioned concurrency and learned imports on disk."""

import pytest

from jupyter_lambda.errors import ResourceNotFoundException
from jupyter_lambda.model.function import Alias, ProvisionedConfig
from jupyter_lambda.store import LearnedImports, Store


def config(name="f", qualifier="1", requested=3) -> ProvisionedConfig:
    return ProvisionedConfig(name, qualifier, requested, "2026-11-23T08:44:39+0000")


async def test_configurations_survive_a_restart(tmp_path, make_function, make_version, clock):
    store = await Store.open(tmp_path / "s", clock)
    await store.functions.create(make_function())
    await store.functions.put_provisioned(config())
    await store.functions.put_provisioned(config(qualifier="live", requested=2))
    await store.functions.put_provisioned(config(requested=5))
    await store.close()
    store = await Store.open(tmp_path / "s", clock)
    assert store.functions.provisioned("f", "1") == config(requested=5)
    assert [c.qualifier for c in store.functions.provisioned_configs("f")] == ["1", "live"]
    assert store.functions.provisioned_configs("g") == []
    await store.close()


async def test_of_no_function(store):
    with pytest.raises(ResourceNotFoundException):
        await store.functions.put_provisioned(config())
    assert store.functions.provisioned_configs() == []


async def test_deleting_what_it_belongs_to_deletes_it(store, make_function, make_version):
    functions = store.functions
    await functions.create(make_function())
    await functions.publish(make_function(next_version=2), make_version(version="1"))
    await functions.put_alias(Alias("f", "live", "1", "", "r"))
    for qualifier in ("1", "live", "2"):
        await functions.put_provisioned(config(qualifier=qualifier))
    await functions.delete_alias("f", "live")
    assert [c.qualifier for c in functions.provisioned_configs("f")] == ["1", "2"]
    await functions.delete_version("f", "1")
    assert [c.qualifier for c in functions.provisioned_configs("f")] == ["2"]
    await functions.delete_provisioned("f", "2")
    assert functions.provisioned_configs() == []
    await functions.put_provisioned(config(qualifier="3"))
    await functions.delete("f")
    assert functions.provisioned_configs() == []


async def test_imports_are_known_after_a_restart(tmp_path, clock):
    store = await Store.open(tmp_path / "s", clock)
    learned = LearnedImports(("numpy", "pandas"), 350.0, 5.0)
    store.imports.learn("f", "sha", learned)
    assert store.imports.get("f", "sha") == learned
    await store.close()
    store = await Store.open(tmp_path / "s", clock)
    assert store.imports.get("f", "sha") == learned
    assert store.imports.get("f", "other") is None
    assert store.imports.recent(0.0, 10) == [("f", "sha", learned)]
    assert store.imports.recent(6.0, 10) == []
    await store.close()


async def test_imports_of_few_codes_are_kept(tmp_path, clock):
    store = await Store.open(tmp_path / "s", clock)
    for number in range(9):
        store.imports.learn("f", f"sha{number}", LearnedImports(("numpy",), 50.0, float(number)))
    await store.close()
    store = await Store.open(tmp_path / "s", clock)
    assert [sha for _, sha, _ in store.imports.recent(0.0, 10)] == ["sha8", "sha7", "sha6", "sha5"]
    await store.close()
