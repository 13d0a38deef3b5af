"""One SQLite file, one thread that writes, group commit, and reads in the loop's own thread.

Writers submit a job, a callable that takes the connection, and await its result. The thread commits whatever is
queued when it becomes free: there is no timer, a lone job waits for nobody, and under load one ``fsync`` serves many.
Free means: once the loop has taken the results of the commit before and the tasks they woke have had their turn, so
that what those write next is in the batch. (Without this, n writers fall into two groups that commit in turn, at half
the rate.) It delays nobody much: the results of the next batch need the loop as well.

The first attempt runs a batch in one plain transaction. Where a job fails, the batch is rolled back and run again with
a savepoint around each job, so that neighbours don't suffer and the common case pays for no savepoints. **A job may
therefore run twice**: it must do nothing but use its connection.

A commit that fails (full disk, I/O error) fails all jobs of its batch with ``StoreError``; the next one starts afresh.
When the disk is full, the ballast file is given up and the batch's *essential* jobs, those that acknowledge or delete,
run again on the space it leaves; others are refused until there is room for the ballast once more.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from jupyter_lambda.errors import StoreError

from .ballast import Ballast
from .connection import is_storage_failure, open_reader, open_writer, primary_code, translate
from .statements import Row, insert_rows

log = logging.getLogger(__name__)

T = TypeVar("T")
#: Of a statement with "?", or with ":name".
Parameters = Sequence[Any] | Mapping[str, Any]
#: Seconds a posted job may wait for company.
LAZY_S = 0.05
#: Seconds after which the writer goes on although the loop, busy with something long, hasn't taken the last results.
TURN_MAX_S = 0.02
#: Most jobs of one transaction.
BATCH_MAX = 1_000


@dataclass(slots=True)
class _Job(Generic[T]):
    """One submitted job. Either ``run`` is set, or ``table`` and ``row``: an INSERT that neighbours can share."""

    run: Callable[[sqlite3.Connection], T] | None
    #: None: nobody waits.
    future: asyncio.Future[T] | None
    #: Called in the loop after the commit, in commit order, even if nobody waits any more.
    then: Callable[[T], None] | None = None
    #: Called in the loop instead, where the job failed and nobody waits.
    failed: Callable[[BaseException], None] | None = None
    essential: bool = False
    table: str = ""
    row: Row = ()
    result: T | None = None
    error: BaseException | None = None


class Database:
    """The file ``lambda.db``. Opened with ``await Database.open(…)``; all methods are for the loop's thread."""

    def __init__(self, path: Path, writer: sqlite3.Connection, ballast: Ballast) -> None:
        self.path = path
        self._ballast = ballast
        self._writer = writer
        self._reader = open_reader(path)
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[bool, _Job[Any]] | None] = queue.SimpleQueue()
        #: Of this turn of the loop.
        self._submitted: list[tuple[bool, _Job[Any]]] = []
        self._closed = False
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @classmethod
    async def open(cls, path: Path) -> Database:
        """Open or create the file.

        Raises:
            StoreError: It can't be opened, or a newer release wrote it.
        """

        def prepare() -> tuple[sqlite3.Connection, Ballast]:
            ballast = Ballast(path.with_name("ballast"))
            writer = open_writer(path)
            if not ballast.restore():
                log.warning("no room for the reserve file beside %s: the disk is almost full", path)
            return writer, ballast

        return cls(path, *await asyncio.to_thread(prepare))

    async def close(self) -> None:
        """Write what is queued, then close the file."""
        if self._closed:
            return
        self._closed = True
        self._hand_over()
        self._queue.put(None)
        await asyncio.shield(asyncio.to_thread(self._thread.join))
        await asyncio.shield(asyncio.to_thread(self._put_away))
        # Last, as it may not write: so the log's files stay, empty, and a start needs no room for them on a full disk.
        self._reader.close()

    def _put_away(self) -> None:
        """Copy the write-ahead log, which the next start would have to read, and close the writer."""
        try:
            # Of however large a table, only a part is looked at.
            self._writer.executescript("PRAGMA analysis_limit = 400; PRAGMA optimize")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._writer.close()
        except sqlite3.Error as exc:  # all is committed; only that copying is left to the next start
            log.warning("closing %s: %s", self.path, exc)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def query(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """All rows of a SELECT, at once: an open cursor would keep the write-ahead log from being reused.

        Raises:
            StoreError: The file can't be read.
        """
        try:
            return self._reader.execute(sql, parameters).fetchall()
        except sqlite3.Error as exc:
            raise translate(exc, self.path) from exc

    def first(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """The first row of a SELECT, or None.

        Raises:
            StoreError: The file can't be read.
        """
        rows = self.query(sql, parameters)
        return rows[0] if rows else None

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def write(
        self,
        run: Callable[[sqlite3.Connection], T],
        *,
        then: Callable[[T], None] | None = None,
        essential: bool = False,
    ) -> asyncio.Future[T]:
        """Run a job in the next transaction; the future is done once that is on disk.

        Args:
            run: May be called twice, in the writer's thread; must have no effect but through its connection.
            then: Called with the result in the loop, in commit order, before the future is done and even if it was
                cancelled: caches are kept right there.
            essential: Frees space or acknowledges: may use the ballast.
        Raises:
            StoreError: (by the future) The transaction can't be written. Errors that ``run`` raises come unchanged.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._submit(_Job(run, future, then, essential=essential))
        return future

    def insert(self, table: str, row: Row, *, then: Callable[[None], None] | None = None) -> asyncio.Future[None]:
        """Insert one row; inserts that are queued side by side share a statement.

        Args:
            table: Table with its columns, "event (due_ms, …)".
        Raises:
            StoreError: (by the future) The transaction can't be written.
            sqlite3.IntegrityError: (by the future) The row breaks a constraint.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        self._submit(_Job(None, future, then, table=table, row=row))
        return future

    def post(self, run: Callable[[sqlite3.Connection], T], *, failed: Callable[[BaseException], None]) -> None:
        """Run a job with whatever is committed next, within ``LAZY_S``; nobody waits for it.

        Args:
            failed: Called in the loop when it could not be written.
        Raises:
            StoreError: The database is closed.
        """
        self._submit(_Job(run, None, failed=failed), lazy=True)

    def _submit(self, job: _Job[Any], *, lazy: bool = False) -> None:
        if self._closed:
            raise StoreError(f"{self.path} is closed: the engine is stopping; try again when it is back")
        if not self._submitted:
            self._loop.call_soon(self._hand_over)
        self._submitted.append((lazy, job))

    def _hand_over(self) -> None:
        """Give the writer all that one turn of the loop has submitted: it is woken once, and commits it together."""
        submitted, self._submitted = self._submitted, []
        for item in submitted:
            self._queue.put(item)

    # ── the writer's thread ──────────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        open_ = True
        while open_:
            jobs, open_ = self._gather()
            if jobs:
                try:
                    self._commit(jobs)
                except Exception as exc:  # without this thread every later write would wait for ever
                    log.exception("the store's writer failed")
                    _fail(jobs, StoreError(f"{self.path}: the engine failed to write; see its log"), exc)
                self._report(jobs)

    def _gather(self) -> tuple[list[_Job[Any]], bool]:
        """The next batch, and False when it is the last one."""
        jobs: list[_Job[Any]] = []
        urgent, deadline = False, 0.0
        while len(jobs) < BATCH_MAX:
            try:
                if not jobs:
                    item = self._queue.get()
                    deadline = time.monotonic() + LAZY_S
                elif urgent:
                    item = self._queue.get_nowait()
                else:
                    item = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if item is None:
                return jobs, False
            lazy, job = item
            jobs.append(job)
            urgent = urgent or not lazy
        return jobs, True

    def _commit(self, jobs: list[_Job[Any]]) -> None:
        """Run a batch to its end: afterwards each job has its result or its error."""
        if not self._ballast.restore():
            jobs = self._refuse_inessential(jobs)
        try:
            self._transaction(jobs)
        except sqlite3.Error as exc:
            if primary_code(exc) != sqlite3.SQLITE_FULL:
                _fail(jobs, translate(exc, self.path), exc)
                return
            log.warning("%s: the disk is full; only acknowledgements and deletes go on", self.path)
            self._ballast.release()
            jobs = self._refuse_inessential(jobs)
            try:
                self._transaction(jobs)
            except sqlite3.Error as again:
                _fail(jobs, translate(again, self.path), again)

    def _refuse_inessential(self, jobs: list[_Job[Any]]) -> list[_Job[Any]]:
        error = StoreError(
            f"{self.path}: disk full; free some space there, then try again. Nothing acknowledged is lost"
        )
        _fail([job for job in jobs if not job.essential], error, None)
        return [job for job in jobs if job.essential]

    def _transaction(self, jobs: list[_Job[Any]]) -> None:
        """One transaction, optimistically without savepoints.

        Raises:
            sqlite3.Error: The transaction as a whole failed and is rolled back.
        """
        if not jobs:
            return
        for job in jobs:
            # Of an attempt before this one.
            job.result, job.error = None, None
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            if not self._run_plain(jobs):
                self._writer.execute("ROLLBACK")
                self._writer.execute("BEGIN IMMEDIATE")
                for job in jobs:
                    self._run_isolated(job)
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    def _run_plain(self, jobs: list[_Job[Any]]) -> bool:
        """False as soon as a job fails by its own fault."""
        rows: list[Row] = []
        table = ""
        try:
            for job in jobs:
                if rows and job.table != table:
                    insert_rows(self._writer, table, rows)
                    rows = []
                if job.run is None:
                    table = job.table
                    rows.append(job.row)
                else:
                    job.result = job.run(self._writer)
            if rows:
                insert_rows(self._writer, table, rows)
        except Exception as exc:
            if is_storage_failure(exc):
                raise
            return False
        return True

    def _run_isolated(self, job: _Job[Any]) -> None:
        self._writer.execute("SAVEPOINT job")
        try:
            if job.run is None:
                insert_rows(self._writer, job.table, [job.row])
            else:
                job.result = job.run(self._writer)
        except Exception as exc:
            if is_storage_failure(exc):
                raise
            job.error = exc
            self._writer.execute("ROLLBACK TO job")
        self._writer.execute("RELEASE job")

    def _report(self, jobs: list[_Job[Any]]) -> None:
        self._turn.acquire(blocking=False)
        try:
            self._loop.call_soon_threadsafe(self._deliver, jobs)
        except RuntimeError:
            log.warning("the event loop ended before %d results of the store could be delivered", len(jobs))
        else:
            self._turn.acquire(timeout=TURN_MAX_S)

    def _deliver(self, jobs: list[_Job[Any]]) -> None:
        for job in jobs:
            try:
                self._finish(job)
            except Exception:  # the neighbours' callers must get their answers, whatever one callback does
                log.exception("a callback of the store failed")
                if job.future is not None and not job.future.done():
                    job.future.set_exception(StoreError("the write is committed, but the engine failed to take note"))
        # Runs after the tasks woken above: the loop keeps the order.
        self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        if self._turn.locked():
            self._turn.release()

    def _finish(self, job: _Job[Any]) -> None:
        error = None if job.error is None else self._spoken(job.error)
        if error is None and job.then is not None:
            job.then(job.result)
        if job.future is None:
            if error is not None and job.failed is not None:
                job.failed(error)
        elif job.future.cancelled():
            # The caller went away; the write happened or failed all the same.
            return
        elif error is None:
            job.future.set_result(job.result)
        else:
            job.future.set_exception(error)

    def _spoken(self, error: BaseException) -> BaseException:
        """Errors of jobs as the caller shall see them; constraints stay SQLite's for the caller to name."""
        if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError):
            spoken = translate(error, self.path)
            spoken.__cause__ = error
            return spoken
        return error


def _fail(jobs: Sequence[_Job[Any]], error: StoreError, cause: BaseException | None) -> None:
    for job in jobs:
        # One each: tracebacks grow on an exception that several callers raise.
        own = type(error)(error.message)
        own.__cause__ = cause
        job.error, job.result = own, None
