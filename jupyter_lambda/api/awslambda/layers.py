"""Layers and their versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.downloads import package_url
from jupyter_lambda.engine import layers
from jupyter_lambda.engine.control import page_size, read_marker, write_marker
from jupyter_lambda.errors import (
    InvalidParameterValueException,
    ResourceNotFoundException,
)
from jupyter_lambda.model.arn import LayerName
from jupyter_lambda.model.function import LayerVersion

from .s3_code import fetched


async def publish_layer_version(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "PublishLayerVersion"."""
    params = call.params
    content = params["Content"]
    zip_file = content["ZipFile"] if "ZipFile" in content else await fetched(call, content)
    if zip_file is None:
        raise InvalidParameterValueException("Please provide a source for layer content.")
    layer = await layers.publish(
        call.plane,
        layers.named(call.plane, params["LayerName"]),
        zip_file,
        description=params.get("Description", ""),
        runtimes=params.get("CompatibleRuntimes", ()),
        architectures=params.get("CompatibleArchitectures", ()),
        license_info=params.get("LicenseInfo"),
    )
    return _with_content(call, layer)


async def get_layer_version(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "GetLayerVersion"."""
    name = layers.named(call.plane, call.params["LayerName"])
    return _with_content(call, layers.get(call.plane, name, call.params["VersionNumber"]))


async def get_layer_version_by_arn(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "GetLayerVersionByArn"."""
    arn = LayerName.parse(call.params["Arn"])
    if arn is None or arn.version is None or arn.version >= 2**63:
        raise ResourceNotFoundException("The resource you requested does not exist.")
    name = layers.named(call.plane, call.params["Arn"])
    return _with_content(call, layers.get(call.plane, name, arn.version))


async def delete_layer_version(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "DeleteLayerVersion"."""
    name = layers.named(call.plane, call.params["LayerName"])
    await layers.delete(call.plane, name, call.params["VersionNumber"])
    return {}


async def list_layer_versions(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "ListLayerVersions"."""
    params = call.params
    size = page_size(params.get("MaxItems"))
    after = read_marker(params.get("Marker"), int)
    found = layers.versions(
        call.plane,
        layers.named(call.plane, params["LayerName"]),
        after[0] if after else None,
        size + 1,
        runtime=params.get("CompatibleRuntime"),
        architecture=params.get("CompatibleArchitecture"),
    )
    return {
        "LayerVersions": [_version(call, layer) for layer in found[:size]],
        "NextMarker": write_marker(found[size - 1].version) if len(found) > size else None,
    }


async def list_layers(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "ListLayers"."""
    params = call.params
    size = page_size(params.get("MaxItems"))
    after = read_marker(params.get("Marker"), str)
    found = layers.latest(
        call.plane,
        after[0] if after else None,
        size + 1,
        runtime=params.get("CompatibleRuntime"),
        architecture=params.get("CompatibleArchitecture"),
    )
    account = call.plane.account
    listed = [
        {"LayerName": v.name, "LayerArn": account.layer_arn(v.name), "LatestMatchingVersion": _version(call, v)}
        for v in found[:size]
    ]
    return {"Layers": listed, "NextMarker": write_marker(found[size - 1].name) if len(found) > size else None}


def _version(call: Call, layer: LayerVersion) -> dict[str, Any]:
    return {
        "LayerVersionArn": call.plane.account.layer_arn(layer.name, layer.version),
        "Version": layer.version,
        "Description": layer.description,
        "CreatedDate": layer.created,
        "CompatibleRuntimes": list(layer.compatible_runtimes) or None,
        "CompatibleArchitectures": list(layer.compatible_architectures) or None,
        "LicenseInfo": layer.license_info,
    }


def _with_content(call: Call, layer: LayerVersion) -> dict[str, Any]:
    content = {
        "Location": package_url(call, layer.code_sha256),
        "CodeSha256": layer.code_sha256,
        "CodeSize": layer.code_size,
    }
    return {**_version(call, layer), "LayerArn": call.plane.account.layer_arn(layer.name), "Content": content}
