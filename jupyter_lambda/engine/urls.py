"""Function URLs: what making, changing and removing one means."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jupyter_lambda.errors import (
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from jupyter_lambda.model.arn import LATEST
from jupyter_lambda.model.function_url import AuthType, FunctionUrl, InvokeMode

from .control import ControlPlane

_ID_CHARS, _ID_LENGTH = "abcdefghijklmnopqrstuvwxyz234567", 32
#: Source: AWS Lambda API Reference, "Cors"; CloudFormation's list of values.
_METHODS = frozenset({"GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "*"})


@dataclass(frozen=True, slots=True)
class Settings:
    """What a request sets; None: left as it is."""

    auth_type: AuthType | None = None
    invoke_mode: InvokeMode | None = None
    cors: Mapping[str, Any] | None = None


async def create(plane: ControlPlane, name: str, qualifier: str | None, settings: Settings) -> FunctionUrl:
    """Give a function or alias a URL.

    Raises:
        ResourceNotFoundException: No such function or alias.
        ResourceConflictException: It has one.
        InvalidParameterValueException: The CORS settings are not valid.
    """
    assert settings.auth_type is not None
    _check_cors(settings.cors)
    async with plane.lock(name):
        _check_exists(plane, name, qualifier)
        if plane.service.store.urls.get(name, qualifier or LATEST) is not None:
            arn = plane.account.function_arn(name, qualifier)
            raise ResourceConflictException(
                f"Failed to create function url config for [functionArn = {arn}]. Error message:  FunctionUrlConfig "
                "exists for this Lambda function"
            )
        now = plane.now_text()
        url = FunctionUrl(
            name,
            qualifier or LATEST,
            "".join(secrets.choice(_ID_CHARS) for _ in range(_ID_LENGTH)),
            settings.auth_type,
            now,
            now,
            settings.invoke_mode,
            settings.cors,
        )
        await plane.service.store.urls.put(url)
        return url


async def update(plane: ControlPlane, name: str, qualifier: str | None, settings: Settings) -> FunctionUrl:
    """Change what is given.

    Raises:
        ResourceNotFoundException: There is none.
        InvalidParameterValueException: The CORS settings are not valid.
    """
    _check_cors(settings.cors)
    async with plane.lock(name):
        present = get(plane, name, qualifier)
        url = replace(
            present,
            auth_type=settings.auth_type or present.auth_type,
            invoke_mode=settings.invoke_mode or present.invoke_mode,
            cors=present.cors if settings.cors is None else settings.cors or None,
            modified=plane.now_text(),
        )
        await plane.service.store.urls.put(url)
        return url


def get(plane: ControlPlane, name: str, qualifier: str | None) -> FunctionUrl:
    """The URL of a function or alias.

    Raises:
        ResourceNotFoundException: There is none.
    """
    url = plane.service.store.urls.get(name, qualifier or LATEST)
    if url is None:
        raise ResourceNotFoundException("The resource you requested does not exist.")
    return url


async def delete(plane: ControlPlane, name: str, qualifier: str | None) -> None:
    """Take a URL away; its id is never given out again.

    Raises:
        ResourceNotFoundException: There is none.
    """
    async with plane.lock(name):
        get(plane, name, qualifier)
        await plane.service.store.urls.delete(name, qualifier or LATEST)


def listed(plane: ControlPlane, name: str, after: str | None, limit: int) -> Sequence[FunctionUrl]:
    """A page of a function's URLs, by qualifier.

    Raises:
        ResourceNotFoundException: No such function.
    """
    _check_exists(plane, name, None)
    return plane.service.store.urls.of(name, after, limit)


def _check_exists(plane: ControlPlane, name: str, qualifier: str | None) -> None:
    known = plane.service.store.functions.get(name) is not None
    if not known or (qualifier is not None and plane.alias(name, qualifier) is None):
        raise ResourceNotFoundException("Function does not exist")


def _check_cors(cors: Mapping[str, Any] | None) -> None:
    for method in (cors or {}).get("AllowMethods") or ():
        if method.upper() not in _METHODS:
            raise InvalidParameterValueException(
                f"Invalid method {method!r} in AllowMethods: expected one of {', '.join(sorted(_METHODS))}."
            )
