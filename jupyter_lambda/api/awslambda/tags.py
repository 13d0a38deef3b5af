"""Tags of functions and event source mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine import functions
from jupyter_lambda.errors import InvalidParameterValueException, ResourceNotFoundException
from jupyter_lambda.model.mapping import EventSourceMapping


async def tag_resource(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "TagResource"."""
    await _tag(call, call.params["Tags"], frozenset())
    return {}


async def untag_resource(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "UntagResource"."""
    await _tag(call, {}, frozenset(call.params["TagKeys"]))
    return {}


async def list_tags(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "ListTags"."""
    mapping = _mapping(call)
    return {"Tags": dict(mapping.tags if mapping else call.plane.function(_function(call)).tags)}


async def _tag(call: Call, add: Mapping[str, str], remove: frozenset[str]) -> None:
    mapping = _mapping(call)
    if mapping is None:
        await functions.tag(call.plane, _function(call), add, remove)
        return
    tags = {name: value for name, value in {**mapping.tags, **add}.items() if name not in remove}
    functions.check_tags(tags)
    await call.triggers.mappings.tag(mapping.uuid, tags)


def _mapping(call: Call) -> EventSourceMapping | None:
    """The mapping that the ARN names; None where it names something else.

    Raises:
        ResourceNotFoundException: There is no such mapping.
    """
    arn: str = call.params["Resource"]
    if ":event-source-mapping:" not in arn:
        return None
    uuid = arn.rpartition(":")[2]
    mapping = call.triggers.mappings.get(uuid)
    if arn != call.plane.account.mapping_arn(uuid):
        raise ResourceNotFoundException("The resource you requested does not exist.")
    return mapping


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
