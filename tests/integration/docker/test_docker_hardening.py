"""What a sandbox can't do: as Docker tells it, and as code inside finds it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

pytestmark = pytest.mark.docker
ROOT = os.geteuid() == 0


def source(text: str) -> str:
    return textwrap.dedent(text)


async def test_docker_inspect(bench: Any, api: docker.APIClient) -> None:
    first, second = await asyncio.gather(bench.start(memory_mb=512), bench.start(memory_mb=1769, network="egress"))
    answer = api.inspect_container(f"jl-{first.sandbox_id}")
    host, config = answer["HostConfig"], answer["Config"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert not host["Privileged"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert any(option.startswith('seccomp={"defaultAction":"SCMP_ACT_ERRNO"') for option in host["SecurityOpt"])
    assert host["Memory"] == host["MemorySwap"] == 512 * 2**20
    assert host["PidsLimit"] == 1024
    assert host["CpuQuota"] / host["CpuPeriod"] == pytest.approx(512 / 1769, rel=0.01)
    assert host["NetworkMode"] == "none"
    assert host["IpcMode"] == "private"
    assert host["OomScoreAdj"] == 500
    assert {(limit["Name"], limit["Hard"]) for limit in host["Ulimits"]} == {("nofile", 1024), ("core", 0)}
    assert host["RestartPolicy"]["Name"] == "no"
    assert not host["PortBindings"]
    assert not host["Binds"]
    assert {mount["Destination"] for mount in answer["Mounts"] if mount["RW"]} <= {"/tmp"}
    sources = [mount["Source"] for mount in answer["Mounts"]]
    assert not any(path.startswith(("/etc/shadow", "/home", "/var/run/docker")) for path in sources)
    assert not any(path in ("/", "/etc", "/root", "/var", str(bench.state_dir)) for path in sources)
    uid = int(config["User"].split(":")[0])
    assert uid >= bench.settings.uid_base
    assert config["Labels"]["jupyter-lambda.installation"] == bench.settings.installation_id
    assert config["Labels"]["jupyter-lambda.epoch"] == bench.settings.epoch
    assert config["Labels"]["jupyter-lambda.sandbox"] == first.sandbox_id

    other = api.inspect_container(f"jl-{second.sandbox_id}")
    assert other["Config"]["User"] != config["User"], "one uid per sandbox"
    assert other["HostConfig"]["CpuQuota"] == other["HostConfig"]["CpuPeriod"], "1,769 MB are one vCPU"
    network = api.inspect_network(other["HostConfig"]["NetworkMode"])
    assert network["Options"]["com.docker.network.bridge.enable_icc"] == "false"
    assert network["Labels"]["jupyter-lambda.installation"] == bench.settings.installation_id


async def test_system_calls(bench: Any) -> None:
    sandbox = await bench.start()
    refused = await bench.run(sandbox, source("""
        libc = ctypes.CDLL(None, use_errno=True)
        def libcall(name, *arguments):
            return "done" if getattr(libc, name)(*arguments) == 0 else errno.errorcode[ctypes.get_errno()]
        result = {
            "mount": libcall("mount", b"none", b"/tmp", b"tmpfs", 0, None),
            "umount": libcall("umount2", b"/proc", 2),
            "user namespace": libcall("unshare", 0x10000000),
            "network namespace": libcall("unshare", 0x40000000),
            "clone3 makes glibc fall back": call(435, None, 0),
            "clone into a user namespace": call(56, 0x10000000 | 17, None, None, None, None),
            "setns": libcall("setns", 0, 0),
            "io_uring_setup": call(425, 8, None),
            "bpf": call(321, 0, None, 0),
            "perf_event_open": call(298, None, 0, -1, -1, 0),
            "keyctl": call(250, 0, -3, 0),
            "add_key": call(248, b"user", b"x", b"y", 1, -3),
            "kexec_load": call(246, 0, 0, None, 0),
            "init_module": call(175, None, 0, b""),
            "ptrace": libcall("ptrace", 16, os.getppid(), None, None),
            "process_vm_readv": call(310, 1, None, 0, None, 0, 0),
            "userfaultfd": call(323, 0),
            "open_by_handle_at": call(304, -100, None, 0),
            "AF_VSOCK": attempt(lambda: socket.socket(40, socket.SOCK_STREAM)),
            "AF_PACKET": attempt(lambda: socket.socket(17, socket.SOCK_RAW)),
            "AF_ALG": attempt(lambda: socket.socket(38, 5)),
            "raw socket": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)),
            "netlink audit": attempt(lambda: socket.socket(16, 3, 9)),
            "setuid": attempt(lambda: os.setuid(0)),
            "setgroups": attempt(lambda: os.setgroups([0])),
            "chroot": attempt(lambda: os.chroot("/tmp")),
            "mknod": attempt(lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(8, 0))),
            "nice": attempt(lambda: os.nice(-5)),
            "sethostname": attempt(lambda: socket.sethostname("x")),
            "settime": attempt(lambda: time.clock_settime(0, 0)),
        }
    """)) if os.uname().machine == "x86_64" else {}  # fmt: skip
    assert refused.pop("clone3 makes glibc fall back") == "ENOSYS"
    allowed = {name: answer for name, answer in refused.items() if answer not in ("EPERM", "EACCES", "EAFNOSUPPORT")}
    assert not allowed

    status = await bench.run(sandbox, source("""
        with open("/proc/self/status") as file:
            result = dict(line.strip().split(":", 1) for line in file)
    """))  # fmt: skip
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"


async def test_files(bench: Any) -> None:
    victim = await bench.start()
    await bench.run(victim, "open('/tmp/secret', 'w').write('x')")
    sandbox = await bench.start()
    state = str(bench.state_dir)
    answer = await bench.run(sandbox, source(f"""
        write = lambda path: attempt(lambda: open(path, "w"))
        read = lambda path: attempt(lambda: open(path).read(1))
        look = lambda path: attempt(lambda: os.listdir(path))
        result = {{
            "/": write("/x"), "/var/task": write("/var/task/x"), "/usr": write("/usr/lib/x"), "/etc": write("/etc/x"),
            "/var/runtime": write("/var/runtime/x"), "/run/jl": write("/run/jl/x"), "/opt": write("/opt/x"),
            "interpreter": write(os.path.join(os.path.dirname(os.__file__), "x")), "passwd": write("/etc/passwd"),
            "/proc/sys": write("/proc/sys/kernel/core_pattern"), "/sys": write("/sys/x"), "/dev": write("/dev/x"),
            "cgroup": write("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
            "sysrq": write("/proc/sysrq-trigger"), "kmsg": read("/dev/kmsg"), "mem": read("/dev/mem"),
            "shadow": read("/etc/shadow"), "ssl key": look("/etc/ssl/private"), "home": look("/home"),
            "ssh": look("/root/.ssh"), "docker": read("/var/run/docker.sock"), "docker.": read("/run/docker.sock"),
            "state": look({state!r}), "kcore": attempt(
                lambda: open("/proc/kcore", "rb").read(1) or (_ for _ in ()).throw(PermissionError(13, ""))),
        }}
    """))  # fmt: skip
    assert {name for name, what in answer.items() if what == "done"} == set()
    seen = await bench.run(sandbox, source("""
        pids = [name for name in os.listdir("/proc") if name.isdigit()]
        one, own = os.stat("/proc/1/root/"), os.stat("/")
        same = (one.st_dev, one.st_ino) == (own.st_dev, own.st_ino)
        result = [len(pids), same, os.path.exists("/tmp/secret"), sorted(os.listdir("/run/jl")), os.listdir("/dev/shm")]
    """))  # fmt: skip
    assert seen[0] <= 3, "its own processes only: init, the runtime"
    assert seen[1:] == [True, False, ["api.sock", "log"], []]


async def test_tmp_is_of_its_size_executable_and_no_memory(bench: Any) -> None:
    sandbox = await bench.start(memory_mb=128, ephemeral_storage_mb=600)
    answer = await bench.run(sandbox, source("""
        size = os.statvfs("/tmp")
        def fill():
            with open("/tmp/full", "wb") as file:
                for _ in range(700):
                    file.write(bytes(1 << 20))
        filled = attempt(fill)
        written = os.path.getsize("/tmp/full") >> 20
        os.unlink("/tmp/full")
        with open("/tmp/tool", "w") as file:
            file.write("#!/bin/sh\\necho ran\\n")
        os.chmod("/tmp/tool", 0o4755)
        ran = subprocess.run(["/tmp/tool"], capture_output=True, text=True).stdout
        options = [line.split()[5] for line in open("/proc/self/mountinfo") if line.split()[4] == "/tmp"][0]
        result = [size.f_blocks * size.f_frsize >> 20, filled, written, ran, options]
    """), timeout_s=60)  # fmt: skip
    size, filled, written, ran, options = answer
    assert 600 <= size <= 640
    assert filled == "ENOSPC"
    if ROOT:
        assert 600 <= written <= 640, "five times its memory limit"
    assert ran == "ran\n"
    assert "nosuid" in options
    assert "nodev" in options


async def test_resources(bench: Any) -> None:
    sandbox = await bench.start(memory_mb=2048)
    children, files, threads = await bench.run(sandbox, source("""
        import resource, threading
        def bomb():
            children = []
            try:
                while True:
                    pid = os.fork()
                    if pid == 0:
                        time.sleep(30)
                        os._exit(0)
                    children.append(pid)
            except OSError as exc:
                return children
        children = bomb()
        for pid in children:
            os.kill(pid, 9)
        for pid in children:
            os.waitpid(pid, 0)
        stop = threading.Event()
        threads = 0
        for _ in range(64):
            threading.Thread(target=stop.wait).start()
            threads += 1
        stop.set()
        result = [len(children), resource.getrlimit(resource.RLIMIT_NOFILE)[1], threads]
    """), timeout_s=60)  # fmt: skip
    assert 100 < children < 1024
    assert files == 1024
    assert threads == 64


async def test_what_must_work(bench: Any) -> None:
    """numpy, pandas, sqlite3, certificates, child processes, multiprocessing, a terminal, a resolver, and names."""
    sandbox = await bench.start(memory_mb=1024)
    answer = await bench.run(sandbox, source("""
        import getpass, multiprocessing, multiprocessing.shared_memory, pty, sqlite3, ssl, tempfile
        import mimetypes, zoneinfo, shutil, concurrent.futures, asyncio, ctypes.util
        import numpy, pandas, requests
        from multiprocessing.pool import ThreadPool
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        child = context.Process(target=queue.put, args=(42,))
        child.start()
        from_child = queue.get(timeout=10)
        child.join()
        block = multiprocessing.shared_memory.SharedMemory(create=True, size=1 << 20)
        block.unlink()
        with open("/tmp/db", "w"): pass
        db = sqlite3.connect("/tmp/db")
        db.execute("create table t(x)")
        result = {
            "matrix": float(numpy.linalg.norm(numpy.ones((200, 200)) @ numpy.ones((200, 200)))),
            "frame": int(pandas.DataFrame({"a": [1, 2]}).a.sum()),
            "child": from_child,
            "shell": subprocess.getoutput("echo $HOME | cat"),
            "certificates": ssl.create_default_context().cert_store_stats()["x509_ca"] > 10,
            "user": getpass.getuser(),
            "zone": str(zoneinfo.ZoneInfo("Europe/Berlin")),
            "loopback": bool(socket.getaddrinfo("localhost", 80)),
            "threads": ThreadPool(8).map(lambda x: x * x, range(4)),
            "libc": ctypes.util.find_library("c"),
            "python": subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, text=True).stdout.strip(),
            "locale": sys.getfilesystemencoding(),
        }
    """), timeout_s=60)  # fmt: skip
    assert answer == {
        "matrix": pytest.approx(40_000.0), "frame": 3, "child": 42, "shell": "/tmp", "certificates": True,
        "user": "sbx_user", "zone": "Europe/Berlin", "loopback": True, "threads": [0, 1, 4, 9], "libc": "libc.so.6",
        "python": "1", "locale": "utf-8",
    }  # fmt: skip


async def test_node_runs(bench: Any) -> None:
    if shutil.which("node", path="/usr/bin:/usr/local/bin") is None:
        return  # nothing to run on this host
    sandbox = await bench.start(memory_mb=512)
    answer = await bench.run(sandbox, source("""
        script = "require('fs').promises.readFile('/etc/passwd').then(d => console.log(d.length > 9, 6 * 7))"
        done = subprocess.run(["node", "-e", script], capture_output=True, text=True, timeout=30)
        result = [done.stdout, done.stderr[-500:]]
    """), timeout_s=60)  # fmt: skip
    assert answer == ["true 42\n", ""]


@contextlib.contextmanager
def listening(address: str) -> Iterator[int]:
    with socket.create_server((address, 0)) as server:
        yield server.getsockname()[1]


def own_address() -> str:
    """The address by which this host is known to others; its loopback where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


async def test_the_network_none(bench: Any) -> None:
    sandbox = await bench.start(network="none")
    with listening("0.0.0.0") as port:
        answer = await bench.run(sandbox, source(f"""
            reach = lambda host: attempt(lambda: socket.create_connection((host, {port}), 2))
            hosts = ["127.0.0.1", "172.17.0.1", {own_address()!r}]
            result = [sorted(os.listdir("/sys/class/net")), *map(reach, hosts)]
        """))  # fmt: skip
    assert answer[0] == ["lo"]
    assert answer[1] == "ECONNREFUSED", "its own loopback, not the host's"
    assert "done" not in answer[2:]


@pytest.mark.skipif("os.geteuid() != 0", reason="the firewall needs root")
async def test_the_network_egress(bench: Any, api: docker.APIClient) -> None:
    sandbox, peer = await asyncio.gather(bench.start(network="egress"), bench.start(network="egress"))
    info = api.inspect_container(f"jl-{peer.sandbox_id}")["NetworkSettings"]["Networks"]
    (network,) = info.values()
    gateway, peer_address = network["Gateway"], network["IPAddress"]
    serving = asyncio.ensure_future(bench.run(peer, source("""
        server = socket.create_server(("0.0.0.0", 8080))
        server.settimeout(4)
        result = attempt(server.accept)
    """)))  # fmt: skip
    with listening("0.0.0.0") as port:
        answer = await bench.run(sandbox, source(f"""
            def reach(host, port={port}):
                try:
                    socket.create_connection((host, port), 0.6).close()
                except (TimeoutError, socket.timeout):
                    return "no answer"
                except OSError as exc:
                    return errno.errorcode.get(exc.errno, str(exc))
                return "done"
            route = [line.split()[1] for line in open("/proc/net/route")][1:]
            result = {{
                "gateway": reach({gateway!r}), "host": reach({own_address()!r}),
                "metadata": reach("169.254.169.254", 80), "ecs": reach("169.254.170.2", 80),
                "peer": reach({peer_address!r}, 8080), "has a route": bool(route),
                "ipv6": attempt(lambda: socket.create_connection(("fe80::1%eth0", {port}), 1)),
            }}
        """))  # fmt: skip
    assert answer.pop("has a route")
    assert answer.pop("ipv6") != "done"
    assert set(answer.values()) == {"no answer"}, answer
    assert await serving != "done"
    assert bench.driver._network.exposed is None


async def test_an_interpreter_below_a_closed_home(bench: Any, tmp_path: Path) -> None:
    """Mount points inside are fresh: that the directories above are closed on the host does not matter."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    done = await asyncio.create_subprocess_exec(sys.executable, "-m", "venv", "--without-pip", str(home / "venv"))
    assert await done.wait() == 0
    packages = next((home / "venv" / "lib").glob("python3*/site-packages"))
    (packages / "closed_home.py").write_text("answer = 42\n")
    (home / "secret").write_text("x")
    sandbox = await bench.start(interpreter=home / "venv" / "bin" / "python")
    answer = await bench.run(sandbox, source(f"""
        import closed_home
        result = [closed_home.answer, sys.prefix, os.path.exists({str(home / "secret")!r}), os.listdir({str(home)!r})]
    """))  # fmt: skip
    assert answer == [42, str(home / "venv"), False, ["venv"]]
