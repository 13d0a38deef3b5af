"""GetMetricData: several metrics and expressions over them in one request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine.control import read_marker, write_marker
from jupyter_lambda.errors import InvalidNextToken, InvalidParameterValueException, ValidationException

from . import series
from .expressions import Scope, Value, evaluate, ids_in
from .series import Statistic, Window

#: Queries of one request, points of one answer. Source: CloudWatch API Reference, "GetMetricData".
QUERIES_MAX, POINTS_MAX = 500, 100_800
_ID = re.compile(r"[a-z][a-zA-Z0-9_]*")
_LABEL_PART = re.compile(r"\$\{(LABEL|PROP\('([A-Za-z.]+)'\))\}")
WITHOUT_EFFECT = {"GetMetricData": {"LabelOptions": "no label tells a time"}}


@dataclass(slots=True)
class _Series:
    """One series of an answer."""

    id: str
    label: str
    points: list[tuple[int, float]]


async def get_metric_data(call: Call) -> Mapping[str, Any]:
    """Source: CloudWatch API Reference, "GetMetricData"."""
    queries = call.params["MetricDataQueries"]
    _check(queries)
    most = call.params.get("MaxDatapoints") or POINTS_MAX
    if not 0 < most <= POINTS_MAX:
        raise ValidationException(f"The parameter MaxDatapoints must be between 1 and {POINTS_MAX}.")
    skip = _marker(call.params.get("NextToken"))
    await series.refresh(call)
    found = _Evaluation(call, queries).results()
    oldest_first = call.params.get("ScanBy", "TimestampDescending") == "TimestampAscending"
    for one in found:
        one.points.sort(reverse=not oldest_first)
    results, token = _page(found, skip, most)
    return {"MetricDataResults": results, "NextToken": token, "Messages": []}


def _check(queries: list[dict[str, Any]]) -> None:
    if not queries or len(queries) > QUERIES_MAX:
        raise ValidationException(f"The parameter MetricDataQueries must have 1 to {QUERIES_MAX} members.")
    seen = set()
    for number, query in enumerate(queries, 1):
        where, name = f"MetricDataQueries.member.{number}", query["Id"]
        if not _ID.fullmatch(name):
            raise ValidationException(
                f"The value {name[:64]} for parameter {where}.Id is not matching the expected pattern "
                "^[a-z][a-zA-Z0-9_]*$."
            )
        if name in seen:
            raise ValidationException(f"The values for parameter Id in MetricDataQueries are not unique: {name}.")
        seen.add(name)
        if ("MetricStat" in query) == ("Expression" in query):
            raise ValidationException(f"Exactly one of MetricStat and Expression must be given for {where}.")
    if not any(query.get("ReturnData", True) for query in queries):
        raise ValidationException("At least one of the MetricDataQueries must have ReturnData true.")


class _Evaluation:
    """The values of all queries, whatever order they stand in."""

    def __init__(self, call: Call, queries: list[dict[str, Any]]) -> None:
        self._call = call
        self._queries = {query["Id"]: query for query in queries}
        self._values: dict[str, Value] = {}
        self._periods: dict[str, int] = {}
        self._labels: dict[str, str] = {}
        for number, query in enumerate(queries, 1):
            if "MetricStat" in query:
                self._read(query, f"MetricDataQueries.member.{number}.MetricStat")
        self._metrics = [name for name in self._queries if name in self._values]
        self._under_way: set[str] = set()

    def results(self) -> list[_Series]:
        """What is to be returned, in the order of the queries."""
        found = []
        for name, query in self._queries.items():
            if not query.get("ReturnData", True):
                continue
            value = self._value(name)
            if isinstance(value, float):
                raise ValidationException(f"Error in expression '{name}': it gives a number, not a time series")
            several = value if isinstance(value, list) else [value]
            found += [_Series(name, self._labels[name], list(points.items())) for points in several]
        return found

    def _read(self, query: dict[str, Any], where: str) -> None:
        stat, name = query["MetricStat"], query["Id"]
        metric = stat["Metric"]
        for member in ("Namespace", "MetricName"):
            if not metric.get(member):
                raise ValidationException(f"The parameter {where}.Metric.{member} is required.")
        statistic = Statistic(stat["Stat"], f"{where}.Stat")
        try:
            window = series.window(self._call, stat["Period"], f"{where}.Period")
            found = series.read(self._call, metric, window, stat.get("Unit"))
        except InvalidParameterValueException as exc:
            raise ValidationException(exc.message) from None
        self._values[name] = statistic.points(found)
        self._periods[name] = window.period_s
        self._labels[name] = _label(query.get("Label"), stat, metric)

    def _value(self, name: str) -> Value:
        if name in self._values:
            return self._values[name]
        query, text = self._queries[name], self._queries[name]["Expression"]
        if name in self._under_way:
            raise ValidationException(f"Error in expression '{name}': it refers to itself")
        self._under_way.add(name)
        needed = ids_in(text) & self._queries.keys()
        for other in needed:
            self._value(other)
        scope = Scope(self._values, self._metrics, self._periods, self._window(query, needed), name)
        value = evaluate(text, scope)
        self._values[name] = value
        self._periods[name] = scope.window.period_s
        self._labels[name] = query.get("Label") or name
        return value

    def _window(self, query: dict[str, Any], needed: set[str]) -> Window:
        """That of what the expression is made of; of all metrics where it names none."""
        periods = [self._periods[name] for name in (needed or self._metrics) if name in self._periods]
        period_s = query.get("Period") or max(periods, default=60)
        try:
            return series.window(self._call, period_s, "Period")
        except InvalidParameterValueException as exc:
            raise ValidationException(exc.message) from None


def _label(wanted: str | None, stat: Mapping[str, Any], metric: Mapping[str, Any]) -> str:
    """The label, with AWS's dynamic parts as far as they tell properties."""
    properties = {
        "MetricName": metric["MetricName"],
        "Namespace": metric["Namespace"],
        "Stat": stat["Stat"],
        "Period": str(stat["Period"]),
        **{f"Dim.{one['Name']}": one["Value"] for one in metric.get("Dimensions", ())},
    }

    def part(found: re.Match[str]) -> str:
        return str(metric["MetricName"]) if found[1] == "LABEL" else str(properties.get(found[2], found[0]))

    return _LABEL_PART.sub(part, wanted) if wanted else str(metric["MetricName"])


def _marker(token: str | None) -> int:
    try:
        marker = read_marker(token, int)
    except InvalidParameterValueException:
        raise InvalidNextToken("The NextToken is not valid.") from None
    return int(marker[0]) if marker else 0


def _page(found: list[_Series], skip: int, most: int) -> tuple[list[dict[str, Any]], str | None]:
    """So many points of all series, after those of the pages before."""
    results, room, passed = [], most, 0
    total = sum(len(one.points) for one in found)
    for one in found:
        begin = max(0, skip - passed)
        passed += len(one.points)
        points = one.points[begin : begin + room]
        room -= len(points)
        given_before = begin >= len(one.points) and (skip > 0 or one.points)
        if not points and given_before and skip > 0:
            continue
        whole = begin + len(points) >= len(one.points)
        results.append(
            {
                "Id": one.id,
                "Label": one.label,
                "Timestamps": [at_s for at_s, _ in points],
                "Values": [float(value) for _, value in points],
                "StatusCode": "Complete" if whole else "PartialData",
            }
        )
    given = skip + most - room
    return results, write_marker(given) if given < total else None
