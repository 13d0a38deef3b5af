"""Warm latency, one invocation at a time: over HTTP and through boto3, beside the bare echo."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from benchmarks import echo
from benchmarks.bench import Bench, against, milliseconds
from benchmarks.engine import EVENT, Engine
from benchmarks.load import Load
from benchmarks.results import Outcome, Row, Series
from jupyter_lambda import client as engine_client

_PARTS = (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))


def run(bench: Bench, outcome: Outcome) -> None:
    """Both ways."""
    with bench.engine() as engine, echo.running() as (port, _):
        engine.deploy("warm")
        engine.once("warm")
        engine.settle()
        _http(bench, outcome, engine, port)
        _boto3(bench, outcome, engine, port)
        outcome.checks |= engine.verify()


def _http(bench: Bench, outcome: Outcome, engine: Engine, port: int) -> None:
    ours: dict[str, list[float]] = {name: [] for name, _ in _PARTS}
    bare: dict[str, list[float]] = {name: [] for name, _ in _PARTS}
    samples = 0
    cpu: list[float] = []
    for _ in range(bench.runs):
        job = Load(port=0, requests=[], connections=1, seconds=bench.seconds(5), warmup_s=bench.seconds(1))
        mine, reference = against(engine, "warm", port, job)
        samples += mine.count
        cpu.append(mine.cpu_s / mine.count * 1e6)
        for name, part in _PARTS:
            ours[name].append(milliseconds(mine.latencies, part))
            bare[name].append(milliseconds(reference.latencies, part))
    for name, _ in _PARTS:
        label = f"p{name[1:3]}{'.' + name[3:] if name[3:] else ''}"
        outcome.rows.append(
            Row(
                f"warm.http.{name}", f"warm invocation over HTTP, one at a time, {label}", "ms", "lower",
                tuple(ours[name]), (Series("bare echo", tuple(bare[name])),), samples,
            )
        )  # fmt: skip
    outcome.rows.append(
        Row("warm.http.cpu", "the engine's CPU for each of them", "µs", "lower", tuple(cpu), samples=samples)
    )


def _boto3(bench: Bench, outcome: Outcome, engine: Engine, port: int) -> None:
    bare = engine_client.lambda_client(replace(engine.connection, url=f"http://127.0.0.1:{port}"))
    ours, reference, samples = [], [], 0
    count = bench.count(500, 20)
    for _ in range(bench.runs):
        ours.append(milliseconds(_calls(engine.boto3, count), 0.5))
        reference.append(milliseconds(_calls(bare, count), 0.5))
        engine.sent["warm"] += count
        samples += count
    outcome.rows.append(
        Row(
            "warm.boto3.p50", "the same through boto3, p50", "ms", "lower",
            tuple(ours), (Series("boto3 to the bare echo", tuple(reference)),), samples,
        )
    )  # fmt: skip
    bare.close()


def _calls(client: Any, count: int) -> list[float]:
    latencies = []
    for _ in range(count):
        start = time.perf_counter()
        answer = client.invoke(FunctionName="warm", Payload=EVENT)
        body = answer["Payload"].read()
        latencies.append(time.perf_counter() - start)
        if body != EVENT or "FunctionError" in answer:
            raise RuntimeError(f"boto3 got {body[:300]!r}")
    return latencies
