"""0 → 50 environments: fifty invocations at once of a function that sleeps, so that each needs one of its own."""

from __future__ import annotations

import json
from typing import Any

from benchmarks import load, references
from benchmarks.bench import Bench, until
from benchmarks.cold import NO_STOCK
from benchmarks.engine import Engine, Unavailable
from benchmarks.results import Outcome, Row, Series

_SLEEPER = """
import os, time

def handler(event, context):
    time.sleep(event["seconds"])
    return os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
"""
_FUNCTION = "burst"


def run(bench: Bench, outcome: Outcome) -> None:
    """With as many generic containers as it takes, then with none."""
    count = bench.count(50, 4)
    try:
        # 16 MB are counted for each.
        with bench.engine(warm_containers=count, warm_memory_mb=max(1024, 20 * count)) as engine:
            ready = _bursts(bench, engine, count, sleep_s=1.0, stock=count)
            outcome.checks |= engine.verify()
    except Unavailable as exc:
        outcome.missing["burst.ready"] = str(exc)
        options: dict[str, Any] = {}
    else:
        interpreters = tuple(references.interpreter_s(count=count) for _ in ready)
        outcome.rows.append(
            Row(
                "burst.ready", f"burst 0 → {count} environments, pool ready", "s", "lower", tuple(ready),
                (Series(f"fork+exec of {count} interpreters", interpreters),), count * len(ready),
            )
        )  # fmt: skip
        options = {**NO_STOCK}
    with bench.engine(**options) as engine, references.empty_image() as image:
        nothing = _bursts(bench, engine, count, sleep_s=10.0 if count > 10 else 2.0, stock=0)
        outcome.checks |= {f"nothing_{key}": value for key, value in engine.verify().items()}
        docker = tuple(references.docker_burst_s(image, count) for _ in nothing[:2])
    outcome.rows.append(
        Row(
            "burst.nothing", f"burst 0 → {count} environments, from nothing", "s", "lower", tuple(nothing),
            (Series(f"docker run of {count} empty containers", docker),), count * len(nothing),
        )
    )  # fmt: skip


def _bursts(bench: Bench, engine: Engine, count: int, sleep_s: float, stock: int) -> list[float]:
    engine.deploy(_FUNCTION, _SLEEPER, memory_mb=128)
    took = []
    for number in range(bench.runs):
        if number:
            engine.fresh(_FUNCTION, number)
        if not until(lambda: engine.ready() >= stock, 120, 0.5):
            raise RuntimeError(f"{engine.ready()} generic containers are ready, not {stock}, after two minutes")
        engine.settle(limit_s=60)
        took.append(_burst(engine, count, sleep_s))
    return took


def _burst(engine: Engine, count: int, sleep_s: float) -> float:
    """Seconds until all have been answered, without the sleep."""
    request = engine.request(_FUNCTION, json.dumps({"seconds": sleep_s}).encode())
    job = load.Load(
        port=engine.port, requests=[load.encoded(request)], connections=count, count=count, bodies=True, pid=engine.pid
    )
    seen = load.run(job)
    engine.sent[_FUNCTION] = engine.sent.get(_FUNCTION, 0) + seen.sent
    if (used := len(set(seen.bodies))) != count:
        raise RuntimeError(f"{count} invocations at once ran in {used} environments: the sleep is too short")
    return max(seen.latencies) - sleep_s
