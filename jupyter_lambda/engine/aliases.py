"""Aliases: what creating, moving and deleting one means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from jupyter_lambda.errors import (
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from jupyter_lambda.model.arn import LATEST
from jupyter_lambda.model.function import Alias

from . import provisioned
from .control import ControlPlane, check_revision, new_revision


async def create(
    plane: ControlPlane,
    function_name: str,
    name: str,
    version: str,
    *,
    description: str = "",
    routing: Mapping[str, float] | None = None,
) -> Alias:
    """Name a version.

    Raises:
        ResourceNotFoundException: No such function or version.
        ResourceConflictException: The alias exists.
        InvalidParameterValueException: The routing is not allowed.
    """
    async with plane.lock(function_name):
        plane.version(function_name, version)
        if plane.alias(function_name, name) is not None:
            raise ResourceConflictException(f"Alias already exists: {plane.account.function_arn(function_name, name)}")
        _check_routing(plane, function_name, version, routing or {})
        alias = Alias(function_name, name, version, description, new_revision(), dict(routing or {}))
        await plane.service.store.functions.put_alias(alias)
        return alias


async def update(
    plane: ControlPlane,
    function_name: str,
    name: str,
    *,
    version: str | None = None,
    description: str | None = None,
    routing: Mapping[str, float] | None = None,
    revision_id: str | None = None,
) -> Alias:
    """Change what is given; None leaves it. An empty routing sends everything to the one version again.

    Raises:
        ResourceNotFoundException: No such function, alias or version.
        PreconditionFailedException: ``revision_id`` is not the alias's.
        InvalidParameterValueException: The routing is not allowed.
        ResourceConflictException: Both the alias and the version have provisioned concurrency.
    """
    async with plane.lock(function_name):
        alias = get(plane, function_name, name)
        check_revision(revision_id, alias.revision_id)
        if version is not None:
            plane.version(function_name, version)
        changed = replace(
            alias,
            function_version=alias.function_version if version is None else version,
            description=alias.description if description is None else description,
            routing=alias.routing if routing is None else dict(routing),
            revision_id=new_revision(),
        )
        _check_routing(plane, function_name, changed.function_version, changed.routing)
        if plane.service.store.functions.provisioned(function_name, name) is not None:
            provisioned.check_alias(plane, changed)
        await plane.service.store.functions.put_alias(changed)
    plane.service.provision(function_name)
    return changed


def get(plane: ControlPlane, function_name: str, name: str) -> Alias:
    """One alias.

    Raises:
        ResourceNotFoundException: No such function or alias.
    """
    plane.function(function_name)
    alias = plane.alias(function_name, name)
    if alias is None:
        raise ResourceNotFoundException(f"Cannot find alias arn: {plane.account.function_arn(function_name, name)}")
    return alias


def listed(
    plane: ControlPlane, function_name: str, version: str | None, after: str | None, limit: int
) -> Sequence[Alias]:
    """Aliases by name; only those of ``version`` where it is given.

    Raises:
        ResourceNotFoundException: No such function.
    """
    plane.function(function_name)
    return plane.service.store.functions.aliases(function_name, version, after, limit)


async def delete(plane: ControlPlane, function_name: str, name: str) -> None:
    """Remove an alias; nothing where there is none, as on AWS.

    Raises:
        ResourceNotFoundException: No such function.
    """
    async with plane.lock(function_name):
        plane.function(function_name)
        await plane.service.store.functions.delete_alias(function_name, name)
    plane.service.provision(function_name)


def _check_routing(plane: ControlPlane, function_name: str, version: str, routing: Mapping[str, float]) -> None:
    if not routing:
        return
    if len(routing) > 1:
        raise InvalidParameterValueException("Number of items in AdditionalVersionWeights cannot be greater than 1")
    if version == LATEST:
        raise InvalidParameterValueException("$LATEST is not supported for an alias pointing to more than 1 version")
    for other in routing:
        if other == version:
            raise InvalidParameterValueException(
                f"Invalid function version {other}. Function version {other} is already included in routing "
                "configuration."
            )
        plane.version(function_name, other)
