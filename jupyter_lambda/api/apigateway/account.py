"""The account's settings, as far as tools ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.store.http import ACCOUNT, Document, PartChange

from .patches import apply

_LIMITS = {"throttleSettings": {"burstLimit": 5000, "rateLimit": 10000.0}, "features": [], "apiKeyVersion": "4"}


async def get_account(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetAccount"."""
    return {**_LIMITS, **_own(call)}


async def update_account(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "UpdateAccount". The role is kept; nothing is logged in its name."""
    async with call.triggers.apis.lock(ACCOUNT):
        changed = apply(_own(call), call.params.get("patchOperations") or (), {"cloudwatchRoleArn": "text"})
        await call.triggers.apis.put("rest", ACCOUNT, None, [PartChange("account", "settings", changed)])
    return {**_LIMITS, **changed}


def _own(call: Call) -> Document:
    return call.triggers.apis.store.part(ACCOUNT, "account", "settings") or {}
