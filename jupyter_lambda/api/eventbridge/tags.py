"""Tags of rules and buses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.errors import ResourceNotFoundException
from jupyter_lambda.model.rule import DEFAULT_BUS, EventBus, Rule

from . import names


async def tag_resource(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge API Reference, "TagResource"."""
    given = {tag["Key"]: tag["Value"] for tag in call.params["Tags"]}
    async with call.plane.lock(names.LOCK):
        resource = _resource(call)
        await _write(call, resource, {**resource.tags, **given})
    return {}


async def untag_resource(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge API Reference, "UntagResource"."""
    async with call.plane.lock(names.LOCK):
        resource = _resource(call)
        left = {key: value for key, value in resource.tags.items() if key not in call.params["TagKeys"]}
        await _write(call, resource, left)
    return {}


async def list_tags_for_resource(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge API Reference, "ListTagsForResource"."""
    return {"Tags": [{"Key": key, "Value": value} for key, value in _resource(call).tags.items()]}


def _resource(call: Call) -> Rule | EventBus:
    rows, arn = call.triggers.schedules.rules.rows, call.params["ResourceARN"]
    account = call.service.account
    prefix = f"arn:{account.partition}:events:{account.region}:{account.account_id}:"
    kind, _, path = arn.removeprefix(prefix).partition("/")
    found: Rule | EventBus | None = None
    if arn.startswith(prefix) and kind == "event-bus":
        found = rows.buses().get(path)
    elif arn.startswith(prefix) and kind == "rule":
        bus, slash, name = path.rpartition("/")
        found = rows.rules(bus if slash else DEFAULT_BUS).get(name)
    if found is None:
        what = "Rule" if kind == "rule" else "EventBus"
        raise ResourceNotFoundException(f"{what} {path.rpartition('/')[2]} does not exist.")
    return found


async def _write(call: Call, resource: Rule | EventBus, tags: Mapping[str, str]) -> None:
    rows = call.triggers.schedules.rules.rows
    if isinstance(resource, Rule):
        await rows.put_rule(replace(resource, tags=tags))
    else:
        await rows.put_bus(replace(resource, tags=tags))
