from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from jupyter_lambda import connection as connection_module
from jupyter_lambda.connection import Connection, alive, connect, default_state_dir, elsewhere, find, health
from jupyter_lambda.errors import ServiceUnavailableException, StoreError

#: Stands for ``jupyter_lambda.cli``: counts its starts, then announces itself as an engine does, or fails.
FAKE_SERVE = """
import json, os, sys, time
from pathlib import Path
directory = Path(sys.argv[sys.argv.index("--state-dir") + 1])
with (directory / "starts").open("a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
mode = os.environ["FAKE_MODE"]
if mode == "fail":
    print("no room on the disk", flush=True)
    sys.exit(1)
if mode == "hang":
    time.sleep(60)
time.sleep(0.3)
(directory / "credentials").write_text("[default]\\naws_access_key_id = AK\\naws_secret_access_key = sk%\\n")
(directory / "engine.json").write_text(json.dumps({"pid": os.getpid(), "url": os.environ["FAKE_URL"], "epoch": "e1"}))
"""


@pytest.fixture
def fake_serve(tmp_path: Path, recorded_engine):
    package = tmp_path / "fake" / "jupyter_lambda"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "cli.py").write_text(FAKE_SERVE)

    def environment(mode: str = "work") -> dict[str, str]:
        return os.environ | {
            "PYTHONPATH": str(package.parent),
            "FAKE_URL": recorded_engine.url,
            "FAKE_MODE": mode,
        }

    return environment


def test_finds_a_ready_engine(recorded_engine):
    recorded_engine.start()
    found = find(recorded_engine.state_dir)
    assert found is not None
    assert (found.url, found.access_key, found.secret_key) == (recorded_engine.url, "AKIAOWNER", "s3cret")
    assert found.isolated is False
    assert "s3cret" not in repr(found)
    assert "NOT isolated" in found.describe()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_does_not_believe_a_broken_announcement(tmp_path, text):
    (tmp_path / "engine.json").write_text(text)
    assert find(tmp_path) is None


def test_does_not_believe_an_engine_that_does_not_answer(recorded_engine):
    recorded_engine.start()
    path = recorded_engine.state_dir / "engine.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"url": "http://127.0.0.1:1"}))
    assert find(recorded_engine.state_dir) is None


def test_a_draining_engine_is_not_ready(recorded_engine):
    recorded_engine.start()
    recorded_engine.health = "draining"
    assert health(recorded_engine.url) == "draining"
    assert find(recorded_engine.state_dir) is None


def test_says_what_to_do_about_unreadable_credentials(recorded_engine):
    recorded_engine.start()
    (recorded_engine.state_dir / "credentials").write_text("nonsense")
    with pytest.raises(StoreError, match=r"remove the file and start again"):
        find(recorded_engine.state_dir)


def test_starts_none_when_told_not_to(tmp_path):
    with pytest.raises(ServiceUnavailableException, match="jupyter lambda start --state-dir"):
        connect(tmp_path / "none", start=False)
    assert not (tmp_path / "none").exists()


def test_starts_one_and_waits(tmp_path, fake_serve):
    said: list[str] = []
    directory = tmp_path / "state"
    made = connect(directory, on_message=said.append, environment=fake_serve())
    assert made.epoch == "e1"
    assert made.secret_key == "sk%"
    assert said[0] == f"jupyter_lambda: starting the engine on {directory}"
    assert said[1].startswith("jupyter_lambda: engine ready at http://127.0.0.1:")
    (start,) = (directory / "starts").read_text().splitlines()
    assert start == f"serve --state-dir {directory} --owner-pid {os.getpid()}"
    assert directory.stat().st_mode & 0o077 == 0


def test_of_many_who_ask_at_once_one_starts_it(tmp_path, fake_serve):
    directory = tmp_path / "state"
    found: list[Connection] = []
    said: list[str] = []

    def ask() -> None:
        found.append(connect(directory, on_message=said.append, environment=fake_serve(), owner_pid=0))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {connection.epoch for connection in found} == {"e1"}
    assert len(found) == 6
    assert (directory / "starts").read_text().splitlines() == [f"serve --state-dir {directory}"]
    assert len(said) == 2


def test_tells_why_an_engine_did_not_start(tmp_path, fake_serve):
    (tmp_path / "engine.log").write_text("an older story\n")
    with pytest.raises(ServiceUnavailableException, match="exit code 1 before it was ready") as caught:
        connect(tmp_path, on_message=lambda _: None, environment=fake_serve("fail"))
    assert "no room on the disk" in caught.value.message
    assert "an older story" not in caught.value.message
    assert "jupyter lambda doctor" in caught.value.message


def test_does_not_wait_for_ever(tmp_path, fake_serve):
    began = time.monotonic()
    with pytest.raises(ServiceUnavailableException, match=r"within 1 s; its log is"):
        connect(tmp_path, on_message=lambda _: None, environment=fake_serve("hang"), timeout_s=1.0)
    assert time.monotonic() - began < 5


def test_waits_for_one_that_is_stopping(recorded_engine):
    recorded_engine.start()
    recorded_engine.health = "draining"
    timer = threading.Timer(0.4, lambda: setattr(recorded_engine, "health", "ready"))
    timer.start()
    assert connect(recorded_engine.state_dir, timeout_s=10).url == recorded_engine.url
    timer.join()
    assert not (recorded_engine.state_dir / "starts").exists()


def test_a_directory_that_can_not_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="can't be made"):
        connect(tmp_path / "file" / "state")


def test_an_engine_elsewhere_comes_first(monkeypatch, recorded_engine):
    monkeypatch.setenv("JUPYTER_LAMBDA_ENGINE_URL", "https://lab.example/lambda/")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AWSKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    made = connect()
    assert (made.url, made.access_key, made.region) == ("https://lab.example/lambda", "AWSKEY", "eu-central-1")
    assert made.host_port == ("lab.example", 443)
    monkeypatch.setenv("JUPYTER_LAMBDA_ACCESS_KEY_ID", "OWN")
    monkeypatch.setenv("JUPYTER_LAMBDA_SECRET_ACCESS_KEY", "own")
    assert connect().access_key == "OWN"


def test_an_engine_elsewhere_needs_credentials():
    with pytest.raises(ServiceUnavailableException, match="JUPYTER_LAMBDA_SECRET_ACCESS_KEY"):
        elsewhere({"JUPYTER_LAMBDA_ENGINE_URL": "http://x"})
    assert elsewhere({}) is None


def test_the_default_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("JUPYTER_LAMBDA_STATE_DIR", str(tmp_path / "a"))
    assert default_state_dir() == tmp_path / "a"
    monkeypatch.delenv("JUPYTER_LAMBDA_STATE_DIR")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "b"))
    assert default_state_dir() == tmp_path / "b" / "lambda"


def test_the_owner(monkeypatch):
    monkeypatch.setenv("JUPYTER_LAMBDA_OWNER_PID", str(os.getppid()))
    assert connection_module._owner(None) == os.getppid()
    monkeypatch.setenv("JUPYTER_LAMBDA_OWNER_PID", "0")
    assert connection_module._owner(None) == 0
    monkeypatch.setenv("JUPYTER_LAMBDA_OWNER_PID", "4194304999")
    assert connection_module._owner(None) == os.getpid()
    assert connection_module._owner(7) == 7


def test_alive():
    assert alive(os.getpid())
    assert not alive(2**22 + 1)


def test_a_large_log_is_set_aside(tmp_path, fake_serve, monkeypatch):
    monkeypatch.setattr(connection_module, "LOG_MAX_BYTES", 10)
    (tmp_path / "engine.log").write_text("x" * 11)
    connect(tmp_path, on_message=lambda _: None, environment=fake_serve())
    assert (tmp_path / "engine.log.1").read_text() == "x" * 11


def test_is_quick_to_import():
    """The kernel's start pays for it: standard library only."""
    import subprocess

    code = "import sys, jupyter_lambda.connection; print(*sorted(m.partition('.')[0] for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"boto3", "botocore", "docker", "traitlets", "jupyter_core", "tornado", "urllib3", "requests", "asyncio"}
    assert not heavy & set(done.stdout.split())
