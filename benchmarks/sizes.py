"""Memory sizes: a CPU-bound function's duration halves as memory doubles, up to one vCPU at 1,769 MB."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from benchmarks import proc
from benchmarks.bench import Bench, median
from benchmarks.engine import Engine
from benchmarks.results import Outcome, Row, Series

SIZES = (128, 256, 512, 1024, 1769)
#: MB at which a function has one vCPU. Source: AWS Lambda Developer Guide, "Configure Lambda function memory".
ONE_VCPU_MB = 1769
_BURN = """
import time

def handler(event, context):
    wall, cpu, total = time.perf_counter(), time.process_time(), 0
    for number in range(event["rounds"]):
        total += number * number
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
"""


def run(bench: Bench, outcome: Outcome) -> None:
    """The same work at every size, sizes in turn, so that the machine's moods meet all of them."""
    sizes = SIZES[-3:] if bench.quick else SIZES
    wall: dict[int, list[float]] = {size: [] for size in sizes}
    share: dict[int, list[float]] = {size: [] for size in sizes}
    cpu: dict[int, list[float]] = {size: [] for size in sizes}
    with bench.engine() as engine:
        for size in sizes:
            engine.deploy(f"burn{size}", _BURN, memory_mb=size)
            engine.once(f"burn{size}", b'{"rounds": 1}')
        engine.settle()
        rounds = _rounds(engine, sizes[-1], 0.03 if bench.quick else 0.2)
        pids = {size: engine.environments(f"burn{size}")[0] for size in sizes}
        for _ in range(bench.runs):
            for size in sizes:
                before = proc.group_cpu_s(pids[size])
                took, body = engine.once(f"burn{size}", json.dumps({"rounds": rounds}).encode())
                wall[size].append(json.loads(body)["wall_s"] * 1000)
                cpu[size].append(json.loads(body)["cpu_s"] * 1000)
                share[size].append((proc.group_cpu_s(pids[size]) - before) / took * 100)
        outcome.checks |= engine.verify()
    _report(outcome, sizes, wall, cpu, share)


def _report(outcome: Outcome, sizes: tuple[int, ...], wall: Any, cpu: Any, share: Any) -> None:
    table, worst = [], []
    for size in sizes:
        due = min(1.0, size / ONE_VCPU_MB)
        expected = [ms / due for ms in wall[sizes[-1]]]
        table.append(
            {"memory_mb": size, "duration_ms": median(wall[size]), "cpu_ms": median(cpu[size]),
             "share": median(share[size]), "due": due * 100, "off": (median(wall[size]) / median(expected) - 1) * 100}
        )  # fmt: skip
        outcome.rows.append(
            Row(
                f"sizes.{size}", f"a CPU-bound function at {size} MB", "ms", "lower", tuple(wall[size]),
                (Series("its duration at 1,769 MB divided by its share of a vCPU", tuple(expected)),),
                len(wall[size]), f"used {median(share[size]):.1f} % of a core, of {due * 100:.1f} % due",
            )
        )  # fmt: skip
    for smaller, larger in pairwise(table):
        fair = smaller["duration_ms"] * smaller["memory_mb"] / larger["memory_mb"]
        worst.append(abs(larger["duration_ms"] / fair - 1) * 100)
    outcome.rows.append(
        Row(
            "sizes.worst", "memory × 2 = duration ÷ 2: furthest off, of all steps", "%", "lower", (max(worst),),
            note="from one size to the next, medians; more memory, less time in proportion",
        )
    )  # fmt: skip
    outcome.extra["sizes"] = table


def _rounds(engine: Engine, size: int, wanted_s: float) -> int:
    """How much work takes ``wanted_s`` on one vCPU."""
    rounds = 200_000
    for _ in range(3):
        seen = [json.loads(engine.once(f"burn{size}", json.dumps({"rounds": rounds}).encode())[1]) for _ in range(3)]
        rounds = max(10_000, int(rounds * wanted_s / median([x["cpu_s"] for x in seen])))
    return rounds
