"""Authorizers of HTTP APIs: JWT, and functions (REQUEST)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.gateway import given, new_id
from jupyter_lambda.errors import BadRequestException, ConflictException
from jupyter_lambda.store.http import Document, PartChange
from jupyter_lambda.triggers.sites import jwt
from jupyter_lambda.triggers.sites.http_authorization import TTL_DEFAULT_S

from .common import api_of, listed, part_of, save

WITHOUT_EFFECT = {
    "CreateAuthorizer": {"IdentityValidationExpression": "as on AWS: HTTP APIs don't use it"},
    "UpdateAuthorizer": {"IdentityValidationExpression": "as for CreateAuthorizer"},
}
_MEMBERS = (
    "AuthorizerCredentialsArn",
    "AuthorizerPayloadFormatVersion",
    "AuthorizerResultTtlInSeconds",
    "AuthorizerType",
    "AuthorizerUri",
    "EnableSimpleResponses",
    "IdentitySource",
    "JwtConfiguration",
    "Name",
)
_SOURCES = ("$request.header.", "$request.querystring.", "$context.", "$stageVariables.")


async def create_authorizer(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "CreateAuthorizer"."""
    async with call.triggers.apis.lock(call.params["ApiId"]):
        api_of(call)
        authorizer = {"AuthorizerId": new_id(6), **given(call, *_MEMBERS)}
        if authorizer["AuthorizerType"] == "REQUEST":
            authorizer.setdefault("AuthorizerResultTtlInSeconds", TTL_DEFAULT_S if authorizer["IdentitySource"] else 0)
        _check(call, authorizer)
        await save(call, [PartChange("authorizer", authorizer["AuthorizerId"], authorizer)])
    return authorizer


async def get_authorizer(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "GetAuthorizer"."""
    return part_of(call, "authorizer")


async def get_authorizers(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "GetAuthorizers"."""
    return listed(call, "authorizer")


async def update_authorizer(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "UpdateAuthorizer"."""
    async with call.triggers.apis.lock(call.params["ApiId"]):
        authorizer = part_of(call, "authorizer") | given(call, *_MEMBERS)
        _check(call, authorizer)
        await save(call, [PartChange("authorizer", authorizer["AuthorizerId"], authorizer)])
    return authorizer


async def delete_authorizer(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "DeleteAuthorizer"."""
    async with call.triggers.apis.lock(call.params["ApiId"]):
        authorizer_id = part_of(call, "authorizer")["AuthorizerId"]
        for route in call.triggers.apis.store.parts(call.params["ApiId"], "route"):
            if route.get("AuthorizerId") == authorizer_id:
                raise ConflictException(
                    f"Cannot delete authorizer '{authorizer_id}', it is referenced in route: {route['RouteKey']}"
                )
        await save(call, [PartChange("authorizer", authorizer_id, None)])
    return {}


async def reset_authorizers_cache(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "ResetAuthorizersCache"."""
    part_of(call, "stage")
    call.triggers.apis.authorizers.forget(call.params["ApiId"], call.params["StageName"])
    return {}


def _check(call: Call, authorizer: Document) -> None:
    for other in call.triggers.apis.store.parts(call.params["ApiId"], "authorizer"):
        if other["AuthorizerId"] != authorizer["AuthorizerId"] and other["Name"] == authorizer["Name"]:
            raise ConflictException(f"Authorizer with name {authorizer['Name']} already exists for this API")
    for source in authorizer.get("IdentitySource") or ():
        if not source.startswith(_SOURCES):
            raise BadRequestException(f"Invalid identity source: {source[:128]}")
    if authorizer["AuthorizerType"] == "JWT":
        _check_jwt(authorizer)
        return
    if ":function:" not in (authorizer.get("AuthorizerUri") or ""):
        raise BadRequestException("AuthorizerUri must be the URI of a Lambda function for REQUEST authorizers.")
    version = authorizer.get("AuthorizerPayloadFormatVersion")
    if version not in ("1.0", "2.0"):
        raise BadRequestException("AuthorizerPayloadFormatVersion is a required parameter for REQUEST authorizers.")
    if authorizer.get("EnableSimpleResponses") and version == "1.0":
        raise BadRequestException("EnableSimpleResponses can't be used with payload format version 1.0.")
    if authorizer.get("AuthorizerResultTtlInSeconds") and not authorizer.get("IdentitySource"):
        raise BadRequestException("An identity source is required where results are cached.")


def _check_jwt(authorizer: Document) -> None:
    configuration = authorizer.get("JwtConfiguration") or {}
    issuer, sources = configuration.get("Issuer") or "", authorizer.get("IdentitySource") or ()
    if not issuer.startswith(("https://", "http://")):
        raise BadRequestException("Invalid issuer: JwtConfiguration.Issuer must be a URL")
    if not configuration.get("Audience"):
        raise BadRequestException("Invalid audience: JwtConfiguration.Audience must have at least one entry")
    if len(sources) != 1:
        raise BadRequestException("A JWT authorizer must have exactly one identity source.")
    if not jwt.available():
        raise BadRequestException(jwt.EXTRA)
