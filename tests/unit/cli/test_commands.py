"""Each command as a person runs it, against a recording of an engine."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys

import pytest
from traitlets.utils.importstring import import_item

from jupyter_lambda.cli import functions, main
from jupyter_lambda.cli.app import LambdaApp
from jupyter_lambda.errors import InvalidParameterValueException

STATUS = {"driver": "process", "isolated": False, "environments": {"Idle": 2}, "interpreters": [], "draining": False}


@pytest.fixture
def jl(capsys, recorded_engine, monkeypatch):
    """Run a command line; returns (exit code, stdout, stderr)."""
    for name in [name for name in os.environ if name.startswith(("JUPYTER_LAMBDA_", "AWS_"))]:
        monkeypatch.delenv(name)

    def run(*argv: str, state: bool = True) -> tuple[int, str, str]:
        where = ["--state-dir", str(recorded_engine.state_dir)] if state else []
        try:
            main([*argv[:1], *where, *argv[1:]])
            code = 0
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else 1
        finally:
            LambdaApp.clear_instance()
            for module, _ in LambdaApp.subcommands.values():
                import_item(module).clear_instance()
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_without_a_command_shows_what_there_is(jl):
    code, out, _ = jl(state=False)
    assert code == 2
    assert all(f"\n{name}\n" in out for name in LambdaApp.subcommands)


@pytest.mark.parametrize("name", LambdaApp.subcommands)
def test_every_command_has_help_and_examples(jl, name):
    code, out, _ = jl(name, "--help", state=False)
    assert code == 0
    assert out.startswith(f"jupyter lambda {name}")
    assert "Examples" in out
    assert "--state-dir" in out


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["strat"], 2, "there is no command 'strat'; did you mean 'start'?"),
        (["invoke"], 2, "the function's name is missing"),
        (["invoke", "a", "b"], 2, "'b' is one word too many"),
        (["logs", "a", "--folow=1"], 2, "unknown option --folow; did you mean --follow?"),
        (["invoke", "a", "-p"], 2, "expected one argument"),
        (["stop", "--wait=abc"], 2, "expected a float"),
        (["serve", "--driver=podman"], 2, "'driver' trait"),
        (["serve", "--region=mars"], 2, "region must be an AWS region"),
        (["serve", "--account-id=12"], 2, "account_id must be 12 digits"),
    ],
)
def test_mistakes_are_one_clear_line(jl, recorded_engine, argv, code, text):
    recorded_engine.start()
    got, _, err = jl(*argv, state=False)
    if not err:
        got, _, err = jl(*argv)
    assert got == code
    assert text in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", [["status"], ["env"], ["list"], ["invoke", "f"], ["logs", "f"]])
def test_without_an_engine_stdout_stays_empty(jl, command):
    code, out, err = jl(*command)
    assert (code, out) == (1, "")
    assert "no engine is running on" in err
    assert "jupyter lambda start" in err


def test_env(jl, recorded_engine):
    recorded_engine.start()
    code, out, _ = jl("env")
    assert code == 0
    shell = subprocess.run(
        [
            "sh",
            "-euc",
            'eval "$1"; echo "$AWS_ENDPOINT_URL $AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY $AWS_DEFAULT_REGION"',
            "sh",
            out,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout.split() == [recorded_engine.url, "AKIAOWNER", "s3cret", "us-east-1"]


def test_env_unset_needs_no_engine(jl):
    code, out, _ = jl("env", "--unset")
    assert code == 0
    assert out.startswith("unset AWS_ENDPOINT_URL ")


def test_env_quotes(jl, recorded_engine):
    recorded_engine.start()
    path = recorded_engine.state_dir / "credentials"
    path.write_text("[default]\naws_access_key_id = AK\naws_secret_access_key = a'b$(reboot)\n")
    assert "AWS_SECRET_ACCESS_KEY='a'\"'\"'b$(reboot)'" in jl("env")[1]


def test_status(jl, recorded_engine):
    recorded_engine.start()
    recorded_engine.answers["/_jupyter_lambda/status"] = (200, {}, [json.dumps(STATUS).encode()])
    code, out, _ = jl("status")
    assert code == 0
    assert "not isolated" in out
    assert "environments  Idle 2" in out
    assert json.loads(jl("status", "--json")[1])["isolated"] is False


def test_start_finds_it_running(jl, recorded_engine):
    recorded_engine.start()
    code, out, _ = jl("start")
    assert code == 0
    assert out.startswith("already running: http://")


def test_stop_without_an_engine_is_fine(jl, recorded_engine):
    assert jl("stop")[0] == 0
    recorded_engine.start()
    recorded_engine.die()
    code, out, _ = jl("stop")
    assert code == 0
    assert "no engine is running" in out or "stopped" in out


def test_stop(jl, recorded_engine):
    recorded_engine.start()
    code, out, _ = jl("stop", "--wait", "5")
    assert code == 0
    assert out == f"stopped (process {recorded_engine.process.pid})\n"
    assert recorded_engine.process.wait(1) == -15


def test_list(jl, recorded_engine):
    recorded_engine.start()
    found = {"Functions": [{"FunctionName": "b", "Runtime": "python3.11", "MemorySize": 512}, {"FunctionName": "a"}]}
    recorded_engine.answers["/2015-03-31/functions"] = (200, {}, [json.dumps(found).encode()])
    row = {"function_name": "b", "invocations": 3, "errors": 1, "throttles": 0, "gb_s": 1.25, "price": 0.00002}
    recorded_engine.answers["/_jupyter_lambda/stats"] = (200, {}, [json.dumps({"functions": [row]}).encode()])
    code, out, _ = jl("list", "--since", "24h")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == [
        "function",
        "runtime",
        "memory",
        "MB",
        "invocations",
        "errors",
        "throttles",
        "GB-s",
        "price",
        "USD",
    ]
    assert lines[1].split() == ["b", "python3.11", "512", "3", "1", "0", "1.250", "0.00002000"]
    assert lines[3].split() == ["total", "3", "1", "0", "1.250", "0.00002000"]
    assert json.loads(jl("list", "--json")[1])[0]["gb_s"] == 1.25


def test_invoke(jl, recorded_engine, tmp_path):
    recorded_engine.start()
    log = base64.b64encode(b"START\nREPORT\n").decode()
    recorded_engine.answer = (200, {"X-Amz-Log-Result": log}, [b'{"sum": 3}'])
    event = tmp_path / "event.json"
    event.write_text('{"n": 3}')
    code, out, err = jl("invoke", "clean:live", "-p", f"@{event}", "--log")
    assert (code, out, err) == (0, '{"sum": 3}\n', "START\nREPORT\n")
    seen = recorded_engine.requests[-1]
    assert seen.path == "/2015-03-31/functions/clean%3Alive/invocations"
    assert seen.body == b'{"n": 3}'


def test_invoke_that_fails(jl, recorded_engine):
    recorded_engine.start()
    recorded_engine.answer = (200, {"X-Amz-Function-Error": "Unhandled"}, [b'{"errorMessage": "no"}'])
    code, out, err = jl("invoke", "f")
    assert (code, out) == (1, '{"errorMessage": "no"}\n')
    assert "the function failed" in err


def test_invoke_without_waiting(jl, recorded_engine):
    recorded_engine.start()
    recorded_engine.answer = (202, {"x-amzn-RequestId": "abc"}, [])
    assert jl("invoke", "f", "--async")[1] == "queued: request abc\n"
    assert recorded_engine.requests[-1].headers["X-Amz-Invocation-Type"] == "Event"


def test_invoke_of_what_does_not_exist(jl, recorded_engine):
    recorded_engine.start()
    headers = {"x-amzn-ErrorType": "ResourceNotFoundException", "Content-Type": "application/json"}
    recorded_engine.answer = (404, headers, [b'{"Message": "Function not found: f"}'])
    code, out, err = jl("invoke", "f")
    assert (code, out) == (1, "")
    assert "ResourceNotFoundException: Function not found: f" in err


@pytest.mark.parametrize("payload", ["{x", "@/no/such/file", ""])
def test_payloads_that_are_none(jl, recorded_engine, payload):
    recorded_engine.start()
    code, _, err = jl("invoke", "f", f"--payload={payload}")
    assert code == 1
    assert "payload" in err


def test_payload_from_standard_input(recorded_engine):
    recorded_engine.start()
    recorded_engine.answer = (200, {}, [b"null"])
    subprocess.run(
        [
            sys.executable,
            "-m",
            "jupyter_lambda.cli",
            "invoke",
            "f",
            "-p",
            "-",
            "--state-dir",
            recorded_engine.state_dir,
        ],
        input=b"[1]",
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert recorded_engine.requests[-1].body == b"[1]"


def test_logs(jl, recorded_engine):
    recorded_engine.start()
    lines = [{"timestamp_ms": 1764000000123, "stream": "s", "request_id": "r", "message": "hello\n"}]
    recorded_engine.answer = (200, {}, [json.dumps({"lines": lines}).encode()])
    code, out, _ = jl("logs", "f", "--since", "10m", "--request-id", "r", "--filter", "hel", "-n", "5")
    assert code == 0
    assert out.endswith(".123  hello\n")
    assert "request_id=r&since=" in recorded_engine.requests[-1].path
    assert recorded_engine.requests[-1].path.endswith("&pattern=hel&limit=5")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["cleen"], 1, "there is no function cleen; did you mean clean?"),
        (["other"], 1, "there is no function other; there are clean"),
        (["clean"], 0, "clean wrote nothing yet"),
        (["clean", "--filter", "x"], 0, "clean wrote nothing that matches"),
        (["clean", "--request-id", "r"], 1, "r is an invocation of another, not of clean"),
    ],
)
def test_logs_say_why_there_are_none(jl, recorded_engine, words, code, text):
    recorded_engine.start()
    functions = json.dumps({"Functions": [{"FunctionName": "clean"}]}).encode()
    recorded_engine.answers["/_jupyter_lambda/logs"] = (200, {}, [b'{"lines": []}'])
    recorded_engine.answers["/2015-03-31/functions"] = (200, {}, [functions])
    recorded_engine.answers["/_jupyter_lambda/invocations/r"] = (200, {}, [b'{"function_name": "another"}'])
    found, out, err = jl("logs", *words)
    assert (found, out) == (code, "")
    assert text in err


def test_following_shows_each_line_once_and_ends_quietly(recorded_engine):
    recorded_engine.start()
    lines = [
        {"timestamp_ms": 1764000000000 + i // 2, "stream": "s", "request_id": "r", "message": f"{i}"} for i in range(3)
    ]
    recorded_engine.answer = (200, {}, [json.dumps({"lines": lines[:2]}).encode()])
    command = [sys.executable, "-u", "-m", "jupyter_lambda.cli", "logs", "f", "-f"]
    with subprocess.Popen(
        [*command, "--state-dir", recorded_engine.state_dir], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert [process.stdout.readline()[-2] for _ in range(2)] == ["0", "1"]
        recorded_engine.answer = (200, {}, [json.dumps({"lines": lines}).encode()])
        assert process.stdout.readline()[-2] == "2"
        process.send_signal(2)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (130, "", "")


def test_a_reader_who_has_had_enough(recorded_engine):
    recorded_engine.start()
    lines = [{"timestamp_ms": 0, "message": "x" * 1000}] * 2000
    recorded_engine.answer = (200, {}, [json.dumps({"lines": lines}).encode()])
    command = f"{sys.executable} -m jupyter_lambda.cli logs f --state-dir {recorded_engine.state_dir} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("45s", 45), ("10m", 600), ("2h", 7200), ("1.5d", 129600)])
def test_lengths_of_time(text, seconds):
    assert functions.duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "ten", "-1s", "inf", "nan", "9e99d"])
def test_no_lengths_of_time(text):
    with pytest.raises(InvalidParameterValueException):
        functions.duration_s(text)
