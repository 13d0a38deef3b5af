"""Invoke over the wire."""

from __future__ import annotations

import base64
import json
import time
import uuid

import pytest

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


def test_request_response(make, client, name):
    make(Publish=True)
    answer = client.invoke(FunctionName=name, Payload=b'{"n": 3}')
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert "FunctionError" not in answer
    assert "LogResult" not in answer
    assert json.loads(answer["Payload"].read()) == {
        "event": {"n": 3},
        "arn": ARN + name,
        "version": "$LATEST",
        "context": None,
    }
    assert uuid.UUID(answer["ResponseMetadata"]["RequestId"])
    qualified = client.invoke(FunctionName=f"{name}:1")
    assert qualified["ExecutedVersion"] == "1"
    assert json.loads(qualified["Payload"].read())["arn"] == f"{ARN}{name}:1"


def test_no_payload_is_an_empty_event(make, client, name):
    make()
    assert json.loads(client.invoke(FunctionName=name)["Payload"].read())["event"] == {}


def test_any_json_is_an_event(make, client, name):
    make()
    for payload in (b"null", b"3", b'"text"', b"[1]", b" {} ", b"{}\r\n"):
        answer = client.invoke(FunctionName=name, Payload=payload)
        assert json.loads(answer["Payload"].read())["event"] == json.loads(payload)


def test_a_failing_function_is_a_result(make, client, name):
    make()
    answer = client.invoke(FunctionName=name, Payload=b'{"fail": "no"}', LogType="Tail")
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert json.loads(answer["Payload"].read())["errorMessage"] == "no"
    assert b"hello from the function" in base64.b64decode(answer["LogResult"])


def test_client_context(make, client, name):
    make()
    context = base64.b64encode(json.dumps({"custom": {"x": "ü"}}).encode()).decode()
    answer = client.invoke(FunctionName=name, ClientContext=context)
    assert json.loads(answer["Payload"].read())["context"] == {"custom": {"x": "ü"}}


@pytest.mark.parametrize(
    "context", ["no base64!", base64.b64encode(b"no json").decode(), base64.b64encode(b"[]").decode()]
)
def test_a_bad_client_context(make, refused, name, context):
    make()
    assert refused("invoke", FunctionName=name, ClientContext=context) == (
        "InvalidRequestContentException",
        400,
        "Client context must be a valid Base64-encoded JSON object.",
    )


@pytest.mark.parametrize(
    "payload",
    [b"{", b"{} x", b"[1]]", b"1 2", b"1\x0b", b"\x87", b"NaN", b"{'a': 1}", b"[" * 100_000, b"9" * 5000],
)
def test_a_payload_that_is_not_json(make, refused, name, payload):
    make()
    code, status, message = refused("invoke", FunctionName=name, Payload=payload)
    assert (code, status) == ("InvalidRequestContentException", 400)
    assert message.startswith("Could not parse request body into json: Could not parse payload into json: ")


def test_sizes(make, client, refused, name):
    make()
    assert client.invoke(FunctionName=name, Payload=b'"' + b"x" * 3_000_000 + b'"')["StatusCode"] == 200
    assert refused("invoke", FunctionName=name, Payload=b'"' + b"x" * 6_291_455 + b'"') == (
        "RequestTooLargeException",
        413,
        "6291457 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)",
    )
    big_event = b'"' + b"x" * 1_048_575 + b'"'
    assert refused("invoke", FunctionName=name, InvocationType="Event", Payload=big_event)[:2] == (
        "RequestTooLargeException",
        413,
    )


def test_event(engine, make, client, name):
    make()
    answer = client.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    assert answer["StatusCode"] == 202
    assert answer["Payload"].read() == b""
    request_id = answer["ResponseMetadata"]["RequestId"]
    record = None
    deadline = time.monotonic() + 10
    while record is None and time.monotonic() < deadline:
        time.sleep(0.02)
        record = engine.service.store.ledger.get(request_id)
    assert record is not None
    assert (record.status, record.source) == ("success", "async")


def test_invoke_async_is_still_there(make, client, name):
    make()
    assert client.invoke_async(FunctionName=name, InvokeArgs=b"{}")["Status"] == 202


def test_dry_run(make, client, refused, name):
    make()
    assert client.invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204
    assert (
        refused("invoke", FunctionName=name, InvocationType="DryRun", Qualifier="x")[0] == "ResourceNotFoundException"
    )


def test_names_and_qualifiers(make, refused, name):
    make()
    assert refused("invoke", FunctionName=f"{name}:1", Qualifier="2") == (
        "InvalidParameterValueException",
        400,
        "The derived qualifier from the function name does not match the specified qualifier.",
    )
    assert refused("invoke", FunctionName=name, Qualifier="42") == (
        "ResourceNotFoundException",
        404,
        f"Function not found: {ARN}{name}:42",
    )
    assert refused("invoke", FunctionName=name, Qualifier="9" * 40)[0] == "ResourceNotFoundException"
    assert refused("invoke", FunctionName=name, InvocationType="Later")[2] == (
        "1 validation error detected: Value 'Later' at 'invocationType' failed to satisfy constraint: Member must "
        "satisfy enum value set: [Event, RequestResponse, DryRun]"
    )


def test_a_throttled_function_says_why(make, client, name):
    make()
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    with pytest.raises(client.exceptions.TooManyRequestsException) as caught:
        client.invoke(FunctionName=name)
    response = caught.value.response
    assert response["Error"]["Message"] == "Rate Exceeded."
    assert response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert response["Type"] == "User"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 429


def test_the_caller_may_choose_the_request_id_and_see_the_record(engine, make, name):
    make()
    path, chosen = f"/2015-03-31/functions/{name}/invocations", str(uuid.uuid4())
    headers = {"X-Jupyter-Lambda-Request-Id": chosen, "X-Jupyter-Lambda-Record": "1"}
    status, answered, _ = engine.signed("POST", path, b"{}", headers)
    assert status == 200
    assert answered["x-amzn-requestid"] == chosen
    record = json.loads(answered["x-jupyter-lambda-record"])
    assert (record["request_id"], record["status"], record["cold"]) == (chosen, "success", True)
    engine.run(engine.service.store.ledger.flush())
    for wrong in (chosen, chosen.upper(), "x"):
        status, _, body = engine.signed("POST", path, b"{}", headers | {"X-Jupyter-Lambda-Request-Id": wrong})
        assert status == 400, body
        assert "X-Jupyter-Lambda-Request-Id" in json.loads(body)["message"]
