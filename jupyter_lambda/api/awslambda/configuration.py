"""FunctionConfiguration: the engine's FunctionVersion as AWS writes it, and AWS's members as the engine's Changes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.engine.functions import LAYER_PACKAGES, Changes
from jupyter_lambda.errors import InvalidParameterValueException, NotImplementedException
from jupyter_lambda.http1 import Request
from jupyter_lambda.model.arn import Account
from jupyter_lambda.model.function import FunctionVersion, ImageConfig

#: Members that change nothing here; they are kept and returned as AWS does.
KEPT = {
    "VpcConfig": "functions have no VPC here; their network is none or egress",
    "KMSKeyArn": "environment variables are not encrypted at rest",
    "TracingConfig": "no traces are recorded",
    "FileSystemConfigs": "nothing is mounted",
    "SnapStart": "there are no snapshots",
    "LoggingConfig": "logs are always text and stay with the engine",
}
#: Members that would change what a function means: refused rather than passed over.
REFUSED = (
    "CodeSigningConfigArn",
    "TenancyConfig",
    "CapacityProviderConfig",
    "DurableConfig",
    "RuntimeConfig",
    "AcceleratorConfig",
    "PublishTo",
    "DurableExecutionName",
)
_REFUSED = frozenset(REFUSED)
#: Left out of lists. Source: AWS Lambda API Reference, "ListFunctions": "returns a subset of the FunctionConfiguration
#: fields".
_NOT_LISTED = ("State", "StateReason", "StateReasonCode", "LastUpdateStatus", "RuntimeVersionConfig")
NETWORK_HEADER = "x-jupyter-lambda-network"
INTERPRETER_HEADER = "x-jupyter-lambda-interpreter"


def changes(params: Mapping[str, Any], request: Request) -> Changes:
    """What a CreateFunction or UpdateFunctionConfiguration request gives.

    Raises:
        NotImplementedException: A member that is not built and can't be passed over.
        InvalidParameterValueException: An extension header with an unknown value.
    """
    refuse_unbuilt(params)
    network = request.headers.get(NETWORK_HEADER)
    if network not in (None, "none", "egress"):
        raise InvalidParameterValueException("X-Jupyter-Lambda-Network must be none or egress.")
    layers = params.get("Layers")
    return Changes(
        role=params.get("Role"),
        runtime=params.get("Runtime"),
        handler=params.get("Handler"),
        description=params.get("Description"),
        memory_mb=params.get("MemorySize"),
        timeout_s=params.get("Timeout"),
        ephemeral_storage_mb=_inner(params, "EphemeralStorage", "Size"),
        environment=_environment(params),
        layers=None if layers is None else tuple(layers),
        architectures=_architectures(params),
        image_config=_image_config(params.get("ImageConfig")),
        dead_letter_arn=_inner(params, "DeadLetterConfig", "TargetArn"),
        network=network,
        interpreter=request.headers.get(INTERPRETER_HEADER),
        extras={name: params[name] for name in KEPT if name in params},
    )


def refuse_unbuilt(params: Mapping[str, Any]) -> None:
    """Raises NotImplementedException where a request has a member that is not built and can't be passed over."""
    if _REFUSED.isdisjoint(params):
        return
    for name in REFUSED:
        if name in params:
            raise NotImplementedException(f"{name} is not built; send the request without it.")


def configuration(
    version: FunctionVersion, account: Account, *, qualifier: str | None = None, listed: bool = False
) -> dict[str, Any]:
    """A version as AWS's FunctionConfiguration.

    Args:
        qualifier: What the ARN ends in; None for the unqualified ARN of $LATEST.
        listed: With the members that AWS's lists have.
    """
    extras = version.extras
    answer: dict[str, Any] = {
        "FunctionName": version.name,
        "FunctionArn": account.function_arn(version.name, qualifier),
        "Runtime": version.runtime,
        "Role": version.role,
        "Handler": version.handler,
        "CodeSize": version.code_size,
        "Description": version.description,
        "Timeout": version.timeout_s,
        "MemorySize": version.memory_mb,
        "LastModified": version.last_modified,
        "CodeSha256": version.code_sha256,
        "Version": version.version,
        "VpcConfig": _vpc(extras.get("VpcConfig")),
        "DeadLetterConfig": {"TargetArn": version.dead_letter_arn} if version.dead_letter_arn else None,
        "Environment": {"Variables": dict(version.environment)} if version.environment else None,
        "KMSKeyArn": extras.get("KMSKeyArn") or None,
        "TracingConfig": {"Mode": extras.get("TracingConfig", {}).get("Mode", "PassThrough")},
        "RevisionId": version.revision_id,
        "Layers": _layers(version),
        "State": version.state,
        "StateReason": version.state_reason,
        "StateReasonCode": version.state_reason_code,
        "LastUpdateStatus": version.last_update_status,
        "FileSystemConfigs": extras.get("FileSystemConfigs") or None,
        "PackageType": version.package_type,
        "ImageConfigResponse": _image_config_response(version.image_config),
        "Architectures": list(version.architectures),
        "EphemeralStorage": {"Size": version.ephemeral_storage_mb},
        "SnapStart": {
            "ApplyOn": extras.get("SnapStart", {}).get("ApplyOn", "None"),
            "OptimizationStatus": "Off",
        },
        "RuntimeVersionConfig": _runtime_version(version, account),
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{version.name}"}
        | extras.get("LoggingConfig", {}),
    }
    if listed:
        for name in _NOT_LISTED:
            del answer[name]
    return answer


def _inner(params: Mapping[str, Any], name: str, member: str) -> Any:
    value = params.get(name)
    return None if value is None else value.get(member, "" if member == "TargetArn" else None)


def _environment(params: Mapping[str, Any]) -> dict[str, str] | None:
    environment = params.get("Environment")
    return None if environment is None else environment.get("Variables", {})


def _architectures(params: Mapping[str, Any]) -> tuple[str, ...] | None:
    given = params.get("Architectures")
    return None if given is None else tuple(given)


def _image_config(given: Mapping[str, Any] | None) -> ImageConfig | None:
    if given is None:
        return None
    entry_point, command = given.get("EntryPoint"), given.get("Command")
    return ImageConfig(
        None if entry_point is None else tuple(entry_point),
        None if command is None else tuple(command),
        given.get("WorkingDirectory"),
    )


def _image_config_response(config: ImageConfig | None) -> dict[str, Any] | None:
    if config is None or config == ImageConfig():
        return None
    members = {
        "EntryPoint": None if config.entry_point is None else list(config.entry_point),
        "Command": None if config.command is None else list(config.command),
        "WorkingDirectory": config.working_directory,
    }
    return {"ImageConfig": members}


def _vpc(config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not config:
        return None
    return {
        "SubnetIds": config.get("SubnetIds", []),
        "SecurityGroupIds": config.get("SecurityGroupIds", []),
        "VpcId": "",
        "Ipv6AllowedForDualStack": config.get("Ipv6AllowedForDualStack", False),
    }


def _layers(version: FunctionVersion) -> list[dict[str, Any]] | None:
    if not version.layers:
        return None
    sizes = {layer["Arn"]: layer["CodeSize"] for layer in version.extras.get(LAYER_PACKAGES, ())}
    return [{"Arn": arn, "CodeSize": sizes.get(arn, 0)} for arn in version.layers]


def _runtime_version(version: FunctionVersion, account: Account) -> dict[str, str] | None:
    if version.package_type == "Image" or not version.runtime:
        return None
    digest = hashlib.sha256(version.runtime.encode()).hexdigest()
    return {"RuntimeVersionArn": f"arn:{account.partition}:lambda:{account.region}::runtime:{digest}"}
