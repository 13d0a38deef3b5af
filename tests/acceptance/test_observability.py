"""Logs, metrics and cost of functions that really run: followed while they write, and still there after a restart."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jupyter_lambda.client import Admin, aws_client, lambda_client

from .engine import ROLE, RUNTIME, Engine, package

CHATTY = """
import json

def handler(event, context):
    for number in range(3):
        print("line", event["n"], number)
    print(json.dumps({"level": "ERROR" if event["n"] % 10 == 0 else "INFO", "n": event["n"]}))
    return event
"""
CALLS, CALLERS = 120, 3


@pytest.fixture(scope="module")
def followed(engine, client):
    """Messages as `aws logs tail --follow` of the AWS CLI 2 prints them while three callers invoke the function."""
    client.create_function(
        FunctionName="chatty", Runtime=RUNTIME, Handler="app.handler", Role=ROLE, Code={"ZipFile": package(CHATTY)}
    )
    numbers, lock = itertools.chain(range(CALLS)), threading.Lock()

    def call() -> None:
        own = lambda_client(engine.connection)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            own.invoke(FunctionName="chatty", Payload=json.dumps({"n": number}))

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    seen = _follow(aws_client(engine.connection, "logs"), lambda: not any(caller.is_alive() for caller in callers))
    for caller in callers:
        caller.join()
    return seen


def _follow(logs: Any, finished: Any) -> Counter[str]:
    seen: Counter[str] = Counter()
    known: dict[int, set[str]] = defaultdict(set)
    params: dict[str, Any] = {"logGroupName": "/aws/lambda/chatty", "interleaved": True, "startTime": 0, "limit": 50}
    last = False
    while not last:
        last = finished()
        params.pop("nextToken", None)
        while True:
            page = logs.filter_log_events(**params)
            for event in page["events"]:
                if event["eventId"] not in known[event["timestamp"]]:
                    known[event["timestamp"]].add(event["eventId"])
                    seen[event["message"]] += 1
            if known:
                newest = max(known)
                known = defaultdict(set, {newest: known[newest]})
            if "nextToken" not in page:
                break
            params["nextToken"] = page["nextToken"]
        params["startTime"] = max(known, default=0)
    return seen


def test_following_sees_every_line_once(followed):
    expected = {f"line {call} {number}\n" for call in range(CALLS) for number in range(3)}
    lines = {text: count for text, count in followed.items() if text.startswith("line ")}
    assert lines == dict.fromkeys(expected, 1)
    for word in ("START", "END", "REPORT"):
        assert sum(count for text, count in followed.items() if text.startswith(word)) == CALLS


def test_json_lines_are_filtered(engine, followed):
    logs = aws_client(engine.connection, "logs")
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName="/aws/lambda/chatty",
        filterPattern='{ $.level = "ERROR" && $.n < 100 }',
        PaginationConfig={"PageSize": 3},
    )
    found = sorted(json.loads(event["message"])["n"] for page in pages for event in page["events"])
    assert found == list(range(0, 100, 10))


def test_metrics_agree_with_the_ledger(engine, followed):
    now = datetime.now(UTC)
    cloudwatch = aws_client(engine.connection, "cloudwatch")
    metric = {
        "Namespace": "AWS/Lambda",
        "MetricName": "Duration",
        "Dimensions": [{"Name": "FunctionName", "Value": "chatty"}],
    }
    [point] = cloudwatch.get_metric_statistics(
        **metric,
        StartTime=now - timedelta(minutes=30),
        EndTime=now + timedelta(minutes=1),
        Period=3600,
        Statistics=["SampleCount", "Sum", "Maximum"],
        ExtendedStatistics=["p100"],
    )["Datapoints"]
    records = Admin(engine.connection).invocations("chatty", limit=1000)["invocations"]
    assert point["SampleCount"] == len(records) == CALLS
    assert point["Sum"] == pytest.approx(sum(one["run_ms"] for one in records))
    assert point["Maximum"] == point["ExtendedStatistics"]["p100"] == max(one["run_ms"] for one in records)
    [line] = [one for one in Admin(engine.connection).bill(since_s=0.0)["lines"] if one["function"] == "chatty"]
    assert line["billed_ms"] == sum(one["billed_ms"] for one in records)
    assert line["billed_ms"] % 100 == 0


def test_metrics_outlive_a_restart(tmp_path, engines):
    engine = Engine(tmp_path / "state", "process")
    engines.append(engine)
    client = lambda_client(engine.start())
    client.create_function(
        FunctionName="f", Runtime=RUNTIME, Handler="app.handler", Role=ROLE, Code={"ZipFile": package(CHATTY)}
    )
    client.invoke(FunctionName="f", Payload=b'{"n": 1}')
    assert engine.stop() == 0
    connection = engine.start()
    now = datetime.now(UTC)
    found = aws_client(connection, "cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Invocations",
        StartTime=now - timedelta(minutes=30),
        EndTime=now + timedelta(minutes=1),
        Period=3600,
        Statistics=["Sum"],
    )["Datapoints"]
    assert [point["Sum"] for point in found] == [1.0]
    events = aws_client(connection, "logs").filter_log_events(logGroupName="/aws/lambda/f", filterPattern="line")
    assert len(events["events"]) == 3
