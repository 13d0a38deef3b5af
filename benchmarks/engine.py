"""The engine under test: ``jupyter-lambda serve`` on a fresh state directory, and a client of it like any other."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker

from benchmarks import proc
from benchmarks.load import split_answer
from jupyter_lambda import client as engine_client
from jupyter_lambda import connection as engine_connection
from jupyter_lambda.config import LambdaEngine
from jupyter_lambda.sandbox.docker.sweep import EPOCH_LABEL, SANDBOX_LABEL

ROLE = "arn:aws:iam::000000000000:role/benchmark"
RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
#: Answers with its event, as the bare echo does.
ECHO = "def handler(event, context):\n    return event\n"
#: Size of the events, as in what is published of bare HTTP servers.
EVENT_BYTES = 200
#: As json.dumps writes it: what comes back must be the same bytes.
EVENT = json.dumps({"n": 1, "text": "x" * (EVENT_BYTES - 20)}).encode()


class Unavailable(Exception):
    """This can't be measured here; the message says why."""


class Engine:
    """One that runs."""

    def __init__(self, connection: engine_connection.Connection, *, quick: bool = False) -> None:
        self.connection = connection
        #: Don't wait long for the machine to be quiet.
        self.quick = quick
        self.pid = connection.pid or 0
        self.port = connection.host_port[1]
        self.boto3 = engine_client.lambda_client(connection)
        self.admin = engine_client.Admin(connection, timeout_s=60)
        #: Invocations that were sent, by function: every one must be in the ledger at the end.
        self.sent: dict[str, int] = {}

    def deploy(self, name: str, source: str = ECHO, *, memory_mb: int = 1769, **more: Any) -> None:
        """A new function with one module, app.py."""
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            archive.writestr("app.py", source)
        self.boto3.create_function(
            FunctionName=name,
            Runtime=RUNTIME,
            Role=ROLE,
            Handler="app.handler",
            Code={"ZipFile": data.getvalue()},
            MemorySize=memory_mb,
            Timeout=more.pop("timeout_s", 60),
            **more,
        )

    def request(self, name: str, payload: bytes = EVENT, *, event: bool = False, qualifier: str = "") -> bytes:
        """A signed Invoke as it goes over the wire; good for five minutes."""
        path = f"/2015-03-31/functions/{name}/invocations" + (f"?Qualifier={qualifier}" if qualifier else "")
        headers = {"Content-Type": "application/octet-stream"}
        if event:
            headers["X-Amz-Invocation-Type"] = "Event"
        signed = engine_client.sign(self.connection, "POST", self.connection.url + path, headers, payload)
        lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Content-Length: {len(payload)}"]
        lines += [f"{key}: {value}" for key, value in signed.items() if key.lower() not in ("host", "content-length")]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + payload

    def once(self, name: str, payload: bytes = EVENT, **more: Any) -> tuple[float, bytes]:
        """One invocation over a new connection: seconds from the first byte sent to the last received, and the body.

        Raises:
            RuntimeError: It did not answer 200.
        """
        took, status, body = exchange(self.port, self.request(name, payload, **more))
        self.sent[name] = self.sent.get(name, 0) + 1
        if status not in (200, 202):
            raise RuntimeError(f"{name}: HTTP {status}: {body[:300]!r}")
        return took, body

    def fresh(self, name: str, mark: object) -> None:
        """Change a function's configuration, so that its next invocation is a cold start."""
        self.boto3.update_function_configuration(FunctionName=name, Description=str(mark))

    def containers(self, *, sandboxes: bool = True) -> list[dict[str, Any]]:
        """What Docker says of the engine's running containers."""
        labels = [f"{EPOCH_LABEL}={self.connection.epoch}"] + ([SANDBOX_LABEL] if sandboxes else [])
        with docker_api() as api:
            found = []
            for container in api.containers(filters={"label": labels}):
                with contextlib.suppress(docker.errors.NotFound):  # it may go any moment
                    found.append(api.inspect_container(container["Id"]))
            return found

    def recorded(self, name: str) -> int:
        """Invocations of a function in the ledger."""
        rows = self.admin.stats(name)["functions"]
        return int(sum(row["invocations"] for row in rows))

    def environments(self, name: str) -> list[int]:
        """The first process of each container that is an environment of a function."""
        mine = {row["environment_id"] for row in self._environments() if row["function_name"] == name}
        return [c["State"]["Pid"] for c in self.containers() if c["Config"]["Labels"][SANDBOX_LABEL] in mine]

    def generics(self) -> list[int]:
        """The first process of each container that is nobody's environment yet."""
        taken = {row["environment_id"] for row in self._environments()}
        return [c["State"]["Pid"] for c in self.containers() if c["Config"]["Labels"][SANDBOX_LABEL] not in taken]

    def ready(self, *, imports: bool = False) -> int:
        """Generic containers that are ready to be adopted; with modules imported ahead, or without."""
        rows: list[dict[str, Any]] = self.admin.environments().get("generic_containers", [])
        return sum(bool(row["imports"]) is imports for row in rows)

    def _environments(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.admin.environments()["environments"]
        return rows

    def settle(self, *, limit_s: float = 20.0, quiet: float = 0.05) -> None:
        """Wait until the engine, its containers and Docker are at rest: less than ``quiet`` of a core for 0.4 s."""
        watched = [self.pid, *proc.named("dockerd"), *proc.named("containerd")]
        end = time.monotonic() + (min(limit_s, 1.5) if self.quick else limit_s)
        while time.monotonic() < end:
            groups = [c["State"]["Pid"] for c in self.containers()]
            before = _used_s(watched, groups)
            time.sleep(0.4)
            if _used_s(watched, groups) - before < 0.4 * quiet:
                return

    def verify(self) -> dict[str, Any]:
        """That nothing was switched off: containers hardened, signatures checked, every invocation recorded.

        Raises:
            RuntimeError: Something was.
        """
        found = {"driver": self.connection.driver, "unsigned_request": self._unsigned()}
        if found["unsigned_request"] != 403:
            raise RuntimeError(f"an unsigned request was answered {found['unsigned_request']}, not 403")
        containers = self.containers()
        for container in containers:
            harden = container["HostConfig"]
            kept = [
                harden["ReadonlyRootfs"],
                harden["CapDrop"] == ["ALL"],
                any(x.startswith("no-new-privileges") for x in harden["SecurityOpt"]),
                any(x.startswith("seccomp=") for x in harden["SecurityOpt"]),
                harden["PidsLimit"],
                harden["Memory"] and harden["Memory"] == harden["MemorySwap"],
                not container["Config"]["User"].startswith(("0", "root")) and container["Config"]["User"],
            ]
            if not all(kept):
                raise RuntimeError(f"a container is not hardened: {kept}")
        found["hardened_containers"] = len(containers)
        for name, sent in self.sent.items():
            if (recorded := self.recorded(name)) != sent:
                raise RuntimeError(f"{sent} invocations of {name} were sent, {recorded} are recorded")
        found["recorded"] = sum(self.sent.values())
        return found

    def _unsigned(self) -> int:
        head = f"POST /2015-03-31/functions/none/invocations HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
        return exchange(self.port, head.encode() + b"Content-Length: 2\r\n\r\n{}")[1]


def _used_s(processes: list[int], groups: list[int]) -> float:
    total = sum(proc.exact_cpu_s(pid) for pid in processes)
    for pid in groups:
        with contextlib.suppress(OSError, LookupError):  # it may have gone
            total += proc.group_cpu_s(pid)
    return total


def exchange(port: int, request: bytes) -> tuple[float, int, bytes]:
    """One request over a new connection: seconds, status, body."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        start = time.perf_counter()
        stream.sendall(request)
        data = b""
        while (answer := split_answer(data)) is None:
            part = stream.recv(65536)
            if not part:
                raise RuntimeError("the connection was closed before its answer")
            data += part
        return time.perf_counter() - start, *answer


@contextlib.contextmanager
def serve(state_dir: Path, *, quick: bool = False, **options: Any) -> Iterator[Engine]:
    """An engine with options of ``LambdaEngine``, stopped at the end.

    Raises:
        Unavailable: This version has no such option.
    """
    unknown = set(options) - set(LambdaEngine.class_traits(config=True))
    if unknown:
        raise Unavailable(f"this engine has no option {', '.join(sorted(unknown))}")
    arguments = ["--driver", "docker", *(f"--LambdaEngine.{name}={value}" for name, value in options.items())]
    found = engine_connection.connect(
        state_dir, on_message=lambda line: None, owner_pid=os.getpid(), arguments=arguments
    )
    try:
        yield Engine(found, quick=quick)
    finally:
        stop(found.pid or 0)
        sweep(found.epoch)


def sweep(epoch: str) -> None:
    """Remove what an engine that has ended left in Docker: containers that it was just making."""
    with docker_api() as api:
        for container in api.containers(all=True, filters={"label": f"{EPOCH_LABEL}={epoch}"}):
            print(f"  the engine left a container behind: {container['Status'] or container['State']}")
            api.remove_container(container["Id"], force=True)


def stop(pid: int) -> None:
    """SIGTERM, and after a minute SIGKILL."""
    for number, seconds in ((signal.SIGTERM, 60), (signal.SIGKILL, 10)):
        if not engine_connection.alive(pid):
            return
        os.kill(pid, number)
        end = time.monotonic() + seconds
        while engine_connection.alive(pid) and time.monotonic() < end:
            time.sleep(0.05)


@contextlib.contextmanager
def docker_api() -> Iterator[docker.APIClient]:
    """Docker's own client."""
    with contextlib.closing(docker.APIClient(version="auto", timeout=60)) as api:
        yield api
