"""HTTP APIs (apigatewayv2), the way of one request: stage → preflight → route → throttle → authorizer → integration.

Source: Amazon API Gateway Developer Guide, "Working with HTTP APIs".
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from jupyter_lambda.http1 import Response
from jupyter_lambda.model.arn import Account

from . import events, responses
from .authorizers import Broken, Forbidden, Unauthorized
from .http_authorization import Authorization, Door, Refused
from .http_proxy import forward
from .http_stages import HttpApi, Stage, stage_of
from .integration import BODY_MAX_BYTES, Asking, Failed, Functions, TimedOut, Unavailable, answered, function_of
from .routes import ANY, DEFAULT, Match, split_key
from .signer import unsigned
from .throttle import Throttle
from .visit import Visit

log = logging.getLogger(__name__)

_TIMEOUT_MS = 30_000


def message(status: int, text: str, headers: list[tuple[str, str]] | None = None) -> Response:
    """An answer of the API itself."""
    body = json.dumps({"message": text}, separators=(",", ":")).encode()
    return Response(status, [("Content-Type", "application/json"), *(headers or ())], body)


@dataclass(slots=True)
class Tools:
    """What all APIs share."""

    functions: Functions
    throttle: Throttle
    authorization: Authorization
    clock: Callable[[], float]
    account: Account
    #: What failed, for people; by API and route the last reason.
    problems: dict[str, str] = field(default_factory=dict)


async def answer(api: HttpApi, visit: Visit, tools: Tools) -> Response:
    """Answer one request."""
    response = await _answer(api, visit, tools)
    response.headers = [*response.headers, ("Apigw-Requestid", visit.request_id)]
    return response


async def _answer(api: HttpApi, visit: Visit, tools: Tools) -> Response:
    found = None if api.disabled else stage_of(api, visit.path)
    if found is None:
        return message(404, "Not Found")
    stage, path = found
    if api.cors is not None:
        preflight = api.cors.preflight(visit)
        if preflight is not None:
            return preflight
    match = stage.routes.find(visit.method, path)
    if match is None:
        response = message(404, "Not Found")
    elif len(visit.body) > BODY_MAX_BYTES:
        response = message(413, "Request Entity Too Large")
    else:
        response = await _Request(api, stage, match, path, visit, tools).answer()
    return api.cors.dress(response, visit) if api.cors is not None else response


class _Request:
    """One request that has a route."""

    def __init__(
        self, api: HttpApi, stage: Stage, match: Match[Mapping[str, Any]], path: str, visit: Visit, tools: Tools
    ) -> None:
        self._api, self._stage, self._visit, self._tools = api, stage, visit, tools
        #: Without the stage.
        self._path = path
        self._route = match.target
        self._variables = match.variables
        self._key: str = match.target["RouteKey"]

    async def answer(self) -> Response:
        """Throttle, authorize, integrate."""
        tools, stage = self._tools, self._stage
        if not tools.throttle.allows((self._api.api_id, stage.name, self._key), *stage.limits(self._key)):
            return message(429, "Too Many Requests")
        try:
            context = await tools.authorization.check(self._door())
        except Refused as refusal:
            return message(refusal.status, refusal.text, refusal.headers)
        except Unauthorized:
            return message(401, "Unauthorized")
        except Forbidden:
            return message(403, "Forbidden")
        except Broken as error:
            return self._fail(500, "Internal Server Error", str(error))
        if context is not None and "iam" in context:
            self._visit = unsigned(self._visit)
        integration = stage.integrations.get(str(self._route.get("Target", "")).removeprefix("integrations/"))
        if integration is None:
            return self._fail(500, "Internal Server Error", "the route has no integration")
        return await self._integrate(integration, context)

    def _door(self) -> Door:
        authorizer_id = self._route.get("AuthorizerId")
        return Door(
            visit=self._visit,
            route=self._route,
            authorizer=self._stage.authorizers.get(authorizer_id) if authorizer_id else None,
            api_id=self._api.api_id,
            stage=self._stage.name,
            stage_variables=self._stage.variables,
            arn=self._arn(self._path),
            event=self._event,
            asking=lambda: Asking(
                source_arns=self._authorizer_arns(),
                source=f"http:{self._key}",
                timeout_s=_TIMEOUT_MS / 1000,
                request_id=str(uuid.uuid4()),
            ),
        )

    async def _integrate(self, integration: Mapping[str, Any], authorizer: Mapping[str, Any] | None) -> Response:
        timeout_s = integration.get("TimeoutInMillis", _TIMEOUT_MS) / 1000
        uri = function_of(integration.get("IntegrationUri", ""), self._stage.variables)
        version = integration.get("PayloadFormatVersion", "1.0")
        try:
            if integration["IntegrationType"] == "HTTP_PROXY":
                return await self._forward(uri, integration.get("IntegrationMethod", "ANY"), timeout_s)
            asking = self._asking(timeout_s, as_role=bool(integration.get("CredentialsArn")))
            payload = await self._tools.functions.ask(uri, self._event(version, authorizer), asking)
            read = responses.from_format_2 if version == "2.0" else responses.from_format_1
            response = await answered(payload, read)
        except (TimedOut, Unavailable) as failure:
            return self._fail(503, "Service Unavailable", failure.why)
        except Failed as failure:
            return self._fail(500, "Internal Server Error", failure.why)
        except responses.Malformed as error:
            return self._fail(500, "Internal Server Error", f"the function's answer can't be sent: {error}")
        self._tools.problems.pop(f"{self._api.api_id} {self._key}", None)
        return response

    async def _forward(self, uri: str, method: str, timeout_s: float) -> Response:
        return await forward(
            self._visit,
            uri,
            method,
            route_key=self._key,
            path=self._path,
            variables=self._variables,
            timeout_s=timeout_s,
        )

    def _asking(self, timeout_s: float, *, as_role: bool) -> Asking:
        return Asking(
            source_arns=self._source_arns(),
            source=f"http:{self._key}",
            timeout_s=timeout_s,
            request_id=self._visit.request_id,
            trace_id=self._visit.trace_id,
            as_role=as_role,
        )

    def _fail(self, status: int, text: str, why: str) -> Response:
        log.warning("%s %s of API %s: %s", self._visit.method, self._path, self._api.api_id, why)
        self._tools.problems[f"{self._api.api_id} {self._key}"] = why
        return message(status, text)

    def _event(self, version: str, authorizer: Mapping[str, Any] | None) -> dict[str, Any]:
        """The event of a payload format.

        Args:
            authorizer: As format 2.0 has it: {"jwt": …}, {"lambda": …} or {"iam": …}.
        """
        account = self._tools.account
        now_s = self._tools.clock()
        if version == "2.0":
            return events.format_2(
                self._visit,
                now_s=now_s,
                account_id=account.account_id,
                path=unquote(self._visit.path),
                route_key=self._key,
                stage=self._stage.name,
                authorizer=authorizer,
                path_parameters=self._variables,
                stage_variables=self._stage.variables,
            )
        parts = split_key(self._key)
        event = events.format_1(
            replace(self._visit, raw_headers=[(name.lower(), value) for name, value in self._visit.raw_headers]),
            now_s=now_s,
            resource=parts[1] if parts else DEFAULT,
            path=unquote(self._visit.path),
            stage=self._stage.name,
            context={
                "accountId": account.account_id,
                "resourceId": self._key,
                "path": unquote(self._visit.path),
                **({"authorizer": dict(_flat(authorizer))} if authorizer is not None else {}),
            },
            path_parameters=self._variables,
            stage_variables=self._stage.variables,
            text=events.is_text(self._visit.header("content-type")),
            version="1.0",
        )
        for member in ("headers", "multiValueHeaders"):
            event[member] = {name.lower(): value for name, value in event[member].items()}
        return event

    # --- names for policies

    def _arn(self, path: str) -> str:
        """Of the request, as execute-api has it."""
        return f"{self._base()}/{self._stage.name}/{self._visit.method}{path}"

    def _base(self) -> str:
        account = self._tools.account
        return f"arn:{account.partition}:execute-api:{account.region}:{account.account_id}:{self._api.api_id}"

    def _source_arns(self) -> list[str]:
        """Which the function's policy may name: the route's, and the request's."""
        parts = split_key(self._key)
        if parts is None:
            return [f"{self._base()}/{self._stage.name}/{DEFAULT}", self._arn(self._path)]
        method = self._visit.method if parts[0] == ANY else parts[0]
        return [f"{self._base()}/{self._stage.name}/{method}{parts[1]}", self._arn(self._path)]

    def _authorizer_arns(self) -> list[str]:
        return [f"{self._base()}/authorizers/{self._route.get('AuthorizerId')}"]


def _flat(authorizer: Mapping[str, Any]) -> Mapping[str, Any]:
    """What format 1.0 has of an authorizer: no level between."""
    found: Mapping[str, Any] = next(iter(authorizer.values()), {})
    return found
