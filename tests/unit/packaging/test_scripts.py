"""scripts/: what `make` calls."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def ensure_docker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ensure_docker", ROOT / "scripts/ensure_docker.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def engine(path: Path, answer: bytes) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(1000)
            peer.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return listener


@pytest.mark.parametrize(
    ("answer", "works"), [(b"HTTP/1.0 200 OK\r\n\r\nOK", True), (b"HTTP/1.0 500 No\r\n\r\n", False), (b"", False)]
)
def test_an_engine_is_believed_when_it_answers(ensure_docker, tmp_path, monkeypatch, answer, works):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/s")
    with engine(tmp_path / "s", answer):
        assert ensure_docker.answers() is works


def test_without_root_it_says_what_to_do(ensure_docker, monkeypatch, capsys):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(ensure_docker, "SOCKET", Path("/no/such/socket"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("JUPYTER_LAMBDA_REQUIRE_DOCKER", raising=False)
    assert ensure_docker.main() == 0
    err = capsys.readouterr().err
    assert "sudo apt-get install docker.io" in err
    assert "are skipped" in err
    monkeypatch.setenv("JUPYTER_LAMBDA_REQUIRE_DOCKER", "1")
    assert ensure_docker.main() == 1
    assert "giving up" in capsys.readouterr().err


def test_a_docker_host_that_does_not_answer_is_not_replaced(ensure_docker, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    with pytest.raises(ensure_docker.Missing, match="DOCKER_HOST=unix:///no/such/socket"):
        ensure_docker.ensure()


def test_removes_only_stale_process_id_files(ensure_docker, tmp_path):
    file = tmp_path / "docker.pid"
    file.write_text(str(os.getpid()))
    assert not ensure_docker._runs(file, "dockerd")
    assert ensure_docker._runs(file, Path(f"/proc/{os.getpid()}/comm").read_text().strip())
    file.write_text("nonsense")
    assert not ensure_docker._runs(file, "dockerd")


@pytest.mark.parametrize(
    ("python", "text"), [("/no/such/python", "was not found; install Python 3.11"), ("false", "needs 3.11 or newer")]
)
def test_make_venv_says_what_is_missing(tmp_path, python, text):
    done = subprocess.run(
        ["sh", ROOT / "scripts/make_venv.sh"],
        env={"PATH": os.environ["PATH"], "PYTHON": python, "VENV": str(tmp_path / "venv")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert text in done.stderr


def test_required_container_tests_may_not_be_skipped(pytester_run):
    skipped, failed = pytester_run({}), pytester_run({"JUPYTER_LAMBDA_REQUIRE_DOCKER": "1"})
    assert "1 passed, 2 skipped" in skipped
    assert "1 passed, 2 errors" in failed
    assert "docker is required, yet this test was skipped" in failed


def test_required_browser_tests_fail_without_a_browser(pytester_run, tmp_path):
    (tmp_path / "test_it.py").write_text("import pytest\n@pytest.mark.browser\ndef test_page(): pass\n")
    nothing = {"PATH": "/no/such/directory"}
    assert "1 skipped" in pytester_run(nothing)
    assert "1 error" in pytester_run(nothing | {"JUPYTER_LAMBDA_REQUIRE_BROWSER": "1"})


@pytest.fixture
def pytester_run(tmp_path):
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  docker\n  browser\naddopts = --strict-markers\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.docker\ndef test_needs_docker(): pass\n"
        "@pytest.mark.docker\n@pytest.mark.skip(reason='lazy')\ndef test_lazy(): pass\n"
        "def test_plain(): pass\n"
    )

    def run(environment: dict[str, str]) -> str:
        base = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER_LAMBDA")}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", str(tmp_path)]
        docker = {"DOCKER_HOST": "unix:///no/such/socket"}
        return subprocess.run(command, env=base | docker | environment, capture_output=True, text=True).stdout

    return run
