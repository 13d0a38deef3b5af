"""REST APIs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.gateway import given, new_id
from jupyter_lambda.errors import BadRequestException, NotImplementedException
from jupyter_lambda.store.http import Document, PartChange

from .common import api_of, paged, save
from .patches import Kind, apply

WITHOUT_EFFECT = {
    "CreateRestApi": {
        "minimumCompressionSize": "answers are not compressed",
        "endpointConfiguration": "the endpoint listens on loopback; PRIVATE is refused",
        "securityPolicy": "the endpoint speaks plain HTTP on loopback",
        "endpointAccessMode": "as securityPolicy",
    },
}
_MEMBERS: Mapping[str, Kind] = {
    "name": "text",
    "description": "text",
    "version": "text",
    "binaryMediaTypes": "list",
    "minimumCompressionSize": "integer",
    "apiKeySource": "text",
    "disableExecuteApiEndpoint": "boolean",
}
_CREATED = (
    "name",
    "description",
    "version",
    "binaryMediaTypes",
    "minimumCompressionSize",
    "apiKeySource",
    "endpointConfiguration",
    "disableExecuteApiEndpoint",
    "tags",
)


async def create_rest_api(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "CreateRestApi"."""
    params = call.params
    for member in ("cloneFrom", "policy"):
        if params.get(member):
            raise NotImplementedException(f"{member} of REST APIs is not built.")
    endpoint = params.get("endpointConfiguration") or {}
    if "PRIVATE" in (endpoint.get("types") or ()):
        raise NotImplementedException("Private REST APIs (endpointConfiguration PRIVATE) are not built.")
    if not params["name"].strip():
        raise BadRequestException("No REST API name specified")
    api_id, root_id = new_id(10), new_id(10)
    api = {
        "apiKeySource": "HEADER",
        "disableExecuteApiEndpoint": False,
        "endpointConfiguration": {"types": ["EDGE"]},
        **given(call, *_CREATED),
        "id": api_id,
        "rootResourceId": root_id,
        "createdDate": int(call.service.clock()),
        "apiStatus": "AVAILABLE",
    }
    params["restApiId"] = api_id
    root = {"id": root_id, "path": "/", "resourceMethods": {}}
    async with call.triggers.apis.lock(api_id):
        await save(call, [PartChange("resource", root_id, root)], api)
    return api


async def get_rest_api(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetRestApi"."""
    return api_of(call)


async def get_rest_apis(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetRestApis"."""
    return paged(call, call.triggers.apis.store.apis("rest"), "id")


async def update_rest_api(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "UpdateRestApi"."""
    operations = call.params.get("patchOperations") or ()
    async with call.triggers.apis.lock(call.params["restApiId"]):
        changed: Document = apply(api_of(call), _own(operations), _MEMBERS)
        await save(call, (), changed)
    return changed


async def delete_rest_api(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "DeleteRestApi"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        api_of(call)
        await call.triggers.apis.delete(call.params["restApiId"])
    return {}


def _own(operations: Any) -> list[Mapping[str, Any]]:
    """The operations but those on the endpoint's kind, which changes nothing here."""
    kept = []
    for operation in operations:
        path = operation.get("path") or ""
        if path.startswith("/policy"):
            raise NotImplementedException("policy of REST APIs is not built.")
        if not path.startswith("/endpointConfiguration/"):
            kept.append(operation)
        elif operation.get("value") == "PRIVATE":
            raise NotImplementedException("Private REST APIs (endpointConfiguration PRIVATE) are not built.")
    return kept
