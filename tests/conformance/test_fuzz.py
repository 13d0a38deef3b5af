"""Whatever is sent, no answer is a 500."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyter_lambda.api import description
from jupyter_lambda.api.awslambda import registry
from jupyter_lambda.api.rest_json import RestJson
from jupyter_lambda.api.scalars import BlobShape, BooleanShape, NumberShape, Shape, StringShape
from jupyter_lambda.api.shapes import ListShape, MapShape, StructureShape

from .conftest import ROLE, RUNTIME, zipped

API = RestJson(description.load("lambda"))
BUILT = sorted(registry.handlers(API.operations))
TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "fuzz",
            "fuzz:1",
            "$LATEST",
            "live",
            "9" * 30,
            "../..",
            "a%2Fb",
            "arn:aws:lambda:us-east-1:000000000000:function:fuzz",
        ]
    ),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
PLAUSIBLE = {
    "FunctionName": "fuzz",
    "Role": "arn:aws:iam::000000000000:role/r",
    "Name": "live",
    "FunctionVersion": "$LATEST",
    "ReservedConcurrentExecutions": 3,
    "Tags": {"a": "b"},
    "MaximumRetryAttempts": 1,
}
ARN = "arn:aws:lambda:us-east-1:000000000000:function:fuzz"
CREATE = json.dumps(
    {
        "FunctionName": "fuzz",
        "Role": ROLE,
        "Runtime": RUNTIME,
        "Handler": "app.handler",
        "Code": {"ZipFile": base64.b64encode(zipped()).decode()},
        "Publish": True,
    }
).encode()
QUIET = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def typed(shape: Shape) -> st.SearchStrategy[Any]:
    """Values of a shape's own type, mostly within its constraints."""
    match shape:
        case StringShape(enum=enum) if enum:
            return st.sampled_from(enum) | TEXTS
        case NumberShape():
            return st.integers(-1, 1000) | st.integers()
        case BooleanShape():
            return st.booleans()
        case BlobShape():
            return (st.binary(max_size=20) | st.just(zipped())).map(lambda data: base64.b64encode(data).decode())
        case ListShape():
            return st.lists(typed(shape.member), max_size=3)
        case MapShape():
            return st.dictionaries(typed(shape.key), typed(shape.value), max_size=2)
        case StructureShape():
            members = {wire: typed(inner) for wire, inner in shape.members.values()}
            return st.fixed_dictionaries({}, optional=members)
    return TEXTS


def check(answer: tuple[int, dict[str, str], bytes], what: object) -> None:
    status, headers, body = answer
    assert status not in (500, 502), (what, body)
    if status >= 400:
        assert headers["x-amzn-errortype"]
        json.loads(body)


@QUIET
@given(data=st.data())
def test_operations(engine, data):
    engine.signed("POST", "/2015-03-31/functions", CREATE)
    operation = API.operations[data.draw(st.sampled_from(BUILT))]
    path = operation.template.partition("?")[0]
    for label in [part for part in path.split("/") if part.startswith("{")]:
        likely = {"{FunctionName}": "fuzz", "{Name}": "live", "{LayerName}": "fuzz", "{VersionNumber}": "1"}
        text = data.draw(st.one_of(st.just(likely.get(label, ARN)), st.just(likely.get(label, ARN)), TEXTS))
        path = path.replace(label, quote(text, safe=""))
    query = data.draw(
        st.dictionaries(st.sampled_from(["Marker", "MaxItems", "Qualifier", "tagKeys", "Arn"]), TEXTS, max_size=2)
    )
    if query or "?" in operation.template:
        literal = operation.template.partition("?")[2]
        path += "?" + "&".join([literal, *(f"{k}={quote(v, safe='')}" for k, v in query.items())]).strip("&")
    shape = operation.input.shape
    assert shape is not None
    members = {}
    for member, (_, inner) in shape.members.items():
        if data.draw(st.integers(0, 3)) == 0:
            members[member] = data.draw(JSON if data.draw(st.integers(0, 9)) == 0 else typed(inner))
    body = json.dumps({k: v for k, v in PLAUSIBLE.items() if k in operation.parameters} | members).encode()
    check(engine.signed(operation.method, path, body), (operation.name, path, body))


@QUIET
@given(
    path=st.binary(max_size=60), body=st.binary(max_size=60), method=st.sampled_from(["GET", "POST", "PUT", "DELETE"])
)
def test_any_path_and_body(engine, path, body, method):
    check(engine.signed(method, "/" + quote(path, safe="/%?&=+~"), body), (method, path, body))


@QUIET
@given(
    headers=st.dictionaries(
        st.sampled_from(
            [
                "X-Amz-Invocation-Type",
                "X-Amz-Log-Type",
                "X-Amz-Client-Context",
                "X-Jupyter-Lambda-Request-Id",
                "X-Jupyter-Lambda-Record",
            ]
        ),
        st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30),
    ),
    payload=JSON.map(json.dumps) | st.text(max_size=20),
)
def test_invoke(engine, headers, payload):
    engine.signed("POST", "/2015-03-31/functions", CREATE)
    answer = engine.signed(
        "POST", "/2015-03-31/functions/fuzz/invocations", payload.encode("utf-8", "replace"), headers
    )
    check(answer, (headers, payload))


@QUIET
@given(
    authorization=st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=80),
    date=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
)
def test_authorization(engine, authorization, date):
    headers = {"Authorization": authorization.encode("latin-1"), "X-Amz-Date": date}
    status, _, body = engine.raw("GET", "/2015-03-31/functions", b"", headers)
    assert status in (400, 403), body
