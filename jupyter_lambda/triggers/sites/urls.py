"""Function URLs: from an HTTP request, through who may ask and the event, to the function's answer.

Source: AWS Lambda Developer Guide, "Creating and managing Lambda function URLs" and its chapters; recorded answers.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from jupyter_lambda.engine.credentials import Credential
from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import (
    LambdaError,
    MissingAuthenticationTokenException,
    RequestEntityTooLargeException,
)
from jupyter_lambda.http1 import Response
from jupyter_lambda.model import limits
from jupyter_lambda.model.arn import LATEST, FunctionName
from jupyter_lambda.model.function_url import FunctionUrl
from jupyter_lambda.model.invocation import Invocation
from jupyter_lambda.triggers.permission import INVOKE, INVOKE_URL, allowed, is_action

from . import responses, url_stream
from .cors import Cors
from .events import format_2
from .visit import Visit

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
#: Bodies above this are turned into events, and answers into bodies, in a thread: 1 MB takes some 10 ms.
_INLINE_BYTES = 128 * 1024
#: Name of the trigger in records.
SOURCE = "url:"
_FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)


class FunctionUrls:
    """Answers the visits of Function URLs."""

    def __init__(self, service: LambdaService) -> None:
        self._service = service

    async def answer(self, visit: Visit) -> Response:
        """Answer one request; what is wrong leaves as AWS's error."""
        url = self._service.store.urls.by_id(visit.id)
        if url is None:
            return _refusal(403, "AccessDeniedException", {"Message": None})
        begun_s = self._service.clock()
        cors = Cors(url.cors) if url.cors else None
        response = cors.preflight(visit) if cors else None
        if response is not None:
            response.status = 200  # an HTTP API's is 204
        else:
            response = await self._answer(visit, url)
            if cors:
                response = cors.dress(response, visit)
        self._service.metrics.url_request(
            url.function_name,
            "" if url.qualifier == LATEST else url.qualifier,
            response.status,
            max(0.0, self._service.clock() - begun_s) * 1000,
        )
        response.headers = [
            *response.headers,
            ("x-amzn-RequestId", visit.request_id),
            ("X-Amzn-Trace-Id", visit.trace_id),
        ]
        return response

    async def _answer(self, visit: Visit, url: FunctionUrl) -> Response:
        try:
            caller = await visit.caller("lambda") if url.auth_type == "AWS_IAM" else None
            if not self._may(caller, url):
                return _refusal(403, "AccessDeniedException", {"Message": _FORBIDDEN})
            return await self._invoke(visit, url, caller)
        except MissingAuthenticationTokenException:
            return _refusal(403, "AccessDeniedException", {"Message": _FORBIDDEN})
        except LambdaError as error:
            if error.http_status >= 500:
                log.warning("%s: %s: %s", visit.domain_name, error.code, error.message)
            return _refusal(error.http_status, error.code, {"message": error.message})

    def _may(self, caller: Credential | None, url: FunctionUrl) -> bool:
        """Whether all that AWS asks for today is allowed: InvokeFunctionUrl, and InvokeFunction by way of a URL.

        The owner may do everything. A function may what its own credentials allow or the policy allows it; nobody known
        may what the policy allows everybody.
        """
        if caller is not None and caller.function_name is None:
            return True
        arn = self._arn(url)
        principal = caller.principal if caller else "*"
        of_functions = self._service.settings.function_permissions if caller else ()

        def may(action: str) -> bool:
            return any(is_action(action, pattern) for pattern in of_functions) or allowed(
                self._service,
                arn,
                principal=principal,
                action=action,
                function_url_auth_type=url.auth_type,
                via_function_url=True,
            )

        return may(INVOKE_URL) and may(INVOKE)

    async def _invoke(self, visit: Visit, url: FunctionUrl, caller: Credential | None) -> Response:
        service = self._service
        qualifier = None if url.qualifier == LATEST else url.qualifier
        version = service.resolve(FunctionName(url.function_name), qualifier)
        invocation = Invocation(
            request_id=visit.request_id,
            function_name=url.function_name,
            version=version.version,
            invoked_arn=self._arn(url),
            payload=await _apart(len(visit.body), self._event, visit, caller),
            source=SOURCE,
            trace_id=visit.trace_id,
            received_s=service.clock(),
        )
        if url.invoke_mode == "RESPONSE_STREAM":
            return await url_stream.answer(service.stream(invocation, version), invocation)
        result = await service.invoke(invocation, version)
        if result.function_error is not None:
            return responses.bad_gateway()
        try:
            return await _apart(len(result.payload), responses.from_format_2, result.payload)
        except responses.Malformed as why:
            log.warning("the answer of function %s to its URL is malformed: %s", url.function_name, why)
            return responses.bad_gateway()

    def _event(self, visit: Visit, caller: Credential | None) -> bytes:
        account_id = self._service.account.account_id
        event = format_2(
            visit,
            now_s=self._service.clock(),
            account_id=account_id if caller else "anonymous",
            path=visit.path,
            authorizer={"iam": _identity(caller, account_id)} if caller else None,
        )
        payload = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
        if len(payload) > limits.PAYLOAD_MAX_BYTES:
            raise RequestEntityTooLargeException(
                f"Request must be smaller than {limits.PAYLOAD_MAX_BYTES} bytes for the InvokeFunction operation"
            )
        return payload

    def _arn(self, url: FunctionUrl) -> str:
        return self._service.account.function_arn(url.function_name, None if url.qualifier == LATEST else url.qualifier)


async def _apart(size_bytes: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What takes long for something large is done in a thread."""
    if size_bytes <= _INLINE_BYTES:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


def _identity(caller: Credential, account_id: str) -> Mapping[str, Any]:
    user_id = account_id if caller.function_name is None else f"{caller.access_key}:{caller.function_name}"
    return {
        "accessKey": caller.access_key,
        "accountId": account_id,
        "callerId": user_id,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": caller.principal,
        "userId": user_id,
    }


def _refusal(status: int, code: str, document: Mapping[str, Any]) -> Response:
    body = json.dumps(document, separators=(",", ":")).encode()
    return Response(status, [("Content-Type", "application/json"), ("x-amzn-ErrorType", code)], body)
