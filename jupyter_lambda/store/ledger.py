"""What every invocation cost: one record each, and sums per function and hour that outlive the records.

Records are written behind the invocation: ``record`` returns at once, and what came together within 50 ms, or whatever
precedes the next awaited commit, becomes one INSERT and one update of the sums in the same transaction. A crash of the
engine can lose the last 50 ms of synchronous invocations' records; an asynchronous event's record is written together
with its removal from the queue.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from jupyter_lambda.model.invocation import InvocationRecord

from .database import Database
from .statements import insert_rows

log = logging.getLogger(__name__)

#: Records kept; older ones leave, their sums stay. About 400 bytes each with their indexes.
RECORDS_MAX = 500_000
#: Records that leave in one transaction.
TRIM_CHUNK = 2_000

_NAMES = tuple(f.name for f in fields(InvocationRecord))
_COLUMNS = ", ".join(_NAMES)
_TABLE = f"invocation ({_COLUMNS})"
_COLD = _NAMES.index("cold")
# dataclasses.astuple copies deeply, which takes ten times as long.
_values = attrgetter(*_NAMES)
GET = f"SELECT {_COLUMNS} FROM invocation WHERE request_id = ? ORDER BY seq DESC LIMIT 1"  # noqa: S608
_SUMS = """
    invocations = invocations + excluded.invocations,
    errors      = errors + excluded.errors,
    throttles   = throttles + excluded.throttles,
    cold        = cold + excluded.cold,
    billed_ms   = billed_ms + excluded.billed_ms,
    gb_s        = gb_s + excluded.gb_s,
    run_ms_sum  = run_ms_sum + excluded.run_ms_sum,
    run_ms_max  = max(run_ms_max, excluded.run_ms_max),
    first_s     = min(first_s, excluded.first_s),
    last_s      = max(last_s, excluded.last_s)
"""
_ADD_USAGE = f"""
INSERT INTO usage (function_name, invocations, errors, throttles, cold, billed_ms, gb_s, run_ms_sum, run_ms_max,
                   first_s, last_s, hour)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (function_name, hour) DO UPDATE SET {_SUMS}
"""  # noqa: S608
_ADD_TOTAL = f"""
INSERT INTO usage_total (function_name, invocations, errors, throttles, cold, billed_ms, gb_s, run_ms_sum, run_ms_max,
                         first_s, last_s)
VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (function_name) DO UPDATE SET {_SUMS}
"""  # noqa: S608


@dataclass(slots=True)
class FunctionStats:
    """Sums over one function's invocations. Durations in milliseconds, times in seconds since the epoch."""

    function_name: str
    invocations: int = 0
    errors: int = 0
    throttles: int = 0
    cold: int = 0
    billed_ms: int = 0
    gb_s: float = 0.0
    run_ms_sum: float = 0.0
    run_ms_max: float = 0.0
    first_s: float = float("inf")
    last_s: float = 0.0

    def add(self, record: InvocationRecord) -> None:
        """Count one invocation."""
        self.invocations += 1
        self.errors += record.status != "success"
        self.cold += record.cold
        self.billed_ms += record.billed_ms
        self.gb_s += record.gb_s
        self.run_ms_sum += record.run_ms
        self.run_ms_max = max(self.run_ms_max, record.run_ms)
        self.seen(record.received_s)

    def seen(self, now_s: float) -> None:
        """Widen the time it spans."""
        self.first_s, self.last_s = min(self.first_s, now_s), max(self.last_s, now_s)


_sums = attrgetter(*[f.name for f in fields(FunctionStats)][1:])


class _Batch:
    """Records on their way to the next commit; filled in the loop until the writer's thread seals it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sealed = False
        self.records: list[InvocationRecord] = []
        #: (function name, seconds since the epoch) of each invocation that was turned away.
        self.throttles: list[tuple[str, float]] = []

    def add(self, record: InvocationRecord | None, throttle: tuple[str, float] | None = None) -> bool:
        """False when it is too late for this batch."""
        with self._lock:
            if self._sealed:
                return False
            if record is not None:
                self.records.append(record)
            if throttle is not None:
                self.throttles.append(throttle)
            return True

    def seal(self) -> None:
        """Nothing is added from now on."""
        with self._lock:
            self._sealed = True


class Ledger:
    """The records of all invocations."""

    def __init__(self, database: Database, records_max: int = RECORDS_MAX) -> None:
        self._database = database
        self._records_max = records_max
        self._batch = _Batch()
        self._batch.seal()
        #: Records since the oldest were trimmed last; used by the writer's thread.
        self._untrimmed = TRIM_CHUNK

    def record(self, record: InvocationRecord) -> None:
        """Keep a record; returns at once. A failure to write is logged.

        Raises:
            StoreError: The store is closed.
        """
        if not self._batch.add(record):
            self._open_batch().add(record)

    def throttle(self, function_name: str, now_s: float) -> None:
        """Count an invocation that was turned away; returns at once.

        Raises:
            StoreError: The store is closed.
        """
        if not self._batch.add(None, (function_name, now_s)):
            self._open_batch().add(None, (function_name, now_s))

    async def flush(self) -> None:
        """Return once everything recorded so far is on disk and visible to reads."""
        await self._database.write(lambda _: None)

    def get(self, request_id: str) -> InvocationRecord | None:
        """The latest record of a request, that is, of its last attempt. ``flush`` first to see the newest."""
        row = self._database.first(GET, (request_id,))
        return _record(row) if row else None

    def recent(
        self,
        function_name: str | None = None,
        before_s: float | None = None,
        limit: int = 100,
        status: str | None = None,
        since_s: float | None = None,
    ) -> list[InvocationRecord]:
        """Records, newest first by the time the engine accepted the invocation.

        Args:
            before_s: Only those accepted earlier (the last ``received_s`` of the page before).
            status: Only those that ended so; "failed" for all that did not succeed.
            since_s: Only those accepted at this time or later.
        """
        sql, parameters = recent_query(function_name, before_s, limit, status, since_s)
        return [_record(row) for row in self._database.query(sql, parameters)]

    def stats(self, function_name: str | None = None, since_s: float | None = None) -> list[FunctionStats]:
        """Sums per function, by name.

        Args:
            since_s: Counted from the beginning of the hour this falls into.
        """
        sql, parameters = stats_query(function_name, since_s)
        rows = self._database.query(sql, parameters)
        return [FunctionStats(*row) for row in rows]

    def daily(self, since_s: float) -> list[tuple[str, int, int, int, int, float]]:
        """Function, day since the epoch (UTC), invocations, errors, billed milliseconds and GB-seconds.

        Args:
            since_s: Counted from the beginning of the hour this falls into.
        """
        return self._database.query(
            "SELECT function_name, hour / 24, sum(invocations), sum(errors), sum(billed_ms), sum(gb_s) FROM usage "
            "WHERE hour >= ? AND invocations > 0 GROUP BY 1, 2",
            (int(since_s // 3600),),
        )

    def write(self, connection: sqlite3.Connection, records: Sequence[InvocationRecord]) -> None:
        """Write records and their sums in the transaction under way; for jobs of the writer's thread."""
        insert_rows(connection, _TABLE, [_values(record) for record in records])
        _add_usage(connection, records, ())
        self._untrimmed += len(records)
        if self._untrimmed >= TRIM_CHUNK:
            self._untrimmed -= _trim(connection, self._records_max)

    def _open_batch(self) -> _Batch:
        batch = _Batch()

        def run(connection: sqlite3.Connection) -> None:
            batch.seal()
            if batch.records:
                self.write(connection, batch.records)
            _add_usage(connection, (), batch.throttles)

        def failed(error: BaseException) -> None:
            batch.seal()
            log.error("%d records of invocations are lost: %s", len(batch.records), error)

        self._database.post(run, failed=failed)
        self._batch = batch
        return batch


def recent_query(
    function_name: str | None, before_s: float | None, limit: int, status: str | None, since_s: float | None
) -> tuple[str, list[Any]]:
    """The SELECT behind ``Ledger.recent`` and its parameters; each form has an index that gives its order."""
    terms: list[str] = ["received_s < ?", "received_s >= ?"]
    parameters: list[Any] = [float("inf") if before_s is None else before_s, 0.0 if since_s is None else since_s]
    if function_name is not None:
        terms.append("function_name = ?")
        parameters.append(function_name)
    if status is not None and status != "success":
        # Said literally, so that SQLite sees that the index of failures alone is enough.
        terms.append("status <> 'success'")
    if status is not None and status != "failed":
        terms.append("status = ?")
        parameters.append(status)
    where = " AND ".join(terms)
    sql = f"SELECT {_COLUMNS} FROM invocation WHERE {where} ORDER BY received_s DESC LIMIT ?"  # noqa: S608
    return sql, [*parameters, limit]


def stats_query(function_name: str | None, since_s: float | None) -> tuple[str, list[Any]]:
    """The SELECT behind ``Ledger.stats`` and its parameters: over all time one row per function, else an index."""
    parameters: list[Any] = [] if function_name is None else [function_name]
    if since_s is None:
        chosen = "" if function_name is None else "WHERE function_name = ?"
        return f"SELECT * FROM usage_total {chosen} ORDER BY function_name", parameters  # noqa: S608
    # Said by name: without statistics SQLite would rather read every hour of every function in order.
    index, chosen = ("INDEXED BY usage_by_hour", "") if function_name is None else ("", "AND function_name = ?")
    sql = f"""
        SELECT function_name, sum(invocations), sum(errors), sum(throttles), sum(cold), sum(billed_ms), sum(gb_s),
               sum(run_ms_sum), max(run_ms_max), min(first_s), max(last_s)
        FROM usage {index} WHERE hour >= ? {chosen} GROUP BY function_name ORDER BY function_name
    """  # noqa: S608
    return sql, [int(since_s // 3600), *parameters]


def _record(row: tuple[Any, ...]) -> InvocationRecord:
    values = list(row)
    values[_COLD] = bool(values[_COLD])
    return InvocationRecord(*values)


def _add_usage(
    connection: sqlite3.Connection, records: Iterable[InvocationRecord], throttles: Iterable[tuple[str, float]]
) -> None:
    sums: dict[tuple[str, int], FunctionStats] = {}
    for record in records:
        _sum(sums, record.function_name, record.received_s).add(record)
    for name, now_s in throttles:
        entry = _sum(sums, name, now_s)
        entry.throttles += 1
        entry.seen(now_s)
    for (name, hour), stats in sums.items():
        sums_of = _sums(stats)
        connection.execute(_ADD_USAGE, (name, *sums_of, hour))
        connection.execute(_ADD_TOTAL, (name, *sums_of))


def _sum(sums: dict[tuple[str, int], FunctionStats], name: str, now_s: float) -> FunctionStats:
    key = (name, int(now_s // 3600))
    if key not in sums:
        sums[key] = FunctionStats(name)
    return sums[key]


def _trim(connection: sqlite3.Connection, records_max: int) -> int:
    """Delete the oldest records beyond the cap, at most one chunk. Returns how much of the debt is paid."""
    deleted = connection.execute(
        """
        DELETE FROM invocation WHERE seq IN (
            SELECT seq FROM invocation WHERE seq <= (SELECT max(seq) FROM invocation) - ? ORDER BY seq LIMIT ?)
        """,
        (records_max, 2 * TRIM_CHUNK),
    ).rowcount
    # A whole chunk: there may be more of them (the cap was lowered), so the next write trims again.
    return 0 if deleted == 2 * TRIM_CHUNK else TRIM_CHUNK
