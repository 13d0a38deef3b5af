"""Groups of schedules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine.control import read_marker, write_marker
from jupyter_lambda.errors import (
    ConflictException,
    InvalidParameterValueException,
    ResourceNotFoundException,
    ServiceQuotaExceededException,
    ValidationException,
)
from jupyter_lambda.model.scheduled import DEFAULT_GROUP, ScheduleGroup
from jupyter_lambda.triggers.schedules.scheduler import group_arn

from . import tokens

#: Groups of an account. Source: EventBridge Scheduler User Guide, "Quotas".
GROUPS_MAX = 500
PAGE = 100


async def create_schedule_group(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge Scheduler API Reference, "CreateScheduleGroup"."""
    rows, name = call.triggers.schedules.scheduler.rows, call.params["Name"]
    async with call.plane.lock(tokens.LOCK):
        before = tokens.answered(call, "CreateScheduleGroup")
        if before is not None:
            return before
        groups = rows.groups()
        if name in groups:
            raise ConflictException(f"Schedule group {name} already exists.")
        if len(groups) >= GROUPS_MAX:
            raise ServiceQuotaExceededException(f"An account has at most {GROUPS_MAX} schedule groups.")
        now_s = call.service.clock()
        tags = {tag["Key"]: tag["Value"] for tag in call.params.get("Tags", ())}
        answer = {"ScheduleGroupArn": group_arn(call.service.account, name)}
        token = tokens.remember(call, "CreateScheduleGroup", answer)
        await rows.put_group(ScheduleGroup(name, now_s, now_s, tags), token)
    return answer


async def get_schedule_group(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge Scheduler API Reference, "GetScheduleGroup"."""
    return _described(call, _known(call))


async def list_schedule_groups(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge Scheduler API Reference, "ListScheduleGroups"."""
    params, groups = call.params, call.triggers.schedules.scheduler.rows.groups()
    try:
        marker = read_marker(params.get("NextToken"), str)
    except InvalidParameterValueException:
        raise ValidationException("Invalid NextToken.") from None
    prefix, size = params.get("NamePrefix", ""), params.get("MaxResults", PAGE)
    left = sorted(name for name in groups if name.startswith(prefix) and (marker is None or name > marker[0]))
    token = write_marker(left[size - 1]) if len(left) > size else None
    return {"ScheduleGroups": [_described(call, groups[name]) for name in left[:size]], "NextToken": token}


async def delete_schedule_group(call: Call) -> Mapping[str, Any]:
    """A group goes with all its schedules, at once; at AWS it takes minutes, in the state DELETING.

    Source: EventBridge Scheduler API Reference, "DeleteScheduleGroup".
    """
    async with call.plane.lock(tokens.LOCK):
        if tokens.answered(call, "DeleteScheduleGroup") is not None:
            return {}
        if call.params["Name"] == DEFAULT_GROUP:
            raise ValidationException("The default schedule group can not be deleted.")
        group = _known(call)
        rows = call.triggers.schedules.scheduler.rows
        await rows.delete_group(group.name, tokens.remember(call, "DeleteScheduleGroup", {}))
    return {}


def _known(call: Call) -> ScheduleGroup:
    name = call.params["Name"]
    found = call.triggers.schedules.scheduler.rows.groups().get(name)
    if found is None:
        raise ResourceNotFoundException(f"Schedule group {name} does not exist.")
    return found


def _described(call: Call, group: ScheduleGroup) -> dict[str, Any]:
    return {
        "Arn": group_arn(call.service.account, group.name),
        "Name": group.name,
        "State": "ACTIVE",
        "CreationDate": group.created_s,
        "LastModificationDate": group.modified_s,
    }
