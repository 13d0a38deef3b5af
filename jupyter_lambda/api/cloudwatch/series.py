"""Time series: what is asked of a metric over a time range, by period and statistic."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine.observing import write
from jupyter_lambda.errors import InvalidParameterValueException, LambdaError, ValidationException
from jupyter_lambda.model.statistics import StatisticSet

#: Periods below a minute that AWS's API takes; nothing is kept that finely here.
_SHORT_PERIODS = frozenset((1, 5, 10, 20, 30))
#: Age of a time range's start in seconds, and to what it is rounded down. Source: API Reference, "GetMetricData".
_ROUNDING = ((15 * 86_400, 60), (63 * 86_400, 300), (math.inf, 3600))
#: Seconds since the epoch that are taken for a time.
_TIME_MAX_S = 32_503_680_000
_PERCENTILE = re.compile(r"[pP](\d{1,3}(?:\.\d{1,10})?)")
_PLAIN = frozenset(("SampleCount", "Average", "Sum", "Minimum", "Maximum"))
#: Statistics that AWS has and that are not built.
_UNBUILT = re.compile(r"(?i)(tm|wm|tc|ts|pr|iqm)\b.*|(tm|wm|tc|ts)\d.*")

Points = dict[int, float]


@dataclass(frozen=True, slots=True)
class Window:
    """A time range and the periods it is cut into. Seconds since the epoch; the end is not included."""

    start_s: int
    end_s: int
    period_s: int

    def bucket(self, at_s: int) -> int:
        """Start of the period that a time falls into."""
        return self.start_s + (at_s - self.start_s) // self.period_s * self.period_s

    @property
    def count(self) -> int:
        """Periods, the last one perhaps cut short."""
        return -(-(self.end_s - self.start_s) // self.period_s)


def window(call: Call, period_s: int, where: str) -> Window:
    """The request's time range, its start rounded down as AWS does.

    Args:
        where: What the period is called in messages.
    Raises:
        InvalidParameterValueException: A time or the period makes no sense.
    """
    start_s, end_s = (_seconds(name, call.params[name]) for name in ("StartTime", "EndTime"))
    if start_s >= end_s:
        raise InvalidParameterValueException("The parameter StartTime must be less than the parameter EndTime.")
    check_period(period_s, where)
    age_s = call.service.clock() - start_s
    step_s = next(step_s for limit_s, step_s in _ROUNDING if age_s <= limit_s)
    return Window(int(start_s) // step_s * step_s, math.ceil(end_s), period_s)


def check_period(period_s: int, where: str) -> None:
    """A multiple of 60, or one of a few shorter ones.

    Raises:
        InvalidParameterValueException: It is neither.
    """
    if period_s not in _SHORT_PERIODS and (period_s < 60 or period_s % 60):
        raise InvalidParameterValueException(f"The parameter {where} must be 1, 5, 10, 20, 30, or a multiple of 60.")


def _seconds(name: str, value: float) -> float:
    if not 0 <= value < _TIME_MAX_S:  # NaN included
        raise InvalidParameterValueException(f"The parameter {name} is not a valid time.")
    return value


def dimensions(given: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    """Name → value.

    Raises:
        InvalidParameterValueException: A name occurs twice.
    """
    pairs = [(str(one["Name"]), str(one["Value"])) for one in given or ()]
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidParameterValueException("No metric may specify the same dimension name twice.")
    return found


async def refresh(call: Call) -> None:
    """Let everything that was counted until now be read."""
    write(call.service.metrics, call.service.store)
    await call.service.store.metrics.flush()


def read(call: Call, metric: Mapping[str, Any], within: Window, unit: str | None) -> dict[int, StatisticSet]:
    """Statistics by start of period; periods without data are missing.

    Args:
        metric: Namespace, MetricName and Dimensions.
    """
    rows = call.service.store.metrics.read(
        metric["Namespace"],
        metric["MetricName"],
        dimensions(metric.get("Dimensions")),
        within.start_s,
        within.end_s,
        unit=unit,
    )
    found: dict[int, StatisticSet] = {}
    for period_s, start_s, counted in rows:
        if period_s <= within.period_s:  # what is kept more coarsely can't be told by finer periods
            found.setdefault(within.bucket(start_s), StatisticSet()).add(counted)
    return found


class Statistic:
    """One of AWS's statistics by its name."""

    def __init__(self, name: str, where: str, *, error: type[LambdaError] = ValidationException) -> None:
        """
        Raises:
            error: It is none, or one that is not built.
        """
        self.name = name
        found = _PERCENTILE.fullmatch(name)
        self._percent = float(found[1]) if found else None
        if name in _PLAIN or (self._percent is not None and self._percent <= 100):
            return
        if _UNBUILT.fullmatch(name):
            raise error(
                f"The statistic {name[:64]} of {where} is not built; use {', '.join(sorted(_PLAIN))} or p0 to p100."
            )
        raise error(f"The value for parameter {where} is not a valid statistic.")

    def of(self, counted: StatisticSet) -> float | None:
        """Its value; None where a percentile can't be told."""
        match self.name:
            case "SampleCount":
                return counted.samples
            case "Sum":
                return counted.total
            case "Average":
                return counted.total / counted.samples
            case "Minimum":
                return counted.minimum
            case "Maximum":
                return counted.maximum
        return counted.percentile(self._percent or 0.0)

    def points(self, found: Mapping[int, StatisticSet]) -> Points:
        """Start of period → value."""
        told = {start_s: self.of(counted) for start_s, counted in sorted(found.items()) if counted.samples}
        return {start_s: value for start_s, value in told.items() if value is not None}
