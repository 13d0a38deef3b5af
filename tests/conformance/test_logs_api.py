"""CloudWatch Logs of functions, as boto3 and `aws logs tail` use it."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict

import pytest
from botocore.exceptions import ClientError

from .observed import service

STREAM = "2026/11/24/[$LATEST]0123456789abcdef0123456789abcdef"


@pytest.fixture
def logs(engine):
    return service(engine, "logs")


@pytest.fixture
def group(make, name):
    make()
    return f"/aws/lambda/{name}"


@pytest.fixture
def write(engine, name):
    """Append lines to the function's log: text, ms since the epoch."""

    def append(*lines: tuple[str, int], stream: str = STREAM) -> None:
        async def run() -> None:
            for text, at_ms in lines:
                engine.service.store.logs.append(name, stream, None, text.encode() + b"\n", at_ms)
            await engine.service.store.logs.flush()

        engine.run(run())

    return append


def refused(call, **params) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] < 500
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_a_function_has_its_group_and_invocations_are_in_it(logs, client, group, name):
    """AWS: "Lambda automatically … sends logs to CloudWatch Logs … /aws/lambda/<function name>"."""
    client.invoke(FunctionName=name, Payload=b"{}")
    found = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert [one["logGroupName"] for one in found] == [group]
    assert found[0]["arn"] == f"arn:aws:logs:us-east-1:000000000000:log-group:{group}:*"
    assert found[0]["storedBytes"] > 0
    [stream] = logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert "[$LATEST]" in stream["logStreamName"]
    messages = [
        one["message"].split()[0]
        for one in logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)[
            "events"
        ]
    ]
    assert messages == ["START", "END", "REPORT"]


def test_groups_are_paged_and_chosen(logs, client, make, name):
    for number in range(3):
        make(FunctionName=f"{name}-{number}")
    pages = logs.get_paginator("describe_log_groups").paginate(
        logGroupNamePrefix=f"/aws/lambda/{name}-", PaginationConfig={"PageSize": 2}
    )
    counts = [[one["logGroupName"][-1] for one in page["logGroups"]] for page in pages]
    assert counts == [["0", "1"], ["2"]]
    found = logs.describe_log_groups(logGroupNamePattern=f"{name}-1")["logGroups"]
    assert [one["logGroupName"] for one in found] == [f"/aws/lambda/{name}-1"]
    assert logs.describe_log_groups(logGroupNamePrefix="/aws/nothing")["logGroups"] == []
    code, _ = refused(logs.describe_log_groups, logGroupNamePrefix="a", logGroupNamePattern="b")
    assert code == "InvalidParameterException"


def test_streams_by_name_and_by_time(logs, group, write):
    now_ms = int(time.time() * 1000)
    for number, stream in enumerate(["b", "a", "c"]):
        write(("x", now_ms + number), stream=stream)

    def name(**more: object) -> list[str]:
        return [s["logStreamName"] for s in logs.describe_log_streams(logGroupName=group, **more)["logStreams"]]

    assert name() == ["a", "b", "c"]
    assert name(orderBy="LastEventTime", descending=True) == ["c", "a", "b"]
    assert name(logStreamNamePrefix="b") == ["b"]
    pages = logs.get_paginator("describe_log_streams").paginate(
        logGroupName=group, orderBy="LastEventTime", PaginationConfig={"PageSize": 1}
    )
    assert [page["logStreams"][0]["logStreamName"] for page in pages] == ["b", "a", "c"]
    code, text = refused(
        logs.describe_log_streams, logGroupName=group, orderBy="LastEventTime", logStreamNamePrefix="b"
    )
    assert (code, text) == ("InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")


def test_events_forwards_and_backwards(logs, group, write):
    """AWS: "If you have reached the end of the stream, it returns the same token you passed in"."""
    start_ms = int(time.time() * 1000)
    write(*[(f"line {n}", start_ms + n) for n in range(5)])
    what = {"logGroupName": group, "logStreamName": STREAM, "limit": 2}
    text = lambda page: [event["message"] for event in page["events"]]  # noqa: E731
    newest = logs.get_log_events(**what)
    assert text(newest) == ["line 3\n", "line 4\n"]
    before = logs.get_log_events(**what, nextToken=newest["nextBackwardToken"])
    assert text(before) == ["line 1\n", "line 2\n"]
    first = logs.get_log_events(**what, nextToken=before["nextBackwardToken"])
    assert text(first) == ["line 0\n"]
    nothing = logs.get_log_events(**what, nextToken=first["nextBackwardToken"])
    assert nothing["events"] == []
    assert nothing["nextBackwardToken"] == first["nextBackwardToken"]
    end = logs.get_log_events(**what, nextToken=newest["nextForwardToken"])
    assert end["events"] == []
    assert end["nextForwardToken"] == newest["nextForwardToken"]
    write(("line 5", start_ms + 5))
    assert text(logs.get_log_events(**what, nextToken=end["nextForwardToken"])) == ["line 5\n"]
    ranged = logs.get_log_events(
        logGroupName=group, logStreamName=STREAM, startTime=start_ms + 1, endTime=start_ms + 3, startFromHead=True
    )
    assert text(ranged) == ["line 1\n", "line 2\n"]  # the end is not included


def test_filter_by_time_stream_and_pattern(logs, group, write):
    start_ms = int(time.time() * 1000)
    write(("ERROR one", start_ms), ("fine", start_ms + 1), stream="a")
    write((json.dumps({"level": "ERROR", "n": 3}), start_ms + 2), ("10.0.0.1 GET 404 12", start_ms + 3), stream="b")

    def found(**more):
        events = logs.filter_log_events(logGroupName=group, **more)["events"]
        return [event["message"].rstrip("\n") for event in events]

    assert found(filterPattern="ERROR -level") == ["ERROR one"]
    assert found(filterPattern='{ $.level = "ERR*" && $.n >= 3 }') == ['{"level": "ERROR", "n": 3}']
    assert found(filterPattern="[ip, method, status = 4*, size > 10]") == ["10.0.0.1 GET 404 12"]
    assert found(filterPattern="?fine ?404") == ["fine", "10.0.0.1 GET 404 12"]
    assert found(logStreamNames=["a"]) == ["ERROR one", "fine"]
    assert len(found(logStreamNamePrefix="b")) == 2
    assert found(startTime=start_ms + 1, endTime=start_ms + 1) == ["fine"]  # both included
    assert found(startTime=start_ms, startFromHead=False, limit=1) == ["10.0.0.1 GET 404 12"]


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("filter_log_events", {"filterPattern": '{ $.a = "x }'}),
        ("filter_log_events", {"filterPattern": "%(a+)+%"}),
        ("filter_log_events", {"nextToken": "nonsense"}),
        ("filter_log_events", {"logStreamNames": ["a"], "logStreamNamePrefix": "a"}),
        ("filter_log_events", {"startFromHead": False}),
        ("filter_log_events", {"limit": 10_001}),
        ("get_log_events", {"logStreamName": "s", "nextToken": "f/1/s"}),
        ("get_log_events", {"logStreamName": "a*b"}),
        ("describe_log_streams", {"nextToken": "x"}),
    ],
)
def test_bad(logs, group, operation, params):
    """Each is refused with AWS's code."""
    assert refused(getattr(logs, operation), logGroupName=group, **params)[0] == "InvalidParameterException"


def test_what_is_not_there(logs, group):
    gone = ("ResourceNotFoundException", "The specified log group does not exist.")
    assert refused(logs.filter_log_events, logGroupName="/aws/lambda/none") == gone
    assert refused(logs.filter_log_events, logGroupName="none") == gone
    code, text = refused(logs.get_log_events, logGroupName=group, logStreamName="none")
    assert (code, text) == ("ResourceNotFoundException", "The specified log stream does not exist.")
    assert refused(logs.filter_log_events)[0] == "InvalidParameterException"


def test_what_is_not_built_says_so(logs, group):
    with pytest.raises(ClientError, match="StartQuery is not built"):
        logs.start_query(logGroupName=group, startTime=0, endTime=1, queryString="fields @message")
    with pytest.raises(ClientError, match="PutLogEvents is not built"):
        logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[{"timestamp": 1, "message": "m"}])


def test_a_group_by_its_arn(logs, group, write):
    write(("x", 1_700_000_000_000))
    arn = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["logGroupArn"]
    assert len(logs.filter_log_events(logGroupIdentifier=arn)["events"]) == 1


def test_retention_hides_what_is_too_old(logs, group, write):
    now_ms = int(time.time() * 1000)
    write(("old", now_ms - 2 * 86_400_000), ("new", now_ms))
    logs.put_retention_policy(logGroupName=group, retentionInDays=1)
    assert logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["retentionInDays"] == 1
    assert [e["message"] for e in logs.filter_log_events(logGroupName=group)["events"]] == ["new\n"]
    logs.delete_retention_policy(logGroupName=group)
    assert len(logs.filter_log_events(logGroupName=group)["events"]) == 2
    assert refused(logs.put_retention_policy, logGroupName=group, retentionInDays=2)[0] == "InvalidParameterException"


def test_a_deleted_group_is_empty_until_something_is_written(logs, group, write):
    write(("x", 1_700_000_000_000))
    logs.delete_log_group(logGroupName=group)
    assert logs.filter_log_events(logGroupName=group)["events"] == []


def _tail(logs, group, polls, **more):
    """`aws logs tail --follow` of the AWS CLI 2: the calls that it makes, and how it passes over what it had."""
    known: dict[int, set[str]] = defaultdict(set)
    params = {"logGroupName": group, "interleaved": True, **more}
    for _ in range(polls):
        while True:
            page = logs.filter_log_events(**params)
            for event in page["events"]:
                if event["eventId"] not in known[event["timestamp"]]:
                    known[event["timestamp"]].add(event["eventId"])
                    yield event["message"].rstrip("\n")
            if known:
                newest = max(known)
                known = defaultdict(set, {newest: known[newest]})
            if "nextToken" not in page:
                break
            params["nextToken"] = page["nextToken"]
        params.pop("nextToken", None)
        if known:
            params["startTime"] = max(known)


def test_following_loses_and_doubles_nothing(engine, logs, group, name):
    """Five streams write as fast as they can, several lines in each millisecond, while a client follows."""
    written: list[str] = []
    store = engine.service.store.logs

    async def flood() -> None:
        for turn in range(120):
            for stream in range(5):
                for line in range(4):
                    text = f"{turn}-{stream}-{line}"
                    written.append(text)
                    at_ms = int(engine.service.clock() * 1000)
                    store.append(name, f"s{stream}", None, f"{text}\n".encode(), at_ms)
            await asyncio.sleep(0)

    done = asyncio.run_coroutine_threadsafe(flood(), engine.loop)
    start_ms = int(time.time() * 1000) - 60_000
    tail = _tail(logs, group, 1_000, startTime=start_ms, limit=37)
    seen = []
    for text in tail:
        seen.append(text)
        if done.done() and len(seen) >= len(written):
            break
    done.result()
    assert sorted(seen) == sorted(written)
    # Within a stream in the order in which it was written.
    for stream in range(5):
        own = [text for text in seen if f"-{stream}-" in text[text.index("-") :][:3]]
        assert own == [text for text in written if f"-{stream}-" in text[text.index("-") :][:3]]
    again = list(_tail(logs, group, 1, startTime=start_ms))
    assert sorted(again) == sorted(written)


def test_boto3s_paginator_sees_each_event_once(logs, group, write):
    start_ms = int(time.time() * 1000)
    write(*[(f"{n}", start_ms + n // 50) for n in range(500)])
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, PaginationConfig={"PageSize": 33})
    found = [event for page in pages for event in page["events"]]
    assert [int(event["message"]) for event in found] == list(range(500))
    assert len({event["eventId"] for event in found}) == 500


def test_a_function_may_read_its_log_and_no_more(engine, logs, group, name):
    function = engine.service.store.functions.get(name)
    credential = engine.service.credentials.issue(function.latest)
    own = service(engine, "logs", credential=credential)
    assert own.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    for operation, params in (
        ("delete_log_group", {"logGroupName": group}),
        ("put_retention_policy", {"logGroupName": group, "retentionInDays": 1}),
        ("filter_log_events", {"logGroupName": group}),
    ):
        assert refused(getattr(own, operation), **params)[0] == "AccessDeniedException"
