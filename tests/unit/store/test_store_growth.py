"""What is asked often takes an index and a few pages, however much the state directory holds."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from jupyter_lambda.engine.functions import LAYER_PACKAGES
from jupyter_lambda.store import Store, connection, functions
from jupyter_lambda.store.ledger import stats_query


def plan(store: Store, sql: str, parameters: object = ()) -> str:
    return " | ".join(row[3] for row in store._database.query(f"EXPLAIN QUERY PLAN {sql}", parameters))


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        (functions.USED, {"code": "x"}),
        (functions.TOTAL, ("functions",)),
        (functions.NAMES, ("a", 50)),
        (f"{functions._FUNCTION} ON v.function_name = f.name AND v.number = 0 WHERE f.name > ? LIMIT ?", ("a", 50)),
        stats_query("f", None),
        stats_query("f", 0.0),
        stats_query(None, 0.0),
    ],
)
async def test_no_table_is_read_whole(store, sql, parameters):
    assert "SCAN" not in plan(store, sql, parameters)


async def test_names_go_on_after_the_last_one(store, make_function):
    for name in ("b", "a", "ab"):
        await store.functions.create(make_function(name))
    assert store.functions.names("", 2) == ["a", "ab"]
    assert store.functions.names("ab\0", 2) == ["b"]
    assert store.functions.names("b\0", 2) == []


async def test_totals_follow_every_change(store, make_function, make_version):
    table = store.functions

    def counted() -> tuple[int, int, int]:
        rows = dict(store._database.query("SELECT name, value FROM total"))
        assert (table.count(), table.total_reserved(), table.code_storage_bytes()) == (
            rows["functions"],
            rows["reserved"],
            rows["code_bytes"],
        )
        return rows["functions"], rows["reserved"], rows["code_bytes"]

    function = make_function("f", reserved_concurrency=5)
    await table.create(function)
    await table.create(make_function("g"))
    assert counted() == (2, 5, 20)
    function = replace(function, reserved_concurrency=None, latest=replace(function.latest, code_size=1_000))
    await table.put(function)
    assert counted() == (2, 0, 1_010)
    await table.publish(replace(function, reserved_concurrency=7), make_version("f", "1", code_size=100))
    assert counted() == (2, 7, 1_110)
    await table.put_version(replace(function.latest, code_size=1))
    assert counted() == (2, 7, 111)
    await table.delete_version("f", "1")
    assert counted() == (2, 7, 11)
    await table.delete("f")
    assert counted() == (1, 0, 10)


async def test_a_layer_package_is_used_as_long_as_a_version_names_it(store, make_function):
    named = {LAYER_PACKAGES: ({"CodeSha256": "layer", "Arn": "a"}, {"CodeSha256": "layer", "Arn": "b"})}
    function = make_function()
    await store.functions.create(replace(function, latest=replace(function.latest, extras=named)))
    assert store.functions.package_users("layer")
    await store.functions.put(function)
    assert not store.functions.package_users("layer")
    await store.functions.put_version(replace(function.latest, extras=named))
    assert store.functions.package_users("layer")
    await store.functions.delete("f")
    assert not store.functions.package_users("layer")


async def test_a_database_of_before_is_counted_once(tmp_path, monkeypatch):
    path = tmp_path / "lambda.db"
    monkeypatch.setattr(connection, "MIGRATIONS", connection.MIGRATIONS[:3])
    old = connection.open_writer(path)
    old.execute("INSERT INTO function VALUES ('f', 3, 1, '{}')")
    body = '{"extras": {"LayerPackages": [{"CodeSha256": "layer"}]}}'
    old.execute("INSERT INTO version VALUES ('f', 0, 'code', 10, ?)", (body,))
    for hour in (1, 2):
        old.execute("INSERT INTO usage VALUES ('f', ?, 2, 1, 0, 1, 100, 0.5, 9.0, ?, ?, ?)", (hour, hour, hour, hour))
    old.close()
    monkeypatch.undo()
    new = connection.open_writer(path)
    assert dict(new.execute("SELECT * FROM total")) == {"functions": 1, "reserved": 3, "code_bytes": 10}
    assert new.execute("SELECT code_sha256 FROM version_layer").fetchall() == [("layer",)]
    assert new.execute("SELECT * FROM usage_total").fetchone() == ("f", 4, 2, 0, 2, 200, 1.0, 18.0, 2.0, 1.0, 2.0)
    new.close()


async def test_stats_of_all_time_and_of_hours_agree(store, make_record):
    for hour in range(3):
        store.ledger.record(make_record(f"r{hour}", received_s=hour * 3600.0, run_ms=hour + 1.0))
    store.ledger.throttle("f", 3 * 3600.0)
    await store.ledger.flush()
    assert store.ledger.stats() == store.ledger.stats("f") == store.ledger.stats(since_s=0.0)
    assert store.ledger.stats()[0].throttles == 1
    assert store.ledger.stats(since_s=2 * 3600.0)[0].invocations == 1


async def test_start_reads_nothing_per_function(tmp_path, monkeypatch, make_function):
    state = tmp_path / "state"
    store = await Store.open(state)
    for number in range(40):
        await store.functions.create(make_function(f"f{number}"))
        (state / "packages" / f"{number:064x}").mkdir()
        (state / "logs" / f"f{number}").mkdir(parents=True)
    await store.close()
    looked_at: list[str] = []
    for name in ("listdir", "scandir", "stat", "open"):
        real = getattr(os, name)

        def spy(path, *args, real=real, name=name, **more):
            looked_at.append(f"{name} {path}")
            return real(path, *args, **more)

        monkeypatch.setattr(os, name, spy)
    again = await Store.open(state)
    monkeypatch.undo()
    await again.close()
    assert looked_at
    assert not [path for path in looked_at if "/packages/0" in path or "/logs/f" in path]
    listed = {path.rpartition("/")[2] for path in looked_at if path.startswith(("listdir", "scandir"))}
    assert not listed & {"packages", "logs"}


def test_no_statement_goes_past_the_triggers():
    """REPLACE deletes without telling them."""
    from pathlib import Path

    folder = Path(functions.__file__).parent
    for path in folder.glob("*.py"):
        text = path.read_text()
        assert not any(f"REPLACE INTO {table} " in text for table in ("function", "version", "layer_version")), path
