"""Whoever signs a request to an API (AuthorizationType AWS_IAM), and whether they may call it."""

from __future__ import annotations

from jupyter_lambda.engine.credentials import Credential
from jupyter_lambda.engine.settings import EngineSettings

from .authorizers import Forbidden
from .visit import Visit

ACTION = "execute-api:invoke"


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
