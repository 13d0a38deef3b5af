"""Real JupyterLab with the extension as it is installed, a real engine (process driver), a real Chromium."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jupyter_core.paths import jupyter_path

from tests.acceptance.browser import browser

__all__ = ["browser", "lab"]
TOKEN = "t0ken"


@dataclass
class Lab:
    """A server of its own, and where its pages are."""

    url: str
    home: Path

    def ask(self, path: str, method: str = "GET", body: bytes | None = None) -> Any:
        request = urllib.request.Request(self.url + path, body, {"Authorization": f"token {TOKEN}"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")


def installed() -> bool:
    return any((Path(path) / "jupyter-lambda" / "package.json").exists() for path in jupyter_path("labextensions"))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A JupyterLab whose pages ask for nothing and whose engine takes no Docker."""
    if not installed():
        pytest.skip("the JupyterLab extension is not installed: npm was out of reach when this package was")
    config = tmp_path / "config"
    config.mkdir()
    (config / "jupyter_lambda_config.py").write_text(
        f"c.LambdaEngine.driver = 'process'\nc.LambdaServer.state_dir = {str(tmp_path / 'state')!r}\n"
    )
    overrides = tmp_path / "lab-settings"
    overrides.mkdir()
    (overrides / "overrides.json").write_text(
        json.dumps({"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}})
    )
    work = tmp_path / "work"
    work.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "AWS_"))}
    environment |= {
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "run"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "user-settings"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    options = [
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--ServerApp.open_browser=False",
        "--ServerApp.allow_root=True",
        "--ServerApp.allow_unauthenticated_access=False",
        "--ServerApp.base_url=/me/",
        f"--ServerApp.root_dir={work}",
        f"--LabApp.app_settings_dir={overrides}",
        "--expose-app-in-browser",
        "--JupyterNotebookApp.expose_app_in_browser=True",
    ]
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], env=environment, stdout=log, stderr=log, cwd=work
        )
    started = Lab(f"http://127.0.0.1:{port}/me/", tmp_path)
    try:
        _wait(started, process)
        yield started
    finally:
        process.terminate()
        process.wait(30)


def _wait(lab: Lab, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, (lab.home / "server.log").read_text()[-3000:]
        try:
            lab.ask("api/status")
            return
        except urllib.error.URLError:
            assert time.monotonic() < deadline, (lab.home / "server.log").read_text()[-3000:]
            time.sleep(0.1)
