"""Logs and metrics by the AWS CLI as people use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def aws(engine, tmp_path):
    owner = engine.service.credentials.owner
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": engine.url,
        "AWS_ACCESS_KEY_ID": owner.access_key,
        "AWS_SECRET_ACCESS_KEY": owner.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
    program = Path(sys.executable).with_name("aws")

    def call(*words: str):
        done = subprocess.run(
            [sys.executable, program, *words], capture_output=True, text=True, timeout=60, env=environment, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    return call


def test_logs(aws, client, make, name):
    make()
    client.invoke(FunctionName=name, Payload=b"{}")
    group = f"/aws/lambda/{name}"
    found = aws("logs", "describe-log-groups", "--log-group-name-prefix", group)
    assert found["logGroups"][0]["logGroupName"] == group
    found = aws(
        "logs", "filter-log-events", "--log-group-name", group, "--filter-pattern", "REPORT", "--max-items", "1"
    )
    assert "Billed Duration" in found["events"][0]["message"]
    stream = found["events"][0]["logStreamName"]
    found = aws("logs", "get-log-events", "--log-group-name", group, "--log-stream-name", stream, "--start-from-head")
    assert [event["message"].split()[0] for event in found["events"]] == ["START", "END", "REPORT"]
    aws("logs", "put-retention-policy", "--log-group-name", group, "--retention-in-days", "14")


def test_metrics(aws, client, make, name):
    make()
    client.invoke(FunctionName=name, Payload=b"{}")
    named = ["--namespace", "AWS/Lambda", "--metric-name", "Invocations"]
    found = aws("cloudwatch", "list-metrics", *named, "--dimensions", f"Name=FunctionName,Value={name}")
    assert len(found["Metrics"]) == 3
    times = ["--start-time", "2026-01-01T00:00:00Z", "--end-time", "2036-01-01T00:00:00Z", "--period", "864000"]
    found = aws(
        *("cloudwatch", "get-metric-statistics", *named, *times),
        *("--dimensions", f"Name=FunctionName,Value={name}", "--statistics", "Sum"),
    )
    assert [point["Sum"] for point in found["Datapoints"]] == [1.0]
    aws("cloudwatch", "put-metric-data", "--namespace", "own", "--metric-name", name, "--value", "3")
    assert len(aws("cloudwatch", "list-metrics", "--namespace", "own", "--metric-name", name)["Metrics"]) == 1
