"""Deployments of REST APIs: what an API was when it was deployed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.gateway import given, new_id, public
from jupyter_lambda.errors import BadRequestException, NotFoundException, NotImplementedException
from jupyter_lambda.store.http import Document, PartChange

from .common import api_of, paged, part_of, parts_of, save
from .patches import apply
from .stage_names import check_stage_name

WITHOUT_EFFECT = {
    "CreateDeployment": {
        "cacheClusterEnabled": "answers are not cached",
        "cacheClusterSize": "answers are not cached",
        "tracingEnabled": "there is no X-Ray",
    }
}


async def create_deployment(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "CreateDeployment"."""
    params = call.params
    if params.get("canarySettings"):
        raise NotImplementedException("Canary releases (canarySettings) are not built.")
    async with call.triggers.apis.lock(params["restApiId"]):
        api_of(call)
        resources = parts_of(call, "resource")
        methods = [method for one in resources for method in one["resourceMethods"].values()]
        if not methods:
            raise BadRequestException("The REST API doesn't contain any methods")
        if any("methodIntegration" not in method for method in methods):
            raise NotFoundException("No integration defined for method")
        deployment: Document = {
            "id": new_id(6),
            **given(call, "description"),
            "createdDate": int(call.service.clock()),
            "Snapshot": {"Resources": list(resources), "Authorizers": list(parts_of(call, "authorizer"))},
        }
        changes = [PartChange("deployment", deployment["id"], deployment)]
        if params.get("stageName"):
            changes.append(_stage(call, deployment["id"]))
        await save(call, changes)
    return public(deployment)


def _stage(call: Call, deployment_id: str) -> PartChange:
    """The stage that is deployed to, made where there is none."""
    name, now_s = call.params["stageName"], int(call.service.clock())
    check_stage_name(name)
    former = call.triggers.apis.store.part(call.params["restApiId"], "stage", name) or {
        "stageName": name,
        "createdDate": now_s,
        "cacheClusterEnabled": False,
        "cacheClusterStatus": "NOT_AVAILABLE",
        "methodSettings": {},
        "tracingEnabled": False,
    }
    stage = former | {"deploymentId": deployment_id, "lastUpdatedDate": now_s}
    if call.params.get("variables"):
        stage["variables"] = {**(former.get("variables") or {}), **call.params["variables"]}
    if call.params.get("stageDescription"):
        stage["description"] = call.params["stageDescription"]
    return PartChange("stage", name, stage)


async def get_deployment(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetDeployment"."""
    deployment = part_of(call, "deployment")
    if "apisummary" not in (call.params.get("embed") or ()):
        return public(deployment)
    summary = {
        resource["path"]: {
            verb: {"authorizationType": method["authorizationType"], "apiKeyRequired": method["apiKeyRequired"]}
            for verb, method in resource["resourceMethods"].items()
        }
        for resource in deployment["Snapshot"]["Resources"]
        if resource["resourceMethods"]
    }
    return {**public(deployment), "apiSummary": summary}


async def get_deployments(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetDeployments"."""
    api_of(call)
    return paged(call, [public(deployment) for deployment in parts_of(call, "deployment")], "id")


async def update_deployment(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "UpdateDeployment"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        operations = call.params.get("patchOperations") or ()
        deployment = apply(part_of(call, "deployment"), operations, {"description": "text"})
        await save(call, [PartChange("deployment", deployment["id"], deployment)])
    return public(deployment)


async def delete_deployment(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "DeleteDeployment"."""
    async with call.triggers.apis.lock(call.params["restApiId"]):
        deployment_id = part_of(call, "deployment")["id"]
        if any(stage.get("deploymentId") == deployment_id for stage in parts_of(call, "stage")):
            raise BadRequestException("Active stages pointing to this deployment must be moved or deleted")
        await save(call, [PartChange("deployment", deployment_id, None)])
    return {}
