"""Entries of PutEvents: refused one by one, or put into AWS's envelope; pure.

Source: EventBridge API Reference, "PutEvents"; the texts are recorded answers of AWS.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.model.arn import Account
from jupyter_lambda.model.rule import DEFAULT_BUS

from .envelope import event as envelope

#: Bytes of all entries of one request. Source: EventBridge User Guide, "Calculating PutEvents event entry size".
SIZE_MAX_BYTES = 262_144
#: Seconds since the epoch of the year 10000, which no time is written with.
_TIME_END_S = 253_402_300_800.0
_REQUIRED = ("Source", "DetailType", "Detail")


class EntryError(Exception):
    """An entry that is refused, with AWS's code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def size_bytes(entry: Mapping[str, Any]) -> int:
    """What AWS counts an entry as."""
    texts = [entry.get(name) or "" for name in _REQUIRED] + list(entry.get("Resources", ()))
    return (14 if "Time" in entry else 0) + sum(len(text.encode()) for text in texts)


def read(
    entry: Mapping[str, Any], account: Account, event_id: str, now_s: float, *, internal: bool = False
) -> tuple[str, dict[str, Any]]:
    """The bus an entry names, by name or ARN, and its event.

    Args:
        internal: An entry of the engine's own, which may speak for AWS's services.
    Raises:
        EntryError: It is not valid.
    """
    for name in _REQUIRED:
        if not entry.get(name):
            raise EntryError(
                "InvalidArgument", f"Parameter {name} is not valid. Reason: {name} is a required argument."
            )
    if entry["Source"].startswith("aws.") and not internal:
        raise EntryError("NotAuthorizedForSourceException", "Not authorized for the source.")
    try:
        detail = json.loads(entry["Detail"])
    except (ValueError, RecursionError):
        detail = None
    if not isinstance(detail, dict):
        raise EntryError("MalformedDetail", "Detail is malformed.")
    time_s = entry.get("Time", now_s)
    if not 0 <= time_s < _TIME_END_S:
        raise EntryError("InvalidArgument", "Parameter Time is not valid.")
    event = envelope(
        account,
        event_id,
        detail_type=entry["DetailType"],
        source=entry["Source"],
        time_s=time_s,
        resources=entry.get("Resources", ()),
        detail=detail,
    )
    return entry.get("EventBusName") or DEFAULT_BUS, event
