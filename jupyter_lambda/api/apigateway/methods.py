"""Methods of resources, and their responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.gateway import given
from jupyter_lambda.errors import BadRequestException, ConflictException, NotFoundException, NotImplementedException
from jupyter_lambda.store.http import Document
from jupyter_lambda.triggers.sites.routes import ANY, METHODS

from .common import method_of, part_of, save_resource
from .patches import Kind, apply

WITHOUT_EFFECT = {
    "PutMethod": {
        "operationName": "it is for generated clients; events have it",
        "requestModels": "requests are checked by a request validator only, which is not built",
        "requestParameters": "as requestModels",
    },
    "PutMethodResponse": {"responseModels": "it is for generated clients"},
}
_MEMBERS: Mapping[str, Kind] = {
    "authorizationType": "text",
    "authorizerId": "text",
    "apiKeyRequired": "boolean",
    "operationName": "text",
    "requestParameters": "map",
    "requestModels": "map",
    "requestValidatorId": "text",
}
_TYPES = ("NONE", "AWS_IAM", "CUSTOM")


async def put_method(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "PutMethod"."""
    verb = call.params["httpMethod"]
    if verb != ANY and verb not in METHODS:
        raise BadRequestException(f"Invalid HttpMethod specified. Valid options are {','.join([*METHODS, ANY])}")
    async with call.triggers.apis.lock(call.params["restApiId"]):
        resource = part_of(call, "resource")
        if verb in resource["resourceMethods"]:
            raise ConflictException("Method already exists for this resource")
        method = {
            "httpMethod": verb,
            "apiKeyRequired": False,
            **given(call, *_MEMBERS, "authorizationScopes"),
        }
        _check(call, method)
        resource["resourceMethods"][verb] = method
        await save_resource(call, resource)
    return method


async def get_method(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetMethod"."""
    return method_of(call, part_of(call, "resource"))


async def update_method(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "UpdateMethod"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        resource = part_of(call, "resource")
        method = apply(method_of(call, resource), call.params.get("patchOperations") or (), _MEMBERS)
        parameters = method.get("requestParameters")
        if parameters:
            method["requestParameters"] = {name: value in (True, "true") for name, value in parameters.items()}
        if method["authorizationType"] != "CUSTOM":
            method.pop("authorizerId", None)
        _check(call, method)
        resource["resourceMethods"][call.params["httpMethod"]] = method
        await save_resource(call, resource)
    return method


async def delete_method(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "DeleteMethod"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        resource = part_of(call, "resource")
        method_of(call, resource)
        del resource["resourceMethods"][call.params["httpMethod"]]
        await save_resource(call, resource)
    return {}


async def put_method_response(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "PutMethodResponse"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        resource = part_of(call, "resource")
        found = method_of(call, resource).setdefault("methodResponses", {})
        status = call.params["statusCode"]
        if status in found:
            raise ConflictException("Response already exists for this resource")
        found[status] = given(call, "statusCode", "responseParameters", "responseModels")
        await save_resource(call, resource)
    response: Document = found[status]
    return response


async def get_method_response(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetMethodResponse"."""
    return _response(call, part_of(call, "resource"))


async def update_method_response(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "UpdateMethodResponse"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        resource = part_of(call, "resource")
        members: Mapping[str, Kind] = {"responseParameters": "map", "responseModels": "map"}
        changed = apply(_response(call, resource), call.params.get("patchOperations") or (), members)
        parameters = changed.get("responseParameters") or {}
        changed["responseParameters"] = {name: value in (True, "true") for name, value in parameters.items()}
        method_of(call, resource)["methodResponses"][call.params["statusCode"]] = changed
        await save_resource(call, resource)
    return changed


async def delete_method_response(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "DeleteMethodResponse"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        resource = part_of(call, "resource")
        _response(call, resource)
        del method_of(call, resource)["methodResponses"][call.params["statusCode"]]
        await save_resource(call, resource)
    return {}


def _response(call: Call, resource: Document) -> Document:
    found = (method_of(call, resource).get("methodResponses") or {}).get(call.params["statusCode"])
    if found is None:
        raise NotFoundException("Invalid Response status code specified")
    response: Document = found
    return response


def _check(call: Call, method: Document) -> None:
    kind = method["authorizationType"]
    if kind == "COGNITO_USER_POOLS" or method.get("authorizationScopes"):
        raise NotImplementedException("Authorizers of type COGNITO_USER_POOLS are not built.")
    if kind not in _TYPES:
        raise BadRequestException(f"Invalid Authorization type specified: must be one of {', '.join(_TYPES)}")
    if method.get("requestValidatorId"):
        raise NotImplementedException("Request validators (requestValidatorId) are not built.")
    if kind == "CUSTOM":
        authorizer_id = method.get("authorizerId")
        if not authorizer_id:
            raise BadRequestException("Authorizer ID must be specified for authorization type CUSTOM")
        if call.triggers.apis.store.part(call.params["restApiId"], "authorizer", authorizer_id) is None:
            raise BadRequestException(
                "Invalid authorizer ID specified. Setting the authorization type to CUSTOM requires a valid authorizer."
            )
