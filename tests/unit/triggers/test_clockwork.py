"""Ticks in simulated time: a week with each change of clocks, missed ticks, clocks that are set, restarts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_lambda.errors import StoreError
from jupyter_lambda.model.invocation import AsyncEvent
from jupyter_lambda.model.schedule import Schedule
from jupyter_lambda.model.scheduled import Timer
from jupyter_lambda.store import Store, timers
from jupyter_lambda.triggers.schedules.clockwork import Clockwork, Fired
from jupyter_lambda.triggers.schedules.simulated import SimulatedTime
from jupyter_lambda.triggers.schedules.ticks import Ticks, plan


def instant(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


class Owner:
    """Schedules by name; remembers what fired, and puts an event into the queue for each."""

    def __init__(self, time: SimulatedTime) -> None:
        self.time = time
        self.schedules: dict[str, Ticks] = {}
        self.fired: list[tuple[str, float]] = []
        self.ending: set[str] = set()
        self.failures = 0

    def ticks(self, timer: Timer) -> Ticks | None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the engine's fault")
        return self.schedules.get(timer.name)

    def fire(self, timer: Timer, tick_s: float) -> Fired:
        name = f"{timer.name}@{tick_s:.0f}"
        return Fired([AsyncEvent(name, "f", "$LATEST", b"{}", f"schedule:{timer.name}", self.time.now())])

    def ends(self, timer: Timer) -> bool:
        return timer.name in self.ending

    def entered(self, events: Any) -> None:
        for event in events:
            name, _, tick = event.request_id.rpartition("@")
            self.fired.append((name, float(tick)))


class World:
    """A store, simulated time, and a clockwork over them that can be torn down and made anew."""

    def __init__(self, directory: Path, start_s: float, **settings: Any) -> None:
        self.directory, self.settings = directory, settings
        self.time = SimulatedTime(start_s)
        self.owner = Owner(self.time)

    async def open(self) -> World:
        self.store = await Store.open(self.directory)
        self.clockwork = Clockwork(
            self.store.timers,
            {"schedule": self.owner, "rule": self.owner},
            self.owner.entered,
            self.time.now,
            chance=random.Random(7),
            **self.settings,
        )
        return self

    async def close(self) -> None:
        await self.store.close()

    async def add(self, name: str, expression: str, zone: str = "UTC", **more: Any) -> None:
        now_s = self.time.now()
        ticks = Ticks(Schedule.parse(expression, zone), now_s, **more)
        self.owner.schedules[name] = ticks
        tick_s = ticks.after(now_s)
        timer = Timer("schedule", "default", name, now_s, tick_s, self.clockwork.due_of(tick_s, ticks.window_s))
        await self.store._database.write(lambda connection: timers.put(connection, timer))

    async def run(self, until_s: float) -> None:
        await self.time.run(self.clockwork, self.store.timers, until_s)

    def times(self, name: str, zone: str = "UTC") -> list[str]:
        found = [tick for fired, tick in self.owner.fired if fired == name]
        return [datetime.fromtimestamp(tick, ZoneInfo(zone)).strftime("%a %H:%M %Z") for tick in found]


@pytest.fixture
async def world(tmp_path: Path):
    worlds: list[World] = []

    async def make(start: str, **settings: Any) -> World:
        made = await World(tmp_path / f"state{len(worlds)}", instant(start), **settings).open()
        worlds.append(made)
        return made

    yield make
    for made in worlds:
        await made.close()


# ── a week with each change of clocks ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("zone", "start", "change", "expected_0130"),
    [
        ("Europe/London", "2026-03-25T00:00", "forward", 6),
        ("Europe/London", "2026-10-21T00:00", "back", 7),
        ("America/New_York", "2026-03-04T12:00", "forward", 7),
        ("America/New_York", "2026-10-28T12:00", "back", 7),
    ],
)
async def test_a_week_of_schedules(world, zone, start, change, expected_0130):
    """Each tick of ten schedules fires exactly once, in order, at the time its expression says."""
    week = await world(start)
    begin_s = week.time.now()
    end_s = begin_s + 7 * 86_400 + 1
    expressions = {
        "half-hourly": "cron(0/30 * * * ? *)",
        "business": "cron(0/30 8-17 ? * MON-FRI *)",
        "half-past-one": "cron(30 1 * * ? *)",
        "half-past-two": "cron(30 2 * * ? *)",
        "workdays": "cron(0 9 ? * MON-FRI *)",
        "sunday": "cron(0 12 ? * 1 *)",
        "last": "cron(0 0 L * ? *)",
        "rate": "rate(30 minutes)",
        "daily": "rate(1 day)",
        "once": f"at({datetime.fromtimestamp(begin_s + 300_000, ZoneInfo(zone)):%Y-%m-%dT%H:%M:%S})",
    }
    for name, expression in expressions.items():
        await week.add(name, expression, zone)
    await week.run(end_s)
    for name, expression in expressions.items():
        fired = [tick for one, tick in week.owner.fired if one == name]
        wanted = Schedule.parse(expression, zone).upcoming(begin_s, 20_000, origin_s=begin_s)
        assert fired == [tick for tick in wanted if tick <= end_s]
        assert len(set(fired)) == len(fired)
    place = ZoneInfo(zone)
    first, last = (datetime.fromtimestamp(moment, place).utcoffset() for moment in (begin_s, end_s))
    assert (last > first) == (change == "forward")
    assert len(week.times("half-past-one")) == expected_0130
    # The hour that is left out has no ticks; the one that comes twice has them once.
    hours = 7 * 24 - (1 if change == "back" else 0)
    assert abs(len(week.times("half-hourly")) - hours * 2) <= 1
    assert len(week.times("rate")) == 7 * 24 * 2
    assert len(week.times("once")) == 1
    assert week.store.events.depth()["waiting"] == 0  # told by ``entered`` of the service, which isn't here
    queued = week.store._database.query("SELECT count(*) FROM event")[0][0]
    assert queued == len(week.owner.fired)


async def test_over_restarts_nothing_is_lost_or_doubled(tmp_path: Path):
    """The same minutes, with a store that is closed and opened again at random times."""
    chance = random.Random(3)
    place = await World(tmp_path / "state", instant("2026-11-25T00:00")).open()
    await place.add("minutely", "cron(* * * * ? *)")
    begin_s = place.time.now()
    for _ in range(40):
        await place.run(place.time.now() + chance.uniform(0.0, 200.0))
        await place.close()
        # Down for less than a minute: nothing counts as missed.
        place.time.now_s += chance.uniform(0.0, 59.0)
        await place.open()
    await place.clockwork.fire_due()
    fired = [tick for _, tick in place.owner.fired]
    minutes = int((place.time.now() - begin_s) // 60)
    assert fired == [begin_s + 60 * n for n in range(1, minutes + 1)]
    await place.close()


# ── missed ticks ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("policy", "fired"),
    [
        ("once", ["Wed 12:00 UTC"]),
        ("skip", []),
        ("all", ["Wed 09:00 UTC", "Wed 10:00 UTC", "Wed 11:00 UTC", "Wed 12:00 UTC"]),
    ],
)
async def test_missed_ticks(world, policy, fired):
    down = await world("2026-11-25T08:30", missed=policy)
    await down.add("hourly", "cron(0 * * * ? *)")
    down.time.now_s = instant("2026-11-25T12:20")
    await down.clockwork.fire_due()
    assert down.times("hourly") == fired
    timer = down.store.timers.get("schedule", "default", "hourly")
    assert timer.due_s == instant("2026-11-25T13:00")
    assert (timer.last_tick_s is None) == (policy == "skip")


@pytest.mark.parametrize("policy", ["once", "skip", "all"])
async def test_what_is_less_than_a_minute_late_is_on_time(world, policy):
    late = await world("2026-11-25T08:59", missed=policy)
    await late.add("hourly", "cron(0 * * * ? *)")
    late.time.now_s = instant("2026-11-25T09:00:59")
    await late.clockwork.fire_due()
    assert late.times("hourly") == ["Wed 09:00 UTC"]


async def test_catching_up_has_a_bound(world):
    down = await world("2026-11-25T00:00", missed="all", most=10)
    await down.add("minutely", "rate(1 minute)")
    down.time.now_s = instant("2031-11-25T00:00")
    await down.clockwork.fire_due()
    times = [tick for _, tick in down.owner.fired]
    assert times == [instant("2031-11-25T00:00") - 60 * n for n in range(9, -1, -1)]


async def test_one_time_schedules_that_were_missed_run_late(world):
    down = await world("2026-11-25T00:00")
    await down.add("once", "at(2026-11-25T01:00:00)")
    down.owner.ending.add("once")
    down.time.now_s = instant("2026-11-27T00:00")
    await down.clockwork.fire_due()
    assert down.times("once") == ["Wed 01:00 UTC"]
    assert down.store.timers.get("schedule", "default", "once") is None


# ── clocks that are set ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_clock_that_is_set_back_repeats_nothing(world):
    place = await world("2026-11-25T08:00")
    await place.add("hourly", "cron(0 * * * ? *)")
    await place.run(instant("2026-11-25T10:30"))
    place.time.now_s = instant("2026-11-25T08:45")
    assert await place.clockwork.fire_due() == 0
    await place.run(instant("2026-11-25T11:30"))
    assert place.times("hourly") == [f"Wed {hour:02}:00 UTC" for hour in (9, 10, 11)]


async def test_a_clock_that_is_set_forward_is_as_if_the_engine_had_been_down(world):
    place = await world("2026-11-25T08:00")
    await place.add("hourly", "cron(0 * * * ? *)")
    await place.run(instant("2026-11-25T09:30"))
    place.time.now_s = instant("2026-11-26T09:30")
    await place.clockwork.fire_due()
    assert place.times("hourly") == ["Wed 09:00 UTC", "Thu 09:00 UTC"]


# ── windows, ends, changes ───────────────────────────────────────────────────────────────────────────────────────────


async def test_flexible_windows_spread_and_keep_every_tick(world):
    place = await world("2026-11-25T08:00")
    await place.add("flexible", "cron(0 * * * ? *)", window_s=900.0)
    dues = []
    for _ in range(20):
        due_s = place.store.timers.next_due_s()
        dues.append(due_s % 3600)
        await place.run(due_s)
    assert all(0 <= due_s <= 900 for due_s in dues)
    assert len({round(due_s) for due_s in dues}) > 10
    ticks = [tick for _, tick in place.owner.fired]
    assert ticks == [instant("2026-11-25T09:00") + 3600 * n for n in range(20)]


async def test_after_its_end_a_schedule_is_silent(world):
    place = await world("2026-11-25T08:00")
    await place.add("ending", "cron(0 * * * ? *)", end_s=instant("2026-11-25T10:00"))
    await place.run(instant("2026-11-26T08:00"))
    assert place.times("ending") == ["Wed 09:00 UTC", "Wed 10:00 UTC"]
    assert place.store.timers.next_due_s() is None


async def test_a_schedule_that_is_gone_stops(world):
    place = await world("2026-11-25T08:00")
    await place.add("gone", "cron(0 * * * ? *)")
    del place.owner.schedules["gone"]
    await place.run(instant("2026-11-25T12:00"))
    assert place.owner.fired == []
    assert place.store.timers.ticking() == 0


async def test_what_changes_meanwhile_is_not_fired_over(world):
    """A timer that is no longer as it was read moves nothing and queues nothing."""
    place = await world("2026-11-25T08:00")
    await place.add("s", "cron(0 * * * ? *)")
    place.time.now_s = instant("2026-11-25T09:00")
    (before,) = place.store.timers.due(place.time.now(), 10)
    moved = replace(before, due_s=before.due_s + 60)
    await place.store._database.write(lambda connection: timers.put(connection, moved))
    firing = place.clockwork._firing(before)
    assert not await place.store.timers.fire(firing, place.owner.entered)
    assert place.owner.fired == []
    assert place.store._database.query("SELECT count(*) FROM event")[0][0] == 0


async def test_a_change_in_the_moment_of_a_tick_does_not_repeat_it(world):
    """A change that was decided just before the tick, and written just after it fired."""
    place = await world("2026-11-25T08:00")
    await place.add("s", "cron(0 * * * ? *)")
    before = place.store.timers.get("schedule", "default", "s")
    await place.run(instant("2026-11-25T09:00"))
    await place.store._database.write(lambda connection: timers.put(connection, before))
    await place.run(instant("2026-11-25T10:00"))
    assert place.times("s") == ["Wed 09:00 UTC", "Wed 10:00 UTC"]


async def test_a_store_that_can_not_write_loses_no_tick(world, monkeypatch):
    place = await world("2026-11-25T08:00")
    await place.add("s", "cron(0 * * * ? *)")
    place.time.now_s = instant("2026-11-25T09:00")
    real = place.store.timers.fire

    async def full(*_: Any) -> bool:
        raise StoreError("disk full")

    monkeypatch.setattr(place.store.timers, "fire", full)
    with pytest.raises(StoreError):
        await place.clockwork.fire_due()
    monkeypatch.setattr(place.store.timers, "fire", real)
    await place.clockwork.fire_due()
    assert place.times("s") == ["Wed 09:00 UTC"]


async def test_one_that_the_engine_stumbles_over_holds_up_no_other(world):
    place = await world("2026-11-25T08:00")
    await place.add("a", "cron(0 * * * ? *)")
    await place.add("b", "cron(0 * * * ? *)")
    place.owner.failures = 1
    place.time.now_s = instant("2026-11-25T09:00")
    await place.clockwork.fire_due()
    assert len(place.owner.fired) == 1
    await place.run(instant("2026-11-25T09:02"))
    assert sorted(name for name, _ in place.owner.fired) == ["a", "b"]


async def test_while_it_drains_nothing_fires(tmp_path: Path):
    draining = [True]
    place = await World(tmp_path / "s", instant("2026-11-25T08:00"), draining=lambda: draining[0]).open()
    await place.add("s", "cron(0 * * * ? *)")
    place.time.now_s = instant("2026-11-25T09:00")
    assert await place.clockwork.fire_due() == 0
    draining[0] = False
    assert await place.clockwork.fire_due() == 1
    await place.close()


async def test_pauses(world):
    """Nothing ticks: for ever. Due soon: a look every few seconds. Else every half minute, so that a clock that was
    set is noticed."""
    place = await world("2026-11-25T08:00")
    pause: Callable[[], float | None] = place.clockwork._pause_s
    assert pause() is None
    await place.add("s", "cron(0 * * * ? *)")
    assert pause() == 30.0
    place.time.now_s = instant("2026-11-25T08:59:30")
    assert pause() == 3.0
    place.time.now_s = instant("2026-11-25T08:59:59")
    assert pause() == 1.0


async def test_the_task_fires_what_is_added_while_it_sleeps(world):
    place = await world("2026-11-25T08:00")
    await place.clockwork.start()
    await place.add("s", "cron(0 * * * ? *)")
    place.time.now_s = instant("2026-11-25T09:00")
    place.clockwork.changed()
    for _ in range(500):
        if place.owner.fired:
            break
        await place.store._database.write(lambda connection: connection.execute("SELECT 1").fetchone())
    await place.clockwork.stop()
    assert place.times("s") == ["Wed 09:00 UTC"]


# ── the plan, by properties ──────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["cron(0/7 * * * ? *)", "cron(30 1 * * ? *)", "rate(3 minutes)", "cron(0 0 1 * ? *)"]),
    st.floats(0, 10 * 86_400),
    st.sampled_from(["once", "skip", "all"]),
    st.integers(1, 50),
)
def test_a_plan_passes_no_tick_by(expression, later_s, policy, most):
    start_s = instant("2026-10-20T00:00")
    ticks = Ticks(Schedule.parse(expression, "Europe/London"), start_s)
    due_s = ticks.after(start_s)
    assert due_s is not None
    now_s = due_s + later_s
    chosen = plan(ticks, due_s, now_s, policy, most)
    every = []
    tick_s: float | None = due_s
    while tick_s is not None and tick_s <= now_s:
        every.append(tick_s)
        tick_s = ticks.after(tick_s)
    assert chosen.next_s == tick_s
    on_time = [tick for tick in every if now_s - tick <= 60]
    wanted = {"all": every[-most:], "once": on_time or every[-1:], "skip": on_time}[policy]
    assert list(chosen.fire) == wanted


def test_utc_is_utc():
    assert datetime.fromtimestamp(instant("2026-11-25T00:00"), UTC).hour == 0
