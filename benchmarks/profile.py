"""Where the time of a warm invocation goes: wall time one at a time, and the engine's CPU by component under load.

The engine runs unchanged; py-spy looks at its stacks from outside. What each thread used is the kernel's count.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import load, proc
from benchmarks.bench import Bench, invocations, milliseconds
from benchmarks.engine import Engine, Unavailable
from benchmarks.results import Outcome

#: Beginning of a module's path below jupyter_lambda → component; the longest that fits counts.
COMPONENTS = {
    "http1": "HTTP: parsing, answering",
    "api/": "API: routing, checking the request",
    "api/sigv4": "API: signature",
    "api/canonical": "API: signature",
    "api/hosts": "API: signature",
    "engine/": "engine: service, invoker, environments",
    "engine/pool": "engine: pool policy",
    "engine/keepalive": "engine: pool policy",
    "engine/metering": "engine: metering, metrics, outcome",
    "engine/metrics": "engine: metering, metrics, outcome",
    "engine/outcomes": "engine: metering, metrics, outcome",
    "sandbox/": "sandbox: Runtime API, its connection",
    "sandbox/logpipe": "logs: reading the pipe",
    "sandbox/docker": "sandbox: driver, control group",
    "store/": "store: ledger, queue",
    "store/log": "logs: writing",
    "store/segments": "logs: writing",
}
LOOP = "event loop (uvloop) and the kernel's sockets"
_SAMPLES_PER_S = 250
_FRAME = re.compile(r"jupyter_lambda/([\w/]+)\.py")
_CONNECTIONS = 8


def run(bench: Bench, outcome: Outcome) -> None:
    """Alone first, then under load, then under load and watched."""
    with bench.engine() as engine:
        engine.deploy("profiled")
        engine.once("profiled")
        engine.settle()
        outcome.extra["profile.wall"] = _alone(bench, engine)
        try:
            outcome.extra["profile.cpu"] = _busy(bench, engine)
        except Unavailable as exc:
            outcome.missing["profile"] = str(exc)
        outcome.checks |= engine.verify()


def _alone(bench: Bench, engine: Engine) -> dict[str, float]:
    """µs of one invocation, one at a time: what each process worked, and the rest, in which all waited."""
    requests, expected = invocations(engine, "profiled")
    pid = engine.environments("profiled")[0]
    job = load.Load(engine.port, requests, expected, count=bench.count(8000, 300), pid=engine.pid)
    before = proc.group_cpu_s(pid)
    seen = load.run(job)
    engine.sent["profiled"] += seen.sent
    parts = {
        "engine": seen.cpu_s / seen.count * 1e6,
        "sandbox": (proc.group_cpu_s(pid) - before) / seen.count * 1e6,
        "caller": seen.own_cpu_s / seen.count * 1e6,
    }
    whole = sum(seen.latencies) / seen.count * 1e6
    return {"mean": whole, "p50": milliseconds(seen.latencies, 0.5) * 1000, **parts}


def _busy(bench: Bench, engine: Engine) -> dict[str, Any]:
    """µs of the engine's CPU for one invocation, by component of the main thread, and by other thread."""
    requests, expected = invocations(engine, "profiled")
    job = load.Load(engine.port, requests, expected, _CONNECTIONS, bench.seconds(5), bench.seconds(2), pid=engine.pid)
    before, start = proc.thread_times(engine.pid), time.monotonic()
    seen = load.run(job)
    engine.sent["profiled"] += seen.sent
    after, took = proc.thread_times(engine.pid), time.monotonic() - start
    each = {tid: (ran - before.get(tid, (0.0, 0.0))[0]) / seen.sent * 1e6 for tid, (ran, _) in after.items()}
    # Waiting for a core is not waiting for work.
    busy = (sum(after[engine.pid]) - sum(before[engine.pid])) / took
    seconds = max(1.0, bench.seconds(5))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(load.run, replace(job, seconds=seconds + 3))
        try:
            stacks = watch(engine.pid, seconds, bench.scratch / "stacks.txt")
        finally:
            engine.sent["profiled"] += running.result().sent
    return {
        "rate": seen.rate,
        "connections": _CONNECTIONS,
        "engine_us": sum(each.values()),
        "components": shares(stacks, str(engine.pid), min(1.0, busy), each[engine.pid]),
        "threads": {name: round(us, 2) for name, us in _named(each, stacks, engine.pid).items()},
        "samples": sum(stacks.values()),
    }


def watch(pid: int, seconds: float, path: Path) -> Counter[str]:
    """Stacks of a process and how often each was seen.

    Raises:
        Unavailable: py-spy is not installed, or may not look.
    """
    program = shutil.which("py-spy", path=sysconfig.get_path("scripts")) or shutil.which("py-spy")
    if program is None:
        raise Unavailable("py-spy is not installed here (make bench installs it)")
    command = [program, "record", "--pid", str(pid), "--rate", str(_SAMPLES_PER_S), "--duration", f"{seconds:.0f}"]
    done = subprocess.run(
        [*command, "--format", "raw", "--threads", "--idle", "--output", str(path)],
        capture_output=True, text=True, timeout=seconds + 60, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Unavailable(f"py-spy may not look at the engine here: {done.stderr.strip()[-200:]}")
    stacks: Counter[str] = Counter()
    for line in path.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        stacks[stack] += int(count)
    return stacks


def component(stack: str) -> str:
    """Whose work a stack is: the innermost of our modules that has a component."""
    for path in reversed(_FRAME.findall(stack)):
        fitting = [prefix for prefix in COMPONENTS if path.startswith(prefix)]
        if fitting:
            return COMPONENTS[max(fitting, key=len)]
    return LOOP


def shares(stacks: Mapping[str, int], thread: str, busy: float, cpu_us: float) -> list[dict[str, Any]]:
    """The main thread's CPU for one invocation, by component, most first.

    Args:
        busy: The part of the time in which it ran or wanted to; the rest was spent in the loop, waiting for work.
    """
    seen: Counter[str] = Counter()
    for stack, count in stacks.items():
        if stack.startswith(f"thread ({thread})"):
            seen[component(stack)] += count
    idle = (1 - busy) * seen.total()
    seen[LOOP] = max(0, round(seen[LOOP] - idle))
    whole = seen.total() or 1
    return [
        {"component": name, "share": count / whole, "us": count / whole * cpu_us} for name, count in seen.most_common()
    ]


def _named(each: dict[int, float], stacks: Iterable[str], main: int) -> dict[str, float]:
    """By the threads' names in Python, without their numbers."""
    names = {}
    for stack in stacks:
        if match := re.match(r"thread \((\d+)\): ([^;]*)", stack):
            names[int(match[1])] = re.sub(r"[_-]?\d+$", "", match[2])
    total: Counter[str] = Counter()
    for tid, us in each.items():
        total["the loop's thread" if tid == main else names.get(tid, "other")] += us  # type: ignore[assignment]
    return {name: us for name, us in total.most_common() if us >= 0.05}
