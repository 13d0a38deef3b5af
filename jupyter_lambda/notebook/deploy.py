"""Create and change functions through the AWS API, at the engine or at AWS itself, doing only what has changed."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from jupyter_lambda.errors import LambdaError

from . import package
from .dependencies import Layers
from .engine import Engine, call, code_of_refusal
from .errors import DeployError, NotebookError
from .values import human_size

#: What a cell gets that doesn't say; more than AWS's 128 MB and 3 s, in which NumPy barely starts.
DEFAULT_MEMORY_MB, DEFAULT_TIMEOUT_S = 512, 30
#: Tags that remember what AWS's configuration can't.
TAG = "jupyter-lambda:"
#: Bytes, unzipped, that AWS takes for a function and its layers.
_WAIT = {"Delay": 1, "MaxAttempts": 120}
Action = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A function as its cell describes it."""

    name: str
    zip_bytes: bytes
    handler: str
    runtime: str
    memory_mb: int = DEFAULT_MEMORY_MB
    timeout_s: int = DEFAULT_TIMEOUT_S
    environment: Mapping[str, str] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    role: str | None = None
    network: str | None = None
    #: Path of this notebook's Python; None: the engine's choice.
    interpreter: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a deployment did."""

    action: Action
    configuration: Mapping[str, Any]
    #: What changed, for people: "code", "memory", …
    changes: tuple[str, ...] = ()
    #: The published version.
    version: str | None = None


def deploy(engine: Engine, wanted: Wanted) -> Deployed:
    """Bring a function to what is wanted and wait until it can be called.

    Raises:
        DeployError: Refused, or it did not become active.
    """
    present = existing(engine, wanted.name)
    if present is None:
        return _create(engine, wanted)
    return _update(engine, wanted, present)


def existing(engine: Engine, name: str) -> Mapping[str, Any] | None:
    """GetFunction's answer, or None."""
    try:
        found: Mapping[str, Any] = call(engine.client.get_function, FunctionName=name)
    except DeployError as exc:
        if code_of_refusal(exc) == "ResourceNotFoundException":
            return None
        raise
    return found


def _headers(engine: Engine, wanted: Wanted) -> dict[str, str] | None:
    if engine.is_aws:
        return None
    headers = {}
    if wanted.interpreter:
        headers["X-Jupyter-Lambda-Interpreter"] = wanted.interpreter
    if wanted.network:
        headers["X-Jupyter-Lambda-Network"] = wanted.network
    return headers


def _tags(wanted: Wanted) -> dict[str, str]:
    tags = {f"{TAG}{key}": value for key, value in wanted.tags.items()}
    tags[f"{TAG}network"] = wanted.network or "default"
    tags[f"{TAG}interpreter"] = wanted.interpreter or "default"
    return tags


def _configuration(wanted: Wanted) -> dict[str, Any]:
    return {
        "Runtime": wanted.runtime,
        "Handler": wanted.handler,
        "MemorySize": wanted.memory_mb,
        "Timeout": wanted.timeout_s,
        "Environment": {"Variables": dict(wanted.environment)},
        "Layers": list(wanted.layers),
    }


def _create(engine: Engine, wanted: Wanted) -> Deployed:
    made = call(
        engine.client.create_function,
        FunctionName=wanted.name,
        Role=engine.role(wanted.role),
        Code={"ZipFile": wanted.zip_bytes},
        Publish=True,
        Tags=_tags(wanted),
        _Headers=_headers(engine, wanted),
        **_configuration(wanted),
    )
    _wait(engine, "function_active_v2", wanted.name)
    return Deployed("created", made, version=str(made.get("Version")))


def _update(engine: Engine, wanted: Wanted, present: Mapping[str, Any]) -> Deployed:
    before = present["Configuration"]
    changes = _differences(wanted, before, present.get("Tags", {}))
    if not changes:
        return Deployed("unchanged", before)
    client = engine.client
    if "code" in changes:
        call(client.update_function_code, FunctionName=wanted.name, ZipFile=wanted.zip_bytes)
        _wait(engine, "function_updated_v2", wanted.name)
    if set(changes) - {"code"}:
        extra = {"Role": wanted.role} if wanted.role else {}
        call(
            client.update_function_configuration,
            FunctionName=wanted.name,
            _Headers=_headers(engine, wanted),
            **_configuration(wanted),
            **extra,
        )
        _wait(engine, "function_updated_v2", wanted.name)
        if not engine.is_aws or before.get("FunctionArn"):
            call(client.tag_resource, Resource=before["FunctionArn"], Tags=_tags(wanted))
    published = call(client.publish_version, FunctionName=wanted.name)
    return Deployed("updated", published, tuple(changes), str(published.get("Version")))


def _differences(wanted: Wanted, before: Mapping[str, Any], tags: Mapping[str, str]) -> list[str]:
    present = {
        "code": before.get("CodeSha256"),
        "runtime": before.get("Runtime"),
        "handler": before.get("Handler"),
        "memory": before.get("MemorySize"),
        "timeout": before.get("Timeout"),
        "environment": before.get("Environment", {}).get("Variables", {}),
        "dependencies": [layer["Arn"] for layer in before.get("Layers", ())],
        "role": before.get("Role"),
        "network": tags.get(f"{TAG}network", "default"),
        "interpreter": tags.get(f"{TAG}interpreter", "default"),
    }
    now = {
        "code": package.code_sha256(wanted.zip_bytes),
        "runtime": wanted.runtime,
        "handler": wanted.handler,
        "memory": wanted.memory_mb,
        "timeout": wanted.timeout_s,
        "environment": dict(wanted.environment),
        "dependencies": list(wanted.layers),
        "role": wanted.role or before.get("Role"),
        "network": wanted.network or "default",
        "interpreter": wanted.interpreter or "default",
    }
    return [key for key, value in now.items() if value != present[key]]


def _wait(engine: Engine, waiter: str, name: str) -> None:
    from botocore.exceptions import WaiterError

    try:
        engine.client.get_waiter(waiter).wait(FunctionName=name, WaiterConfig=_WAIT)
    except WaiterError as exc:
        reason = exc.last_response.get("Configuration", {}).get("StateReason") or str(exc)
        raise DeployError(f"{name} did not become active: {reason}") from exc


def layer_arns(engine: Engine, built: Layers, runtime: str) -> tuple[str, ...]:
    """The layers of a build, published where they aren't yet."""
    found = []
    for number, path in enumerate(built.zips):
        name = f"jupyter-lambda-{built.key}" + (f"-{number}" if number else "")
        known = _layer_versions(engine, name)
        if known:
            found.append(str(known[0]["LayerVersionArn"]))
            continue
        data = path.read_bytes()
        made = call(
            engine.client.publish_layer_version,
            LayerName=name,
            Description=", ".join(built.packages)[:256],
            Content={"ZipFile": data},
            CompatibleRuntimes=[runtime],
        )
        found.append(str(made["LayerVersionArn"]))
    return tuple(found)


def _layer_versions(engine: Engine, name: str) -> list[Mapping[str, Any]]:
    """Newest first; none where the layer was never published."""
    try:
        found: list[Mapping[str, Any]] = call(engine.client.list_layer_versions, LayerName=name)["LayerVersions"]
    except DeployError as exc:
        if code_of_refusal(exc) == "ResourceNotFoundException":
            return []
        raise
    return found


#: What ``reconfigure`` changes.
SETTINGS = ("memory", "timeout", "env", "network", "concurrency")


def more_settings(engine: Engine, name: str) -> list[tuple[str, str]]:
    """What AWS's FunctionConfiguration does not tell: network, reserved and provisioned concurrency."""
    found = call(engine.client.get_function, FunctionName=name)
    reserved = found.get("Concurrency", {}).get("ReservedConcurrentExecutions")
    network = found.get("Tags", {}).get(f"{TAG}network", "default")
    settings = [
        ("network", str(network)),
        ("concurrency", "unreserved" if reserved is None else f"{reserved} reserved"),
    ]
    listed = call(engine.client.list_provisioned_concurrency_configs, FunctionName=name)
    for one in listed["ProvisionedConcurrencyConfigs"]:
        qualifier = str(one["FunctionArn"]).rpartition(":")[2]
        allocated = one.get("AllocatedProvisionedConcurrentExecutions", 0)
        requested = one["RequestedProvisionedConcurrentExecutions"]
        settings.append((f"provisioned for {qualifier}", f"{allocated} of {requested}, {one['Status']}"))
    return settings


def reconfigure(
    engine: Engine,
    name: str,
    *,
    memory: int | None = None,
    timeout: int | None = None,
    env: Mapping[str, str] | None = None,
    network: str | None = None,
    concurrency: int | str | None = None,
) -> dict[str, Any]:
    """Change what is given of a function's configuration; environment variables are merged, None removes one.

    Raises:
        DeployError: Refused.
    """
    params: dict[str, Any] = {}
    if memory is not None:
        params["MemorySize"] = memory
    if timeout is not None:
        params["Timeout"] = timeout
    if env is not None:
        before = call(engine.client.get_function_configuration, FunctionName=name)
        merged = {**before.get("Environment", {}).get("Variables", {}), **env}
        params["Environment"] = {"Variables": {key: str(value) for key, value in merged.items() if value is not None}}
    headers = {"X-Jupyter-Lambda-Network": network} if network and not engine.is_aws else None
    if params or headers:
        call(engine.client.update_function_configuration, FunctionName=name, _Headers=headers, **params)
        _wait(engine, "function_updated_v2", name)
    if concurrency is not None:
        _reserve(engine, name, str(concurrency))
    found = call(engine.client.get_function, FunctionName=name)
    if network:
        arn = found["Configuration"]["FunctionArn"]
        call(engine.client.tag_resource, Resource=arn, Tags={f"{TAG}network": network})
    return dict(found["Configuration"])


def _reserve(engine: Engine, name: str, concurrency: str) -> None:
    if concurrency == "none":
        call(engine.client.delete_function_concurrency, FunctionName=name)
    elif concurrency.isdigit():
        call(engine.client.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=int(concurrency))
    else:
        raise DeployError(f"concurrency {concurrency!r}: write a number, or none")


def functions(engine: Engine) -> list[dict[str, Any]]:
    """All functions, by name."""
    found: list[dict[str, Any]] = []
    marker: dict[str, Any] = {}
    while True:
        page = call(engine.client.list_functions, **marker)
        found.extend(page.get("Functions", []))
        if not page.get("NextMarker"):
            return sorted(found, key=lambda one: str(one["FunctionName"]))
        marker = {"Marker": page["NextMarker"]}


def versions(engine: Engine, name: str) -> list[dict[str, Any]]:
    """Published versions, newest first."""
    found: list[dict[str, Any]] = []
    marker: dict[str, Any] = {}
    while True:
        page = call(engine.client.list_versions_by_function, FunctionName=name, **marker)
        found.extend(one for one in page.get("Versions", []) if one["Version"] != "$LATEST")
        if not page.get("NextMarker"):
            return sorted(found, key=lambda one: -int(one["Version"]))
        marker = {"Marker": page["NextMarker"]}


def rollback(engine: Engine, name: str, version: str | None) -> str:
    """Make ``$LATEST`` what an earlier version was, code and configuration.

    Raises:
        DeployError: There is no such version, or none earlier.
    """
    chosen = version or _previous(engine, name)
    target = call(engine.client.get_function, FunctionName=name, Qualifier=chosen)
    configuration = target["Configuration"]
    data = _download(target["Code"]["Location"], f"{name}:{chosen}")
    call(engine.client.update_function_code, FunctionName=name, ZipFile=data)
    _wait(engine, "function_updated_v2", name)
    call(
        engine.client.update_function_configuration,
        FunctionName=name,
        Runtime=configuration["Runtime"],
        Handler=configuration["Handler"],
        MemorySize=configuration["MemorySize"],
        Timeout=configuration["Timeout"],
        Environment={"Variables": configuration.get("Environment", {}).get("Variables", {})},
        Layers=[layer["Arn"] for layer in configuration.get("Layers", ())],
    )
    _wait(engine, "function_updated_v2", name)
    return chosen


def _previous(engine: Engine, name: str) -> str:
    """The newest version that differs from ``$LATEST``."""
    latest = call(engine.client.get_function_configuration, FunctionName=name)
    published = versions(engine, name)
    present = next((i for i, one in enumerate(published) if is_same(one, latest)), -1)
    for one in published[present + 1 :]:
        if not is_same(one, latest):
            return str(one["Version"])
    raise DeployError(f"{name} has no earlier version to go back to; %lambda versions {name} shows what there is")


def is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two versions have the same code and configuration."""
    keys = ("CodeSha256", "Runtime", "Handler", "MemorySize", "Timeout", "Environment")
    return all(one.get(key) == other.get(key) for key in keys) and _arns(one) == _arns(other)


def _arns(configuration: Mapping[str, Any]) -> list[str]:
    return [layer["Arn"] for layer in configuration.get("Layers", ())]


def _download(location: str, what: str) -> bytes:
    if not location.startswith(("http://", "https://")):
        raise DeployError(f"the code of {what} can't be fetched from {location}")
    try:
        with urllib.request.urlopen(location, timeout=60) as answer:  # noqa: S310 - http(s) only, see above
            data: bytes = answer.read()
    except OSError as exc:
        raise DeployError(f"the code of {what} can't be fetched: {exc}") from exc
    return data


def stop_running(engine: Engine, name: str) -> int:
    """Stop all running invocations of a function; how many were."""
    if engine.admin is None:
        raise NotebookError("invocations at AWS can't be stopped; they end with their time-out")
    try:
        running = engine.admin.invocations(limit=1)["running"]
    except LambdaError as exc:
        raise NotebookError(exc.message) from exc
    ids = [one["request_id"] for one in running if one["function_name"] == name]
    return sum(engine.stop(request_id) for request_id in ids)


def check_size(engine: Engine, built: Layers | None, data: bytes) -> str | None:
    """A warning where the sizes come close to what AWS takes."""
    total = len(data) + sum(path.stat().st_size for path in (built.zips if built else ()))
    if engine.is_aws and total > 60 * 1024 * 1024:
        return f"{human_size(total)} zipped: AWS takes 250 MB unzipped, layers included; consider a container image"
    return None
