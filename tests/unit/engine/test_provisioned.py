"""Provisioned concurrency from the control plane to the sandboxes."""

import asyncio

import pytest

from jupyter_lambda.engine import aliases, concurrency, functions, provisioned
from jupyter_lambda.engine.control import ControlPlane
from jupyter_lambda.engine.provisioned import shares
from jupyter_lambda.errors import DriverError, InvalidParameterValueException
from jupyter_lambda.model.function import Alias, Function, ProvisionedConfig
from jupyter_lambda.sandbox.base import InitOutcome, SandboxOutcome

from .conftest import answer, version_of
from .test_invoker import invocation, settle


@pytest.fixture
async def plane(service, store):
    function = Function("f", version_of(), next_version=3)
    await store.functions.create(function)
    for number in ("1", "2"):
        await store.functions.publish(function, version_of(version=number, revision_id=f"v{number}"))
    return ControlPlane(service)


async def ready(plane, qualifier="1") -> provisioned.Allocation:
    await settle(lambda: provisioned.get(plane, "f", qualifier).status != "IN_PROGRESS")
    return provisioned.get(plane, "f", qualifier)


def versions(sandboxes) -> list[str]:
    return sorted(sandbox.spec.version for sandbox in sandboxes.alive)


async def test_environments_are_initialised_ahead_and_used_first(plane, service, sandboxes):
    await provisioned.put(plane, "f", "1", 2)
    allocation = await ready(plane)
    assert (allocation.status, allocation.allocated, allocation.available) == ("READY", 2, 2)
    types = {s.spec.environment["AWS_LAMBDA_INITIALIZATION_TYPE"] for s in sandboxes.started}
    assert types == {"provisioned-concurrency"}
    result = await service.invoke(invocation(version="1"))
    assert (result.record.cold, result.record.init_ms) == (False, None)
    assert len(sandboxes.started) == 2


async def test_what_is_beyond_it_spills_over(plane, service, sandboxes):
    await provisioned.put(plane, "f", "1", 1)
    await ready(plane)
    go_on = asyncio.Event()

    async def slow(sandbox, event) -> SandboxOutcome:
        await go_on.wait()
        return answer(sandbox.spec.environment["AWS_LAMBDA_INITIALIZATION_TYPE"])

    sandboxes.behaviour = slow
    running = [asyncio.ensure_future(service.invoke(invocation(version="1"))) for _ in range(2)]
    await settle(lambda: sum(s.busy for s in sandboxes.alive) == 2)
    assert provisioned.get(plane, "f", "1").available == 0
    go_on.set()
    results = await asyncio.gather(*running)
    assert sorted(r.payload for r in results) == [b'"on-demand"', b'"provisioned-concurrency"']
    assert sorted(r.record.cold for r in results) == [False, True]


async def test_one_that_ends_is_replaced(plane, sandboxes):
    await provisioned.put(plane, "f", "1", 1)
    await ready(plane)
    await sandboxes.started[0].close()
    await settle(lambda: len(sandboxes.started) == 2)
    assert (await ready(plane)).status == "READY"


async def test_a_function_that_fails_to_initialise(plane, sandboxes):
    sandboxes.init_outcomes += [InitOutcome("error", 3.0, b"{}", "RuntimeError")] * 2
    await provisioned.put(plane, "f", "1", 1)
    allocation = await ready(plane)
    assert (allocation.status, allocation.reason) == ("FAILED", "FUNCTION_ERROR_INIT_FAILURE")


async def test_a_driver_that_fails_says_why(plane, sandboxes):
    sandboxes.start_errors += [DriverError("no containers today")] * 2
    await provisioned.put(plane, "f", "1", 1)
    allocation = await ready(plane)
    assert (allocation.status, allocation.reason) == ("FAILED", "no containers today")


async def test_more_than_the_memory_can_hold(make_service, store, sandboxes):
    service = await make_service(memory_budget_mb=300)
    function = Function("f", version_of(), next_version=2)
    await store.functions.create(function)
    await store.functions.publish(function, version_of(version="1"))
    plane = ControlPlane(service)
    await provisioned.put(plane, "f", "1", 3)
    await settle(lambda: provisioned.get(plane, "f", "1").allocated == 2)
    allocation = provisioned.get(plane, "f", "1")
    assert allocation.status == "FAILED"
    assert "memory budget of 300 MB" in str(allocation.reason)


async def test_less_and_none(plane, sandboxes):
    await provisioned.put(plane, "f", "1", 3)
    await ready(plane)
    await provisioned.put(plane, "f", "1", 1)
    await settle(lambda: len(sandboxes.alive) == 1)
    await provisioned.delete(plane, "f", "1")
    await settle(lambda: not sandboxes.alive)


async def test_an_alias_takes_it_along(plane, sandboxes):
    await aliases.create(plane, "f", "live", "1")
    await provisioned.put(plane, "f", "live", 2)
    await ready(plane, "live")
    await aliases.update(plane, "f", "live", version="2")
    await ready(plane, "live")
    await settle(lambda: versions(sandboxes) == ["2", "2"])


async def test_two_aliases_of_one_version(plane):
    for name, count in (("a", 1), ("b", 2)):
        await aliases.create(plane, "f", name, "1")
        await provisioned.put(plane, "f", name, count)
    for name, count in (("a", 1), ("b", 2)):
        assert (await ready(plane, name)).allocated == count


async def test_what_it_belongs_to_is_deleted(plane, sandboxes):
    await provisioned.put(plane, "f", "1", 1)
    await ready(plane)
    await functions.delete(plane, "f")
    await settle(lambda: not sandboxes.alive)
    assert plane.service.allocations() == []


async def test_nothing_is_started_while_the_engine_ends(plane, service, sandboxes):
    await provisioned.put(plane, "f", "1", 2)
    await ready(plane)
    sandboxes.gate.clear()
    await provisioned.put(plane, "f", "1", 4)
    await settle(lambda: len(sandboxes.started) == 4)
    await service.__aexit__(None, None, None)
    assert (len(sandboxes.started), sandboxes.alive) == (4, [])


async def test_it_is_back_after_a_restart(plane, service, make_service, sandboxes):
    await provisioned.put(plane, "f", "1", 2)
    await ready(plane)
    await service.__aexit__(None, None, None)
    assert not sandboxes.alive
    again = await make_service()
    again.begin()
    assert (await ready(ControlPlane(again))).allocated == 2


async def test_it_counts_against_what_is_reserved_and_what_is_not(plane):
    await provisioned.put(plane, "f", "1", 5)
    functions_ = plane.service.store.functions
    assert concurrency.taken_from_unreserved(functions_) == 5
    with pytest.raises(InvalidParameterValueException, match=r"total provisioned concurrency \[5\]"):
        await concurrency.reserve(plane, "f", 4)
    await concurrency.reserve(plane, "f", 5)
    assert concurrency.taken_from_unreserved(functions_) == 0


@pytest.mark.parametrize(
    ("requested", "weight", "expected"),
    [(4, 0.25, {"2": 1, "1": 3}), (1, 0.1, {"2": 1, "1": 0}), (10, 0.11, {"2": 2, "1": 8}), (3, 0.0, {"2": 0, "1": 3})],
)
def test_shares_of_weights(requested, weight, expected):
    alias = Alias("f", "live", "1", "", "r", {"2": weight})
    assert shares(ProvisionedConfig("f", "live", requested, ""), alias) == expected
