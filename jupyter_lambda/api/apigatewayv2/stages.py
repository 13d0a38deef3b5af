"""Stages of HTTP APIs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.gateway import given
from jupyter_lambda.errors import BadRequestException, ConflictException, NotFoundException
from jupyter_lambda.store.http import Document, PartChange
from jupyter_lambda.triggers.sites.routes import DEFAULT

from .checks import check_key, check_stage_name
from .common import api_of, deploy, listed, part_of, save

_NO_LOG = "no access log is written; each invocation's record names its route"
WITHOUT_EFFECT = {
    "CreateStage": {"AccessLogSettings": _NO_LOG, "ClientCertificateId": "it is for WebSocket APIs"},
    "UpdateStage": {"AccessLogSettings": _NO_LOG, "ClientCertificateId": "it is for WebSocket APIs"},
}
_MEMBERS = (
    "AccessLogSettings",
    "AutoDeploy",
    "DefaultRouteSettings",
    "DeploymentId",
    "Description",
    "RouteSettings",
    "StageVariables",
)
_UNBOUND = {"DetailedMetricsEnabled": False}


async def create_stage(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "CreateStage"."""
    params = call.params
    check_stage_name(params["StageName"])
    async with call.triggers.apis.lock(params["ApiId"]):
        api_of(call)
        if call.triggers.apis.store.part(params["ApiId"], "stage", params["StageName"]) is not None:
            raise ConflictException("Stage already exists")
        now_s = call.service.clock()
        stage = {
            "StageName": params["StageName"],
            "AutoDeploy": False,
            "DefaultRouteSettings": _UNBOUND,
            "RouteSettings": {},
            "StageVariables": {},
            "CreatedDate": now_s,
            "LastUpdatedDate": now_s,
            **given(call, *_MEMBERS, "Tags"),
        }
        return await _save(call, stage, {})


async def get_stage(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "GetStage"."""
    return part_of(call, "stage")


async def get_stages(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "GetStages"."""
    return listed(call, "stage")


async def update_stage(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "UpdateStage". Maps and settings are merged, key by key."""
    async with call.triggers.apis.lock(call.params["ApiId"]):
        former = part_of(call, "stage")
        changed = given(call, *_MEMBERS)
        stage = former | changed | {"LastUpdatedDate": call.service.clock()}
        for member in ("StageVariables", "RouteSettings", "DefaultRouteSettings"):
            if member in changed:
                stage[member] = {**former.get(member, {}), **changed[member]}
        stage["StageVariables"] = {name: value for name, value in stage["StageVariables"].items() if value}
        return await _save(call, stage, former)


async def delete_stage(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "DeleteStage"."""
    async with call.triggers.apis.lock(call.params["ApiId"]):
        stage = part_of(call, "stage")
        changes = [PartChange("stage", stage["StageName"], None)]
        store = call.triggers.apis.store
        deployment = store.part(call.params["ApiId"], "deployment", stage.get("DeploymentId") or "")
        if deployment and deployment.get("AutoDeployed"):
            changes.append(PartChange("deployment", deployment["DeploymentId"], None))
        await save(call, changes)
    return {}


async def delete_route_settings(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "DeleteRouteSettings"."""
    async with call.triggers.apis.lock(call.params["ApiId"]):
        stage = part_of(call, "stage")
        if stage["RouteSettings"].pop(call.params["RouteKey"], None) is None:
            raise NotFoundException(f"Invalid route key specified {call.params['RouteKey']}")
        await save(call, [PartChange("stage", stage["StageName"], stage)])
    return {}


async def delete_access_log_settings(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "DeleteAccessLogSettings"."""
    async with call.triggers.apis.lock(call.params["ApiId"]):
        stage = part_of(call, "stage")
        stage.pop("AccessLogSettings", None)
        await save(call, [PartChange("stage", stage["StageName"], stage)])
    return {}


async def _save(call: Call, stage: Document, former: Document) -> Document:
    """Check, deploy where it deploys by itself, and write."""
    params, store = call.params, call.triggers.apis.store
    deployment_id = params.get("DeploymentId")
    if deployment_id:
        if stage["AutoDeploy"]:
            raise BadRequestException("DeploymentId can't be set for a stage with AutoDeploy enabled.")
        if store.part(params["ApiId"], "deployment", deployment_id) is None:
            raise NotFoundException(f"Invalid deployment identifier specified {deployment_id}")
    for key in stage["RouteSettings"]:
        if key != DEFAULT:
            check_key(key)
    if stage["AutoDeploy"] and not former.get("AutoDeploy"):
        changes = deploy(call, stage, ())
        stage = next(change.body for change in changes if change.kind == "stage" and change.body)
    else:
        changes = [PartChange("stage", stage["StageName"], stage)]
    await save(call, changes)
    return stage
