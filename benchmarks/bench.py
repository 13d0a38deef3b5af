"""What every measure is given: how much to do, where, and the engines and references to do it with."""

from __future__ import annotations

import contextlib
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import load
from benchmarks.engine import EVENT_BYTES, Engine, serve
from benchmarks.results import Outcome, Series, percentile


@dataclass(slots=True)
class Bench:
    """Runs and lengths; ``quick`` does a little of everything, for tests."""

    quick: bool = False
    #: Where state directories and the peers' files go; removed at the end.
    scratch: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="jl-bench-")))
    say: Callable[[str], None] = print
    _engines: int = 0

    @property
    def runs(self) -> int:
        """How often each quantity is measured."""
        return 2 if self.quick else 3

    def seconds(self, full: float) -> float:
        """Length of one run of load."""
        return min(full, 0.4) if self.quick else full

    def count(self, full: int, quick: int) -> int:
        """How many of something."""
        return quick if self.quick else full

    @contextlib.contextmanager
    def engine(self, **options: Any) -> Iterator[Engine]:
        """A fresh engine with a fresh state directory."""
        self._engines += 1
        directory = self.scratch / f"state-{self._engines}"
        with serve(directory, quick=self.quick, **options) as engine:
            yield engine
        shutil.rmtree(directory, ignore_errors=True)

    def close(self) -> None:
        """Remove what is left."""
        shutil.rmtree(self.scratch, ignore_errors=True)


class Measure(NamedTuple):
    """One part of the suite."""

    title: str
    run: Callable[[Bench, Outcome], None]
    #: Part of ``--quick``.
    quick: bool = True


def milliseconds(latencies: Sequence[float], part: float) -> float:
    """A percentile of seconds, in milliseconds."""
    return percentile(latencies, part) * 1000


def invocations(engine: Engine, name: str, *, qualifier: str = "", variants: int = 500) -> tuple[list[str], list[str]]:
    """Differing signed requests of a function that echoes, and what each must be answered with."""
    events = [json.dumps({"n": n, "text": ""}).encode() for n in range(variants)]
    events = [event[:-2] + b"x" * (EVENT_BYTES - len(event)) + event[-2:] for event in events]
    requests = [load.encoded(engine.request(name, event, qualifier=qualifier)) for event in events]
    return requests, [load.encoded(event) for event in events]


def against(engine: Engine, name: str, port: int, job: load.Load) -> tuple[load.Seen, load.Seen]:
    """The same load on a function and right after on the bare echo; the same bytes, signatures and all."""
    requests, expected = invocations(engine, name)
    job = replace(job, port=engine.port, requests=requests, expected=expected, pid=engine.pid)
    ours = load.run(job)
    engine.sent[name] = engine.sent.get(name, 0) + ours.sent
    return ours, load.run(replace(job, port=port, pid=0, seconds=job.seconds / 2, warmup_s=job.warmup_s / 2))


def repeated(label: str, measure: Callable[[], float], runs: int) -> Series:
    """A reference on its own."""
    return Series(label, tuple(measure() for _ in range(runs)))


def median(values: Sequence[float]) -> float:
    """For readability where it is used."""
    return statistics.median(values)


def until(condition: Callable[[], bool], limit_s: float, step_s: float = 0.02) -> bool:
    """Wait for something; False when it did not come."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(step_s)
    return True
