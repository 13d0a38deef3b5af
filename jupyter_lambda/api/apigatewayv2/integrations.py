"""Integrations of HTTP APIs: what stands behind their routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.gateway import given, new_id
from jupyter_lambda.errors import ConflictException
from jupyter_lambda.store.http import PartChange

from .checks import TIMEOUT_MS, check_integration
from .common import api_of, listed, part_of, save

_WEBSOCKET = "it is for WebSocket APIs"
WITHOUT_EFFECT = {
    "CreateIntegration": {
        "ContentHandlingStrategy": _WEBSOCKET,
        "PassthroughBehavior": _WEBSOCKET,
        "RequestTemplates": _WEBSOCKET,
        "TemplateSelectionExpression": _WEBSOCKET,
    },
    "UpdateIntegration": {
        "ContentHandlingStrategy": _WEBSOCKET,
        "PassthroughBehavior": _WEBSOCKET,
        "RequestTemplates": _WEBSOCKET,
        "TemplateSelectionExpression": _WEBSOCKET,
    },
}
_MEMBERS = (
    "ConnectionId",
    "ConnectionType",
    "CredentialsArn",
    "Description",
    "IntegrationMethod",
    "IntegrationSubtype",
    "IntegrationType",
    "IntegrationUri",
    "PayloadFormatVersion",
    "RequestParameters",
    "ResponseParameters",
    "TimeoutInMillis",
    "TlsConfig",
)


async def create_integration(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "CreateIntegration"."""
    async with call.triggers.apis.lock(call.params["ApiId"]):
        api_of(call)
        integration = {
            "IntegrationId": new_id(7),
            "ConnectionType": "INTERNET",
            "TimeoutInMillis": TIMEOUT_MS,
            **({"IntegrationMethod": "POST"} if call.params["IntegrationType"] == "AWS_PROXY" else {}),
            **({"PayloadFormatVersion": "1.0"} if call.params["IntegrationType"] == "HTTP_PROXY" else {}),
            **given(call, *_MEMBERS),
        }
        check_integration(integration)
        await save(call, [PartChange("integration", integration["IntegrationId"], integration)])
    return integration


async def get_integration(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "GetIntegration"."""
    return part_of(call, "integration")


async def get_integrations(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "GetIntegrations"."""
    return listed(call, "integration")


async def update_integration(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "UpdateIntegration"."""
    async with call.triggers.apis.lock(call.params["ApiId"]):
        integration = part_of(call, "integration") | given(call, *_MEMBERS)
        check_integration(integration)
        await save(call, [PartChange("integration", integration["IntegrationId"], integration)])
    return integration


async def delete_integration(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "DeleteIntegration"."""
    async with call.triggers.apis.lock(call.params["ApiId"]):
        integration_id = part_of(call, "integration")["IntegrationId"]
        for route in call.triggers.apis.store.parts(call.params["ApiId"], "route"):
            if route.get("Target") == f"integrations/{integration_id}":
                raise ConflictException(
                    f"Cannot delete Integration '{integration_id}' due to a Route '{route['RouteId']}' dependency"
                )
        await save(call, [PartChange("integration", integration_id, None)])
    return {}
