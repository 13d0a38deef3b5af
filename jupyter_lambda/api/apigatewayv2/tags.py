"""Tags of HTTP APIs and their stages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.errors import BadRequestException, NotFoundException
from jupyter_lambda.store.http import Document, PartChange

_ARN = re.compile(r"arn:[^:]+:apigateway:(?P<region>[^:]*)::/apis/(?P<api>[^/]+)(?:/stages/(?P<stage>[^/]+))?")


async def tag_resource(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "TagResource"."""
    added = call.params.get("Tags") or {}
    await _change(call, lambda tags: {**tags, **added})
    return {}


async def untag_resource(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "UntagResource"."""
    gone = call.params["TagKeys"]
    await _change(call, lambda tags: {name: value for name, value in tags.items() if name not in gone})
    return {}


async def get_tags(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway V2 API Reference, "GetTags"."""
    _, _, document = _resource(call)
    return {"Tags": document.get("Tags", {})}


async def _change(call: Call, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
    api_id, _, _ = _resource(call)
    apis = call.triggers.apis
    async with apis.lock(api_id):
        _, stage, document = _resource(call)
        document["Tags"] = dict(change(document.get("Tags", {})))
        if stage is None:
            await apis.put("http", api_id, document)
        else:
            await apis.put("http", api_id, None, [PartChange("stage", stage, document)])


def _resource(call: Call) -> tuple[str, str | None, Document]:
    """API, stage if it is one, and the document that has the tags."""
    arn, store = call.params["ResourceArn"], call.triggers.apis.store
    found = _ARN.fullmatch(arn)
    if found is None:
        raise BadRequestException(f"Invalid ARN specified in the request: {arn[:256]}")
    stage = found["stage"]
    document = store.part(found["api"], "stage", stage) if stage else store.api("http", found["api"])
    if document is None or store.kind_of(found["api"]) != "http":
        raise NotFoundException(f"Invalid API identifier specified {call.plane.account.account_id}:{found['api']}")
    return found["api"], stage, document
