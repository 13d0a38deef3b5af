"""Layers: publishing and deleting their versions, and what attaching them to a function requires."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jupyter_lambda.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    ResourceNotFoundException,
)
from jupyter_lambda.model import limits
from jupyter_lambda.model.arn import LayerName
from jupyter_lambda.model.function import LayerVersion

from .control import ControlPlane

_NO_RESOURCE = "The resource you requested does not exist."
_BATCH = 100


async def publish(
    plane: ControlPlane,
    name: str,
    data: bytes,
    *,
    description: str = "",
    runtimes: Sequence[str] = (),
    architectures: Sequence[str] = (),
    license_info: str | None = None,
) -> LayerVersion:
    """Add the next version of a layer; the first one makes the layer.

    Raises:
        ClientError: The package is not a good zip, or too large; see ``Packages.add_zip``.
    """
    store = plane.service.store
    package = await store.packages.add_zip(data)
    created = plane.now_text()

    def build(number: int) -> LayerVersion:
        return LayerVersion(
            name=name,
            version=number,
            description=description,
            created=created,
            code_sha256=package.code_sha256,
            code_size=package.code_size,
            compatible_runtimes=tuple(runtimes),
            compatible_architectures=tuple(architectures),
            license_info=license_info,
        )

    return await store.functions.add_layer_version(name, build)


def named(plane: ControlPlane, text: str) -> str:
    """A layer's bare name, from a name or an ARN.

    Raises:
        ResourceNotFoundException: An ARN of another region or account.
    """
    arn = LayerName.parse(text)
    if arn is None:
        return text
    if (arn.region, arn.account_id) != (plane.account.region, plane.account.account_id):
        raise ResourceNotFoundException(_NO_RESOURCE)
    return arn.name


def get(plane: ControlPlane, name: str, number: int) -> LayerVersion:
    """One version.

    Raises:
        ResourceNotFoundException: There is none.
        InvalidParameterValueException: A number below 1.
    """
    _check_number(number)
    layer = plane.service.store.functions.layer_version(name, number)
    if layer is None:
        raise ResourceNotFoundException(_NO_RESOURCE)
    return layer


async def delete(plane: ControlPlane, name: str, number: int) -> None:
    """Remove a version; nothing where there is none. Its number is never given again.

    Raises:
        InvalidParameterValueException: A number below 1.
    """
    _check_number(number)
    await plane.service.store.functions.delete_layer_version(name, number)


def versions(
    plane: ControlPlane,
    name: str,
    after: int | None,
    limit: int,
    *,
    runtime: str | None = None,
    architecture: str | None = None,
) -> list[LayerVersion]:
    """Versions of one layer that fit, newest first; at most ``limit``."""
    fitting = (layer for layer in _versions(plane, name, after) if _fits(layer, runtime, architecture))
    return [layer for layer, _ in zip(fitting, range(limit), strict=False)]


def latest(
    plane: ControlPlane, after: str | None, limit: int, *, runtime: str | None = None, architecture: str | None = None
) -> list[LayerVersion]:
    """Of each layer the newest version that fits, by name; at most ``limit``."""
    found: list[LayerVersion] = []
    while len(found) < limit:
        batch = plane.service.store.functions.layers(after, _BATCH)
        for layer in batch:
            match = versions(plane, layer.name, None, 1, runtime=runtime, architecture=architecture)
            found += match
            if len(found) == limit:
                break
        if len(batch) < _BATCH:
            break
        after = batch[-1].name
    return found


def attached(plane: ControlPlane, arns: Sequence[str]) -> list[LayerVersion]:
    """The layer versions that a function names, checked as AWS does.

    Raises:
        InvalidParameterValueException: Too many, another region, not there, or two versions of one layer.
        AccessDeniedException: A layer of another account.
    """
    if len(arns) > limits.LAYERS_MAX:
        raise InvalidParameterValueException(f"Cannot reference more than {limits.LAYERS_MAX} layers.")
    found = []
    seen: dict[str, str] = {}
    for arn in arns:
        layer = _attached(plane, arn)
        if layer.name in seen:
            raise InvalidParameterValueException(
                "Two different versions of the same layer are not allowed to be referenced in the same function. "
                f"{seen[layer.name]} and {arn} are versions of the same layer."
            )
        seen[layer.name] = arn
        found.append(layer)
    return found


def _attached(plane: ControlPlane, arn: str) -> LayerVersion:
    account = plane.account
    name = LayerName.parse(arn)
    if name is None or name.version is None:
        raise InvalidParameterValueException(f"Layer version {arn[:256]} does not exist.")
    if name.account_id != account.account_id:
        raise AccessDeniedException(
            f"User: arn:{account.partition}:iam::{account.account_id}:root is not authorized to perform: "
            f"lambda:GetLayerVersion on resource: {arn} because no resource-based policy allows the "
            "lambda:GetLayerVersion action"
        )
    if name.region != account.region:
        raise InvalidParameterValueException(
            f"Layers are not in the same region as the function. Layers are expected to be in region {account.region}."
        )
    number = name.version
    layer = plane.service.store.functions.layer_version(name.name, number) if number < 2**63 else None
    if layer is None:
        raise InvalidParameterValueException(f"Layer version {arn} does not exist.")
    return layer


def _versions(plane: ControlPlane, name: str, after: int | None) -> Iterator[LayerVersion]:
    while True:
        batch = plane.service.store.functions.layer_versions(name, after, _BATCH)
        yield from batch
        if len(batch) < _BATCH:
            return
        after = batch[-1].version


def _fits(layer: LayerVersion, runtime: str | None, architecture: str | None) -> bool:
    """A version that names no runtimes or architectures fits none that is asked for, as on AWS."""
    return (runtime is None or runtime in layer.compatible_runtimes) and (
        architecture is None or architecture in layer.compatible_architectures
    )


def _check_number(number: int) -> None:
    if number < 1:
        raise InvalidParameterValueException("Layer Version Cannot be less than 1.")
