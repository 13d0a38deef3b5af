"""CloudWatch metrics of functions, over each of the protocols that its description lists."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys
from botocore.exceptions import ClientError

from .observed import REGION, service

PROTOCOLS = ("json", "smithy-rpc-v2-cbor", "query")


@pytest.fixture(params=PROTOCOLS)
def cloudwatch(engine, request):
    return service(engine, "cloudwatch", request.param)


def span(minutes: int = 10) -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"StartTime": now - timedelta(minutes=minutes), "EndTime": now + timedelta(minutes=1)}


def stat(name: str, function: str | None, statistic: str = "Sum", **dimensions: str) -> dict[str, Any]:
    named = {"FunctionName": function, **dimensions} if function else {}
    return {
        "Metric": {
            "Namespace": "AWS/Lambda",
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": value} for key, value in named.items()],
        },
        "Period": 3600,
        "Stat": statistic,
    }


def values(answer: dict[str, Any]) -> dict[str, float]:
    return {one["Id"]: sum(one["Values"]) for one in answer["MetricDataResults"]}


def refused(call, **params) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403, 404)
    return response["Error"]["Code"], response["Error"]["Message"]


@pytest.fixture
def invoked(make, client, name):
    """A function that was invoked four times, once in vain, and has the alias live."""
    make(Publish=True)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    for _ in range(2):
        client.invoke(FunctionName=name, Payload=b"{}")
    client.invoke(FunctionName=name, Payload=b'{"fail": "x"}')
    client.invoke(FunctionName=name, Qualifier="live", Payload=b"{}")
    return name


def test_invocations_errors_and_duration(cloudwatch, invoked):
    """AWS: "Types of metrics for Lambda functions"."""
    queries = [
        {"Id": "invocations", "MetricStat": stat("Invocations", invoked)},
        {"Id": "errors", "MetricStat": stat("Errors", invoked)},
        {"Id": "throttles", "MetricStat": stat("Throttles", invoked)},
        {"Id": "median", "MetricStat": stat("Duration", invoked, "p50")},
        {"Id": "count", "MetricStat": stat("Duration", invoked, "SampleCount")},
        {"Id": "most", "MetricStat": stat("ConcurrentExecutions", invoked, "Maximum")},
        {"Id": "alias", "MetricStat": stat("Invocations", invoked, Resource=f"{invoked}:live")},
        {
            "Id": "version",
            "MetricStat": stat("Invocations", invoked, Resource=f"{invoked}:live", ExecutedVersion="1"),
        },
        {"Id": "plain", "MetricStat": stat("Invocations", invoked, Resource=invoked)},
        {"Id": "nobody", "MetricStat": stat("Invocations", "nobody")},
    ]
    found = values(cloudwatch.get_metric_data(MetricDataQueries=queries, **span()))
    assert found == {
        "invocations": 4,
        "errors": 1,
        "throttles": 0,
        "median": 1.0,
        "count": 4,
        "most": 1,
        "alias": 1,
        "version": 1,
        "plain": 3,
        "nobody": 0,
    }
    account = [{"Id": "all", "MetricStat": stat("Invocations", None)}]
    assert values(cloudwatch.get_metric_data(MetricDataQueries=account, **span()))["all"] >= 4


def test_expressions(cloudwatch, invoked):
    queries = [
        {"Id": "i", "MetricStat": stat("Invocations", invoked), "ReturnData": False},
        {"Id": "e", "MetricStat": stat("Errors", invoked), "ReturnData": False},
        {"Id": "rate", "Expression": "100 * e / i", "Label": "errors in percent"},
        {"Id": "good", "Expression": "SUM([i, -1 * e])"},
    ]
    answer = cloudwatch.get_metric_data(MetricDataQueries=queries, **span())
    assert values(answer) == {"rate": 25.0, "good": 3.0}
    assert answer["MetricDataResults"][0]["Label"] == "errors in percent"
    assert answer["MetricDataResults"][0]["StatusCode"] == "Complete"


def test_statistics(cloudwatch, invoked):
    answer = cloudwatch.get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Duration",
        Dimensions=[{"Name": "FunctionName", "Value": invoked}],
        Period=3600,
        Statistics=["Average", "Maximum", "Minimum", "Sum", "SampleCount"],
        ExtendedStatistics=["p99.9"],
        **span(),
    )
    [point] = answer["Datapoints"]
    assert answer["Label"] == "Duration"
    assert isinstance(point.pop("Timestamp"), datetime)
    assert point == {
        "SampleCount": 4.0,
        "Average": 1.0,
        "Sum": 4.0,
        "Minimum": 1.0,
        "Maximum": 1.0,
        "Unit": "Milliseconds",
        "ExtendedStatistics": {"p99.9": 1.0},
    }


def test_listing(cloudwatch, invoked):
    pages = cloudwatch.get_paginator("list_metrics").paginate(
        Namespace="AWS/Lambda", MetricName="Errors", Dimensions=[{"Name": "FunctionName", "Value": invoked}]
    )
    found = [sorted(one["Name"] for one in metric["Dimensions"]) for page in pages for metric in page["Metrics"]]
    assert sorted(found) == [
        ["ExecutedVersion", "FunctionName", "Resource"],
        ["ExecutedVersion", "FunctionName", "Resource"],
        ["FunctionName"],
        ["FunctionName", "Resource"],
        ["FunctionName", "Resource"],
    ]


def test_own_metrics(cloudwatch, name):
    """AWS: "PutMetricData", values with counts, statistic sets, and what is refused."""
    now = datetime.now(UTC)
    own = f"own-{name}"
    data = [
        {"MetricName": "m", "Value": 2.0, "Unit": "Count", "Timestamp": now},
        {"MetricName": "m", "Values": [1.0, 3.0], "Counts": [2.0, 1.0], "Unit": "Count"},
        {
            "MetricName": "m",
            "StatisticValues": {"SampleCount": 2.0, "Sum": 10.0, "Minimum": 4.0, "Maximum": 6.0},
            "Unit": "Count",
        },
    ]
    cloudwatch.put_metric_data(Namespace=own, MetricData=data)
    [point] = cloudwatch.get_metric_statistics(
        Namespace=own, MetricName="m", Period=3600, Statistics=["Sum", "SampleCount", "Maximum"], **span()
    )["Datapoints"]
    assert (point["Sum"], point["SampleCount"], point["Maximum"], point["Unit"]) == (17.0, 6.0, 6.0, "Count")
    for bad, code in (
        ({"MetricName": "m"}, "MissingParameter"),
        ({"MetricName": "m", "Value": 1.0, "Values": [1.0]}, "InvalidParameterCombination"),
        ({"MetricName": "m", "Value": 1e200}, "InvalidParameterValue"),
        ({"MetricName": "m", "Values": [1.0], "Counts": [1.0, 2.0]}, "InvalidParameterValue"),
        ({"MetricName": "m", "Value": 1.0, "Timestamp": now - timedelta(days=15)}, "InvalidParameterValue"),
    ):
        assert refused(cloudwatch.put_metric_data, Namespace=own, MetricData=[bad])[0] == code
    assert refused(cloudwatch.put_metric_data, Namespace="AWS/Lambda", MetricData=data)[0] == "InvalidParameterValue"


def test_pages_and_order(cloudwatch, name):
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    data = [{"MetricName": "m", "Value": float(n), "Timestamp": now - timedelta(minutes=n)} for n in range(5)]
    cloudwatch.put_metric_data(Namespace=f"own-{name}", MetricData=data)
    metric = {"Metric": {"Namespace": f"own-{name}", "MetricName": "m"}, "Period": 60, "Stat": "Sum"}
    queries = [{"Id": "a", "MetricStat": metric}, {"Id": "b", "Expression": "a * 10"}]
    for scan, expected in (("TimestampDescending", [0, 1, 2, 3, 4]), ("TimestampAscending", [4, 3, 2, 1, 0])):
        pages = cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=queries, ScanBy=scan, MaxDatapoints=3, **span()
        )
        found: dict[str, list[float]] = {"a": [], "b": []}
        states = []
        for page in pages:
            for one in page["MetricDataResults"]:
                found[one["Id"]] += one["Values"]
                states.append((one["Id"], len(one["Values"]), one["StatusCode"]))
        assert found == {"a": expected, "b": [value * 10 for value in expected]}
        assert states[0] == ("a", 3, "PartialData")
        assert max(count for _, count, _ in states) <= 3


@pytest.mark.parametrize(
    ("queries", "text"),
    [
        ([], "MetricDataQueries"),
        ([{"Id": "A", "MetricStat": stat("Errors", "f")}], "pattern"),
        ([{"Id": "a", "Expression": "FOO(1)"}], "function FOO is not built"),
        ([{"Id": "a", "Expression": "SELECT AVG(x) FROM y"}], "SELECT is not built"),
        ([{"Id": "a", "Expression": "SEARCH('x', 'Sum', 60)"}], "SEARCH is not built"),
        ([{"Id": "a", "Expression": "b"}, {"Id": "b", "Expression": "a"}], "refers to itself"),
        ([{"Id": "a", "Expression": "nobody + 1"}], "nobody"),
        ([{"Id": "a", "Expression": "1 +"}], "unexpected"),
        ([{"Id": "a", "Expression": "1"}], "a number"),
        ([{"Id": "a", "Expression": "(" * 500}], "deeply"),
        ([{"Id": "a", "MetricStat": stat("Errors", "f", "tm90")}], "tm90 .* is not built"),
        ([{"Id": "a", "MetricStat": stat("Errors", "f", "p101")}], "not a valid statistic"),
        ([{"Id": "a", "MetricStat": {**stat("Errors", "f"), "Period": 61}}], "multiple of 60"),
        ([{"Id": "a"}], "Exactly one"),
        ([{"Id": "a", "MetricStat": stat("Errors", "f"), "ReturnData": False}], "ReturnData"),
    ],
)
def test_what_makes_no_sense(engine, queries, text):
    cloudwatch = service(engine, "cloudwatch")
    with pytest.raises(ClientError, match=text) as caught:
        cloudwatch.get_metric_data(MetricDataQueries=queries, **span())
    assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_statistics_that_make_no_sense(cloudwatch):
    call, given = cloudwatch.get_metric_statistics, {"Namespace": "n", "MetricName": "m"}
    assert refused(call, **given, Period=60, **span())[0] == "InvalidParameterCombination"
    many = {"StartTime": datetime(2026, 1, 1, tzinfo=UTC), "EndTime": datetime(2026, 1, 8, tzinfo=UTC)}
    assert refused(call, **given, Period=60, Statistics=["Sum"], **many) == (
        "InvalidParameterCombination",
        (
            "You have requested up to 10,080 datapoints, which exceeds the limit of 1,440. You may reduce the "
            "datapoints requested by increasing Period, or decreasing the time range."
        ),
    )
    backwards = {"StartTime": many["EndTime"], "EndTime": many["StartTime"]}
    assert refused(call, **given, Period=60, Statistics=["Sum"], **backwards)[0] == "InvalidParameterValue"


def test_what_is_not_built_says_so(cloudwatch):
    with pytest.raises(ClientError, match="PutMetricAlarm is not built") as caught:
        cloudwatch.put_metric_alarm(AlarmName="a")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_errors_in_the_words_of_the_former_query_protocol(engine):
    """awsQueryCompatible: a header tells the code that query clients knew."""
    cloudwatch = service(engine, "cloudwatch", "json")
    with pytest.raises(cloudwatch.exceptions.InvalidParameterValueException) as caught:
        cloudwatch.list_metrics(NextToken="nonsense")
    error = caught.value.response["Error"]
    assert (error["Code"], error["QueryErrorCode"]) == ("InvalidParameterValue", "InvalidParameterValueException")
    assert error["Type"] == "Sender"


def test_a_function_may_publish_metrics(engine, make, name):
    make()
    credential = engine.service.credentials.issue(engine.service.store.functions.get(name).latest)
    own = service(engine, "cloudwatch", credential=credential)
    own.put_metric_data(Namespace="n", MetricData=[{"MetricName": "m", "Value": 1.0}])
    assert refused(own.delete_alarms, AlarmNames=["a"])[0] == "AccessDenied"


def raw(engine, body: bytes, path: str = "/", signed: bool = True, **headers: str) -> tuple[int, dict[str, str], bytes]:
    keys = engine.service.credentials.owner
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = AWSRequest("POST", engine.url + path, data=body, headers=named)
    if signed:
        SigV4Auth(Keys(keys.access_key, keys.secret_key), "monitoring", REGION).add_auth(request)
    return engine.raw("POST", path, body, dict(request.headers.items()))


CBOR_PATH = "/service/GraniteServiceVersion20100801/operation/ListMetrics"
JSON = {"x_amz_target": "GraniteServiceVersion20100801.ListMetrics", "content_type": "application/x-amz-json-1.0"}
CBOR = {"smithy_protocol": "rpc-v2-cbor", "content_type": "application/cbor"}
FORM = {"content_type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("body", "path", "headers"),
    [
        (b"{", "/", JSON),
        (b"[]", "/", JSON),
        (b"\xff\x00", "/", JSON),
        (b"[" * 50_000, "/", JSON),
        (b"{}", "/", {**JSON, "x_amz_target": "Other.ListMetrics"}),
        (b"{}", "/", {**JSON, "x_amz_target": "nonsense"}),
        (b"\x9f", CBOR_PATH, CBOR),
        (b"\x81" * 50_000, CBOR_PATH, CBOR),
        (b"\xa0\xa0", CBOR_PATH, CBOR),
        (b"\xa0", "/service/x/operation/y", CBOR),
        (b"\xa0", "/", CBOR),
        (b"%", "/", FORM),
        (b"Action=ListMetrics&Dimensions=1", "/", FORM),
        (b"Action=Nonsense", "/", FORM),
        (b"", "/", FORM),
        (b"&" * 50_000, "/", FORM),
        (b"nothing known", "/", {"content_type": "text/plain"}),
        (b"not gzip", "/", {**JSON, "content_encoding": "gzip"}),
        (gzip.compress(b"{}")[:-4], "/", {**JSON, "content_encoding": "gzip"}),
        (gzip.compress(b" " * 5_000_000), "/", {**JSON, "content_encoding": "gzip"}),
    ],
)
def test_nonsense_is_the_callers_mistake(engine, body, path, headers):
    status, answered, _ = raw(engine, body, path, **headers)
    assert 400 <= status < 500
    assert answered["x-amzn-requestid"]


def test_a_wrong_signature_is_told_in_the_requests_own_protocol(engine):
    status, _, body = raw(engine, b"{}", signed=False, **JSON)
    assert (status, json.loads(body)["__type"]) == (400, "MissingAuthenticationTokenException")
    status, _, body = raw(engine, b"Action=ListMetrics", signed=False, **FORM)
    assert status == 403
    assert b"<Code>MissingAuthenticationToken</Code>" in body
    status, headers, _ = raw(engine, b"\xa0", CBOR_PATH, signed=False, **CBOR)
    assert (status, headers["smithy-protocol"]) == (403, "rpc-v2-cbor")


def test_large_requests_come_packed(engine, name):
    """botocore packs PutMetricData from 10 KB on."""
    cloudwatch = service(engine, "cloudwatch")
    data = [{"MetricName": f"m{n}", "Value": 1.0, "Dimensions": [{"Name": "d", "Value": "x" * 50}]} for n in range(300)]
    cloudwatch.put_metric_data(Namespace=f"own-{name}", MetricData=data)
    pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace=f"own-{name}")
    assert sum(len(page["Metrics"]) for page in pages) == 300
