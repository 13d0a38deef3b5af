"""Functions, versions, aliases and layers: what the control plane remembers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from . import limits
from .arn import LATEST


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What a function overrides of its image; None leaves the image's own."""

    entry_point: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    working_directory: str | None = None


@dataclass(frozen=True, slots=True)
class FunctionVersion:
    """One version of a function: code and configuration, immutable; ``$LATEST`` is replaced whole when it changes.

    The fields are AWS's FunctionConfiguration. ``extras`` keeps the members that have no effect here (VpcConfig,
    TracingConfig, …) exactly as they were sent, so that they come back as AWS would return them.
    """

    name: str
    #: "$LATEST" or a decimal number from 1.
    version: str
    role: str
    #: RFC 3339 with milliseconds, as AWS writes it: 2026-11-23T08:44:39.000+0000.
    last_modified: str
    revision_id: str
    #: SHA-256 of the package, base64; of an image: its digest in hex.
    code_sha256: str
    #: Bytes of the zip; 0 for an image.
    code_size: int = 0
    #: "Zip" or "Image".
    package_type: str = "Zip"
    runtime: str | None = None
    handler: str | None = None
    description: str = ""
    memory_mb: int = limits.MEMORY_DEFAULT_MB
    timeout_s: int = limits.TIMEOUT_DEFAULT_S
    ephemeral_storage_mb: int = limits.TMP_MIN_MB
    environment: Mapping[str, str] = field(default_factory=dict)
    #: Layer version ARNs in the order in which they are laid over /opt.
    layers: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ("x86_64",)
    image_uri: str | None = None
    image_config: ImageConfig | None = None
    #: ARN of the dead-letter queue, topic or function.
    dead_letter_arn: str | None = None
    #: AWS's State: Pending, Active, Inactive, Failed.
    state: str = "Active"
    state_reason: str | None = None
    state_reason_code: str | None = None
    last_update_status: str = "Successful"
    #: Ours, not AWS's: "none" or "egress"; None means the engine's default.
    network: str | None = None
    #: Ours: the Python interpreter of the host runtime environment, one of those the engine knows; None: its own.
    interpreter: str | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """Identity for the pool: environments of one key are interchangeable."""
        return self.name, self.version, self.revision_id

    def as_version(self, number: int, **changes: Any) -> FunctionVersion:
        """This configuration published under a number."""
        return replace(self, version=str(number), **changes)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the store."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FunctionVersion:
        """The reverse of ``to_json``; members this release doesn't know are ignored."""
        known = {f.name for f in fields(cls)}
        values = {k: v for k, v in data.items() if k in known}
        values["layers"] = tuple(values.get("layers", ()))
        values["architectures"] = tuple(values.get("architectures", ("x86_64",)))
        if image := values.get("image_config"):
            values["image_config"] = ImageConfig(
                entry_point=tuple(image["entry_point"]) if image["entry_point"] is not None else None,
                command=tuple(image["command"]) if image["command"] is not None else None,
                working_directory=image["working_directory"],
            )
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Function:
    """What belongs to the function and not to one version."""

    name: str
    latest: FunctionVersion
    #: None: unreserved; 0: throttled.
    reserved_concurrency: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    #: The number the next published version gets; numbers are never used again.
    next_version: int = 1

    def __post_init__(self) -> None:
        assert self.latest.version == LATEST


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for a version, or for two with weights."""

    function_name: str
    name: str
    function_version: str
    description: str
    revision_id: str
    #: Version → share of invocations in [0, 1] that goes there instead; at most one entry.
    routing: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LayerVersion:
    """One immutable version of a layer."""

    name: str
    version: int
    description: str
    created: str
    code_sha256: str
    code_size: int
    compatible_runtimes: tuple[str, ...] = ()
    compatible_architectures: tuple[str, ...] = ()
    license_info: str | None = None


@dataclass(frozen=True, slots=True)
class EventInvokeConfig:
    """How asynchronous invocations of one qualifier are retried and where their results go."""

    function_name: str
    qualifier: str
    last_modified_s: float
    maximum_retry_attempts: int = limits.EVENT_RETRIES_MAX
    maximum_event_age_s: int = limits.EVENT_AGE_MAX_S
    on_success_arn: str | None = None
    on_failure_arn: str | None = None


@dataclass(frozen=True, slots=True)
class ProvisionedConfig:
    """How many environments of a version, or of what an alias names, are kept initialised."""

    function_name: str
    #: A version's number or an alias.
    qualifier: str
    #: RequestedProvisionedConcurrentExecutions.
    requested: int
    #: As AWS writes it: 2026-11-23T08:44:39+0000.
    last_modified: str
