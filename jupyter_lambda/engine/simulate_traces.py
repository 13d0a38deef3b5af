"""Arrival traces for the simulator: synthetic ones, and recorded ones from a file or the engine's own records."""

from __future__ import annotations

import csv
import heapq
import json
import math
import random
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from jupyter_lambda.errors import InvalidParameterValueException, ResourceNotFoundException

#: Seconds from the trace's beginning, the function's number, seconds that it runs.
Arrival = tuple[float, int, float]

#: What a recorded trace's rows have.
COLUMNS = ("time_s", "function", "duration_ms", "memory_mb")
PATTERNS = ("mixed", "poisson", "diurnal", "bursts", "cron", "onoff")

_DAY_S = 86_400.0
#: Memory sizes and how many of a hundred functions have them.
_MEMORY_MB, _MEMORY_WEIGHTS = (128, 256, 512, 1024), (45, 30, 15, 10)
#: Median duration of the median function, and how functions and invocations spread round it (log-normal).
_DURATION_S, _FUNCTION_SIGMA, _INVOCATION_SIGMA = 0.08, 1.0, 0.4
_DURATION_MAX_S = 60.0
#: Periods of scheduled functions in minutes, and how common they are.
_PERIODS_MIN, _PERIOD_WEIGHTS = (1, 2, 5, 10, 15, 20, 30, 60, 120), (6, 4, 20, 12, 18, 8, 14, 14, 4)


@dataclass(frozen=True, slots=True)
class Trace:
    """Functions and when they are invoked; the same each time it is read."""

    title: str
    names: tuple[str, ...]
    memory_mb: tuple[int, ...]
    duration_s: float
    arrivals: Callable[[], Iterator[Arrival]]


def seeded(seed: float) -> random.Random:
    """Random numbers that are the same for the same seed."""
    return random.Random(seed)  # noqa: S311 - repeatable on purpose, and no secret


def synthetic(pattern: str, *, functions: int, rate: float, duration_s: float, seed: int) -> Trace:
    """A trace made from a seed.

    Args:
        pattern: One of PATTERNS. Which function is invoked follows Zipf's law.
        rate: Invocations a second on average; scheduled functions (cron) come as often as their schedules say.
    Raises:
        InvalidParameterValueException: A pattern that there isn't, or a number that makes no sense.
    """
    if pattern not in PATTERNS:
        raise InvalidParameterValueException(f"there is no pattern {pattern!r}; choose one of {', '.join(PATTERNS)}")
    if functions < 1 or not 0 < rate <= 1e7 or not 0 < duration_s <= 366 * _DAY_S:
        raise InvalidParameterValueException(
            "a trace needs at least 1 function, more than 0 and at most 10,000,000 invocations a second, and a "
            "duration of at most a year"
        )
    rng = seeded(seed)
    memory = tuple(rng.choices(_MEMORY_MB, _MEMORY_WEIGHTS, k=functions))
    medians = [min(5.0, _DURATION_S * rng.lognormvariate(0, _FUNCTION_SIGMA)) for _ in range(functions)]
    spread = [rng.lognormvariate(0, _INVOCATION_SIGMA) for _ in range(4096)]

    def arrivals() -> Iterator[Arrival]:
        moments = _PATTERNS[pattern](seeded(seed + 1), range(functions), rate, duration_s)
        for i, (now_s, function) in enumerate(moments):
            yield now_s, function, min(_DURATION_MAX_S, medians[function] * spread[(i * 2_654_435_761) & 4095])

    names = tuple(f"f{i}" for i in range(functions))
    return Trace(f"{pattern}, {functions:,} functions", names, memory, duration_s, arrivals)


def recorded(path: Path) -> Trace:
    """A trace from a CSV file with a heading, or a file with one JSON object a line.

    Raises:
        ResourceNotFoundException: It can't be read.
        InvalidParameterValueException: A line of it isn't understood.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            first = file.readline()
            file.seek(0)
            rows = list(_json_rows(path, file) if first.lstrip().startswith("{") else _csv_rows(path, file))
    except (OSError, UnicodeDecodeError) as exc:
        raise ResourceNotFoundException(f"{path} can't be read as a trace: {exc}") from exc
    return _of_rows(path.name, rows, str(path))


def from_ledger(state_dir: Path) -> Trace:
    """What an engine has recorded; its database is opened read-only.

    Raises:
        ResourceNotFoundException: There are no records.
    """
    database = state_dir / DATABASE
    if not database.is_file():
        raise ResourceNotFoundException(f"{state_dir} is no state directory of an engine: it has no {DATABASE}")
    query = "SELECT received_s, function_name, run_ms, memory_mb FROM invocation WHERE started_s IS NOT NULL"
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute(query).fetchall()
    except sqlite3.Error as exc:
        raise ResourceNotFoundException(f"the records in {database} can't be read: {exc}") from exc
    return _of_rows("recorded invocations", [(t, n, ms / 1000, mb) for t, n, ms, mb in found], str(database))


#: The engine's database in its state directory.
DATABASE = "lambda.db"

_Row = tuple[float, str, float, int]


def _of_rows(title: str, rows: list[_Row], where: str) -> Trace:
    if not rows:
        raise InvalidParameterValueException(f"{where} has no invocations; a trace needs at least one")
    rows.sort(key=lambda row: row[0])
    begin_s = rows[0][0]
    memory = {name: memory_mb for _, name, _, memory_mb in rows}
    numbers = {name: i for i, name in enumerate(memory)}
    arrivals = [(time_s - begin_s, numbers[name], run_s) for time_s, name, run_s, _ in rows]
    length_s = max(arrivals[-1][0] + arrivals[-1][2], 1.0)
    return Trace(
        f"{title}, {len(memory):,} functions", tuple(memory), tuple(memory.values()), length_s, lambda: iter(arrivals)
    )


def _csv_rows(path: Path, file: Any) -> Iterator[_Row]:
    reader = csv.DictReader(file)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise InvalidParameterValueException(
            f"{path}, line 1: no column {missing[0]!r}; the heading must be {','.join(COLUMNS)}"
        )
    for row in reader:
        yield _row(path, reader.line_num, row)


def _json_rows(path: Path, file: Any) -> Iterator[_Row]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as exc:
            raise InvalidParameterValueException(f"{path}, line {number}: not JSON: {exc}") from exc
        if not isinstance(row, dict):
            raise InvalidParameterValueException(f"{path}, line {number}: not a JSON object")
        yield _row(path, number, row)


def _row(path: Path, number: int, row: Mapping[str, Any]) -> _Row:
    def value(column: str, least: float, most: float) -> float:
        try:
            found = float(row[column])
        except (KeyError, TypeError, ValueError):
            found = math.nan
        if not least <= found <= most:
            raise InvalidParameterValueException(
                f"{path}, line {number}: {column} must be a number from {least:g} to {most:g}, not {row.get(column)!r}"
            )
        return found

    name = row.get("function")
    if not isinstance(name, str) or not name:
        raise InvalidParameterValueException(f"{path}, line {number}: function must be a name, not {name!r}")
    memory_mb = int(value("memory_mb", 1, 1_000_000))
    return value("time_s", 0, 1e12), name, value("duration_ms", 0, 1e9) / 1000, memory_mb


# --- patterns: moments in order of time

_Moment = tuple[float, int]
_Functions = range


def _zipf(functions: _Functions, exponent: float = 1.1) -> list[float]:
    return list(accumulate((rank + 1) ** -exponent for rank in range(len(functions))))


def _poisson(rng: random.Random, functions: _Functions, rate: float, duration_s: float) -> Iterator[_Moment]:
    weights, now_s = _zipf(functions), 0.0
    gap = rng.expovariate
    while True:
        for function in rng.choices(functions, cum_weights=weights, k=1024):
            now_s += gap(rate)
            if now_s >= duration_s:
                return
            yield now_s, function


def _diurnal(rng: random.Random, functions: _Functions, rate: float, duration_s: float) -> Iterator[_Moment]:
    """A day's wave: nine times as much at noon as at midnight. Short traces have one wave in all."""
    period_s = min(_DAY_S, duration_s)
    for now_s, function in _poisson(rng, functions, rate * 1.8, duration_s):
        if rng.random() * 1.8 < 1 - 0.8 * math.cos(2 * math.pi * now_s / period_s):
            yield now_s, function


def _bursts(rng: random.Random, functions: _Functions, rate: float, duration_s: float) -> Iterator[_Moment]:
    """A fifth trickles; the rest comes in bursts of one function each, every minute or so, of 2 to 200 at once."""

    def bursts() -> Iterator[_Moment]:
        weights, now_s = _zipf(functions), 0.0
        while True:
            size = int(2 * 100 ** rng.random())
            now_s += rng.expovariate(0.8 * rate / 43.0)  # 43: the mean size
            if now_s >= duration_s:
                return
            (function,) = rng.choices(functions, cum_weights=weights)
            for moment_s in sorted(now_s + rng.random() for _ in range(size)):
                yield moment_s, function

    return heapq.merge(_poisson(rng, functions, 0.2 * rate, duration_s), _ordered(bursts(), 1.0))


def _cron(rng: random.Random, functions: _Functions, _rate: float, duration_s: float) -> Iterator[_Moment]:
    """Each function on its own schedule, a second or so late."""
    due: list[tuple[float, int, float]] = []
    for function in functions:
        period_s = 60.0 * rng.choices(_PERIODS_MIN, _PERIOD_WEIGHTS)[0]
        due.append((rng.random() * period_s, function, period_s))
    heapq.heapify(due)

    def late() -> Iterator[_Moment]:
        while due:
            now_s, function, period_s = due[0]
            if now_s >= duration_s:
                return
            heapq.heapreplace(due, (now_s + period_s, function, period_s))
            yield now_s + min(10.0, rng.expovariate(1.0)), function

    return _ordered(late(), 10.0)


def _onoff(rng: random.Random, functions: _Functions, rate: float, duration_s: float) -> Iterator[_Moment]:
    """Each function is busy for five minutes and then silent for an hour, on average."""
    on_s, off_s = 300.0, 3600.0
    total = _zipf(functions)[-1]
    rates = [rate * ((rank + 1) ** -1.1 / total) * (on_s + off_s) / on_s for rank in range(len(functions))]
    due = [(rng.expovariate(1 / off_s), i, 0.0) for i in range(len(functions))]
    heapq.heapify(due)
    while due:
        now_s, i, until_s = due[0]
        if now_s >= duration_s:
            return
        if until_s == 0.0:
            until_s = now_s + rng.expovariate(1 / on_s)
        next_s = now_s + rng.expovariate(rates[i])
        if next_s < until_s:
            heapq.heapreplace(due, (next_s, i, until_s))
        else:
            heapq.heapreplace(due, (until_s + rng.expovariate(1 / off_s), i, 0.0))
        yield now_s, functions[i]


def _mixed(rng: random.Random, functions: _Functions, rate: float, duration_s: float) -> Iterator[_Moment]:
    """Of a hundred functions 35 on schedules, 35 with a day's wave, 20 on and off, 10 in bursts."""
    count = len(functions)
    cuts = [0, round(count * 0.35), round(count * 0.7), round(count * 0.9), count]
    parts = [functions[a:b] for a, b in pairwise(cuts)]
    kinds = (_cron, _diurnal, _onoff, _bursts)
    shares = (1.0, 0.55, 0.2, 0.25)
    return heapq.merge(
        *(
            kind(seeded(rng.random()), part, rate * share, duration_s)
            for kind, part, share in zip(kinds, parts, shares, strict=True)
            if len(part)
        )
    )


def _ordered(moments: Iterator[_Moment], within_s: float) -> Iterator[_Moment]:
    """Put in order what is out of it by less than a time."""
    held: list[_Moment] = []
    for moment in moments:
        while held and held[0][0] <= moment[0] - 2 * within_s:
            yield heapq.heappop(held)
        heapq.heappush(held, moment)
    while held:
        yield heapq.heappop(held)


_PATTERNS: dict[str, Callable[[random.Random, _Functions, float, float], Iterator[_Moment]]] = {
    "mixed": _mixed,
    "poisson": _poisson,
    "diurnal": _diurnal,
    "bursts": _bursts,
    "cron": _cron,
    "onoff": _onoff,
}
