"""Targets of rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.errors import LimitExceededException, ValidationException
from jupyter_lambda.model.rule import RuleTarget
from jupyter_lambda.triggers.schedules import inputs
from jupyter_lambda.triggers.schedules.targets import kind_of

from . import names

#: Targets of a rule. Source: EventBridge User Guide, "Amazon EventBridge quotas".
TARGETS_MAX = 5
_INPUTS = ("Input", "InputPath", "InputTransformer")


async def put_targets(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge API Reference, "PutTargets"."""
    rows, wanted = call.triggers.schedules.rules.rows, call.params["Targets"]
    for target in wanted:
        _check(target)
    async with call.plane.lock(names.LOCK):
        rule = names.rule(call, "Rule")
        ids = set(rows.targets(rule.bus, rule.name)) | {target["Id"] for target in wanted}
        if len(ids) > TARGETS_MAX:
            raise LimitExceededException("The requested resource exceeds the maximum number allowed.")
        made = [RuleTarget(target["Id"], target["Arn"], target) for target in wanted]
        await rows.change_targets(rule.bus, rule.name, put=made)
    return {"FailedEntryCount": 0, "FailedEntries": []}


def _check(target: Mapping[str, Any]) -> None:
    """Refuse what can't be a target.

    Raises:
        NotImplementedException: Targets of this kind are not built.
        ValidationException: It is not valid.
    """
    named = target["Id"]
    kind = kind_of(target["Arn"], "EventBridge's rules")
    if sum(name in target for name in _INPUTS) > 1:
        raise ValidationException(
            f"Only one of Input, InputPath, or InputTransformer must be provided for target {named}."
        )
    if "Input" in target:
        try:
            json.loads(target["Input"])
        except (ValueError, RecursionError):
            raise ValidationException(f"JSON syntax error in input for target {named}") from None
    if "InputPath" in target:
        inputs.check_path(target["InputPath"])
    if "InputTransformer" in target:
        inputs.check_transformer(target["InputTransformer"])
    is_fifo = kind == "sqs" and target["Arn"].endswith(".fifo")
    if is_fifo and not target.get("SqsParameters", {}).get("MessageGroupId"):
        raise ValidationException(f"Parameter(s) SqsParameters must be specified for target: {named}.")
    queue = target.get("DeadLetterConfig", {}).get("Arn", "")
    if queue and (":sqs:" not in queue or queue.endswith(".fifo")):
        raise ValidationException(f"The dead-letter queue of target {named} must be a standard SQS queue, not {queue}.")


async def remove_targets(call: Call) -> Mapping[str, Any]:
    """Ids that aren't there are removed too.

    Source: EventBridge API Reference, "RemoveTargets".
    """
    async with call.plane.lock(names.LOCK):
        rule = names.rule(call, "Rule")
        await call.triggers.schedules.rules.rows.change_targets(rule.bus, rule.name, remove=call.params["Ids"])
    return {"FailedEntryCount": 0, "FailedEntries": []}


async def list_targets_by_rule(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge API Reference, "ListTargetsByRule"."""
    rule = names.rule(call, "Rule")
    targets = call.triggers.schedules.rules.rows.targets(rule.bus, rule.name)
    chosen, token = names.page(call, targets, targets)
    return {"Targets": [target.settings for target in chosen], "NextToken": token}
