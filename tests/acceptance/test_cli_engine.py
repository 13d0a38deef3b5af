"""The engine from the outside: a real process, a real signal, a real client. Without Docker: the process driver."""

from __future__ import annotations

import configparser
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_lambda.client import Admin, lambda_client
from jupyter_lambda.connection import alive, announced, connect, find

JL = [sys.executable, "-m", "jupyter_lambda.cli"]
ROLE = "arn:aws:iam::000000000000:role/lambda"
SLEEPER = "import time\ndef handler(event, context):\n    time.sleep(event.get('s', 0))\n    return event\n"
RUNTIME = f"python3.{sys.version_info.minor}"


def jl(*argv: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JUPYTER_LAMBDA"))}
    return subprocess.run(
        [*JL, *argv], capture_output=True, text=True, timeout=60, env=environment | kwargs.pop("env", {}), **kwargs
    )


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``serve`` in the foreground and wait for its one line."""
    started: list[subprocess.Popen[str]] = []

    def start(*argv: str, wait: bool = True, state: str = "state") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*JL, "serve", "--driver", "process", "--state-dir", str(tmp_path / state), *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        if wait:
            process.ready = process.stdout.readline()  # type: ignore[attr-defined]
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def deploy(directory: Path, source: str = SLEEPER, name: str = "sleeper") -> Any:
    connection = find(directory)
    assert connection is not None
    client = lambda_client(connection)
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as file:
        file.writestr("code.py", source)
    client.create_function(
        FunctionName=name,
        Runtime=RUNTIME,
        Handler="code.handler",
        Role=ROLE,
        Timeout=60,
        Code={"ZipFile": package.getvalue()},
    )
    return client


def test_says_one_line_when_ready_and_leaves_nothing_announced(serve, tmp_path):
    engine = serve()
    state = tmp_path / "state"
    data = announced(state)
    assert (
        engine.ready == f"jupyter_lambda: ready at {data['url']} (process driver, NOT isolated), process {engine.pid}\n"
    )
    assert data["url"].startswith("http://127.0.0.1:")
    assert (state / "engine.json").stat().st_mode & 0o777 == 0o600
    assert (state / "credentials").stat().st_mode & 0o777 == 0o600
    parser = configparser.ConfigParser()
    parser.read(state / "credentials")
    assert parser["default"]["aws_access_key_id"].startswith("AKIA")
    engine.send_signal(signal.SIGTERM)
    out, err = engine.communicate(timeout=20)
    assert engine.returncode == 0
    assert out == "jupyter_lambda: stopping: SIGTERM\n"
    assert err.count("\n") == 1
    assert "not isolated" in err
    assert not (state / "engine.json").exists()


def test_drains(serve, tmp_path):
    """New work is refused with 503, work in flight gets its answer, the exit code is 0."""
    engine = serve()
    client = deploy(tmp_path / "state")
    client.invoke(FunctionName="sleeper", Payload=b"{}")  # warm
    answers: list[bytes] = []

    def invoke() -> None:
        answers.append(client.invoke(FunctionName="sleeper", Payload=b'{"s": 1.5}')["Payload"].read())

    thread = threading.Thread(target=invoke)
    thread.start()
    until(lambda: Admin(find(tmp_path / "state")).status()["running"] == 1)
    engine.send_signal(signal.SIGTERM)
    assert engine.stdout.readline() == "jupyter_lambda: stopping: SIGTERM\n"
    with pytest.raises(client.exceptions.ClientError) as caught:
        client.invoke(FunctionName="sleeper", Payload=b"{}")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    thread.join(20)
    assert json.loads(answers[0]) == {"s": 1.5}
    assert engine.wait(20) == 0


def test_a_second_signal_ends_it_at_once(serve, tmp_path):
    engine = serve()
    client = deploy(tmp_path / "state")
    client.invoke(FunctionName="sleeper", InvocationType="Event", Payload=b'{"s": 50}')
    until(lambda: Admin(find(tmp_path / "state")).status()["running"] == 1)
    began = time.monotonic()
    for _ in range(2):
        engine.send_signal(signal.SIGINT)
        time.sleep(0.3)
    assert engine.wait(20) == 0
    assert time.monotonic() - began < 10


def test_ends_with_its_owner(serve, tmp_path):
    owner = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    engine = serve("--owner-pid", str(owner.pid))
    assert announced(tmp_path / "state")["owner_pid"] == owner.pid
    time.sleep(0.3)
    assert engine.poll() is None
    owner.communicate(b"\n")
    out, _ = engine.communicate(timeout=20)
    assert engine.returncode == 0
    assert f"process {owner.pid}, its owner, has ended" in out


def test_a_second_engine_refuses_and_names_the_first(serve, tmp_path):
    engine = serve()
    second = serve(wait=False)
    out, err = second.communicate(timeout=30)
    assert (second.returncode, out) == (3, "")
    assert str(engine.pid) in err
    assert announced(tmp_path / "state")["url"] in err
    assert len(err.splitlines()) == 1


def test_a_port_that_is_taken_is_one_clear_line(serve, tmp_path):
    serve()
    port = announced(tmp_path / "state")["url"].rpartition(":")[2]
    second = serve("--port", port, wait=False, state="other")
    _, err = second.communicate(timeout=30)
    assert second.returncode == 1
    assert err.splitlines()[-1] == (
        f"jupyter lambda serve: port {port} is taken by another program; "
        "choose another with --port, or 0 for any that is free"
    )
    assert "Traceback" not in err


def test_is_the_same_engine_after_a_kill(serve, tmp_path):
    """SIGKILL leaves engine.json behind; the next engine takes over, with functions and keys."""
    state = tmp_path / "state"
    engine = serve()
    deploy(state)
    key = find(state).access_key
    engine.kill()
    engine.wait()
    assert find(state) is None
    serve()
    again = find(state)
    assert again.access_key == key
    assert lambda_client(again).list_functions()["Functions"][0]["FunctionName"] == "sleeper"


def test_region_account_and_key_can_be_chosen(serve, tmp_path):
    serve("--region=eu-central-1", "--account-id=123456789012", "--LambdaEngine.access_key=AKIACHOSENBYHAND0000")
    client = deploy(tmp_path / "state")
    assert find(tmp_path / "state").access_key == "AKIACHOSENBYHAND0000"
    arn = client.get_function(FunctionName="sleeper")["Configuration"]["FunctionArn"]
    assert arn == "arn:aws:lambda:eu-central-1:123456789012:function:sleeper"


def test_start_stop_and_everything_between(tmp_path):
    state = ("--state-dir", str(tmp_path / "state"))
    try:
        began = jl("start", *state, "--driver", "process")
        assert began.returncode == 0, began.stderr
        assert began.stdout.startswith("ready: http://127.0.0.1:")
        assert "NOT isolated" in began.stdout
        assert jl("start", *state).stdout.startswith("already running: ")
        deploy(tmp_path / "state")
        assert jl("invoke", "sleeper", "-p", '{"a": 1}', *state).stdout == '{"a": 1}\n'
        failed = jl("invoke", "sleeper", "-p", "[1]", "--log", *state)
        assert failed.returncode == 1
        assert "REPORT RequestId" in failed.stderr
        assert "sleeper" in jl("list", *state).stdout
        assert "END RequestId" in jl("logs", "sleeper", *state).stdout
        assert "not isolated" in jl("status", *state).stdout
        doctor = jl("doctor", *state)
        assert doctor.returncode == 0, doctor.stdout
        assert "✓ python" in doctor.stdout
        pid = announced(tmp_path / "state")["pid"]
        stopped = jl("stop", *state)
        assert (stopped.returncode, stopped.stdout) == (0, f"stopped (process {pid})\n")
        assert not alive(pid)
    finally:
        jl("stop", *state, "--wait", "1")


def test_an_interrupted_invoke_stops_the_function(serve, tmp_path):
    serve()
    state = tmp_path / "state"
    deploy(state)
    waiting = subprocess.Popen(
        [*JL, "invoke", "sleeper", "-p", '{"s": 60}', "--state-dir", str(state)], stderr=subprocess.PIPE, text=True
    )
    with waiting:
        admin = Admin(find(state))
        until(lambda: any(one["state"] == "running" for one in admin.invocations()["running"]))
        waiting.send_signal(signal.SIGINT)
        _, said = waiting.communicate(timeout=20)
    assert waiting.returncode == 130
    assert said == "interrupted; the invocation was stopped\n"
    assert admin.invocations()["running"] == []


def test_the_aws_cli_uses_it(serve, tmp_path):
    serve()
    deploy(tmp_path / "state")
    answer = tmp_path / "answer.json"
    script = """eval "$("$1" -m jupyter_lambda.cli env --state-dir "$2")"
        "$1" -m awscli lambda invoke --function-name sleeper --payload '{"n": 3}' "$3" """
    done = subprocess.run(
        ["sh", "-euc", script, "sh", sys.executable, tmp_path / "state", answer],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(answer.read_text()) == {"n": 3}
    assert json.loads(done.stdout)["StatusCode"] == 200


def test_a_kernels_engine_ends_with_the_kernel(tmp_path):
    """connect() in a process that no Jupyter server started: the engine is that process's own."""
    code = (
        "import sys\nfrom jupyter_lambda.connection import connect\n"
        "engine = connect(sys.argv[1], arguments=['--driver=process'], on_message=lambda line: None)\n"
        "print(engine.pid, flush=True)\ninput()"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER_LAMBDA")}
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "state"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as kernel:
        pid = int(kernel.stdout.readline())
        assert alive(pid)
        kernel.kill()
    until(lambda: not alive(pid))
    assert announced(tmp_path / "state") is None


def test_many_processes_that_want_an_engine_share_one(tmp_path):
    state = tmp_path / "state"
    code = (
        "import sys\nfrom jupyter_lambda.connection import connect\n"
        "print(connect(sys.argv[1], arguments=['--driver=process'], owner_pid=int(sys.argv[2])).epoch)"
    )
    several = [
        subprocess.Popen(
            [sys.executable, "-c", code, state, str(os.getpid())],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    epochs = {process.communicate(timeout=60)[0].splitlines()[-1] for process in several}
    try:
        assert epochs == {connect(state, start=False).epoch}
    finally:
        jl("stop", "--state-dir", str(state))


def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
