"""The bill: what is charged, and above all what is not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from jupyter_lambda.engine.bill import bill
from jupyter_lambda.model.invocation import Invocation
from jupyter_lambda.model.statistics import StatisticSet
from jupyter_lambda.sandbox.base import SandboxOutcome
from jupyter_lambda.store.metrics import OWN, PROVISIONED_GB_S, MetricKey

DAY = 86_400


async def run(service, sandboxes, run_ms: float, number: int = 0, kind: str = "response"):
    async def behaviour(sandbox, event) -> SandboxOutcome:
        return SandboxOutcome(kind, json.dumps({}).encode(), run_ms, error_type=None if kind == "response" else "E")

    sandboxes.behaviour = behaviour
    now_s = service.clock()
    arn = service.account.function_arn("f")
    request = f"00000000-0000-0000-0000-{number:012d}"
    result = await service.invoke(Invocation(request, "f", "$LATEST", arn, b"{}", received_s=now_s))
    await service.store.ledger.flush()
    return result.record


async def test_charged_for_every_100_ms(service, sandboxes, function):
    """The product's promise: "charged for every 100 ms"."""
    first = await run(service, sandboxes, 1.0)
    assert first.cold  # its initialisation of 5 ms is billed with it
    assert first.billed_ms == 100
    billed = [
        (await run(service, sandboxes, ms, n)).billed_ms for n, ms in enumerate((1.0, 99.9, 100.0, 100.1, 250.0), 1)
    ]
    assert billed == [100, 100, 100, 200, 300]
    found = bill(service.settings, service.store, since_s=0.0, by="function")
    memory_gb = function.latest.memory_mb / 1024
    assert found["total"]["billed_ms"] == 900
    assert found["total"]["gb_s"] == pytest.approx(0.9 * memory_gb)
    expected = 0.9 * memory_gb * service.settings.price_gb_s + 6 * service.settings.price_request
    assert found["total"]["price"] == pytest.approx(expected)


async def test_no_charge_when_the_code_is_not_running(service, sandboxes, function, store):
    """The product's promise: "no charge when your code is not running", an idle environment included."""
    await run(service, sandboxes, 10.0)
    before = bill(service.settings, store, since_s=0.0, by="function")
    service.clock = lambda: 4_000_000_000.0  # decades pass while the environment waits
    assert [one["state"] for one in service.environments()] == ["Idle"]
    service._sample()
    await store.ledger.flush()
    assert bill(service.settings, store, since_s=0.0, by="function")["lines"] == before["lines"]
    # A throttled request is none.
    store.ledger.throttle("f", 4_000_000_000.0)
    await store.ledger.flush()
    assert bill(service.settings, store, since_s=0.0, by="function")["total"] == before["total"]


async def test_another_increment(make_service, sandboxes, function):
    service = await make_service(billing_increment_ms=1)
    assert (await run(service, sandboxes, 10.2)).billed_ms == 16  # 5 ms of initialisation in it


async def test_by_function_and_day(service, sandboxes, function, store):
    record = await run(service, sandboxes, 10.0)
    day_s = int(record.received_s // DAY) * DAY
    store.ledger.record(replace(record, function_name="g", received_s=day_s - 10.0, status="error"))
    key = MetricKey(OWN, PROVISIONED_GB_S, (("FunctionName", "g"),))
    store.metrics.post([(key, day_s - 60, StatisticSet.of(100.0))])
    await store.ledger.flush()
    by_function = bill(service.settings, store, since_s=0.0, by="function")["lines"]
    assert [(one["function"], one["day"], one["requests"], one["errors"]) for one in by_function] == [
        ("f", None, 1, 0),
        ("g", None, 1, 1),
    ]
    assert by_function[1]["provisioned_gb_s"] == 100.0
    assert by_function[1]["price"] == pytest.approx(by_function[0]["price"] + 100 * 0.0000041667)
    by_day = bill(service.settings, store, since_s=0.0, by="day")["lines"]
    assert [one["requests"] for one in by_day] == [1, 1]
    assert by_day[0]["day"] < by_day[1]["day"]
    both = bill(service.settings, store, since_s=0.0, by="both")["lines"]
    assert [(one["function"], one["day"]) for one in both] == [("g", by_day[0]["day"]), ("f", by_day[1]["day"])]
    assert bill(service.settings, store, since_s=record.received_s + 2 * DAY, by="both")["lines"] == []
