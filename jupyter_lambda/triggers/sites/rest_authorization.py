"""Who may use a method of a REST API: anybody, whoever signs (AWS_IAM), or whom a Lambda authorizer lets in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jupyter_lambda.engine.settings import EngineSettings

from . import events
from .authorizers import Authorizers, Broken, LambdaAuthorizer, Unauthorized, Verdict
from .integration import Asking, function_of
from .signer import signer
from .visit import Visit

#: Seconds that an answer is kept where the authorizer says nothing.
TTL_DEFAULT_S = 300


@dataclass(frozen=True, slots=True)
class Gate:
    """One request before its method."""

    visit: Visit
    method: Mapping[str, Any]
    #: The document of the method's authorizer; None where it has none.
    authorizer: Mapping[str, Any] | None
    api_id: str
    stage: str
    stage_variables: Mapping[str, str]
    #: Of the request, as execute-api has it.
    arn: str
    event: Callable[[], dict[str, Any]]
    asking: Asking


async def check(gate: Gate, authorizers: Authorizers, settings: EngineSettings) -> tuple[dict[str, Any], str | None]:
    """What the event's ``requestContext`` tells of the caller, and the API key that an authorizer has named.

    Raises:
        Unauthorized, Forbidden, SignatureError: It may not pass.
        Broken: Nobody can say.
    """
    match gate.method.get("authorizationType", "NONE"):
        case "NONE":
            return {}, None
        case "AWS_IAM":
            return {"identity": await _signer(gate.visit, settings)}, None
        case "CUSTOM":
            verdict = await _lambda(gate, authorizers)
            told = {name: _text(value) for name, value in verdict.context.items()}
            return {"authorizer": {**told, "principalId": verdict.principal_id}}, verdict.usage_key
    raise Broken(f"the authorization type {gate.method['authorizationType']} is not built")


async def _signer(visit: Visit, settings: EngineSettings) -> dict[str, Any]:
    caller = await signer(visit, settings)
    name = caller.principal.rpartition(":")[2]
    return {
        "accessKey": caller.access_key,
        "accountId": settings.account.account_id,
        "caller": name,
        "user": name,
        "userArn": caller.principal,
    }


async def _lambda(gate: Gate, authorizers: Authorizers) -> Verdict:
    document = gate.authorizer
    if document is None:
        raise Broken("the method's authorizer is gone")
    is_token = document["type"] == "TOKEN"
    sources = _identity(document.get("identitySource") or "", gate)
    if sources is None or (is_token and not sources):
        raise Unauthorized
    ttl_s = document.get("authorizerResultTtlInSeconds", TTL_DEFAULT_S)
    if is_token:
        pattern = document.get("identityValidationExpression")
        if pattern and not re.fullmatch(pattern, sources[0]):
            raise Unauthorized
        event = {"type": "TOKEN", "methodArn": gate.arn, "authorizationToken": sources[0]}
    else:
        event = gate.event()
        for member in ("body", "isBase64Encoded"):
            event.pop(member, None)
        event = {"type": "REQUEST", "methodArn": gate.arn, **event}
    asking = gate.asking
    if document.get("authorizerCredentials"):
        asking = Asking(asking.source_arns, asking.source, asking.timeout_s, asking.request_id, as_role=True)
    authorizer = LambdaAuthorizer(
        key=(gate.api_id, gate.stage, document["id"]),
        function=function_of(document.get("authorizerUri", ""), gate.stage_variables),
        ttl_s=ttl_s,
        simple=False,
    )
    return await authorizers.ask(authorizer, sources, event, asking, gate.arn)


def _identity(expressions: str, gate: Gate) -> list[str] | None:
    """Values of ``method.request.header.X, …``; None where one is missing."""
    wanted: Sequence[str] = [one.strip() for one in expressions.split(",") if one.strip()]
    values = [_source(one, gate) for one in wanted]
    found = [value for value in values if value]
    return found if len(found) == len(values) else None


def _source(expression: str, gate: Gate) -> str | None:
    if name := _after(expression, "method.request.header."):
        return gate.visit.header(name.lower())
    if name := _after(expression, "method.request.querystring."):
        return dict(events.query_pairs(gate.visit.query)).get(name)
    if name := _after(expression, "stageVariables."):
        return gate.stage_variables.get(name)
    known = {
        "context.apiId": gate.api_id,
        "context.stage": gate.stage,
        "context.httpMethod": gate.visit.method,
        "context.path": gate.visit.path,
        "context.identity.sourceIp": events.source_ip(gate.visit),
    }
    return known.get(expression)


def _after(text: str, beginning: str) -> str | None:
    return text.removeprefix(beginning) if text.startswith(beginning) else None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
