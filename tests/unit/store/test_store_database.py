"""Group commit: isolation of neighbours, failing commits, full disks, callbacks."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jupyter_lambda.errors import StoreError
from jupyter_lambda.store import ballast as ballast_module
from jupyter_lambda.store.ballast import Ballast
from jupyter_lambda.store.database import Database
from jupyter_lambda.store.statements import insert_rows


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "lambda.db")
    await opened.write(lambda c: c.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)") and None)
    yield opened
    await opened.close()


def put(number: int, text: str = ""):
    def run(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO t VALUES (?, ?)", (number, text))
        return number

    return run


def ids(database: Database) -> list[int]:
    return [row[0] for row in database.query("SELECT id FROM t ORDER BY id")]


async def test_failing_job_does_not_fail_its_neighbours(database: Database):
    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (100, 'half done')")
        raise KeyError("broken")

    results = await asyncio.gather(
        database.write(put(1)),
        database.write(broken),
        database.insert("t (id, text)", (2, "two")),
        database.insert("t (id, text)", (2, "again")),
        database.write(put(3)),
        return_exceptions=True,
    )
    assert results[0] == 1
    assert isinstance(results[1], KeyError)
    assert results[2] is None
    assert isinstance(results[3], sqlite3.IntegrityError)
    assert results[4] == 3
    assert ids(database) == [1, 2, 3]
    assert database.query("SELECT text FROM t WHERE id = 2") == [("two",)]


async def test_order_of_inserts_and_jobs_is_kept(database: Database):
    def change(connection: sqlite3.Connection) -> int:
        return connection.execute("UPDATE t SET text = 'changed'").rowcount

    first = database.insert("t (id, text)", (1, "a"))
    changed = database.write(change)
    second = database.insert("t (id, text)", (2, "b"))
    await asyncio.gather(first, changed, second)
    assert await changed == 1
    assert database.query("SELECT text FROM t ORDER BY id") == [("changed",), ("b",)]


async def test_sql_error_in_a_job_is_a_store_error(database: Database):
    with pytest.raises(StoreError, match="no such table"):
        await database.write(lambda c: c.execute("SELECT * FROM nowhere"))
    with pytest.raises(StoreError, match="no such table"):
        database.query("SELECT * FROM nowhere")


async def test_reader_cannot_write(database: Database):
    with pytest.raises(StoreError, match=r"readonly|read-only"):
        database.query("INSERT INTO t VALUES (1, '')")


async def test_callback_runs_though_the_caller_went_away(database: Database):
    seen: list[int] = []
    future = database.write(put(1), then=seen.append)
    future.cancel()
    await database.write(lambda _: None)
    assert seen == [1]
    assert ids(database) == [1]


async def test_failing_callback_harms_its_own_caller_only(database: Database):
    def then(_: int) -> None:
        raise RuntimeError("bug")

    first, second = database.write(put(1), then=then), database.write(put(2))
    with pytest.raises(StoreError, match="committed"):
        await first
    assert await second == 2


async def test_posted_jobs_are_written_without_anybody_waiting(database: Database):
    failures: list[BaseException] = []
    database.post(put(1), failed=failures.append)
    database.post(put(1), failed=failures.append)
    async with asyncio.timeout(10):
        while not failures:
            await asyncio.sleep(0.01)
    assert ids(database) == [1]
    assert isinstance(failures[0], sqlite3.IntegrityError)


async def test_store_stays_usable_after_a_failed_commit(database: Database):
    """A deferred foreign key fails the COMMIT itself."""

    def poison(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO child VALUES (7)")

    await database.write(
        lambda c: c.execute("CREATE TABLE child (t INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)") and None
    )
    database._writer.execute("PRAGMA foreign_keys = ON")
    results = await asyncio.gather(database.write(put(1)), database.write(poison), return_exceptions=True)
    assert [type(r) for r in results] == [StoreError, StoreError]
    assert await database.write(put(2)) == 2
    assert ids(database) == [2]


async def test_failure_of_the_writer_itself_is_answered(database: Database, monkeypatch, caplog):
    def fail(_: object) -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr(database, "_run_plain", fail)
    with pytest.raises(StoreError, match="failed to write"):
        await database.write(put(1))
    monkeypatch.undo()
    assert await database.write(put(2)) == 2
    assert ids(database) == [2]


async def test_job_that_failed_before_a_full_disk_may_succeed_after(database: Database, monkeypatch):
    """The batch is run again on the ballast: what its first attempt found no longer counts."""
    attempts: list[int] = []

    def essential(connection: sqlite3.Connection) -> str:
        attempts.append(1)
        if len(attempts) < 3:
            raise KeyError("not yet")
        return "done"

    def too_big(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (9, ?)", ("x" * 1_000_000,))

    pages = database._writer.execute("PRAGMA page_count").fetchone()[0]
    database._writer.execute(f"PRAGMA max_page_count = {pages}")
    results = await asyncio.gather(
        database.write(essential, essential=True), database.write(too_big), return_exceptions=True
    )
    assert results[0] == "done"
    assert isinstance(results[1], StoreError)


async def test_full_disk_refuses_writes_but_not_deletes(database: Database, monkeypatch):
    monkeypatch.setattr(ballast_module, "RESTORE_INTERVAL_S", 0.0)
    room = {"left": False}
    original_release, original_allocate = Ballast.release, Ballast._allocate

    def release(self: Ballast) -> None:
        original_release(self)
        database._writer.execute("PRAGMA max_page_count = 1000000")

    def allocate(self: Ballast) -> None:
        if not room["left"]:
            raise OSError(28, "No space left on device")
        original_allocate(self)

    monkeypatch.setattr(Ballast, "release", release)
    monkeypatch.setattr(Ballast, "_allocate", allocate)
    await database.write(put(1))
    pages = database._writer.execute("PRAGMA page_count").fetchone()[0]
    database._writer.execute(f"PRAGMA max_page_count = {pages}")

    def delete(connection: sqlite3.Connection) -> int:
        return connection.execute("DELETE FROM t WHERE id = 1").rowcount

    big, deleted = await asyncio.gather(
        database.write(put(2, "x" * 1_000_000)), database.write(delete, essential=True), return_exceptions=True
    )
    assert isinstance(big, StoreError)
    assert "disk full" in big.message
    assert "free some space" in big.message
    assert deleted == 1
    assert not (database.path.parent / "ballast").exists()
    # Still no room: refused at once, without trying.
    with pytest.raises(StoreError, match="disk full"):
        await database.write(put(3))
    room["left"] = True
    assert await database.write(put(4)) == 4
    assert (database.path.parent / "ballast").stat().st_size == ballast_module.BALLAST_BYTES


async def test_rows_are_inserted_in_any_number(tmp_path: Path):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a, b)")
    for count in (0, 1, 2, 3, 63, 64, 65, 200):
        connection.execute("DELETE FROM t")
        insert_rows(connection, "t (a, b)", [(i, -i) for i in range(count)])
        assert connection.execute("SELECT a, b FROM t").fetchall() == [(i, -i) for i in range(count)]
    connection.close()
