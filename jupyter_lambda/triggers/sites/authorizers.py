"""Lambda authorizers: who may pass is asked of a function, and its answer kept for a while.

HTTP APIs (apigatewayv2) and REST APIs (apigateway) have them in different forms; here is what both share, on an
authorizer described by ``LambdaAuthorizer``.

Source: Amazon API Gateway Developer Guide, "Control access to HTTP APIs with AWS Lambda authorizers" and "Use API
Gateway Lambda authorizers".
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .iam_policy import NoPolicy, decide
from .integration import Asking, Failed, FunctionFailed, Functions

#: Answers that are kept; of more, the oldest go.
_KEPT_MAX = 10_000
#: Seconds. Source: API Gateway Developer Guide: an authorizer's function has no time limit of its own but the API's.
TIMEOUT_S = 29.0


class Unauthorized(Exception):
    """Nobody: 401."""


class Forbidden(Exception):
    """Somebody who may not: 403."""

    def __init__(self, *, explicit: bool = False) -> None:
        """
        Args:
            explicit: A statement of the policy denies it.
        """
        super().__init__("denied" if explicit else "not allowed")
        self.explicit = explicit


class Broken(Exception):
    """The authorizer itself failed: 500. Why is for the log."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an authorizer answered."""

    #: None where it answered yes or no.
    policy: Mapping[str, Any] | None
    allowed: bool
    principal_id: str | None
    context: Mapping[str, Any]
    #: The API key that it named, for usage plans.
    usage_key: str | None = None


@dataclass(frozen=True, slots=True)
class LambdaAuthorizer:
    """One authorizer, as either kind of API describes it."""

    #: Unique in the engine: api and authorizer id, and the revision.
    key: tuple[str, ...]
    function: str
    #: Seconds that an answer is good for; 0: it isn't kept.
    ttl_s: float
    #: True: it may answer ``{"isAuthorized": …}``.
    simple: bool
    #: False: ``context`` may hold strings, numbers and booleans only, as REST APIs have it.
    nested_context: bool = False


class Authorizers:
    """Asks authorizers' functions and remembers."""

    def __init__(self, functions: Functions, monotonic: Callable[[], float]) -> None:
        self._functions = functions
        self._monotonic = monotonic
        #: Authorizer and identity → answer, and until when it is good.
        self._kept: OrderedDict[tuple[str, ...], tuple[Verdict, float]] = OrderedDict()

    async def ask(
        self,
        authorizer: LambdaAuthorizer,
        identity: Sequence[str],
        event: Mapping[str, Any],
        asking: Asking,
        resource_arn: str,
    ) -> Verdict:
        """The verdict on one request.

        Args:
            identity: Values of the identity sources; with them an answer is kept.
            resource_arn: Of the request, for the policy.
        Raises:
            Unauthorized: The function said so, by failing with that word.
            Forbidden: It may not pass.
            Broken: The function failed, or answered something else.
        """
        key = (*authorizer.key, *identity)
        verdict = self._remembered(key) if authorizer.ttl_s and identity else None
        if verdict is None:
            verdict = await self._fresh(authorizer, event, asking)
            if authorizer.ttl_s and identity:
                self._kept[key] = (verdict, self._monotonic() + authorizer.ttl_s)
                if len(self._kept) > _KEPT_MAX:
                    self._kept.popitem(last=False)
        _check(verdict, resource_arn)
        return verdict

    def forget(self, *beginning: str) -> None:
        """Drop the answers of an API, or of one authorizer."""
        size = len(beginning)
        for key in [key for key in self._kept if key[:size] == beginning]:
            del self._kept[key]

    def _remembered(self, key: tuple[str, ...]) -> Verdict | None:
        found = self._kept.get(key)
        if found is None:
            return None
        verdict, until_s = found
        if self._monotonic() >= until_s:
            del self._kept[key]
            return None
        return verdict

    async def _fresh(self, authorizer: LambdaAuthorizer, event: Mapping[str, Any], asking: Asking) -> Verdict:
        try:
            payload = await self._functions.ask(authorizer.function, event, asking)
        except FunctionFailed as failure:
            if error_message(failure.payload) == "Unauthorized":
                raise Unauthorized from None
            raise Broken(failure.why) from failure
        except Failed as failure:
            raise Broken(failure.why) from failure
        return read_verdict(payload, simple=authorizer.simple, nested_context=authorizer.nested_context)


def _check(verdict: Verdict, resource_arn: str) -> None:
    if verdict.policy is None:
        if not verdict.allowed:
            raise Forbidden
        return
    try:
        decision = decide(verdict.policy, resource_arn)
    except NoPolicy as error:
        raise Broken(str(error)) from error
    if decision != "allow":
        raise Forbidden(explicit=decision == "deny")


def error_message(payload: bytes) -> str | None:
    """The message of a function's error."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    message = document.get("errorMessage") if isinstance(document, dict) else None
    return message if isinstance(message, str) else None


def read_verdict(payload: bytes, *, simple: bool, nested_context: bool) -> Verdict:
    """An authorizer's answer.

    Raises:
        Broken: It has neither of the two forms.
    """
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError) as exc:
        raise Broken(f"the authorizer's answer is no JSON: {exc}") from None
    if not isinstance(answer, dict):
        raise Broken("the authorizer's answer must be an object")
    context = answer.get("context") or {}
    if not isinstance(context, dict):
        raise Broken("context must be an object")
    if not nested_context and any(isinstance(value, dict | list) for value in context.values()):
        raise Broken("the values of context must be strings, numbers or booleans")
    if simple and "isAuthorized" in answer:
        allowed = answer["isAuthorized"]
        if not isinstance(allowed, bool):
            raise Broken("isAuthorized must be true or false")
        return Verdict(None, allowed, None, context)
    if simple:
        raise Broken("the authorizer's answer has no isAuthorized")
    principal = answer.get("principalId")
    if not isinstance(principal, str) or "policyDocument" not in answer:
        raise Broken("the authorizer's answer has no principalId or no policyDocument")
    usage_key = answer.get("usageIdentifierKey")
    return Verdict(
        answer["policyDocument"], True, principal, context, usage_key if isinstance(usage_key, str) else None
    )
