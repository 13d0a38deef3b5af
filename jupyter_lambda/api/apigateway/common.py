"""What the modules of API Gateway share: documents by id, and pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.paging import page_of
from jupyter_lambda.errors import NotFoundException
from jupyter_lambda.store.http import Document, PartChange

#: Kinds of parts → the parameter that is their id, and what AWS calls them where there is none.
_IDS = {
    "resource": ("resourceId", "Invalid Resource identifier specified"),
    "deployment": ("deploymentId", "Invalid Deployment identifier specified"),
    "stage": ("stageName", "Invalid stage identifier specified"),
    "authorizer": ("authorizerId", "Invalid Authorizer identifier specified"),
}
_PAGE_ITEMS, _PAGE_MAX_ITEMS = 25, 500


def api_of(call: Call) -> Document:
    """The API that a call is about.

    Raises:
        NotFoundException: There is none of this id.
    """
    api_id: str = call.params["restApiId"]
    found = call.triggers.apis.store.api("rest", api_id)
    if found is None:
        raise NotFoundException(
            f"Invalid API identifier specified {call.plane.account.account_id}:{api_id}",
        )
    return found


def part_of(call: Call, kind: str) -> Document:
    """The resource, stage … that a call is about.

    Raises:
        NotFoundException: No such API, or no such part of it.
    """
    api_of(call)
    parameter, text = _IDS[kind]
    found = call.triggers.apis.store.part(call.params["restApiId"], kind, call.params[parameter])
    if found is None:
        raise NotFoundException(text)
    return found


def parts_of(call: Call, kind: str) -> Sequence[Document]:
    """All of an API's parts of a kind, in the order in which they were made."""
    return call.triggers.apis.store.parts(call.params["restApiId"], kind)


def method_of(call: Call, resource: Document) -> Document:
    """The method that a call is about.

    Raises:
        NotFoundException: The resource has none of this name.
    """
    found: Document | None = resource["resourceMethods"].get(call.params["httpMethod"])
    if found is None:
        raise NotFoundException("Invalid Method identifier specified")
    return found


def integration_of(call: Call, resource: Document) -> Document:
    """The integration that a call is about.

    Raises:
        NotFoundException: The method has none.
    """
    found: Document | None = method_of(call, resource).get("methodIntegration")
    if found is None:
        raise NotFoundException("No integration defined for method")
    return found


def paged(call: Call, items: Sequence[Document], key: str) -> Mapping[str, Any]:
    """One page of items, as ``limit`` and ``position`` ask for."""
    limit = call.params.get("limit") or _PAGE_ITEMS
    found, position = page_of(items, key, call.params.get("position"), max(1, min(limit, _PAGE_MAX_ITEMS)))
    return {"items": found, "position": position}


async def save(call: Call, changes: Iterable[PartChange], api: Document | None = None) -> None:
    """Write changes of an API."""
    await call.triggers.apis.put("rest", call.params["restApiId"], api, changes)


async def save_resource(call: Call, resource: Document) -> None:
    """Write one resource."""
    await save(call, [PartChange("resource", resource["id"], resource)])
