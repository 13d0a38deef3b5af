"""What this host and its container engine are found to be, once at the start, and the findings that follow from it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.base import Finding
from jupyter_lambda.sandbox.docker.cgroup import CgroupPaths
from jupyter_lambda.sandbox.docker.client import DockerClient, EngineFacts
from jupyter_lambda.sandbox.docker.image import ensure_host_image
from jupyter_lambda.sandbox.docker.layout import Layout, system_mounts
from jupyter_lambda.sandbox.docker.probe import (
    MEMORY_MB,
    SCRIPT,
    Enforced,
    disk_finding,
    enforcement_findings,
    engine_findings,
    host_findings,
    look_inside,
)
from jupyter_lambda.sandbox.docker.profile import INIT_CPUS, ContainerSpec, Mount
from jupyter_lambda.sandbox.docker.scratch import Scratch

#: In the state directory, while the trial container runs.
_PROBE = "probe"
#: Size of the trial container's /tmp.
_TRIAL_MB = 16


@dataclass(frozen=True, slots=True)
class Host:
    """The result."""

    facts: EngineFacts
    #: Id of the image of host environments.
    image: str
    #: The system's directories and the configured host paths.
    mounts: tuple[Mount, ...]
    enforced: Enforced
    #: None where control groups can't be seen from here.
    cgroups: CgroupPaths | None
    #: Why /tmp is in memory; None when it is on disk.
    scratch_problem: str | None

    @property
    def init_cpus(self) -> float:
        """What containers are created with; where control groups can be written they get it after their start."""
        return 0.0 if self.cgroups is not None and self.cgroups.writable else INIT_CPUS

    def findings(self, url: str, state_dir: Path, firewall_problem: str | None) -> list[Finding]:
        """Lines of ``doctor``; blocking."""
        findings = engine_findings(self.facts, url)
        findings += enforcement_findings(self.enforced, self.facts)
        findings += host_findings(
            scratch_problem=self.scratch_problem,
            firewall_problem=firewall_problem,
            freezer=self.cgroups is not None and self.cgroups.writable,
            peak=self.cgroups is not None,
            root=os.geteuid() == 0,
        )
        for path in (self.facts.root_dir, state_dir):
            try:
                findings.append(disk_finding(path, shutil.disk_usage(path).free))
            except OSError as exc:
                findings.append(Finding("warning", "disk", f"{path} can't be looked at: {exc.strerror}"))
        return findings


async def examine_host(
    client: DockerClient,
    *,
    state_dir: Path,
    host_paths: Sequence[Path],
    scratch: Scratch,
    uid: int,
    labels: Mapping[str, str],
    layout: Callable[[Path], Awaitable[Layout]],
) -> Host:
    """Connect, make the image, and run the trial container; changes nothing that belongs to a running engine.

    Raises:
        DriverError: Docker can't be reached or used.
    """
    facts = await client.connect()
    mounts = await asyncio.to_thread(lambda: (*system_mounts(), *(Mount(path, str(path)) for path in host_paths)))
    image = await ensure_host_image(client)
    problem = await asyncio.to_thread(scratch.unavailable)
    interpreter = await layout(Path(sys.executable))
    directory = state_dir / f"{_PROBE}-{os.getpid()}"

    async def trial(facts: EngineFacts, *, on_disk: bool) -> tuple[Enforced | None, CgroupPaths | None]:
        place = await asyncio.to_thread(_prepare, directory, uid, scratch if on_disk else None)
        spec = ContainerSpec(
            image=image,
            uid=uid,
            memory_mb=MEMORY_MB,
            environment={},
            labels=labels,
            mounts=[*mounts, *interpreter.mounts, Mount(place, "/tmp", read_only=False)],  # noqa: S108  # its own
            command=[interpreter.executable, "-I", "-S", "-c", SCRIPT],
        )
        try:
            return await look_inside(client, facts, spec, place)
        finally:
            await asyncio.to_thread(_clear, directory, scratch)

    on_disk = problem is None
    try:
        try:
            enforced, cgroups = await trial(facts, on_disk=on_disk)
        except DriverError:
            if not facts.init:
                raise
            # An engine may name an init that is not installed; if that was all, the sandboxes do without.
            facts = replace(facts, init=False)
            enforced, cgroups = await trial(facts, on_disk=on_disk)
        if enforced is None and on_disk:
            problem = "Docker does not see file systems that this process mounts (another mount namespace)"
            enforced, cgroups = await trial(facts, on_disk=False)
    except OSError as exc:
        raise DriverError(f"the state directory {state_dir} can't be written: {exc}") from exc
    if enforced is None:
        raise DriverError(
            f"Docker at {client.url} sees other directories than this process (it runs on another host or in a virtual "
            f"machine): {state_dir} can't be mounted into its containers. Use a Docker engine of this host, or the "
            "process driver."
        )
    return Host(facts, image, mounts, enforced, cgroups, problem)


def _prepare(directory: Path, uid: int, scratch: Scratch | None) -> Path:
    """A directory for the trial container to write to: on a file system of its own where ``scratch`` is given."""
    if scratch is not None:
        return scratch.mount(directory, _TRIAL_MB, uid)
    directory.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(directory, uid, uid)
        directory.chmod(0o700)
    else:
        directory.chmod(0o777)
    return directory


def _clear(directory: Path, scratch: Scratch) -> None:
    scratch.release(directory)
    shutil.rmtree(directory, ignore_errors=True)
