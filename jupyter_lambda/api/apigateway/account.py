"""The account's settings, as far as tools ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call


async def get_account(call: Call) -> Mapping[str, Any]:
    """Source: Amazon API Gateway API Reference, "GetAccount"."""
    return {"throttleSettings": {"burstLimit": 5000, "rateLimit": 10000.0}, "features": [], "apiKeyVersion": "4"}
