"""Event buses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.errors import (
    LimitExceededException,
    NotImplementedException,
    ResourceAlreadyExistsException,
    ValidationException,
)
from jupyter_lambda.model.rule import DEFAULT_BUS, EventBus
from jupyter_lambda.triggers.schedules.rules import bus_arn

from . import names

#: Buses of an account. Source: EventBridge User Guide, "Amazon EventBridge quotas".
BUSES_MAX = 100
_EXTRAS = ("KmsKeyIdentifier", "DeadLetterConfig", "LogConfig")
_WHY = {
    "KmsKeyIdentifier": "nothing is encrypted by keys of KMS",
    "DeadLetterConfig": "of a bus it is for events that can't be decrypted",
    "LogConfig": "buses write no log",
}
WITHOUT_EFFECT = {"CreateEventBus": _WHY, "UpdateEventBus": _WHY}


async def create_event_bus(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge API Reference, "CreateEventBus"."""
    params, rows = call.params, call.triggers.schedules.rules.rows
    name: str = params["Name"]
    if params.get("EventSourceName") is not None:
        raise NotImplementedException("CreateEventBus: buses of partner event sources (EventSourceName) are not built.")
    if "/" in name:
        raise ValidationException("Event bus name must not contain '/'.")
    async with call.plane.lock(names.LOCK):
        if name in rows.buses():
            raise ResourceAlreadyExistsException(f"Event bus {name} already exists.")
        if len(rows.buses()) > BUSES_MAX:
            raise LimitExceededException("The requested resource exceeds the maximum number allowed.")
        now_s = call.service.clock()
        tags = {tag["Key"]: tag["Value"] for tag in params.get("Tags", ())}
        extras = {key: params[key] for key in _EXTRAS if key in params}
        bus = EventBus(name, now_s, now_s, params.get("Description"), extras=extras, tags=tags)
        await rows.put_bus(bus)
    return {"EventBusArn": bus_arn(call.service.account, name), "Description": bus.description, **extras}


async def update_event_bus(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge API Reference, "UpdateEventBus"."""
    params, rows = call.params, call.triggers.schedules.rules.rows
    async with call.plane.lock(names.LOCK):
        bus = names.bus(call, "Name")
        extras = {**bus.extras, **{key: params[key] for key in _EXTRAS if key in params}}
        description = params.get("Description", bus.description)
        bus = replace(bus, description=description, extras=extras, modified_s=call.service.clock())
        await rows.put_bus(bus)
    return {"Arn": bus_arn(call.service.account, bus.name), "Name": bus.name, "Description": description, **extras}


async def delete_event_bus(call: Call) -> Mapping[str, Any]:
    """One that isn't there is deleted too; one with rules is not.

    Source: EventBridge API Reference, "DeleteEventBus".
    """
    rows, name = call.triggers.schedules.rules.rows, call.params["Name"]
    if name == DEFAULT_BUS:
        raise ValidationException("Cannot delete event bus default.")
    async with call.plane.lock(names.LOCK):
        if rows.rules(name):
            raise ValidationException("Event bus cannot be deleted since it has rules.")
        await rows.delete_bus(name)
    return {}


async def describe_event_bus(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge API Reference, "DescribeEventBus"."""
    bus = names.bus(call, "Name")
    return {**_described(call, bus), **bus.extras}


async def list_event_buses(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge API Reference, "ListEventBuses"."""
    buses = call.triggers.schedules.rules.rows.buses()
    prefix = call.params.get("NamePrefix", "")
    chosen, token = names.page(call, buses, [name for name in buses if name.startswith(prefix)])
    return {"EventBuses": [_described(call, bus) for bus in chosen], "NextToken": token}


def _described(call: Call, bus: EventBus) -> dict[str, Any]:
    return names.optional(
        Name=bus.name,
        Arn=bus_arn(call.service.account, bus.name),
        Description=bus.description,
        Policy=json.dumps(bus.policy) if bus.policy else None,
        CreationTime=bus.created_s or None,
        LastModifiedTime=bus.modified_s or None,
    )
