"""Usage plans: which keys may use which stages, how fast and how often."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.api.gateway import given, new_id
from jupyter_lambda.errors import BadRequestException, ConflictException, NotFoundException, NotImplementedException
from jupyter_lambda.store.http import ACCOUNT, Document, PartChange

from .common import paged
from .patches import Kind, apply, read, unescape

_TEXTS: Mapping[str, Kind] = {"name": "text", "description": "text", "productCode": "text"}
_LIMITS = {"rateLimit": "number", "burstLimit": "integer", "limit": "integer", "offset": "integer", "period": "text"}
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


async def create_usage_plan(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "CreateUsagePlan"."""
    async with call.triggers.apis.lock(ACCOUNT):
        plan = {"id": new_id(6), "apiStages": [], **given(call, *_TEXTS, "apiStages", "throttle", "quota", "tags")}
        return await _save(call, plan)


async def get_usage_plan(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetUsagePlan"."""
    return _shown(_plan(call))


async def get_usage_plans(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetUsagePlans"."""
    key_id = call.params.get("keyId")
    plans = call.triggers.apis.store.parts(ACCOUNT, "usage_plan")
    return paged(call, [_shown(plan) for plan in plans if key_id is None or key_id in plan.get("Keys", ())], "id")


async def update_usage_plan(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "UpdateUsagePlan"."""
    async with call.triggers.apis.lock(ACCOUNT):
        plan = _plan(call)
        for operation in call.params.get("patchOperations") or ():
            plan = _patched(plan, operation)
        return await _save(call, plan, known=_plan(call)["apiStages"])


async def delete_usage_plan(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "DeleteUsagePlan"."""
    async with call.triggers.apis.lock(ACCOUNT):
        plan = _plan(call)
        if plan["apiStages"]:
            raise ConflictException("Usage plan has API stages associated with it; remove them first")
        await call.triggers.apis.put("rest", ACCOUNT, None, [PartChange("usage_plan", plan["id"], None)])
    return {}


async def create_usage_plan_key(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "CreateUsagePlanKey"."""
    if call.params["keyType"] != "API_KEY":
        raise BadRequestException("Invalid keyType: must be API_KEY")
    async with call.triggers.apis.lock(ACCOUNT):
        plan, key = _plan(call), _key(call, call.params["keyId"])
        if key["id"] in plan.get("Keys", ()):
            raise ConflictException("Usage plan key already exists: " + key["id"])
        await _write(call, plan | {"Keys": [*plan.get("Keys", ()), key["id"]]})
    return _member(key)


async def get_usage_plan_key(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetUsagePlanKey"."""
    return _member(_key_of(call, _plan(call)))


async def get_usage_plan_keys(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetUsagePlanKeys"."""
    plan = _plan(call)
    keys = [key for key in call.triggers.apis.store.parts(ACCOUNT, "api_key") if key["id"] in plan.get("Keys", ())]
    return paged(call, [_member(key) for key in keys], "id")


async def delete_usage_plan_key(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "DeleteUsagePlanKey"."""
    async with call.triggers.apis.lock(ACCOUNT):
        plan = _plan(call)
        key_id = _key_of(call, plan)["id"]
        await _write(call, plan | {"Keys": [one for one in plan["Keys"] if one != key_id]})
    return {}


async def get_usage(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetUsage". Of each key and day: used, and left of the limit."""
    plan, params = _plan(call), call.params
    first, last = params["startDate"], params["endDate"]
    if not (_DAY.fullmatch(first) and _DAY.fullmatch(last)):
        raise BadRequestException("startDate and endDate must be days, YYYY-MM-DD")
    limit = (plan.get("quota") or {}).get("limit", 0)
    found: dict[str, list[list[int]]] = {}
    for key_id, _, used in await call.triggers.apis.store.usage(plan["id"], first, last):
        if params.get("keyId") in (None, key_id):
            found.setdefault(key_id, []).append([used, max(0, limit - used)])
    return {"usagePlanId": plan["id"], "startDate": first, "endDate": last, "items": found}


def _plan(call: Call) -> Document:
    found = call.triggers.apis.store.part(ACCOUNT, "usage_plan", call.params["usagePlanId"])
    if found is None:
        raise NotFoundException("Invalid Usage Plan ID specified")
    return found


def _key(call: Call, key_id: str) -> Document:
    found = call.triggers.apis.store.part(ACCOUNT, "api_key", key_id)
    if found is None:
        raise NotFoundException("Invalid API Key identifier specified")
    return found


def _key_of(call: Call, plan: Document) -> Document:
    if call.params["keyId"] not in plan.get("Keys", ()):
        raise NotFoundException("Invalid API Key identifier specified")
    return _key(call, call.params["keyId"])


def _member(key: Document) -> Document:
    return {"id": key["id"], "type": "API_KEY", "value": key["value"], "name": key.get("name")}


def _shown(plan: Document) -> Document:
    return {name: value for name, value in plan.items() if name != "Keys"}


def _patched(plan: Document, operation: Mapping[str, Any]) -> Document:
    """One operation: on a text, a limit ("/throttle/rateLimit") or a stage ("/apiStages", value "API:STAGE")."""
    path, value = operation.get("path") or "", operation.get("value") or ""
    name, _, item = path[1:].partition("/")
    if name == "apiStages":
        return plan | {"apiStages": _patched_stages(plan["apiStages"], operation, item)}
    if name not in ("throttle", "quota"):
        return apply(plan, [operation], _TEXTS)
    if operation.get("op") == "remove":
        return {member: found for member, found in plan.items() if member != name}
    if item not in _LIMITS:
        raise BadRequestException(f"Invalid patch path  '{path[:128]}' specified.")
    return plan | {name: {**(plan.get(name) or {}), item: read(value, _LIMITS[item], path)}}


def _patched_stages(stages: list[Document], operation: Mapping[str, Any], item: str) -> list[Document]:
    value = operation.get("value") or ""
    if not item:
        api_id, _, stage = value.partition(":")
        kept = [one for one in stages if (one["apiId"], one["stage"]) != (api_id, stage)]
        return kept if operation.get("op") == "remove" else [*kept, {"apiId": api_id, "stage": stage}]
    # API:STAGE/throttle/~1pets/GET/rateLimit
    found = re.fullmatch(r"([^:]+):([^/]+)/throttle/(.+)/(rateLimit|burstLimit)", item)
    if found is None:
        raise BadRequestException(f"Invalid patch path  '/apiStages/{item[:128]}' specified.")
    changed = []
    for one in stages:
        if (one["apiId"], one["stage"]) == (found[1], found[2]):
            limits = dict(one.get("throttle") or {})
            key = unescape(found[3])
            limits[key] = {**limits.get(key, {}), found[4]: read(value, _LIMITS[found[4]], f"/apiStages/{item}")}
            one = {**one, "throttle": limits}
        changed.append(one)
    return changed


async def _save(call: Call, plan: Document, *, known: Sequence[Document] = ()) -> Document:
    """Check and write.

    Args:
        known: Stages that the plan had before; they may be gone by now.
    """
    store = call.triggers.apis.store
    for one in plan["apiStages"]:
        api_id, stage = one.get("apiId") or "", one.get("stage") or ""
        there = store.kind_of(api_id) == "rest" and store.part(api_id, "stage", stage) is not None
        if not there and all((was["apiId"], was["stage"]) != (api_id, stage) for was in known):
            raise NotFoundException(f"API Stage not found: {api_id}:{stage}")
    quota = plan.get("quota")
    if quota:
        if quota.get("limit", 0) < 1 or quota.get("period") not in ("DAY", "WEEK", "MONTH"):
            raise BadRequestException("Usage Plan quota must have a limit of at least 1 and a period: DAY, WEEK, MONTH")
        if quota.get("offset"):
            raise NotImplementedException("The offset of a quota is not built.")
    await _write(call, plan)
    return _shown(plan)


async def _write(call: Call, plan: Document) -> None:
    await call.triggers.apis.put("rest", ACCOUNT, None, [PartChange("usage_plan", plan["id"], plan)])
