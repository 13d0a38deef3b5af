"""Tags of schedule groups; schedules themselves have none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.errors import ResourceNotFoundException
from jupyter_lambda.model.scheduled import ScheduleGroup
from jupyter_lambda.triggers.schedules.scheduler import group_arn

from . import tokens


async def tag_resource(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge Scheduler API Reference, "TagResource"."""
    given = {tag["Key"]: tag["Value"] for tag in call.params["Tags"]}
    async with call.plane.lock(tokens.LOCK):
        group = _group(call)
        await _write(call, replace(group, tags={**group.tags, **given}))
    return {}


async def untag_resource(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge Scheduler API Reference, "UntagResource"."""
    async with call.plane.lock(tokens.LOCK):
        group = _group(call)
        left = {key: value for key, value in group.tags.items() if key not in call.params["TagKeys"]}
        await _write(call, replace(group, tags=left))
    return {}


async def list_tags_for_resource(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge Scheduler API Reference, "ListTagsForResource"."""
    return {"Tags": [{"Key": key, "Value": value} for key, value in _group(call).tags.items()]}


def _group(call: Call) -> ScheduleGroup:
    arn: str = call.params["ResourceArn"]
    name = arn.rpartition("/")[2]
    found = call.triggers.schedules.scheduler.rows.groups().get(name)
    if found is None or arn != group_arn(call.service.account, name):
        raise ResourceNotFoundException(f"Schedule group {name} does not exist.")
    return found


async def _write(call: Call, group: ScheduleGroup) -> None:
    await call.triggers.schedules.scheduler.rows.put_group(replace(group, modified_s=call.service.clock()), None)
