"""The parts of the Docker driver that need no Docker."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.base import Exit
from jupyter_lambda.sandbox.docker.attach import Frames
from jupyter_lambda.sandbox.docker.cgroup import Cgroup, CgroupError, locate
from jupyter_lambda.sandbox.docker.client import Conflict, EngineFacts, Missing, translated
from jupyter_lambda.sandbox.docker.events import ExitWatch, exit_of
from jupyter_lambda.sandbox.docker.image import image_tar
from jupyter_lambda.sandbox.docker.layers import LayerCache
from jupyter_lambda.sandbox.docker.layout import examine, refuse, system_mounts
from jupyter_lambda.sandbox.docker.network import METADATA, bridge_name, name_servers, rules
from jupyter_lambda.sandbox.docker.probe import Enforced, disk_finding, enforcement_findings
from jupyter_lambda.sandbox.docker.uids import UidPool


def test_importing_the_driver_does_not_import_docker() -> None:
    code = "import sys, jupyter_lambda.sandbox.docker; print([m for m in ('docker', 'requests') if m in sys.modules])"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"


# --- uids


def test_a_uid_is_not_used_again_while_its_sandbox_lives() -> None:
    pool = UidPool(1000, 3, "00000002ff")
    first = pool.take()
    assert first == 1002
    assert {pool.take(), pool.take()} == {1000, 1001}
    with pytest.raises(DriverError, match="all 3 uids"):
        pool.take()
    pool.give_back(1000)
    assert pool.take() == 1000


# --- errors


def test_dockers_errors_become_ours() -> None:
    import docker.errors
    import requests

    def status(code: int) -> Any:
        response = requests.Response()
        response.status_code = code
        return response

    cases: list[tuple[Exception, type[DriverError], str]] = [
        (docker.errors.NotFound("x", explanation="no such container"), Missing, "no such container"),
        (docker.errors.APIError("x", response=status(409), explanation="in use"), Conflict, "in use"),
        (docker.errors.APIError("x", response=status(500), explanation="disk full"), DriverError, "disk full"),
        (requests.exceptions.ReadTimeout(), DriverError, "did not answer in time"),
        (requests.exceptions.ConnectionError("refused"), DriverError, "systemctl start docker"),
        (PermissionError(13, "Permission denied"), DriverError, "group docker"),
    ]
    for error, kind, text in cases:
        with pytest.raises(kind, match=text) as caught, translated("start a container"):
            raise error
        assert caught.value.code == "ServiceException"
        assert caught.value.__cause__ is error


# --- output


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
def test_frames_in_any_pieces(size: int) -> None:
    stream = b"".join(
        bytes([kind, 0, 0, 0]) + len(data).to_bytes(4, "big") + data
        for kind, data in ((1, b"one\n"), (2, b""), (2, b"two" * 50), (1, b"\x00"))
    )
    frames = Frames()
    got = b"".join(frames.feed(stream[start : start + size]) for start in range(0, len(stream), size))
    assert got == b"one\n" + b"two" * 50 + b"\x00"


# --- ends


@pytest.mark.parametrize(
    ("code", "expected"),
    [(0, Exit(0)), (1, Exit(1)), (128, Exit(128)), (137, Exit(None, 9)), (143, Exit(None, 15)), (255, Exit(255))],
)
def test_docker_tells_signals_as_codes(code: int, expected: Exit) -> None:
    assert exit_of(code, oom=False, system=False) == expected


class FakeClient:
    """Answers inspections; the event stream is the test's own."""

    def __init__(self) -> None:
        self.states: dict[str, dict[str, Any]] = {}

    async def call(self, doing: str, function: Callable[[Any], Any]) -> Any:
        return function(self)

    def inspect_container(self, container_id: str) -> dict[str, Any]:
        if container_id not in self.states:
            raise Missing("gone")
        return {"State": self.states[container_id]}


FACTS = EngineFacts.read({"Version": "1", "ApiVersion": "1.41"}, {})


def event(action: str, container_id: str = "c") -> dict[str, Any]:
    return {"id": container_id, "Action": action}


async def ending(state: dict[str, Any] | None, *actions: str, away: bool = False) -> Exit:
    client = FakeClient()
    watch = ExitWatch(client, FACTS, "label")  # type: ignore[arg-type]
    end = watch.watch("c")
    if state is not None:
        client.states["c"] = state
    for action in actions:
        watch._on_event(event(action))
    if away:
        watch._on_connected()
    return await asyncio.wait_for(end, 5)


async def test_both_signals_of_memory() -> None:
    assert (await ending({"ExitCode": 137, "OOMKilled": True}, "die")).oom_killed
    assert (await ending({"ExitCode": 137, "OOMKilled": False}, "oom", "die")).oom_killed
    assert (await ending({"ExitCode": 137, "OOMKilled": False}, "die", "oom")).oom_killed, "it may come late"
    assert await ending({"ExitCode": 0, "OOMKilled": True}, "die") == Exit(0, oom_killed=True), "a child alone"


async def test_killed_by_docker_is_a_system_error() -> None:
    assert await ending({"ExitCode": 143}, "kill", "die") == Exit(None, 15, system=True)
    assert await ending({"ExitCode": 143}, "die") == Exit(None, 15), "by itself"
    assert (await ending(None, "die")).system, "removed by somebody"


async def test_what_happened_while_docker_was_away() -> None:
    for code in (137, 143, 255):
        assert (await ending({"ExitCode": code}, away=True)).system
    assert await ending({"ExitCode": 3}, away=True) == Exit(3)


async def test_running_on_while_docker_was_away() -> None:
    client = FakeClient()
    watch = ExitWatch(client, FACTS, "label")  # type: ignore[arg-type]
    end = watch.watch("c")
    client.states["c"] = {"Running": True}
    watch._on_connected()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not end.done()
    client.states["c"] = {"ExitCode": 4}
    watch._on_event(event("die"))
    assert await asyncio.wait_for(end, 5) == Exit(4)


async def test_our_own_kill_is_told_by_us() -> None:
    watch = ExitWatch(FakeClient(), FACTS, "label")  # type: ignore[arg-type]
    end = watch.watch("c")
    watch.killing("c")
    watch._on_event(event("kill"))
    watch._on_event(event("die"))
    await asyncio.sleep(0)
    assert not end.done()
    watch.removed("c")
    assert end.result() == Exit(None, 9)


# --- control groups


def fake_proc(tmp_path: Path, groups: str, mounts: str) -> Path:
    proc = tmp_path / "proc"
    (proc / "7").mkdir(parents=True)
    (proc / "self").mkdir()
    (proc / "7" / "cgroup").write_text(groups)
    (proc / "self" / "mountinfo").write_text(mounts)
    return proc


def group(tmp_path: Path, *files: str) -> None:
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def test_cgroup_version_1_is_found(tmp_path: Path) -> None:
    mounts = "".join(
        f"1 0 0:1 / {tmp_path}/{name} rw - cgroup cgroup rw,{name}\n" for name in ("memory", "freezer", "cpu,cpuacct")
    )
    names = ("memory", "freezer", "cpu,cpuacct", "name=systemd", "")
    groups = "".join(f"{number}:{name}:/docker/abc\n" for number, name in enumerate(names))
    group(
        tmp_path, "memory/docker/abc/x", "freezer/docker/abc/freezer.state", "cpu,cpuacct/docker/abc/cpu.cfs_quota_us"
    )
    paths = locate(7, "abc", fake_proc(tmp_path, groups, mounts))
    assert paths is not None
    assert paths.version == 1
    assert paths.of("def").memory == tmp_path / "memory/docker/def"


def test_cgroup_version_2_is_found(tmp_path: Path) -> None:
    mounts = f"1 0 0:1 / {tmp_path}/unified rw - cgroup2 cgroup2 rw\n"
    scope = "system.slice/docker-abc.scope"
    group(tmp_path, f"unified/{scope}/cgroup.freeze", f"unified/{scope}/cpu.max")
    paths = locate(7, "abc", fake_proc(tmp_path, f"0::/{scope}\n", mounts))
    assert paths is not None
    assert paths.version == 2
    assert paths.of("def").freezer == tmp_path / "unified/system.slice/docker-def.scope"


def test_a_cgroup_of_another_host_is_not_used(tmp_path: Path) -> None:
    assert locate(0, "abc", tmp_path) is None
    assert locate(7, "abc", fake_proc(tmp_path, "0::/elsewhere\n", "")) is None


def test_cgroup_version_2_freezes(tmp_path: Path) -> None:
    group(tmp_path, "cgroup.freeze", "cpu.max")
    (tmp_path / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    (tmp_path / "memory.peak").write_text("1048577\n")
    cgroup = Cgroup(2, tmp_path, tmp_path, tmp_path)
    cgroup.freeze()
    assert (tmp_path / "cgroup.freeze").read_text() == "1"
    assert cgroup.frozen()
    cgroup.thaw()
    assert (tmp_path / "cgroup.freeze").read_text() == "0"
    cgroup.set_cpu(0.5)
    assert (tmp_path / "cpu.max").read_text() == "10000 20000"
    assert cgroup.memory_peak_bytes() == 1_048_577
    gone = Cgroup(2, tmp_path / "x", tmp_path / "x", tmp_path / "x")
    assert gone.memory_peak_bytes() is None
    for act in (gone.thaw, gone.freeze, gone.frozen, gone.first_pid, lambda: gone.set_memory(1, 2)):
        with pytest.raises(CgroupError):
            act()


def test_cgroup_version_2_limits(tmp_path: Path) -> None:
    group(tmp_path, "memory.max", "cpu.weight", "cgroup.procs")
    (tmp_path / "cgroup.procs").write_text("17\n4\n")
    cgroup = Cgroup(2, tmp_path, tmp_path, tmp_path)
    cgroup.set_memory(5, 7)
    assert (tmp_path / "memory.max").read_text() == "5"
    cgroup.set_shares(1024)
    assert (tmp_path / "cpu.weight").read_text() == "39"  # what runc makes of Docker's default
    assert cgroup.first_pid() == 17


@pytest.mark.parametrize("before", [1, 9])
def test_cgroup_version_1_limits(tmp_path: Path, before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel refuses a limit of memory that is over the one of memory and swap."""
    names = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max_usage_in_bytes"]
    group(tmp_path, *names)
    written: list[str] = []
    write = Cgroup._write
    monkeypatch.setattr(
        Cgroup, "_write", staticmethod(lambda path, text: (written.append(path.name), write(path, text)))
    )
    Cgroup(1, tmp_path, tmp_path, tmp_path).set_memory(5, before)
    assert written == ([names[1], names[0]] if before < 5 else names[:2]) + names[2:]
    assert [(tmp_path / name).read_text() for name in names] == ["5", "5", "0"]


# --- layout


@pytest.mark.parametrize("path", ["/", "/home", "/root", "/etc", "/usr", "/var/lib", "/tmp"])
def test_what_is_never_mounted(path: str) -> None:
    with pytest.raises(DriverError, match="virtual environment"):
        refuse(Path(path), [], "the interpreter")


def test_the_state_directory_is_never_mounted(tmp_path: Path) -> None:
    state = tmp_path / "project" / "state"
    state.mkdir(parents=True)
    for path in (tmp_path / "project", state):
        with pytest.raises(DriverError):
            refuse(path, [state], "the host path")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "project")
    with pytest.raises(DriverError):
        refuse(link, [state], "the host path")
    refuse(tmp_path / "other", [state], "the host path")


async def test_this_interpreters_layout() -> None:
    layout = await examine(Path(sys.executable), [])
    mounted = [mount.source for mount in layout.mounts]
    assert all(mount.read_only for mount in layout.mounts)
    for needed in (sys.prefix, sys.base_prefix, os.__file__):
        path = Path(needed)
        assert any(path.is_relative_to(place) for place in [*mounted, Path("/usr/lib"), Path("/usr")])
    assert Path.cwd() not in mounted, "the environment, not the project around it"


@pytest.mark.parametrize(("text", "message"), [("#!/bin/sh\necho no", "can't tell"), ("#!/no/such", "can't be run")])
async def test_no_interpreter_at_all(tmp_path: Path, text: str, message: str) -> None:
    program = tmp_path / "python"
    program.write_text(text)
    program.chmod(0o755)
    with pytest.raises(DriverError, match=message):
        await examine(program, [])


def test_system_mounts_have_no_secrets() -> None:
    targets = [mount.target for mount in system_mounts()]
    assert "/usr/lib" in targets
    assert not {"/etc", "/etc/shadow", "/etc/ssl", "/etc/ssl/private", "/usr", "/root", "/home", "/var"} & set(targets)


def test_the_image_is_the_same_each_time() -> None:
    assert image_tar() == image_tar()
    with tarfile.open(fileobj=io.BytesIO(image_tar({"lib": "usr/lib"}))) as tar:
        assert tar.getmember("lib").linkname == "usr/lib"
        assert tar.getmember("var/task").isdir()
        assert oct(tar.getmember("tmp").mode) == "0o1777"
        assert b"/root" not in tar.extractfile("etc/passwd").read()  # type: ignore[union-attr]


# --- layers


def test_layers_are_laid_over_each_other(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    for layer in (one, two):
        (layer / "python").mkdir(parents=True)
        (layer / "python" / "both").write_text(layer.name)
        (layer / f"only{layer.name}").write_text("x")
    (one / "place").mkdir()
    (one / "place" / "file").write_text("x")
    (two / "place").write_text("a file now")
    (one / "link").symlink_to("only1")
    cache = LayerCache(tmp_path / "state")
    assert cache.merged([]) is None
    assert cache.merged([one]) == one
    merged = cache.merged([one, two])
    assert merged is not None
    assert sorted(p.name for p in merged.iterdir()) == ["link", "only1", "only2", "place", "python"]
    assert (merged / "python" / "both").read_text() == "2"
    assert (merged / "place").read_text() == "a file now"
    assert (merged / "link").readlink() == Path("only1")
    assert (merged / "only1").stat().st_nlink == 2, "no space taken"
    assert cache.merged([one, two]) == merged
    assert (one / "python" / "both").read_text() == "1", "the layers themselves are untouched"
    cache.clear()
    assert not merged.exists()


# --- network


def test_name_servers_beyond_loopback(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(
        "# x\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\nnameserver ::1\nnameserver\n"
    )
    assert name_servers([file, tmp_path / "none", file]) == ["10.0.0.2"]


def test_firewall_rules() -> None:
    chains = rules("jl-0123456789", ["169.254.169.254"])
    assert chains["jl-0123456789-in"][-1] == ["-j", "DROP"], "nothing of the host itself"
    forward = chains["jl-0123456789-fwd"]
    assert forward[0] == ["-d", "169.254.169.254", "-p", "udp", "--dport", "53", "-j", "RETURN"], (
        "a resolver may live there"
    )
    assert [rule[1] for rule in forward if rule[-1] == "DROP"] == list(METADATA)


def test_names_fit_the_kernel() -> None:
    assert len(bridge_name("0" * 32)) <= 15
    assert len(f"{bridge_name('0' * 32)}-fwd") <= 28


# --- probing

ANSWER = {
    "memory": str(256 << 20), "pids": "1024", "cpu": "2894", "seccomp": "2", "no_new_privileges": "1",
    "capabilities": "0000000000000000", "vsock_refused": True, "user_namespace_refused": True, "root_read_only": True,
}  # fmt: skip


def test_all_is_enforced() -> None:
    enforced = Enforced.read(ANSWER)
    assert enforced.limits
    assert enforced.isolation
    assert all(finding.level == "ok" for finding in enforcement_findings(enforced, FACTS))


@pytest.mark.parametrize(
    ("change", "subject"),
    [({"memory": "9223372036854771712"}, "memory limit"), ({"memory": "max"}, "memory limit"),
     ({"pids": "max"}, "process limit"),
     ({"cpu": "-1"}, "CPU limit"), ({"cpu": "max 100000"}, "CPU limit"), ({"seccomp": "0"}, "seccomp"),
     ({"vsock_refused": False}, "seccomp"), ({"capabilities": "00000000a80425fb"}, "privileges"),
     ({"root_read_only": False}, "root file system")],
)  # fmt: skip
def test_what_is_not_enforced_is_said(change: dict[str, Any], subject: str) -> None:
    findings = enforcement_findings(Enforced.read({**ANSWER, **change}), FACTS)
    (bad,) = (finding for finding in findings if finding.level != "ok")
    assert bad.subject == subject
    assert bad.level == "error"
    assert bad.advice


def test_little_disk() -> None:
    assert disk_finding(Path("/x"), 10 << 30).level == "ok"
    assert disk_finding(Path("/x"), 1 << 30).level == "warning"
