"""Timers, deliveries, rules and schedules: whole transactions, and no table that is read whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jupyter_lambda.errors import StoreError
from jupyter_lambda.model.invocation import AsyncEvent
from jupyter_lambda.model.rule import EventBus, Rule, RuleTarget
from jupyter_lambda.model.scheduled import Delivery, ScheduledTarget, ScheduleGroup, Timer
from jupyter_lambda.store import Store, deliveries, schedules, timers
from jupyter_lambda.store.schedules import TOKEN_S, Token
from jupyter_lambda.store.timers import Firing

STATEMENTS = timers.STATEMENTS + deliveries.STATEMENTS + schedules.STATEMENTS
SCHEDULE = ScheduledTarget("default", "s", "rate(1 hour)", "UTC", "ENABLED", {"Arn": "arn:f"}, 1.0, 1.0)
TIMER = Timer("schedule", "default", "s", 0.0, 100.0, 100.0)
DELIVERY = Delivery("schedule:s", "arn:q", b"x", 100.0, "arn:s")


def event(request_id: str = "e") -> AsyncEvent:
    return AsyncEvent(request_id, "f", "$LATEST", b"{}", "schedule:s", 100.0)


def count(store: Store, table: str) -> int:
    return int(store._database.query(f"SELECT count(*) FROM {table}")[0][0])


@pytest.mark.parametrize("sql", STATEMENTS)
async def test_every_statement_uses_an_index(store, sql):
    plan = store._database.query(f"EXPLAIN QUERY PLAN {sql}", (None,) * sql.count("?"))
    assert not [row[3] for row in plan if row[3].startswith("SCAN") and "INDEX" not in row[3]]


async def test_firing_moves_on_and_queues_together(store):
    await store.schedules.put(SCHEDULE, TIMER, None)
    seen: list[AsyncEvent] = []
    after = replace(TIMER, tick_s=200.0, due_s=200.0, last_tick_s=100.0, last_fired_s=101.0, last_result="fired")
    assert await store.timers.fire(Firing(TIMER, after, [event()], [DELIVERY]), seen.extend)
    assert seen == [event()]
    assert store.timers.get("schedule", "default", "s") == after
    assert store.deliveries.count() == 1
    assert (count(store, "event"), count(store, "delivery")) == (1, 1)
    # The same again, as after a write of which nobody knows how it ended: nothing.
    assert not await store.timers.fire(Firing(TIMER, after, [event("e2")]), seen.extend)
    assert len(seen) == count(store, "event") == 1


async def test_a_firing_that_fails_has_moved_nothing(store):
    await store.schedules.put(SCHEDULE, TIMER, None)
    await store.events.enqueue(event())
    after = replace(TIMER, tick_s=200.0, due_s=200.0)
    with pytest.raises(Exception, match="UNIQUE"):
        await store.timers.fire(Firing(TIMER, after, [event()], [DELIVERY]), lambda events: None)
    assert store.timers.get("schedule", "default", "s") == TIMER
    assert store.deliveries.count() == count(store, "delivery") == 0


async def test_the_last_firing_takes_the_schedule_along(store):
    await store.schedules.put(SCHEDULE, TIMER, None)
    gone = replace(TIMER, tick_s=None, due_s=None)
    await store.timers.fire(Firing(TIMER, gone, [event()], delete=True), lambda events: None)
    assert store.schedules.get("default", "s") is None
    assert store.timers.all() == []
    assert count(store, "event") == 1


async def test_a_new_time_keeps_what_was_done_last(store):
    await store.schedules.put(SCHEDULE, TIMER, None)
    after = replace(TIMER, tick_s=200.0, due_s=200.0, last_tick_s=100.0, last_fired_s=101.0, last_result="fired")
    await store.timers.fire(Firing(TIMER, after), lambda events: None)
    await store.schedules.put(SCHEDULE, replace(TIMER, tick_s=None, due_s=None), None)
    assert store.timers.get("schedule", "default", "s") == replace(after, tick_s=None, due_s=None)
    assert store.timers.next_due_s() is None


async def test_the_order_of_what_is_due(store):
    for name, due_s in (("late", 300.0), ("first", 50.0), ("second", 60.5)):
        timer = Timer("schedule", "default", name, 0.0, due_s, due_s)
        await store.schedules.put(replace(SCHEDULE, name=name), timer, None)
    assert store.timers.next_due_s() == 50.0
    assert [timer.name for timer in store.timers.due(100.0, 10)] == ["first", "second"]
    assert [timer.name for timer in store.timers.due(100.0, 1)] == ["first"]
    assert store.timers.ticking() == 3


async def test_rules_come_back_after_a_restart(tmp_path):
    store = await Store.open(tmp_path / "state")
    rule = Rule("bus", "r", '{"a":["b"]}', description="d", tags={"k": "v"})
    await store.rules.put_bus(EventBus("bus", 1.0, 2.0, policy={"Version": "x"}, tags={"a": "b"}))
    await store.rules.put_rule(rule)
    scheduled = Rule("default", "t", schedule="rate(1 hour)")
    await store.rules.put_rule(scheduled, Timer("rule", "default", "t", 0.0, 5.0, 5.0))
    await store.rules.change_targets("bus", "r", put=[RuleTarget("1", "arn:f", {"Id": "1", "Arn": "arn:f"})])
    await store.close()
    store = await Store.open(tmp_path / "state")
    assert store.rules.buses()["bus"].policy == {"Version": "x"}
    assert store.rules.rules("bus") == {"r": rule}
    assert store.rules.targets("bus", "r")["1"].arn == "arn:f"
    assert store.timers.next_due_s() == 5.0
    await store.rules.put_rule(replace(scheduled, schedule=None, pattern='{"a":["b"]}'))
    assert store.timers.next_due_s() is None
    await store.rules.delete_bus("bus")
    assert "bus" not in store.rules.buses()
    assert store.rules.rules("bus") == store.rules.targets("bus", "r") == {}
    assert count(store, "event_target") == 0
    await store.close()


async def test_schedules_of_a_function(store):
    arn = "arn:aws:lambda:us-east-1:000000000000:function:f"
    for name, target in (("a", arn), ("b", f"{arn}:live"), ("c", f"{arn}2"), ("d", "arn:aws:sqs:x")):
        await store.schedules.put(replace(SCHEDULE, name=name, target={"Arn": target}), None, None)
    assert [one.name for one in store.schedules.of_target(arn)] == ["a", "b"]


async def test_a_group_goes_with_its_schedules(store):
    await store.schedules.put_group(ScheduleGroup("g", 1.0, 1.0), None)
    await store.schedules.put(replace(SCHEDULE, group="g"), replace(TIMER, place="g"), None)
    await store.schedules.put(SCHEDULE, TIMER, None)
    await store.schedules.delete_group("g", None)
    assert [one.group for one in store.schedules.page(("", ""), 10)] == ["default"]
    assert [timer.place for timer in store.timers.all()] == ["default"]


async def test_tokens_are_forgotten_in_time(store):
    def token(name: str, now_s: float) -> Token:
        return Token("CreateSchedule", name, "hash", {"ScheduleArn": name}, now_s)

    await store.schedules.put(SCHEDULE, None, token("old", 1_000.0))
    assert store.schedules.answered("CreateSchedule", "old") == ("hash", {"ScheduleArn": "old"})
    assert store.schedules.answered("DeleteSchedule", "old") is None
    await store.schedules.put(SCHEDULE, None, token("new", 1_001.0 + TOKEN_S))
    assert store.schedules.answered("CreateSchedule", "old") is None


async def test_a_closed_store_says_so(store):
    await store.close()
    with pytest.raises(StoreError):
        await store.schedules.put(SCHEDULE, TIMER, None)
