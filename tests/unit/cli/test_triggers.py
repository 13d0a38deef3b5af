"""``jupyter lambda trigger`` as a person runs it, against AWS in memory."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path
from typing import Any

import pytest

from jupyter_lambda.cli import main, triggers
from jupyter_lambda.cli.app import LambdaApp
from jupyter_lambda.eventsources.place import Place

_spec = importlib.util.spec_from_file_location(
    "eventsources_fake_aws", Path(__file__).parents[1] / "eventsources" / "fake_aws.py"
)
assert _spec
assert _spec.loader
fake_aws = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake_aws)


class Client:
    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        event = json.loads(Payload)
        answer: dict[str, Any] = {"Payload": io.BytesIO(json.dumps({"got": event}).encode())}
        return {**answer, "FunctionError": "Unhandled"} if event == {"fail": True} else answer


@pytest.fixture
def jl(capsys, monkeypatch, tmp_path):
    """Run ``jupyter lambda trigger``; returns (exit code, stdout, stderr)."""
    aws = fake_aws.Aws()
    aws.everything()
    monkeypatch.setattr(Place, "of_connection", lambda connection: aws.place)
    monkeypatch.setattr(triggers.TriggerCommand, "connection", lambda self: None)
    monkeypatch.setattr(triggers, "lambda_client", lambda connection, pool: Client())
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> tuple[int, str, str]:
        try:
            main(["trigger", *argv])
            code = 0
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else 1
        finally:
            LambdaApp.clear_instance()
            triggers.TriggerCommand.clear_instance()
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_add_list_pause_and_remove(jl):
    assert jl("list", "f") == (0, "f has no triggers; jupyter lambda trigger add f http:/f\n", "")
    code, out, _ = jl("add", "f", "http:/thumb", "rate:5 minutes")
    assert code == 0
    assert "http:/thumb: requests for /thumb (made)" in out
    assert "curl http://127.0.0.1:9/_aws/execute-api/a1/thumb" in out
    assert "rate:5 minutes: every 5 minutes" in out
    assert jl("pause", "f")[1] == "paused rate:5 minutes\n"
    code, out, _ = jl("list", "f", "--json")
    assert [(one["trigger"], one["state"]) for one in json.loads(out)] == [
        ("http:/thumb", "on"),
        ("rate:5 minutes", "paused"),
    ]
    assert jl("resume", "f", "rate")[1] == "resumed rate:5 minutes\n"
    assert "last result" in jl("list", "f")[1]
    assert jl("rm", "f", "http", "rate:5m")[1] == "removed http:/thumb, rate:5 minutes\n"
    code, out, _ = jl("add", "f", "queue:jobs", "--json")
    assert json.loads(out)[0]["action"] == "made"


def test_list_without_a_name_is_of_all_functions(jl):
    assert jl("list") == (0, "no function has triggers; jupyter lambda trigger add NAME TRIGGER\n", "")
    jl("add", "g", "queue:jobs")
    jl("add", "f", "http:/a")
    code, out, _ = jl("list")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["function", "trigger"],
        ["f", "http:/a"],
        ["g", "queue:jobs"],
    ]
    code, out, _ = jl("list", "--json")
    assert [(one["function"], one["trigger"]) for one in json.loads(out)] == [("f", "http:/a"), ("g", "queue:jobs")]
    for act in ("add", "rm", "pause", "resume", "fire"):
        missing = f"the function's name is missing: jupyter lambda trigger {act} NAME"
        assert jl(act) == (2, "", f"jupyter lambda trigger: {missing}\n")


def test_fire(jl):
    code, out, _ = jl("fire", "f", "s3:photos/a*.png", "--show")
    assert (code, json.loads(out)["Records"][0]["s3"]["object"]["key"]) == (0, "asample.png")
    code, out, _ = jl("fire", "f", "queue")
    assert (code, json.loads(out)["got"]["Records"][0]["eventSource"]) == (0, "aws:sqs")
    assert jl("fire", "f", "queue", "-p", '{"a": 1}') == (0, '{"got": {"a": 1}}\n', "")
    code, _, err = jl("fire", "f", "queue", "-p", '{"fail": true}')
    assert (code, err) == (1, "the function failed (Unhandled)\n")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("ad", "f"), "there is nothing called 'ad' to do; did you mean add?"),
        (("add", "f"), "which trigger? For example: jupyter lambda trigger add f http:/f"),
        (("add", "f", "quue:x"), "did you mean queue:?"),
        (("add", "h", "url:"), "there is no function h"),
        (("add", "f", "s3:missing"), "there is no bucket missing here"),
        (("list", "f", "s3"), "'s3' is one word too many"),
        (("rm", "f", "s3"), "f has no trigger s3; it has none"),
        (("fire", "f", "s3", "sqs"), "'sqs' is one word too many"),
        (("add", "f", "url:", "--profile", "nobody-has-this"), "--profile nobody-has-this"),
    ],
)
def test_mistakes_are_one_line(jl, argv, said, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    code, _, err = jl(*argv)
    assert code == 1
    assert said in err
    assert len(err.splitlines()) == 1


def test_the_words_that_are_missing_are_named(jl):
    assert jl() == (2, "", "jupyter lambda trigger: add, rm, list, pause, resume or fire is missing\n")
    assert "the function's name is missing" in jl("add")[2]
