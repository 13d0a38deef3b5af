"""Resource-based policies of functions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine import policies
from jupyter_lambda.engine.control import ControlPlane
from jupyter_lambda.errors import InvalidParameterValueException

#: ARNs that can be principals.
_PRINCIPAL_ARN = re.compile(
    r"arn:aws[a-z-]*:(?:iam|sts)::\d{12}:(?:root|(?:user|role|assumed-role|federated-user)/\S+)"
)
_SERVICES = (".amazonaws.com", ".amazon.com", ".amazonaws.com.cn")


async def add_permission(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "AddPermission"."""
    name, qualifier = call.named()
    statement = _statement(call.plane, name, qualifier, call.params)
    await policies.add(call.plane, name, qualifier, statement, call.params.get("RevisionId"))
    return {"Statement": json.dumps(statement, separators=(",", ":"))}


async def remove_permission(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "RemovePermission"."""
    name, qualifier = call.named()
    params = call.params
    await policies.remove(call.plane, name, qualifier, params["StatementId"], params.get("RevisionId"))
    return {}


async def get_policy(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "GetPolicy"."""
    name, qualifier = call.named()
    policy = policies.get(call.plane, name, qualifier)
    document = {"Version": "2012-10-17", "Id": "default", "Statement": policy["Statement"]}
    return {"Policy": json.dumps(document, separators=(",", ":")), "RevisionId": policy["RevisionId"]}


def _statement(plane: ControlPlane, name: str, qualifier: str | None, params: Mapping[str, Any]) -> dict[str, Any]:
    """The statement as AWS composes it."""
    principal: str = params["Principal"]
    shown: str | dict[str, str]
    if principal == "*":
        shown = "*"
    elif principal.endswith(_SERVICES):
        shown = {"Service": principal}
    elif principal.isdecimal() and len(principal) == 12:
        shown = {"AWS": f"arn:{plane.account.partition}:iam::{principal}:root"}
    elif _PRINCIPAL_ARN.fullmatch(principal):
        shown = {"AWS": principal}
    else:
        raise InvalidParameterValueException(
            "The provided principal was invalid. Please check the principal and try again."
        )
    if "FunctionUrlAuthType" in params and params["Action"] != "lambda:InvokeFunctionUrl":
        raise InvalidParameterValueException(
            "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action"
        )
    statement: dict[str, Any] = {
        "Sid": params["StatementId"],
        "Effect": "Allow",
        "Principal": shown,
        "Action": params["Action"],
        "Resource": plane.account.function_arn(name, qualifier),
    }
    condition: dict[str, dict[str, str]] = {}
    equals = {
        "AWS:SourceAccount": params.get("SourceAccount"),
        "aws:PrincipalOrgID": params.get("PrincipalOrgID"),
        "lambda:EventSourceToken": params.get("EventSourceToken"),
        "lambda:FunctionUrlAuthType": params.get("FunctionUrlAuthType"),
    }
    given = {key: value for key, value in equals.items() if value is not None}
    if given:
        condition["StringEquals"] = given
    if "InvokedViaFunctionUrl" in params:
        condition["Bool"] = {"lambda:InvokedViaFunctionUrl": "true" if params["InvokedViaFunctionUrl"] else "false"}
    if "SourceArn" in params:
        condition["ArnLike"] = {"AWS:SourceArn": params["SourceArn"]}
    return statement | ({"Condition": condition} if condition else {})
