"""Deployments of HTTP APIs: what an API was when it was deployed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.gateway import given, new_id, public
from jupyter_lambda.errors import BadRequestException, NotFoundException
from jupyter_lambda.store.http import PartChange

from .common import api_of, listed, new_deployment, part_of, save


async def create_deployment(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "CreateDeployment"."""
    params, apis = call.params, call.triggers.apis
    async with apis.lock(params["ApiId"]):
        api_of(call)
        if not apis.store.parts(params["ApiId"], "route"):
            raise BadRequestException("At least one route is required before deploying the Api.")
        deployment = new_deployment(call, new_id(6)) | given(call, "Description")
        changes = [PartChange("deployment", deployment["DeploymentId"], deployment)]
        name = params.get("StageName")
        if name is not None:
            stage = apis.store.part(params["ApiId"], "stage", name)
            if stage is None:
                raise NotFoundException(f"Invalid stage identifier specified {name}")
            if stage["AutoDeploy"]:
                raise BadRequestException(f"Stage {name} has AutoDeploy enabled: it deploys by itself.")
            changed = {"DeploymentId": deployment["DeploymentId"], "LastUpdatedDate": call.service.clock()}
            changes.append(PartChange("stage", name, stage | changed))
        await save(call, changes)
    return public(deployment)


async def get_deployment(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "GetDeployment"."""
    return public(part_of(call, "deployment"))


async def get_deployments(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "GetDeployments"."""
    return listed(call, "deployment")


async def update_deployment(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "UpdateDeployment"."""
    async with call.triggers.apis.lock(call.params["ApiId"]):
        deployment = part_of(call, "deployment") | given(call, "Description")
        await save(call, [PartChange("deployment", deployment["DeploymentId"], deployment)])
    return public(deployment)


async def delete_deployment(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "DeleteDeployment"."""
    async with call.triggers.apis.lock(call.params["ApiId"]):
        deployment_id = part_of(call, "deployment")["DeploymentId"]
        for stage in call.triggers.apis.store.parts(call.params["ApiId"], "stage"):
            if stage.get("DeploymentId") == deployment_id:
                raise BadRequestException("Active stages pointing to this deployment must be moved or deleted")
        await save(call, [PartChange("deployment", deployment_id, None)])
    return {}
