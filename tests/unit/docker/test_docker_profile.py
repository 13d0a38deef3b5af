"""The body of the request that creates a container, and the allow-list of system calls."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_lambda.sandbox.base import SandboxSpec
from jupyter_lambda.sandbox.docker.client import EngineFacts, find_url
from jupyter_lambda.sandbox.docker.environment import Place, host_environment, image_environment
from jupyter_lambda.sandbox.docker.layout import Layout
from jupyter_lambda.sandbox.docker.profile import ContainerSpec, Mount, container_config, seccomp_profile

INFO: dict[str, Any] = {
    "Architecture": "x86_64", "CgroupVersion": "2", "SecurityOptions": ["name=seccomp,profile=default"],
    "InitBinary": "docker-init", "InitCommit": {"ID": "de40ad0"}, "DockerRootDir": "/data/docker", "Driver": "overlay2",
}  # fmt: skip
FACTS = EngineFacts.read({"Version": "29.0", "ApiVersion": "1.52"}, INFO)
SPEC = ContainerSpec(image="sha256:1", uid=200_001, memory_mb=512, environment={"A": "1"}, labels={"l": "v"})
FUNCTION = SandboxSpec("0" * 16, "f", "1", 512, 512, "m.h", {"A": "1", "HOME": "/root"}, Path("/code"))
PLACE = Place(200_001, Path("/state/s"), None, None, "none", {})


def host(spec: ContainerSpec = SPEC, facts: EngineFacts = FACTS) -> dict[str, Any]:
    answer: dict[str, Any] = container_config(spec, facts)["HostConfig"]
    return answer


@pytest.mark.parametrize(("memory_mb", "cpus"), [(128, 0.0724), (512, 0.289), (1769, 1.0), (3538, 2.0), (10_240, 5.79)])
def test_cpu_is_proportional_to_memory(memory_mb: int, cpus: float) -> None:
    given = host(replace(SPEC, memory_mb=memory_mb))
    assert given["CpuQuota"] / given["CpuPeriod"] == pytest.approx(cpus, rel=0.01)
    assert given["CpuShares"] / 1024 == pytest.approx(cpus, rel=0.01)
    assert given["CpuQuota"] >= 1_000, "the kernel's least"


def test_memory_leaves_no_swap() -> None:
    assert host()["Memory"] == host()["MemorySwap"] == 512 * 2**20
    assert "MemorySwappiness" not in host(), "an error on cgroup version 2"
    assert host(facts=replace(FACTS, cgroup_version=1))["MemorySwappiness"] == 0


def test_engines_without_something_do_without() -> None:
    assert host(facts=replace(FACTS, init=False))["Init"] is False
    assert host(facts=replace(FACTS, seccomp=False))["SecurityOpt"] == ["no-new-privileges:true"]


def test_mounts_are_read_only_and_bring_nothing_below_them() -> None:
    (mount,) = host(replace(SPEC, mounts=[Mount(Path("/a:b"), "/c")]))["Mounts"]
    assert mount == {
        "Type": "bind", "Source": "/a:b", "Target": "/c", "ReadOnly": True,
        "BindOptions": {"Propagation": "rprivate", "NonRecursive": True},
    }  # fmt: skip


def test_tmp_in_memory_can_be_executed_from() -> None:
    assert host(replace(SPEC, tmpfs_mb=512))["Tmpfs"] == {"/tmp": "rw,exec,nosuid,nodev,mode=1777,size=512m"}
    assert "Tmpfs" not in host()


def test_a_joined_network_brings_its_own_host_name() -> None:
    assert "Hostname" not in container_config(replace(SPEC, network="container:1"), FACTS)


def test_a_health_check_of_an_image_does_not_run() -> None:
    assert container_config(SPEC, FACTS)["Healthcheck"] == {"Test": ["NONE"]}


DENIED = [
    "add_key",
    "bpf",
    "chroot",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mbind",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "name_to_handle_at",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pidfd_getfd",
    "pivot_root",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "reboot",
    "request_key",
    "set_mempolicy",
    "setdomainname",
    "setns",
    "sethostname",
    "settimeofday",
    "stime",
    "swapoff",
    "swapon",
    "sysfs",
    "syslog",
    "umount",
    "umount2",
    "unshare",
    "uselib",
    "userfaultfd",
    "ustat",
    "vhangup",
]


def test_denied_system_calls() -> None:
    profile = json.loads(seccomp_profile("x86_64"))
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    named = {name for rule in profile["syscalls"] for name in rule["names"]}
    assert not named & set(DENIED)
    assert named >= {"execve", "futex", "openat", "clone", "socket", "mmap", "epoll_wait", "fork", "wait4"}


def test_conditional_system_calls() -> None:
    rules = json.loads(seccomp_profile("x86_64"))["syscalls"]
    families = [rule["args"] for rule in rules if rule["names"] == ["socket"]]
    assert [condition[0]["value"] for condition in families] == [1, 2, 10, 16]
    assert all(rule["args"] for rule in rules if {"socket", "socketpair", "clone", "personality"} & set(rule["names"]))
    (clone,) = (rule for rule in rules if "clone" in rule["names"])
    new_namespaces = 0x20000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
    assert clone["args"] == [{"index": 0, "value": new_namespaces, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
    (clone3,) = (rule for rule in rules if "clone3" in rule["names"])
    assert (clone3["action"], clone3["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)


@pytest.mark.parametrize(
    ("architecture", "names"), [("x86_64", ["SCMP_ARCH_X86_64"]), ("aarch64", ["SCMP_ARCH_AARCH64"])]
)
def test_no_foreign_system_calls(architecture: str, names: list[str]) -> None:
    assert json.loads(seccomp_profile(architecture))["architectures"] == names


def test_a_host_functions_variables() -> None:
    layout = Layout("/venv/bin/python", "3.11", (Mount(Path("/venv"), "/venv"),))
    spec = host_environment(FUNCTION, PLACE, layout, "sha256:1", [])
    assert spec.environment["HOME"] == "/tmp", "the sandbox's own, whatever the function asks for"
    assert spec.environment["AWS_LAMBDA_RUNTIME_API"] == "127.0.0.1:9001"
    assert spec.environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9001"
    assert spec.environment["PATH"].startswith("/venv/bin:")
    assert spec.command == ["/venv/bin/python", "-I", "/var/runtime/bootstrap.py", "--custom"]
    assert {mount.target for mount in spec.mounts} == {"/venv", "/run/jl", "/var/runtime", "/var/task"}
    assert spec.tmpfs_mb == 512
    python = replace(FUNCTION, interpreter=Path("/venv/bin/python"))
    assert host_environment(python, PLACE, layout, "", []).command[-1] == "/var/runtime/bootstrap.py"  # type: ignore[index]


IMAGE: dict[str, Any] = {
    "Id": "sha256:2",
    "Config": {
        "Cmd": ["app.handler"],
        "Entrypoint": ["/run"],
        "Env": ["HOME=/home/x"],
        "Volumes": {"/data": {}, "/tmp": {}},
    },
}


def test_an_image_keeps_its_own_unless_overridden() -> None:
    plain = image_environment(replace(FUNCTION, environment={}), PLACE, IMAGE)
    assert (plain.entry_point, plain.command, plain.working_directory) == (None, None, None)
    assert "HOME" not in plain.environment
    overridden = image_environment(replace(FUNCTION, entry_point=("/other",)), PLACE, IMAGE)
    assert (overridden.entry_point, overridden.command) == (("/other",), ("app.handler",))
    assert image_environment(replace(FUNCTION, command=("b.h",)), PLACE, IMAGE).command == ("b.h",)


def test_an_images_volumes_are_read_only_and_named() -> None:
    spec = image_environment(FUNCTION, PLACE, IMAGE)
    assert spec.volumes == {f"jl-{FUNCTION.sandbox_id}-0": "/data"}
    (volume,) = (mount for mount in host(spec)["Mounts"] if mount["Type"] == "volume")
    assert volume["ReadOnly"]


def test_facts_of_podman() -> None:
    """It leaves most members out."""
    facts = EngineFacts.read({"Version": "4.9", "ApiVersion": "1.41"}, {"SecurityOptions": ["name=rootless"]})
    assert facts.rootless
    assert not facts.init
    assert facts.cgroup_version == 1


def test_where_docker_is(tmp_path: Path) -> None:
    assert find_url("tcp://127.0.0.1:1", {"DOCKER_HOST": "unix:///x"}) == "tcp://127.0.0.1:1"
    assert find_url(None, {"DOCKER_HOST": "unix:///x"}) == "unix:///x"
