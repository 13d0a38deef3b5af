"""EventInvokeConfig: how asynchronous invocations are retried and where their results go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine import invoke_configs
from jupyter_lambda.engine.control import page_size, read_marker, write_marker
from jupyter_lambda.model.function import EventInvokeConfig


async def put_function_event_invoke_config(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "PutFunctionEventInvokeConfig"."""
    name, qualifier = call.named()
    return _config(call, await invoke_configs.put(call.plane, name, qualifier, _settings(call.params), keep=False))


async def update_function_event_invoke_config(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "UpdateFunctionEventInvokeConfig"."""
    name, qualifier = call.named()
    return _config(call, await invoke_configs.put(call.plane, name, qualifier, _settings(call.params), keep=True))


async def get_function_event_invoke_config(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "GetFunctionEventInvokeConfig"."""
    name, qualifier = call.named()
    return _config(call, invoke_configs.get(call.plane, name, qualifier))


async def delete_function_event_invoke_config(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "DeleteFunctionEventInvokeConfig"."""
    name, qualifier = call.named()
    await invoke_configs.delete(call.plane, name, qualifier)
    return {}


async def list_function_event_invoke_configs(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "ListFunctionEventInvokeConfigs"."""
    name, _ = call.named()
    size = page_size(call.params.get("MaxItems"))
    after = read_marker(call.params.get("Marker"), str)
    left = [c for c in invoke_configs.listed(call.plane, name) if after is None or c.qualifier > after[0]]
    return {
        "FunctionEventInvokeConfigs": [_config(call, config) for config in left[:size]],
        "NextMarker": write_marker(left[size - 1].qualifier) if len(left) > size else None,
    }


def _settings(params: Mapping[str, Any]) -> invoke_configs.Settings:
    destinations = params.get("DestinationConfig")
    given = destinations or {}
    return invoke_configs.Settings(
        maximum_retry_attempts=params.get("MaximumRetryAttempts"),
        maximum_event_age_s=params.get("MaximumEventAgeInSeconds"),
        on_success_arn=given.get("OnSuccess", {}).get("Destination"),
        on_failure_arn=given.get("OnFailure", {}).get("Destination"),
        has_destinations=destinations is not None,
    )


def _config(call: Call, config: EventInvokeConfig) -> dict[str, Any]:
    success, failure = config.on_success_arn, config.on_failure_arn
    return {
        "LastModified": config.last_modified_s,
        "FunctionArn": call.plane.account.function_arn(config.function_name, config.qualifier),
        "MaximumRetryAttempts": config.maximum_retry_attempts,
        "MaximumEventAgeInSeconds": config.maximum_event_age_s,
        "DestinationConfig": {
            "OnSuccess": {"Destination": success} if success else {},
            "OnFailure": {"Destination": failure} if failure else {},
        },
    }
