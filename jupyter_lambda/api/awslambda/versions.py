"""Published versions of functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine import versions
from jupyter_lambda.engine.control import page_size, read_marker, write_marker

from .configuration import configuration, refuse_unbuilt


async def publish_version(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "PublishVersion"."""
    params = call.params
    refuse_unbuilt(params)
    name, _ = call.named()
    version = await versions.publish(
        call.plane,
        name,
        description=params.get("Description"),
        code_sha256=params.get("CodeSha256"),
        revision_id=params.get("RevisionId"),
    )
    return configuration(version, call.plane.account, qualifier=version.version)


async def list_versions_by_function(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "ListVersionsByFunction"."""
    params = call.params
    name, _ = call.named()
    size = page_size(params.get("MaxItems"))
    after = read_marker(params.get("Marker"), str)
    found = versions.listed(call.plane, name, after[0] if after else None, size + 1)
    account = call.plane.account
    return {
        "Versions": [configuration(v, account, qualifier=v.version, listed=True) for v in found[:size]],
        "NextMarker": write_marker(found[size - 1].version) if len(found) > size else None,
    }
