"""Functions: what creating, changing and deleting one means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from jupyter_lambda.errors import (
    CodeStorageExceededException,
    InvalidParameterValueException,
    ResourceConflictException,
)
from jupyter_lambda.model import limits
from jupyter_lambda.model.arn import LATEST
from jupyter_lambda.model.function import Function, FunctionVersion, ImageConfig

from . import layers as layer_rules
from . import versions
from .control import ControlPlane, check_revision, new_revision
from .live import Change

#: Set by Lambda itself. Source: AWS Lambda Developer Guide, "Defined runtime environment variables".
RESERVED_VARIABLES = frozenset(
    {
        *("_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV"),
        *("AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION"),
        *("AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME"),
        *("AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        *("AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"),
    }
)
#: In a version's extras: the packages of its layers, so that a layer that is deleted later goes on working in it.
LAYER_PACKAGES = "LayerPackages"
#: Characters of a function's bare name.
NAME_MAX_CHARS = 64


@dataclass(frozen=True, slots=True)
class CodeSource:
    """Where a request says that the code is. At most one may be given."""

    zip_file: bytes | None = None
    image_uri: str | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """The configuration that a request gives; None leaves what is there, or takes the default at creation."""

    role: str | None = None
    runtime: str | None = None
    handler: str | None = None
    description: str | None = None
    memory_mb: int | None = None
    timeout_s: int | None = None
    ephemeral_storage_mb: int | None = None
    environment: Mapping[str, str] | None = None
    layers: tuple[str, ...] | None = None
    architectures: tuple[str, ...] | None = None
    image_config: ImageConfig | None = None
    #: "" takes it away.
    dead_letter_arn: str | None = None
    network: str | None = None
    #: Path as the caller gave it; checked against those that are known.
    interpreter: str | None = None
    #: Members that are only kept; each replaces the one of its name.
    extras: Mapping[str, Any] = field(default_factory=dict)

    def onto(self, version: FunctionVersion) -> FunctionVersion:
        """The version with these changes."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extras"}
        values = {name: value for name, value in given.items() if value is not None}
        if self.dead_letter_arn == "":
            values["dead_letter_arn"] = None
        return replace(version, **values, extras={**version.extras, **self.extras})


async def create(
    plane: ControlPlane,
    name: str,
    code: CodeSource,
    changes: Changes,
    *,
    package_type: str = "Zip",
    tags: Mapping[str, str] | None = None,
    publish: bool = False,
) -> FunctionVersion:
    """Make a function; returns $LATEST, or the version that was published.

    Raises:
        ResourceConflictException: It exists.
        InvalidParameterValueException: Something in it can't be; AWS's text where AWS refuses it too.
        NotImplementedException: Code from S3.
    """
    store = plane.service.store
    check_name(name)
    if store.functions.get(name) is not None:
        raise ResourceConflictException(f"Function already exist: {name}")
    draft = FunctionVersion(
        name=name,
        version=LATEST,
        role=changes.role or "",
        last_modified=plane.now_text(),
        revision_id=new_revision(),
        code_sha256="",
        package_type=package_type,
        architectures=(plane.service.runtimes.architecture,),
    )
    draft = _configured(plane, draft, changes)
    _check_code_fits("creating", code, package_type)
    latest = _check_unzipped(plane, await _with_code(plane, draft, code))
    async with plane.lock(name):
        function = Function(name, latest, tags=dict(tags or {}))
        await store.functions.create(function)
        _tell(plane, name, "created")
        return await versions.publish_locked(plane, function) if publish else latest


async def configure(
    plane: ControlPlane, name: str, changes: Changes, *, revision_id: str | None = None
) -> FunctionVersion:
    """Change the configuration of $LATEST.

    Raises:
        ResourceNotFoundException: No such function.
        PreconditionFailedException: ``revision_id`` is not $LATEST's.
        InvalidParameterValueException: see ``create``.
    """
    async with plane.lock(name):
        function = plane.function(name)
        check_revision(revision_id, function.latest.revision_id)
        latest = _configured(plane, function.latest, changes)
        latest = _check_unzipped(plane, _modified(plane, latest))
        await plane.service.store.functions.put(replace(function, latest=latest))
    _tell(plane, name, "updated")
    await plane.service.retire(name, LATEST)
    return latest


async def update_code(
    plane: ControlPlane,
    name: str,
    code: CodeSource,
    *,
    architectures: tuple[str, ...] | None = None,
    revision_id: str | None = None,
    publish: bool = False,
    dry_run: bool = False,
) -> FunctionVersion:
    """Give $LATEST other code; returns it, or the version that was published.

    Args:
        dry_run: Check everything, change nothing, and return what would be.
    Raises:
        ResourceNotFoundException, PreconditionFailedException, InvalidParameterValueException,
        NotImplementedException: see ``create`` and ``configure``.
    """
    async with plane.lock(name):
        function = plane.function(name)
        check_revision(revision_id, function.latest.revision_id)
        _check_code_fits("updating", code, function.latest.package_type)
        draft = function.latest if architectures is None else replace(function.latest, architectures=architectures)
        plane.service.runtimes.check(draft.runtime, draft.handler, draft.package_type, draft.architectures)
        latest = _modified(plane, await _with_code(plane, draft, code))
        latest = _check_unzipped(plane, latest)
        if dry_run:
            return latest
        function = replace(function, latest=latest)
        await plane.service.store.functions.put(function)
        answer = await versions.publish_locked(plane, function) if publish else latest
    _tell(plane, name, "updated")
    await plane.service.retire(name, LATEST)
    return answer


async def delete(plane: ControlPlane, name: str, qualifier: str | None = None) -> None:
    """Remove a function with all that belongs to it, or one published version.

    Raises:
        ResourceNotFoundException: No such function.
        InvalidParameterValueException: The qualifier is $LATEST or an alias.
        ResourceConflictException: An alias names the version.
    """
    functions = plane.service.store.functions
    if qualifier == LATEST:
        raise InvalidParameterValueException("$LATEST version cannot be deleted without deleting the function.")
    if qualifier is not None and not qualifier.isdigit():
        raise InvalidParameterValueException("Deletion of aliases is not currently supported.")
    async with plane.lock(name):
        plane.function(name)
        if qualifier is None:
            await functions.delete(name)
        elif functions.version(name, qualifier) is not None:
            _check_unreferenced(plane, name, qualifier)
            await functions.delete_version(name, qualifier)
    _tell(plane, name, "deleted" if qualifier is None else "updated")
    plane.service.provision(name)
    await plane.service.retire(name, qualifier)


async def tag(plane: ControlPlane, name: str, add: Mapping[str, str], remove: frozenset[str] = frozenset()) -> None:
    """Add, replace and remove tags.

    Raises:
        ResourceNotFoundException: No such function.
        InvalidParameterValueException: More than 50, or a name that begins with aws:.
    """
    async with plane.lock(name):
        function = plane.function(name)
        tags = {k: v for k, v in {**function.tags, **add}.items() if k not in remove}
        check_tags(tags)
        await plane.service.store.functions.put(replace(function, tags=tags))


def _tell(plane: ControlPlane, name: str, change: Change) -> None:
    if plane.service.live.tap is not None:
        plane.service.live.function(name, change)


def check_tags(tags: Mapping[str, str]) -> None:
    """Source: AWS Lambda Developer Guide, "Using tags on Lambda functions": 50 tags; aws: is reserved."""
    if len(tags) > 50:
        raise InvalidParameterValueException("Number of tags exceeds resource tag limit.")
    if any(key.lower().startswith("aws:") for key in tags):
        raise InvalidParameterValueException("aws: prefixed tag key names are not allowed for external use.")


def check_name(name: str) -> None:
    """Refuse a bare name that is too long."""
    if len(name) > NAME_MAX_CHARS:
        raise InvalidParameterValueException(
            f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint: "
            f"Member must have length less than or equal to {NAME_MAX_CHARS}"
        )


def _configured(plane: ControlPlane, version: FunctionVersion, changes: Changes) -> FunctionVersion:
    """The version with the changes, checked."""
    changed = changes.onto(version)
    if changes.environment is not None:
        _check_environment(changes.environment)
    if changed.package_type == "Image" and (changes.runtime or changes.handler or changes.layers):
        raise InvalidParameterValueException(
            "Please don't provide Handler or Runtime or Layer when the intended function PackageType is Image."
        )
    _check_words(changed)
    runtimes = plane.service.runtimes
    runtimes.check(changed.runtime, changed.handler, changed.package_type, changed.architectures)
    if changes.interpreter is not None or changes.runtime is not None:
        changed = replace(changed, interpreter=runtimes.interpreter(changed.runtime, changes.interpreter))
    if changes.layers is not None:
        found = layer_rules.attached(plane, changes.layers)
        kept = [
            {"Arn": arn, "CodeSha256": layer.code_sha256, "CodeSize": layer.code_size}
            for arn, layer in zip(changes.layers, found, strict=True)
        ]
        changed = replace(changed, extras={**changed.extras, LAYER_PACKAGES: kept})
    return changed


def _modified(plane: ControlPlane, version: FunctionVersion) -> FunctionVersion:
    return replace(version, last_modified=plane.now_text(), revision_id=new_revision())


def _check_environment(variables: Mapping[str, str]) -> None:
    reserved = [name for name in variables if name in RESERVED_VARIABLES]
    if reserved:
        raise InvalidParameterValueException(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            "provided contains reserved keys that are currently not supported for modification. Reserved keys used in "
            f"this request: {', '.join(reserved)}"
        )
    measured = json.dumps(dict(variables), separators=(",", ":"), ensure_ascii=False)
    if len(measured.encode()) > limits.ENVIRONMENT_MAX_BYTES:
        raise InvalidParameterValueException(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            f"provided exceeded the 4KB limit. String measured: {measured}"
        )
    _check_nul("Environment", *variables.values())


def _check_words(version: FunctionVersion) -> None:
    """Refuse what no process can be started with."""
    _check_nul("Handler", version.handler or "")
    config = version.image_config
    if config is not None:
        words = (*(config.entry_point or ()), *(config.command or ()), config.working_directory or "")
        _check_nul("ImageConfig", *words)


def _check_nul(what: str, *texts: str) -> None:
    if any("\0" in text for text in texts):
        raise InvalidParameterValueException(f"{what} has a NUL character, which no process can be given.")


def _check_code_fits(doing: str, code: CodeSource, package_type: str) -> None:
    """Refuse code of the other package type, or none."""
    if package_type == "Image":
        if code.zip_file is not None or not code.image_uri:
            raise InvalidParameterValueException(
                f"Please provide ImageUri when {doing} a function with packageType Image."
            )
    elif code.image_uri is not None:
        raise InvalidParameterValueException(
            f"Please don't provide ImageUri when {doing} a function with packageType Zip."
        )
    elif code.zip_file is None:
        raise InvalidParameterValueException("Please provide a source for function code.")


async def _with_code(plane: ControlPlane, version: FunctionVersion, code: CodeSource) -> FunctionVersion:
    """The version with the code, which is in the store from here on."""
    store = plane.service.store
    if code.image_uri is not None:
        _check_nul("ImageUri", code.image_uri)
        digest = await plane.service.driver.image_exists(code.image_uri)
        if digest is None:
            raise InvalidParameterValueException(
                f"Source image {code.image_uri} does not exist on this host. Provide a valid source image: pull or "
                "build it with the container engine that this engine uses."
            )
        return replace(version, image_uri=code.image_uri, code_sha256=digest.removeprefix("sha256:"), code_size=0)
    assert code.zip_file is not None, "checked before"
    package = await store.packages.add_zip(code.zip_file)
    if store.functions.code_storage_bytes() + package.code_size > limits.CODE_STORAGE_MAX_BYTES:
        raise CodeStorageExceededException("Code storage limit exceeded.")
    return replace(version, code_sha256=package.code_sha256, code_size=package.code_size)


def _check_unzipped(plane: ControlPlane, version: FunctionVersion) -> FunctionVersion:
    """Refuse a function that is too large together with its layers."""
    layers = version.extras.get(LAYER_PACKAGES, ())
    if version.package_type == "Zip" and layers:
        size = plane.service.store.packages.unzipped_size
        total = size(version.code_sha256) + sum(size(layer["CodeSha256"]) for layer in layers)
        if total > limits.UNZIPPED_MAX_BYTES:
            raise InvalidParameterValueException(
                "Function code combined with layers exceeds the maximum allowed size of "
                f"{limits.UNZIPPED_MAX_BYTES} bytes. The actual size is {total} bytes."
            )
    return version


def _check_unreferenced(plane: ControlPlane, name: str, version: str) -> None:
    functions = plane.service.store.functions
    after: str | None = None
    referring: list[str] = []
    while batch := functions.aliases(name, None, after, 200):
        referring += [a.name for a in batch if a.function_version == version or version in a.routing]
        after = batch[-1].name
    if referring:
        raise ResourceConflictException(
            f"Unable to delete version because the following aliases reference it: [{', '.join(referring)}]"
        )
