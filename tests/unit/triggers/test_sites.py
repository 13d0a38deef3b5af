"""Sites: addresses, what browsers' cookies become, and whatever a function may answer."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_lambda.http1 import Response, encode_head
from jupyter_lambda.model.stream import ResponseStream
from jupyter_lambda.triggers.sites import origin, url_stream
from jupyter_lambda.triggers.sites.address import Address, by_name, by_path, name_of, path_of
from jupyter_lambda.triggers.sites.authorizers import Broken, error_message, read_verdict
from jupyter_lambda.triggers.sites.responses import Malformed, from_format_1, from_format_2, prelude
from jupyter_lambda.triggers.sites.visit import Visit

REGION = "us-east-1"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("abc.lambda-url.us-east-1.localhost:4566", ("url", "abc")),
        ("ABC.Lambda-URL.us-east-1.localhost", ("url", "abc")),
        ("a1.execute-api.us-east-1.localhost.:1", ("api", "a1")),
        ("abc.lambda-url.eu-west-1.localhost", None),
        ("abc.lambda-url.us-east-1.localhost.evil.example", None),
        ("x.abc.lambda-url.us-east-1.localhost", None),
        ("abc.s3.us-east-1.localhost", None),
        ("localhost:4566", None),
        (None, None),
    ],
)
def test_names(host, expected):
    found = by_name(host, "/a%2Fb", REGION)
    assert found == (Address(*expected, "/a%2Fb", "") if expected else None)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/_aws/lambda-url/abc", Address("url", "abc", "/", "/_aws/lambda-url/abc")),
        ("/_aws/execute-api/a1/prod/x%20y", Address("api", "a1", "/prod/x%20y", "/_aws/execute-api/a1")),
        ("/_aws/lambda-url/abc//x", Address("url", "abc", "//x", "/_aws/lambda-url/abc")),
        ("/_aws/lambda-url/abc/../../2015-03-31/functions", None),
        ("/_aws/lambda-url/", None),
        ("/_aws/s3/abc/", None),
        ("/_awslambda-url/abc/", None),
    ],
)
def test_paths(path, expected):
    assert by_path(path) == expected


def test_what_is_given_out_is_recognised():
    assert by_name(name_of("url", "abc", REGION), "/", REGION) == Address("url", "abc", "/", "")
    assert by_path(path_of("api", "abc")) == Address("api", "abc", "/", "/_aws/execute-api/abc")


def visit(prefix: str) -> Visit:
    nothing: Any = None
    return Visit("url", "abc", "GET", "/", "", [], b"", "1.2.3.4", prefix, "r", "t", "d", nothing, nothing)


PREFIX = "/_aws/lambda-url/abc"


@pytest.mark.parametrize(
    ("cookie", "by_path_form", "by_name_form"),
    [
        ("a=1", f"jl-abc-a=1; Path={PREFIX}/", "a=1"),
        ("a=1; Path=/x; HttpOnly", f"jl-abc-a=1; HttpOnly; Path={PREFIX}/x", "a=1; Path=/x; HttpOnly"),
        ("a=1; path=x", f"jl-abc-a=1; Path={PREFIX}/", "a=1; path=x"),
        ("a=1; DOMAIN=localhost ;Secure", f"jl-abc-a=1; Secure; Path={PREFIX}/", "a=1; Secure"),
        ("nameless", f"jl-abc-=nameless; Path={PREFIX}/", "nameless"),
    ],
)
def test_cookies_that_are_set(cookie, by_path_form, by_name_form):
    for prefix, expected in ((PREFIX, by_path_form), ("", by_name_form)):
        response = origin.guarded(Response(200, [("set-cookie", cookie)]), visit(prefix))
        assert [v for n, v in response.headers if n == "set-cookie"] == [expected]


@given(
    st.lists(st.tuples(st.sampled_from(["a", "_xsrf", "jl-abc-a", "jl-abd-a", "jl-abc-"]), st.text("xyz=", max_size=4)))
)
def test_only_own_cookies_reach_a_path_site(cookies):
    sent = "; ".join(f"{name}={value}" for name, value in cookies).encode()
    (kept,) = origin.own_cookies([(b"Cookie", sent)], "abc") or [(b"", b"")]
    expected = "; ".join(f"{n.removeprefix('jl-abc-')}={v}" for n, v in cookies if n.startswith("jl-abc-"))
    assert kept[1] == expected.encode()


def test_signatures_stay_with_the_engine():
    signed = [(b"Authorization", b"AWS4-HMAC-SHA256 Credential=\xe2"), (b"X-Amz-Security-Token", b"t"), (b"Host", b"h")]
    assert origin.unsigned(signed) == [(b"Host", b"h")]
    own = [(b"authorization", b"Bearer t"), (b"X-Amz-Security-Token", b"t")]
    assert origin.unsigned(own) == own


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "statusCode": st.one_of(st.integers(0, 700), st.sampled_from(["200", "x", 200.0, True]), JSON),
        "headers": st.one_of(st.dictionaries(st.text(max_size=8), JSON, max_size=3), JSON),
        "multiValueHeaders": st.one_of(
            st.dictionaries(st.text(max_size=8), st.lists(JSON, max_size=2), max_size=2), JSON
        ),
        "cookies": st.one_of(st.lists(st.text(max_size=9), max_size=2), JSON),
        "body": JSON,
        "isBase64Encoded": JSON,
    },
)


@given(ANSWERS | JSON)
def test_whatever_a_function_answers_can_be_sent_or_is_malformed(answer):
    payload = json.dumps(answer).encode()
    for read in (from_format_1, from_format_2, lambda data: prelude(json.loads(data))):
        try:
            response = read(payload)
        except Malformed:
            continue
        for prefix in ("", PREFIX):
            guarded = origin.guarded(response, visit(prefix))
            assert isinstance(guarded.body, bytes)
            encode_head(guarded.status, guarded.headers, len(guarded.body), close=False)


@given(st.binary(max_size=20))
def test_what_is_no_json_is_malformed(payload):
    try:
        json.loads(payload or b"null")
    except ValueError:
        with pytest.raises(Malformed):
            from_format_2(payload)
    else:
        assert from_format_2(payload).status == 200


def test_text_that_is_no_unicode_is_sent_with_marks_in_its_place():
    """JSON can name halves of surrogate pairs, which UTF-8 has no bytes for."""
    assert from_format_2(rb'"a\ud800"').body == b"a?"
    response = from_format_2(rb'{"statusCode": 200, "headers": {"X-A": "b\ud800"}, "body": "\ud800"}')
    assert (dict(response.headers)["X-A"], response.body) == ("b?", b"?")


async def test_a_prelude_nested_without_end_is_malformed():
    stream = ResponseStream()
    stream.begin(url_stream.PRELUDE_TYPE)
    writing = asyncio.create_task(stream.write(b"[" * 100_000 + b"\0" * 8 + b"x" * 300_000))
    response = await url_stream.answer(stream, SimpleNamespace(function_name="f"))  # type: ignore[arg-type]
    assert response.status == 502
    async with asyncio.timeout(5):  # the function writes on, and nobody waits for it
        await writing
        await stream.write(b"x" * 300_000)


def test_a_verdict_nested_without_end_is_none():
    with pytest.raises(Broken):
        read_verdict(b"[" * 100_000, simple=False, nested_context=False)
    assert error_message(b"[" * 100_000) is None
