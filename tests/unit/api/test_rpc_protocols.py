"""awsJson, rpc-v2-cbor and query: one description, three wires."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_lambda.api import description
from jupyter_lambda.api.protocols import cbor
from jupyter_lambda.api.protocols.aws_json import AwsJson
from jupyter_lambda.api.protocols.query import Query
from jupyter_lambda.api.protocols.rpc import RpcOperation, Wordings
from jupyter_lambda.api.protocols.rpc_v2_cbor import RpcV2Cbor
from jupyter_lambda.api.shapes import Shapes
from jupyter_lambda.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    InvalidSignatureException,
    LambdaError,
    SerializationException,
    ServiceException,
    UnknownOperationException,
)
from jupyter_lambda.http1 import Request

DESCRIBED = description.load("cloudwatch")
SHAPES = Shapes(DESCRIBED)
WORDINGS = Wordings(DESCRIBED)
JSON = AwsJson("GraniteServiceVersion20100801", "1.0", WORDINGS)
CBOR = RpcV2Cbor("GraniteServiceVersion20100801", WORDINGS)
QUERY = Query(WORDINGS)


def operation(name: str) -> RpcOperation:
    return RpcOperation(name, DESCRIBED["operations"][name], SHAPES)


def request(body: bytes = b"", path: str = "/", query: str = "", method: str = "POST", **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    anything: Any = None
    return Request(method, path, query, raw, body, "127.0.0.1", anything)


def json_request(body: bytes) -> Request:
    target = "GraniteServiceVersion20100801.ListMetrics"
    return request(body, x_amz_target=target, content_type="application/x-amz-json-1.0")


def cbor_request(body: bytes) -> Request:
    path = "/service/GraniteServiceVersion20100801/operation/ListMetrics"
    return request(body, path, smithy_protocol="rpc-v2-cbor", content_type="application/cbor")


def form(body: str) -> Request:
    return request(body.encode(), content_type="application/x-www-form-urlencoded; charset=utf-8")


LIST = operation("ListMetrics")
GIVEN = {"Namespace": "AWS/Lambda", "Dimensions": [{"Name": "FunctionName", "Value": "é f"}]}
FORM = (
    "Action=ListMetrics&Version=2010-08-01&Namespace=AWS%2FLambda&Dimensions.member.1.Name=FunctionName"
    "&Dimensions.member.1.Value=%C3%A9+f"
)


@pytest.mark.parametrize(
    ("protocol", "sent"),
    [
        (JSON, json_request(json.dumps(GIVEN).encode())),
        (CBOR, cbor_request(cbor.dumps(GIVEN))),
        (QUERY, form(FORM)),
        (QUERY, request(query=FORM, method="GET")),
    ],
)
def test_three_ways_to_say_the_same(protocol, sent):
    assert protocol.means(sent)
    assert protocol.operation(sent) == "ListMetrics"
    assert protocol.parse(LIST, sent) == GIVEN


RESULT = {
    "Label": "a <b> & \x00",
    "Datapoints": [{"Timestamp": 1_700_000_000, "Sum": 2.5, "ExtendedStatistics": {"p99": 1.0}}],
}


def test_results():
    statistics = operation("GetMetricStatistics")
    answer = JSON.respond(statistics, RESULT, "r")
    assert json.loads(answer.body) == RESULT
    assert dict(answer.headers)["Content-Type"] == "application/x-amz-json-1.0"
    answer = CBOR.respond(statistics, RESULT, "r")
    assert cbor.loads(answer.body) == RESULT
    assert b"\xc1\x1a\x65\x53\xf1\x00" in answer.body  # the time is tagged
    assert dict(answer.headers)["Smithy-Protocol"] == "rpc-v2-cbor"
    root = ElementTree.fromstring(QUERY.respond(statistics, RESULT, "r").body)
    space = {"c": "http://monitoring.amazonaws.com/doc/2010-08-01/"}
    point = root.find("c:GetMetricStatisticsResult/c:Datapoints/c:member", space)
    assert point.find("c:Timestamp", space).text == "2023-11-14T22:13:20Z"
    assert point.find("c:ExtendedStatistics/c:entry/c:key", space).text == "p99"
    assert root.find("c:GetMetricStatisticsResult/c:Label", space).text == "a <b> & \ufffd"
    assert root.find("c:ResponseMetadata/c:RequestId", space).text == "r"


def test_an_operation_without_output():
    put = operation("PutMetricData")
    assert JSON.respond(put, {}, "r").body == b""
    answer = CBOR.respond(put, {}, "r")
    assert answer.body == b""
    assert "Content-Type" not in dict(answer.headers)
    assert b"<PutMetricDataResponse" in QUERY.respond(put, {}, "r").body


@pytest.mark.parametrize(
    ("error", "shape", "code", "statuses"),
    [
        (
            InvalidParameterValueException("m"),
            "InvalidParameterValueException",
            "InvalidParameterValue;Sender",
            (400, 400, 400),
        ),
        (InvalidSignatureException("m"), "InvalidSignatureException", "SignatureDoesNotMatch;Sender", (400, 403, 403)),
        (AccessDeniedException("m"), "AccessDeniedException", "AccessDenied;Sender", (400, 403, 403)),
        (UnknownOperationException("m"), "UnknownOperationException", "InvalidAction;Sender", (400, 404, 400)),
        (ServiceException("m"), "ServiceException", "InternalFailure;Receiver", (500, 500, 500)),
    ],
)
def test_errors(error: LambdaError, shape: str, code: str, statuses: tuple[int, int, int]):
    answers = [protocol.refuse(error, "r") for protocol in (JSON, CBOR, QUERY)]
    assert tuple(answer.status for answer in answers) == statuses
    assert json.loads(answers[0].body) == cbor.loads(answers[1].body) == {"__type": shape, "message": "m"}
    for answer in answers[:2]:
        assert dict(answer.headers)["x-amzn-query-error"] == code
    assert dict(answers[0].headers)["x-amzn-ErrorType"] == shape
    root = ElementTree.fromstring(answers[2].body)
    told = [root.find(f".//{{*}}{name}").text for name in ("Code", "Type", "Message", "RequestId")]
    assert told == [*code.split(";"), "m", "r"]


def test_another_services_target():
    assert JSON.operation(request(x_amz_target="Logs_20140328.ListMetrics")) == ""
    assert CBOR.operation(request(path="/service/Other/operation/ListMetrics")) == ""
    assert QUERY.operation(form("Version=1")) == ""


@pytest.mark.parametrize(
    ("protocol", "sent"),
    [
        (JSON, json_request(b"[]")),
        (JSON, json_request(b"{")),
        (JSON, json_request(b'{"Namespace": 1}')),
        (JSON, json_request(b'{"Dimensions": [null]}')),
        (JSON, json_request(b"\xff")),
        (JSON, json_request(b"[" * 100_000)),
        (JSON, request(b"{}", content_type="text/plain")),
        (CBOR, cbor_request(b"\x01")),
        (CBOR, cbor_request(b"\xa1")),
        (CBOR, cbor_request(cbor.dumps({"Namespace": 1}))),
        (CBOR, cbor_request(b"\x81" * 10_000)),
        (CBOR, request(b"\xa0", content_type="text/plain")),
        (QUERY, form("Dimensions=x")),
        (QUERY, form("Dimensions.member.x.Name=1")),
        (QUERY, form("Dimensions.member.1=x")),
        (QUERY, form("Namespace.a=1&Namespace=2")),
        (QUERY, form("Namespace=1&Namespace.a=2")),
        (QUERY, form("Namespace=%FF")),
        (QUERY, form("a" + ".b" * 10_000 + "=1&Namespace.a=1")),
        (QUERY, request(b"\xff\xfe", content_type="application/x-www-form-urlencoded")),
    ],
)
def test_what_makes_no_sense(protocol, sent):
    with pytest.raises(SerializationException):
        protocol.parse(LIST, sent)


@given(st.binary(max_size=300))
def test_any_body_is_read_or_refused(body):
    for protocol, sent in (
        (JSON, json_request(body)),
        (CBOR, cbor_request(body)),
        (QUERY, request(body, content_type="application/x-www-form-urlencoded")),
    ):
        try:
            assert isinstance(protocol.parse(LIST, sent), dict)
        except SerializationException as exc:
            assert exc.message  # noqa: PT017 - either is right


@given(
    st.dictionaries(st.text(alphabet="abDimensions.member12NameValue", max_size=40), st.text(max_size=10), max_size=8)
)
def test_any_form_is_read_or_refused(fields):
    from urllib.parse import urlencode

    try:
        assert isinstance(QUERY.parse(LIST, form(urlencode(fields))), dict)
    except SerializationException as exc:
        assert exc.message  # noqa: PT017 - either is right
