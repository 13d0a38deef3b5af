"""The loop that looks instead of sleeping; turns are counted, time is not."""

from __future__ import annotations

import asyncio

import pytest

from jupyter_lambda.sandbox import busy_poll
from jupyter_lambda.sandbox.busy_poll import BusyPoll


class Clock:
    """A microsecond for each time it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def perf_counter(self) -> float:
        self.asked += 1
        return self.asked / 1_000_000


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(busy_poll, "time", clock)
    monkeypatch.setattr(busy_poll, "_cores", lambda: 2)
    return clock


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_it_looks_for_its_time_and_no_longer(clock):
    poll = BusyPoll(0.000_050)
    poll.begin()
    await turns(20)
    asked = clock.asked
    assert asked > 15, "the loop keeps turning"
    await turns(100)
    assert 50 <= clock.asked <= 54
    asked = clock.asked
    await turns(20)
    assert clock.asked == asked, "and then sleeps"


async def test_it_stops_as_soon_as_a_second_invocation_runs(clock):
    poll = BusyPoll(1.0)
    poll.begin()
    await turns(3)
    poll.begin()
    await turns(2)
    asked = clock.asked
    await turns(10)
    assert clock.asked == asked
    poll.end()
    poll.end()
    await turns(3)
    assert clock.asked > asked, "after the last answer its caller may have another"


async def test_it_learns_where_it_is_of_no_use_and_tries_again(clock):
    poll = BusyPoll(0.000_010)
    for _ in range(16):
        poll.begin()
        await turns(20)
        poll.end()  # too late
        poll.begin()  # the next event comes at once, each time
        await turns(20)
        poll.end()
    asked = clock.asked
    poll.begin()
    await turns(20)
    assert clock.asked - asked <= 2, "it doesn't look any more"
    poll.end()
    clock.asked += 2_000_000
    asked = clock.asked
    poll.begin()
    await turns(20)
    assert clock.asked - asked > 8, "a second later it does"


async def test_what_mostly_comes_in_time_keeps_it_looking(clock):
    poll = BusyPoll(0.000_050)
    for n in range(60):
        poll.begin()
        await turns(5 if n % 5 else 60)
        poll.end()
        await turns(5)
    asked = clock.asked
    poll.begin()
    await turns(10)
    assert clock.asked - asked > 8


@pytest.mark.parametrize(("for_s", "cores"), [(0.0, 2), (1.0, 1)])
async def test_never_where_it_is_not_wanted_or_there_is_but_one_core(monkeypatch, clock, for_s, cores):
    monkeypatch.setattr(busy_poll, "_cores", lambda: cores)
    poll = BusyPoll(for_s)
    poll.begin()
    poll.end()
    await turns(5)
    assert clock.asked == 0


def test_the_cores_that_it_may_use_are_counted():
    assert busy_poll._cores() >= 1
