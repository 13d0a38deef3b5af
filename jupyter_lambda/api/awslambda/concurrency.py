"""Reserved concurrency of functions, provisioned concurrency of versions and aliases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine import concurrency, provisioned
from jupyter_lambda.engine.control import page_size, read_marker, write_marker
from jupyter_lambda.errors import InvalidParameterValueException


async def put_function_concurrency(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "PutFunctionConcurrency"."""
    name, _ = call.named()
    reserved = call.params["ReservedConcurrentExecutions"]
    await concurrency.reserve(call.plane, name, reserved)
    return {"ReservedConcurrentExecutions": reserved}


async def get_function_concurrency(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "GetFunctionConcurrency"."""
    name, _ = call.named()
    return {"ReservedConcurrentExecutions": call.plane.function(name).reserved_concurrency}


async def delete_function_concurrency(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "DeleteFunctionConcurrency"."""
    name, _ = call.named()
    await concurrency.reserve(call.plane, name, None)
    return {}


async def put_provisioned_concurrency_config(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "PutProvisionedConcurrencyConfig"."""
    name, qualifier = _qualified(call)
    requested = call.params["ProvisionedConcurrentExecutions"]
    return _allocation(await provisioned.put(call.plane, name, qualifier, requested))


async def get_provisioned_concurrency_config(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "GetProvisionedConcurrencyConfig"."""
    return _allocation(provisioned.get(call.plane, *_qualified(call)))


async def delete_provisioned_concurrency_config(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "DeleteProvisionedConcurrencyConfig"."""
    await provisioned.delete(call.plane, *_qualified(call))
    return {}


async def list_provisioned_concurrency_configs(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "ListProvisionedConcurrencyConfigs"."""
    name, _ = call.named()
    size = page_size(call.params.get("MaxItems"))
    after = read_marker(call.params.get("Marker"), str)
    left = [a for a in provisioned.listed(call.plane, name) if after is None or a.config.qualifier > after[0]]
    account = call.plane.account
    return {
        "ProvisionedConcurrencyConfigs": [
            {"FunctionArn": account.function_arn(name, a.config.qualifier), **_allocation(a)} for a in left[:size]
        ],
        "NextMarker": write_marker(left[size - 1].config.qualifier) if len(left) > size else None,
    }


def _qualified(call: Call) -> tuple[str, str]:
    name, qualifier = call.named()
    if not qualifier:
        raise InvalidParameterValueException("The function resource provided must be an alias or a published version.")
    return name, qualifier


def _allocation(allocation: provisioned.Allocation) -> dict[str, Any]:
    config = allocation.config
    return {
        "RequestedProvisionedConcurrentExecutions": config.requested,
        "AvailableProvisionedConcurrentExecutions": allocation.available,
        "AllocatedProvisionedConcurrentExecutions": allocation.allocated,
        "Status": allocation.status,
        "StatusReason": allocation.reason,
        "LastModified": config.last_modified,
    }
