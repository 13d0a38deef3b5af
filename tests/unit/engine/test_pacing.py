"""Floods of events are taken in first, and worked off all the same."""

from __future__ import annotations

import pytest

from jupyter_lambda.engine.pacing import LOOK_EVERY_S, PATIENCE_S, Pace


def live(pace: Pace, per_s: float, line: int, seconds: float, *, start_s: float = 0.0, room: int = 64) -> list[int]:
    """Let events come for a while, always ``line`` of them at once; the allowance at each look."""
    allowed, came = [], 0
    for look in range(int(seconds / LOOK_EVERY_S)):
        now_s = start_s + look * LOOK_EVERY_S
        while came < (now_s - start_s) * per_s:
            for _ in range(line):
                pace.comes()
            for _ in range(line):
                pace.came()
            came += line
        pace.flooded(now_s)
        allowed.append(pace.allowance(now_s, room))
    return allowed


@pytest.mark.parametrize(("per_s", "line"), [(0, 1), (1, 1), (50, 1), (900, 1), (20_000, 1), (600, 2), (100, 8)])
def test_what_nobody_stands_in_line_for_is_run_at_once(per_s, line):
    assert set(live(Pace(), per_s, line, 5.0)) == {64}


@pytest.mark.parametrize("per_s", [500, 10_000])
def test_a_flood_is_taken_in_first_on_slow_machines_as_on_fast_ones(per_s):
    allowed = live(Pace(), per_s, 8, 2.0)
    assert allowed[0] == 64
    assert set(allowed[4:]) == {1}


def test_a_flood_without_end_gives_the_machine_back_bit_by_bit():
    allowed = live(Pace(), 5_000, 8, PATIENCE_S + 8.0)
    later = allowed[int((PATIENCE_S + 0.1) / LOOK_EVERY_S) :]
    assert later == sorted(later)
    assert later[0] == 2
    assert later[-1] == 64


def test_after_a_flood_everything_runs():
    pace = Pace()
    live(pace, 10_000, 8, 1.0)
    assert live(pace, 0, 1, 1.0, start_s=1.0)[-1] == 64
    assert live(pace, 10_000, 8, 1.0, start_s=60.0)[-1] == 1


def test_the_room_is_never_exceeded():
    pace = Pace()
    assert live(pace, 10_000, 8, 1.0, room=0)[-1] == 0
    assert max(live(pace, 10_000, 8, 30.0, start_s=1.0, room=5)) == 5
