"""AWS's envelope of events.

Source: Amazon EventBridge User Guide, "AWS service event metadata"; recorded events of AWS.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from jupyter_lambda.model.arn import Account


def event(
    account: Account,
    event_id: str,
    *,
    detail_type: str,
    source: str,
    time_s: float,
    resources: Sequence[str],
    detail: Mapping[str, Any] | str,
) -> dict[str, Any]:
    """One event, its members in AWS's order.

    Args:
        time_s: Seconds since the epoch.
    """
    return {
        "version": "0",
        "id": event_id,
        "detail-type": detail_type,
        "source": source,
        "account": account.account_id,
        "time": instant(time_s),
        "region": account.region,
        "resources": list(resources),
        "detail": detail,
    }


def instant(time_s: float) -> str:
    """``2026-11-25T21:00:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_s))
