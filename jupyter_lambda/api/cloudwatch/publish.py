"""PutMetricData: metrics of functions' and notebooks' own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.errors import (
    ClientError,
    InvalidParameterCombinationException,
    InvalidParameterValueException,
    MissingRequiredParameterException,
)
from jupyter_lambda.model.statistics import StatisticSet
from jupyter_lambda.store.metrics import MetricKey

from . import series

#: Of one request: metrics; values of one metric. Source: CloudWatch API Reference, "PutMetricData".
METRICS_MAX, VALUES_MAX = 1_000, 150
#: Magnitude of a value; seconds by which a time may lie in the past and in the future. Source: the same.
VALUE_MAX, PAST_MAX_S, FUTURE_MAX_S = 2.0**360, 14 * 86_400, 2 * 3600
#: Metrics that are kept, the engine's own included: not AWS's figure, a guard for the disk.
KEPT_MAX = 100_000
WITHOUT_EFFECT = {
    "PutMetricData": {
        "StrictEntityValidation": "entities are not kept; nor is a finer StorageResolution than one minute",
    }
}


class LimitExceededFault(ClientError, status=400):
    """More metrics than are kept."""


async def put_metric_data(call: Call) -> Mapping[str, Any]:
    """Source: CloudWatch API Reference, "PutMetricData"."""
    namespace = call.params["Namespace"]
    if namespace.startswith("AWS/"):
        raise InvalidParameterValueException("The value AWS/ for parameter Namespace is invalid.")
    data = list(_all_data(call.params))
    if not data:
        raise MissingRequiredParameterException("The parameter MetricData is required.")
    if len(data) > METRICS_MAX:
        raise InvalidParameterValueException(
            f"The collection MetricData must not have a size greater than {METRICS_MAX}."
        )
    metrics = call.service.store.metrics
    if metrics.count() + len(data) > KEPT_MAX:
        raise LimitExceededFault(f"At most {KEPT_MAX} different metrics are kept; use fewer values of dimensions.")
    rows = []
    for where, datum in data:
        dimensions = tuple(sorted(series.dimensions(datum.get("Dimensions")).items()))
        key = MetricKey(namespace, datum["MetricName"], dimensions, datum.get("Unit", "None"))
        rows.append((key, _minute_s(call, where, datum), _counted(where, datum)))
    metrics.post(rows)
    return {}


def _all_data(params: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, datum in enumerate(params.get("MetricData", ()), 1):
        yield f"MetricData.member.{number}", datum
    for outer, entity in enumerate(params.get("EntityMetricData", ()), 1):
        for number, datum in enumerate(entity.get("MetricData", ()), 1):
            yield f"EntityMetricData.member.{outer}.MetricData.member.{number}", datum


def _minute_s(call: Call, where: str, datum: Mapping[str, Any]) -> int:
    now_s = call.service.clock()
    at_s = datum.get("Timestamp", now_s)
    if not now_s - PAST_MAX_S <= at_s <= now_s + FUTURE_MAX_S:  # NaN included
        raise InvalidParameterValueException(
            f"The parameter {where}.Timestamp must specify a time within the past two weeks and no more than two hours "
            "in the future."
        )
    return int(at_s) // 60 * 60


def _counted(where: str, datum: Mapping[str, Any]) -> StatisticSet:
    given = [name for name in ("Value", "StatisticValues", "Values") if name in datum]
    if not given:
        raise MissingRequiredParameterException(
            f"At least one of the parameters must be specified: {where}.Value, StatisticValues or Values."
        )
    if len(given) > 1:
        raise InvalidParameterCombinationException(
            f"The parameters {where}.{given[0]} and {where}.{given[1]} are mutually exclusive and you have specified "
            "both."
        )
    if given[0] == "StatisticValues":
        return _statistic_set(f"{where}.StatisticValues", datum["StatisticValues"])
    values = datum["Values"] if given[0] == "Values" else [datum["Value"]]
    counts = datum.get("Counts", [1.0] * len(values))
    if len(values) > VALUES_MAX:
        raise InvalidParameterValueException(
            f"The collection {where}.Values must not have a size greater than {VALUES_MAX}."
        )
    if len(counts) != len(values):
        raise InvalidParameterValueException(f"The parameters {where}.Values and Counts must be of the same size.")
    whole = StatisticSet()
    for value, count in zip(values, counts, strict=True):
        if not count > 0:
            raise InvalidParameterValueException(f"The parameter {where}.Counts must be greater than 0.")
        whole.add(StatisticSet.of(_number(where, value), _number(where, count)))
    return whole


def _statistic_set(where: str, given: Mapping[str, float]) -> StatisticSet:
    samples, total, smallest, largest = (
        _number(where, given[name]) for name in ("SampleCount", "Sum", "Minimum", "Maximum")
    )
    if samples <= 0 or smallest > largest:
        raise InvalidParameterValueException(f"The parameter {where} is not a valid statistic set.")
    same = StatisticSet.of(smallest, samples).histogram if smallest == largest else None
    return StatisticSet(samples, total, smallest, largest, same)


def _number(where: str, value: float) -> float:
    if not math.isfinite(value) or abs(value) > VALUE_MAX:
        raise InvalidParameterValueException(
            f"The value {value} for parameter {where} is invalid: it must be between -2^360 and 2^360."
        )
    return float(value)
