"""From the engine's SandboxSpec to a container's: the environments of host functions and of images."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_lambda.sandbox.adoption import VARIABLES
from jupyter_lambda.sandbox.base import GenericSpec, SandboxSpec
from jupyter_lambda.sandbox.docker.layout import RUNTIME_DIR, Layout
from jupyter_lambda.sandbox.docker.profile import ContainerSpec, Mount
from jupyter_lambda.sandbox.docker.sidecar import ADDRESS

_SYSTEM_PATH = "/opt/bin:/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Place:
    """What the host has prepared for one sandbox."""

    uid: int
    directory: Path
    #: Of a file system on disk to be mounted at /tmp; None for one in memory.
    scratch: Path | None
    #: The layers laid over each other; None without.
    opt: Path | None
    network: str
    labels: Mapping[str, str]

    def mounts(self) -> tuple[Mount, ...]:
        """The sandbox's own: its socket and log, and /tmp."""
        own = [Mount(self.directory / "run", "/run/jl")]
        if self.scratch is not None:
            own.append(Mount(self.scratch, "/tmp", read_only=False))  # noqa: S108  # the sandbox's own
        return tuple(own)


def runtime_mount() -> Mount:
    """Our runtime's files."""
    return Mount(RUNTIME_DIR, "/var/runtime")


def write_passwd(directory: Path, uid: int) -> Mount:
    """Give the sandbox's uid a name, which getpass, ssh and git want; blocking."""
    path = directory / "passwd"
    path.write_text(
        "root:x:0:0:root:/:/usr/sbin/nologin\n"
        f"sbx_user:x:{uid}:{uid}:sandbox:/tmp:/usr/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
    )
    path.chmod(0o644)
    return Mount(path, "/etc/passwd")


def host_variables(own: Mapping[str, str], layout: Layout) -> dict[str, str]:
    """The whole environment of a host function's first process.

    Args:
        own: The function's part of it.
    """
    return {
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        **own,
        "HOME": "/tmp",  # noqa: S108  # the sandbox's own
        "TMPDIR": "/tmp",  # noqa: S108
        "PATH": f"{os.path.dirname(layout.executable)}:{_SYSTEM_PATH}",  # noqa: PTH120  # a path inside
        "LD_LIBRARY_PATH": "/var/task:/var/task/lib:/opt/lib",
        "JUPYTER_LAMBDA_SOCKET": "/run/jl/api.sock",
        "JUPYTER_LAMBDA_LOG": "/run/jl/log",
        "JUPYTER_LAMBDA_FORWARD": ADDRESS,
        "JUPYTER_LAMBDA_OPT": "/opt",
        **_endpoint(own),
    }


def generic_environment(
    spec: GenericSpec, place: Place, layout: Layout, image: str, mounts: Sequence[Mount]
) -> ContainerSpec:
    """A container that waits for its function.

    Args:
        mounts: The system's, the configured host paths, the passwd file, the slot.
    """
    variables = host_variables(VARIABLES, layout)
    return ContainerSpec(
        image=image,
        uid=place.uid,
        memory_mb=spec.memory_mb,
        environment={**variables, "JUPYTER_LAMBDA_GENERIC": json.dumps(spec.imports)},
        labels=place.labels,
        mounts=[*mounts, *layout.mounts, *place.mounts(), runtime_mount()],
        network=place.network,
        command=[layout.executable, "-I", "/var/runtime/bootstrap.py"],
        working_directory="/var/task",
        tmpfs_mb=spec.ephemeral_storage_mb if place.scratch is None else None,
    )


def host_environment(
    spec: SandboxSpec, place: Place, layout: Layout, image: str, mounts: Sequence[Mount]
) -> ContainerSpec:
    """A function on this host's interpreter, or with a ``bootstrap`` of its own.

    Args:
        mounts: The system's, the configured host paths, the passwd file.
    """
    all_mounts = [*mounts, *layout.mounts, *place.mounts(), runtime_mount()]
    if spec.code_dir is not None:
        all_mounts.append(Mount(spec.code_dir, "/var/task"))
    if place.opt is not None:
        all_mounts.append(Mount(place.opt, "/opt"))
    variables = host_variables({"_HANDLER": spec.handler, **spec.environment}, layout)
    command = [layout.executable, "-I", "/var/runtime/bootstrap.py"]
    if spec.interpreter is None:
        command.append("--custom")
    return ContainerSpec(
        image=image,
        uid=place.uid,
        memory_mb=spec.memory_mb,
        environment=variables,
        labels=place.labels,
        mounts=all_mounts,
        network=place.network,
        command=command,
        working_directory=spec.working_directory or "/var/task",
        tmpfs_mb=spec.ephemeral_storage_mb if place.scratch is None else None,
    )


def image_environment(spec: SandboxSpec, place: Place, image: Mapping[str, Any]) -> ContainerSpec:
    """A function that is an image: its own program, directory and variables, unless the function overrides them.

    Args:
        image: Docker's description of it.
    """
    config = image.get("Config") or {}
    command = spec.command
    if command is None and spec.entry_point is not None:
        # Docker drops an image's command where the entry point is overridden; AWS keeps it.
        command = tuple(config.get("Cmd") or ())
    own = {entry.partition("=")[0] for entry in config.get("Env") or ()}
    defaults = {} if "HOME" in own else {"HOME": "/tmp"}  # noqa: S108  # the sandbox's own
    return ContainerSpec(
        image=str(image["Id"]),
        uid=place.uid,
        memory_mb=spec.memory_mb,
        environment={**defaults, **spec.environment, **_endpoint(spec.environment)},
        labels=place.labels,
        mounts=[mount for mount in place.mounts() if mount.target != "/run/jl"],
        network=place.network,
        entry_point=spec.entry_point,
        command=command,
        working_directory=spec.working_directory,
        tmpfs_mb=spec.ephemeral_storage_mb if place.scratch is None else None,
        volumes={
            f"jl-{spec.sandbox_id}-{number}": path
            for number, path in enumerate(sorted(config.get("Volumes") or {}))
            if path != "/tmp"  # noqa: S108  # the sandbox's own
        },
        keep_output=False,
    )


def _endpoint(environment: Mapping[str, str]) -> dict[str, str]:
    """Where the Runtime API and AWS are; a function's own AWS_ENDPOINT_URL stands."""
    return {
        "AWS_LAMBDA_RUNTIME_API": ADDRESS,
        "AWS_ENDPOINT_URL": environment.get("AWS_ENDPOINT_URL", f"http://{ADDRESS}"),
    }
