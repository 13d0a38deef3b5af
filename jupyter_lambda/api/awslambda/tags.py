"""Tags of functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine import functions
from jupyter_lambda.errors import InvalidParameterValueException, ResourceNotFoundException


async def tag_resource(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "TagResource"."""
    await functions.tag(call.plane, _function(call), call.params["Tags"])
    return {}


async def untag_resource(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "UntagResource"."""
    await functions.tag(call.plane, _function(call), {}, frozenset(call.params["TagKeys"]))
    return {}


async def list_tags(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "ListTags"."""
    return {"Tags": dict(call.plane.function(_function(call)).tags)}


def _function(call: Call) -> str:
    resource: str = call.params["Resource"]
    if ":function:" not in resource:
        raise ResourceNotFoundException("The resource you requested does not exist.")
    name, qualifier = call.named("Resource")
    if qualifier is not None:
        raise InvalidParameterValueException(
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        )
    return name
