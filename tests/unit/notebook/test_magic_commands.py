"""%%lambda and %lambda in a real IPython shell, against AWS Lambda in memory."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.utils.capture import capture_output

from jupyter_lambda.notebook import completion, function, mapping, options
from jupyter_lambda.notebook.engine import Engine, engines
from jupyter_lambda.notebook.errors import Interrupted, MagicUsageError, NotebookError
from jupyter_lambda.notebook.invocation import FunctionError

_spec = importlib.util.spec_from_file_location("notebook_fake_engine", Path(__file__).with_name("fake_engine.py"))
assert _spec
assert _spec.loader
fake = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake)

CELL = "def handler(event, context):\n    return {'n': event['n'] + 1}\n"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = fake.fake_engine(tmp_path / "functions")
    engines.forget()
    engines.put(made)
    yield made
    engines.forget()


class Shell:
    """Runs magics and gives what they showed."""

    def __init__(self, notebook: Any) -> None:
        self.notebook = notebook
        self.names = notebook.names

    def cell(self, line: str, body: str = CELL) -> str:
        with capture_output() as shown:
            self.notebook.run(f"%%lambda {line}\n{body}")
        return shown.stdout + "".join(output.data.get("text/plain", "") for output in shown.outputs)

    def line(self, line: str) -> Any:
        with capture_output() as shown:
            result = self.notebook.shell.run_line_magic("lambda", line)
        if result is None:
            return shown.stdout
        bundle = getattr(result, "_repr_mimebundle_", dict)()
        assert bundle["text/html"].count("<") == bundle["text/html"].count(">")
        return bundle.get("text/plain", result)


@pytest.fixture
def shell(notebook: Any, engine: Engine) -> Shell:
    return Shell(notebook)


# --- the cell magic


def test_a_cell_is_deployed_tested_and_bound(shell: Shell, engine: Engine) -> None:
    shown = shell.cell("clean --memory 256 --timeout 5m --env KEY=value --test '{\"n\": 3}' --out result")
    assert "λ clean: created [process driver: not isolated] · memory 256 MB · timeout 300 s" in shown
    assert '{"n": 4}' in shown
    assert "success · 1.5 ms · billed 100 ms · 30 of 256 MB · warm" in shown
    assert shell.names["result"] == {"n": 4}
    assert shell.names["clean"]({"n": 1}) == {"n": 2}
    assert shell.names["clean"](n=5) == {"n": 6}
    made = engine.client.functions["clean"]
    assert made["Environment"] == {"Variables": {"KEY": "value"}}
    assert made["Role"] == "arn:aws:iam::000000000000:role/jupyter-lambda"
    assert "X-Jupyter-Lambda-Interpreter" in engine.client.headers[0]


def test_an_unchanged_cell_changes_nothing_and_a_changed_one_only_what_changed(shell: Shell, engine: Engine) -> None:
    shell.cell("clean")
    client = engine.client
    client.calls.clear()
    assert "unchanged" in shell.cell("clean")
    assert client.calls == []
    assert "updated: memory" in shell.cell("clean --memory 1GB")
    assert client.calls == ["update_function_configuration"]
    client.calls.clear()
    assert "updated: code" in shell.cell("clean --memory 1GB", CELL.replace("1", "2"))
    assert client.calls == ["update_function_code"]
    assert "updated: network" in shell.cell("clean --memory 1GB --network none", CELL.replace("1", "2"))
    assert client.headers[-1]["X-Jupyter-Lambda-Network"] == "none"


def test_variables_are_objects_and_the_body_is_left_alone(shell: Shell) -> None:
    shell.notebook.run("event = {'n': 41}\nsize = 384\nsettings = {'a': [event]}")
    body = "def handler(event, context):\n    return {'n': event['n'], 's': '$size {size} %s'}\n"
    for written in ("$event", "$settings['a'][0]", "${settings['a'][0]}", "{event}", '{"n": event["n"]}', "{'n': 41}"):
        shell.cell(f"clean --memory $size --test {written} --out r -q".replace("$size", "384"), body)
        assert shell.names["r"] == {"n": 41, "s": "$size {size} %s"}, written
    Path("e.json").write_text('{"n": 2}')
    shell.cell("clean --test @e.json --out r -q", body)
    assert shell.names["r"]["n"] == 2


def test_as_use_handler_and_names_with_dashes(shell: Shell) -> None:
    shell.notebook.run("def secret(): return 5")
    body = "def a(event, context): return globals()['secret']()\ndef b(event, context): return 'b'\n"
    shell.cell("my-function --handler a --use secret", body)
    assert shell.names["my_function"]({}) == 5
    shell.cell("my-function --handler b --as other", body)
    assert shell.names["other"]({}) == "b"
    with pytest.raises(MagicUsageError, match="--as f_"):
        shell.cell("123", body)


def test_dry_run_and_no_deploy_deploy_nothing(shell: Shell, engine: Engine) -> None:
    shell.notebook.run("def helper(): return 1")
    body = "def handler(event, context): return helper()"
    assert "def helper(): return 1" in shell.cell("clean --dry-run", body)
    assert "nothing deployed" in shell.cell("clean --no-deploy", body)
    assert Path("clean.zip").stat().st_size > 500
    assert engine.client.functions == {}
    assert "clean" not in shell.names


def test_quiet_shows_nothing(shell: Shell) -> None:
    assert shell.cell("clean -q --test '{\"n\": 1}'") == ""


def test_a_failing_test_stops_the_cell_and_is_kept(shell: Shell) -> None:
    with pytest.raises(FunctionError) as caught:
        shell.cell("clean --test '{}'")
    rendered = "\n".join(caught.value._render_traceback_())
    assert "KeyError" in rendered
    assert "line 3" in rendered
    assert "return {'n': event['n'] + 1}" in rendered
    assert "In [1], line 3" in rendered  # the number the cell has in the notebook
    assert "lambda_function/__init__" not in rendered
    assert shell.names["clean"].last_failure is caught.value.invocation


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "required: NAME"),
        ("clean --memry 5", "unknown option --memry; did you mean --memory?"),
        ("clean --memory 5", "5 MB is outside 128 to 10240 MB"),
        ("clean --memory lots", "'lots' is not a size"),
        ("clean --timeout 16m", "outside 1 s to 900 s"),
        ("clean --test {'n'", "is not closed"),
        ("clean --test 'abc'", "a string needs its own quotes: '\"abc\"'"),
        ("clean --test $nothing", "name 'nothing' is not defined"),
        ("clean --test @nothing.json", "No such file"),
        ("clean --env KEY", "write it as NAME=VALUE"),
        ("clean --env A=b", "two or more letters"),
        ("cle*an", "can't be a function's name"),
        ("clean extra", "unexpected extra"),
        ("clean -r missing.txt", "-r missing.txt: No such file"),
        ("clean --network all", "invalid choice"),
    ],
)
def test_every_mistake_is_one_clear_line(shell: Shell, engine: Engine, line: str, message: str) -> None:
    with pytest.raises(NotebookError) as caught:
        shell.cell(line)
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert engine.client.functions == {}


def test_help_is_printed_and_ends_nothing(shell: Shell) -> None:
    assert "--max-parallel" in shell.line("map --help")
    assert "--requirements" in shell.line("help")
    assert "EVENT" in shell.line("help invoke")
    assert "SUBCOMMAND" in shell.line("")
    assert "usage" in shell.cell("--help", "pass")


# --- the line magic


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("list", "clean     Active  512 MB  30 s"),
        ("list nothing", "No function's name contains nothing."),
        ("show clean", 'call it: clean({"key": "value"})'),
        ('invoke clean {"n": 1}', '{"n": 2}'),
        ("invoke clean $event", '{"n": 8}'),
        ('invoke clean {"n": 1} --async', "queued as"),
        ('map clean [{"n": 1},{"n": 2}]', "2 events"),
        ("logs clean --since 5m", "hello"),
        ("config clean --memory 256 --env AB=c --concurrency 5", "changed: memory, env, concurrency"),
        ("versions clean", "1 ← in force"),
        ("stats clean", "$0.0000040"),
        ("bill", "clean     4         1       0.4 s"),
        ("bill --by both --since 30d", "2026-11-24  clean"),
        ("stop clean", "nothing of clean was running"),
        ("stop 0f8fad5b-d9cb-469f-a165-70867728950e", "1 stopped"),
        ("doctor", "Docker"),
        ("clean", "deleted clean"),
        ("rm clean", "deleted clean"),
    ],
)
def test_subcommands(shell: Shell, line: str, expected: str) -> None:
    shell.cell("clean")
    shell.notebook.run("event = {'n': 7}")
    assert expected in shell.line(line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("invoke cleen", "there is no function cleen; did you mean clean?"),
        ("rm clean nothing", "there is no function nothing; there are clean"),
        ("invok clean", "there is no %lambda invok; did you mean invoke?"),
        ("map clean {}", "give a list of events"),
        ("rollback clean", "no earlier version"),
        ("other --test {}", "write %%lambda with two signs"),
        ("config clean --concurrency x", "write a number, or none"),
        ("logs clean --request-id wrong", "No invocation wrong is known."),
        ("logs clean --request-id r", "r is an invocation of other, not of clean"),
    ],
)
def test_mistakes_of_the_line_magic(shell: Shell, line: str, message: str) -> None:
    shell.cell("clean")
    with pytest.raises(NotebookError) as caught:
        shell.line(line)
    assert message in caught.value.message


def test_results_of_line_magics_can_be_assigned_and_lambdas_are_untouched(shell: Shell) -> None:
    shell.cell("clean")
    shell.notebook.run(
        'r = %lambda invoke clean {"n": 1}', "f = lambda x: x + 1", 'm = %lambda map clean [{"n": 1}, {}]'
    )
    assert shell.names["r"].result == {"n": 2}
    assert shell.names["f"](1) == 2
    assert shell.names["m"].results == [{"n": 2}, None]


def test_deleting_unbinds_the_name(shell: Shell) -> None:
    shell.cell("clean")
    shell.line("rm clean")
    assert "clean" not in shell.names


# --- handles


def test_ways_to_call(shell: Shell, engine: Engine) -> None:
    shell.cell("clean")
    clean = shell.names["clean"]
    assert clean.submit({"n": 1}).result(5) == {"n": 2}
    assert asyncio.run(clean.invoke_async(n=2)) == {"n": 3}
    assert clean.send({"n": 1})
    found = clean.invoke({"n": 1}, request_id="0f8fad5b-d9cb-469f-a165-70867728950e")
    assert (found.ok, found.status, found.cold, found.memory_mb) == (True, "success", False, 512)
    assert found.request_id == "0f8fad5b-d9cb-469f-a165-70867728950e"
    with pytest.raises(FunctionError):
        clean.submit({}).result(5)
    with pytest.raises(TypeError):
        clean({"n": 1}, n=2)


def test_an_interrupt_stops_the_invocation(shell: Shell, engine: Engine) -> None:
    shell.cell("clean")
    engine.client.trouble.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt) as caught:
        shell.names["clean"]({"n": 1})
    assert isinstance(caught.value, Interrupted)
    assert caught.value._render_traceback_()[0].endswith("clean interrupted; its invocation was stopped")
    assert len(engine.admin.stopped) == 1


def test_an_interrupted_map_stops_all_and_keeps_what_is_done(
    shell: Shell, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.cell("clean")
    engine.client.gate = threading.Event()
    looks = iter(range(100))

    def wait(*args: Any, **kwargs: Any) -> Any:
        if next(looks) == 1:
            raise KeyboardInterrupt
        time.sleep(0.05)
        return set(), args[0]

    monkeypatch.setattr(mapping, "wait", wait)
    with pytest.raises(KeyboardInterrupt, match="3 running stopped, 0 of 9 done"):
        shell.names["clean"].map([{"n": 1}] * 9, max_parallel=3, progress=False)
    engine.client.gate.set()
    assert len(engine.admin.stopped) == 3
    assert len(shell.names["clean"].last_map) == 9


def test_map_keeps_order_and_errors_and_retries_only_what_failed(shell: Shell, engine: Engine) -> None:
    shell.cell("clean")
    events = [{"n": i} if i % 3 else {} for i in range(20)]
    result = shell.names["clean"].map(events, max_parallel=4, progress=False)
    assert result.results == [{"n": i + 1} if i % 3 else None for i in range(20)]
    assert sorted(result.errors) == [0, 3, 6, 9, 12, 15, 18]
    assert isinstance(result[0], FunctionError)
    assert result[1:3] == [{"n": 2}, {"n": 3}]
    assert engine.client.most_running <= 4
    engine.client.sent.clear()
    assert len(result.retry(progress=False).errors) == 7
    assert len(engine.client.sent) == 7
    with pytest.raises(FunctionError):
        result.raise_for_errors()


def test_throttles_are_answered_with_patience(shell: Shell, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function.time, "sleep", lambda _: None)
    shell.cell("clean")
    throttle = fake.refuse("TooManyRequestsException", "Rate Exceeded.", 429)
    engine.client.trouble.extend([throttle] * 5)
    assert shell.names["clean"]({"n": 1}) == {"n": 2}
    engine.client.trouble.extend([throttle] * 5)
    assert shell.names["clean"].map([{"n": 1}] * 8, progress=False).ok


def test_a_function_that_is_gone_says_so(shell: Shell, engine: Engine) -> None:
    shell.cell("clean")
    engine.client.functions.clear()
    with pytest.raises(NotebookError, match="there is no function clean; run its %%lambda cell again"):
        shell.names["clean"]({"n": 1})
    assert "Function not found" in shell.names["clean"]._repr_mimebundle_()["text/plain"]


def test_events_of_what_notebooks_are_full_of(shell: Shell, engine: Engine) -> None:
    shell.cell("echo", "def handler(event, context): return event")
    shell.notebook.run(
        "import numpy as np, pandas as pd, datetime, dataclasses, decimal\n"
        "@dataclasses.dataclass\nclass D:\n    a: int\n"
        "e = {'a': np.int64(1), 'b': np.arange(2), 'c': pd.DataFrame({'x': [1]}), 'd': datetime.date(2024, 1, 2),"
        " 'e': D(3), 'f': {2, 1}, 'g': b'x', 'h': decimal.Decimal('1.5')}"
    )
    assert shell.names["echo"](shell.names["e"]) == {
        "a": 1, "b": [0, 1], "c": [{"x": 1}], "d": "2024-01-02", "e": {"a": 3}, "f": [1, 2], "g": "eA==", "h": 1.5,
    }  # fmt: skip
    with pytest.raises(NotebookError, match="isn't JSON"):
        shell.names["echo"]({"x": object()})
    with pytest.raises(NotebookError, match="Lambda takes 6"):
        shell.names["echo"]("x" * 7_000_000)


# --- the decorator


def test_the_decorator_deploys_at_the_first_call(shell: Shell, engine: Engine) -> None:
    shell.notebook.run(
        "from jupyter_lambda import lambda_function\ndef helper(x): return x + 1",
        "\n@lambda_function(memory_mb=256, env={'AB': 'c'})\n"
        "def twin(event):\n    'Doc.'\n    return helper(event['n'])",
    )
    twin = shell.names["twin"]
    assert twin.local({"n": 1}) == 2
    assert (twin.__doc__, engine.client.functions) == ("Doc.", {})
    assert twin({"n": 2}) == 3
    assert engine.client.functions["twin"]["MemorySize"] == 256
    found = twin.invoke({})
    assert [(f.where[:4], f.line) for f in found.frames if f.own][-1] == ("In [", 4)
    shell.line("clean")
    assert twin({"n": 3}) == 4


def test_the_decorator_in_a_module(shell: Shell, engine: Engine) -> None:
    Path("decorated_module.py").write_text(
        "import math\nfrom jupyter_lambda import lambda_function\nBASE = 10\n\n"
        "def up(x):\n    return math.floor(x) + BASE\n\n"
        "@lambda_function\ndef lift(event, context):\n    return up(event['n'])\n"
    )
    import decorated_module  # type: ignore[import-not-found]

    assert decorated_module.lift({"n": 1.5}) == 11
    assert decorated_module.lift.local({"n": 2.5}) == 12


# --- completion


class Names:
    def get(self) -> list[str]:
        return ["clean", "cost", "other"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%lambda in", ["invoke"]),
        ("%lambda ", options.SUBCOMMANDS),
        ("%lambda invoke c", ["clean", "cost"]),
        ("r = %lambda invoke o", ["other"]),
        ("%lambda rm clean o", ["other"]),
        ("%lambda invoke clean --o", ["--out"]),
        ("%lambda invoke clean $eve", ["$event_a", "$event_b"]),
        ("%lambda help ro", ["rollback"]),
        ("%%lambda cl", ["clean"]),
        ("%%lambda clean --mem", ["--memory"]),
        ("%%lambda clean --network ", ["none", "egress"]),
        ("%%lambda clean --use event_", ["event_a", "event_b"]),
        ("x = lambda in", []),
        ("%other in", []),
    ],
)
def test_completion(notebook: Any, text: str, expected: list[str]) -> None:
    notebook.run("event_a = event_b = 1")
    assert completion.Completions(notebook.shell, Names()).matches(text) == expected  # type: ignore[arg-type]


def test_ipython_asks_our_matcher(notebook: Any) -> None:
    with provisionalcompleter():
        found = [one.text for one in notebook.shell.Completer.completions("%lambda rollb", 13)]
    assert "rollback" in found


def test_completion_never_waits_for_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = threading.Event()
    monkeypatch.setattr(completion.FunctionNames, "_fetch", lambda self: blocked.wait(5))
    began = time.monotonic()
    assert completion.FunctionNames().get() == []
    assert time.monotonic() - began < 0.5
    blocked.set()


# --- documentation


def test_every_option_and_subcommand_is_documented() -> None:
    text = Path(__file__).parents[3].joinpath("docs", "magics.md").read_text(encoding="utf-8")
    parsers = [options.cell_parser(), *(options.subcommand_parser(name) for name in options.SUBCOMMANDS)]
    wanted = {option for parser in parsers for option in options.option_strings(parser)} - {"-h"}
    wanted |= {f"%lambda {name}" for name in options.SUBCOMMANDS}
    wanted |= {f".{name}" for name in vars(function.LambdaFunction) if name[0] != "_"} - {
        ".engine",
        ".forget",
        ".is_local_too",
    }
    wanted |= {f".{name}" for name in vars(mapping.MapResult) if name[0] != "_"}
    assert not {word for word in wanted if f"`{word}" not in text and f"{word}`" not in text and f"{word}(" not in text}


def test_tune_measures_each_size_and_leaves_the_function_as_it_was(shell: Shell, engine: Engine) -> None:
    shell.cell("clean --memory 512")
    before = [v["Version"] for v in engine.client.published["clean"]]
    engine.client.run_ms = lambda memory_mb: "oom" if memory_mb == 128 else 51200 / memory_mb
    shell.names["ev"] = {"n": 1}
    with capture_output():
        shell.notebook.run(
            "%lambda tune clean --memory 1024,128,256,1024 --n 5 --event $ev --strategy speed --out found"
        )
    found = shell.names["found"]
    assert [one.memory_mb for one in found.sizes] == [128, 256, 1024]
    assert "needed more than its 128 MB" in found.sizes[0].failure
    assert found.best.memory_mb == 1024
    assert found.best.cold_ms == 90.0
    assert "1024 MB is best for speed" in repr(found)
    assert engine.client.functions["clean"]["MemorySize"] == 512
    assert [v["Version"] for v in engine.client.published["clean"]] == before
    assert found.apply() == 1024
    assert engine.client.functions["clean"]["MemorySize"] == 1024


def test_tune_applies_shows_the_picture_and_says_what_is_wrong(shell: Shell, engine: Engine) -> None:
    shell.cell("clean --memory 512")
    engine.client.run_ms = lambda memory_mb: 51200 / memory_mb
    with capture_output() as shown:
        shell.notebook.run('%lambda tune clean --memory 256,2048 --n 2 --event {"n": 1} --strategy speed --apply -q')
    kinds = [set(output.data) for output in shown.outputs]
    assert {"application/vnd.vegalite.v5+json", "text/plain"} in kinds
    assert any("applied" in output.data.get("text/html", "") for output in shown.outputs)
    assert engine.client.functions["clean"]["MemorySize"] == 2048
    calls = len(engine.client.calls)
    with pytest.raises(FunctionError, match="KeyError"):
        shell.line("tune clean --memory 256")
    assert len(engine.client.calls) == calls
    with pytest.raises(MagicUsageError, match="outside 128 to 10240"):
        shell.line("tune clean --memory 64,128")
    with pytest.raises(NotebookError, match=r"no function cleen; did you mean clean\?"):
        shell.line("tune cleen")


def test_an_interrupted_tune_leaves_the_function_as_it_was(shell: Shell, engine: Engine) -> None:
    shell.cell("clean --memory 512")

    def interrupted(memory_mb: int) -> float:
        if memory_mb == 256:
            raise KeyboardInterrupt
        return 1.0

    engine.client.run_ms = interrupted
    with pytest.raises(KeyboardInterrupt):
        shell.names["clean"].tune([128, 256], n=2, event={"n": 1}, progress=False)
    assert engine.client.functions["clean"]["MemorySize"] == 512
    assert len(engine.client.published["clean"]) == 1


def test_config_shows_network_and_concurrency_and_knows_its_settings(shell: Shell, engine: Engine) -> None:
    shell.cell("clean --network none")
    assert "network none · concurrency unreserved" in shell.line("config clean")
    engine.client.provisioned["clean"] = [
        {
            "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:clean:live",
            "RequestedProvisionedConcurrentExecutions": 2,
            "AllocatedProvisionedConcurrentExecutions": 1,
            "Status": "IN_PROGRESS",
        }
    ]
    assert "provisioned for live 1 of 2, IN_PROGRESS" in shell.line("config clean")
    clean = shell.names["clean"]
    assert clean.config(memory_mb=1024, timeout_s=9)["MemorySize"] == 1024
    with pytest.raises(NotebookError, match=r"no setting memoy; did you mean memory\?"):
        clean.config(memoy=5)
    with pytest.raises(NotebookError, match="there are memory, timeout"):
        clean.config(colour="red")


def test_a_wrong_word_after_a_subcommand_is_told_by_that_subcommand(shell: Shell) -> None:
    shell.cell("clean")
    with pytest.raises(MagicUsageError, match=r"unknown option --patern; did you mean --pattern\?"):
        shell.line("logs clean --patern x")


@pytest.mark.parametrize("events", [5, {"n": 1}, "text"])
def test_a_map_of_no_list_says_so(shell: Shell, events: Any) -> None:
    shell.cell("clean")
    with pytest.raises(NotebookError, match=r"clean.map takes a list of events, not a \w+"):
        shell.names["clean"].map(events)


def test_an_unknown_version_is_named(shell: Shell, engine: Engine) -> None:
    shell.cell("clean")
    engine.client.trouble.append(fake.refuse("ResourceNotFoundException", "Function not found", 404))
    with pytest.raises(NotebookError, match="there is no version or alias 1 of clean"):
        shell.names["clean"].invoke({"n": 1}, qualifier="1")
