"""The simulator: the same seed gives the same figures, traces are what they say, the picture is well-formed."""

from __future__ import annotations

import sqlite3
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from jupyter_lambda.engine.simulate import Outcome, Simulation, compare, limits
from jupyter_lambda.engine.simulate_picture import draw
from jupyter_lambda.engine.simulate_traces import DATABASE, PATTERNS, Trace, from_ledger, recorded, synthetic
from jupyter_lambda.errors import InvalidParameterValueException, ResourceNotFoundException


def of(arrivals, duration_s: float, memory_mb=(128,)) -> Trace:
    names = tuple(f"f{i}" for i in range(len(memory_mb)))
    return Trace("made", names, memory_mb, duration_s, lambda: iter(arrivals))


def run(trace: Trace, keep_alive_s: float | None, **more) -> Outcome:
    bounds = limits(keep_alive_s, memory_mb=more.pop("memory_mb", 10**6), concurrency=more.pop("concurrency", 1000))
    return Simulation(trace, "tried", bounds, seed=1, **more).run()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_synthetic_arrivals_are_in_order_within_the_time_and_repeatable(pattern):
    trace = synthetic(pattern, functions=40, rate=0.5, duration_s=7200, seed=3)
    arrivals = list(trace.arrivals())
    assert len(arrivals) > 100
    assert all(a[0] <= b[0] for a, b in pairwise(arrivals))
    assert all(0 <= f < 40 and run_s > 0 for _, f, run_s in arrivals)
    assert arrivals == list(trace.arrivals())
    assert arrivals != list(synthetic(pattern, functions=40, rate=0.5, duration_s=7200, seed=4).arrivals())


def test_figures_of_a_trace_that_can_be_reckoned_by_hand():
    trace = of([(0.0, 0, 1.0), (100.0, 0, 1.0), (1000.0, 0, 1.0)], 2000.0)
    outcome = run(trace, 600.0)
    assert (outcome.invocations, outcome.cold, outcome.started, outcome.throttled) == (3, 2, 2, 0)
    assert outcome.busy_mb_s == 3 * 128
    assert outcome.wasted_mb_s / 128 == pytest.approx(99 + 600 + 600, abs=15)
    assert len(outcome.waits) == 2
    assert outcome.wait_s(0.0) == 0.0
    assert 0.1 < outcome.wait_s(0.99) < 1.0
    assert outcome.by_function == [(3, 2)]


def test_the_same_seed_gives_the_same_figures():
    trace = synthetic("mixed", functions=30, rate=0.5, duration_s=14_400, seed=1)
    first, second = run(trace, None), run(trace, None)
    first.took_s = second.took_s = 0.0
    assert first == second


def test_learned_keep_alive_beats_the_fixed_one_on_schedules_in_both():
    trace = synthetic("cron", functions=60, rate=1, duration_s=86_400, seed=1)
    learned, fixed = compare(trace, [600.0], memory_mb=10**6, concurrency=1000, seed=1)
    assert learned.cold < fixed.cold / 2
    assert learned.wasted_mb_s < fixed.wasted_mb_s


def test_memory_and_concurrency_are_bounds():
    trace = of([(0.0, i % 8, 1.0) for i in range(50)], 100.0, memory_mb=(128,) * 8)
    assert run(trace, 600.0, memory_mb=512).promised_max_mb <= 512
    assert run(trace, 600.0, concurrency=10).throttled == 40


def test_stock_makes_cold_starts_short():
    trace = of([(10.0 + i, i, 0.1) for i in range(8)], 30.0, memory_mb=(128,) * 8)
    outcome = run(trace, 600.0, stock=4)
    assert outcome.cold == 8
    assert outcome.wait_s(0.99) < 0.02
    assert outcome.prepared >= 8
    assert outcome.generic_mb_s > 0


def test_recorded_traces(tmp_path):
    csv = tmp_path / "a.csv"
    csv.write_text("time_s,function,duration_ms,memory_mb\n5,b,10,256\n1,a,20,128\n")
    lines = tmp_path / "a.jsonl"
    lines.write_text(
        '{"time_s": 5, "function": "b", "duration_ms": 10, "memory_mb": 256}\n\n'
        '{"time_s": 1, "function": "a", "duration_ms": 20, "memory_mb": 128}\n'
    )
    for path in (csv, lines):
        trace = recorded(path)
        assert trace.names == ("a", "b")
        assert trace.memory_mb == (128, 256)
        assert list(trace.arrivals()) == [(0.0, 0, 0.02), (4.0, 1, 0.01)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("time_s,function,memory_mb\n", "line 1: no column 'duration_ms'"),
        ("time_s,function,duration_ms,memory_mb\n1,a,2,128\nx,a,2,128\n", "line 3: time_s must be a number"),
        ("time_s,function,duration_ms,memory_mb\n1,a,-2,128\n", "line 2: duration_ms must be a number"),
        ("time_s,function,duration_ms,memory_mb\n1,,2,128\n", "line 2: function must be a name"),
        ("time_s,function,duration_ms,memory_mb\n", "no invocations"),
        ('{"time_s": 1}\n', "line 1: function must be a name"),
        ('{"time_s": 1\n', "line 1: not JSON"),
        ("{}\n[]\n", "line 1: function must be a name"),
        ("", "line 1: no column 'time_s'"),
    ],
)
def test_bad_traces_are_told_by_line(tmp_path, text, told):
    path = tmp_path / "bad"
    path.write_text(text)
    with pytest.raises(InvalidParameterValueException) as caught:
        recorded(path)
    assert told in caught.value.message
    assert "\n" not in caught.value.message


def test_unreadable_traces_and_directories(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "none.csv", tmp_path / "binary", tmp_path):
        with pytest.raises(ResourceNotFoundException):
            recorded(path)
    with pytest.raises(ResourceNotFoundException, match="no state directory"):
        from_ledger(tmp_path)
    (tmp_path / DATABASE).write_bytes(b"rubbish" * 1000)
    with pytest.raises(ResourceNotFoundException, match="can't be read"):
        from_ledger(tmp_path)


def test_the_engines_own_records_are_a_trace(tmp_path):
    connection = sqlite3.connect(tmp_path / DATABASE)
    connection.execute("CREATE TABLE invocation (received_s, started_s, function_name, run_ms, memory_mb)")
    connection.execute("INSERT INTO invocation VALUES (1000.0, 1000.1, 'f', 50.0, 128), (1010.0, NULL, 'f', 0, 128)")
    connection.commit()
    connection.close()
    assert list(from_ledger(tmp_path).arrivals()) == [(0.0, 0, 0.05)]


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_the_picture_is_well_formed_and_tells_its_policies(theme):
    trace = synthetic("mixed", functions=20, rate=0.2, duration_s=7200, seed=1)
    svg = draw(trace, compare(trace, [600.0, 60.0], memory_mb=10**6, concurrency=1000, seed=1), theme=theme)
    words = " ".join(ET.fromstring(svg).itertext())
    assert "learned" in words
    assert "fixed 10 min" in words
    assert ("prefers-color-scheme" in svg) == (theme == "auto")
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_the_picture_of_next_to_nothing():
    trace = of([(0.0, 0, 0.1)], 1.0)
    ET.fromstring(draw(trace, compare(trace, [600.0], memory_mb=1000, concurrency=1, seed=1)))
