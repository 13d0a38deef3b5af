"""What holds for every test, and an engine that is only a recording.

A test marked ``docker`` needs an engine that answers, one marked ``browser`` Chromium.

Without, it is skipped, and says so; with JUPYTER_LAMBDA_REQUIRE_DOCKER=1 or JUPYTER_LAMBDA_REQUIRE_BROWSER=1 it fails,
and so does one that skips itself for whatever reason: in continuous integration a test that can't run is a failure.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from jupyter_lambda.connection import Connection


def required(need: str) -> bool:
    """Whether a test that can't have this is a failure."""
    return os.environ.get(f"JUPYTER_LAMBDA_REQUIRE_{need.upper()}") == "1"


@cache
def docker_problem() -> str | None:
    """None when a Docker engine answers, else why not."""
    import docker

    try:
        client = docker.from_env(timeout=10)
        try:
            client.ping()
        finally:
            client.close()
    except (docker.errors.DockerException, OSError) as exc:
        return f"no Docker engine answers ({exc}); `make test` as root on Debian starts one"
    return None


def browser_problem() -> str | None:
    """None when there is a Chromium and what drives it, else what is missing."""
    if shutil.which("chromium") is None:
        return "no Chromium is here; `make test` as root on Debian installs one"
    return None if find_spec("playwright") else "playwright is not installed (pip install playwright)"


#: By marker.
PROBLEMS = {"docker": docker_problem, "browser": browser_problem}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for need, find in PROBLEMS.items():
        if item.get_closest_marker(need) and (problem := find()):
            (pytest.fail if required(need) else pytest.skip)(problem)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    for need in PROBLEMS:
        if required(need) and report.skipped and item.get_closest_marker(need):
            report.outcome = "failed"
            report.longrepr = f"{need} is required, yet this test was skipped: {report.longrepr}"
    return report


@dataclass
class Seen:
    """One request as the engine got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class RecordedEngine:
    """Answers every signed request with ``answer`` and remembers it; writes what an engine writes."""

    state_dir: Path
    requests: list[Seen] = field(default_factory=list)
    answer: tuple[int, dict[str, str], list[bytes]] = (200, {"Content-Type": "application/json"}, [b"{}"])
    #: By the beginning of the path, in place of ``answer``.
    answers: dict[str, tuple[int, dict[str, str], list[bytes]]] = field(default_factory=dict)
    url: str = ""
    #: A process that stands for the engine's, to be killed.
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    health: str = "ready"

    def start(self, *_args: Any, owner_pid: int = 0, on_message: Any = None, **_kwargs: Any) -> Connection:
        """In the place of ``connect``."""
        self.starts += 1
        self.reap()
        self.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        threading.Thread(target=self.process.wait, daemon=True).start()  # as whoever started it does
        self.announce(owner_pid)
        return self.connection()

    def announce(self, owner_pid: int = 0) -> None:
        assert self.process is not None
        data = {"pid": self.process.pid, "url": self.url, "epoch": f"e{self.starts}", "driver": "process"}
        data |= {"isolated": False, "owner_pid": owner_pid, "version": "1"}
        self.state_dir.mkdir(exist_ok=True)
        (self.state_dir / "engine.json").write_text(json.dumps(data))
        (self.state_dir / "credentials").write_text(
            "[default]\naws_access_key_id = AKIAOWNER\naws_secret_access_key = s3cret\n"
        )

    def connection(self) -> Connection:
        return Connection(
            self.url, "us-east-1", "AKIAOWNER", "s3cret", driver="process", isolated=False, epoch=f"e{self.starts}"
        )

    def die(self) -> None:
        """As by SIGKILL: the announcement stays."""
        (self.state_dir / "engine.log").write_text("Fatal Python error: it burned\n")
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def reap(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def recorded_engine(tmp_path: Path) -> Iterator[RecordedEngine]:
    recorded = RecordedEngine(tmp_path / "state")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path.endswith("/health"):
                status, headers, chunks = 200, {}, [json.dumps({"status": recorded.health}).encode()]
            else:
                recorded.requests.append(Seen(self.command, self.path, dict(self.headers.items()), body))
                found = (recorded.answers[start] for start in recorded.answers if self.path.startswith(start))
                status, headers, chunks = next(found, recorded.answer)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if self.command != "HEAD":
                for chunk in (*chunks, b""):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))

        def log_message(self, *_args: Any) -> None:
            pass

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.serve)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    recorded.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield recorded
    server.shutdown()
    thread.join()
    server.server_close()
    recorded.reap()
