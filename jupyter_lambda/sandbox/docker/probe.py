"""One container at the start that tells whether all that is asked for is really enforced.

Podman without root on cgroup version 1, and Docker without root, take limits and silently drop them; Docker on another
host mounts other directories. Neither shows in any answer of the API, so a container looks from inside.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.base import Finding
from jupyter_lambda.sandbox.docker.cgroup import CgroupPaths, locate
from jupyter_lambda.sandbox.docker.client import DockerClient, EngineFacts
from jupyter_lambda.sandbox.docker.process import remove_container
from jupyter_lambda.sandbox.docker.profile import PIDS_MAX, ContainerSpec, container_config

#: Limit of the probing container.
MEMORY_MB = 256
MB = 1024 * 1024
#: Written by the probing container into the directory mounted at /tmp.
ANSWER = "answer.json"
_TMP = "/tmp"  # noqa: S108  # the sandbox's own
#: Seconds for the interpreter to start in the container and answer; and between looks.
_ANSWER_TIMEOUT_S, _POLL_S = 15.0, 0.01
#: The script ends by itself after a while: then there is nothing to wait for.
_POLLS_PER_INSPECTION = 50

SCRIPT = """
import ctypes, json, os, socket, time
def read(*paths):
    for path in paths:
        try:
            with open(path) as file:
                return file.read().strip()
        except OSError:
            pass
    return ""
def refused(action):
    try:
        action()
    except OSError:
        return True
    return False
status = dict(line.split(":", 1) for line in read("/proc/self/status").splitlines() if ":" in line)
group = "/sys/fs/cgroup/"
answer = {
    "memory": read(group + "memory/memory.limit_in_bytes", group + "memory.max"),
    "pids": read(group + "pids/pids.max", group + "pids.max"),
    "cpu": read(group + "cpu/cpu.cfs_quota_us", group + "cpu,cpuacct/cpu.cfs_quota_us", group + "cpu.max"),
    "seccomp": status.get("Seccomp", "").strip(),
    "no_new_privileges": status.get("NoNewPrivs", "").strip(),
    "capabilities": status.get("CapBnd", "").strip(),
    "vsock_refused": refused(lambda: socket.socket(40, socket.SOCK_STREAM).close()),
    "user_namespace_refused": ctypes.CDLL(None).unshare(0x10000000) != 0,
    "root_read_only": refused(lambda: open("/probe", "w").close()),
    "uid": os.getuid(),
}
try:
    with open("/tmp/answer.part", "w") as file:
        json.dump(answer, file)
    os.rename("/tmp/answer.part", "/tmp/answer.json")
except OSError:
    raise SystemExit(0)  # not the directory that was meant: Docker sees others
# Long enough for its control group to be looked at from outside.
time.sleep(5)
"""


@dataclass(frozen=True, slots=True)
class Enforced:
    """What the container saw."""

    memory: bool
    pids: bool
    cpu: bool
    seccomp: bool
    no_new_privileges: bool
    capabilities_dropped: bool
    read_only: bool

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> Enforced:
        """From what the script wrote."""
        return cls(
            memory=str(answer["memory"]) == str(MEMORY_MB * MB),
            pids=str(answer["pids"]) == str(PIDS_MAX),
            cpu=_is_quota(str(answer["cpu"])),
            seccomp=answer["seccomp"] == "2"
            and bool(answer["vsock_refused"])
            and bool(answer["user_namespace_refused"]),
            no_new_privileges=answer["no_new_privileges"] == "1",
            capabilities_dropped=int(answer["capabilities"] or "1", 16) == 0,
            read_only=bool(answer["root_read_only"]),
        )

    @property
    def limits(self) -> bool:
        """Memory, processes and CPU."""
        return self.memory and self.pids and self.cpu

    @property
    def isolation(self) -> bool:
        """What keeps a sandbox from the host."""
        return self.seccomp and self.no_new_privileges and self.capabilities_dropped and self.read_only


def _is_quota(text: str) -> bool:
    first = text.split(" ")[0]
    return first.isdigit() and int(first) > 0


def read_answer(directory: Path) -> Enforced | None:
    """None when the container did not write there: the engine's host is another one."""
    try:
        return Enforced.read(json.loads((directory / ANSWER).read_text()))
    except (OSError, ValueError, KeyError):
        return None


async def look_inside(
    client: DockerClient, facts: EngineFacts, spec: ContainerSpec, directory: Path
) -> tuple[Enforced | None, CgroupPaths | None]:
    """Run the probing container and remove it.

    Args:
        spec: A host environment's, with ``directory`` writable at /tmp and the script as its command.
    Returns:
        What it saw (None when the engine's host is another one), and where its control group was.
    Raises:
        DriverError: It could not be started.
    """
    name = f"jl-probe-{secrets.token_hex(4)}"
    config = container_config(spec, facts)
    try:
        answer = await client.call("create a container", lambda api: api.create_container_from_config(config, name))
        container_id = str(answer["Id"])
        await client.call("start a container", lambda api: api.start(container_id))
        enforced = None

        async def inspect() -> dict[str, Any]:
            answer = await client.call("inspect a container", lambda api: api.inspect_container(container_id))
            state: dict[str, Any] = answer["State"]
            return state

        for poll in range(1, round(_ANSWER_TIMEOUT_S / _POLL_S)):
            if (enforced := await asyncio.to_thread(read_answer, directory)) is not None:
                break
            if poll % _POLLS_PER_INSPECTION == 0 and not (await inspect()).get("Running"):
                break
            await asyncio.sleep(_POLL_S)
        state = await inspect()
        paths = await asyncio.to_thread(locate, int(state.get("Pid") or 0), container_id)
        if enforced is None and not state.get("Running") and state.get("ExitCode") != 0:
            text = await client.call("read a container's output", lambda api: api.logs(container_id, tail=20))
            raise DriverError(
                f"a trial container ended with code {state.get('ExitCode')}: {text.decode('utf-8', 'replace').strip()}"
            )
        return enforced, paths
    finally:
        await asyncio.shield(remove_container(client, name))


_LIMITS_ADVICE = {
    True: "run Docker as root, or on cgroup version 2 with systemd's delegation (Docker's manual, 'Rootless mode')",
    False: "enable the memory, pids and cpu controllers of this kernel (cgroup_enable=memory on its command line)",
}


def enforcement_findings(enforced: Enforced, facts: EngineFacts) -> list[Finding]:
    """One line for each limit, and for the isolation as a whole."""
    findings = []
    for subject, held in (
        ("memory limit", enforced.memory),
        ("process limit", enforced.pids),
        ("CPU limit", enforced.cpu),
    ):
        if held:
            findings.append(Finding("ok", subject, "enforced (read back inside a container)"))
        else:
            findings.append(
                Finding(
                    "error", subject, "accepted by Docker but not enforced: a function may take all of this host's",
                    _LIMITS_ADVICE[facts.rootless],
                )
            )  # fmt: skip
    for subject, held, what in (
        ("seccomp", enforced.seccomp, "system calls are limited to our allow-list"),
        (
            "privileges",
            enforced.no_new_privileges and enforced.capabilities_dropped,
            "no capabilities, none to be gained",
        ),
        ("root file system", enforced.read_only, "read-only"),
    ):
        if held:
            findings.append(Finding("ok", subject, what))
        else:
            findings.append(
                Finding(
                    "error", subject, f"not in force: {what}", "run no code here that you do not trust; update Docker"
                )
            )
    return findings


def engine_findings(facts: EngineFacts, url: str) -> list[Finding]:
    """What the engine says of itself."""
    findings = [
        Finding("ok", "docker", f"version {facts.version} (API {facts.api_version}) at {url}, {facts.storage_driver}"),
        Finding("ok", "cgroup", f"version {facts.cgroup_version}"),
    ]
    if facts.rootless:
        findings.append(
            Finding("ok", "rootless", "Docker runs without root: a break-out would end as an ordinary user")
        )
    if not facts.init:
        findings.append(
            Finding(
                "warning", "init", "Docker has no docker-init: processes that a function leaves behind stay as zombies",
                "install tini or docker-init beside dockerd",
            )
        )  # fmt: skip
    if not facts.live_restore:
        findings.append(
            Finding(
                "warning", "live-restore", "off: restarting Docker kills every sandbox with its invocation",
                'set "live-restore": true in /etc/docker/daemon.json',
            )
        )  # fmt: skip
    return findings


def disk_finding(path: Path, free_bytes: int, warn_below_bytes: int = 2 * 1024 * MB) -> Finding:
    """Free space where Docker keeps its data, or where /tmp of sandboxes is kept."""
    text = f"{free_bytes / (1024 * MB):.1f} GB free at {path}"
    if free_bytes >= warn_below_bytes:
        return Finding("ok", "disk", text)
    return Finding("warning", "disk", text, "free some: `docker system prune` removes what Docker no longer needs")


def host_findings(
    *, scratch_problem: str | None, firewall_problem: str | None, freezer: bool, peak: bool, root: bool
) -> Sequence[Finding]:
    """What this process may do on the host."""
    findings = []
    if scratch_problem is None:
        findings.append(Finding("ok", _TMP, "on disk, of the size asked for"))
    else:
        findings.append(
            Finding(
                "warning", _TMP, f"in memory, so what a function writes there counts as its memory: {scratch_problem}",
                "run the engine as root on a host with loop devices and e2fsprogs, or give such functions more memory",
            )
        )  # fmt: skip
    if firewall_problem is None:
        findings.append(
            Finding("ok", "egress", "services of this host and cloud metadata are out of reach of functions")
        )
    else:
        findings.append(
            Finding(
                "warning", "egress",
                f"functions with network egress reach services of this host that listen on all addresses, and a cloud "
                f"machine's metadata service: {firewall_problem}",
                "run the engine as root with iptables, or use network none (the notebook's option --network none)",
            )
        )  # fmt: skip
    if not freezer:
        findings.append(
            Finding(
                "warning", "freezer", "containers' control groups can't be written: freezing takes 20 ms instead of 1",
                "" if root else "run the engine as root on Docker's own host",
            )
        )  # fmt: skip
    if not peak:
        findings.append(
            Finding(
                "warning", "memory used", "not measured: containers' control groups can't be seen from here",
                "run the engine on Docker's own host, outside of any container",
            )
        )  # fmt: skip
    return findings
