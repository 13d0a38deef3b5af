"""GetMetricStatistics: one metric, several statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.errors import (
    InvalidParameterCombinationException,
    InvalidParameterValueException,
)

from . import series
from .series import Statistic

#: Points of one answer. Source: CloudWatch API Reference, "GetMetricStatistics".
POINTS_MAX = 1_440


async def get_metric_statistics(call: Call) -> Mapping[str, Any]:
    """Source: CloudWatch API Reference, "GetMetricStatistics"."""
    params = call.params
    plain, extended = params.get("Statistics", ()), params.get("ExtendedStatistics", ())
    if not plain and not extended:
        raise InvalidParameterCombinationException("Must specify either Statistics or ExtendedStatistics.")
    window = series.window(call, params["Period"], "Period")
    if window.count > POINTS_MAX:
        raise InvalidParameterCombinationException(
            f"You have requested up to {window.count:,} datapoints, which exceeds the limit of {POINTS_MAX:,}. You may "
            "reduce the datapoints requested by increasing Period, or decreasing the time range."
        )
    told = [Statistic(name, "Statistics", error=InvalidParameterValueException) for name in plain]
    percentiles = [Statistic(name, "ExtendedStatistics", error=InvalidParameterValueException) for name in extended]
    await series.refresh(call)
    wanted = series.dimensions(params.get("Dimensions"))
    unit = call.service.store.metrics.unit(params["Namespace"], params["MetricName"], wanted)
    points = []
    for start_s, counted in sorted(series.read(call, params, window, params.get("Unit")).items()):
        if not counted.samples:
            continue
        point: dict[str, Any] = {"Timestamp": start_s, "Unit": unit}
        point.update({one.name: one.of(counted) for one in told})
        more = {one.name: value for one in percentiles if (value := one.of(counted)) is not None}
        if more:
            point["ExtendedStatistics"] = more
        points.append(point)
    return {"Label": params["MetricName"], "Datapoints": points}
