"""What every container is given: the hardening, the limits, the mounts. Pure: from values to the body of one request.

The list and why each item is there: docs/sandboxes.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jupyter_lambda.model.limits import MEMORY_PER_VCPU_MB
from jupyter_lambda.sandbox.docker.cgroup import CPU_PERIOD_US
from jupyter_lambda.sandbox.docker.client import EngineFacts

#: Processes and threads of one sandbox. Source: AWS Lambda quotas, "Execution processes/threads".
PIDS_MAX = 1_024
#: Source: AWS Lambda quotas, "File descriptors".
FILES_MAX = 1_024
#: Raised for the kernel to choose a sandbox before the engine, the notebook, or anything else of the host.
OOM_SCORE_ADJ = 500
#: Shares of one vCPU while others want it too (Docker's default for a container).
SHARES_PER_CPU = 1_024
#: CPUs of a sandbox while it initialises: importing at a 128 MB function's 7 % of one would take most of the ten
#: seconds it has. AWS gives functions more CPU during initialisation too.
INIT_CPUS = 1.0
MB = 1024 * 1024

#: The kernel's names of architectures → seccomp's.
_SECCOMP_ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64", "arm64": "SCMP_ARCH_AARCH64"}


@dataclass(frozen=True, slots=True)
class Mount:
    """A host path made visible in a container."""

    source: Path
    target: str
    read_only: bool = True

    def to_api(self) -> dict[str, Any]:
        """As Docker's API wants it. Mounts below the source do not come along: they would stay writable."""
        return {
            "Type": "bind",
            "Source": str(self.source),
            "Target": self.target,
            "ReadOnly": self.read_only,
            "BindOptions": {"Propagation": "rprivate", "NonRecursive": True},
        }


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """All that differs from one container to the next."""

    image: str
    uid: int
    memory_mb: int
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    mounts: Sequence[Mount] = ()
    #: "none", a network's id, or "container:<id>".
    network: str = "none"
    entry_point: Sequence[str] | None = None
    command: Sequence[str] | None = None
    working_directory: str | None = None
    #: Size of /tmp as a file system in memory; None where a mount provides it.
    tmpfs_mb: int | None = None
    #: Volume name → path that the image declares as one: its content as in the image, and read-only, for a volume
    #: has no limit of size. (Docker has no anonymous read-only volumes, so they carry names and labels.)
    volumes: Mapping[str, str] = field(default_factory=dict)
    #: False where the output is carried by the attach stream and nothing need be kept.
    keep_output: bool = True
    pids_max: int = PIDS_MAX
    #: CPUs at the start where those of its memory are fewer; 0 for no more than those.
    init_cpus: float = 0.0
    extra_host_config: Mapping[str, Any] = field(default_factory=dict)


def cpus(memory_mb: int) -> float:
    """The share of CPU that goes with a memory size: 1,769 MB have one vCPU.

    Source: AWS Lambda Developer Guide, "Configure Lambda function memory".
    """
    return memory_mb / MEMORY_PER_VCPU_MB


def cpu_quota_us(memory_mb: int) -> int:
    """Microseconds of CPU in each ``CPU_PERIOD_US``; the kernel gives out no less than 1,000."""
    return max(1_000, round(cpus(memory_mb) * CPU_PERIOD_US))


def cpu_shares(memory_mb: int) -> int:
    """Weight against other containers while they want the CPU too; the kernel takes no less than 2."""
    return max(2, round(cpus(memory_mb) * SHARES_PER_CPU))


def shm_bytes(memory_mb: int) -> int:
    """Size of /dev/shm. It counts against the memory limit; multiprocessing puts its semaphores there."""
    return memory_mb * MB // 2


@cache
def seccomp_profile(architecture: str) -> str:
    """The allow-list of system calls, for one architecture only: 32-bit calls on a 64-bit machine are refused whole."""
    profile = json.loads(files(__package__).joinpath("seccomp.json").read_text())
    if native := _SECCOMP_ARCHITECTURES.get(architecture):
        profile["architectures"] = [native]
    return json.dumps(profile, separators=(",", ":"))


def security_options(facts: EngineFacts) -> list[str]:
    """no-new-privileges always; our seccomp profile wherever the engine has seccomp at all."""
    options = ["no-new-privileges:true"]
    if facts.seccomp:
        options.append("seccomp=" + seccomp_profile(facts.architecture))
    return options


def container_config(spec: ContainerSpec, facts: EngineFacts) -> dict[str, Any]:
    """The body of ``POST /containers/create``."""
    config: dict[str, Any] = {
        "Image": spec.image,
        "User": f"{spec.uid}:{spec.uid}",
        "Env": [f"{name}={value}" for name, value in spec.environment.items()],
        "Labels": dict(spec.labels),
        "AttachStdin": False,
        "Tty": False,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(spec, facts),
    }
    if not spec.network.startswith("container:"):
        config["Hostname"] = "sandbox"
    if spec.entry_point is not None:
        config["Entrypoint"] = list(spec.entry_point)
    if spec.command is not None:
        config["Cmd"] = list(spec.command)
    if spec.working_directory:
        config["WorkingDir"] = spec.working_directory
    return config


def _host_config(spec: ContainerSpec, facts: EngineFacts) -> dict[str, Any]:
    mounts = [mount.to_api() for mount in spec.mounts]
    mounts += [
        {
            "Type": "volume",
            "Source": name,
            "Target": path,
            "ReadOnly": True,
            "VolumeOptions": {"Labels": dict(spec.labels)},
        }
        for name, path in spec.volumes.items()
    ]
    host: dict[str, Any] = {
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": security_options(facts),
        "Privileged": False,
        "Init": facts.init,
        "PidsLimit": spec.pids_max,
        "Memory": spec.memory_mb * MB,
        "MemorySwap": spec.memory_mb * MB,
        "CpuPeriod": CPU_PERIOD_US,
        "CpuQuota": max(cpu_quota_us(spec.memory_mb), round(spec.init_cpus * CPU_PERIOD_US)),
        "CpuShares": cpu_shares(spec.memory_mb),
        "OomScoreAdj": OOM_SCORE_ADJ,
        "NetworkMode": spec.network,
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "ShmSize": shm_bytes(spec.memory_mb),
        "Ulimits": [
            {"Name": "nofile", "Soft": FILES_MAX, "Hard": FILES_MAX},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
        "Mounts": mounts,
        "LogConfig": _log_config(keep=spec.keep_output),
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
        **spec.extra_host_config,
    }
    if facts.cgroup_version == 1:
        host["MemorySwappiness"] = 0
    if spec.tmpfs_mb is not None:
        host["Tmpfs"] = {"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={spec.tmpfs_mb}m"}  # noqa: S108  # the sandbox's
    return host


def _log_config(*, keep: bool) -> dict[str, Any]:
    """A host environment writes to its own log, so this holds only what a runtime says before it is up."""
    if not keep:
        return {"Type": "none"}
    return {"Type": "local", "Config": {"max-size": "1m", "max-file": "2"}}
