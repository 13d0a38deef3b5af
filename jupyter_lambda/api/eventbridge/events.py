"""Events, and patterns that are tried on one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.errors import NotImplementedException, ValidationException
from jupyter_lambda.triggers.patterns import EventPattern
from jupyter_lambda.triggers.schedules.entries import SIZE_MAX_BYTES, EntryError, read, size_bytes
from jupyter_lambda.triggers.schedules.rules import local_bus

#: Members that an event must have to be tried. Source: EventBridge API Reference, "TestEventPattern".
_MEMBERS = ("id", "account", "source", "time", "region", "resources", "detail-type")


async def put_events(call: Call) -> Mapping[str, Any]:
    """Each entry is taken or refused for itself; what those that are taken lead to is on disk when this answers.

    Source: EventBridge API Reference, "PutEvents". An event for a bus that does not exist is taken and leads nowhere.
    """
    if call.params.get("EndpointId") is not None:
        raise NotImplementedException("PutEvents: global endpoints (EndpointId) are not built.")
    entries = call.params["Entries"]
    if sum(map(size_bytes, entries)) > SIZE_MAX_BYTES:
        raise ValidationException("Total size of the entries in the request is over the limit.")
    account, now_s = call.service.account, call.service.clock()
    answers: list[dict[str, str]] = []
    taken: list[tuple[str, Mapping[str, Any]]] = []
    for entry in entries:
        event_id = str(uuid.uuid4())
        try:
            bus, event = read(entry, account, event_id, now_s)
            taken.append((_here(call, bus), event))
            answers.append({"EventId": event_id})
        except EntryError as error:
            answers.append({"ErrorCode": error.code, "ErrorMessage": error.message})
    await call.triggers.schedules.rules.put(taken)
    return {"FailedEntryCount": sum("ErrorCode" in answer for answer in answers), "Entries": answers}


def _here(call: Call, bus: str) -> str:
    name = local_bus(call.service.account, bus)
    if name is None:
        raise EntryError("InvalidArgument", f"Event bus {bus} is of another account or region than this engine's.")
    return name


async def test_event_pattern(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge API Reference, "TestEventPattern"."""
    pattern = EventPattern.parse(call.params["EventPattern"])
    try:
        event = json.loads(call.params["Event"])
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict) or any(name not in event for name in _MEMBERS):
        raise ValidationException("Parameter Event is not valid.")
    return {"Result": pattern.matches(event)}
