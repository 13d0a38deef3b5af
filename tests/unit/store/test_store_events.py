"""The durable queue: every way an event may go, and the plans of its statements."""

import asyncio
import json
import sqlite3

import pytest

from jupyter_lambda.errors import ResourceConflictException, StoreError
from jupyter_lambda.store import Store
from jupyter_lambda.store import events as events_module


async def test_the_usual_way(store: Store, clock, make_event, make_record):
    queue = store.events
    event = make_event(client_context='{"a": 1}', trace_id="t")
    await queue.enqueue(event)
    assert queue.get("e1") == event
    assert queue.depth() == {"waiting": 1, "leased": 0, "outcome": 0, "dead": 0}
    assert await queue.lease(clock(), 10, 30) == [event]
    assert queue.depth()["leased"] == 1
    assert await queue.lease(clock(), 10, 30) == []
    await queue.succeed("e1", make_record())
    assert queue.depth() == {"waiting": 0, "leased": 0, "outcome": 0, "dead": 0}
    assert queue.get("e1") is None
    assert store.ledger.get("e1") == make_record()
    assert store.ledger.stats()[0].invocations == 1


async def test_a_request_id_is_queued_once(store: Store, make_event):
    await store.events.enqueue(make_event())
    results = await asyncio.gather(
        store.events.enqueue(make_event("e2")), store.events.enqueue(make_event()), return_exceptions=True
    )
    assert results[0] is None
    assert isinstance(results[1], ResourceConflictException)
    assert "e1" in results[1].message
    assert store.events.depth()["waiting"] == 2


async def test_oldest_due_first_and_first_come_first_served(store: Store, clock, make_event):
    for name, age in (("c", 5), ("a", 9), ("b", 9), ("later", -60)):
        await store.events.enqueue(make_event(name, enqueued_s=clock() - age))
    assert [e.request_id for e in await store.events.lease(clock(), 2, 30)] == ["a", "b"]
    assert [e.request_id for e in await store.events.lease(clock(), 9, 30)] == ["c"]


async def test_lease_that_is_not_renewed_runs_out(store: Store, clock, make_event):
    queue = store.events
    for name in ("kept", "lost"):
        await queue.enqueue(make_event(name))
    assert len(await queue.lease(clock(), 10, 30)) == 2
    await queue.renew(["kept", "unknown"], clock() + 100)
    await queue.renew([], clock() + 100)
    clock.now_s += 31
    assert [e.request_id for e in await queue.lease(clock(), 10, 30)] == ["lost"]
    assert queue.depth() == {"waiting": 0, "leased": 2, "outcome": 0, "dead": 0}
    clock.now_s += 70
    assert {e.request_id for e in await queue.lease(clock(), 10, 30)} == {"kept", "lost"}


async def test_retry_waits_and_counts(store: Store, clock, make_event):
    queue = store.events
    await queue.enqueue(make_event())
    await queue.lease(clock(), 1, 30)
    await queue.retry("e1", clock() + 60, attempts=1, deferrals=2)
    await queue.retry("gone", clock(), attempts=1, deferrals=0)
    assert queue.depth()["waiting"] == 1
    assert queue.next_due_s() == clock() + 60
    assert await queue.lease(clock() + 59, 1, 30) == []
    (event,) = await queue.lease(clock() + 60, 1, 30)
    assert (event.attempts, event.deferrals) == (1, 2)


async def test_outcome_is_owed_until_it_is_delivered(store: Store, clock, make_event, make_record):
    queue = store.events
    await queue.enqueue(make_event())
    await queue.lease(clock(), 1, 30)
    outcome = {"destination": "arn:q", "body": {"x": "ü"}}
    await queue.settle("e1", outcome, make_record(status="error"))
    assert queue.depth() == {"waiting": 0, "leased": 0, "outcome": 1, "dead": 0}
    assert await queue.lease(clock(), 1, 30) == []
    # A worker that comes late can't put it back to the function.
    await queue.retry("e1", clock(), attempts=1, deferrals=0)
    (event,) = await queue.lease_outcomes(clock(), 5, 30)
    assert event.outcome == outcome
    assert event.payload == b'{"n": 1}'
    assert await queue.lease_outcomes(clock(), 5, 30) == []
    await queue.defer_outcome("e1", clock() + 5, deferrals=1)
    assert await queue.lease_outcomes(clock(), 5, 30) == []
    assert (await queue.lease_outcomes(clock() + 5, 5, 30))[0].deferrals == 1
    await queue.delivered("e1")
    await queue.delivered("e1")
    assert sum(queue.depth().values()) == 0
    assert store.ledger.get("e1").status == "error"


async def test_handed_over_to_another_function(store: Store, clock, make_event):
    queue = store.events
    for name in ("e1", "e2"):
        await queue.enqueue(make_event(name))
        await queue.settle(name, {"destination": "arn:g"}, None)
    await queue.hand_over("e1", make_event("e3", function_name="g"))
    assert queue.depth() == {"waiting": 1, "leased": 0, "outcome": 1, "dead": 0}
    assert queue.get("e1") is None
    assert queue.get("e3").function_name == "g"
    with pytest.raises(ResourceConflictException):
        await queue.hand_over("e2", make_event("e3"))
    assert queue.get("e2") is not None
    assert queue.depth() == {"waiting": 1, "leased": 0, "outcome": 1, "dead": 0}


async def test_buried_events_stay_visible_and_are_bounded(store: Store, clock, make_event, monkeypatch):
    queue = store.events
    monkeypatch.setattr(events_module, "DEAD_MAX", 3)
    for number in range(5):
        await queue.enqueue(make_event(f"e{number}", payload=b"\x00\xff"))
        await queue.bury(f"e{number}", f"reason {number}")
    await queue.bury("unknown", "never")
    assert [(d["request_id"], d["reason"]) for d in queue.dead(2)] == [("e4", "reason 4"), ("e3", "reason 3")]
    (dead,) = queue.dead(1)
    assert (dead["buried_s"], dead["payload"], dead["payload_bytes"]) == (clock(), "\0\ufffd", 2)
    assert (dead["function_name"], dead["enqueued_s"], dead["outcome"]) == ("f", clock(), None)
    assert json.dumps(dead)
    assert len(queue.dead(10)) == 3
    assert queue.depth() == {"waiting": 0, "leased": 0, "outcome": 0, "dead": 3}
    assert await queue.lease(clock(), 10, 30) == []


async def test_restart_reclaims_leases_and_counts_anew(store: Store, clock, make_event):
    queue = store.events
    for number in range(6):
        await queue.enqueue(make_event(f"e{number}", enqueued_s=clock() - 10 + number))
    await queue.lease(clock(), 3, 3600)
    await queue.settle("e0", {"destination": "d"}, None)
    await queue.lease_outcomes(clock(), 1, 3600)
    await queue.bury("e5", "why not")
    depth = queue.depth()
    assert depth == {"waiting": 2, "leased": 2, "outcome": 1, "dead": 1}
    await store.close()
    again = await Store.open(store.state_dir, clock)
    assert again.events.depth() == depth
    assert await again.events.reclaim() == 3
    assert await again.events.reclaim() == 0
    assert again.events.depth() == {"waiting": 4, "leased": 0, "outcome": 1, "dead": 1}
    assert [e.request_id for e in await again.events.lease(clock(), 9, 30)] == ["e1", "e2", "e3", "e4"]
    assert [e.request_id for e in await again.events.lease_outcomes(clock(), 9, 30)] == ["e0"]
    await again.close()


async def test_ages_and_due_times(store: Store, clock, make_event):
    queue = store.events
    assert queue.next_due_s() is None
    assert queue.oldest_age_s(clock()) == 0
    await queue.enqueue(make_event(enqueued_s=clock() - 5))
    await queue.enqueue(make_event("e2"))
    assert queue.oldest_age_s(clock()) == 5
    assert queue.next_due_s() == clock() - 5
    await queue.succeed("e1", None)
    assert queue.oldest_age_s(clock()) == 0


async def test_record_and_removal_are_one_transaction(store: Store, clock, make_event, make_record, monkeypatch):
    await store.events.enqueue(make_event())

    def fail(*_):
        raise RuntimeError("no record")

    monkeypatch.setattr(store.ledger, "write", fail)
    with pytest.raises(RuntimeError, match="no record"):
        await store.events.succeed("e1", make_record())
    assert store.events.get("e1") is not None
    assert store.events.depth()["waiting"] == 1


async def test_leasing_a_large_event_rewrites_its_first_page_only(store: Store, clock, make_event):
    await store.events.enqueue(make_event(payload=b"x" * 1_000_000))
    log = store.state_dir / "lambda.db-wal"
    before = log.stat().st_size
    await store.events.lease(clock(), 1, 30)
    await store.events.renew(["e1"], clock() + 60)
    await store.ledger.flush()
    assert log.stat().st_size - before < 100_000


async def test_statements_use_indexes_with_many_rows(store: Store):
    """The plans must not depend on how full the table is: they are looked at with a million rows' statistics."""
    writer = store._database._writer

    def pretend(connection: sqlite3.Connection) -> None:
        connection.execute("ANALYZE")
        connection.execute("DELETE FROM sqlite_stat1")
        connection.executemany(
            "INSERT INTO sqlite_stat1 VALUES (?, ?, ?)",
            [("event", "event_by_due", "1000000 500000 3"), ("event", "sqlite_autoindex_event_1", "1000000 1")],
        )
        connection.execute("ANALYZE sqlite_schema")

    await store._database.write(pretend)
    for sql in (*events_module.STATEMENTS, events_module.OLDEST):
        plan = " | ".join(row[3] for row in writer.execute(f"EXPLAIN QUERY PLAN {sql}", (1,) * sql.count("?")))
        assert "TEMP B-TREE" not in plan, (sql, plan)
        if sql == events_module.OLDEST:
            assert plan == "SCAN event", plan  # along the primary key, one row
        else:
            assert "SEARCH" in plan, (sql, plan)
            assert "SCAN" not in plan, (sql, plan)


async def test_events_that_end_together_leave_in_one_transaction(store, make_event, make_record):
    names = [f"e{number}" for number in range(100)]
    for name in names:
        await store.events.enqueue(make_event(name))
    leased = await store.events.lease(store.events._clock(), 100, 60.0)
    assert [event.request_id for event in leased] == names
    done = [asyncio.ensure_future(store.events.succeed(name, make_record(name))) for name in names]
    await asyncio.sleep(0)
    done[0].cancel()
    told = await asyncio.gather(*done, return_exceptions=True)
    assert isinstance(told[0], asyncio.CancelledError)
    assert told[1:] == [None] * 99
    assert store.events.depth() == {"waiting": 0, "leased": 0, "outcome": 0, "dead": 0}
    assert store.ledger.stats("f")[0].invocations == 100
    assert store.ledger.get("e0") is not None


async def test_a_success_that_can_not_be_written_keeps_event_and_record_together(
    store, make_event, make_record, monkeypatch
):
    await store.events.enqueue(make_event("e1"))

    def fail(*_):
        raise sqlite3.OperationalError("no")

    with monkeypatch.context() as patch:
        patch.setattr(store.ledger, "write", fail)
        with pytest.raises(StoreError):
            await store.events.succeed("e1", make_record("e1"))
    assert store.events.get("e1") is not None
    assert store.ledger.get("e1") is None
    await store.events.succeed("e1", make_record("e1"))
    assert store.events.get("e1") is None
    assert store.ledger.get("e1") is not None
