"""What the modules of API Gateway V2 share: documents by id, pages, saving, which deploys where a stage wants it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.gateway import new_id, public
from jupyter_lambda.api.paging import page_of
from jupyter_lambda.errors import BadRequestException, NotFoundException
from jupyter_lambda.store.http import Document, PartChange

#: Kinds of parts → member that is their id, and what AWS calls them where there is none.
IDS = {
    "route": ("RouteId", "Route"),
    "integration": ("IntegrationId", "Integration"),
    "authorizer": ("AuthorizerId", "Authorizer"),
    "deployment": ("DeploymentId", "deployment"),
    "stage": ("StageName", "stage"),
}
#: Kind → where a deployment keeps them.
DEPLOYED = {"route": "Routes", "integration": "Integrations", "authorizer": "Authorizers"}
_PAGE_ITEMS = 100


def api_of(call: Call) -> Document:
    """The API that a call is about.

    Raises:
        NotFoundException: There is none of this id.
    """
    api_id: str = call.params["ApiId"]
    found = call.triggers.apis.store.api("http", api_id)
    if found is None:
        raise NotFoundException(f"Invalid API identifier specified {call.plane.account.account_id}:{api_id}")
    return found


def part_of(call: Call, kind: str) -> Document:
    """The route, stage … that a call is about.

    Raises:
        NotFoundException: No such API, or no such part of it.
    """
    api_of(call)
    member, noun = IDS[kind]
    found = call.triggers.apis.store.part(call.params["ApiId"], kind, call.params[member])
    if found is None:
        raise NotFoundException(f"Invalid {noun} identifier specified {call.params[member]}")
    return found


def listed(call: Call, kind: str) -> Mapping[str, Any]:
    """One page of an API's parts, by id."""
    api_of(call)
    parts = call.triggers.apis.store.parts(call.params["ApiId"], kind)
    return paged(call, [public(part) for part in parts], IDS[kind][0])


def paged(call: Call, items: Sequence[Document], key: str) -> Mapping[str, Any]:
    """One page of items, as MaxResults and NextToken ask for.

    Raises:
        BadRequestException: One of them is no such thing.
    """
    asked = call.params.get("MaxResults")
    if asked is not None and not (asked.isascii() and asked.isdigit() and int(asked) > 0):
        raise BadRequestException("MaxResults must be a positive number")
    found, token = page_of(items, key, call.params.get("NextToken"), int(asked) if asked else _PAGE_ITEMS)
    return {"Items": found, "NextToken": token}


async def save(call: Call, changes: Iterable[PartChange], api: Document | None = None) -> None:
    """Write changes of an API; each stage that deploys by itself is given them as a new deployment.

    Args:
        api: The API's own document, where that changes.
    """
    changed = list(changes)
    apis, api_id = call.triggers.apis, call.params["ApiId"]
    if any(change.kind in DEPLOYED for change in changed):
        at_once = {change.part_id for change in changed if change.kind == "stage"}
        for stage in apis.store.parts(api_id, "stage"):
            if stage.get("AutoDeploy") and stage["StageName"] not in at_once:
                changed += deploy(call, stage, changed)
    await apis.put("http", api_id, api, changed)


def deploy(call: Call, stage: Document, changes: Sequence[PartChange]) -> list[PartChange]:
    """What makes a stage serve the API as it will be after these changes; its former own deployment goes."""
    apis, api_id = call.triggers.apis, call.params["ApiId"]
    deployment_id = new_id(6)
    deployment = new_deployment(call, deployment_id, changes) | {"AutoDeployed": True}
    message = f"Successfully deployed stage with deployment ID '{deployment_id}'"
    changed = stage | {
        "DeploymentId": deployment_id,
        "LastDeploymentStatusMessage": message,
        "LastUpdatedDate": call.service.clock(),
    }
    former_id = stage.get("DeploymentId")
    former = apis.store.part(api_id, "deployment", former_id) if former_id else None
    gone = [PartChange("deployment", former_id, None)] if former_id and former and former.get("AutoDeployed") else []
    return [
        PartChange("deployment", deployment_id, deployment),
        PartChange("stage", stage["StageName"], changed),
        *gone,
    ]


def new_deployment(call: Call, deployment_id: str, changes: Sequence[PartChange] = ()) -> Document:
    """A deployment of the API as it is, or will be after these changes."""
    return {
        "DeploymentId": deployment_id,
        "DeploymentStatus": "DEPLOYED",
        "AutoDeployed": False,
        "CreatedDate": call.service.clock(),
        "Snapshot": {name: _after(call, kind, changes) for kind, name in DEPLOYED.items()},
    }


def _after(call: Call, kind: str, changes: Sequence[PartChange]) -> list[Document]:
    member = IDS[kind][0]
    parts = {part[member]: part for part in call.triggers.apis.store.parts(call.params["ApiId"], kind)}
    for change in changes:
        if change.kind == kind:
            parts.pop(change.part_id, None)
            if change.body is not None:
                parts[change.part_id] = change.body
    return list(parts.values())
