"""A real Jupyter server, a real engine (process driver), a real kernel: together, and when one of them dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jupyter_client import BlockingKernelClient

from jupyter_lambda.connection import alive, announced

TOKEN = "t0ken"


@dataclass
class Server:
    """A Jupyter server in a process of its own."""

    process: subprocess.Popen[bytes]
    url: str
    home: Path

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, token: str = TOKEN) -> tuple[int, Any]:
        request = urllib.request.Request(self.url + path, body, {"Authorization": f"token {token}"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read()

    @property
    def engine(self) -> dict[str, Any] | None:
        return announced(self.home / "state")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    config = tmp_path / "config"
    config.mkdir()
    (config / "jupyter_lambda_config.py").write_text(
        "c.LambdaEngine.driver = 'process'\n"
        "c.LambdaEngine.account_id = '123456789012'\n"
        f"c.LambdaServer.state_dir = {str(tmp_path / 'state')!r}\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "AWS_"))}
    environment |= {
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "run"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    options = {"port": port, "port_retries": 0, "open_browser": False, "allow_root": True, "root_dir": tmp_path}
    options |= {"base_url": "/me/", "allow_unauthenticated_access": False}
    command = [sys.executable, "-m", "jupyter_server", f"--IdentityProvider.token={TOKEN}"]
    command += [f"--ServerApp.{name}={value}" for name, value in options.items()]
    command += ["--ServerApp.jpserver_extensions=jupyter_lambda=True"]
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=tmp_path)
    started = Server(process, f"http://127.0.0.1:{port}/me/", tmp_path)
    try:
        until(lambda: answers(started))
        yield started
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)


def answers(server: Server) -> bool:
    assert server.process.poll() is None, (server.home / "server.log").read_text()
    try:
        return server.ask("api/status")[0] == 200
    except urllib.error.URLError:
        return False


def until(condition: Callable[[], Any], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def test_starts_on_demand_proxies_starts_again_and_stops(server):
    assert server.ask("lambda/api/engine")[1]["state"] == "stopped"
    assert server.ask("lambda/engine/2015-03-31/functions", token="wrong")[0] == 403
    assert server.engine is None

    assert server.ask("lambda/engine/2015-03-31/functions") == (200, {"Functions": []})
    status = server.ask("lambda/engine/_jupyter_lambda/status")[1]
    assert (status["account_id"], status["driver"]) == ("123456789012", "process")
    first = server.engine
    assert first["owner_pid"] == server.process.pid

    os.kill(first["pid"], signal.SIGKILL)
    until(lambda: server.engine and server.engine["epoch"] != first["epoch"])
    until(lambda: server.ask("lambda/api/engine")[1]["state"] == "ready")
    assert server.ask("lambda/api/engine")[1]["restarts"] == 1
    assert server.ask("lambda/engine/2015-03-31/functions")[0] == 200
    assert "died and is started again" in (server.home / "server.log").read_text()

    second = server.engine["pid"]
    server.process.terminate()
    assert server.process.wait(30) == 0
    until(lambda: not alive(second))
    assert server.engine is None


def test_an_engine_ends_with_a_server_that_was_killed(server):
    server.ask("lambda/api/engine", "POST", b"{}")
    pid = server.engine["pid"]
    server.process.kill()
    server.process.wait()
    until(lambda: not alive(pid))
    assert server.engine is None


def test_kernels_use_the_servers_engine(server):
    """%%lambda with nothing loaded and nothing configured; the engine belongs to the server, not to the kernel."""
    status, kernel = server.ask("api/kernels", "POST", b'{"name": "python3"}')
    assert status == 201
    client = BlockingKernelClient(connection_file=str(server.home / "run" / f"kernel-{kernel['id']}.json"))
    client.load_connection_file()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        said = execute(client, "%%lambda twice\ndef handler(event, context):\n    return event['n'] * 2")
        said += execute(client, "print('answer', twice({'n': 21}))")
        assert "answer 42" in said
        assert "not isolated" in said.lower()
    finally:
        client.stop_channels()
    pid = server.engine["pid"]
    assert server.engine["owner_pid"] == server.process.pid
    functions = server.ask("lambda/engine/2015-03-31/functions")[1]["Functions"]
    assert [function["FunctionName"] for function in functions] == ["twice"]
    assert server.ask(f"api/kernels/{kernel['id']}", "DELETE")[0] == 204
    time.sleep(0.5)
    assert alive(pid)
    assert server.ask("lambda/api/engine")[1]["state"] == "ready"


def execute(client: BlockingKernelClient, code: str) -> str:
    """What the cell wrote, as text."""
    said: list[str] = []

    def hook(message: dict[str, Any]) -> None:
        content = message["content"]
        said.append(content.get("text", "") or str(content.get("data", "")) or "\n".join(content.get("traceback", [])))

    reply = client.execute_interactive(code, timeout=60, output_hook=hook)
    assert reply["content"]["status"] == "ok", "".join(said)
    return "".join(said)
