"""How asynchronous invocations are configured: what the EventInvokeConfig operations mean."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jupyter_lambda.errors import InvalidParameterValueException, ResourceNotFoundException
from jupyter_lambda.model.arn import LATEST, FunctionName
from jupyter_lambda.model.function import EventInvokeConfig

from .control import ControlPlane

#: Services that can be destinations. Source: AWS Lambda Developer Guide, "Asynchronous invocation".
_SERVICES = frozenset({"lambda", "sqs", "sns", "events", "s3"})


@dataclass(frozen=True, slots=True)
class Settings:
    """What a request gives; None where it says nothing."""

    maximum_retry_attempts: int | None = None
    maximum_event_age_s: int | None = None
    #: Destinations; "" takes one away.
    on_success_arn: str | None = None
    on_failure_arn: str | None = None
    #: True where the request has a DestinationConfig, be it empty.
    has_destinations: bool = False


async def put(
    plane: ControlPlane, name: str, qualifier: str | None, settings: Settings, *, keep: bool
) -> EventInvokeConfig:
    """Set the configuration of one qualifier.

    Args:
        keep: True leaves what the request does not give (Update); False resets it (Put).
    Raises:
        ResourceNotFoundException: No such function or qualifier, or, to update, no configuration.
        InvalidParameterValueException: Nothing is set, or a destination can't be one.
    """
    given = settings.maximum_retry_attempts is not None or settings.maximum_event_age_s is not None
    if not given and not settings.has_destinations:
        raise InvalidParameterValueException("You must specify at least one of error handling or destination setting.")
    async with plane.lock(name):
        _check_exists(plane, name, qualifier)
        _check_destinations(plane, name, settings)
        functions = plane.service.store.functions
        present = functions.invoke_config(name, qualifier or LATEST)
        if keep and present is None:
            raise _missing(plane, name, qualifier)
        now_s = plane.service.clock()
        config = present if keep and present is not None else EventInvokeConfig(name, qualifier or LATEST, now_s)
        config = replace(config, last_modified_s=now_s)
        if settings.maximum_retry_attempts is not None:
            config = replace(config, maximum_retry_attempts=settings.maximum_retry_attempts)
        if settings.maximum_event_age_s is not None:
            config = replace(config, maximum_event_age_s=settings.maximum_event_age_s)
        if settings.has_destinations:
            config = replace(
                config,
                on_success_arn=settings.on_success_arn or None,
                on_failure_arn=settings.on_failure_arn or None,
            )
        await functions.put_invoke_config(config)
        return config


def get(plane: ControlPlane, name: str, qualifier: str | None) -> EventInvokeConfig:
    """The configuration of one qualifier.

    Raises:
        ResourceNotFoundException: There is none.
    """
    config = plane.service.store.functions.invoke_config(name, qualifier or LATEST)
    if config is None:
        raise _missing(plane, name, qualifier)
    return config


async def delete(plane: ControlPlane, name: str, qualifier: str | None) -> None:
    """Remove the configuration of one qualifier.

    Raises:
        ResourceNotFoundException: There is none.
    """
    async with plane.lock(name):
        get(plane, name, qualifier)
        await plane.service.store.functions.delete_invoke_config(name, qualifier or LATEST)


def listed(plane: ControlPlane, name: str) -> list[EventInvokeConfig]:
    """All of one function, by qualifier.

    Raises:
        ResourceNotFoundException: No such function.
    """
    _check_exists(plane, name, None)
    return list(plane.service.store.functions.invoke_configs(name))


def _missing(plane: ControlPlane, name: str, qualifier: str | None) -> ResourceNotFoundException:
    arn = plane.account.function_arn(name, qualifier or LATEST)
    return ResourceNotFoundException(f"The function {arn} doesn't have an EventInvokeConfig")


def _check_exists(plane: ControlPlane, name: str, qualifier: str | None) -> None:
    try:
        plane.version(name, qualifier)
    except ResourceNotFoundException:
        raise ResourceNotFoundException("The function doesn't exist.") from None


def _check_destinations(plane: ControlPlane, name: str, settings: Settings) -> None:
    for arn in (settings.on_success_arn, settings.on_failure_arn):
        parts = (arn or "").split(":")
        if not arn:
            continue
        if len(parts) < 6 or parts[2] not in _SERVICES:
            success, failure = (
                f"{kind}(destination={value})" if value else "null"
                for kind, value in (("OnSuccess", settings.on_success_arn), ("OnFailure", settings.on_failure_arn))
            )
            raise InvalidParameterValueException(
                f"The provided destination config DestinationConfig(onSuccess={success}, onFailure={failure}) is "
                "invalid."
            )
        if parts[2] == "lambda":
            target = FunctionName.parse(arn, plane.account)
            if target.name == name:
                raise InvalidParameterValueException("You can't specify the function as a destination for itself.")
            if plane.service.store.functions.get(target.name) is None:
                raise InvalidParameterValueException(f"The destination ARN {arn} is invalid.")
