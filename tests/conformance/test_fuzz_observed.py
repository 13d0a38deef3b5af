"""Whatever CloudWatch and CloudWatch Logs are asked, in whatever protocol, no answer is a 500."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyter_lambda.api import description
from jupyter_lambda.api.aws_service import protocols
from jupyter_lambda.api.awslambda.registry import handlers
from jupyter_lambda.api.protocols import cbor
from jupyter_lambda.api.protocols.rpc import RpcOperation
from jupyter_lambda.api.scalars import BooleanShape, NumberShape, Shape, StringShape, TimestampShape
from jupyter_lambda.api.services import OFFERS
from jupyter_lambda.api.shapes import ListShape, MapShape, Shapes, StructureShape

from .test_fuzz import CREATE, JSON

NOW = 1_795_000_000
LIKELY = st.sampled_from(
    [
        *("fuzz", "/aws/lambda/fuzz", "AWS/Lambda", "Errors", "Invocations", "FunctionName", "a", "b", "Sum", "p99"),
        *("a + b", "SUM(METRICS())", "FILL(a, 0)", "{ $.a = 1 }", "[a, ...]", "ERROR -x", "%a.b%", "f-" + "0" * 56),
        *("b/" + "9" * 56 + "/s", "WyJhIl0=", "WzFd"),
    ]
)
TEXTS = LIKELY | st.text(max_size=20)
RPC = [one for one in OFFERS if "rest-json" not in protocols(description.load(one.name)["metadata"])]
QUIET = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def typed(shape: Shape) -> st.SearchStrategy[Any]:
    """Values of a shape's own type, mostly within its constraints."""
    match shape:
        case StringShape(enum=enum) if enum:
            return st.sampled_from(enum) | TEXTS
        case NumberShape(whole=whole):
            numbers = st.sampled_from([0, 1, 60, 300, NOW * 1000]) | st.integers(-(2**40), 2**40)
            return numbers if whole else numbers | st.floats(allow_nan=False, allow_infinity=False)
        case TimestampShape():
            return st.sampled_from([NOW - 600, NOW, 0, NOW + 10**9]) | st.floats(-1e12, 1e12)
        case BooleanShape():
            return st.booleans()
        case ListShape():
            return st.lists(typed(shape.member), max_size=3)
        case MapShape():
            return st.dictionaries(typed(shape.key), typed(shape.value), max_size=2)
        case StructureShape():
            wires = {name: typed(inner) for name, inner in shape.members.values()}
            required = {name: wires.pop(name) for name in shape.required}
            return st.fixed_dictionaries(required, optional=wires)
    return TEXTS


def sent(engine, signing_name: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    keys = engine.service.credentials.owner
    request = AWSRequest("POST", engine.url + path, data=body, headers=headers)
    SigV4Auth(Keys(keys.access_key, keys.secret_key), signing_name, "us-east-1").add_auth(request)
    status, _, answer = engine.raw("POST", path, body, dict(request.headers.items()))
    return status, answer


@pytest.fixture(scope="module")
def fuzzed(engine):
    engine.signed("POST", "/2015-03-31/functions", CREATE)
    engine.signed("POST", "/2015-03-31/functions/fuzz/invocations", b"{}")
    return engine


@pytest.mark.parametrize("offer", RPC, ids=lambda offer: offer.name)
@QUIET
@given(data=st.data())
def test_operations(fuzzed, offer, data):
    described = description.load(offer.name)
    name = data.draw(st.sampled_from(sorted(handlers(described["operations"], offer.modules))))
    shape = RpcOperation(name, described["operations"][name], Shapes(described)).input
    assert shape is not None
    params = data.draw(typed(shape))
    if data.draw(st.integers(0, 9)) == 0 and params:
        params[data.draw(st.sampled_from(sorted(params)))] = data.draw(JSON)
    metadata = described["metadata"]
    headers = {
        "X-Amz-Target": f"{metadata['targetPrefix']}.{name}",
        "Content-Type": f"application/x-amz-json-{metadata['jsonVersion']}",
    }
    status, answer = sent(fuzzed, offer.signing_name, "/", json.dumps(params).encode(), headers)
    assert status < 500 or status == 501, (name, params, answer)
    if "smithy-rpc-v2-cbor" in protocols(metadata):
        path = f"/service/{metadata['targetPrefix']}/operation/{name}"
        headers = {"Smithy-Protocol": "rpc-v2-cbor", "Content-Type": "application/cbor"}
        try:
            body = cbor.dumps(params)
        except OverflowError:  # more than 64 bits: CBOR has no such integers
            return
        status, answer = sent(fuzzed, offer.signing_name, path, body, headers)
        assert status < 500 or status == 501, (name, params, answer)


@QUIET
@given(
    st.dictionaries(
        st.sampled_from(
            [
                *("Namespace", "MetricName", "StartTime", "EndTime", "Period", "Statistics.member.1", "Dimensions"),
                *("Dimensions.member.1.Name", "Dimensions.member.1.Value", "MetricDataQueries.member.1.Id"),
                *(
                    "MetricDataQueries.member.1.Expression",
                    "MetricData.member.1.Value",
                    "MetricData.member.1.MetricName",
                ),
            ]
        )
        | st.text(max_size=10),
        TEXTS | st.sampled_from(["2026-11-24T00:00:00Z", "60", "NaN", "1e999", "-Infinity"]),
        max_size=8,
    ),
    st.sampled_from(["ListMetrics", "GetMetricData", "GetMetricStatistics", "PutMetricData"]),
)
def test_forms(fuzzed, fields, action):
    body = urlencode({"Action": action, **fields}, errors="replace").encode()
    status, answer = sent(fuzzed, "monitoring", "/", body, {"Content-Type": "application/x-www-form-urlencoded"})
    assert status < 500 or status == 501, (fields, answer)
