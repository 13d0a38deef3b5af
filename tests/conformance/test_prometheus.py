"""The page for Prometheus: who may read it, and what Prometheus' own parser makes of it."""

from __future__ import annotations

import base64

import pytest
from prometheus_client.parser import text_string_to_metric_families

PATH = "/_jupyter_lambda/metrics"


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


@pytest.fixture
def scrape(engine, monkeypatch):
    # The engine is shared, and other tests may have used up what it keeps of single functions.
    monkeypatch.setattr("jupyter_lambda.engine.metrics.TOTALS_MAX", 100_000)

    def read() -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        owner = engine.service.credentials.owner
        status, headers, body = engine.raw("GET", PATH, b"", basic(owner.access_key, owner.secret_key))
        assert status == 200
        assert headers["content-type"].startswith("text/plain; version=0.0.4")
        assert owner.secret_key.encode() not in body
        assert owner.access_key.encode() not in body
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for family in text_string_to_metric_families(body.decode()):
            for sample in family.samples:
                found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
        return found

    return read


def test_counters_and_histogram(scrape, client, make, name):
    make()
    client.invoke(FunctionName=name, Payload=b"{}")
    client.invoke(FunctionName=name, Payload=b'{"fail": "x"}')
    label = (("function", name),)
    found = scrape()
    assert found["jupyter_lambda_invocations_total"][label] == 2
    assert found["jupyter_lambda_errors_total"][label] == 1
    assert found["jupyter_lambda_billed_seconds_total"][label] == 0.2
    assert found["jupyter_lambda_duration_seconds_count"][label] == 2
    assert found["jupyter_lambda_duration_seconds_bucket"][(("function", name), ("le", "+Inf"))] == 2
    bounds = [
        count
        for labels, count in found["jupyter_lambda_duration_seconds_bucket"].items()
        if dict(labels)["function"] == name
    ]
    assert bounds == sorted(bounds)
    client.invoke(FunctionName=name, Payload=b"{}")
    assert scrape()["jupyter_lambda_invocations_total"][label] == 3
    assert found["process_resident_memory_bytes"][()] > 1e6
    assert "jupyter_lambda_environments" in found


@pytest.mark.parametrize(
    "headers",
    [{}, basic("x", "y"), {"Authorization": "Basic !"}, {"Authorization": "Bearer x"}, {"Authorization": "Basic"}],
)
def test_only_the_owner_reads_it(engine, headers):
    status, answered, body = engine.raw("GET", PATH, b"", headers)
    assert status == 401
    assert answered["www-authenticate"].startswith("Basic")
    assert b"jupyter_lambda_" not in body


def test_a_functions_key_is_not_the_owners(engine, make, name):
    make()
    own = engine.service.credentials.issue(engine.service.store.functions.get(name).latest)
    assert engine.raw("GET", PATH, b"", basic(own.access_key, own.secret_key))[0] == 401
