"""What runs in a job's sandbox: the injected cell, the literals, the artefacts on their way."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from jupyter_lambda.notebook.jobs.inside import upload
from jupyter_lambda.notebook.jobs.inside.parameters import inject, literal, source
from jupyter_lambda.notebook.jobs.inside.report import page
from jupyter_lambda.notebook.jobs.inside.upload import UploadError, Uploads


def texts(notebook: Any) -> list[str]:
    return [cell.source for cell in notebook.cells]


def test_the_injected_cell_follows_the_one_that_is_tagged() -> None:
    notebook = new_notebook(
        cells=[
            new_markdown_cell("# A"),
            new_code_cell("a = 1", metadata={"tags": ["x", "parameters"]}),
            new_code_cell("a"),
        ]
    )
    assert inject(notebook, {"a": 2, "b": "two"}) == 2
    assert texts(notebook) == ["# A", "a = 1", "# Parameters\na = 2\nb = 'two'", "a"]
    assert inject(notebook, {"a": 3}) == 2
    assert texts(notebook) == ["# A", "a = 1", "# Parameters\na = 3", "a"]
    assert inject(notebook, {}) is None
    assert texts(notebook) == ["# A", "a = 1", "a"]


def test_without_a_tagged_cell_it_comes_first() -> None:
    notebook = new_notebook(cells=[new_code_cell("a")])
    assert inject(notebook, {"a": 2}) == 0
    assert texts(notebook) == ["# Parameters\na = 2", "a"]


def test_values_come_back_as_they_were() -> None:
    value = {"text": 'quo"te\n', "list": [1, 2.5, None, True, {"deep": -1e300}], "nothing": {}}
    assert eval(literal(value)) == value
    found = eval(literal([math.nan, math.inf, -math.inf]))
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, -math.inf]
    with pytest.raises(ValueError, match="can't be a variable's name"):
        source({"a b": 1})


@pytest.fixture
def uploads(recorded_engine: Any, monkeypatch: pytest.MonkeyPatch) -> Uploads:
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", recorded_engine.url.removeprefix("http://"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, name)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    return Uploads("request-1")


def test_large_artefacts_go_in_pieces(uploads: Uploads, recorded_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PIECE_BYTES", 4)
    uploads.put("report.html", b"0123456789")
    uploads.put("log.txt", b"")
    uploads.put_json("parameters.json", {"a": 1})
    path = "/_jupyter_lambda/runs/request-1/"
    assert [(one.path, one.body) for one in recorded_engine.requests[:4]] == [
        (f"{path}report.html?at=0", b"0123"),
        (f"{path}report.html?at=4", b"4567"),
        (f"{path}report.html?end=8", b"89"),
        (f"{path}log.txt?end=0", b""),
    ]
    signed = recorded_engine.requests[0].headers
    assert "eu-west-1/lambda/aws4_request" in next(v for k, v in signed.items() if k.lower() == "authorization")
    assert json.loads(b"".join(one.body for one in recorded_engine.requests[4:])) == {"a": 1}


def test_what_the_engine_refuses_is_said(uploads: Uploads, recorded_engine: Any) -> None:
    recorded_engine.answer = (413, {}, [b'{"message": "too large"}'])
    with pytest.raises(UploadError, match=r"report\.html was not taken: too large"):
        uploads.put("report.html", b"x")
    recorded_engine.answer = (500, {}, [b"?"])
    with pytest.raises(UploadError, match="HTTP 500"):
        uploads.put("report.html", b"x")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_page_shows_the_code_or_not() -> None:
    cell = new_code_cell("print(6 * 7)", execution_count=1, outputs=[new_output("stream", text="forty-two")])
    notebook = new_notebook(cells=[new_markdown_cell("# A report"), cell])
    whole, why_not = page(notebook, "report")
    assert why_not == ""
    assert all(text in str(whole) for text in ("A report", "forty-two", "print"))
    short, _ = page(notebook, "report", code=False)
    assert "forty-two" in str(short)
    assert 'class="mi"' not in str(short)  # a number of Python's
    assert 'class="mi"' in str(whole)


def test_where_there_is_no_nbconvert_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nbconvert", None)
    found, why_not = page(new_notebook(cells=[]), "report")
    assert found is None
    assert why_not.startswith("no HTML: this Python has no nbconvert")
