"""Resource-based policies, decided: may this principal do this with this function?

Whoever fires a function on a service's behalf asks here first (S3, SNS, EventBridge rules, API Gateway, Function URLs);
event source mappings and EventBridge Scheduler act as a role and need no policy.

Source: AWS Lambda Developer Guide, "Viewing resource-based IAM policies in Lambda" and "Control access to Lambda
function URLs"; IAM User Guide, "IAM JSON policy elements".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from jupyter_lambda.engine.service import LambdaService

from .wildcards import wildcards

INVOKE = "lambda:InvokeFunction"
INVOKE_URL = "lambda:InvokeFunctionUrl"
_ACCOUNT = re.compile(r"\d{12}")
_ASSUMED = re.compile(r"arn:([^:]*):sts::(\d{12}):assumed-role/([^/]+)/.+")


def allowed(
    service: LambdaService,
    function_arn: str,
    *,
    principal: str,
    action: str = INVOKE,
    source_arn: str | None = None,
    source_account: str | None = None,
    function_url_auth_type: str | None = None,
    via_function_url: bool = False,
    event_source_token: str | None = None,
    principal_org_id: str | None = None,
) -> bool:
    """Whether the policy attached to exactly this ARN has a statement that allows it.

    Args:
        function_arn: As the function is named by whoever fires it: a policy of the function says nothing of its
            versions and aliases, nor theirs of it.
        principal: "s3.amazonaws.com", an account's id, the ARN of a user or (assumed) role, or "*" for nobody known.
        source_arn: Of the bucket, topic, rule, API … that fires; None: it names none.
        source_account: Account of that; None: it names none.
        function_url_auth_type: "NONE" or "AWS_IAM" where a Function URL is asked.
    """
    policy = service.store.functions.policy(function_arn)
    if policy is None:
        return False
    keys = {
        "aws:sourcearn": source_arn,
        "aws:sourceaccount": source_account,
        "aws:principalorgid": principal_org_id,
        "lambda:eventsourcetoken": event_source_token,
        "lambda:functionurlauthtype": function_url_auth_type,
        "lambda:invokedviafunctionurl": "true" if via_function_url else "false",
    }
    return any(allows(statement, principal, action, keys) for statement in policy["Statement"])


def allows(statement: Mapping[str, Any], principal: str, action: str, keys: Mapping[str, str | None]) -> bool:
    """Whether one statement allows it.

    Args:
        keys: Condition keys in lower case → what the request has of them; None or missing: nothing.
    """
    return (
        statement.get("Effect") == "Allow"
        and any(is_action(action, pattern) for pattern in _several(statement.get("Action")))
        and _is_principal(statement.get("Principal"), principal)
        and all(
            _holds(operator, key.lower(), _several(wanted), keys)
            for operator, tests in statement.get("Condition", {}).items()
            for key, wanted in tests.items()
        )
    )


def is_action(action: str, pattern: str) -> bool:
    """Whether a pattern of actions ("lambda:Get*") has this one."""
    return wildcards(pattern.lower()).fullmatch(action.lower()) is not None


def _is_principal(stated: Any, principal: str) -> bool:
    if stated == "*":
        return True
    if not isinstance(stated, Mapping):
        return False
    if any(one.lower() == principal.lower() for one in _several(stated.get("Service"))):
        return True
    return any(_is_aws(one, principal) for one in _several(stated.get("AWS")))


def _is_aws(stated: str, principal: str) -> bool:
    """An account stands for all its users and roles; a role for all its sessions."""
    if stated == "*" or stated == principal:
        return True
    assumed = _ASSUMED.fullmatch(principal)
    if assumed is not None and stated == f"arn:{assumed[1]}:iam::{assumed[2]}:role/{assumed[3]}":
        return True
    parts = principal.split(":")
    account = parts[4] if principal.startswith("arn:") and len(parts) > 5 else principal
    if not _ACCOUNT.fullmatch(account):
        return False
    return stated == account or (":iam::" in stated and stated.endswith(f":{account}:root"))


def _holds(operator: str, key: str, wanted: list[str], keys: Mapping[str, str | None]) -> bool:
    given = keys.get(key)
    if given is None:
        return False
    match operator:
        case "StringEquals":
            return given in wanted
        case "StringLike":
            return any(wildcards(pattern).fullmatch(given) for pattern in wanted)
        case "ArnLike" | "ArnEquals":
            return any(arn_like(given, pattern) for pattern in wanted)
        case "Bool":
            return given.lower() in [value.lower() for value in wanted]
    return False  # an operator that isn't known can't be said to hold


def arn_like(arn: str, pattern: str) -> bool:
    """ArnLike: each of an ARN's six parts by itself, ``*`` and ``?`` in any of them."""
    parts, patterns = arn.split(":", 5), pattern.split(":", 5)
    return len(parts) == len(patterns) and all(
        wildcards(one).fullmatch(part) for part, one in zip(parts, patterns, strict=True)
    )


def _several(value: str | Iterable[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
