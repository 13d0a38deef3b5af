"""API keys."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.gateway import given, new_id
from jupyter_lambda.errors import BadRequestException, ConflictException, NotFoundException, NotImplementedException
from jupyter_lambda.store.http import ACCOUNT, Document, PartChange

from .common import paged
from .patches import Kind, apply

WITHOUT_EFFECT = {"CreateApiKey": {"generateDistinctId": "ids are always apart from values"}}
_MEMBERS: Mapping[str, Kind] = {"name": "text", "description": "text", "enabled": "boolean", "customerId": "text"}
_LETTERS = string.ascii_letters + string.digits
_VALUE_MIN_CHARS, _VALUE_MAX_CHARS = 20, 128


async def create_api_key(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "CreateApiKey"."""
    value = call.params.get("value") or "".join(secrets.choice(_LETTERS) for _ in range(40))
    if len(value) < _VALUE_MIN_CHARS:
        raise BadRequestException("API Key value should be at least 20 characters")
    if len(value) > _VALUE_MAX_CHARS:
        raise BadRequestException("API Key value exceeds maximum size of 128 characters")
    if call.params.get("stageKeys"):
        raise NotImplementedException("stageKeys of API keys is not built: it came before usage plans.")
    now_s = int(call.service.clock())
    async with call.triggers.apis.lock(ACCOUNT):
        if any(key["value"] == value for key in call.triggers.apis.store.parts(ACCOUNT, "api_key")):
            raise ConflictException("API Key already exists")
        key = {
            "enabled": False,
            **given(call, *_MEMBERS, "tags"),
            "id": new_id(10),
            "value": value,
            "createdDate": now_s,
            "lastUpdatedDate": now_s,
            "stageKeys": [],
        }
        await _save(call, key["id"], key)
    return key


async def get_api_key(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetApiKey"."""
    return _shown(_key(call), whole=bool(call.params.get("includeValue")))


async def get_api_keys(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetApiKeys"."""
    beginning, whole = call.params.get("nameQuery") or "", bool(call.params.get("includeValues"))
    customer_id = call.params.get("customerId")
    keys = [
        _shown(key, whole=whole)
        for key in call.triggers.apis.store.parts(ACCOUNT, "api_key")
        if key.get("name", "").startswith(beginning) and customer_id in (None, key.get("customerId"))
    ]
    return paged(call, keys, "id")


async def update_api_key(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "UpdateApiKey"."""
    async with call.triggers.apis.lock(ACCOUNT):
        key = apply(_key(call), call.params.get("patchOperations") or (), _MEMBERS)
        key["lastUpdatedDate"] = int(call.service.clock())
        await _save(call, key["id"], key)
    return _shown(key, whole=False)


async def delete_api_key(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "DeleteApiKey"."""
    async with call.triggers.apis.lock(ACCOUNT):
        await _save(call, _key(call)["id"], None)
    return {}


def _key(call: Call) -> Document:
    found = call.triggers.apis.store.part(ACCOUNT, "api_key", call.params["apiKey"])
    if found is None:
        raise NotFoundException("Invalid API Key identifier specified")
    return found


def _shown(key: Document, *, whole: bool) -> Document:
    return key if whole else {name: value for name, value in key.items() if name != "value"}


async def _save(call: Call, key_id: str, key: Document | None) -> None:
    await call.triggers.apis.put("rest", ACCOUNT, None, [PartChange("api_key", key_id, key)])
