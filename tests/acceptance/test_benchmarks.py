"""The benchmark suite in small: that it measures something sane, and beside its references; never how quickly.

What it verifies itself, it verifies here too: hardened containers, refused unsigned requests, invocations recorded.
"""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import arrivals, load
from benchmarks.profile import LOOP, component, shares
from benchmarks.registry import MEASURES, PEERS
from benchmarks.report import write_report
from benchmarks.results import Outcome, Row, Series, percentile
from benchmarks.targets import TARGETS

ROOT = Path(__file__).parents[2]
#: What a minute has room for.
CHOSEN = ("warm", "throughput", "events", "cold")


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """What ``--quick`` wrote."""
    directory = tmp_path_factory.mktemp("results")
    command = [sys.executable, "-m", "benchmarks", "--quick", "--results", str(directory), *CHOSEN]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return directory


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_quick_run_has_every_row_and_its_reference(results):
    outcomes = {path.stem: Outcome.load(path) for path in results.glob("*.json")}
    assert set(outcomes) == set(CHOSEN)
    rows = {row.key: row for outcome in outcomes.values() for row in outcome.rows}
    assert {"warm.http.p50", "warm.http.p99", "warm.boto3.p50", "throughput.1", "throughput.8"} <= rows.keys()
    assert {"events.enqueue", "events.drain", "cold.ready.p50", "cold.pandas.p50", "cold.empty.p50"} <= rows.keys()
    for key, row in rows.items():
        assert all(value > 0 for value in row.runs), key
        assert len(row.runs) == 2, key
        assert row.samples >= 2, key
        if key != "warm.http.cpu":
            assert all(value > 0 for reference in row.references for value in reference.runs), key
            assert row.ratio > 0, key
    for outcome in outcomes.values():
        assert outcome.quick
        assert not outcome.missing
        assert outcome.machine["cores"] >= 1


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_quick_run_verified_what_it_measured(results):
    for name in CHOSEN:
        checks = Outcome.load(results / f"{name}.json").checks
        assert checks["unsigned_request"] == 403
        assert checks["hardened_containers"] >= 1
        assert checks["recorded"] > 5


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_report_of_a_quick_run_is_whole(results, tmp_path):
    write_report(results, tmp_path)
    text = (tmp_path / "performance.md").read_text()
    for word in ("## Results", "## Under load", "## What was verified", "## Machine and noise", "bare echo", "`cold`"):
        assert word in text
    assert str(Path.home()) not in text
    assert str(ROOT) not in text
    ET.parse(tmp_path / "images" / "performance.svg")


def test_every_measure_is_listed():
    command = [sys.executable, "-m", "benchmarks", "--list"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [*MEASURES, *PEERS]
    unknown = subprocess.run([*command[:-1], "wram"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert unknown.returncode != 0
    assert "there is no measure wram" in unknown.stderr


def test_ratios_are_taken_run_by_run():
    row = Row("k", "t", "ms", "lower", (2.0, 9.0, 4.0), (Series("reference", (1.0, 3.0, 1.0)),))
    assert row.ours.median == 4.0
    assert row.ours.spread == pytest.approx(7 / 4)
    assert row.ratio == 3.0
    assert Row("k", "t", "ms", "lower", (2.0,), (Series("r", (1.0, 4.0)),)).ratio == pytest.approx(0.8)
    assert Row("k", "t", "ms", "lower", (2.0,)).ratio is None


def test_results_come_back_as_they_were_saved(tmp_path):
    rows = [Row("warm.http.p50", "t", "ms", "lower", (0.1, 0.2), (Series("bare echo", (0.05, 0.1)),), 7, "note")]
    outcome = Outcome("warm", "title", "command", rows, {"recorded": 7}, {"x": "why"}, load_average=(0.5, 1.5))
    assert Outcome.load(outcome.save(tmp_path)) == outcome
    assert json.loads((tmp_path / "warm.json").read_text())["rows"][0]["ratio"] == 2.0


def test_percentiles_are_by_nearest_rank():
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, part) for part in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert percentile([3.0], 0.999) == 3


def test_answers_are_split_where_they_end():
    head = b"HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\nX: y\r\n\r\n"
    assert load.split_answer(head[:20]) is None
    assert load.split_answer(head + b"ab") is None
    assert load.split_answer(head + b"abc") == (202, b"abc")


def test_arrivals_are_as_many_as_asked_and_the_same_each_time():
    times = arrivals.poisson(200, 10, seed=1)
    assert times == sorted(times) == arrivals.poisson(200, 10, seed=1)
    assert 1800 < len(times) < 2200
    assert times[-1] < 10


def test_stacks_are_counted_for_the_innermost_module_of_ours():
    main = "thread (7): MainThread;main (jupyter_lambda/cli/serve.py:57);"
    assert component(f"{main}run (asyncio/runners.py:118)") == LOOP
    assert (
        component(f"{main}f (jupyter_lambda/api/app.py:1);verify (jupyter_lambda/api/sigv4.py:9)") == "API: signature"
    )
    assert component(f"{main}f (jupyter_lambda/store/logwriter.py:1);write (os.py:2)") == "logs: writing"
    stacks = {f"{main}run (asyncio/runners.py:118)": 60, f"{main}f (jupyter_lambda/engine/pool.py:3)": 40}
    stacks["thread (8): other;g (jupyter_lambda/engine/pool.py:3)"] = 1000
    found = shares(stacks, "7", 0.8, 100.0)
    assert [(row["component"], round(row["us"])) for row in found] == [(LOOP, 50), ("engine: pool policy", 50)]


def test_targets_are_of_rows_that_a_measure_writes():
    source = "".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py") if path.name != "targets.py")
    for key, target in TARGETS.items():
        assert key.rpartition(".")[0] in source, key
        assert target.at_least > 0
