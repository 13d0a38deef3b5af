"""Metric math: expressions over time series, as far as it is built.

Numbers, ids of other queries, ``+ - * / ^``, parentheses, lists ``[m1, m2]`` and the functions in ``FUNCTIONS``.
Source: Amazon CloudWatch User Guide, "Using metric math".
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from jupyter_lambda.errors import ValidationException

from .series import Points, Window

#: A number, a time series, or several.
Value = float | Points | list[Points]
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z][A-Za-z0-9_]*)|(?P<text>\"[^\"]*\"|'[^']*')"
    r"|(?P<sign>[-+*/^(),\[\]]))"
)
_DEPTH_MAX = 40
#: Points that FILL may add.
_POINTS_MAX = 100_800
_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": operator.pow,
}


@dataclass(slots=True)
class Scope:
    """What an expression can refer to."""

    #: Id → value of every query that comes before.
    values: Mapping[str, Value]
    #: Ids of queries that are metrics, not expressions.
    metrics: Sequence[str]
    periods: Mapping[str, int]
    window: Window
    #: Of the expression that is being evaluated, for messages.
    id: str = ""
    _tokens: list[tuple[str, str]] = field(default_factory=list)
    _at: int = 0


def ids_in(text: str) -> set[str]:
    """Every name in an expression that begins in lower case, as ids do."""
    bare = re.sub(r"\"[^\"]*\"|'[^']*'", "", text)
    return set(re.findall(r"(?<![A-Za-z0-9_])[a-z][A-Za-z0-9_]*", bare))


def evaluate(text: str, scope: Scope) -> Value:
    """An expression's value.

    Raises:
        ValidationException: It can't be read, or uses what is not built; the message says which.
    """
    if re.match(r"\s*(?:SELECT|SEARCH|ANOMALY_DETECTION_BAND|INSIGHT_RULE_METRIC|LAMBDA|DB_PERF_INSIGHTS)\b", text):
        raise _wrong(scope, f"{text.split('(')[0].split()[0]} is not built")
    scope._tokens = _tokens(text, scope)
    scope._at = 0
    value = _sum(scope, 0)
    if scope._at < len(scope._tokens):
        raise _wrong(scope, f"unexpected {scope._tokens[scope._at][1]!r}")
    return value


def _wrong(scope: Scope, why: str) -> ValidationException:
    return ValidationException(f"Error in expression '{scope.id}': {why}")


def _tokens(text: str, scope: Scope) -> list[tuple[str, str]]:
    found, position, text = [], 0, text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            rest = text[position:].strip()[:20]
            raise _wrong(scope, f"{rest!r} is not built or not metric math; built are + - * / ^ and functions")
        found.append((str(match.lastgroup), match[match.lastgroup or 0]))
        position = match.end()
    return found


def _peek(scope: Scope) -> tuple[str, str]:
    return scope._tokens[scope._at] if scope._at < len(scope._tokens) else ("end", "the end")


def _accept(scope: Scope, *signs: str) -> str | None:
    kind, text = _peek(scope)
    if kind != "sign" or text not in signs:
        return None
    scope._at += 1
    return text


def _expect(scope: Scope, sign: str) -> None:
    if not _accept(scope, sign):
        raise _wrong(scope, f"{sign!r} expected before {_peek(scope)[1]!r}")


def _sum(scope: Scope, depth: int) -> Value:
    value = _product(scope, depth)
    while sign := _accept(scope, "+", "-"):
        value = _apply(scope, sign, value, _product(scope, depth))
    return value


def _product(scope: Scope, depth: int) -> Value:
    value = _signed(scope, depth)
    while sign := _accept(scope, "*", "/"):
        value = _apply(scope, sign, value, _signed(scope, depth))
    return value


def _signed(scope: Scope, depth: int) -> Value:
    negative = False
    while sign := _accept(scope, "-", "+"):
        negative ^= sign == "-"
    value = _power(scope, depth)
    return _apply(scope, "*", -1.0, value) if negative else value


def _power(scope: Scope, depth: int) -> Value:
    value = _primary(scope, depth + 1)
    while _accept(scope, "^"):
        negative = _accept(scope, "-") is not None
        exponent = _primary(scope, depth + 1)
        value = _apply(scope, "^", value, _apply(scope, "*", -1.0, exponent) if negative else exponent)
    return value


def _primary(scope: Scope, depth: int) -> Value:
    if depth > _DEPTH_MAX:
        raise _wrong(scope, "nested too deeply")
    kind, text = _peek(scope)
    scope._at += 1
    if kind == "number":
        return float(text)
    if kind == "name":
        if _accept(scope, "("):
            return _call(scope, text, depth)
        if text in scope.values:
            return scope.values[text]
        raise _wrong(scope, f"there is no query with the id {text!r}")
    if kind == "sign" and text == "(":
        value = _sum(scope, depth)
        _expect(scope, ")")
        return value
    if kind == "sign" and text == "[":
        return _list(scope, depth)
    raise _wrong(scope, f"unexpected {text!r}")


def _list(scope: Scope, depth: int) -> list[Points]:
    items: list[Points] = []
    while True:
        value = _sum(scope, depth)
        if isinstance(value, float):
            raise _wrong(scope, "a list holds time series only")
        items += value if isinstance(value, list) else [value]
        if not _accept(scope, ","):
            break
    _expect(scope, "]")
    return items


def _call(scope: Scope, name: str, depth: int) -> Value:
    function = FUNCTIONS.get(name.upper())
    if function is None:
        built = ", ".join(sorted(FUNCTIONS))
        raise _wrong(scope, f"the function {name} is not built; built are {built}")
    arguments: list[Any] = []
    if not _accept(scope, ")"):
        while True:
            arguments.append(_argument(scope, depth))
            if not _accept(scope, ","):
                break
        _expect(scope, ")")
    try:
        return function(scope, *arguments)
    except TypeError:
        raise _wrong(scope, f"the function {name} takes other arguments") from None


def _argument(scope: Scope, depth: int) -> Any:
    kind, text = _peek(scope)
    if kind == "text":
        scope._at += 1
        return text[1:-1]
    if kind == "name" and text in ("REPEAT", "LINEAR"):
        scope._at += 1
        return text
    return _sum(scope, depth)


def _apply(scope: Scope, sign: str, left: Value, right: Value) -> Value:
    """Points where both sides have one; a number goes with every point; what has no value (x / 0) is no point."""
    compute = _OPERATORS[sign]
    if isinstance(left, list) or isinstance(right, list):
        if isinstance(left, list) and isinstance(right, list):
            raise _wrong(scope, f"{sign} between two lists of time series")
        several, other = (left, right) if isinstance(left, list) else (right, left)
        swap = several is right
        found = [_apply(scope, sign, *((other, one) if swap else (one, other))) for one in several]  # type: ignore[union-attr]
        return [one for one in found if isinstance(one, dict)]
    if isinstance(left, float) and isinstance(right, float):
        value = _safe(compute, left, right)
        if value is None:
            raise _wrong(scope, f"{left:g} {sign} {right:g} has no value")
        return value
    times = left if isinstance(left, dict) else right
    assert isinstance(times, dict)
    points: Points = {}
    for at_s in times:
        pair = [side.get(at_s) if isinstance(side, dict) else side for side in (left, right)]
        if pair[0] is not None and pair[1] is not None:
            value = _safe(compute, pair[0], pair[1])
            if value is not None:
                points[at_s] = value
    return points


def _safe(compute: Callable[..., float], *values: float) -> float | None:
    try:
        value = compute(*values)
    except (ArithmeticError, ValueError):
        return None
    return value if isinstance(value, float) and math.isfinite(value) else None


# --- functions


def _across(reduce: Callable[[list[float]], float]) -> Callable[..., Value]:
    """Of one time series a number; of several, a series of what they have at each time."""

    def function(scope: Scope, value: Value) -> Value:
        if isinstance(value, float):
            return value
        if isinstance(value, dict):
            return reduce(list(value.values())) if value else 0.0
        times = sorted({at_s for one in value for at_s in one})
        return {at_s: reduce([one[at_s] for one in value if at_s in one]) for at_s in times}

    return function


def _deviation(values: list[float]) -> float:
    middle = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / len(values))


def _each(compute: Callable[[float], float]) -> Callable[..., Value]:
    def function(scope: Scope, value: Value) -> Value:
        if isinstance(value, float):
            return compute(value)
        if isinstance(value, list):
            return [_mapped(compute, one) for one in value]
        return _mapped(compute, value)

    return function


def _mapped(compute: Callable[[float], float], points: Points) -> Points:
    told = {at_s: _safe(compute, value) for at_s, value in points.items()}
    return {at_s: value for at_s, value in told.items() if value is not None}


def _stepwise(compute: Callable[[float, float], float]) -> Callable[..., Value]:
    """From each point and the one before it: change of value, seconds between them."""

    def one(points: Points) -> Points:
        times = sorted(points)
        return {later: compute(points[later] - points[earlier], later - earlier) for earlier, later in pairwise(times)}

    def function(scope: Scope, value: Value) -> Value:
        if isinstance(value, float):
            raise _wrong(scope, "a time series is needed, not a number")
        return [one(points) for points in value] if isinstance(value, list) else one(value)

    return function


def _running_sum(scope: Scope, value: Value) -> Value:
    if isinstance(value, float):
        raise _wrong(scope, "a time series is needed, not a number")
    if isinstance(value, list):
        return [_accumulated(one) for one in value]
    return _accumulated(value)


def _accumulated(points: Points) -> Points:
    total, found = 0.0, {}
    for at_s in sorted(points):
        total += points[at_s]
        found[at_s] = total
    return found


def _metrics(scope: Scope, part: str = "") -> Value:
    chosen = [scope.values[name] for name in scope.metrics if part in name]
    return [value for value in chosen if isinstance(value, dict)]


def _period(scope: Scope, value: Value) -> Value:
    for name, known in scope.values.items():
        if known is value and name in scope.periods:
            return float(scope.periods[name])
    return float(scope.window.period_s)


def _fill(scope: Scope, value: Value, filler: Value | str) -> Value:
    if isinstance(value, list):
        return [points for one in value if isinstance(points := _fill(scope, one, filler), dict)]
    if isinstance(value, float):
        raise _wrong(scope, "FILL needs a time series")
    if scope.window.count > _POINTS_MAX:
        raise _wrong(scope, f"FILL would make more than {_POINTS_MAX} points")
    window, found = scope.window, {}
    known = sorted(value)
    for number in range(window.count):
        at_s = window.start_s + number * window.period_s
        filled = value.get(at_s)
        if filled is None:
            filled = _filler(filler, at_s, known, value)
        if filled is not None:
            found[at_s] = filled
    return found


def _filler(filler: Value | str, at_s: int, known: list[int], value: Points) -> float | None:
    if isinstance(filler, float):
        return filler
    if isinstance(filler, dict):
        return filler.get(at_s)
    before = [one for one in known if one < at_s]
    if not before or isinstance(filler, list):
        return None
    if filler == "REPEAT":
        return value[before[-1]]
    after = [one for one in known if one > at_s]
    if not after:
        return None
    first, last = before[-1], after[0]
    return value[first] + (value[last] - value[first]) * (at_s - first) / (last - first)


def _count(scope: Scope, value: Value) -> Value:
    return float(len(value)) if isinstance(value, (list, dict)) else 1.0


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "ABS": _each(abs),
    "AVG": _across(lambda values: sum(values) / len(values)),
    "CEIL": _each(lambda value: float(math.ceil(value))),
    "DATAPOINT_COUNT": _count,
    "DIFF": _stepwise(lambda change, _: change),
    "FILL": _fill,
    "FLOOR": _each(lambda value: float(math.floor(value))),
    "LOG": _each(math.log),
    "LOG10": _each(math.log10),
    "MAX": _across(max),
    "METRICS": _metrics,
    "METRIC_COUNT": _count,
    "MIN": _across(min),
    "PERIOD": _period,
    "RATE": _stepwise(lambda change, seconds: change / seconds),
    "RUNNING_SUM": _running_sum,
    "STDDEV": _across(_deviation),
    "SUM": _across(math.fsum),
}
