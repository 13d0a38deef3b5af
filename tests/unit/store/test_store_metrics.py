"""Metrics on disk: pieces of a minute add up, wider dimensions sum narrower ones, old rows grow coarser."""

from __future__ import annotations

from jupyter_lambda.model.statistics import StatisticSet, merged
from jupyter_lambda.store.metrics import LAMBDA, OWN, MetricFilter, MetricKey

DAY = 86_400
NOW = 1_700_006_400  # a multiple of an hour


def key(name: str, function: str, resource: str, version: str) -> MetricKey:
    pairs = (("ExecutedVersion", version), ("FunctionName", function), ("Resource", resource))
    return MetricKey(LAMBDA, name, pairs, "Count")


async def test_pieces_of_a_minute_add_up(store):
    metrics, one = store.metrics, key("Invocations", "f", "f", "1")
    metrics.post([(one, NOW, StatisticSet.of(1.0, 2)), (one, NOW, StatisticSet.of(3.0))])
    await metrics.flush()
    metrics.post([(one, NOW, StatisticSet.of(5.0)), (one, NOW + 60, StatisticSet.of(1.0))])
    await metrics.flush()
    rows = {
        start_s: found for _, start_s, found in metrics.read(LAMBDA, "Invocations", dict(one.dimensions), NOW, NOW + 99)
    }
    assert (rows[NOW].samples, rows[NOW].total, rows[NOW].minimum, rows[NOW].maximum) == (4, 10, 1, 5)
    assert rows[NOW].percentile(100) == 5
    assert rows[NOW + 60].samples == 1
    assert metrics.read(LAMBDA, "Invocations", dict(one.dimensions), NOW + 120, NOW + 999) == []


async def test_wider_dimensions(store):
    metrics = store.metrics
    for resource, version in (("f", "$LATEST"), ("f:live", "1"), ("f:live", "2"), ("g", "1")):
        metrics.post([(key("Errors", resource[0], resource, version), NOW, StatisticSet.of(1.0))])
    metrics.post([(MetricKey(LAMBDA, "Errors", (), "Count"), NOW, StatisticSet.of(7.0))])
    await metrics.flush()

    def total(**dimensions: str) -> float:
        return merged(found for _, _, found in metrics.read(LAMBDA, "Errors", dimensions, 0, NOW + 60)).total

    assert total(FunctionName="f") == 3
    assert total(FunctionName="f", Resource="f:live") == 2
    assert total(FunctionName="f", Resource="f:live", ExecutedVersion="2") == 1
    assert total() == 7
    assert total(FunctionName="nobody") == 0
    assert metrics.unit(LAMBDA, "Errors", {"FunctionName": "f"}) == "Count"
    assert metrics.read(LAMBDA, "Errors", {"FunctionName": "f"}, 0, NOW + 60, unit="Seconds") == []


async def test_listing(store):
    metrics = store.metrics
    metrics.post([(key("Errors", "f", "f", "1"), NOW, StatisticSet.of(1.0))])
    metrics.post([(MetricKey("mine", "m", (("a", 'x"y'),)), NOW - 20 * DAY, StatisticSet.of(1.0))])
    await metrics.flush()

    def names(**what) -> list[tuple[str, int]]:
        return [(one.name, len(one.dimensions)) for one in metrics.listed(MetricFilter(**what), 0, 10)]

    assert names() == [("Errors", 1), ("Errors", 2), ("Errors", 3), ("m", 1)]
    assert names(namespace="mine") == [("m", 1)]
    assert names(dimensions={"Resource": None}) == [("Errors", 2), ("Errors", 3)]
    assert names(dimensions={"FunctionName": "f", "Resource": "f"}) == [("Errors", 2), ("Errors", 3)]
    assert names(dimensions={"FunctionName": ""}) == []
    assert names(dimensions={"a": 'x"y'}) == [("m", 1)]
    assert names(since_s=NOW - 14 * DAY) == [("Errors", 1), ("Errors", 2), ("Errors", 3)]
    assert [one.name for one in metrics.listed(MetricFilter(), 2, 1)] == ["Errors"]


async def test_old_rows_grow_coarser_and_go(store):
    """CloudWatch: 1 minute for 15 days, 5 minutes for 63 days, 1 hour for 455 days."""
    metrics, one = store.metrics, MetricKey("mine", "m", ())
    ages = (1, 16, 70, 460)
    for age in ages:
        for minute in range(10):
            metrics.post([(one, NOW - age * DAY + minute * 60, StatisticSet.of(1.0))])
    await metrics.flush()
    gone = await metrics.roll(NOW)
    rows = metrics.read("mine", "m", {}, 0, NOW)
    assert gone > 0
    found = {}
    for period_s, start_s, counted in rows:
        found.setdefault(-(-(NOW - start_s) // DAY), []).append((period_s, counted.total))
    assert found == {1: [(60, 1.0)] * 10, 16: [(300, 5.0)] * 2, 70: [(3600, 10.0)]}
    assert await metrics.roll(NOW) == 0
    assert sorted(r[:2] for r in metrics.read("mine", "m", {}, 0, NOW)) == sorted(r[:2] for r in rows)


async def test_daily_totals(store):
    metrics, one = store.metrics, MetricKey(OWN, "ProvisionedGBSeconds", (("FunctionName", "f"),))
    metrics.post([(one, NOW, StatisticSet.of(3.0)), (one, NOW + 60, StatisticSet.of(4.0))])
    metrics.post([(one, NOW - DAY, StatisticSet.of(1.0))])
    await metrics.flush()
    assert metrics.daily_totals(OWN, "ProvisionedGBSeconds", NOW - 60) == [("f", NOW // DAY, 7.0)]
    assert len(metrics.daily_totals(OWN, "ProvisionedGBSeconds", 0)) == 2


async def test_retention_of_logs(store):
    assert store.retention.days("f") is None
    await store.retention.put("f", 7)
    assert store.retention.all() == {"f": 7}
    store.retention._days = None
    assert store.retention.days("f") == 7
    await store.retention.put("f", None)
    assert store.retention.days("f") is None


async def test_a_log_is_trimmed_by_whole_segments(store):
    logs = store.logs
    logs._writer._cap_bytes = 8_000  # segments of a thousand bytes
    for number in range(100):
        logs.append("f", "s", None, b"x" * 80 + b"\n", number * 1000)
    await logs.flush()
    before = logs.span("f")[1]
    await logs.trim("f", 80_000)
    first_ms, size = logs.span("f")
    assert size < before
    assert first_ms <= 80_000  # the segment that holds the time stays
    lines = logs.read("f")
    assert lines[-1].timestamp_ms == 99_000
    await logs.trim("nobody", 1)
