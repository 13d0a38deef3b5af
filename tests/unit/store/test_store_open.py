"""The state directory: lock, database file, migrations, and what is said when they are no good."""

import asyncio
import fcntl
import json
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from jupyter_lambda.errors import EngineAlreadyRunning, StoreError
from jupyter_lambda.store import Store
from jupyter_lambda.store import connection as connection_module
from jupyter_lambda.store.lock import StateLock


async def test_directory_is_private_and_its_identity_lasts(tmp_path: Path):
    first = await Store.open(tmp_path / "a" / "state")
    assert stat.S_IMODE((tmp_path / "a" / "state").stat().st_mode) == 0o700
    installation_id, epoch = first.installation_id, first.epoch
    await first.close()
    await first.close()
    second = await Store.open(tmp_path / "a" / "state")
    assert second.installation_id == installation_id
    assert second.epoch != epoch
    await second.close()


async def test_the_database_is_private_in_a_directory_that_somebody_made(tmp_path: Path, make_function):
    names = ("lambda.db", "lambda.db-shm", "lambda.db-wal")
    (tmp_path / "made").mkdir(mode=0o755)
    for _ in range(2):
        store = await Store.open(tmp_path / "made")
        if not store.functions.count():
            await store.functions.create(make_function())
        assert [stat.S_IMODE((tmp_path / "made" / name).stat().st_mode) for name in names] == [0o600] * 3
        await store.close()
        (tmp_path / "made" / "lambda.db").chmod(0o644)  # as an earlier release left it


@pytest.mark.parametrize("name", ["with blank", "a?b#c", "50%25", "ümläut"])
async def test_directory_of_any_name(tmp_path: Path, name: str, make_function):
    store = await Store.open(tmp_path / name)
    await store.functions.create(make_function())
    assert store.functions.count() == 1
    await store.close()


async def test_second_engine_is_told_about_the_first(tmp_path: Path):
    store = await Store.open(tmp_path)
    with pytest.raises(EngineAlreadyRunning, match=rf"process {os.getpid()}, still starting"):
        await Store.open(tmp_path)
    store.announce("http://127.0.0.1:4567")
    with pytest.raises(EngineAlreadyRunning) as raised:
        await Store.open(tmp_path)
    assert raised.value.message == (
        f"another engine (process {os.getpid()}, http://127.0.0.1:4567) owns the state directory {tmp_path}; use it, "
        "or stop it with `jupyter lambda stop`"
    )
    await store.close()
    again = await Store.open(tmp_path)
    assert json.loads((tmp_path / "engine.lock").read_text()) == {"pid": os.getpid(), "url": None}
    await again.close()


def test_owner_that_left_no_note_is_still_an_owner(tmp_path: Path):
    path = tmp_path / "engine.lock"
    path.write_text("{half")
    with path.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(EngineAlreadyRunning, match="process unknown"):
            StateLock.acquire(tmp_path)


async def test_state_directory_that_is_a_file(tmp_path: Path):
    (tmp_path / "state").write_text("")
    with pytest.raises(StoreError, match="not a directory"):
        await Store.open(tmp_path / "state")
    with pytest.raises(StoreError, match="check its owner and permissions"):
        await Store.open(tmp_path / "state" / "below")


@pytest.mark.parametrize(("number", "advice"), [(37, "local disk"), (13, "owner and permissions")])
def test_file_system_without_locks(tmp_path: Path, monkeypatch, number: int, advice: str):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreError, match=advice):
        StateLock.acquire(tmp_path)


async def test_file_that_is_no_database(tmp_path: Path):
    (tmp_path / "lambda.db").write_bytes(b"not a database at all " * 100)
    with pytest.raises(StoreError, match=r"lambda\.db.*not a database.*--state-dir"):
        await Store.open(tmp_path)
    # The failed attempt let go of the lock.
    (tmp_path / "lambda.db").unlink()
    await (await Store.open(tmp_path)).close()


async def test_newer_database_is_refused(tmp_path: Path):
    await (await Store.open(tmp_path)).close()
    with sqlite3.connect(tmp_path / "lambda.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match=r"newer release.*schema 99"):
        await Store.open(tmp_path)


async def test_migrations_run_once_and_in_order(tmp_path: Path, monkeypatch):
    await (await Store.open(tmp_path)).close()
    more = tmp_path / "more.sql"
    more.write_text("CREATE TABLE added (x); INSERT INTO added VALUES (1);")
    known = connection_module.MIGRATIONS
    monkeypatch.setattr(connection_module, "MIGRATIONS", (*known, str(more)))
    for _ in range(2):
        await (await Store.open(tmp_path)).close()
    connection = sqlite3.connect(tmp_path / "lambda.db")
    assert connection.execute("SELECT count(*) FROM added").fetchone() == (1,)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(known) + 1,)
    connection.close()


async def test_failed_migration_changes_nothing(tmp_path: Path, monkeypatch):
    await (await Store.open(tmp_path)).close()
    bad = tmp_path / "bad.sql"
    bad.write_text("CREATE TABLE added (x); INSERT INTO nowhere VALUES (1);")
    known = connection_module.MIGRATIONS
    monkeypatch.setattr(connection_module, "MIGRATIONS", (*known, str(bad)))
    with pytest.raises(StoreError, match="nowhere"):
        await Store.open(tmp_path)
    monkeypatch.setattr(connection_module, "MIGRATIONS", known)
    store = await Store.open(tmp_path)
    assert store._database.query("SELECT name FROM sqlite_master WHERE name = 'added'") == []
    await store.close()


async def test_writes_after_close_are_refused(tmp_path: Path, make_event):
    store = await Store.open(tmp_path)
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.events.enqueue(make_event())


async def test_close_writes_what_is_queued(tmp_path: Path, make_event, make_record):
    store = await Store.open(tmp_path)
    waiting = [asyncio.ensure_future(store.events.enqueue(make_event(f"e{i}"))) for i in range(50)]
    await asyncio.sleep(0)
    store.ledger.record(make_record())
    await store.close()
    await asyncio.gather(*waiting)
    again = await Store.open(tmp_path)
    assert again.events.depth()["waiting"] == 50
    assert again.ledger.get("e1") == make_record()
    await again.close()


async def test_closing_leaves_no_write_ahead_log_for_the_next_start_to_read(tmp_path, make_function):
    store = await Store.open(tmp_path / "state")
    await store.functions.create(make_function())
    await store.close()
    # Empty, but there: making it would take room that a full disk hasn't.
    assert (tmp_path / "state/lambda.db-wal").stat().st_size == 0
    assert (tmp_path / "state/lambda.db-shm").exists()
