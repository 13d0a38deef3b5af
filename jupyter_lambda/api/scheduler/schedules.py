"""Schedules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine.control import read_marker, write_marker
from jupyter_lambda.errors import (
    ConflictException,
    InvalidParameterValueException,
    InvalidScheduleExpression,
    ResourceNotFoundException,
    ValidationException,
)
from jupyter_lambda.model import schedule as expressions
from jupyter_lambda.model.schedule_cron import YEAR_MAX
from jupyter_lambda.model.scheduled import DEFAULT_GROUP, ScheduledTarget
from jupyter_lambda.triggers.schedules.scheduler import schedule_arn
from jupyter_lambda.triggers.schedules.targets import AGE_MAX_S, RETRIES_MAX, kind_of

from . import tokens

#: Items of a page, at most and by default. Source: EventBridge Scheduler API Reference, "ListSchedules".
PAGE = 100
#: Seconds since the epoch after which no expression has a time.
_DATE_END_S = datetime(YEAR_MAX + 1, 1, 1, tzinfo=UTC).timestamp()
_WHY = {"KmsKeyArn": "nothing is encrypted by keys of KMS"}
WITHOUT_EFFECT = {"CreateSchedule": _WHY, "UpdateSchedule": _WHY}


async def create_schedule(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge Scheduler API Reference, "CreateSchedule"."""
    part = call.triggers.schedules
    async with call.plane.lock(tokens.LOCK):
        before = tokens.answered(call, "CreateSchedule")
        if before is not None:
            return before
        group, name = _group(call), call.params["Name"]
        if part.scheduler.rows.get(group, name) is not None:
            raise ConflictException(f"Schedule {name} already exists.")
        schedule = _schedule(call, group)
        answer = {"ScheduleArn": schedule_arn(call.service.account, group, name)}
        await _put(call, schedule, None, "CreateSchedule", answer)
    part.clockwork.changed()
    return answer


async def update_schedule(call: Call) -> Mapping[str, Any]:
    """Replace all of a schedule; what isn't given goes back to its default.

    Source: EventBridge Scheduler API Reference, "UpdateSchedule".
    """
    part = call.triggers.schedules
    async with call.plane.lock(tokens.LOCK):
        again = tokens.answered(call, "UpdateSchedule")
        if again is not None:
            return again
        before = _known(call)
        schedule = replace(_schedule(call, before.group), created_s=before.created_s)
        answer = {"ScheduleArn": schedule_arn(call.service.account, schedule.group, schedule.name)}
        await _put(call, schedule, before, "UpdateSchedule", answer)
    part.clockwork.changed()
    return answer


async def _put(
    call: Call, schedule: ScheduledTarget, before: ScheduledTarget | None, operation: str, answer: dict[str, Any]
) -> None:
    part = call.triggers.schedules
    timer = None
    # Where nothing of it changes that its times depend on, it keeps its beat.
    if before is None or before.timing != schedule.timing:
        timer = part.scheduler.timer(schedule)
        timer = replace(timer, due_s=part.clockwork.due_of(timer.tick_s, schedule.window_minutes * 60.0))
    await part.scheduler.rows.put(schedule, timer, tokens.remember(call, operation, answer))


async def get_schedule(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge Scheduler API Reference, "GetSchedule"."""
    one = _known(call)
    window = (
        {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": one.window_minutes} if one.window_minutes else {"Mode": "OFF"}
    )
    return {
        "Arn": schedule_arn(call.service.account, one.group, one.name),
        "GroupName": one.group,
        "Name": one.name,
        "ScheduleExpression": one.expression,
        "ScheduleExpressionTimezone": one.timezone,
        "StartDate": one.start_s,
        "EndDate": one.end_s,
        "Description": one.description,
        "State": one.state,
        "KmsKeyArn": one.kms_key_arn,
        "FlexibleTimeWindow": window,
        "Target": one.target,
        "ActionAfterCompletion": one.action_after_completion,
        "CreationDate": one.created_s,
        "LastModificationDate": one.modified_s,
    }


async def delete_schedule(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge Scheduler API Reference, "DeleteSchedule"."""
    async with call.plane.lock(tokens.LOCK):
        if tokens.answered(call, "DeleteSchedule") is None:
            one = _known(call)
            rows = call.triggers.schedules.scheduler.rows
            await rows.delete(one.group, one.name, tokens.remember(call, "DeleteSchedule", {}))
    return {}


async def list_schedules(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge Scheduler API Reference, "ListSchedules"."""
    params, rows = call.params, call.triggers.schedules.scheduler.rows
    group = _group(call) if params.get("GroupName") else None
    prefix, state, size = params.get("NamePrefix", ""), params.get("State"), params.get("MaxResults", PAGE)
    try:
        marker = read_marker(params.get("NextToken"), str, str) or ("", "")
    except InvalidParameterValueException:
        raise ValidationException("Invalid NextToken.") from None
    after: tuple[str, str] = (marker[0], marker[1])
    found: list[ScheduledTarget] = []
    while len(found) <= size and (page := rows.page(after, 2 * PAGE, group)):
        found += [one for one in page if one.name.startswith(prefix) and state in (None, one.state)]
        after = page[-1].group, page[-1].name
    chosen = found[:size]
    token = write_marker(chosen[-1].group, chosen[-1].name) if len(found) > size else None
    return {"Schedules": [_summary(call, one) for one in chosen], "NextToken": token}


def _summary(call: Call, one: ScheduledTarget) -> dict[str, Any]:
    return {
        "Arn": schedule_arn(call.service.account, one.group, one.name),
        "Name": one.name,
        "GroupName": one.group,
        "State": one.state,
        "CreationDate": one.created_s,
        "LastModificationDate": one.modified_s,
        "Target": {"Arn": one.target["Arn"]},
    }


# ── reading a request ────────────────────────────────────────────────────────────────────────────────────────────────


def _group(call: Call) -> str:
    name: str = call.params.get("GroupName") or DEFAULT_GROUP
    if name not in call.triggers.schedules.scheduler.rows.groups():
        raise ResourceNotFoundException(f"Schedule group {name} does not exist.")
    return name


def _known(call: Call) -> ScheduledTarget:
    name = call.params["Name"]
    found = call.triggers.schedules.scheduler.rows.get(_group(call), name)
    if found is None:
        raise ResourceNotFoundException(f"Schedule {name} does not exist.")
    return found


def _schedule(call: Call, group: str) -> ScheduledTarget:
    """The schedule that a request describes.

    Raises:
        ValidationException: AWS's text.
        NotImplementedException: Targets of this kind are not built.
    """
    params, now_s = call.params, call.service.clock()
    expression, timezone = params["ScheduleExpression"], params.get("ScheduleExpressionTimezone", "UTC")
    try:
        expressions.zone(timezone)
    except InvalidScheduleExpression:
        raise ValidationException(f"Invalid ScheduleExpressionTimezone {timezone}.") from None
    try:
        expressions.Schedule.parse(expression, timezone)
    except InvalidScheduleExpression:
        raise ValidationException(f"Invalid Schedule Expression {expression}.") from None
    start_s, end_s = params.get("StartDate"), params.get("EndDate")
    for name, date_s in (("StartDate", start_s), ("EndDate", end_s)):
        if date_s is not None and not 0 <= date_s < _DATE_END_S:
            raise ValidationException(f"Invalid {name}: it must be between the years 1970 and {YEAR_MAX}.")
    if start_s is not None and end_s is not None and start_s >= end_s:
        raise ValidationException("The StartDate must be before the EndDate.")
    return ScheduledTarget(
        group,
        params["Name"],
        expression,
        timezone,
        params.get("State", "ENABLED"),
        _target(params["Target"]),
        now_s,
        now_s,
        start_s,
        end_s,
        _window_minutes(params["FlexibleTimeWindow"]),
        params.get("ActionAfterCompletion", "NONE"),
        params.get("Description"),
        params.get("KmsKeyArn"),
    )


def _window_minutes(window: Mapping[str, Any]) -> int:
    minutes: int | None = window.get("MaximumWindowInMinutes")
    if window["Mode"] == "OFF":
        if minutes is not None:
            raise ValidationException("MaximumWindowInMinutes must not be set when the flexible time window is OFF.")
        return 0
    if minutes is None:
        raise ValidationException("MaximumWindowInMinutes must be set when the flexible time window is FLEXIBLE.")
    return minutes


def _target(target: Mapping[str, Any]) -> dict[str, Any]:
    """The target with AWS's defaults."""
    kind = kind_of(target["Arn"], "EventBridge Scheduler")
    if "Input" in target and kind in ("lambda", "events"):
        try:
            json.loads(target["Input"])
        except (ValueError, RecursionError):
            raise ValidationException("Input must be a well-formed JSON for this target.") from None
    if kind == "kinesis" and "KinesisParameters" not in target:
        raise ValidationException("KinesisParameters must be set for targets of Kinesis.")
    if kind == "events" and "EventBridgeParameters" not in target:
        raise ValidationException("EventBridgeParameters must be set for targets of EventBridge.")
    policy = {"MaximumEventAgeInSeconds": int(AGE_MAX_S), "MaximumRetryAttempts": RETRIES_MAX}
    return {**target, "RetryPolicy": {**policy, **target.get("RetryPolicy", {})}}
