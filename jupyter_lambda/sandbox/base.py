"""The words between the engine and its sandboxes: what a driver is given and what it must do.

A *driver* starts, freezes, kills and sweeps; a *process* is what it started (a container, or a process group); a
*sandbox* (``sandbox.Sandbox``) joins a process to its Runtime API session and log, and is all the engine sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from jupyter_lambda.model.stream import ResponseStream

#: Takes (request id or None outside an invocation, bytes the function wrote). Called in the event loop; must not block.
LogSink = Callable[[str | None, bytes], None]


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """All that a driver needs to know to start one environment. Paths and image names are the engine's own choice:
    no field of an API request reaches ``code_dir``, ``layers_dir`` or ``interpreter`` unchecked."""

    #: 16 hex digits; names the container and the sandbox's directory.
    sandbox_id: str
    function_name: str
    version: str
    memory_mb: int
    ephemeral_storage_mb: int
    #: "module.function" for Python, anything for others; "" where the image decides.
    handler: str
    #: Every environment variable the function sees except those the sandbox itself sets
    #: (AWS_LAMBDA_RUNTIME_API, AWS_ENDPOINT_URL, HOME, TMPDIR, PATH, LD_LIBRARY_PATH, PYTHONPATH).
    environment: Mapping[str, str]
    #: Unpacked deployment package, mounted read-only at /var/task; None for images.
    code_dir: Path | None
    #: Unpacked layers in order; laid over each other at /opt, read-only.
    layer_dirs: tuple[Path, ...] = ()
    #: "host": an empty image with the host's interpreter and packages mounted; "image": a local image.
    kind: Literal["host", "image"] = "host"
    #: Of a host environment: the interpreter (its prefix and base prefix are mounted). None: a custom ``bootstrap``
    #: from the package (``provided`` runtimes).
    interpreter: Path | None = None
    image: str | None = None
    entry_point: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    working_directory: str | None = None
    network: Literal["none", "egress"] = "none"


@dataclass(frozen=True, slots=True)
class GenericSpec:
    """A sandbox that is started ahead of need, for a function that is not known yet: see `Driver.prepare`.

    It holds nothing of any function before it is adopted by one, and never serves another afterwards."""

    #: 16 hex digits; the function that adopts it takes it over.
    sandbox_id: str
    interpreter: Path
    network: Literal["none", "egress"]
    #: Its limit until it is adopted.
    memory_mb: int
    #: Of the function that will adopt it: /tmp can't be resized.
    ephemeral_storage_mb: int = 512
    #: Modules of the host's own packages that are imported ahead, in this order.
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the runtime of a generic sandbox is told when a function adopts it."""

    #: The whole environment that the first process of a fresh sandbox of this function would have been given.
    environment: Mapping[str, str]
    #: Its working directory, as it is called inside.
    directory: str


@dataclass(frozen=True, slots=True)
class Exit:
    """How a sandbox's process ended. ``code`` is None when a signal ended it."""

    code: int | None
    signal: int | None = None
    oom_killed: bool = False
    #: True when the container engine failed or restarted: not the function's fault.
    system: bool = False


@dataclass(slots=True)
class RuntimeEvent:
    """One event as the Runtime API hands it to the function."""

    request_id: str
    payload: bytes
    invoked_arn: str
    #: Milliseconds since the epoch: Lambda-Runtime-Deadline-Ms.
    deadline_ms: int
    trace_id: str | None = None
    #: JSON text: Lambda-Runtime-Client-Context.
    client_context: str | None = None
    #: JSON text: Lambda-Runtime-Cognito-Identity.
    cognito_identity: str | None = None
    #: Takes the answer as it comes, where the runtime sends it so; None: it is wanted whole.
    stream: ResponseStream | None = None


@dataclass(slots=True)
class SandboxOutcome:
    """What came of one event. Never an exception: a failing function is a result."""

    kind: Literal["response", "error", "timeout", "exit", "oom", "too_large", "cancelled", "system"]
    #: The function's answer, or the error document {errorMessage, errorType, …} as the runtime reported it; b"" where
    #: the sandbox died without one.
    payload: bytes
    run_ms: float
    error_type: str | None = None
    exit: Exit | None = None
    memory_used_mb: int | None = None
    #: True when the environment may serve another event.
    reusable: bool = True
    #: False when the function never got the event (its process had ended, or ended before it asked): running the event
    #: in another environment can't run it twice.
    delivered: bool = True


@dataclass(frozen=True, slots=True)
class InitOutcome:
    """What came of initialisation."""

    kind: Literal["ready", "error", "timeout", "exit", "oom", "system"]
    #: From the start of the runtime to its first ``next``, in milliseconds.
    init_ms: float
    #: The error document of /runtime/init/error, or b"".
    payload: bytes = b""
    error_type: str | None = None
    exit: Exit | None = None
    #: Modules that importing the handler loaded from the host's own packages (never from the function's or a layer), in
    #: that order, where it took longer than `runtime.imports.REPORT_MS`; what to prepare a generic sandbox with.
    imports: tuple[str, ...] = ()
    #: How long importing the handler took, where ``imports`` were reported.
    import_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``doctor``."""

    level: Literal["ok", "warning", "error"]
    #: e.g. "docker", "memory limit", "cgroup"
    subject: str
    #: What was found.
    text: str
    #: What to do about it; "" when nothing.
    advice: str = ""


class Process(Protocol):
    """A started container or process group."""

    async def wait(self) -> Exit:
        """Until it has ended; may be awaited by several, and again after the end."""

    def settle(self) -> None:
        """Initialisation is over: from now on the CPU share is the one that goes with the memory. Idempotent."""

    async def freeze(self) -> None:
        """Stop all its tasks where they stand (cgroup freezer, SIGSTOP)."""

    async def thaw(self) -> None:
        """Let them go on."""

    async def kill(self) -> None:
        """End it with everything it started, and remove what it left (container, mounts, directory). Idempotent."""

    async def adopt(self, spec: SandboxSpec) -> Assignment:
        """Of a generic one: make it this function's: code, layers, limits. Once.

        Returns:
            What its runtime is to be told.
        Raises:
            DriverError: It can't be; kill it.
        """

    def memory_peak_mb(self) -> int | None:
        """Most memory used so far, in MB rounded up; None where the host doesn't tell. Cheap: one file read."""


class Driver(Protocol):
    """One way of running sandboxes."""

    #: "docker" or "process".
    name: str
    #: False: announced as not isolated wherever a person can see it.
    isolated: bool
    #: Whether ``prepare`` works here.
    can_prepare: bool

    async def open(self) -> None:
        """Connect, check, and sweep what an earlier engine of this installation left.

        Raises:
            DriverError: It can't work here; the message says why and what to do.
        """

    async def start(self, spec: SandboxSpec, directory: Path, log: Callable[[bytes], None]) -> Process:
        """Start one sandbox whose Runtime API socket is ``directory/run/api.sock`` (listening already).

        Args:
            directory: The sandbox's own, made by the caller; contains ``run/`` (mounted at /run/jl); the driver may add
                to it and removes it in ``kill``.
            log: Takes what the sandbox writes to stdout and stderr where the driver itself carries it (images, whose
                output does not go through ``run/log``).
        Raises:
            DriverError: It could not be started.
        """

    async def prepare(self, spec: GenericSpec, directory: Path, log: Callable[[bytes], None]) -> Process:
        """Start a generic sandbox, whose runtime then asks on its socket for its assignment: `Process.adopt`.

        Raises:
            DriverError: It could not be started, or this driver has no such thing.
        """

    def can_adopt(self, spec: SandboxSpec) -> bool:
        """Whether a generic sandbox of this driver would do as well as a fresh one, beyond `adoption.can_adopt`."""

    async def probe(self) -> list[Finding]:
        """Findings for ``doctor``; never raises."""

    async def image_exists(self, image: str) -> str | None:
        """The image's id (sha256:…) if it is on this host, else None."""

    async def close(self) -> None:
        """Kill and remove every sandbox that is left."""


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Plain values from config.py for drivers."""

    state_dir: Path
    #: Identifies this installation (state directory); containers carry it as a label.
    installation_id: str
    #: Differs for each start of an engine on the same state directory.
    epoch: str
    docker_url: str | None = None
    #: Extra read-only host paths for host environments, from configuration only (editable installs, shared data).
    host_paths: tuple[Path, ...] = ()
    #: First uid of the range from which each sandbox gets its own.
    uid_base: int = 200_000
    uid_count: int = 20_000
    #: How containers reach the Runtime API: a Unix socket in a mounted directory, or TCP with a token.
    transport: Literal["unix", "tcp"] = "unix"
