"""Asynchronous invocations: how quickly they are taken (committed to disk before the 202), and how quickly they run."""

from __future__ import annotations

import json
import time

from benchmarks import echo, load, references
from benchmarks.bench import Bench, until
from benchmarks.engine import EVENT_BYTES, Engine
from benchmarks.results import Outcome, Row, Series

_CONNECTIONS = 8
#: Environments that the events run in.
_ENVIRONMENTS = 4
#: Sleeps until the moment that its event names: what is queued before that stays queued.
_GATED = """
import time

def handler(event, context):
    time.sleep(max(0.0, event["until"] - time.time()))
"""
_FUNCTION = "events"


def run(bench: Bench, outcome: Outcome) -> None:
    """Enqueue behind a closed gate, open it, and wait until the queue is empty."""
    count = bench.count(10_000, 200)
    rates, drains, commits, bare = [], [], [], []
    with bench.engine(event_concurrency=_ENVIRONMENTS) as engine, echo.running() as (port, _):
        engine.deploy(_FUNCTION, _GATED)
        engine.once(_FUNCTION, b'{"until": 0}')
        for _ in range(bench.runs):
            gate = time.time() + bench.count(6, 2)
            seen = _enqueue(engine, count, gate)
            rates.append(seen.rate)
            if time.time() > gate:
                outcome.missing["events.gate"] = "the gate opened before all was queued: the rate includes running"
            drains.append(_drain(engine, count, gate))
            commits.append(references.commits_per_s(bench.scratch, bench.seconds(1)))
            bare.append(_bare(engine, port, bench.seconds(1)))
        outcome.checks |= engine.verify()
    known = (Series("SQLite, one FULL commit each", tuple(commits)), Series("bare echo", tuple(bare)))
    samples = count * bench.runs
    outcome.rows += [
        Row(
            "events.enqueue", f"durable asynchronous enqueue, {_CONNECTIONS} in flight", "1/s", "higher",
            tuple(rates), known, samples, "each committed with synchronous=FULL before its 202",
        ),
        Row(
            "events.drain", f"asynchronous events run, {_ENVIRONMENTS} environments", "1/s", "higher",
            tuple(drains), known[:1], samples, f"from {count:,} queued until the queue is empty",
        ),
    ]  # fmt: skip


def _payload(gate: float, number: int = 0) -> bytes:
    data = json.dumps({"until": gate, "n": number, "text": ""}).encode()
    return data[:-2] + b"x" * (EVENT_BYTES - len(data)) + data[-2:]


def _enqueue(engine: Engine, count: int, gate: float) -> load.Seen:
    requests = [load.encoded(engine.request(_FUNCTION, _payload(gate, n), event=True)) for n in range(200)]
    job = load.Load(engine.port, requests, [""] * len(requests), _CONNECTIONS, count=count, status=202)
    seen = load.run(job)
    engine.sent[_FUNCTION] = engine.sent.get(_FUNCTION, 0) + seen.sent
    return seen


def _bare(engine: Engine, port: int, seconds: float) -> float:
    request = load.encoded(engine.request(_FUNCTION, _payload(0), event=True))
    return load.run(load.Load(port=port, requests=[request], connections=_CONNECTIONS, seconds=seconds)).rate


def _drain(engine: Engine, count: int, gate: float) -> float:
    """Events a second from the gate's opening until none is left."""
    time.sleep(max(0.0, gate - time.time()))

    def left() -> bool:
        depth = engine.admin.events()["depth"]
        return not (sum(depth.values()) if isinstance(depth, dict) else depth)

    if not until(left, 90, 0.05):
        raise RuntimeError(f"the queue was not empty 90 s after {count} events: {engine.admin.events()['depth']}")
    return count / (time.time() - gate)
