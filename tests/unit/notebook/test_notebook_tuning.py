"""Power tuning: what counts, what is chosen, and the picture."""

from __future__ import annotations

import pytest

from jupyter_lambda.notebook.errors import MagicUsageError
from jupyter_lambda.notebook.invocation import Invocation
from jupyter_lambda.notebook.tuning import AWS_PRICES, Size, Tuning, choose, summarise
from jupyter_lambda.notebook.tuning_view import VEGA_LITE, chart


def call(duration_ms, billed_ms=100, *, cold=False, init_ms=None, used=30):
    return Invocation(
        "f", "r", {}, 1, "success", duration_ms=duration_ms, billed_ms=billed_ms, cold=cold, init_ms=init_ms,
        memory_used_mb=used,
    )  # fmt: skip


def size(memory_mb, duration_ms, cost, failure=""):
    return Size(memory_mb, runs=3, duration_ms=duration_ms, cost=cost, failure=failure)


def test_the_fastest_and_slowest_fifth_are_left_out_and_the_cold_start_stands_apart():
    warm = [call(d) for d in (10, 1, 11, 12, 13, 14, 1000, 15, 16, 2000)]
    found = summarise(512, call(50, cold=True, init_ms=30.0, used=44), warm, AWS_PRICES)
    assert (found.runs, found.left_out) == (6, 4)
    assert found.duration_ms == pytest.approx((11 + 12 + 13 + 14 + 15 + 16) / 6)
    assert (found.shortest_ms, found.longest_ms) == (11, 16)
    assert (found.cold_ms, found.init_ms, found.memory_used_mb) == (80.0, 30.0, 44)
    assert found.cost == pytest.approx(0.5 * 0.1 * AWS_PRICES[0] + AWS_PRICES[1])


def test_few_runs_all_count_and_a_warm_first_run_is_no_cold_start():
    found = summarise(128, call(5), [call(4), call(6)], AWS_PRICES)
    assert (found.runs, found.left_out, found.duration_ms, found.cold_ms) == (2, 0, 5.0, None)


@pytest.mark.parametrize(
    ("strategy", "chosen"),
    [("cost", 256), ("speed", 1024), ("balanced", 512)],
)
def test_each_strategy_has_its_choice(strategy, chosen):
    sizes = [size(128, 900, 4.0), size(256, 450, 3.0), size(512, 200, 3.2), size(1024, 150, 9.0), size(1769, 149, 16.0)]
    assert choose(sizes, strategy).memory_mb == chosen


def test_what_is_as_good_is_decided_by_the_other_measure():
    assert choose([size(128, 100, 1.0), size(256, 99, 2.0)], "speed").memory_mb == 128
    assert choose([size(128, 100, 1.0), size(256, 50, 1.01)], "cost").memory_mb == 256


def test_a_size_at_which_it_fails_is_no_choice():
    assert choose([size(128, 0, 0, "out of memory"), size(256, 9, 1.0)], "cost").memory_mb == 256
    assert choose([size(128, 0, 0, "out of memory")], "speed") is None


def test_the_picture_is_vega_lite_that_jupyterlab_draws():
    class Named:
        name = "f"

    sizes = (size(128, 900, 4e-6), size(256, 450, 3e-6), size(64, 0, 0, "too little"))
    tuning = Tuning(Named(), "cost", sizes, 128, sizes[1])
    spec = chart(tuning)
    assert VEGA_LITE == "application/vnd.vegalite.v5+json"
    assert spec["$schema"].endswith("/v5.json")
    values = spec["data"]["values"]
    assert [(v["memory"], v["chosen"]) for v in values] == [(128, False), (256, True)]
    assert "256 MB is best for cost" in tuning.summary()
    assert "its 128 MB now" in tuning.summary()
    assert "too little" in repr(tuning)
    assert tuning.by("speed").best.memory_mb == 256
    with pytest.raises(MagicUsageError, match="cost, speed, balanced"):
        tuning.by("quick")
