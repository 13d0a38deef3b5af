"""When rules and schedules are due, and the one transaction that fires: what it fires is queued, and it moves on.

Whatever happens in between, a tick is either still due or its events are in the queue: never both, never neither.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jupyter_lambda.model.invocation import AsyncEvent
from jupyter_lambda.model.scheduled import Delivery, Timer, TimerKind

from .database import Database
from .deliveries import Deliveries
from .events import EventQueue
from .part import Part

_COLUMNS = "kind, place, name, origin_s, tick_s, due_ms, last_tick_s, last_fired_s, last_result"
# All of them are checked to use an index.
DUE = f"""
SELECT {_COLUMNS} FROM timer WHERE due_ms <= ? ORDER BY due_ms LIMIT ?
"""  # noqa: S608
NEXT_DUE = """
SELECT min(due_ms) FROM timer WHERE due_ms IS NOT NULL
"""
GET = f"""
SELECT {_COLUMNS} FROM timer WHERE kind = ? AND place = ? AND name = ?
"""  # noqa: S608
MOVE = """
UPDATE timer SET tick_s = ?, due_ms = ?, last_tick_s = ?, last_fired_s = ?, last_result = ?
WHERE kind = ? AND place = ? AND name = ? AND due_ms = ? AND origin_s = ?
"""
STATEMENTS = (DUE, NEXT_DUE, GET, MOVE)


@dataclass(frozen=True, slots=True)
class Firing:
    """What becomes of a timer that is due."""

    before: Timer
    after: Timer
    events: Sequence[AsyncEvent] = ()
    deliveries: Sequence[Delivery] = ()
    #: The schedule is over and goes with it.
    delete: bool = False


class Timers(Part):
    """The timers of all rules and schedules."""

    def __init__(self, database: Database, events: EventQueue, deliveries: Deliveries) -> None:
        super().__init__(database)
        self._events = events
        self._deliveries = deliveries

    def next_due_s(self) -> float | None:
        """When the next one is due; None: none ticks."""
        row = self._database.query(NEXT_DUE)[0]
        return None if row[0] is None else row[0] / 1000

    def due(self, now_s: float, limit: int) -> list[Timer]:
        """Those that are due, the oldest first."""
        return [_timer(row) for row in self._database.query(DUE, (_ms(now_s), limit))]

    def get(self, kind: TimerKind, place: str, name: str) -> Timer | None:
        """One timer, or None."""
        row = self._database.first(GET, (kind, place, name))
        return _timer(row) if row else None

    def all(self) -> list[Timer]:
        """Every timer, the next due first; those that don't tick last."""
        order = "ORDER BY due_ms IS NULL, due_ms, kind, place, name"
        return [_timer(row) for row in self._database.query(f"SELECT {_COLUMNS} FROM timer {order}")]  # noqa: S608

    def ticking(self) -> int:
        """How many tick."""
        return int(self._database.query("SELECT count(*) FROM timer WHERE due_ms IS NOT NULL")[0][0])

    async def fire(self, firing: Firing, entered: Callable[[Sequence[AsyncEvent]], None]) -> bool:
        """Move a timer on and put into the queues what it fires, in one transaction.

        Args:
            entered: Called with the events that are in the queue now.
        Returns:
            False when it was changed or deleted meanwhile: nothing was done.
        Raises:
            StoreError: It can't be written; it is still due.
        """

        def run(connection: sqlite3.Connection) -> bool:
            if not move(connection, firing.before, firing.after):
                return False
            self._events.enter(connection, firing.events)
            self._deliveries.enter(connection, firing.deliveries)
            if firing.delete:
                timer = firing.after
                connection.execute("DELETE FROM schedule WHERE group_name = ? AND name = ?", (timer.place, timer.name))
                forget(connection, timer.kind, timer.place, timer.name)
            return True

        def then(done: bool) -> None:
            if done:
                entered(firing.events)
                self._deliveries.entered(len(firing.deliveries))

        return await self._database.write(run, then=then)


# ── within others' transactions ──────────────────────────────────────────────────────────────────────────────────────


def move(connection: sqlite3.Connection, before: Timer, after: Timer) -> bool:
    """Change a timer that is still as it was; False when it isn't."""
    return bool(
        connection.execute(
            MOVE,
            (
                after.tick_s,
                _ms(after.due_s),
                after.last_tick_s,
                after.last_fired_s,
                after.last_result,
                before.kind,
                before.place,
                before.name,
                _ms(before.due_s),
                before.origin_s,
            ),
        ).rowcount
    )


def put(connection: sqlite3.Connection, timer: Timer) -> None:
    """Set when one is due; what it did last stays."""
    connection.execute(
        "INSERT INTO timer (kind, place, name, origin_s, tick_s, due_ms) VALUES (?,?,?,?,?,?)"
        " ON CONFLICT DO UPDATE SET origin_s = excluded.origin_s, tick_s = excluded.tick_s, due_ms = excluded.due_ms",
        (timer.kind, timer.place, timer.name, timer.origin_s, timer.tick_s, _ms(timer.due_s)),
    )


def forget(connection: sqlite3.Connection, kind: TimerKind, place: str, name: str) -> None:
    """Its rule or schedule is gone."""
    connection.execute("DELETE FROM timer WHERE kind = ? AND place = ? AND name = ?", (kind, place, name))


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _timer(row: Sequence[Any]) -> Timer:
    kind, place, name, origin_s, tick_s, due_ms, *last = row
    return Timer(kind, place, name, origin_s, tick_s, None if due_ms is None else due_ms / 1000, *last)
