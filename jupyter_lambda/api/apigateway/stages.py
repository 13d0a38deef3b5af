"""Stages of REST APIs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.gateway import given
from jupyter_lambda.errors import BadRequestException, ConflictException, NotImplementedException
from jupyter_lambda.store.http import Document, PartChange

from .common import api_of, part_of, parts_of, save
from .patches import Kind, apply, read
from .stage_names import check_stage_name

WITHOUT_EFFECT = {
    "CreateStage": {
        "cacheClusterEnabled": "answers are not cached",
        "cacheClusterSize": "answers are not cached",
        "documentationVersion": "there is no documentation",
        "tracingEnabled": "there is no X-Ray",
    }
}
_MEMBERS: Mapping[str, Kind] = {
    "description": "text",
    "deploymentId": "text",
    "clientCertificateId": "text",
    "cacheClusterEnabled": "boolean",
    "cacheClusterSize": "text",
    "documentationVersion": "text",
    "tracingEnabled": "boolean",
    "variables": "map",
    "accessLogSettings": "map",
}
#: Ends of a patch's path → member of a method's settings, and its kind. Source: API Reference, "UpdateStage".
_SETTINGS = {
    "metrics/enabled": ("metricsEnabled", "boolean"),
    "logging/dataTrace": ("dataTraceEnabled", "boolean"),
    "logging/loglevel": ("loggingLevel", "text"),
    "throttling/burstLimit": ("throttlingBurstLimit", "integer"),
    "throttling/rateLimit": ("throttlingRateLimit", "number"),
    "caching/enabled": ("cachingEnabled", "boolean"),
    "caching/ttlInSeconds": ("cacheTtlInSeconds", "integer"),
    "caching/dataEncrypted": ("cacheDataEncrypted", "boolean"),
    "caching/requireAuthorizationForCacheControl": ("requireAuthorizationForCacheControl", "boolean"),
    "caching/unauthorizedCacheControlHeaderStrategy": ("unauthorizedCacheControlHeaderStrategy", "text"),
}


async def create_stage(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "CreateStage"."""
    params = call.params
    if params.get("canarySettings"):
        raise NotImplementedException("Canary releases (canarySettings) are not built.")
    check_stage_name(params["stageName"])
    async with call.triggers.apis.lock(params["restApiId"]):
        api_of(call)
        if call.triggers.apis.store.part(params["restApiId"], "stage", params["stageName"]) is not None:
            raise ConflictException("Stage already exists")
        now_s = int(call.service.clock())
        members = ("stageName", "deploymentId", "description", "variables", "documentationVersion", "tags")
        stage = {
            "cacheClusterEnabled": bool(params.get("cacheClusterEnabled")),
            "cacheClusterStatus": "NOT_AVAILABLE",
            "tracingEnabled": bool(params.get("tracingEnabled")),
            "methodSettings": {},
            **given(call, *members),
            "createdDate": now_s,
            "lastUpdatedDate": now_s,
        }
        _check(call, stage)
        await save(call, [PartChange("stage", stage["stageName"], stage)])
    return stage


async def get_stage(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetStage"."""
    return part_of(call, "stage")


async def get_stages(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetStages"."""
    api_of(call)
    wanted = call.params.get("deploymentId")
    return {"item": [one for one in parts_of(call, "stage") if wanted in (None, one.get("deploymentId"))]}


async def update_stage(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "UpdateStage"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        stage = part_of(call, "stage")
        for operation in call.params.get("patchOperations") or ():
            path = (operation.get("path") or "").removeprefix("/")
            if path.startswith("canarySettings"):
                raise NotImplementedException("Canary releases (canarySettings) are not built.")
            if path.partition("/")[0] in _MEMBERS:
                stage = _patched(stage, operation, path)
            else:
                _patch_setting(stage, operation, path)
        stage["lastUpdatedDate"] = int(call.service.clock())
        _check(call, stage)
        await save(call, [PartChange("stage", stage["stageName"], stage)])
    return stage


async def delete_stage(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "DeleteStage"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        stage = part_of(call, "stage")
        await save(call, [PartChange("stage", stage["stageName"], None)])
    return {}


async def flush_stage_authorizers_cache(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "FlushStageAuthorizersCache"."""
    part_of(call, "stage")
    call.triggers.apis.authorizers.forget(call.params["restApiId"], call.params["stageName"])
    return {}


def _patched(stage: Document, operation: Mapping[str, Any], path: str) -> Document:
    if path in ("variables", "accessLogSettings") and operation.get("op") == "remove":
        return {name: value for name, value in stage.items() if name != path}
    return apply(stage, [operation], _MEMBERS)


def _patch_setting(stage: Document, operation: Mapping[str, Any], path: str) -> None:
    """One setting of a method, "~1pets/GET/throttling/rateLimit", or all of them, "~1pets/GET"."""
    head, _, name = path.rpartition("/")
    key, _, group = head.rpartition("/")
    setting = _SETTINGS.get(f"{group}/{name}")
    settings = stage.setdefault("methodSettings", {})
    if setting is None or "/" not in key:
        if operation.get("op") == "remove" and settings.pop(path, None) is not None:
            return
        raise BadRequestException(f"Invalid patch path  '/{path[:128]}' specified.")
    member, kind = setting
    found = settings.setdefault(key, {})
    if operation.get("op") == "remove":
        found.pop(member, None)
    else:
        found[member] = read(operation.get("value") or "", kind, f"/{path}")


def _check(call: Call, stage: Document) -> None:
    deployment_id = stage.get("deploymentId") or ""
    if call.triggers.apis.store.part(call.params["restApiId"], "deployment", deployment_id) is None:
        raise BadRequestException("Deployment id does not exist")
