"""Resource policies of event buses: kept and returned as AWS does; there is one account, so they decide nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.errors import ResourceNotFoundException, ValidationException
from jupyter_lambda.triggers.schedules.rules import bus_arn

from . import names

_WHY = "the policy is kept and returned; this engine is one account, whose credentials decide"
WITHOUT_EFFECT = {"PutPermission": dict.fromkeys(("Action", "Principal", "Condition", "Policy"), _WHY)}


async def put_permission(call: Call) -> Mapping[str, Any]:
    """Add or replace a statement, or the whole policy.

    Source: EventBridge API Reference, "PutPermission"; statements as in recorded answers of AWS.
    """
    params = call.params
    async with call.plane.lock(names.LOCK):
        bus = names.bus(call)
        if params.get("Policy") is not None:
            policy = _document(params["Policy"])
        else:
            kept = [
                one for one in (bus.policy or {}).get("Statement", ()) if one.get("Sid") != params.get("StatementId")
            ]
            policy = {"Version": "2012-10-17", "Statement": [*kept, _statement(call, bus.name)]}
        await call.triggers.schedules.rules.rows.put_bus(replace(bus, policy=policy))
    return {}


async def remove_permission(call: Call) -> Mapping[str, Any]:
    """Source: EventBridge API Reference, "RemovePermission"."""
    params = call.params
    async with call.plane.lock(names.LOCK):
        bus = names.bus(call)
        statements = list((bus.policy or {}).get("Statement", ()))
        left = [one for one in statements if one.get("Sid") != params.get("StatementId")]
        if params.get("RemoveAllPermissions"):
            left = []
        elif len(left) == len(statements):
            raise ResourceNotFoundException("Statement with the provided id does not exist.")
        policy = {**(bus.policy or {}), "Statement": left} if left else None
        await call.triggers.schedules.rules.rows.put_bus(replace(bus, policy=policy))
    return {}


def _document(text: str) -> dict[str, Any]:
    try:
        policy = json.loads(text)
    except (ValueError, RecursionError):
        policy = None
    if not isinstance(policy, dict) or not isinstance(policy.get("Statement", []), list):
        raise ValidationException("The policy is not a valid JSON policy document.")
    statements = policy.get("Statement", [])
    if not all(isinstance(one, dict) for one in statements):
        raise ValidationException("The policy is not a valid JSON policy document.")
    return policy


def _statement(call: Call, bus: str) -> dict[str, Any]:
    params, account = call.params, call.service.account
    missing = [name for name in ("Action", "Principal", "StatementId") if params.get(name) is None]
    if missing:
        raise ValidationException(f"Parameter(s) {', '.join(missing)} must be specified.")
    principal: str = params["Principal"]
    statement: dict[str, Any] = {
        "Sid": params["StatementId"],
        "Effect": "Allow",
        "Principal": "*" if principal == "*" else {"AWS": f"arn:{account.partition}:iam::{principal}:root"},
        "Action": params["Action"],
        "Resource": bus_arn(account, bus),
    }
    condition = params.get("Condition")
    if condition:
        statement["Condition"] = {condition["Type"]: {condition["Key"]: condition["Value"]}}
    return statement
