"""Policies that Lambda authorizers answer: do they let a request through?

Source: Amazon API Gateway Developer Guide, "Output from an API Gateway Lambda authorizer".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from jupyter_lambda.triggers.wildcards import wildcards

ACTION = "execute-api:invoke"


class NoPolicy(Exception):
    """What an authorizer answered as its policy is none."""


#: "deny": a statement says so; "nothing": none says anything.
Decision = Literal["allow", "deny", "nothing"]


def decide(document: Any, resource_arn: str) -> Decision:
    """What a policy says of ``execute-api:Invoke`` of a resource. A denial goes before all else.

    A statement with conditions never allows and always denies: none of their keys is known here.

    Raises:
        NoPolicy: It has not the form of one.
    """
    if not isinstance(document, Mapping):
        raise NoPolicy("policyDocument must be an object")
    statements = document.get("Statement")
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, list) or not all(isinstance(one, Mapping) for one in statements):
        raise NoPolicy("policyDocument has no list of statements")
    permitted = False
    for statement in statements:
        if not _concerns(statement, resource_arn):
            continue
        if statement.get("Effect") == "Deny":
            return "deny"
        permitted = permitted or (statement.get("Effect") == "Allow" and not statement.get("Condition"))
    return "allow" if permitted else "nothing"


def _concerns(statement: Mapping[str, Any], resource_arn: str) -> bool:
    actions, resources = _texts(statement.get("Action")), _texts(statement.get("Resource"))
    return any(wildcards(one.lower()).fullmatch(ACTION) for one in actions) and any(
        wildcards(one).fullmatch(resource_arn) for one in resources
    )


def _texts(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
        raise NoPolicy("each statement must have an Action and a Resource")
    return texts
