"""REST APIs (apigateway), the way of one request: stage → resource and method → throttle → authorizer → integration.

Source: Amazon API Gateway Developer Guide, "API Gateway REST APIs" and "Gateway response types".
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from jupyter_lambda.engine.settings import EngineSettings
from jupyter_lambda.errors import SignatureError
from jupyter_lambda.http1 import Response

from . import events, mock, responses
from .authorizers import Authorizers, Broken, Forbidden, Unauthorized
from .http_proxy import forward
from .integration import BODY_MAX_BYTES, Asking, Failed, FunctionFailed, Functions, TimedOut, answered, function_of
from .rest_authorization import Gate, check
from .rest_stages import RestApi, Stage, Target, is_binary
from .routes import ANY, Match
from .signer import unsigned
from .throttle import Throttle
from .usage import Exceeded, Usage
from .visit import Visit

log = logging.getLogger(__name__)

TIMEOUT_MS = 29_000
#: As AWS's servers write it where they speak of what is behind the API.
_FAILED = '{"message": "Internal server error"}'
_LATE = '{"message": "Endpoint request timed out"}'


@dataclass(slots=True)
class Tools:
    """What all APIs share."""

    functions: Functions
    throttle: Throttle
    authorizers: Authorizers
    clock: Callable[[], float]
    settings: EngineSettings
    #: What failed, for people; by API and route the last reason.
    problems: dict[str, str]
    usage: Usage


def refusal(status: int, text: str | None, error_type: str, *, key: str = "message") -> Response:
    """A gateway response of the API itself."""
    body = json.dumps({key: text}, separators=(",", ":")).encode()
    return Response(status, [("Content-Type", "application/json"), ("x-amzn-ErrorType", error_type)], body)


async def answer(api: RestApi, visit: Visit, tools: Tools) -> Response:
    """Answer one request."""
    response = await _answer(api, visit, tools)
    mark = visit.request_id.replace("-", "")[:15] + "="
    response.headers = [*response.headers, ("x-amzn-RequestId", visit.request_id), ("x-amz-apigw-id", mark)]
    return response


async def _answer(api: RestApi, visit: Visit, tools: Tools) -> Response:
    first, slash, rest = visit.path[1:].partition("/")
    stage = None if api.disabled else api.stages.get(unquote(first))
    if stage is None:
        return refusal(403, "Forbidden", "ForbiddenException")
    path = f"/{rest}" if slash else "/"
    match = stage.routes.find(visit.method, path)
    if match is None:
        return refusal(403, "Missing Authentication Token", "MissingAuthenticationTokenException")
    if len(visit.body) > BODY_MAX_BYTES:
        text = f"HTTP content length exceeded {BODY_MAX_BYTES} bytes."
        return refusal(413, text, "RequestEntityTooLargeException")
    return await RestRequest(api, stage, match, path, visit, tools).answer()


class RestRequest:
    """One request that has a method."""

    def __init__(self, api: RestApi, stage: Stage, match: Match[Target], path: str, visit: Visit, tools: Tools) -> None:
        self._api, self._stage, self._visit, self._tools = api, stage, visit, tools
        #: Without the stage.
        self._path = path
        self._variables = match.variables
        self._resource, self._method = match.target.resource, match.target.method
        self._verb: str = self._method["httpMethod"]

    async def answer(self) -> Response:
        """Throttle, authorize, integrate."""
        stage, template = self._stage, self._resource["path"]
        key = (self._api.api_id, stage.name, f"{self._verb} {template}")
        if not self._tools.throttle.allows(key, *stage.limits(template, self._verb)):
            return refusal(429, "Too Many Requests", "TooManyRequestsException")
        try:
            context, usage_key = await check(self._gate(), self._tools.authorizers, self._tools.settings)
        except Unauthorized:
            return refusal(401, "Unauthorized", "UnauthorizedException")
        except Forbidden as denial:
            tail = " with an explicit deny" if denial.explicit else ""
            text = f"User is not authorized to access this resource{tail}"
            return refusal(403, text, "AccessDeniedException", key="Message")
        except SignatureError as error:
            return refusal(error.http_status, error.message, error.code)
        except Broken as error:
            self._note(str(error))
            return refusal(500, None, "AuthorizerConfigurationException")
        try:
            context = self._with_key(context, usage_key)
        except Forbidden:
            return refusal(403, "Forbidden", "ForbiddenException")
        except Exceeded as error:
            return refusal(429, str(error), "LimitExceededException")
        if self._method["authorizationType"] == "AWS_IAM":
            self._visit = unsigned(self._visit)
        integration = self._method.get("methodIntegration")
        if integration is None:
            return self._fail(500, _FAILED, "the method has no integration")
        return await self._integrate(integration, context)

    def _with_key(self, context: dict[str, Any], usage_key: str | None) -> dict[str, Any]:
        """The context with the API key that the method wants, counted."""
        if not self._method.get("apiKeyRequired"):
            return context
        value = usage_key if self._api.keys_of_authorizer else self._visit.header("x-api-key")
        method = f"{self._resource['path'].rstrip('/')}/{self._verb}"
        key_id = self._tools.usage.admit(value, self._api.api_id, self._stage.name, method)
        return {**context, "identity": {**context.get("identity", {}), "apiKey": value, "apiKeyId": key_id}}

    def _gate(self) -> Gate:
        authorizer_id = self._method.get("authorizerId")
        return Gate(
            visit=self._visit,
            method=self._method,
            authorizer=self._stage.authorizers.get(authorizer_id) if authorizer_id else None,
            api_id=self._api.api_id,
            stage=self._stage.name,
            stage_variables=self._stage.variables,
            arn=self._arn(self._path),
            event=lambda: self._event({}),
            asking=Asking(
                source_arns=[f"{self._base()}/authorizers/{authorizer_id}"],
                source=f"http:{self._verb} {self._resource['path']}",
                timeout_s=TIMEOUT_MS / 1000,
                request_id=str(uuid.uuid4()),
            ),
        )

    async def _integrate(self, integration: Mapping[str, Any], context: Mapping[str, Any]) -> Response:
        timeout_s = integration.get("timeoutInMillis", TIMEOUT_MS) / 1000
        try:
            match integration["type"]:
                case "MOCK":
                    return mock.answer(integration, self._visit.header("content-type"))
                case "HTTP_PROXY":
                    return await self._forward(integration, timeout_s)
            uri = function_of(integration.get("uri", ""), self._stage.variables)
            asking = self._asking(timeout_s, as_role=bool(integration.get("credentials")))
            payload = await self._tools.functions.ask(uri, self._event(context), asking)
            response = await answered(payload, lambda data: responses.from_format_1(self._as_text(data)))
        except TimedOut as failure:
            return self._fail(504, _LATE, failure.why)
        except FunctionFailed as failure:
            return self._fail(502, _FAILED, failure.why)
        except Failed as failure:
            return self._fail(500, _FAILED, failure.why)
        except mock.BadTemplate as error:
            return self._fail(500, _FAILED, str(error))
        except responses.Malformed as error:
            return self._fail(502, _FAILED, f"the function's answer can't be sent: {error}")
        self._tools.problems.pop(f"{self._api.api_id} {self._verb} {self._resource['path']}", None)
        return response

    async def _forward(self, integration: Mapping[str, Any], timeout_s: float) -> Response:
        return await forward(
            self._visit,
            function_of(integration.get("uri", ""), self._stage.variables),
            integration.get("httpMethod", ANY),
            route_key=f"{self._verb} {self._resource['path']}",
            path=self._path,
            variables=self._variables,
            timeout_s=timeout_s,
        )

    def _asking(self, timeout_s: float, *, as_role: bool) -> Asking:
        return Asking(
            source_arns=[self._arn(self._resource["path"]), self._arn(self._path)],
            source=f"http:{self._verb} {self._resource['path']}",
            timeout_s=timeout_s,
            request_id=self._visit.request_id,
            trace_id=self._visit.trace_id,
            as_role=as_role,
        )

    def _as_text(self, payload: bytes) -> bytes:
        """The answer; a base64 body stays what it is unless the client accepts one of the binary media types."""
        if b'"isBase64Encoded"' not in payload:
            return payload
        accepted = (self._visit.header("accept") or "*/*").partition(",")[0]
        if is_binary(accepted, self._api.binary_media_types):
            return payload
        try:
            document = json.loads(payload)
        except (ValueError, RecursionError):
            return payload
        if isinstance(document, dict) and "isBase64Encoded" in document:
            document["isBase64Encoded"] = False
        return json.dumps(document).encode()

    def _event(self, context: Mapping[str, Any]) -> dict[str, Any]:
        account = self._tools.settings.account
        content_type = self._visit.header("content-type")
        return events.format_1(
            self._visit,
            now_s=self._tools.clock(),
            resource=self._resource["path"],
            path=unquote(self._path),
            stage=self._stage.name,
            context={
                "accountId": account.account_id,
                "resourceId": self._resource["id"],
                "deploymentId": self._stage.document.get("deploymentId"),
                **({"operationName": self._method["operationName"]} if self._method.get("operationName") else {}),
                **context,
            },
            path_parameters=self._variables,
            stage_variables=self._stage.variables,
            text=not (content_type and is_binary(content_type, self._api.binary_media_types)),
        )

    def _note(self, why: str) -> None:
        log.warning("%s %s of API %s: %s", self._visit.method, self._path, self._api.api_id, why)
        self._tools.problems[f"{self._api.api_id} {self._verb} {self._resource['path']}"] = why

    def _fail(self, status: int, body: str, why: str) -> Response:
        self._note(why)
        kind = "InternalServerErrorException"
        return Response(status, [("Content-Type", "application/json"), ("x-amzn-ErrorType", kind)], body.encode())

    # --- names for policies

    def _arn(self, path: str) -> str:
        """Of the request or its resource, as execute-api has it."""
        return f"{self._base()}/{self._stage.name}/{self._visit.method}{path}"

    def _base(self) -> str:
        account = self._tools.settings.account
        return f"arn:{account.partition}:execute-api:{account.region}:{account.account_id}:{self._api.api_id}"
