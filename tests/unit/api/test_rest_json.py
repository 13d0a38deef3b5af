"""rest-json beyond what Lambda needs of it: maps in queries, structures as bodies, times as text, errors by service."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jupyter_lambda.api import description
from jupyter_lambda.api.rest_json import RestJson
from jupyter_lambda.errors import (
    BadRequestException,
    LambdaError,
    NotFoundException,
    ResourceNotFoundException,
    SerializationException,
    ValidationException,
)
from jupyter_lambda.http1 import Request

V1 = RestJson(description.load("apigateway"), BadRequestException)
V2 = RestJson(description.load("apigatewayv2"), BadRequestException)
SCHEDULER = RestJson(description.load("scheduler"))


def read(api: RestJson, method: str, path: str, query: str = "", body: bytes = b"") -> tuple[str, dict[str, Any]]:
    anything: Any = None
    request = Request(method, path, query, [], body, "127.0.0.1", anything)
    operation, labels = api.find(request)
    return operation.name, operation.input.parse(request, labels)


def test_a_map_takes_what_no_other_member_of_the_query_has():
    name, params = read(V1, "PUT", "/restapis/a", "mode=merge&failonwarnings=true&basepath=split&x=1", b"{}")
    assert name == "PutRestApi"
    assert params["parameters"] == {"basepath": "split", "x": "1"}
    assert (params["mode"], params["failOnWarnings"], params["body"]) == ("merge", True, b"{}")


def test_query_literals_tell_operations_apart():
    assert read(V1, "POST", "/restapis", "mode=import")[0] == "ImportRestApi"
    assert read(V1, "POST", "/restapis", "", b'{"name": "x"}')[0] == "CreateRestApi"


def test_lists_in_queries_and_encoded_labels():
    name, params = read(V2, "DELETE", "/v2/tags/arn%3Aaws%3Aapigateway%3A%3A%3A%2Fapis%2Fa", "tagKeys=a&tagKeys=b")
    assert name == "UntagResource"
    assert params == {"ResourceArn": "arn:aws:apigateway:::/apis/a", "TagKeys": ["a", "b"]}


def test_a_structure_as_the_body():
    service = description.load("lambda")
    name, params = read(RestJson(service), *_stop_durable(service))
    assert name == "StopDurableExecution"
    assert params["Error"] == {"ErrorType": "x"}


def _stop_durable(service: dict[str, Any]) -> tuple[str, str, str, bytes]:
    template: str = service["operations"]["StopDurableExecution"]["http"]["requestUri"]
    arn = "arn:aws:lambda:us-east-1:000000000000:function:f:1/durable-execution/a/b".replace("/", "%2F")
    return "POST", template.replace("{DurableExecutionArn}", arn), "", b'{"ErrorType": "x"}'


def test_constraints_that_stand_in_a_name():
    with pytest.raises(BadRequestException, match="'name' failed to satisfy constraint"):
        read(V2, "POST", "/v2/apis", "", json.dumps({"name": "", "protocolType": "HTTP"}).encode())
    with pytest.raises(BadRequestException, match="protocolType"):
        read(V2, "POST", "/v2/apis", "", b'{"name": "x"}')
    with pytest.raises(SerializationException):
        read(V2, "POST", "/v2/apis", "", b'{"name": 1}')


def test_times_as_each_service_has_them():
    answered = V2.operations["GetApi"].output.write({"ApiId": "a", "CreatedDate": 1_795_000_000.5}, [])
    assert json.loads(answered.body) == {"apiId": "a", "createdDate": "2026-11-18T11:06:40Z"}
    answered = V1.operations["GetRestApi"].output.write({"id": "a", "createdDate": 1_795_000_000}, [])
    assert json.loads(answered.body) == {"id": "a", "createdDate": 1_795_000_000}


@pytest.mark.parametrize(
    ("api", "error", "status", "body"),
    [
        (V1, NotFoundException("gone"), 404, {"message": "gone"}),
        (V2, NotFoundException("gone"), 404, {"message": "gone"}),
        (SCHEDULER, ResourceNotFoundException("gone"), 404, {"Message": "gone"}),
        (SCHEDULER, ValidationException("bad"), 400, {"Message": "bad"}),
        (V2, ResourceNotFoundException("of another"), 404, {"message": "of another"}),
    ],
)
def test_errors_as_each_service_has_them(api: RestJson, error: LambdaError, status: int, body: dict[str, str]):
    answer = api.refuse(error, [])
    assert (answer.status, json.loads(answer.body)) == (status, body)
    assert ("x-amzn-ErrorType", error.code) in list(answer.headers)
