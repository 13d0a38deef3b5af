"""Records, sums, retention, and the plans of the queries."""

import itertools
from pathlib import Path

import pytest

from jupyter_lambda.store import Store
from jupyter_lambda.store import ledger as ledger_module
from jupyter_lambda.store.database import Database
from jupyter_lambda.store.ledger import Ledger, recent_query


async def test_record_comes_back_whole(store: Store, make_record):
    record = make_record(
        cold=True, init_ms=80.5, error_type="E", environment_id="x", log_stream="s", attempt=3, memory_used_mb=None
    )
    store.ledger.record(record)
    await store.ledger.flush()
    assert store.ledger.get("e1") == record
    assert store.ledger.get("e1").cold is True
    assert store.ledger.get("none") is None


async def test_latest_attempt_is_what_a_request_shows(store: Store, make_record):
    for attempt in (1, 2, 3):
        store.ledger.record(make_record(attempt=attempt))
    await store.ledger.flush()
    assert store.ledger.get("e1").attempt == 3


async def test_recent_by_function_time_and_status(store: Store, make_record):
    for number in range(20):
        store.ledger.record(
            make_record(
                f"e{number}",
                function_name="fg"[number % 2],
                status=("success", "error", "success", "timeout")[number % 4],
                received_s=1000.0 + number,
            )
        )
    await store.ledger.flush()

    def names(**query):
        return [int(r.request_id[1:]) for r in store.ledger.recent(**query)]

    assert names(limit=3) == [19, 18, 17]
    assert names(before_s=1017.0, limit=2) == [16, 15]
    assert names(function_name="f", limit=3) == [18, 16, 14]
    assert names(status="timeout", limit=2) == [19, 15]
    assert names(status="failed", limit=3) == [19, 17, 15]
    assert names(status="success", since_s=1015.0) == [18, 16]
    assert names(function_name="f", status="error") == []
    assert names(function_name="g", status="error", before_s=1010.0) == [9, 5, 1]


async def test_sums_by_function_and_hour(store: Store, make_record):
    hour = 3600.0
    store.ledger.record(make_record(received_s=10 * hour, cold=True, run_ms=5.0))
    store.ledger.record(make_record(received_s=11 * hour + 1, status="error", run_ms=50.0))
    store.ledger.record(make_record(received_s=12 * hour, function_name="g"))
    store.ledger.throttle("f", 11 * hour + 2)
    store.ledger.throttle("h", 11 * hour)
    await store.ledger.flush()
    f, g, h = store.ledger.stats()
    assert (f.function_name, f.invocations, f.errors, f.throttles, f.cold) == ("f", 2, 1, 1, 1)
    assert (f.billed_ms, f.gb_s, f.run_ms_sum, f.run_ms_max) == (200, pytest.approx(0.025), 55.0, 50.0)
    assert (f.first_s, f.last_s) == (10 * hour, 11 * hour + 2)
    assert (g.function_name, g.invocations) == ("g", 1)
    assert (h.function_name, h.invocations, h.throttles) == ("h", 0, 1)
    (since,) = store.ledger.stats("f", 11 * hour + 1800)
    assert (since.invocations, since.errors, since.throttles) == (1, 1, 1)
    assert store.ledger.stats("unknown") == []


async def test_throttles_alone_leave_no_record(store: Store):
    store.ledger.throttle("f", 1.0)
    await store.ledger.flush()
    assert store.ledger.recent() == []


async def test_oldest_records_leave_and_their_sums_stay(tmp_path: Path, make_record, monkeypatch):
    monkeypatch.setattr(ledger_module, "TRIM_CHUNK", 10)
    database = await Database.open(tmp_path / "lambda.db")
    ledger = Ledger(database, records_max=25)
    for number in range(200):
        ledger.record(make_record(f"e{number}", received_s=float(number)))
        if number % 7 == 0:
            await ledger.flush()
    await ledger.flush()
    for _ in range(20):
        ledger.record(make_record("last", received_s=1000.0))
        await ledger.flush()
    (count,) = database.first("SELECT count(*) FROM invocation")
    assert 25 <= count <= 25 + 3 * 10
    assert ledger.get("e0") is None
    assert ledger.stats()[0].invocations == 220
    await database.close()


async def test_records_of_a_failed_write_are_reported(store: Store, make_record, caplog, monkeypatch):
    def fail(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr(store.ledger, "write", fail)
    store.ledger.record(make_record())
    await store.ledger.flush()
    monkeypatch.undo()
    assert "1 records of invocations are lost: broken" in caplog.text
    store.ledger.record(make_record("e2"))
    await store.ledger.flush()
    assert store.ledger.get("e2") is not None


async def test_every_form_of_recent_has_an_index_for_its_order(store: Store):
    for name, before, status, since in itertools.product(
        (None, "f"), (None, 5.0), (None, "success", "timeout", "failed"), (None, 1.0)
    ):
        sql, parameters = recent_query(name, before, 10, status, since)
        plan = " | ".join(row[3] for row in store._database.query(f"EXPLAIN QUERY PLAN {sql}", parameters))
        assert "SEARCH invocation USING INDEX" in plan, (sql, plan)
        assert "TEMP B-TREE" not in plan, (sql, plan)
        if status in ("timeout", "failed"):
            assert "invocation_failed" in plan, (sql, plan)
    plan = " | ".join(r[3] for r in store._database.query(f"EXPLAIN QUERY PLAN {ledger_module.GET}", ("e",)))
    assert "invocation_by_request" in plan
    assert "TEMP B-TREE" not in plan
