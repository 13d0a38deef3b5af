"""Integrations of methods: what stands behind them, and how it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.gateway import given
from jupyter_lambda.errors import BadRequestException, NotFoundException, NotImplementedException
from jupyter_lambda.store.http import Document
from jupyter_lambda.triggers.sites import mock
from jupyter_lambda.triggers.sites.rest_api import TIMEOUT_MS

from .common import integration_of, method_of, part_of, save_resource
from .patches import Kind, apply

WITHOUT_EFFECT = {
    "PutIntegration": {
        "passthroughBehavior": "proxy integrations pass everything",
        "contentHandling": "as binaryMediaTypes say",
        "cacheNamespace": "answers are not cached",
        "cacheKeyParameters": "answers are not cached",
    },
    "PutIntegrationResponse": {"contentHandling": "as PutIntegration"},
}
_MEMBERS = (
    "type",
    "uri",
    "connectionType",
    "connectionId",
    "credentials",
    "requestParameters",
    "requestTemplates",
    "passthroughBehavior",
    "contentHandling",
    "cacheNamespace",
    "cacheKeyParameters",
    "timeoutInMillis",
)
_PATCHED: Mapping[str, Kind] = {
    "uri": "text",
    "httpMethod": "text",
    "credentials": "text",
    "timeoutInMillis": "integer",
    "passthroughBehavior": "text",
    "contentHandling": "text",
    "requestTemplates": "map",
    "cacheNamespace": "text",
}

_RESPONSE: Mapping[str, Kind] = {
    "selectionPattern": "text",
    "responseParameters": "map",
    "responseTemplates": "map",
    "contentHandling": "text",
}


async def put_integration(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "PutIntegration"."""
    params = call.params
    async with call.triggers.apis.lock(params["restApiId"]):
        resource = part_of(call, "resource")
        method = method_of(call, resource)
        integration = {
            "passthroughBehavior": "WHEN_NO_MATCH",
            "timeoutInMillis": TIMEOUT_MS,
            "cacheNamespace": resource["id"],
            "cacheKeyParameters": [],
            **given(call, *_MEMBERS),
            **({"httpMethod": params["integrationHttpMethod"]} if params.get("integrationHttpMethod") else {}),
        }
        for member in ("tlsConfig", "responseTransferMode", "integrationTarget"):
            if params.get(member) not in (None, "BUFFERED"):
                raise NotImplementedException(f"{member} of integrations is not built.")
        _check(integration)
        former = method.get("methodIntegration") or {}
        if former.get("integrationResponses"):
            integration["integrationResponses"] = former["integrationResponses"]
        method["methodIntegration"] = integration
        await save_resource(call, resource)
    return integration


async def get_integration(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetIntegration"."""
    return integration_of(call, part_of(call, "resource"))


async def update_integration(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "UpdateIntegration"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        resource = part_of(call, "resource")
        changed = apply(integration_of(call, resource), call.params.get("patchOperations") or (), _PATCHED)
        _check(changed)
        method_of(call, resource)["methodIntegration"] = changed
        await save_resource(call, resource)
    return changed


async def delete_integration(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "DeleteIntegration"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        resource = part_of(call, "resource")
        integration_of(call, resource)
        del method_of(call, resource)["methodIntegration"]
        await save_resource(call, resource)
    return {}


async def put_integration_response(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "PutIntegrationResponse"."""
    params = call.params
    async with call.triggers.apis.lock(params["restApiId"]):
        resource = part_of(call, "resource")
        integration = integration_of(call, resource)
        for template in (params.get("responseTemplates") or {}).values():
            _check_template(template)
        members = ("statusCode", "selectionPattern", "responseParameters", "responseTemplates", "contentHandling")
        found = given(call, *members)
        integration.setdefault("integrationResponses", {})[params["statusCode"]] = found
        await save_resource(call, resource)
    return found


async def get_integration_response(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetIntegrationResponse"."""
    return _response(call, part_of(call, "resource"))


async def update_integration_response(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "UpdateIntegrationResponse"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        resource = part_of(call, "resource")
        changed = apply(_response(call, resource), call.params.get("patchOperations") or (), _RESPONSE)
        for template in (changed.get("responseTemplates") or {}).values():
            _check_template(template)
        integration_of(call, resource)["integrationResponses"][call.params["statusCode"]] = changed
        await save_resource(call, resource)
    return changed


async def delete_integration_response(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "DeleteIntegrationResponse"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        resource = part_of(call, "resource")
        _response(call, resource)
        del integration_of(call, resource)["integrationResponses"][call.params["statusCode"]]
        await save_resource(call, resource)
    return {}


def _response(call: Call, resource: Document) -> Document:
    found = (integration_of(call, resource).get("integrationResponses") or {}).get(call.params["statusCode"])
    if found is None:
        raise NotFoundException("Invalid Response status code specified")
    response: Document = found
    return response


def _check(integration: Document) -> None:
    kind, uri = integration["type"], integration.get("uri") or ""
    if kind in ("AWS", "HTTP"):
        raise NotImplementedException(
            f"Integrations of type {kind}, with mapping templates, are not built; AWS_PROXY, HTTP_PROXY and MOCK are."
        )
    if integration.get("connectionType") == "VPC_LINK" or integration.get("connectionId"):
        raise NotImplementedException("Integrations by VPC link (connectionType VPC_LINK) are not built.")
    if integration.get("requestParameters"):
        raise NotImplementedException("requestParameters of integrations are not built.")
    if not 50 <= integration["timeoutInMillis"] <= TIMEOUT_MS:
        raise BadRequestException(f"Timeout should be between 50 ms and {TIMEOUT_MS} ms")
    for template in (integration.get("requestTemplates") or {}).values():
        _check_template(template)
    if kind == "MOCK":
        return
    if not integration.get("httpMethod"):
        raise BadRequestException("Enumeration value for HttpMethod must be non-empty")
    if kind == "HTTP_PROXY":
        if not uri.startswith(("http://", "https://")):
            raise BadRequestException("Invalid HTTP endpoint specified for URI")
    elif not uri.startswith("arn:"):
        raise BadRequestException("Invalid ARN specified in the request")
    elif ":lambda:path/" not in uri or "/functions/" not in uri or not uri.endswith("/invocations"):
        raise BadRequestException(
            "Integrations of type 'AWS_PROXY' currently only supports Lambda function and Firehose stream invocations."
        )


def _check_template(template: str | None) -> None:
    if template and not mock.is_plain(template):
        raise NotImplementedException("Mapping templates with Velocity's $ or # are not built.")
