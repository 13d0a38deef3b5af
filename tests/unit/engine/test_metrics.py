"""CloudWatch's Lambda metrics: what is counted for invocations, throttles, events and concurrency."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from jupyter_lambda.engine import observing
from jupyter_lambda.engine.metrics import OTHER, TOTALS_MAX, Metrics
from jupyter_lambda.errors import StoreError
from jupyter_lambda.model.invocation import InvocationRecord

ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"
NOW = 1_700_000_040.0
RECORD = InvocationRecord("r", "f", "1", "sdk", "success", NOW, NOW, 0.0, None, 12.0, 100, 1024, 30, False, gb_s=0.1)


@pytest.fixture
def metrics():
    return Metrics(lambda: NOW)


def taken(metrics: Metrics, **dimensions: str):
    """Metric → statistics, of one set of dimensions."""
    wanted = tuple(sorted(dimensions.items()))
    return {key.name: counted for key, _, counted in metrics.take() if key.dimensions == wanted}


def test_invocations(metrics):
    metrics.invocation(RECORD, ARN)
    metrics.invocation(replace(RECORD, status="timeout", run_ms=30.0), ARN)
    found = taken(metrics, FunctionName="f", Resource="f", ExecutedVersion="1")
    assert (found["Invocations"].total, found["Invocations"].samples) == (2, 2)
    assert (found["Errors"].total, found["Errors"].samples, found["Errors"].maximum) == (1, 2, 1)
    assert (found["Duration"].minimum, found["Duration"].maximum, found["Duration"].total) == (12, 30, 42)
    assert found["Throttles"].total == 0
    assert metrics.take() == []
    assert not metrics.dirty


def test_what_the_engine_failed_is_no_invocation(metrics):
    """AWS: "Invocations aren't recorded if the invocation request … results in an invocation error"."""
    metrics.invocation(replace(RECORD, status="system"), ARN)
    assert metrics.take() == []


def test_an_alias_is_the_resource_and_its_version_executed(metrics):
    metrics.invocation(RECORD, f"{ARN}:live")
    assert taken(metrics, FunctionName="f", Resource="f:live", ExecutedVersion="1")["Invocations"].total == 1


def test_minutes_are_told_apart(metrics):
    metrics.invocation(RECORD, ARN)
    metrics.invocation(replace(RECORD, received_s=NOW + 60), ARN)
    metrics.invocation(RECORD, ARN)
    starts = {
        start_s: c.total for key, start_s, c in metrics.take() if key.name == "Invocations" and not key.dimensions
    }
    assert starts == {1_700_000_040: 2, 1_700_000_100: 1}


def test_throttles_are_counted_beside_invocations(metrics):
    metrics.throttle(ARN, "1")
    metrics.invocation(RECORD, ARN)
    found = taken(metrics)
    assert (found["Throttles"].total, found["Throttles"].samples) == (1, 2)
    assert found["Invocations"].samples == 1


def test_concurrency_of_function_and_account(metrics):
    for name in ("f", "f", "g"):
        metrics.begin(name, NOW)
    assert metrics.in_flight == {"f": 2, "g": 1}
    for name in ("f", "f", "g"):
        metrics.end(name)
    rows = metrics.take()
    found = {key.dimensions: c.maximum for key, _, c in rows if key.name == "ConcurrentExecutions"}
    assert found == {(): 3, (("FunctionName", "f"),): 2, (("FunctionName", "g"),): 1}
    assert metrics.in_flight == {}


def test_unreserved_and_claimed_concurrency():
    """AWS: claimed = unreserved executions + allocated concurrency."""
    metrics = Metrics(lambda: NOW, is_reserved=lambda name: name == "own")
    metrics.allocated = 10
    for name in ("f", "own", "f"):
        metrics.begin(name, NOW)
    found = taken(metrics)
    assert found["ConcurrentExecutions"].maximum == 3
    assert found["UnreservedConcurrentExecutions"].maximum == 2
    assert found["ClaimedAccountConcurrency"].maximum == 12


def test_asynchronous_events(metrics):
    metrics.event_received("f", NOW)
    metrics.event_received("f", NOW)
    metrics.event_age("f", 250.0, NOW)
    metrics.event_dropped("f")
    metrics.dead_letter_error("f")
    metrics.destination_failure("f")
    found = taken(metrics, FunctionName="f")
    assert {name: counted.total for name, counted in found.items()} == {
        "AsyncEventsReceived": 2,
        "AsyncEventAge": 250.0,
        "AsyncEventsDropped": 1,
        "DeadLetterErrors": 1,
        "DestinationDeliveryFailures": 1,
    }


def test_function_urls(metrics):
    """Source: AWS Lambda Developer Guide, "Monitoring Lambda function URLs"."""
    for status in (200, 403, 502, 502):
        metrics.url_request("f", "live", status, 5.0)
    metrics.url_request("f", "", 200, 7.0)
    found = taken(metrics, FunctionName="f", Resource="f:live")
    assert {name: (one.total, one.samples) for name, one in found.items()} == {
        "UrlRequestCount": (4, 4),
        "Url4xxCount": (1, 1),
        "Url5xxCount": (2, 2),
        "UrlRequestLatency": (20.0, 4),
    }


def test_provisioned_concurrency(metrics):
    metrics.provisioned("f", "live", in_use=3, initialized=4)
    metrics.provisioned_invocation("f", "live", spillover=False)
    metrics.provisioned_invocation("f", "live", spillover=True)
    found = taken(metrics, FunctionName="f", Resource="f:live")
    assert found["ProvisionedConcurrencyUtilization"].maximum == 0.75
    assert found["ProvisionedConcurrentExecutions"].maximum == 3
    assert found["ProvisionedConcurrencyInvocations"].total == 1
    assert found["ProvisionedConcurrencySpilloverInvocations"].total == 1


def test_what_could_not_be_written_is_given_back(metrics):
    metrics.invocation(RECORD, ARN)
    rows = metrics.take()
    metrics.invocation(RECORD, ARN)
    metrics.give_back(rows)
    assert taken(metrics)["Invocations"].total == 2


def test_totals_are_bounded(metrics):
    for number in range(TOTALS_MAX + 20):
        metrics.invocation(replace(RECORD, function_name=f"f{number}"), f"{ARN}{number}")
    metrics.fold()
    assert len(metrics.totals) == TOTALS_MAX + 1
    assert metrics.totals[OTHER].invocations == 20
    assert sum(one.cold + one.billed_ms for one in metrics.totals.values()) == 100 * (TOTALS_MAX + 20)


async def test_many_functions_are_written_in_pieces(monkeypatch):
    """Other writes needn't wait for the metrics of thousands of functions; what is left at the end is given back."""
    pieces: list[int] = []
    metrics = Metrics(lambda: NOW)
    store = SimpleNamespace(metrics=SimpleNamespace(post=lambda rows: pieces.append(len(rows))))
    for number in range(300):
        metrics.invocation(replace(RECORD, function_name=f"f{number}"), f"{ARN}{number}")
    monkeypatch.setattr(observing, "_PIECE_PAUSE_S", 0.0)
    await observing._write_gently(metrics, store)
    assert pieces == [500, 500, 204]
    assert not metrics.dirty


async def test_what_the_store_refuses_is_kept():
    def refuse(rows: object) -> None:
        raise StoreError("closed")

    metrics = Metrics(lambda: NOW)
    store = SimpleNamespace(metrics=SimpleNamespace(post=refuse))
    metrics.invocation(RECORD, ARN)
    observing.write(metrics, store)
    await observing._write_gently(metrics, store)
    assert taken(metrics)["Invocations"].total == 1
