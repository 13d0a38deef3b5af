"""``jupyter lambda bill``, and the notebook's, against what an engine answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jupyter_lambda.notebook.billing import shown

from .test_commands import jl  # noqa: F401 - a fixture

LINE = {"errors": 1, "billed_ms": 1200, "gb_s": 0.6, "provisioned_gb_s": 0.0, "price": 0.00001}
PRICES = {"gb_s": 0.0000166667, "request": 0.0000002, "provisioned_gb_s": 0.0000041667}


def answer(by: str, *lines: dict[str, Any]) -> dict[str, Any]:
    total = {**LINE, "function": None, "day": None, "requests": 7}
    return {"lines": list(lines), "total": total, "by": by, "increment_ms": 100, "prices": PRICES, "since_s": 0}


A = {**LINE, "function": "a", "day": None, "requests": 3}
B = {**LINE, "function": "b", "day": None, "requests": 4}


@pytest.fixture
def told(recorded_engine):
    recorded_engine.start()

    def tell(found: dict[str, Any]) -> None:
        recorded_engine.answers["/_jupyter_lambda/bill"] = (200, {}, [json.dumps(found).encode()])

    return tell


def test_table(jl, told):  # noqa: F811
    told(answer("function", A, B))
    code, out, _ = jl("bill")
    lines = [line.split() for line in out.splitlines()]
    assert code == 0
    assert lines[0][:2] == ["function", "requests"]
    assert lines[1] == ["a", "3", "1", "1.2", "0.600", "0.000", "0.00001000"]
    assert lines[3][:2] == ["total", "7"]
    assert "rounded up to 100 ms" in out


def test_csv_and_json(jl, told):  # noqa: F811
    told(answer("both", {**A, "day": "2026-11-24"}))
    code, out, _ = jl("bill", "--by", "both", "--csv")
    assert code == 0
    assert out.splitlines() == [
        "day,function,requests,errors,billed_ms,gb_s,provisioned_gb_s,price",
        "2026-11-24,a,3,1,1200,0.6,0.0,1e-05",
    ]
    assert json.loads(jl("bill", "--json")[1])["prices"] == PRICES


def test_nothing_and_nonsense(jl, told):  # noqa: F811
    told(answer("day"))
    assert jl("bill", "--by", "day")[1] == "nothing was charged in the last 7d\n"
    code, _, err = jl("bill", "--by", "week")
    assert code == 2
    assert "week" in err
    assert "is not a length of time" in jl("bill", "--since", "soon")[2]


def test_the_notebooks_table():
    found = shown(answer("function", A, B))
    assert found.text.splitlines()[0].split()[:2] == ["function", "requests"]
    assert "total" in found.text
    assert "<table" in found.html
    assert "var(--jp-" in found.html  # light and dark
    assert shown(answer("day")).text == "Nothing was charged in this time."
    both = shown(answer("both", {**A, "function": "<b>", "day": "2026-11-24"}))
    assert "&lt;b&gt;" in both.html
