"""What is published is told once, in order, and resumed; and costs nothing while nobody watches."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from jupyter_lambda.engine import live as live_module
from jupyter_lambda.engine.live import SINGLE_MAX, Live
from jupyter_lambda.errors import ServiceUnavailableException
from jupyter_lambda.model.invocation import Invocation, InvocationRecord


def record(number: int, function: str = "f", status: Any = "success", **values: Any) -> InvocationRecord:
    times = {"received_s": 1.0, "started_s": 1.0, "queue_ms": 0.0, "init_ms": None, "run_ms": 2.0, "billed_ms": 2}
    return InvocationRecord(
        f"r{number}",
        function,
        "$LATEST",
        "sdk",
        status,
        memory_mb=128,
        memory_used_mb=40,
        cold=False,
        **(times | values),
    )


def make(**kwargs: Any) -> Live:
    return Live("e1", lambda: {"totals": {}}, **({"batch_s": 0.0, "linger_s": 60.0} | kwargs))


async def test_nothing_is_recorded_while_nobody_watches():
    live = make()
    assert live.tap is None
    async with aclosing(live.watch()) as batches:
        first = await anext(batches)
        assert first == {"seq": 1, "epoch": "e1", "reset": {"totals": {}}}
        assert live.tap is live
    assert live.watchers == 0
    live.close()


async def test_batches_tell_all_in_order():
    live = make(running=lambda: {"f": 3, "g": 1})
    async with aclosing(live.watch()) as batches:
        await anext(batches)
        live.began(Invocation("r1", "f", "$LATEST", "arn", b""), cold=True, at_s=9.0)
        live.function("g", "created")
        live.ended(record(1, status="error"))
        batch = await anext(batches)
    assert batch["seq"] == 4
    assert [event["kind"] for event in batch["events"]] == ["began", "function", "ended"]
    assert batch["events"][0] == {
        "kind": "began", "function": "f", "request_id": "r1", "source": "sdk", "cold": True, "at_s": 9.0,
    }  # fmt: skip
    assert batch["events"][1] == {"kind": "function", "function": "g", "change": "created"}
    assert batch["events"][2]["status"] == "error"
    assert batch["running"] == {"f": 3}
    assert "sums" not in batch
    live.close()


async def test_a_watcher_that_comes_back_has_missed_nothing_and_is_told_nothing_twice():
    live = make()
    seen: list[str] = []
    after: int | None = None
    for round_ in range(5):
        async with aclosing(live.watch(after, "e1" if round_ else None)) as batches:
            first = await anext(batches)
            assert ("reset" in first) == (round_ == 0)
            live.ended(record(2 * round_))
            while len(seen) < 2 * round_ + 1:
                batch = await anext(batches)
                seen += [event["request_id"] for event in batch["events"]]
                after = batch["seq"]
        live.ended(record(2 * round_ + 1))  # while it is away
    assert seen == [f"r{number}" for number in range(9)]
    live.close()


@pytest.mark.parametrize(("after", "epoch"), [(0, "e1"), (99, "e1"), (1, "another"), (1, None), (None, "e1")])
async def test_what_cannot_be_resumed_is_reset(after, epoch):
    live = make(ring_max=4)
    async with aclosing(live.watch()) as batches:
        await anext(batches)
        for number in range(6):
            live.ended(record(number))
        async with aclosing(live.watch(after, epoch)) as late:
            assert "reset" in await anext(late)
    live.close()


async def test_a_watcher_that_falls_behind_the_ring_is_reset():
    live = make(ring_max=4)
    async with aclosing(live.watch()) as batches:
        await anext(batches)
        for number in range(9):
            live.ended(record(number))
        assert "reset" in await anext(batches)
        live.ended(record(10))
        assert [event["request_id"] for event in (await anext(batches))["events"]] == ["r10"]
    live.close()


async def test_what_was_not_recorded_is_a_gap():
    live = make(linger_s=0.0)
    async with aclosing(live.watch()) as batches:
        seq = (await anext(batches))["seq"]
    async with asyncio.timeout(5):
        while live.tap is not None:
            await asyncio.sleep(0)
    async with aclosing(live.watch(seq, "e1")) as batches:
        assert "reset" in await anext(batches)
    live.close()


async def test_many_invocations_are_told_as_sums_and_runs_of_notebooks_each():
    live = make(is_job=lambda name: name == "job")
    async with aclosing(live.watch()) as batches:
        await anext(batches)
        for number in range(SINGLE_MAX):
            live.ended(record(number, status="success" if number % 4 else "timeout", run_ms=float(number)))
        live.throttled("f", "rx")
        live.ended(record(5000, "job"))
        live.function("f", "updated")
        batch = await anext(batches)
    assert [event["kind"] for event in batch["events"]] == ["run", "function"]
    assert batch["sums"]["f"] == {
        "ended": SINGLE_MAX, "errors": SINGLE_MAX // 4, "throttled": 1,
        "run_ms": sum(range(SINGLE_MAX)), "run_ms_max": SINGLE_MAX - 1,
    }  # fmt: skip
    assert batch["sums"]["job"]["ended"] == 1
    live.close()


async def test_signs_of_life_the_end_and_too_many(monkeypatch):
    monkeypatch.setattr(live_module, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(live_module, "WATCHERS_MAX", 1)
    live = make()
    async with aclosing(live.watch()) as batches:
        first = await anext(batches)
        assert await anext(batches) == {"seq": first["seq"]}
        with pytest.raises(ServiceUnavailableException):
            live.watch()
        live.close()
        assert [batch async for batch in batches] == []
