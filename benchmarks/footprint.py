"""What an engine and its idle environments keep: memory of each, and CPU when nobody calls."""

from __future__ import annotations

import json
import time
from pathlib import Path

from benchmarks import load, proc
from benchmarks.bench import Bench, invocations, median, until
from benchmarks.engine import Engine
from benchmarks.load import Load
from benchmarks.results import Outcome, Row, Series

_SLEEPER = "import time\n\ndef handler(event, context):\n    time.sleep(event['seconds'])\n    return event\n"


def run(bench: Bench, outcome: Outcome) -> None:
    """The engine alone, then with idle environments, then after work."""
    count = bench.count(10, 2)
    with bench.engine() as engine:
        engine.settle()
        until(lambda: engine.ready() > 0, 20, 0.2)
        engine.settle()
        alone = proc.memory_mib(engine.pid)
        before = proc.available_mib()
        _environments(engine, count)
        engine.settle()
        pids = engine.environments("idle")
        idle = [proc.group_memory_mib(pid) for pid in pids]
        generic = [proc.group_memory_mib(pid) for pid in engine.generics()]
        all_in = max(0.0, before - proc.available_mib()) / max(1, len(pids))
        shims = [proc.memory_mib(_parent(pid))["private"] for pid in pids]
        rest = tuple(_rest(engine, bench.seconds(10)) for _ in range(bench.runs))
        frozen = sum(map(_frozen, pids)), len(pids)
        _work(bench, engine)
        after = proc.memory_mib(engine.pid)
        outcome.checks |= engine.verify()
    outcome.rows += [
        Row(
            "footprint.environment", "memory of an idle environment (its control group)", "MiB", "lower",
            tuple(idle), (Series("the interpreter alone, private", (_bare_interpreter(),)),), len(idle),
            f"without page cache that could go at once; Docker's own process for each container: {median(shims):.1f} "
            f"MiB more; all in, by what the host then lacks: {all_in:.1f} MiB",
        ),
        Row("footprint.generic", "memory of a generic container, ready", "MiB", "lower", tuple(generic) or (0.0,)),
        Row("footprint.engine.rss", "the engine at rest, RSS", "MiB", "lower", (alone["rss"],), note=(
            f"private {alone['private']:.1f} MiB; after {bench.count(20_000, 500):,} invocations {after['rss']:.1f} MiB"
        )),
        Row("footprint.engine.pss", "the engine at rest, PSS", "MiB", "lower", (alone["pss"],)),
        Row(
            "rest.cpu", f"the engine at rest with {len(pids)} idle environments, of one core", "%", "lower",
            rest, note=f"{frozen[0]} of {frozen[1]} idle environments frozen",
        ),
    ]  # fmt: skip


def _environments(engine: Engine, count: int) -> None:
    """So many at once."""
    engine.deploy("idle", _SLEEPER, memory_mb=128)
    # Each has to be there before the first is free again.
    request = load.encoded(engine.request("idle", json.dumps({"seconds": 4}).encode()))
    seen = load.run(Load(port=engine.port, requests=[request], connections=count, count=count))
    engine.sent["idle"] = seen.sent
    until(lambda: not engine.admin.status()["running"], 10)


def _work(bench: Bench, engine: Engine) -> None:
    """So that whatever grows has grown."""
    engine.deploy("work")
    requests, expected = invocations(engine, "work")
    job = Load(port=engine.port, requests=requests, expected=expected, connections=4, count=bench.count(20_000, 500))
    engine.sent["work"] = load.run(job).sent
    engine.settle()


def _rest(engine: Engine, seconds: float) -> float:
    start = proc.exact_cpu_s(engine.pid)
    time.sleep(seconds)
    return (proc.exact_cpu_s(engine.pid) - start) / seconds * 100


def _frozen(pid: int) -> bool:
    """Whether a process's control group stands still."""
    try:
        return (proc.group(pid, "freezer") / "freezer.state").read_text().strip() == "FROZEN"
    except (LookupError, FileNotFoundError):
        return "frozen 1" in (proc.group(pid, "memory") / "cgroup.events").read_text()


def _parent(pid: int) -> int:
    """The process that started another."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _bare_interpreter() -> float:
    """Private memory of an interpreter that waits."""
    import subprocess
    import sys

    with subprocess.Popen([sys.executable, "-I", "-S"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        time.sleep(0.3)
        private = proc.memory_mib(child.pid)["private"]
        child.kill()
    return private
