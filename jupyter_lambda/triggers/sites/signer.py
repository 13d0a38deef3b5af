"""Whoever signs a request to an API (AuthorizationType AWS_IAM), and whether they may call it."""

from __future__ import annotations

from dataclasses import replace

from jupyter_lambda.engine.credentials import Credential
from jupyter_lambda.engine.settings import EngineSettings

from .authorizers import Forbidden
from .visit import Visit

ACTION = "execute-api:invoke"
#: Headers (lower case) of a signed request that the function behind it doesn't get: they are its caller's.
SIGNATURE_HEADERS = frozenset({b"authorization", b"x-amz-security-token"})


async def signer(visit: Visit, settings: EngineSettings) -> Credential:
    """The owner, or a function that its own credentials allow to call APIs.

    Raises:
        SignatureError: Nobody that is known here.
        Forbidden: A function whose permissions say nothing of execute-api:Invoke.
    """
    caller = await visit.caller("execute-api")
    if caller.function_name is not None and not any(_allows(one.lower()) for one in settings.function_permissions):
        raise Forbidden
    return caller


def _allows(pattern: str) -> bool:
    return ACTION.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == ACTION


def unsigned(visit: Visit) -> Visit:
    """The same request without what its signer is known by."""
    kept = [(name, value) for name, value in visit.raw_headers if name.lower() not in SIGNATURE_HEADERS]
    return replace(visit, raw_headers=kept)
