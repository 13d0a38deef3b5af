from __future__ import annotations

import json

import pytest

from jupyter_lambda.client import Admin, lambda_client
from jupyter_lambda.connection import Connection
from jupyter_lambda.errors import (
    ClientError,
    ResourceNotFoundException,
    ServiceException,
    ServiceUnavailableException,
)


@pytest.fixture
def admin(recorded_engine):
    return Admin(recorded_engine.connection())


def test_signs_and_names_only_what_was_asked(admin, recorded_engine):
    recorded_engine.answer = (200, {}, [b'{"lines": [{"message": "a"}]}'])
    assert admin.logs("f", pattern="a b&c", since_s=1.5) == [{"message": "a"}]
    (seen,) = recorded_engine.requests
    assert seen.path == "/_jupyter_lambda/logs?function=f&since=1.5&pattern=a%20b%26c&limit=1000"
    assert "/us-east-1/lambda/aws4_request" in seen.headers["Authorization"]


def test_every_route(admin, recorded_engine):
    recorded_engine.answer = (200, {}, [b'{"findings": [], "lines": [], "stopped": true}'])
    admin.status(), admin.doctor(), admin.stats("f"), admin.invocations(status="error"), admin.invocation("a/b")
    assert admin.stop("id") is True
    admin.environments(), admin.events()
    assert [(seen.method, seen.path.removeprefix("/_jupyter_lambda")) for seen in recorded_engine.requests] == [
        ("GET", "/status"),
        ("GET", "/doctor"),
        ("GET", "/stats?function=f"),
        ("GET", "/invocations?limit=100&status=error"),
        ("GET", "/invocations/a%2Fb"),
        ("DELETE", "/invocations/id"),
        ("GET", "/environments"),
        ("GET", "/events"),
    ]


@pytest.mark.parametrize(
    ("status", "body", "error", "text"),
    [
        (404, b'{"message": "no such request"}', ResourceNotFoundException, "no such request"),
        (403, b'{"Message": "bad signature"}', ClientError, "bad signature"),
        (503, b'{"message": "draining"}', ServiceUnavailableException, "draining"),
        (500, b"<html>", ServiceException, "GET /_jupyter_lambda/status: HTTP 500"),
        (200, b"not json", ServiceException, "HTTP 200"),
    ],
)
def test_refusals(admin, recorded_engine, status, body, error, text):
    recorded_engine.answer = (status, {}, [body])
    with pytest.raises(error, match=text):
        admin.status()


def test_an_engine_that_is_not_there():
    gone = Connection("http://127.0.0.1:1", "us-east-1", "AK", "sk")
    with pytest.raises(ServiceUnavailableException, match="is it running"):
        Admin(gone).status()


def test_boto3_speaks_to_the_engine_and_to_nobody_else(recorded_engine, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    recorded_engine.answer = (200, {}, [json.dumps({"Functions": []}).encode()])
    assert lambda_client(recorded_engine.connection()).list_functions()["Functions"] == []
    assert "Credential=AKIAOWNER" in recorded_engine.requests[0].headers["Authorization"]


def test_boto3_never_tries_twice(recorded_engine):
    from botocore.exceptions import ClientError as AwsError

    recorded_engine.answer = (503, {}, [b"{}"])
    with pytest.raises(AwsError):
        lambda_client(recorded_engine.connection()).invoke(FunctionName="f")
    assert len(recorded_engine.requests) == 1
