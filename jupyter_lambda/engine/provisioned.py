"""Provisioned concurrency: what the ProvisionedConcurrencyConfig operations mean, and how far each has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from jupyter_lambda.errors import (
    InvalidParameterValueException,
    ProvisionedConcurrencyConfigNotFoundException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from jupyter_lambda.model.arn import LATEST
from jupyter_lambda.model.function import Alias, Function, ProvisionedConfig

from .concurrency import requested, taken_from_unreserved, unreserved_minimum
from .control import ControlPlane

Status = Literal["IN_PROGRESS", "READY", "FAILED"]


@dataclass(frozen=True, slots=True)
class Allocation:
    """A configuration and how far it has come."""

    config: ProvisionedConfig
    #: Environments that are initialised, and those of them in which nothing runs.
    allocated: int
    available: int
    status: Status
    #: Why it failed; None otherwise.
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.config.function_name}:{self.config.qualifier}"


async def put(plane: ControlPlane, name: str, qualifier: str, count: int) -> Allocation:
    """Ask for so many environments of a version or alias. They are initialised in the background.

    Raises:
        ResourceNotFoundException: No such function, version or alias.
        InvalidParameterValueException: $LATEST, an alias with weights, or more than may be had.
        ResourceConflictException: The version has some already by the other way (itself, or an alias).
    Source: AWS Lambda API Reference, "PutProvisionedConcurrencyConfig"; recorded answers.
    """
    if qualifier == LATEST:
        raise InvalidParameterValueException(
            "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
        )
    async with plane.account_lock, plane.lock(name):
        function = plane.function(name, qualifier)
        functions = plane.service.store.functions
        alias = _target(plane, name, qualifier)
        if alias is None:
            if any(a.function_version == qualifier or qualifier in a.routing for a in provisioned_aliases(plane, name)):
                raise ResourceConflictException("Version is pointed by a Provisioned Concurrency alias")
        else:
            check_alias(plane, alias, new=True)
        _check_room(plane, function, qualifier, count)
        moment = datetime.fromtimestamp(plane.service.clock(), UTC)
        config = ProvisionedConfig(name, qualifier, count, f"{moment:%Y-%m-%dT%H:%M:%S}+0000")
        await functions.put_provisioned(config)
    plane.service.provision(name)
    # As AWS answers: what is there already is told by Get.
    return Allocation(config, 0, 0, "IN_PROGRESS")


def get(plane: ControlPlane, name: str, qualifier: str) -> Allocation:
    """One configuration.

    Raises:
        ResourceNotFoundException: No such function, version or alias.
        InvalidParameterValueException: $LATEST.
        ProvisionedConcurrencyConfigNotFoundException: It has none.
    """
    _check_published(qualifier)
    plane.function(name, qualifier)
    _target(plane, name, qualifier)
    config = plane.service.store.functions.provisioned(name, qualifier)
    if config is None:
        raise ProvisionedConcurrencyConfigNotFoundException("No Provisioned Concurrency Config found for this function")
    return next(a for a in plane.service.allocations(name) if a.config == config)


def listed(plane: ControlPlane, name: str) -> Sequence[Allocation]:
    """All of a function, by qualifier.

    Raises:
        ResourceNotFoundException: No such function.
    """
    plane.function(name)
    return plane.service.allocations(name)


async def delete(plane: ControlPlane, name: str, qualifier: str) -> None:
    """Give the environments of a version or alias free; nothing where it has none, as on AWS.

    Raises:
        ResourceNotFoundException: No such function, version or alias.
        InvalidParameterValueException: $LATEST.
    """
    _check_published(qualifier)
    async with plane.lock(name):
        plane.function(name, qualifier)
        _target(plane, name, qualifier)
        await plane.service.store.functions.delete_provisioned(name, qualifier)
    plane.service.provision(name)


def provisioned_aliases(plane: ControlPlane, name: str) -> list[Alias]:
    """Aliases of a function that have provisioned concurrency."""
    configs = plane.service.store.functions.provisioned_configs(name)
    found = (plane.alias(name, config.qualifier) for config in configs if not config.qualifier.isdigit())
    return [alias for alias in found if alias is not None]


def check_alias(plane: ControlPlane, alias: Alias, *, new: bool = False) -> None:
    """Whether an alias may have provisioned concurrency and name what it names.

    Args:
        new: The configuration is being made; one that exists may gain weights, as gradual deployments do.
    Raises:
        InvalidParameterValueException: It names $LATEST, or has weights.
        ResourceConflictException: A version that it names has provisioned concurrency itself.
    """
    if alias.function_version == LATEST:
        raise InvalidParameterValueException(
            "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
        )
    if new and alias.routing:
        raise InvalidParameterValueException("Alias with weights can not be used with Provisioned Concurrency")
    functions = plane.service.store.functions
    for version in (alias.function_version, *alias.routing):
        if functions.provisioned(alias.function_name, version) is not None:
            raise ResourceConflictException(
                "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
            )


def shares(config: ProvisionedConfig, alias: Alias | None) -> Mapping[str, int]:
    """Version → environments. Of an alias with weights, each version gets its share, the other one rounded up."""
    if alias is None:
        return {config.qualifier: config.requested} if config.qualifier.isdigit() else {}
    left = config.requested
    found: dict[str, int] = {}
    for version, weight in alias.routing.items():
        found[version] = min(left, -int(-config.requested * weight // 1))
        left -= found[version]
    found[alias.function_version] = left
    return found


def _target(plane: ControlPlane, name: str, qualifier: str) -> Alias | None:
    """The alias that a qualifier names; None: it is a version.

    Raises:
        ResourceNotFoundException: There is neither.
    """
    if qualifier.isdigit():
        plane.version(name, qualifier)
        return None
    alias = plane.alias(name, qualifier)
    if alias is None:
        raise ResourceNotFoundException(f"Cannot find alias arn: {plane.account.function_arn(name, qualifier)}")
    return alias


def _check_published(qualifier: str) -> None:
    if qualifier == LATEST:
        raise InvalidParameterValueException("The function resource provided must be an alias or a published version.")


def _check_room(plane: ControlPlane, function: Function, qualifier: str, wanted: int) -> None:
    """Provisioned concurrency comes out of the function's reserved concurrency, else of what the account has left."""
    functions = plane.service.store.functions
    of_function = requested(functions, function.name, but=qualifier) + wanted
    if function.reserved_concurrency is not None:
        if of_function > function.reserved_concurrency:
            raise InvalidParameterValueException(
                "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for "
                "function"
            )
        return
    limit = plane.service.settings.concurrency_limit
    left = limit - functions.total_reserved() - taken_from_unreserved(functions, but=function.name)
    minimum = unreserved_minimum(limit)
    if of_function > left:
        raise InvalidParameterValueException(
            f"Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [{left}]."
        )
    if left - of_function < minimum:
        raise InvalidParameterValueException(
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
            f"minimum value of [{minimum}]."
        )
