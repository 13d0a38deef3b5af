"""The function behind a route: found by its URI, asked within the time limit, its permission to be asked checked."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import LambdaError, ServiceUnavailableException, TooManyRequestsException
from jupyter_lambda.http1 import Response
from jupyter_lambda.model import limits
from jupyter_lambda.model.arn import FunctionName
from jupyter_lambda.model.invocation import Invocation, InvocationResult
from jupyter_lambda.triggers.permission import allowed

log = logging.getLogger(__name__)

PRINCIPAL = "apigateway.amazonaws.com"
#: Bytes of a request. Source: API Gateway Developer Guide, "Quotas for configuring and running an HTTP API" (and REST).
BODY_MAX_BYTES = 10 * 1024 * 1024
#: Bodies above this are written and read in a thread: 1 MB takes some 10 ms.
INLINE_BYTES = 128 * 1024
_URI = re.compile(r"arn:[^:]+:apigateway:[^:]*:lambda:path/[^/]+/functions/(?P<arn>.+)/invocations")
_STAGE_VARIABLE = re.compile(r"\$\{stageVariables\.([A-Za-z0-9_]+)\}")


class Failed(Exception):
    """A function could not be asked, or failed; ``why`` is for the log, clients learn the kind only."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class TimedOut(Failed):
    """It did not answer within the integration's time. It runs on, as on AWS."""


class Unavailable(Failed):
    """It is throttled, or the engine is about to stop."""


class FunctionFailed(Failed):
    """It ran and reported an error, or ended."""

    def __init__(self, why: str, payload: bytes) -> None:
        super().__init__(why)
        self.payload = payload


@dataclass(frozen=True, slots=True)
class Asking:
    """On whose behalf a function is asked."""

    #: What the resource policy must allow, one of them: the request's own ARN and that of its route.
    source_arns: Sequence[str]
    #: Name of the trigger, "http:GET /pets".
    source: str
    timeout_s: float
    request_id: str
    trace_id: str | None = None
    #: True where the integration names a role, which needs no resource policy.
    as_role: bool = False


def _encoded(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


async def answered(payload: bytes, read: Callable[[bytes], Response]) -> Response:
    """A function's answer read as a response, a large one in a thread.

    Raises:
        Malformed: As ``read`` says.
    """
    return await asyncio.to_thread(read, payload) if len(payload) > INLINE_BYTES else read(payload)


def function_of(uri: str, stage_variables: Mapping[str, str] | None = None) -> str:
    """The function's ARN or name in an integration's or authorizer's URI, stage variables filled in."""
    variables = stage_variables or {}
    text = _STAGE_VARIABLE.sub(lambda found: variables.get(found[1], ""), uri)
    found = _URI.fullmatch(text)
    return found["arn"] if found else text


class Functions:
    """Asks functions for answers."""

    def __init__(self, service: LambdaService) -> None:
        self._service = service
        self._running: set[asyncio.Task[InvocationResult]] = set()

    async def ask(self, function: str, event: Mapping[str, Any], asking: Asking) -> bytes:
        """The function's answer.

        Args:
            function: Name or ARN, with or without a qualifier.
        Raises:
            Failed: One of its subclasses, or itself: no such function, no permission, an event that is too large.
        """
        service = self._service
        try:
            name = FunctionName.parse(function, service.account)
            arn = service.account.function_arn(name.name, name.qualifier)
            if not asking.as_role and not self._permitted(arn, asking.source_arns):
                raise Failed(f"the policy of {arn} does not allow {PRINCIPAL} for {asking.source_arns[0]}")
            version = service.resolve(name)
        except LambdaError as error:
            raise Failed(error.message) from error
        if len(event.get("body") or "") > INLINE_BYTES:
            payload = await asyncio.to_thread(_encoded, event)
        else:
            payload = _encoded(event)
        if len(payload) > limits.PAYLOAD_MAX_BYTES:
            raise Failed(f"the event for {arn} has {len(payload)} bytes, more than {limits.PAYLOAD_MAX_BYTES}")
        invocation = Invocation(
            request_id=asking.request_id,
            function_name=name.name,
            version=version.version,
            invoked_arn=arn,
            payload=payload,
            source=asking.source,
            trace_id=asking.trace_id,
            received_s=service.clock(),
        )
        result = await self._within(service.invoke(invocation, version), asking.timeout_s, arn)
        if result.function_error is not None:
            raise FunctionFailed(f"{arn} failed: {result.payload[:512]!r}", result.payload)
        return result.payload

    def _permitted(self, arn: str, source_arns: Sequence[str]) -> bool:
        account_id = self._service.account.account_id
        return any(
            allowed(self._service, arn, principal=PRINCIPAL, source_arn=one, source_account=account_id)
            for one in source_arns
        )

    async def _within(self, work: Any, timeout_s: float, arn: str) -> InvocationResult:
        """The result, if it comes in time; an invocation that takes longer is left to end by itself."""
        task: asyncio.Task[InvocationResult] = asyncio.get_running_loop().create_task(work, name=f"API: {arn}")
        self._running.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            raise TimedOut(f"{arn} did not answer within {timeout_s:g} s")
        try:
            return task.result()
        except (TooManyRequestsException, ServiceUnavailableException) as error:
            raise Unavailable(error.message) from error
        except LambdaError as error:
            raise Failed(error.message) from error

    def _ended(self, task: asyncio.Task[InvocationResult]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("%s ended with %r", task.get_name(), error)

    async def close(self, timeout_s: float) -> None:
        """Give what runs that long to finish, then stop waiting for it; the service ends it."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
