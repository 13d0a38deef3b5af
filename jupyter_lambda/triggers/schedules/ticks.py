"""Which ticks of a schedule are due, and what becomes of those that were missed; pure.

A tick is *on time* up to a minute after it was due: AWS fires "between 1:00:00 and 1:00:59". One that is older was
missed: the engine was down, or the clock was set forward. What becomes of those is a setting:

- ``once``: one firing makes up for all of them, that of the latest; none if a later tick is on time.
- ``skip``: they are passed over.
- ``all``: each fires, the latest so many of them at most.

Every tick comes up once, whatever the clock does: a schedule only ever moves on from one tick to a later one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from jupyter_lambda.model.schedule import Schedule

MissedTicks = Literal["once", "skip", "all"]

#: Seconds after which a tick counts as missed. Source: EventBridge Scheduler User Guide, "Schedule types".
LATE_S = 60.0
#: Spans of seconds in which the latest ticks are looked for, one after the other: schedules fire often or seldom.
_SPANS_S = (3_600.0, 86_400.0, 31 * 86_400.0, 366 * 86_400.0)


@dataclass(frozen=True, slots=True)
class Ticks:
    """The ticks of one schedule, between its beginning and its end."""

    schedule: Schedule
    #: When a rate is due first.
    origin_s: float
    end_s: float | None = None
    #: Seconds of the flexible window: each tick fires at some time within it.
    window_s: float = 0.0

    def after(self, after_s: float) -> float | None:
        """The first tick after a time; None: never again."""
        tick_s = self.schedule.after(after_s, origin_s=self.origin_s)
        return tick_s if tick_s is not None and (self.end_s is None or tick_s <= self.end_s) else None

    def latest(self, low_s: float, high_s: float, count: int) -> list[float]:
        """The last ``count`` ticks after ``low_s``, up to ``high_s``; long pauses cost no more than short ones."""
        found: deque[float] = deque(maxlen=count)
        for span_s in (*_SPANS_S, high_s - low_s):
            start_s = max(low_s, high_s - span_s)
            found.clear()
            tick_s = self.after(start_s)
            while tick_s is not None and tick_s <= high_s:
                found.append(tick_s)
                tick_s = self.after(tick_s)
            if len(found) == count or start_s <= low_s:
                break
        return list(found)


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of a schedule that is due."""

    #: Ticks that fire now, in order.
    fire: tuple[float, ...]
    #: The tick that comes next; None: it is over.
    next_s: float | None


def plan(ticks: Ticks, due_tick_s: float, now_s: float, policy: MissedTicks, most: int) -> Plan:
    """Which ticks fire.

    Args:
        due_tick_s: The tick that is due; it is not after ``now_s``.
        most: How many fire at most.
    """
    due = [due_tick_s, *ticks.latest(due_tick_s, now_s - ticks.window_s, most)]
    on_time = [tick_s for tick_s in due if now_s - tick_s - ticks.window_s <= LATE_S]
    match policy:
        case "all":
            fire = due[-most:]
        case "once":
            fire = on_time or due[-1:]
        case "skip":
            fire = on_time
    return Plan(tuple(fire), ticks.after(due[-1]))
