"""The systemd unit: what is written, what is said, and that what it starts is an engine."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest

from jupyter_lambda.cli import service
from jupyter_lambda.connection import announced, disown, ends_with, find


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(service, "_said", lambda *command: (127, f"{command[0]} is not installed"))
    return tmp_path


def run(*arguments: str, home) -> int:
    command = service.ServiceCommand()
    command.initialize([*arguments, "--state-dir", str(home / "state")])
    with pytest.raises(SystemExit) as ended:
        command.start()
    return int(ended.value.code or 0)


def test_it_says_exactly_what_it_wrote_and_what_to_do_where_systemd_is_not(home, capsys):
    assert run("install", "--port", "9123", home=home) == 1
    path = home / "config/systemd/user/jupyter-lambda.service"
    said = capsys.readouterr().out
    assert f"wrote {path}" in said
    assert "systemctl --user enable --now jupyter-lambda.service" in said
    assert "loginctl enable-linger" in said
    assert "--LambdaEngine.port=9123" in path.read_text()
    assert run("install", "--port", "9123", home=home) == 1
    assert f"unchanged {path}" in capsys.readouterr().out
    assert run("status", home=home) == 1
    said = capsys.readouterr().out
    assert f"unit     {path} (install would write it anew)" in said
    assert "none runs on" in said
    assert run("uninstall", home=home) == 0
    assert f"removed {path}" in capsys.readouterr().out
    assert not path.exists()
    assert run("uninstall", home=home) == 0


def test_systemd_is_told(home, capsys, monkeypatch):
    asked = []

    def said(*command):
        asked.append(shlex.join(command))
        return 0, "yes" if command[0] == "loginctl" else "active"

    monkeypatch.setattr(service, "_said", said)
    assert run("install", home=home) == 0
    assert asked[:2] == ["systemctl --user daemon-reload", "systemctl --user enable --now jupyter-lambda.service"]
    assert "enable-linger" not in capsys.readouterr().out
    assert run("uninstall", home=home) == 0
    assert asked[-2:] == ["systemctl --user disable --now jupyter-lambda.service", "systemctl --user daemon-reload"]


def test_an_unknown_word_is_one_line(home, capsys):
    assert run("insert", home=home) == 2
    assert "there is no service 'insert'; there are install, uninstall, status" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
def test_systemd_finds_no_fault_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / 'a "strange" 100% $HOME'))
    path = tmp_path / service.UNIT
    path.write_text(service.unit(tmp_path / "with space, 100% and $x", ["--LambdaEngine.port=9123"]))
    (tmp_path / "run").mkdir(mode=0o700)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    command = ["systemd-analyze", "--user", "--man=no", "verify", str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_words_are_quoted_as_systemd_reads_them(tmp_path):
    line = next(line for line in service.unit(tmp_path / "a b%$c", []).splitlines() if line.startswith("ExecStart="))
    words = shlex.split(line.removeprefix("ExecStart="))
    assert words[:4] == [sys.executable, "-P", "-m", "jupyter_lambda.cli"]
    assert words[-1] == f"{tmp_path}/a b%%$$c"


def test_an_engine_is_disowned_by_its_announcement(tmp_path):
    data = {"pid": os.getpid(), "url": "http://127.0.0.1:1", "epoch": "e", "owner_pid": 4711}
    (tmp_path / "engine.json").write_text(json.dumps(data))
    assert disown(tmp_path) == 4711
    assert announced(tmp_path) == {**data, "owner_pid": 0}
    assert disown(tmp_path) is None
    assert find(tmp_path) is None
    assert disown(tmp_path / "nothing") is None


def test_whose_end_ends_an_engine_is_told(tmp_path, recorded_engine):
    recorded_engine.start(owner_pid=4711)
    connection = find(recorded_engine.state_dir)
    assert connection is not None
    assert ends_with(connection) == 4711
    disown(recorded_engine.state_dir)
    assert ends_with(connection) is None
