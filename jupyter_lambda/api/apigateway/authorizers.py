"""Lambda authorizers of REST APIs: TOKEN and REQUEST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.gateway import given, new_id
from jupyter_lambda.errors import BadRequestException, ConflictException, NotImplementedException
from jupyter_lambda.store.http import Document, PartChange
from jupyter_lambda.triggers.sites.rest_authorization import TTL_DEFAULT_S

from .common import api_of, paged, part_of, parts_of, save
from .patches import Kind, apply

WITHOUT_EFFECT = {"CreateAuthorizer": {"authType": "it is for imports and exports"}}
_MEMBERS: Mapping[str, Kind] = {
    "name": "text",
    "authorizerUri": "text",
    "authorizerCredentials": "text",
    "identitySource": "text",
    "identityValidationExpression": "text",
    "authorizerResultTtlInSeconds": "integer",
    "authType": "text",
}


async def create_authorizer(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "CreateAuthorizer"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        api_of(call)
        authorizer = {
            "id": new_id(6),
            "type": call.params["type"],
            "authType": "custom",
            "authorizerResultTtlInSeconds": TTL_DEFAULT_S,
            **given(call, *_MEMBERS),
        }
        _check(call, authorizer)
        await save(call, [PartChange("authorizer", authorizer["id"], authorizer)])
    return authorizer


async def get_authorizer(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetAuthorizer"."""
    return part_of(call, "authorizer")


async def get_authorizers(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetAuthorizers"."""
    api_of(call)
    return paged(call, parts_of(call, "authorizer"), "id")


async def update_authorizer(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "UpdateAuthorizer"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        authorizer = apply(part_of(call, "authorizer"), call.params.get("patchOperations") or (), _MEMBERS)
        _check(call, authorizer)
        await save(call, [PartChange("authorizer", authorizer["id"], authorizer)])
    return authorizer


async def delete_authorizer(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "DeleteAuthorizer"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        authorizer_id = part_of(call, "authorizer")["id"]
        for resource in parts_of(call, "resource"):
            for verb, method in resource["resourceMethods"].items():
                if method.get("authorizerId") == authorizer_id:
                    raise ConflictException(
                        f"Cannot delete authorizer '{authorizer_id}', is referenced in method: {resource['id']}/{verb}"
                    )
        await save(call, [PartChange("authorizer", authorizer_id, None)])
    return {}


def _check(call: Call, authorizer: Document) -> None:
    kind = authorizer["type"]
    if kind == "COGNITO_USER_POOLS":
        raise NotImplementedException("Authorizers of type COGNITO_USER_POOLS are not built.")
    for other in parts_of(call, "authorizer"):
        if other["id"] != authorizer["id"] and other["name"] == authorizer["name"]:
            raise ConflictException(
                "Authorizer name must be unique. Authorizer " + authorizer["name"] + " already exists in this RestApi."
            )
    if ":lambda:path/" not in (authorizer.get("authorizerUri") or ""):
        raise BadRequestException("Authorizer Uri must be a valid Lambda function URI")
    if not 0 <= authorizer["authorizerResultTtlInSeconds"] <= 3600:
        raise BadRequestException("Authorizer result TTL must be between 0 and 3600 seconds")
    source = authorizer.get("identitySource")
    if kind == "TOKEN":
        if not source or not source.startswith("method.request.header."):
            raise BadRequestException("A TOKEN authorizer needs an identity source: method.request.header.NAME")
    elif not source and authorizer["authorizerResultTtlInSeconds"]:
        raise BadRequestException("Identity source is required for REQUEST authorizers that are cached")
