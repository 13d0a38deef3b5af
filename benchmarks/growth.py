"""Growth: the same requests to an engine with little and to one with much, in turn; and how long each takes to start.

`python -m benchmarks.growth` alone, or as the suite's measure "growth". Functions run as plain processes here: what
may grow is the engine's part, and a container would only dilute it.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import proc
from benchmarks.bench import Bench
from benchmarks.engine import ECHO, ROLE, RUNTIME, Engine, exchange, stop
from benchmarks.results import Outcome, Row, Series
from benchmarks.seed import Amount, function_name, seed
from jupyter_lambda import connection as engine_connection

T = TypeVar("T")
#: The issue's own numbers, and a hundredth of them for tests.
GROWN = Amount(10_000, 1_000_000, 10_000_000_000)
GROWN_QUICK = Amount(100, 10_000, 10_000_000)
SMALL = Amount(10, 1_000, 10_000_000)
#: At most so many times as long.
ALLOWED = 1.5
_NAME = function_name(3)


def run(bench: Bench, outcome: Outcome) -> None:
    """Seed both, then measure."""
    small, grown = bench.scratch / "small", bench.scratch / "grown"
    asyncio.run(seed(small, SMALL))
    asyncio.run(seed(grown, GROWN_QUICK if bench.quick else GROWN))
    measure(small, grown, outcome, starts=bench.count(5, 1), rounds=bench.count(40, 3))


def measure(small: Path, grown: Path, outcome: Outcome, *, starts: int, rounds: int) -> None:
    """Rows with the grown engine's times, the small one's as their reference."""
    began: tuple[list[float], list[float]] = ([], [])
    for number in range(starts):
        for times, directory in _in_turn(number, zip(began, (grown, small), strict=True)):
            start = time.perf_counter()
            with _serving(directory):
                times.append((time.perf_counter() - start) * 1000)
    outcome.rows.append(_row("growth.start", "engine start", began))
    with _serving(small) as little, _serving(grown) as much:
        time.sleep(0 if rounds < 10 else 20)  # what looks after the directory after the start has done so
        for key, (title, request) in REQUESTS.items():
            seen: tuple[list[float], list[float]] = ([], [])
            for number in range(rounds):
                for times, engine in _in_turn(number, zip(seen, (much, little), strict=True)):
                    start = time.perf_counter()
                    request(engine, number)
                    times.append((time.perf_counter() - start) * 1000)
            outcome.rows.append(_row(f"growth.{key}", title, seen))
        used: tuple[list[float], list[float]] = ([], [])
        for number in range(4):
            for times, engine in _in_turn(number, zip(used, (much, little), strict=True)):
                times.append(_cpu_ms(engine, rounds * 25))
        outcome.rows.append(_row("growth.invoke.cpu", "warm invocation, the engine's CPU", used))


def _in_turn(number: int, both: Iterable[T]) -> list[T]:
    """Who goes second finds the machine warm: each does so every other time."""
    found = list(both)
    return found if number % 2 else found[::-1]


def _row(key: str, title: str, times: tuple[list[float], list[float]]) -> Row:
    """Medians of all single times: those of single pairs say more about the machine."""
    grown, small = (statistics.median(one) for one in times)
    note = "" if grown <= small * ALLOWED else f"more than {ALLOWED} times as long"
    return Row(key, title, "ms", "lower", (grown,), (Series("with little", (small,)),), len(times[0]), note)


@contextlib.contextmanager
def _serving(directory: Path) -> Iterator[Engine]:
    found = engine_connection.connect(
        directory, on_message=lambda line: None, owner_pid=os.getpid(), arguments=["--driver", "process"]
    )
    try:
        yield Engine(found)
    finally:
        stop(found.pid or 0)


def _package(number: object) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("app.py", f"{ECHO}\nMARK = {number!r}\n")
    return data.getvalue()


def _create(engine: Engine, number: int) -> None:
    engine.boto3.create_function(
        FunctionName=f"new-{number}-{time.time_ns()}",
        Runtime=RUNTIME,
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": _package(("new", number, time.time()))},
    )


def _update(engine: Engine, number: int) -> None:
    engine.boto3.update_function_code(FunctionName=function_name(1), ZipFile=_package((number, time.time())))


def _invoke(engine: Engine, number: int) -> None:
    status, body = exchange(engine.port, engine.request(_NAME))[1:]
    if status != 200:
        raise RuntimeError(f"HTTP {status}: {body[:200]!r}")


def _cpu_ms(engine: Engine, count: int) -> float:
    before = proc.exact_cpu_s(engine.pid)
    for number in range(count):
        _invoke(engine, number)
    return (proc.exact_cpu_s(engine.pid) - before) / count * 1000


def _groups(engine: Engine, number: int) -> None:
    import boto3

    if not hasattr(engine, "logs"):
        like = engine.boto3
        credentials = like._request_signer._credentials
        engine.logs = boto3.client(  # type: ignore[attr-defined]
            "logs",
            endpoint_url=like.meta.endpoint_url,
            region_name=like.meta.region_name,
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
        )
    engine.logs.describe_log_groups()  # type: ignore[attr-defined]


#: Key → title, and what is asked.
REQUESTS: dict[str, tuple[str, Callable[[Engine, int], Any]]] = {
    "invoke": ("warm invocation", _invoke),
    "create": ("CreateFunction", _create),
    "update": ("UpdateFunctionCode", _update),
    "get": ("GetFunction", lambda e, n: e.boto3.get_function(FunctionName=function_name(n % 10))),
    "list": ("ListFunctions, first page", lambda e, n: e.boto3.list_functions(MaxItems=10)),
    "account": ("GetAccountSettings", lambda e, n: e.boto3.get_account_settings()),
    "status": ("status", lambda e, n: e.admin.status()),
    "stats": ("stats of one function", lambda e, n: e.admin.stats(_NAME)),
    "invocations": ("newest 100 records", lambda e, n: e.admin.invocations()),
    "tail": ("tail of one function's log", lambda e, n: e.admin.logs(_NAME, limit=100)),
    "search": ("search in one function's log", lambda e, n: e.admin.logs(_NAME, pattern="00000042", limit=100)),
    "groups": ("DescribeLogGroups, first page", _groups),
}


def main() -> int:
    """Print the table; with two arguments, of two directories that ``benchmarks.seed`` has filled."""
    outcome = Outcome("growth", "little and much", " ".join(sys.argv))
    if len(sys.argv) == 3:
        measure(Path(sys.argv[1]), Path(sys.argv[2]), outcome, starts=5, rounds=40)
    else:
        with contextlib.closing(Bench(scratch=Path(tempfile.mkdtemp(prefix="jl-growth-", dir="/var/tmp")))) as bench:
            run(bench, outcome)
    for row in outcome.rows:
        print(
            json.dumps([row.title, round(row.runs[0], 2), round(row.references[0].median, 2), round(row.ratio or 0, 2)])
        )
    return int(any(row.note for row in outcome.rows))


if __name__ == "__main__":
    sys.exit(main())
