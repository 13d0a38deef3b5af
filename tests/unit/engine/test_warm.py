"""Generic containers: adopted by cold starts, kept with learned imports, and never in the way of a fresh start."""

import asyncio

import pytest

from jupyter_lambda.errors import DriverError
from jupyter_lambda.model.function import Function
from jupyter_lambda.sandbox.base import GenericSpec, InitOutcome

from .conftest import version_of
from .test_invoker import invocation

RUNTIME = "python3.11"


def zip_version(name="f", **changes):
    return version_of(name, **({"package_type": "Zip", "runtime": RUNTIME, "handler": "app.handler"} | changes))


@pytest.fixture
async def warm_service(make_service, sandboxes, store, monkeypatch):
    """A service whose driver prepares; packages are unpacked already."""
    sandboxes.driver.can_prepare = True
    monkeypatch.setattr("jupyter_lambda.engine.warm._QUIET_S", 0.0)

    async def unpacked(code_sha256):
        return store.state_dir

    monkeypatch.setattr(store.packages, "unpacked", unpacked)
    service = await make_service(warm_containers=1, freeze_delay_s=None)
    runtime = service.runtimes.interpreters[0].runtime

    async def function(name="f", **changes):
        made = Function(name, zip_version(name, runtime=runtime, **changes))
        await store.functions.create(made)
        return made

    service.function = function
    return service


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_cold_start_adopts_a_generic_container(warm_service, sandboxes):
    await warm_service.function()
    warm_service.begin()
    await settle()
    (container,) = sandboxes.prepared
    assert isinstance(container.spec, GenericSpec)
    result = await warm_service.invoke(invocation())
    assert result.function_error is None
    assert sandboxes.started == []
    assert container.spec.function_name == "f"
    assert result.record.environment_id == container.sandbox_id
    await settle()
    assert len(sandboxes.prepared) >= 2, "the stock is filled up again"


async def test_a_failed_adoption_is_not_seen(warm_service, sandboxes):
    await warm_service.function()
    warm_service.begin()
    await settle()
    sandboxes.adopt_errors.append(DriverError("no"))
    result = await warm_service.invoke(invocation())
    assert result.function_error is None
    assert len(sandboxes.started) == 1
    await settle()
    assert sandboxes.prepared[0].closed


async def test_a_container_that_ended_is_not_adopted(warm_service, sandboxes):
    await warm_service.function()
    warm_service.begin()
    await settle()
    await sandboxes.prepared[0].close()
    await settle()
    result = await warm_service.invoke(invocation())
    assert result.function_error is None
    assert len(sandboxes.started) == 1


async def test_variables_that_act_at_process_start_need_a_fresh_start(warm_service, sandboxes):
    await warm_service.function(environment={"LD_PRELOAD": "x.so"})
    warm_service.begin()
    await settle()
    await warm_service.invoke(invocation())
    assert len(sandboxes.started) == 1


async def test_learned_imports_are_preloaded_next_time(warm_service, sandboxes, store):
    await warm_service.function()
    sandboxes.init_outcomes.append(InitOutcome("ready", 300.0, imports=("numpy", "pandas"), import_ms=280.0))
    await warm_service.invoke(invocation())
    assert store.imports.get("f", "0" * 64).modules == ("numpy", "pandas")
    await settle()
    (container,) = [s for s in sandboxes.prepared if s.spec.imports]
    assert container.spec.imports == ("numpy", "pandas")
    await sandboxes.started[0].close()
    await settle()
    result = await warm_service.invoke(invocation())
    assert result.record.environment_id == container.sandbox_id


async def test_a_restart_knows_the_imports(warm_service, sandboxes, store):
    from jupyter_lambda.store import LearnedImports

    await warm_service.function()
    store.imports.learn("f", "0" * 64, LearnedImports(("numpy",), 80.0, warm_service.clock()))
    await settle()
    store._database.write(lambda connection: None)
    await store._database.write(lambda connection: None)
    warm_service.begin()
    await settle()
    assert sorted(s.spec.imports for s in sandboxes.prepared) == [(), ("numpy",)]


async def test_a_failure_with_preloaded_modules_is_tried_afresh_and_remembered(warm_service, sandboxes, store):
    await warm_service.function()
    sandboxes.init_outcomes.append(InitOutcome("ready", 300.0, imports=("numpy",), import_ms=280.0))
    await warm_service.invoke(invocation())
    await settle()
    await sandboxes.started[0].close()
    await settle()
    sandboxes.init_outcomes.append(InitOutcome("error", 3.0, b'{"errorMessage": "too late"}', "RuntimeError"))
    result = await warm_service.invoke(invocation())
    assert result.function_error is None
    assert len(sandboxes.started) == 2
    version = store.functions.get("f").latest
    kinds = warm_service._lifecycle.warm.kinds(version.key, version)
    assert [kind.name for kind in kinds if "+" in kind.name] == []


async def test_a_function_that_fails_by_itself_fails_once(warm_service, sandboxes):
    await warm_service.function()
    warm_service.begin()
    await settle()
    sandboxes.init_outcomes.append(InitOutcome("error", 3.0, b'{"errorMessage": "no"}', "ImportError"))
    result = await warm_service.invoke(invocation())
    assert result.function_error == "Unhandled"
    assert sandboxes.started == []


async def test_nothing_is_left(warm_service, sandboxes):
    await warm_service.function()
    warm_service.begin()
    await settle()
    await warm_service.invoke(invocation())
    await settle()
    await warm_service.__aexit__(None, None, None)
    assert sandboxes.alive == []


async def test_without_a_driver_that_prepares_nothing_is(make_service, sandboxes, function):
    service = await make_service(warm_containers=3)
    service.begin()
    await service.invoke(invocation())
    assert sandboxes.prepared == []
