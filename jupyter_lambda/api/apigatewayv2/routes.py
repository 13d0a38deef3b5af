"""Routes of HTTP APIs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.gateway import given, new_id
from jupyter_lambda.errors import BadRequestException, ConflictException
from jupyter_lambda.store.http import Document, PartChange

from .checks import check_key, shape_of
from .common import api_of, listed, part_of, save

WITHOUT_EFFECT = {
    "CreateRoute": {"OperationName": "it is for generated clients"},
    "UpdateRoute": {"OperationName": "as for CreateRoute"},
}
_MEMBERS = ("RouteKey", "Target", "AuthorizationType", "AuthorizerId", "AuthorizationScopes", "OperationName")
#: Members that HTTP APIs don't have.
_WEBSOCKET = ("ModelSelectionExpression", "RequestModels", "RequestParameters", "RouteResponseSelectionExpression")
_KINDS = {"JWT": "JWT", "CUSTOM": "REQUEST"}


async def create_route(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "CreateRoute"."""
    async with call.triggers.apis.lock(call.params["ApiId"]):
        api_of(call)
        route = {"RouteId": new_id(7), "AuthorizationType": "NONE", "ApiKeyRequired": False, **given(call, *_MEMBERS)}
        _check(call, route)
        await save(call, [PartChange("route", route["RouteId"], route)])
    return route


async def get_route(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "GetRoute"."""
    return part_of(call, "route")


async def get_routes(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "GetRoutes"."""
    return listed(call, "route")


async def update_route(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "UpdateRoute"."""
    async with call.triggers.apis.lock(call.params["ApiId"]):
        route = part_of(call, "route") | given(call, *_MEMBERS)
        if route["AuthorizationType"] in ("NONE", "AWS_IAM"):
            route.pop("AuthorizerId", None)
            route.pop("AuthorizationScopes", None)
        _check(call, route)
        await save(call, [PartChange("route", route["RouteId"], route)])
    return route


async def delete_route(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "DeleteRoute"."""
    async with call.triggers.apis.lock(call.params["ApiId"]):
        route = part_of(call, "route")
        await save(call, [PartChange("route", route["RouteId"], None)])
    return {}


def _check(call: Call, route: Document) -> None:
    if call.params.get("ApiKeyRequired"):
        raise BadRequestException("API keys are not supported for HTTP APIs.")
    for member in _WEBSOCKET:
        if call.params.get(member):
            raise BadRequestException(f"{member} is for WebSocket APIs.")
    check_key(route["RouteKey"])
    store, api_id = call.triggers.apis.store, call.params["ApiId"]
    for other in store.parts(api_id, "route"):
        if other["RouteId"] != route["RouteId"] and shape_of(other["RouteKey"]) == shape_of(route["RouteKey"]):
            raise ConflictException(f"Route with key {other['RouteKey']} already exists for this API")
    target = route.get("Target")
    if target is not None:
        kind, _, integration_id = target.partition("/")
        if kind != "integrations" or store.part(api_id, "integration", integration_id) is None:
            raise BadRequestException(f"Invalid target specified: {target}. It must be integrations/ID of this API.")
    _check_authorizer(call, route)


def _check_authorizer(call: Call, route: Document) -> None:
    kind, authorizer_id = route["AuthorizationType"], route.get("AuthorizerId")
    if kind not in _KINDS:
        if authorizer_id:
            raise BadRequestException(f"A route of authorization type {kind} can't have an authorizer.")
    else:
        if not authorizer_id:
            raise BadRequestException(f"AuthorizerId is required for authorization type {kind}.")
        found = call.triggers.apis.store.part(call.params["ApiId"], "authorizer", authorizer_id)
        if found is None:
            raise BadRequestException(f"Invalid authorizer ID specified: {authorizer_id}")
        if found["AuthorizerType"] != _KINDS[kind]:
            raise BadRequestException(f"Authorizer {authorizer_id} is no {_KINDS[kind]} authorizer.")
    if route.get("AuthorizationScopes") and kind != "JWT":
        raise BadRequestException("AuthorizationScopes are for routes with a JWT authorizer.")
