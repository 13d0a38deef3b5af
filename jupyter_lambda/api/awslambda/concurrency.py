"""Reserved concurrency of functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine import functions


async def put_function_concurrency(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "PutFunctionConcurrency"."""
    name, _ = call.named()
    reserved = call.params["ReservedConcurrentExecutions"]
    await functions.reserve(call.plane, name, reserved)
    return {"ReservedConcurrentExecutions": reserved}


async def get_function_concurrency(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "GetFunctionConcurrency"."""
    name, _ = call.named()
    return {"ReservedConcurrentExecutions": call.plane.function(name).reserved_concurrency}


async def delete_function_concurrency(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "DeleteFunctionConcurrency"."""
    name, _ = call.named()
    await functions.reserve(call.plane, name, None)
    return {}
