"""Cold starts: a generic container ready, the pool empty, and a function that imports numpy and pandas."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks import references
from benchmarks.bench import Bench, milliseconds, until
from benchmarks.engine import ECHO, Engine, Unavailable, docker_api
from benchmarks.results import Outcome, Row, Series

PANDAS = "import numpy\nimport pandas\n\ndef handler(event, context):\n    return event\n"
#: Generic containers that are kept ready for these measures.
READY = 3
#: Options without which containers would be ready, be it only those with a function's imports.
NO_STOCK = {"warm_containers": 0, "warm_memory_mb": 0}
#: Seconds for a stock to be refilled after a start.
_REFILL_S = 20.0
#: Seconds that are waited at most, before each start, for the machine to be at rest.
_QUIET_S = 5.0


def run(bench: Bench, outcome: Outcome) -> None:
    """Ready first: nobody has warmed the page cache for it either."""
    try:
        with bench.engine(warm_containers=READY) as engine:
            _ready(bench, outcome, engine)
            _pandas(bench, outcome, engine)
            outcome.checks |= engine.verify()
    except Unavailable as exc:
        outcome.missing |= {"cold.ready": str(exc), "cold.pandas": str(exc)}
    options = {} if "cold.ready" in outcome.missing else NO_STOCK
    with bench.engine(**options) as engine, references.empty_image() as image:
        _empty(bench, outcome, engine, image)
        outcome.checks |= {f"empty_{key}": value for key, value in engine.verify().items()}


def starts(bench: Bench, engine: Engine, name: str, count: int, between: Callable[[], None]) -> list[float]:
    """Seconds of cold starts of one function; each is checked to have been one."""
    took = []
    for _ in range(count):
        engine.fresh(name, f"{name} {time.perf_counter()}")
        between()
        took.append(engine.once(name)[0])
        record = engine.admin.invocations(name, limit=1)["invocations"][0]
        if not record["cold"]:
            raise RuntimeError(f"an invocation of {name} was to be a cold start and was not")
    return took


def rows(outcome: Outcome, key: str, title: str, runs: list[list[float]], known: dict[str, list[list[float]]]) -> None:
    """p50 and p99 of each run, and of each run of the references; of so few, the 99th percentile is the slowest."""
    count = sum(len(run) for run in runs)
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        references_ = [Series(label, tuple(milliseconds(run, part) for run in r)) for label, r in known.items()]
        outcome.rows.append(
            Row(
                f"{key}.{name}", f"{title}, {name}", "ms", "lower",
                tuple(milliseconds(run, part) for run in runs), tuple(references_), count,
                f"the slowest of each run of {len(runs[0])}" if name == "p99" else "",
            )
        )  # fmt: skip


def _refilled(engine: Engine, *, imports: bool = False) -> None:
    """The stock is whole again, and nothing is being started.

    Raises:
        RuntimeError: It did not fill.
    """
    if not until(lambda: engine.ready() >= READY and (not imports or engine.ready(imports=True) > 0), _REFILL_S, 0.1):
        found = f"{engine.ready()} generic containers and {engine.ready(imports=True)} with imports"
        raise RuntimeError(f"{found} are ready after {_REFILL_S:.0f} s, not {READY}{' and 1' * imports}")
    engine.settle(limit_s=_QUIET_S)


def _nothing(engine: Engine) -> None:
    """Nobody is ready.

    Raises:
        RuntimeError: Somebody is.
    """
    engine.settle(limit_s=_QUIET_S)
    if found := engine.generics():
        raise RuntimeError(f"{len(found)} generic containers are ready, though none should be")


def _ready(bench: Bench, outcome: Outcome, engine: Engine) -> None:
    engine.deploy("ready", ECHO)
    _refilled(engine)
    engine.once("ready")
    ours, fork, interpreter = [], [], []
    for _ in range(bench.runs):
        ours.append(starts(bench, engine, "ready", bench.count(20, 2), lambda: _refilled(engine)))
        interpreter.append([references.interpreter_s() for _ in range(10)])
        fork.append([references.fork_s() for _ in range(5)])
    known = {"fork+exec of the interpreter": interpreter, "bare fork": fork}
    rows(outcome, "cold.ready", "cold start, a generic container ready", ours, known)


def _pandas(bench: Bench, outcome: Outcome, engine: Engine) -> None:
    engine.deploy("frames", PANDAS)
    _refilled(engine)
    first = engine.once("frames")[0] * 1000
    # What it imports is known from here on: one more container is kept ready, with these imports.
    ours, plain = [], []
    for _ in range(bench.runs):
        ours.append(starts(bench, engine, "frames", bench.count(10, 1), lambda: _refilled(engine, imports=True)))
        plain.append([references.interpreter_s("import numpy, pandas") for _ in range(bench.count(4, 1))])
    known = {"fork+exec of the interpreter and the two imports": plain}
    rows(outcome, "cold.pandas", "cold start, imports numpy and pandas, learned", ours, known)
    outcome.extra["cold.pandas.first_ms"] = first


def _empty(bench: Bench, outcome: Outcome, engine: Engine, image: str) -> None:
    engine.deploy("empty", ECHO)
    engine.once("empty")
    ours, docker, bridge = [], [], []
    with docker_api() as api:
        for _ in range(bench.runs):
            ours.append(starts(bench, engine, "empty", bench.count(10, 1), lambda: _nothing(engine)))
            count = bench.count(5, 1)
            docker.append([references.docker_run_s(api, image) for _ in range(count)])
            bridge.append([references.docker_run_s(api, image, network="bridge") for _ in range(count)])
    known = {"docker run of an empty container, no network": docker, "the same, bridge network": bridge}
    rows(outcome, "cold.empty", "cold start, pool empty", ours, known)
