"""The durable queue of asynchronous invocations.

An event is *waiting* for its function until it is leased; a lease that isn't renewed runs out, and it is due again.
It leaves the queue when it succeeds, or when its destination has accepted its *outcome*; an event that can't go on is
*buried*: kept visibly, and never tried again. Lives by at-least-once: whoever holds a lease may have run the function
before it died.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jupyter_lambda.errors import ResourceConflictException
from jupyter_lambda.model.invocation import AsyncEvent, InvocationRecord

from .database import Database
from .ledger import Ledger
from .statements import each, insert_rows
from .successes import REMOVE_RUN, Change, Successes, kind

log = logging.getLogger(__name__)

#: Dead events kept; the oldest leave first.
DEAD_MAX = 10_000
#: Bytes of a dead event's payload that are shown.
DEAD_PAYLOAD_BYTES = 4_096

_EVENT = (
    "request_id, function_name, qualifier, payload, source, enqueued_s, client_context, trace_id, "
    "attempts, deferrals, outcome"
)
_TABLE = f"event (due_ms, {_EVENT})"

# A part of the statements that follow; all of them are checked to use an index.
LEASE = """
SELECT seq, leased FROM event WHERE state = ? AND due_ms <= ? ORDER BY due_ms LIMIT ?
"""
TAKE = f"""
UPDATE event SET leased = 1, due_ms = ? WHERE seq IN (?) RETURNING {_EVENT}, seq
"""  # noqa: S608
RENEW = """
UPDATE event SET due_ms = ? WHERE request_id = ? AND leased = 1
"""
RETRY = """
UPDATE event SET leased = 0, due_ms = ?, attempts = ?, deferrals = ? WHERE request_id = ? AND state = 'waiting'
"""
SETTLE = """
UPDATE event SET leased = 0, state = 'outcome', due_ms = ?, outcome = ? WHERE request_id = ?
"""
REMOVE = f"""
DELETE FROM event WHERE request_id = ? RETURNING state, leased, {_EVENT}
"""  # noqa: S608
KIND = """
SELECT state, leased FROM event WHERE request_id = ?
"""
NEXT_DUE = """
SELECT min(due_ms) FROM event WHERE state = ?
"""
OLDEST = """
SELECT enqueued_s FROM event ORDER BY seq LIMIT 1
"""
GET = f"""
SELECT {_EVENT} FROM event WHERE request_id = ?
"""  # noqa: S608
STATEMENTS = (LEASE, TAKE, RENEW, RETRY, SETTLE, REMOVE, REMOVE_RUN, KIND, NEXT_DUE, GET)


class EventQueue:
    """The queue. Every awaited method raises StoreError when the change can't be written; nothing is changed then."""

    def __init__(self, database: Database, ledger: Ledger, clock: Callable[[], float]) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock
        self._successes: Successes | None = None
        # Counted once, then kept by every change: counting a million rows takes too long to do often.
        self._depth: Counter[str] = Counter()
        for state, leased, count in database.query("SELECT state, leased, count(*) FROM event GROUP BY state, leased"):
            self._depth[kind(state, leased)] += count
        self._depth["dead"] = database.query("SELECT count(*) FROM dead_event")[0][0]

    # ── into the queue ───────────────────────────────────────────────────────────────────────────────────────────────

    async def enqueue(self, event: AsyncEvent) -> None:
        """Add an event; returns once it is on disk.

        Raises:
            ResourceConflictException: An event with this request id is in the queue.
            StoreError: It can't be written: the event is not accepted.
        """
        try:
            await self._database.insert(_TABLE, _row(event), then=self._entered)
        except sqlite3.IntegrityError as exc:
            raise ResourceConflictException(
                f"An event with the request id {event.request_id} is queued already"
            ) from exc

    def enter(self, connection: sqlite3.Connection, events: Sequence[AsyncEvent]) -> None:
        """Add events in somebody else's transaction, a job of ``Database.write``: both are on disk, or neither is.

        ``entered`` must follow from the job's ``then``.

        Raises:
            sqlite3.IntegrityError: An event of the same request id is in the queue.
        """
        insert_rows(connection, _TABLE, [_row(event) for event in events])

    def entered(self, count: int) -> None:
        """So many events of ``enter`` are committed."""
        self._depth["waiting"] += count

    # ── the worker ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def lease(self, now_s: float, limit: int, lease_s: float) -> list[AsyncEvent]:
        """Take events that are due, oldest due first.

        Args:
            limit: Most events.
            lease_s: Seconds before another worker may take them; see ``renew``.
        """
        return await self._lease("waiting", now_s, limit, lease_s)

    async def lease_outcomes(self, now_s: float, limit: int, lease_s: float) -> list[AsyncEvent]:
        """Take events whose destination is owed their outcome, oldest due first."""
        return await self._lease("outcome", now_s, limit, lease_s)

    async def renew(self, request_ids: Iterable[str], until_s: float) -> None:
        """Prolong leases; those that no longer exist are passed over."""
        rows = [(_ms(until_s), request_id) for request_id in request_ids]

        def run(connection: sqlite3.Connection) -> None:
            connection.executemany(RENEW, rows)

        if rows:
            await self._database.write(run, essential=True)

    async def retry(self, request_id: str, due_s: float, *, attempts: int, deferrals: int) -> None:
        """Put an event back; nothing happens when it is gone.

        Args:
            due_s: When it may be taken again.
            attempts: Attempts that ended in a function error so far.
            deferrals: Attempts put off by a throttle or a system error so far.
        """

        def run(connection: sqlite3.Connection) -> Change:
            before = connection.execute(KIND, (request_id,)).fetchone()
            if before is None or before[0] != "waiting":
                return {}
            connection.execute(RETRY, (_ms(due_s), attempts, deferrals, request_id))
            return _moved(before, "waiting")

        await self._database.write(run, then=self._changed, essential=True)

    async def succeed(self, request_id: str, record: InvocationRecord | None) -> None:
        """Remove an event that ran, and keep its record, in one transaction; those that end together share it."""
        batch = self._successes
        if batch is None or not batch.add(request_id, record):
            batch = Successes()
            batch.add(request_id, record)
            batch.written = self._database.write(
                functools.partial(batch.write, self._ledger), then=self._changed, essential=True
            )
            self._successes = batch
        # One caller that is cancelled must not take the others along.
        await asyncio.shield(batch.written)

    async def settle(self, request_id: str, outcome: dict[str, Any], record: InvocationRecord | None) -> None:
        """The function is done with, the destination is not: keep what it is owed, due at once.

        Args:
            outcome: JSON; comes back as the ``outcome`` of ``lease_outcomes``' events.
            record: Of the last attempt, if it ran.
        """
        text, now_s = json.dumps(outcome), self._clock()

        def run(connection: sqlite3.Connection) -> Change:
            if record is not None:
                self._ledger.write(connection, [record])
            before = connection.execute(KIND, (request_id,)).fetchone()
            connection.execute(SETTLE, (_ms(now_s), text, request_id))
            return _moved(before, "outcome") if before else {}

        await self._database.write(run, then=self._changed)

    async def defer_outcome(self, request_id: str, due_s: float, *, deferrals: int) -> None:
        """The destination didn't accept: try again later."""

        def run(connection: sqlite3.Connection) -> Change:
            before = connection.execute(KIND, (request_id,)).fetchone()
            if before is None or before[0] != "outcome":
                return {}
            connection.execute(
                "UPDATE event SET leased = 0, due_ms = ?, deferrals = ? WHERE request_id = ?",
                (_ms(due_s), deferrals, request_id),
            )
            return {}

        await self._database.write(run, then=self._changed, essential=True)

    async def delivered(self, request_id: str) -> None:
        """The destination accepted the outcome: the event leaves."""

        def run(connection: sqlite3.Connection) -> Change:
            return _moved(connection.execute(REMOVE, (request_id,)).fetchone(), None)

        await self._database.write(run, then=self._changed, essential=True)

    async def hand_over(self, request_id: str, event: AsyncEvent) -> None:
        """The destination is a function of this engine: replace an event by one for it, in one transaction.

        Raises:
            ResourceConflictException: An event with the new one's request id is in the queue.
        """
        row = _row(event)

        def run(connection: sqlite3.Connection) -> Change:
            change = _moved(connection.execute(REMOVE, (request_id,)).fetchone(), None)
            try:
                insert_rows(connection, _TABLE, [row])
            except sqlite3.IntegrityError as exc:
                raise ResourceConflictException(f"An event with the id {event.request_id} is queued already") from exc
            change["waiting"] += 1
            return change

        await self._database.write(run, then=self._changed)

    async def bury(self, request_id: str, reason: str) -> None:
        """Keep an event as dead, with why; the oldest of more than ``DEAD_MAX`` leave."""
        now_s = self._clock()

        def run(connection: sqlite3.Connection) -> Change:
            row = connection.execute(REMOVE, (request_id,)).fetchone()
            if row is None:
                return {}
            event = _event(row[2:])
            connection.execute(
                "INSERT INTO dead_event (request_id, buried_s, reason, body, payload) VALUES (?,?,?,?,?)",
                (event.request_id, now_s, reason, _body(event), event.payload),
            )
            dropped = connection.execute(
                "DELETE FROM dead_event WHERE seq <= (SELECT max(seq) FROM dead_event) - ?", (DEAD_MAX,)
            ).rowcount
            change = _moved(row, "dead")
            change["dead"] -= dropped
            return change

        await self._database.write(run, then=self._changed)

    async def forget_dead(self, count: int) -> int:
        """Let the oldest dead events go, to make room; returns how many went."""

        def run(connection: sqlite3.Connection) -> int:
            return connection.execute(
                "DELETE FROM dead_event WHERE seq IN (SELECT seq FROM dead_event ORDER BY seq LIMIT ?)", (count,)
            ).rowcount

        return await self._database.write(run, then=lambda gone: self._changed({"dead": -gone}), essential=True)

    async def reclaim(self) -> int:
        """Void all leases, as at the engine's start, when nobody can hold one. Returns how many there were."""
        now_ms = _ms(self._clock())

        def run(connection: sqlite3.Connection) -> tuple[int, int]:
            # Due when they came, so that they go before what came later.
            counts = [
                connection.execute(
                    "UPDATE event SET leased = 0, due_ms = min(?, CAST(enqueued_s * 1000 AS INTEGER))"
                    " WHERE state = ? AND leased = 1",
                    (now_ms, state),
                ).rowcount
                for state in ("waiting", "outcome")
            ]
            return counts[0], counts[1]

        def then(counts: tuple[int, int]) -> None:
            self._changed({"leased": -counts[0], "waiting": counts[0]})

        counts = await self._database.write(run, then=then)
        if sum(counts):
            log.info("%d events were being worked on when the last engine ended; they are due again", sum(counts))
        return sum(counts)

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def depth(self) -> dict[str, int]:
        """How many events are waiting, leased (being run), owed to a destination (outcome), dead."""
        return {state: self._depth[state] for state in ("waiting", "leased", "outcome", "dead")}

    def next_due_s(self) -> float | None:
        """When the next event is due or the next lease runs out; None when the queue is empty."""
        found = [self._database.query(NEXT_DUE, (state,))[0][0] for state in ("waiting", "outcome")]
        return min((due / 1000 for due in found if due is not None), default=None)

    def oldest_age_s(self, now_s: float) -> float:
        """Seconds since the oldest event came that is still in the queue; 0 when it is empty."""
        row = self._database.first(OLDEST)
        return max(0.0, now_s - row[0]) if row else 0.0

    def get(self, request_id: str) -> AsyncEvent | None:
        """An event in the queue, or None."""
        row = self._database.first(GET, (request_id,))
        return _event(row) if row else None

    def dead(self, limit: int) -> list[dict[str, Any]]:
        """Dead events, newest first, ready for JSON.

        Returns:
            For each the members of AsyncEvent, ``reason``, ``buried_s``, ``payload_bytes`` (its size) and ``payload``
            (its beginning, as text).
        """
        rows = self._database.query(
            "SELECT body, reason, buried_s, length(payload), substr(payload, 1, ?) FROM dead_event"
            " ORDER BY seq DESC LIMIT ?",
            (DEAD_PAYLOAD_BYTES, limit),
        )
        return [
            {
                **json.loads(body),
                "reason": reason,
                "buried_s": buried_s,
                "payload_bytes": size,
                "payload": head.decode("utf-8", "replace"),
            }
            for body, reason, buried_s, size, head in rows
        ]

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _lease(self, state: str, now_s: float, limit: int, lease_s: float) -> list[AsyncEvent]:
        def run(connection: sqlite3.Connection) -> tuple[list[AsyncEvent], int]:
            due = connection.execute(LEASE, (state, _ms(now_s), limit)).fetchall()
            until_ms = _ms(now_s + lease_s)
            taken = {row[-1]: row for row in each(connection, TAKE, [seq for seq, _ in due], until_ms)}
            return [_event(taken[seq][:-1]) for seq, _ in due], sum(not leased for _, leased in due)

        def then(result: tuple[list[AsyncEvent], int]) -> None:
            if state == "waiting":
                self._changed({"waiting": -result[1], "leased": result[1]})

        # Not essential: with a full disk there is no sense in starting what can't be recorded.
        events, _ = await self._database.write(run, then=then)
        return events

    def _entered(self, _: None) -> None:
        self._depth["waiting"] += 1

    def _changed(self, change: Change) -> None:
        for state, difference in change.items():
            self._depth[state] += difference


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _moved(before: Sequence[Any] | None, after: str | None) -> Change:
    """The change of depth when a row (state, leased, …) becomes something else, or leaves."""
    change: Change = Counter()
    if before is not None:
        change[kind(before[0], before[1])] -= 1
        if after is not None:
            change[after] += 1
    return change


def _row(event: AsyncEvent) -> tuple[Any, ...]:
    return (
        _ms(event.enqueued_s),
        event.request_id,
        event.function_name,
        event.qualifier,
        event.payload,
        event.source,
        event.enqueued_s,
        event.client_context,
        event.trace_id,
        event.attempts,
        event.deferrals,
        None if event.outcome is None else json.dumps(event.outcome),
    )


def _event(row: Sequence[Any]) -> AsyncEvent:
    values = list(row)
    values[-1] = None if row[-1] is None else json.loads(row[-1])
    return AsyncEvent(*values)


def _body(event: AsyncEvent) -> str:
    """Everything but the payload, as JSON."""
    names = [name for name in AsyncEvent.__slots__ if name != "payload"]
    return json.dumps({name: getattr(event, name) for name in names})
