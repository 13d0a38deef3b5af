"""Statistics of a metric: sums exact, percentiles within one percent, whatever the order of merging."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_lambda.model.statistics import StatisticSet, decode_histogram, merged

values = st.lists(st.floats(0.001, 1e6) | st.just(0.0), min_size=1, max_size=200)


@given(values)
def test_of_values(given_values):
    whole = merged(StatisticSet.of(value) for value in given_values)
    assert whole.samples == len(given_values)
    assert whole.total == pytest.approx(math.fsum(given_values))
    assert (whole.minimum, whole.maximum) == (min(given_values), max(given_values))


@given(values, st.floats(0, 100))
def test_percentiles_are_right_within_a_percent(given_values, percent):
    whole = merged(StatisticSet.of(value) for value in given_values)
    ordered = sorted(given_values)
    rank = max(0, math.ceil(len(ordered) * percent / 100 - 1e-9) - 1)
    near = {ordered[min(len(ordered) - 1, max(0, rank + step))] for step in (-1, 0, 1)}
    found = whole.percentile(percent)
    assert any(found == pytest.approx(value, rel=0.0101) for value in near)


@given(values, values)
def test_merging_is_the_same_as_counting_all(one, other):
    first, second = merged(map(StatisticSet.of, one)), merged(map(StatisticSet.of, other))
    first.add(second)
    whole = merged(map(StatisticSet.of, one + other))
    assert first.histogram == whole.histogram
    assert first.samples == whole.samples


@given(values)
def test_the_histogram_survives_the_disk(given_values):
    whole = merged(map(StatisticSet.of, given_values))
    assert decode_histogram(whole.encode_histogram()) == whole.histogram


def test_negative_values_have_no_percentiles():
    whole = merged([StatisticSet.of(-1.0), StatisticSet.of(2.0)])
    assert whole.percentile(50) is None
    assert whole.total == 1.0
    assert whole.encode_histogram() is None
    assert StatisticSet().percentile(50) is None
