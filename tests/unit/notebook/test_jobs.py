"""%lambda notebook and %lambda runs: every mistake is one line, the package holds what a run needs, runs are shown."""

from __future__ import annotations

import importlib.util
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.utils.capture import capture_output
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from jupyter_lambda.notebook.engine import Engine, engines
from jupyter_lambda.notebook.errors import MagicUsageError, NotebookError
from jupyter_lambda.notebook.jobs import notice
from jupyter_lambda.notebook.jobs.source import read

_spec = importlib.util.spec_from_file_location(
    "notebook_fake_engine_of_jobs", Path(__file__).with_name("fake_engine.py")
)
assert _spec
assert _spec.loader
fake = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake)

PYTHON = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
RUN = {
    "run_id": "r1",
    "request_id": "r1",
    "function_name": "report",
    "notebook": "report.ipynb",
    "status": "success",
    "reason": "",
    "source": "async",
    "started_s": 1_000.0,
    "ended_s": 1_002.5,
    "attempt": 1,
    "parameters": {"region": "EU", "days": 7},
    "files": {"notebook.ipynb": 10, "report.html": 20},
    "memory_used_mb": 120,
    "billed_ms": 2500,
}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = fake.fake_engine(tmp_path / "functions")
    made.client.put_function_event_invoke_config = lambda **params: made.client.sent_configs.append(params)
    made.client.sent_configs = []
    engines.forget()
    engines.put(made)
    notice._told = notice._Told()
    yield made
    engines.forget()


@pytest.fixture
def line(notebook: Any, engine: Engine) -> Any:
    """Runs a magic and gives what it showed, as text."""

    def run(text: str) -> str:
        with capture_output() as shown:
            result = notebook.shell.run_line_magic("lambda", text)
        out = shown.stdout + "".join(output.data.get("text/plain", "") for output in shown.outputs)
        if result is not None:
            bundle = result._repr_mimebundle_()
            assert bundle["text/html"].count("<") == bundle["text/html"].count(">")
            out += bundle["text/plain"]
        return out

    return run


def write(name: str = "report.ipynb", *cells: Any, metadata: Any = None) -> None:
    """A notebook beside the one that runs."""
    chosen = cells or (
        new_markdown_cell("# Report"),
        new_code_cell("region = 'UK'\ndays: int = 7", metadata={"tags": ["parameters"]}),
        new_code_cell("import helper\nhelper.twice(days)"),
        new_code_cell("%lambda notebook report.ipynb\n# and look:\n%lambda runs"),
    )
    nbformat.write(new_notebook(cells=list(chosen), metadata=PYTHON if metadata is None else metadata), name)


def packed(engine: Engine, name: str = "report") -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(engine.client.zips[name])) as archive:
        return {path: archive.read(path) for path in archive.namelist()}


def test_the_package_holds_the_notebook_its_modules_and_data(line: Any, engine: Engine) -> None:
    write()
    Path("helper.py").write_text("import deeper\ntwice = deeper.twice\n")
    Path("deeper.py").write_text("def twice(x): return 2 * x\n")
    Path("data").mkdir()
    Path("data/a.csv").write_text("a\n1\n")
    shown = line("notebook report.ipynb -p region=EU --with data/*.csv --keep 5 --retries 1 --network none")
    files = packed(engine)
    own = "jupyter_lambda_job/files/"
    assert sorted(path for path in files if path.startswith(own)) == [
        f"{own}{name}" for name in ("data/a.csv", "deeper.py", "helper.py")
    ]
    assert b"class Signer" in files["jupyter_lambda_job/signing.py"]
    assert json.loads(files["jupyter_lambda_job/job.json"]) == {
        "notebook": "report.ipynb",
        "parameters": {"region": "EU"},
        "code": True,
    }
    cells = nbformat.reads(files["jupyter_lambda_job/notebook.ipynb"].decode(), as_version=4).cells
    assert [cell.metadata.get("tags", []) for cell in cells] == [[], ["parameters"], [], ["skip-execution"]]
    made = engine.client.functions["report"]
    assert (made["MemorySize"], made["Timeout"]) == (1024, 900)
    assert engine.client.sent_configs == [
        {"FunctionName": "report", "MaximumRetryAttempts": 1, "DestinationConfig": {}}
    ]
    assert engine.admin.jobs() == [{"function_name": "report", "notebook": "report.ipynb", "runs_kept": 5}]
    assert "report: created" in shown
    assert "region = 'EU', days = 7 (the notebook's own)" in shown
    assert "carries deeper, helper, data/a.csv" in shown
    assert "1 cell(s) about the job itself are not run in it" in shown


def test_running_the_notebook_does_not_change_the_job(line: Any, engine: Engine) -> None:
    cell = new_code_cell("1 + 1", execution_count=3, outputs=[new_output("stream", text="2")])
    write("sums.ipynb", cell)
    assert "created" in line("notebook sums.ipynb")
    cell.execution_count, cell.outputs = 9, []
    cell.metadata["execution"] = {"iopub.execute_input": "2026-01-01T00:00:00Z"}
    write("sums.ipynb", cell)
    assert "unchanged" in line("notebook sums.ipynb")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("notebook reports.ipynb", "there is no notebook reports.ipynb; did you mean report.ipynb?"),
        ("notebook .", ". is a folder; name the notebook in it"),
        (
            "notebook report -p regions=EU",
            "report.ipynb has no parameter regions; did you mean region? Its parameters cell",
        ),
        ("notebook report -p region", "-p region: write it as NAME=VALUE, the name as a variable's"),
        ("notebook report -p region=$nothing", "$nothing: name 'nothing' is not defined"),
        ("notebook report -p region=$engine", "-p region: object has no form in JSON"),
        ("notebook report --schedule hourly", "--schedule 'hourly': a trigger is written KIND:WHERE"),
        ("notebook report --schedule 'rate:5 fortnights'", "there is no unit fortnights"),
        ("notebook report --schedule s3:bucket", "--schedule s3:bucket: a notebook runs by rate:, cron:, at:"),
        ("notebook report --timeout 16m", "16m is outside 1 s to 900 s, which Lambda allows"),
        ("notebook report --with nothing.csv", "--with nothing.csv: there is no such file beside"),
        ("notebook report --on-failure nobody", "--on-failure nobody: there is no function of that name"),
        ("notebook broken", "broken.ipynb is no valid notebook: "),
        ("notebook julia", "julia.ipynb is for Julia 1.10 (julia); jobs run Python notebooks only"),
        ("notebook words", "words.ipynb has no code to run"),
        ("notebook plain --name clean", "clean is a function that runs no notebook: give the job another name"),
        ("runs --open 1", "there is no run 1; there are none yet"),
        ("runs --save one here", "--save one: write the number of a run"),
        ("runs --forget", "whose runs? Name the job"),
        ("runs nothing --forget", "nothing is no notebook job"),
    ],
)
def test_every_mistake_is_one_line(line: Any, notebook: Any, engine: Engine, text: str, expected: str) -> None:
    write()
    write("plain.ipynb", new_code_cell("1"))
    Path("broken.ipynb").write_text('{"cells": [{}], "nbformat": 4')
    write(
        "julia.ipynb",
        new_code_cell("1"),
        metadata={"kernelspec": {"name": "julia", "display_name": "Julia 1.10", "language": "julia"}},
    )
    write("words.ipynb", new_markdown_cell("# Only words"))
    Path("helper.py").write_text("twice = abs\n")
    notebook.names["engine"] = object()
    engine.client.functions["clean"] = {"FunctionName": "clean"}
    engine.client.tags["clean"] = {}
    with pytest.raises(NotebookError) as caught:
        line(text)
    assert expected in caught.value.message
    assert "\n" not in caught.value.message
    assert "create_function" not in engine.client.calls


def test_what_is_not_saved_yet_and_what_is_this_very_notebook(line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "class/mine.ipynb")
    with pytest.raises(NotebookError, match=r"mine\.ipynb has not been saved yet: save it"):
        line("notebook mine.ipynb")
    write("mine.ipynb", new_code_cell("1"))
    assert "this notebook as it was saved at" in line("notebook mine.ipynb")


def test_values_of_parameters(line: Any, notebook: Any, engine: Engine) -> None:
    write("any.ipynb", new_code_cell("1"))
    notebook.names["regions"] = ("EU", "US")
    line('notebook any -p a=1 -p b=text -p c={"k": [1.5, null]} -p d=$regions -p e=True -p f=007 -p g="two words"')
    assert json.loads(packed(engine, "any")["jupyter_lambda_job/job.json"])["parameters"] == {
        "a": 1, "b": "text", "c": {"k": [1.5, None]}, "d": ["EU", "US"], "e": True, "f": "007", "g": "two words"
    }  # fmt: skip


def test_declared_parameters_are_found_among_magics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(
        "magic.ipynb", new_code_cell("%time x = 1\na = b = [1]\nc: str\nd, e = 1, 2", metadata={"tags": ["parameters"]})
    )
    found = read("magic.ipynb")
    assert found.declared == {"a": "[1]", "b": "[1]", "c": ""}
    with pytest.raises(NotebookError, match="sets a, b, c"):
        found.check({"zzz": 1})


def test_runs_are_shown_opened_and_saved(line: Any, engine: Engine, tmp_path: Path) -> None:
    assert "No notebook runs as a job yet" in line("runs")
    engine.admin.put_job("report", notebook="report.ipynb", kept=30)
    assert line("runs report") == "No runs of report yet."
    failed = {**RUN, "run_id": "r2", "status": "failed", "reason": "cell 3: ValueError: no data", "files": {}}
    engine.admin.known_runs = [failed, RUN]
    shown = line("runs").splitlines()
    assert shown[1].split()[:4] == ["1", "report", "✗", "failed"]
    assert shown[1].endswith("by hand   region=EU, days=7  cell 3: ValueError: no data")
    assert shown[3].startswith("2 runs, 1 failed")
    engine.admin.artefacts = {
        ("r1", "report.html"): b"<h1>Report</h1><script>alert(1)</script>",
        ("r1", "notebook.ipynb"): b"{}",
        ("r1", "log.txt"): b"begins\n",
    }
    assert line("runs --log 2") == "begins\n"
    assert "took 2.5 s" in line("runs --open 2")
    with pytest.raises(NotebookError, match=r"left no page \(cell 3: ValueError: no data\); --log N shows its log"):
        line("runs --open 1")
    with pytest.raises(NotebookError, match="there is no run 3; there are 2"):
        line("runs --open 3")
    assert "3 files" in line(f"runs --save 2 {tmp_path}/kept")
    (folder,) = (tmp_path / "kept").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["log.txt", "report.html", "report.ipynb"]
    assert "it goes on" in line("runs report --forget")


def test_a_page_is_a_stranger(notebook: Any, engine: Engine) -> None:
    engine.admin.known_runs = [RUN]
    engine.admin.artefacts["r1", "report.html"] = b'<script>"top"</script>'
    shown = notebook.shell.run_line_magic("lambda", "runs --open 1")
    page = shown._repr_mimebundle_()["text/html"]
    assert "<iframe sandbox " in page
    assert "<script" not in page
    assert "&lt;script&gt;&quot;top&quot;" in page


def test_failures_are_told_once_after_the_next_line(line: Any, engine: Engine) -> None:
    assert "failed" not in line("list")
    engine.admin.failed = [{"run_id": "a"}, {"run_id": "b"}]
    notice._told.asked_s = float("-inf")
    assert line("list").endswith("2 scheduled runs failed: %lambda runs\nNo functions yet.")
    notice._told.asked_s = float("-inf")
    assert "failed" not in line("list")
    engine.admin.failed = [{"run_id": "a"}, {"run_id": "b"}, {"run_id": "c"}]
    assert "failed" not in line("list")  # asked a moment ago
    notice._told.asked_s = float("-inf")
    assert "3 scheduled runs failed" in line("list")
    line("runs")
    assert engine.admin.failed == []


def test_an_unknown_option_is_told(line: Any) -> None:
    with pytest.raises(MagicUsageError, match="did you mean --schedule"):
        line("notebook report --schedul x")
