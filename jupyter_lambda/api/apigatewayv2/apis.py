"""HTTP APIs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.gateway import given, new_id
from jupyter_lambda.api.site_urls import endpoint_of
from jupyter_lambda.errors import BadRequestException, NotImplementedException
from jupyter_lambda.store.http import Document, PartChange
from jupyter_lambda.triggers.sites.routes import DEFAULT

from .checks import check_key, quick_integration
from .common import api_of, deploy, paged, save

WITHOUT_EFFECT = {
    "CreateApi": {
        "DisableSchemaValidation": "it is for WebSocket APIs",
        "ApiKeySelectionExpression": "it is for WebSocket APIs",
        "IpAddressType": "the endpoint listens on loopback",
    },
    "UpdateApi": {
        "DisableSchemaValidation": "as for CreateApi",
        "ApiKeySelectionExpression": "as for CreateApi",
        "IpAddressType": "as for CreateApi",
    },
}
_MEMBERS = (
    "Name",
    "Description",
    "Version",
    "DisableExecuteApiEndpoint",
    "CorsConfiguration",
    "DisableSchemaValidation",
)
_SELECTION = "$request.method $request.path"


async def create_api(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "CreateApi"."""
    params = call.params
    if params["ProtocolType"] == "WEBSOCKET":
        raise NotImplementedException("WebSocket APIs (ProtocolType WEBSOCKET) are not built; HTTP APIs are.")
    _check(params)
    target = params.get("Target")
    if target is None and (params.get("RouteKey") or params.get("CredentialsArn")):
        raise BadRequestException("RouteKey and CredentialsArn are for quick create, which needs a Target.")
    api_id = call.params["ApiId"] = new_id(10)
    api = {
        **given(call, *_MEMBERS, "Tags"),
        "ApiId": api_id,
        "ProtocolType": "HTTP",
        "RouteSelectionExpression": _SELECTION,
        "ApiKeySelectionExpression": params.get("ApiKeySelectionExpression", "$request.header.x-api-key"),
        "DisableExecuteApiEndpoint": params.get("DisableExecuteApiEndpoint", False),
        "IpAddressType": params.get("IpAddressType", "ipv4"),
        "CreatedDate": call.service.clock(),
    }
    async with call.triggers.apis.lock(api_id):
        await save(call, _quick(call, target) if target else (), api)
    return _public(call, api)


def _quick(call: Call, target: str) -> list[PartChange]:
    """Quick create: an integration, a route to it and the stage ``$default``, which deploys by itself."""
    integration = quick_integration(target, call.params.get("CredentialsArn"))
    key = call.params.get("RouteKey", DEFAULT)
    check_key(key)
    route = {
        "RouteId": new_id(7),
        "RouteKey": key,
        "Target": f"integrations/{integration['IntegrationId']}",
        "AuthorizationType": "NONE",
        "ApiKeyRequired": False,
        "ApiGatewayManaged": True,
    }
    changes = [
        PartChange("integration", integration["IntegrationId"], integration),
        PartChange("route", route["RouteId"], route),
    ]
    stage = {
        "StageName": DEFAULT,
        "AutoDeploy": True,
        "ApiGatewayManaged": True,
        "CreatedDate": call.service.clock(),
        "DefaultRouteSettings": {"DetailedMetricsEnabled": False},
        "RouteSettings": {},
        "StageVariables": {},
    }
    return changes + deploy(call, stage, changes)


async def get_api(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "GetApi"."""
    return _public(call, api_of(call))


async def get_apis(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "GetApis"."""
    found = [_public(call, api) for api in call.triggers.apis.store.apis("http")]
    return paged(call, found, "ApiId")


async def update_api(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "UpdateApi"."""
    params = call.params
    async with call.triggers.apis.lock(params["ApiId"]):
        api = api_of(call)
        _check({**api, **params})
        changed = api | given(call, *_MEMBERS, "ApiKeySelectionExpression", "IpAddressType")
        await save(call, _requick(call), changed)
    return _public(call, changed)


def _requick(call: Call) -> list[PartChange]:
    """Changes of what quick create has made."""
    params, store = call.params, call.triggers.apis.store
    changes = []
    if params.get("Target") or params.get("CredentialsArn"):
        managed = [one for one in store.parts(params["ApiId"], "integration") if one.get("ApiGatewayManaged")]
        if not managed:
            raise BadRequestException("Target and CredentialsArn are for APIs that were made by quick create.")
        target: str = params.get("Target") or managed[0]["IntegrationUri"]
        made = quick_integration(target, params.get("CredentialsArn", managed[0].get("CredentialsArn")))
        made["IntegrationId"] = managed[0]["IntegrationId"]
        changes.append(PartChange("integration", made["IntegrationId"], made))
    if params.get("RouteKey"):
        check_key(params["RouteKey"])
        routes = [one for one in store.parts(params["ApiId"], "route") if one.get("ApiGatewayManaged")]
        if not routes:
            raise BadRequestException("RouteKey is for APIs that were made by quick create.")
        changes.append(PartChange("route", routes[0]["RouteId"], routes[0] | {"RouteKey": params["RouteKey"]}))
    return changes


async def delete_api(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "DeleteApi"."""
    async with call.triggers.apis.lock(call.params["ApiId"]):
        api_of(call)
        await call.triggers.apis.delete(call.params["ApiId"])
    return {}


async def delete_cors_configuration(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "DeleteCorsConfiguration"."""
    async with call.triggers.apis.lock(call.params["ApiId"]):
        api = api_of(call)
        api.pop("CorsConfiguration", None)
        await save(call, (), api)
    return {}


def _check(params: Mapping[str, Any]) -> None:
    expression = params.get("RouteSelectionExpression")
    if expression not in (None, _SELECTION, "${request.method} ${request.path}"):
        raise BadRequestException(f"For HTTP APIs, RouteSelectionExpression must be '{_SELECTION}'.")
    cors = params.get("CorsConfiguration") or {}
    if cors.get("AllowCredentials") and "*" in (cors.get("AllowOrigins") or ()):
        raise BadRequestException("AllowCredentials can't be true where AllowOrigins has '*'.")
    for origin in cors.get("AllowOrigins") or ():
        if origin != "*" and "://" not in origin:
            raise BadRequestException(f"Invalid origin: {origin[:128]}. It must be '*' or begin with a scheme.")


def _public(call: Call, api: Document) -> Document:
    return {**api, "ApiEndpoint": endpoint_of(call, api["ApiId"]), "Tags": api.get("Tags", {})}
