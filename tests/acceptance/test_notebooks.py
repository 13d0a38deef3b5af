"""The lessons, executed in Docker as a reader would run them: no cell may fail."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from jupyter_lambda.connection import connect

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
#: The first one is the demo's (test_demo).
LESSONS = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb") if not path.name.startswith("01"))


def text_of(notebook) -> str:
    """All that was shown, as text."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize("name", LESSONS)
def test_lesson(name, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_LAMBDA_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("JUPYTER_LAMBDA_OWNER_PID", str(os.getpid()))
    engine = connect(tmp_path / "state", owner_pid=os.getpid())
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=100,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        client.execute()
    finally:
        os.kill(engine.pid, 15)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    if name.startswith("02"):
        check_triggers(notebook)
    if name.startswith("03"):
        check_jobs(notebook)
    if name.startswith("06"):
        check_tuning(notebook)


def check_triggers(notebook) -> None:
    """Every source has fired its function, and what came of it is shown."""
    shown = text_of(notebook)
    assert "{'greeting': 'Hello, Ada!'}" in shown
    assert "1001 = 7 × 11 × 13" in shown
    drawing = next(cell for cell in notebook.cells if "sea.save" in cell.source)
    assert sum("image/png" in output.get("data", {}) for output in drawing.outputs) == 2
    assert "({'Graz': 30, 'Vienna': 20}, {'Graz': 30, 'Linz': 12, 'Vienna': 20})" in shown  # held while it was paused
    assert "monday.csv: 3 values, mean 21.30" in shown
    assert "fires next: " in shown
    errors = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
              if output.output_type == "error"]  # fmt: skip
    no_bucket = "there is no bucket holiday-pictures here; make it: "
    no_bucket += 'jupyter_lambda.aws("s3").create_bucket(Bucket="holiday-pictures")'
    assert [error.evalue for error in errors] == [no_bucket]
    assert "deleted totals and what fired it: table:orders" in shown


def check_jobs(notebook) -> None:
    """Runs by hand and on a schedule, a page, and a failure that is told."""
    shown = text_of(notebook)
    assert "every weekday at 09:00, Europe/London" in shown
    assert shown.count("✓ success") == 4  # run and opened, then both in the table
    opened = next(cell for cell in notebook.cells if cell.source.endswith("report-eu --open 1"))
    assert "EU: 450 of 500" in opened.outputs[0].data["text/html"]
    assert "1 scheduled run failed since" in shown
    assert "cell 3: ValueError: there are no sales in Moon" in shown
    assert "5 files" in shown


def check_tuning(notebook) -> None:
    """The picture is there, and every size was measured."""
    cell = next(cell for cell in notebook.cells if cell.source.startswith("%lambda tune"))
    charts = [output.data["application/vnd.vegalite.v5+json"] for output in cell.outputs
              if "application/vnd.vegalite.v5+json" in output.get("data", {})]  # fmt: skip
    assert [value["memory"] for value in charts[0]["data"]["values"]] == [128, 256, 512, 1024, 1769]
    assert all(value["duration"] > 0 and value["cost"] > 0 for value in charts[0]["data"]["values"])
    assert "is best for speed" in text_of(notebook)
