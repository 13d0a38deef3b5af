"""Synchronous invocations a second at several concurrencies, beside the bare echo under the same load."""

from __future__ import annotations

from benchmarks import echo
from benchmarks.bench import Bench, against, median, milliseconds
from benchmarks.engine import Engine
from benchmarks.load import Load
from benchmarks.results import Outcome, Row, Series

_CONNECTIONS = (1, 8, 32, 128)


def run(bench: Bench, outcome: Outcome) -> None:
    """Each concurrency after the pool has found its size for it."""
    with bench.engine() as engine, echo.running() as (port, _):
        engine.deploy("busy")
        engine.once("busy")
        chosen = _CONNECTIONS[: bench.count(len(_CONNECTIONS), 2)]
        outcome.extra["throughput"] = [_at(bench, outcome, engine, port, connections) for connections in chosen]
        outcome.checks |= engine.verify()


def _at(bench: Bench, outcome: Outcome, engine: Engine, port: int, connections: int) -> dict[str, float]:
    job = Load(port=0, requests=[], connections=connections, seconds=bench.seconds(4), warmup_s=bench.seconds(1))
    # The burst of the first second starts environments; those starts are measured elsewhere.
    against(engine, "busy", port, Load(port=0, requests=[], connections=connections, seconds=bench.seconds(2)))
    engine.settle(limit_s=bench.count(20, 3))
    seen = [against(engine, "busy", port, job) for _ in range(bench.runs)]
    ours, bare = [a for a, _ in seen], [b for _, b in seen]
    outcome.rows.append(
        Row(
            f"throughput.{connections}", f"synchronous invocations a second, {_connections(connections)}", "1/s",
            "higher",
            tuple(s.rate for s in ours), (Series("bare echo", tuple(s.rate for s in bare)),),
            sum(s.count for s in ours),
        )
    )  # fmt: skip
    return {
        "connections": connections,
        "rate": median([s.rate for s in ours]),
        "p50_ms": median([milliseconds(s.latencies, 0.5) for s in ours]),
        "p99_ms": median([milliseconds(s.latencies, 0.99) for s in ours]),
        "p999_ms": median([milliseconds(s.latencies, 0.999) for s in ours]),
        "engine_us": median([s.cpu_s / s.count * 1e6 for s in ours]),
        "generator_us": median([s.own_cpu_s / s.count * 1e6 for s in ours]),
        "environments": len(engine.environments("busy")),
    }


def _connections(count: int) -> str:
    return f"{count} connection{'s' * (count > 1)}"
