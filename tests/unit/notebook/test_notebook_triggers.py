"""``--trigger``, ``%lambda trigger`` and ``%lambda fire`` in a real IPython shell, against AWS in memory."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.utils.capture import capture_output

from jupyter_lambda.notebook import completion
from jupyter_lambda.notebook.engine import engines
from jupyter_lambda.notebook.errors import MagicUsageError, NotebookError

_spec = importlib.util.spec_from_file_location("notebook_fake_engine", Path(__file__).with_name("fake_engine.py"))
assert _spec
assert _spec.loader
fake = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake)

CELL = "def handler(event, context):\n    return event\n"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    made = fake.fake_engine(tmp_path / "functions")
    made.aws.everything()
    engines.forget()
    engines.put(made)
    yield made
    engines.forget()


@pytest.fixture
def run(notebook: Any, engine: Any) -> Any:
    """Run a cell or line and give what it showed, as text."""

    def one(text: str) -> str:
        with capture_output() as shown:
            notebook.run(text)
        for output in shown.outputs:
            html = output.data.get("text/html", "")
            assert html.count("<") == html.count(">")
        return shown.stdout + "".join(output.data.get("text/plain", "") for output in shown.outputs)

    return one


@pytest.fixture
def line(notebook: Any, engine: Any) -> Any:
    """Run a line and give its result, or what it printed."""

    def one(text: str) -> Any:
        with capture_output() as shown:
            result = notebook.shell.run_line_magic("lambda", text)
        return shown.stdout if result is None else result

    return one


def test_the_card_says_what_was_made_and_how_to_try_it(run, engine):
    shown = run(f"%%lambda f --trigger http:/thumb --trigger 'rate:5 minutes' --trigger s3:photos/in/*.png\n{CELL}")
    assert "fired by http:/thumb — requests for /thumb (made)" in shown
    assert "curl http://127.0.0.1:9/_aws/execute-api/a1/thumb" in shown
    assert "fired by rate:5 minutes — every 5 minutes" in shown
    assert "fires next: " in shown
    assert "aws s3 cp sample.png s3://photos/in/sample.png" in shown
    again = run(f"%%lambda f --trigger http:/thumb\n{CELL}")
    assert "fired by http:/thumb — requests for /thumb (unchanged)" in again
    assert "fired by rate:5 minutes — no longer (removed)" in again
    assert "fired by" not in run(f"%%lambda g\n{CELL}")


def test_words_may_be_variables(run, notebook):
    run('where = ["http:/a", "http:/b"]')
    shown = run(f"%%lambda f --trigger $where\n{CELL}")
    assert "http:/a" in shown
    assert "http:/b" in shown


def test_a_word_that_can_not_be_read_changes_nothing(run, engine):
    with pytest.raises(NotebookError, match="did you mean queue"):
        run(f"%%lambda f --trigger quue:jobs\n{CELL}")
    with pytest.raises(NotebookError, match="--trigger http:/a is given twice"):
        run(f"%%lambda f --trigger http:/a --trigger http:/a?auth=iam\n{CELL}")
    assert "create_function" not in engine.client.calls


def test_a_trigger_that_can_not_work_is_told_after_the_function_is_there(run, engine):
    with pytest.raises(
        NotebookError, match="f is deployed, but not all of its triggers could be made: there is no queue"
    ):
        run(f"%%lambda f --trigger url: --trigger queue:missing\n{CELL}")
    assert "f" in engine.client.functions
    assert engine.aws.lambda_._urls


def test_a_dry_run_lists_what_would_be_made(run, engine):
    shown = run(
        "%%lambda f --dry-run --trigger http:/thumb --trigger queue:jobs?batch=5 "
        f"--trigger cron:0\\ 9\\ ?\\ *\\ 2\\ *\n{CELL}"
    )
    assert "would make the route ANY /thumb of the HTTP API jupyter-lambda, integrated with f" in shown
    assert "would make an event source mapping from the queue jobs to f, BatchSize 5" in shown
    assert "would make a schedule of EventBridge Scheduler for f: cron(0 9 ? * 2 *), UTC" in shown
    assert engine.aws.calls == []


def test_trigger_add_list_pause_resume_rm(run, line):
    run(f"%%lambda f\n{CELL}")
    assert "f has no triggers; %lambda trigger add f http:/f" in repr(line("trigger list f"))
    assert "fired by queue:jobs" in line("trigger add f queue:jobs http:/a").text
    table = line("trigger list f")
    assert [one.word for one in table] == ["http:/a", "queue:jobs"]
    assert "No records processed" in repr(table)
    assert line("trigger pause f") == "paused queue:jobs\n"
    assert "queue:jobs" in run("%lambda list")
    assert "(paused)" in line("show f").text()
    assert line("trigger resume f queue") == "resumed queue:jobs\n"
    assert line("trigger rm f http queue:jobs") == "removed http:/a, queue:jobs\n"
    assert len(line("trigger list f")) == 0


def test_trigger_list_of_all_functions(run, line):
    assert "No function has triggers" in repr(line("trigger list"))
    run(f"%%lambda g --trigger queue:jobs\n{CELL}")
    run(f"%%lambda f --trigger http:/a\n{CELL}")
    table = line("trigger list")
    assert list(zip(table.functions, [one.word for one in table], strict=True)) == [
        ("f", "http:/a"),
        ("g", "queue:jobs"),
    ]
    assert repr(table).split()[:2] == ["function", "trigger"]
    assert "<th" in table._repr_mimebundle_()["text/html"]
    for act in ("add", "rm", "pause", "resume"):
        with pytest.raises(MagicUsageError, match=rf"^%lambda trigger {act}: the function's name is missing$"):
            line(f"trigger {act}")


def test_mistakes_of_trigger_and_fire_are_one_line(run, line):
    run(f"%%lambda f\n{CELL}")
    for text, said in (
        ("trigger add f", r"which one\? For example http:/f"),
        ("trigger rm f http", "f has no trigger http; it has none"),
        ("trigger list f http", "http is one word too many"),
        ("trigger add ff http:/x", "there is no function ff; did you mean f"),
        ("trigger add f s3:missing", "there is no bucket missing here; make it"),
        ("fire f s33", "did you mean s3"),
        ("fire ff s3", "there is no function ff"),
    ):
        with pytest.raises(NotebookError, match=said):
            line(text)
    with pytest.raises(MagicUsageError, match="invalid choice: 'ad'"):
        line("trigger ad f http:/x")


def test_fire_sends_a_sample_of_the_functions_own_trigger(run, line, engine, notebook):
    run(f"%%lambda f --trigger s3:photos/in/*.csv\n{CELL}")
    found = line("fire f s3")
    assert found.result["Records"][0]["s3"]["object"]["key"] == "in/sample.csv"
    assert line("fire f queue").result["Records"][0]["eventSource"] == "aws:sqs"
    assert line("fire f http:POST\\ /x").result["requestContext"]["http"]["method"] == "POST"
    assert line('fire f s3 --event {"a": 1} --out kept -q') == ""
    assert notebook.names["kept"] == {"a": 1}
    shown = line("fire f table --show")
    assert json.loads(shown.text)["Records"][0]["eventSource"] == "aws:dynamodb"
    assert notebook.names["f"].fire("topic").result["Records"][0]["EventSource"] == "aws:sns"


def test_removing_a_function_removes_its_triggers(run, line, engine):
    run(f"%%lambda f --trigger http:/a --trigger queue:jobs\n{CELL}")
    run(f"%%lambda g --trigger url:\n{CELL}")
    assert line("rm f") == "deleted f and what fired it: http:/a, queue:jobs\n"
    assert not engine.aws.lambda_._mappings
    assert not engine.aws.apigatewayv2._routes
    assert line("clean") == "deleted g and what fired it: url:\n"
    assert not engine.aws.lambda_._urls


def test_the_handle_knows_its_triggers(run, notebook, engine):
    run(f"%%lambda f --trigger http:/a\n{CELL}")
    function = notebook.names["f"]
    assert [one.word for one in function.triggers()] == ["http:/a"]
    assert "text/html" in function.triggers()._repr_mimebundle_()
    function.delete()
    assert not engine.aws.apigatewayv2._routes


def test_the_decorator_makes_its_triggers(run, notebook, engine):
    run(
        "from jupyter_lambda import lambda_function\n"
        '@lambda_function(triggers=["http:/a", "rate:1h"])\n'
        "def f(event, context):\n    return event\n"
    )
    assert engine.aws.calls == []
    run("f.deploy()")
    assert sorted(one.kind for one in notebook.names["f"].triggers()) == ["http", "rate"]


def test_completion_knows_acts_kinds_and_names(run, notebook, engine, monkeypatch):
    monkeypatch.setattr(completion.FunctionNames, "get", lambda self: ["clean", "crop"])
    matches = completion.Completions(notebook.shell).matches
    assert matches("%lambda trigger p") == ["pause"]
    assert matches("%lambda trigger add c") == ["clean", "crop"]
    assert matches("%lambda trigger add clean s") == ["s3:", "stream:"]
    assert matches("%lambda fire clean t") == ["table", "topic"]
    assert matches("%lambda fire c") == ["clean", "crop"]
    assert matches("%%lambda clean --trigger fol") == ["folder:"]
    assert "--trigger" in matches("%%lambda clean --tr")


def test_help_lists_all_kinds(run):
    shown = run("%lambda trigger --help")
    assert "http:/thumb or 'http:GET /items/{id}'" in shown
    assert "folder:data/*.csv" in shown
