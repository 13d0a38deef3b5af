"""Resources of REST APIs: the tree of their paths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.gateway import new_id
from jupyter_lambda.errors import BadRequestException, ConflictException, NotFoundException
from jupyter_lambda.store.http import Document, PartChange

from .common import api_of, paged, part_of, parts_of, save
from .patches import apply

_PART = re.compile(r"[a-zA-Z0-9._:~-]+|\{[a-zA-Z0-9._-]+\+?\}")


async def create_resource(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "CreateResource"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        api_of(call)
        resource = {
            "id": new_id(6),
            "parentId": call.params["parentId"],
            "pathPart": call.params["pathPart"],
            "resourceMethods": {},
        }
        resource["path"] = _path(call, resource)
        await save(call, [PartChange("resource", resource["id"], resource)])
    return _public(resource, embed=())


async def get_resource(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetResource"."""
    return _public(part_of(call, "resource"), embed=call.params.get("embed") or ())


async def get_resources(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetResources"."""
    api_of(call)
    embed = call.params.get("embed") or ()
    return paged(call, [_public(resource, embed) for resource in parts_of(call, "resource")], "id")


async def update_resource(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "UpdateResource". What is below moves with it."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        former = part_of(call, "resource")
        if "parentId" not in former:
            raise BadRequestException("The root resource can't be changed")
        patched = apply(former, call.params.get("patchOperations") or (), {"pathPart": "text", "parentId": "text"})
        patched["path"] = _path(call, patched)
        changes = [PartChange("resource", patched["id"], patched)]
        for other in parts_of(call, "resource"):
            if other["path"].startswith(former["path"] + "/"):
                moved = patched["path"] + other["path"][len(former["path"]) :]
                changes.append(PartChange("resource", other["id"], other | {"path": moved}))
        await save(call, changes)
    return _public(patched, embed=())


async def delete_resource(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "DeleteResource". What is below goes too."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        resource = part_of(call, "resource")
        if "parentId" not in resource:
            raise BadRequestException("Root resource can not be deleted")
        below = [one for one in parts_of(call, "resource") if one["path"].startswith(resource["path"] + "/")]
        await save(call, [PartChange("resource", one["id"], None) for one in (resource, *below)])
    return {}


def _path(call: Call, resource: Document) -> str:
    """The path that a resource has, checked."""
    part: str = resource["pathPart"]
    others = parts_of(call, "resource")
    parent = next((one for one in others if one["id"] == resource["parentId"]), None)
    if parent is None:
        raise NotFoundException("Invalid Resource identifier specified")
    if not _PART.fullmatch(part):
        raise BadRequestException(
            "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the "
            "beginning and the end."
        )
    if parent.get("pathPart", "").endswith("+}"):
        raise BadRequestException("Cannot create a child of a resource with a greedy path variable")
    siblings = [one for one in others if one.get("parentId") == parent["id"] and one["id"] != resource["id"]]
    if any(one["pathPart"] == part for one in siblings):
        raise ConflictException("Another resource with the same parent already has this name: " + part)
    kinds = {one["pathPart"].endswith("+}"): one["pathPart"] for one in siblings if one["pathPart"].startswith("{")}
    if part.startswith("{") and part.endswith("+}") in kinds:
        raise BadRequestException(
            f"A sibling ({kinds[part.endswith('+}')]}) of this resource already has a variable path part -- only one "
            "is allowed"
        )
    return f"{parent['path'].rstrip('/')}/{part}"


def _public(resource: Document, embed: Any) -> Document:
    """A resource; its methods by name only, unless ``embed`` asks for them."""
    methods = resource.get("resourceMethods") or {}
    shown = methods if "methods" in embed else {name: {} for name in methods}
    return {**resource, "resourceMethods": shown or None}
