"""Rules of event buses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.errors import InvalidScheduleExpression, LimitExceededException, ValidationException
from jupyter_lambda.model.rule import DEFAULT_BUS, Rule
from jupyter_lambda.model.schedule import Schedule
from jupyter_lambda.triggers.schedules.rules import pattern, rule_arn

from . import names

#: Rules of a bus. Source: EventBridge User Guide, "Amazon EventBridge quotas".
RULES_MAX = 300
WITHOUT_EFFECT = {"PutRule": {"RoleArn": "the engine acts itself, no role is assumed"}}


async def put_rule(call: Call) -> Mapping[str, Any]:
    """Make a rule, or replace all of it but its tags.

    Source: EventBridge API Reference, "PutRule".
    """
    params, part = call.params, call.triggers.schedules
    rows = part.rules.rows
    async with call.plane.lock(names.LOCK):
        bus = names.bus(call).name
        before = rows.rules(bus).get(params["Name"])
        _check(params, bus)
        if before is None and len(rows.rules(bus)) >= RULES_MAX:
            raise LimitExceededException("The requested resource exceeds the maximum number allowed.")
        tags = before.tags if before else {tag["Key"]: tag["Value"] for tag in params.get("Tags", ())}
        rule = Rule(
            bus,
            params["Name"],
            params.get("EventPattern") or None,
            params.get("ScheduleExpression") or None,
            params.get("State", "ENABLED"),
            params.get("Description"),
            params.get("RoleArn"),
            tags,
        )
        # A schedule that stays the same keeps its beat.
        same = before is not None and (before.schedule, before.enabled) == (rule.schedule, rule.enabled)
        await rows.put_rule(rule, None if same else part.rules.timer(rule))
    part.clockwork.changed()
    return {"RuleArn": rule_arn(call.service.account, bus, rule.name)}


def _check(params: Mapping[str, Any], bus: str) -> None:
    schedule, text = params.get("ScheduleExpression"), params.get("EventPattern")
    if not schedule and not text:
        raise ValidationException("Parameter(s) EventPattern or ScheduleExpression must be specified.")
    if schedule:
        if bus != DEFAULT_BUS:
            raise ValidationException("ScheduleExpression is supported only on the default event bus.")
        try:
            Schedule.parse(schedule, dialect="rule")
        except InvalidScheduleExpression:
            raise ValidationException("Parameter ScheduleExpression is not valid.") from None
    if text:
        pattern(text)


async def describe_rule(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge API Reference, "DescribeRule"."""
    rule = names.rule(call)
    return {**_described(call, rule), "CreatedBy": call.service.account.account_id}


async def list_rules(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge API Reference, "ListRules"."""
    rules = call.triggers.schedules.rules.rows.rules(names.bus(call).name)
    prefix = call.params.get("NamePrefix", "")
    chosen, token = names.page(call, rules, [name for name in rules if name.startswith(prefix)])
    return {"Rules": [_described(call, rule) for rule in chosen], "NextToken": token}


async def list_rule_names_by_target(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge API Reference, "ListRuleNamesByTarget"."""
    rows, bus, arn = call.triggers.schedules.rules.rows, names.bus(call).name, call.params["TargetArn"]
    rules = rows.rules(bus)
    found = [name for name in rules if any(target.arn == arn for target in rows.targets(bus, name).values())]
    chosen, token = names.page(call, rules, found)
    return {"RuleNames": [rule.name for rule in chosen], "NextToken": token}


async def enable_rule(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge API Reference, "EnableRule"."""
    return await _set_state(call, "ENABLED")


async def disable_rule(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge API Reference, "DisableRule"."""
    return await _set_state(call, "DISABLED")


async def _set_state(call: Call, state: str) -> Mapping[str, Any]:
    part = call.triggers.schedules
    async with call.plane.lock(names.LOCK):
        before = names.rule(call)
        rule = replace(before, state=state)
        if before.enabled != rule.enabled:
            await part.rules.rows.put_rule(rule, part.rules.timer(rule))
    part.clockwork.changed()
    return {}


async def delete_rule(call: Call) -> Mapping[str, Any]:
    """One that isn't there is deleted too; one with targets is not.

    Source: EventBridge API Reference, "DeleteRule".
    """
    rows, name = call.triggers.schedules.rules.rows, call.params["Name"]
    async with call.plane.lock(names.LOCK):
        bus = names.bus(call).name
        if rows.targets(bus, name):
            raise ValidationException("Rule can't be deleted since it has targets.")
        await rows.delete_rule(bus, name)
    return {}


def _described(call: Call, rule: Rule) -> dict[str, Any]:
    return names.optional(
        Name=rule.name,
        Arn=rule_arn(call.service.account, rule.bus, rule.name),
        EventPattern=rule.pattern,
        ScheduleExpression=rule.schedule,
        State=rule.state,
        Description=rule.description,
        RoleArn=rule.role_arn,
        EventBusName=rule.bus,
    )
