"""Tags of REST APIs and their stages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.errors import BadRequestException, NotFoundException
from jupyter_lambda.store.http import Document, PartChange

_ARN = re.compile(r"arn:[^:]+:apigateway:[^:]*::/restapis/(?P<api>[^/]+)(?:/stages/(?P<stage>[^/]+))?")


async def tag_resource(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "TagResource"."""
    await _change(call, lambda tags: {**tags, **call.params["tags"]})
    return {}


async def untag_resource(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "UntagResource"."""
    gone = call.params["tagKeys"]
    await _change(call, lambda tags: {name: value for name, value in tags.items() if name not in gone})
    return {}


async def get_tags(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetTags"."""
    return {"tags": _resource(call)[2].get("tags") or {}}


async def _change(call: Call, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
    api_id = _resource(call)[0]
    async with call.triggers.apis.lock(api_id):
        _, stage, document = _resource(call)
        document["tags"] = dict(change(document.get("tags") or {}))
        changes = [PartChange("stage", stage, document)] if stage else []
        await call.triggers.apis.put("rest", api_id, None if stage else document, changes)


def _resource(call: Call) -> tuple[str, str | None, Document]:
    """API, stage if it is one, and the document that has the tags."""
    found = _ARN.fullmatch(call.params["resourceArn"])
    if found is None:
        raise BadRequestException("Invalid ARN specified in the request")
    api_id, stage, store = found["api"], found["stage"], call.triggers.apis.store
    document = store.api("rest", api_id)
    if document is not None and stage:
        document = store.part(api_id, "stage", stage)
    if document is None:
        raise NotFoundException("Invalid API identifier specified")
    return api_id, stage, document
