"""ListMetrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine.control import read_marker, write_marker
from jupyter_lambda.errors import InvalidParameterValueException
from jupyter_lambda.store.metrics import MetricFilter

from . import series

#: Metrics of a page; seconds without data after which a metric is not listed any more, and with RecentlyActive.
PAGE, LISTED_S, RECENT_S = 500, 14 * 86_400, 3 * 3600
WITHOUT_EFFECT = {
    "ListMetrics": {
        "IncludeLinkedAccounts": "there is one account",
        "OwningAccount": "there is one account",
    }
}


async def list_metrics(call: Call) -> Mapping[str, Any]:
    """Source: CloudWatch API Reference, "ListMetrics"."""
    params = call.params
    try:
        marker = read_marker(params.get("NextToken"), int)
    except InvalidParameterValueException:
        raise InvalidParameterValueException("The NextToken is not valid.") from None
    await series.refresh(call)
    recent = params.get("RecentlyActive") is not None
    wanted = MetricFilter(
        namespace=params.get("Namespace"),
        name=params.get("MetricName"),
        dimensions={one["Name"]: one.get("Value") for one in params.get("Dimensions", ())},
        since_s=call.service.clock() - (RECENT_S if recent else LISTED_S),
    )
    found = call.service.store.metrics.listed(wanted, marker[0] if marker else 0, PAGE + 1)
    metrics = [
        {
            "Namespace": one.namespace,
            "MetricName": one.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in one.dimensions.items()],
        }
        for one in found[:PAGE]
    ]
    return {"Metrics": metrics, "NextToken": write_marker(found[PAGE - 1].id) if len(found) > PAGE else None}
