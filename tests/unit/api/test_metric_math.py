"""Metric math, as far as it is built."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_lambda.api.cloudwatch.expressions import Scope, evaluate, ids_in
from jupyter_lambda.api.cloudwatch.series import Window
from jupyter_lambda.errors import ValidationException

A, B = {0: 1.0, 60: 2.0, 120: 4.0}, {60: 10.0, 120: 0.0, 180: 5.0}


def value(text: str):
    scope = Scope({"a": A, "b": B, "n": 3.0, "empty": {}}, ["a", "b"], {"a": 60, "b": 60}, Window(0, 240, 60), "e")
    return evaluate(text, scope)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", A),
        ("1 + 2 * 3 ^ 2 / -9 - -1", 0.0),
        ("(1 + 2) * 3", 9.0),
        ("2 ^ -1", 0.5),
        ("-2 ^ 2", -4.0),
        ("a + b", {60: 12.0, 120: 4.0}),
        ("a / b", {60: 0.2}),
        ("a * 2", {0: 2.0, 60: 4.0, 120: 8.0}),
        ("10 - a", {0: 9.0, 60: 8.0, 120: 6.0}),
        ("[a, b] * 2", [{0: 2.0, 60: 4.0, 120: 8.0}, {60: 20.0, 120: 0.0, 180: 10.0}]),
        ("SUM(a)", 7.0),
        ("SUM([a, b])", {0: 1.0, 60: 12.0, 120: 4.0, 180: 5.0}),
        ("SUM(METRICS())", {0: 1.0, 60: 12.0, 120: 4.0, 180: 5.0}),
        ('MAX(METRICS("a"))', A),
        ("AVG(a)", 7.0 / 3),
        ("MIN([a, b])", {0: 1.0, 60: 2.0, 120: 0.0, 180: 5.0}),
        ("a / PERIOD(a)", {0: 1 / 60, 60: 2 / 60, 120: 4 / 60}),
        ("DIFF(a)", {60: 1.0, 120: 2.0}),
        ("RATE(a)", {60: 1 / 60, 120: 2 / 60}),
        ("RUNNING_SUM(a)", {0: 1.0, 60: 3.0, 120: 7.0}),
        ("FILL(b, 0)", {0: 0.0, 60: 10.0, 120: 0.0, 180: 5.0}),
        ("FILL(a, REPEAT)", {0: 1.0, 60: 2.0, 120: 4.0, 180: 4.0}),
        ("FILL([b], a)", [{0: 1.0, 60: 10.0, 120: 0.0, 180: 5.0}]),
        ("CEIL(a / 3)", {0: 1.0, 60: 1.0, 120: 2.0}),
        ("ABS(-n)", 3.0),
        ("STDDEV(a)", pytest.approx(1.2472191289)),
        ("DATAPOINT_COUNT(a)", 3.0),
        ("METRIC_COUNT(METRICS())", 2.0),
        ("LOG10(a * 10)", {0: pytest.approx(1.0), 60: pytest.approx(1.30103), 120: pytest.approx(1.60206)}),
        ("SUM(empty)", 0.0),
    ],
)
def test_values(text, expected):
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ANOMALY_DETECTION_BAND(a)", "ANOMALY_DETECTION_BAND is not built"),
        ("IF(a > 1, 1, 0)", "not built"),
        ("SORT(METRICS(), AVG, DESC)", "SORT is not built"),
        ("a b", "unexpected"),
        ("(a", "expected before"),
        ("[a", "expected before"),
        ("[1]", "time series only"),
        ("c", "no query with the id"),
        ("1 / 0", "has no value"),
        ("[a] + [b]", "two lists"),
        ("SUM()", "other arguments"),
        ("DIFF(1)", "not a number"),
        ("", "unexpected"),
        ("(" * 100, "deeply"),
        ("a # b", "not built or not metric math"),
    ],
)
def test_refusals(text, why):
    with pytest.raises(ValidationException, match=why):
        value(text)


def test_ids():
    assert ids_in("SUM(METRICS('m')) + m1 * e_2 - RATE(x)") == {"m1", "e_2", "x"}


@given(st.text(alphabet="ab n+-*/^()[],0.5SUMAVG'\"", max_size=30))
def test_any_text_has_a_value_or_is_refused(text):
    try:
        assert isinstance(value(text), float | dict | list)
    except ValidationException as exc:
        assert exc.message  # noqa: PT017 - either is right
