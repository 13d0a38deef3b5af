"""The wire itself: signatures, hosts, unknown operations, bodies, permissions."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys

from jupyter_lambda.api import app as app_module
from jupyter_lambda.api import sigv4

FUNCTIONS = "/2015-03-31/functions"


def error(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str, str]:
    status, headers, body = answer
    assert headers["content-type"] == "application/json"
    assert headers["x-amzn-requestid"]
    document = json.loads(body)
    return status, headers["x-amzn-errortype"], document.get("message") or document.get("Message")


def signed_headers(
    engine, path: str, *, keys: Keys | None = None, service="lambda", region="us-east-1", body=b""
) -> dict:
    owner = engine.service.credentials.owner
    request = AWSRequest("GET", engine.url + path, data=body)
    SigV4Auth(keys or Keys(owner.access_key, owner.secret_key), service, region).add_auth(request)
    return dict(request.headers.items())


def test_an_unsigned_request(engine):
    assert error(engine.raw("GET", FUNCTIONS)) == (
        403,
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    )


def test_an_unknown_key(engine):
    headers = signed_headers(engine, FUNCTIONS, keys=Keys("AKIAUNKNOWN", "x"))
    assert error(engine.raw("GET", FUNCTIONS, headers=headers)) == (
        403,
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    )


def test_a_wrong_secret(engine):
    keys = Keys(engine.service.credentials.owner.access_key, "wrong")
    status, code, message = error(engine.raw("GET", FUNCTIONS, headers=signed_headers(engine, FUNCTIONS, keys=keys)))
    assert (status, code) == (403, "InvalidSignatureException")
    assert message.startswith("The request signature we calculated does not match the signature you provided.")


def test_another_body_than_was_signed(engine):
    headers = signed_headers(engine, FUNCTIONS)
    assert error(engine.raw("GET", FUNCTIONS, b"{}", headers))[1] == "InvalidSignatureException"


def test_another_path_or_query_than_was_signed(engine):
    headers = signed_headers(engine, FUNCTIONS)
    for path in (f"{FUNCTIONS}?MaxItems=1", f"{FUNCTIONS}/x"):
        assert error(engine.raw("GET", path, headers=headers))[1] == "InvalidSignatureException"


def test_another_scope(engine):
    answer = error(engine.raw("GET", FUNCTIONS, headers=signed_headers(engine, FUNCTIONS, region="eu-west-1")))
    expected = "Credential should be scoped to a valid region, not 'eu-west-1'. "
    assert answer == (403, "InvalidSignatureException", expected)
    # The endpoint speaks several services; on AWS each has its own and names itself alone.
    answer = error(engine.raw("GET", FUNCTIONS, headers=signed_headers(engine, FUNCTIONS, service="ec2")))
    assert answer[:2] == (403, "InvalidSignatureException")
    assert answer[2].startswith("Credential should be scoped to correct service: ")
    assert "'lambda' or 'logs' or 'monitoring'" in answer[2]
    # S3 has its own way of signing, and its own errors.
    status, headers, body = engine.raw("GET", FUNCTIONS, headers=signed_headers(engine, FUNCTIONS, service="s3"))
    assert (status, headers["content-type"]) == (403, "application/xml")
    assert b"<Code>SignatureDoesNotMatch</Code>" in body


def test_scope_terminator_and_date(engine):
    headers = signed_headers(engine, FUNCTIONS)
    today = headers["X-Amz-Date"][:8]
    wrong = headers | {"Authorization": headers["Authorization"].replace("aws4_request", "aws5_request")}
    assert error(engine.raw("GET", FUNCTIONS, headers=wrong))[2] == (
        "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'. "
    )
    wrong = headers | {"Authorization": headers["Authorization"].replace(f"/{today}/", "/20150830/")}
    assert error(engine.raw("GET", FUNCTIONS, headers=wrong))[2] == (
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
        f"'20150830' != '{today}', from '{headers['X-Amz-Date']}'."
    )


@pytest.mark.parametrize(("shift_s", "start"), [(-3600, "Signature expired: "), (3600, "Signature not yet current: ")])
def test_clock_skew(engine, monkeypatch, shift_s, start):
    moment = datetime.now(UTC) + timedelta(seconds=shift_s)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda remove_tzinfo=True: moment.replace(tzinfo=None))
    status, code, message = error(engine.raw("GET", FUNCTIONS, headers=signed_headers(engine, FUNCTIONS)))
    assert (status, code) == (403, "InvalidSignatureException")
    assert message.startswith(f"{start}{moment:%Y%m%dT%H%M%SZ} is ")
    assert message.endswith(" 5 min.)")


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        ("Bearer abc", "Invalid key=value pair (missing equal-sign) in Authorization header "),
        ("AWS4-HMAC-SHA512 Credential=a", "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA512'."),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host",
            "Authorization header requires 'Signature' parameter. ",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0",
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a/b/c'",
        ),
        ("", "Invalid key=value pair"),
    ],
)
def test_an_incomplete_signature(engine, authorization, expected):
    headers = {"Authorization": authorization, "X-Amz-Date": sigv4.stamp(time.time())}
    status, code, message = error(engine.raw("GET", FUNCTIONS, headers=headers))
    assert (status, code) == (400, "IncompleteSignatureException")
    assert message.startswith(expected)


def test_a_date_is_needed(engine):
    headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=0"}
    assert error(engine.raw("GET", FUNCTIONS, headers=headers))[2].startswith(
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
    )
    headers["X-Amz-Date"] = "yesterday"
    assert error(engine.raw("GET", FUNCTIONS, headers=headers))[2].startswith(
        "Date must be in ISO-8601 'basic format'. Got 'yesterday'."
    )


def test_amz_headers_must_be_signed(engine):
    headers = signed_headers(engine, FUNCTIONS) | {"X-Amz-Invocation-Type": "Event"}
    assert error(engine.raw("GET", FUNCTIONS, headers=headers))[2] == (
        "'x-amz-invocation-type' must be a 'SignedHeader' in the AWS Authorization."
    )


def test_the_body_hash_header_must_be_right(engine):
    assert engine.signed("GET", FUNCTIONS, headers={"X-Amz-Content-SHA256": sigv4.EMPTY_SHA256})[0] == 200
    for wrong in ("UNSIGNED-PAYLOAD", "0" * 64):
        answer = engine.signed("GET", FUNCTIONS, headers={"X-Amz-Content-SHA256": wrong})
        assert error(answer)[1] == "InvalidSignatureException"


def presigned(engine, path: str, expires: int = 60) -> str:
    owner = engine.service.credentials.owner
    request = AWSRequest("GET", engine.url + path)
    SigV4QueryAuth(Keys(owner.access_key, owner.secret_key), "lambda", "us-east-1", expires=expires).add_auth(request)
    return request.url.removeprefix(engine.url)


def test_a_presigned_request(engine, monkeypatch):
    assert engine.raw("GET", presigned(engine, f"{FUNCTIONS}?MaxItems=1"))[0] == 200
    url = presigned(engine, FUNCTIONS)
    assert error(engine.raw("GET", f"{url}&MaxItems=1"))[1] == "InvalidSignatureException"
    moment = datetime.now(UTC) - timedelta(seconds=100)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda remove_tzinfo=True: moment.replace(tzinfo=None))
    assert error(engine.raw("GET", presigned(engine, FUNCTIONS)))[2].startswith("Signature expired: ")
    assert engine.raw("GET", presigned(engine, FUNCTIONS, 600))[0] == 200
    assert error(engine.raw("GET", presigned(engine, FUNCTIONS, 604_801)))[1] == "IncompleteSignatureException"


def test_hosts(engine):
    for host, expected in (
        ("localhost:1", 200),
        ("[::1]:80", 200),
        ("127.0.0.1", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil:80", 403),
    ):
        status, _, body = engine.raw("GET", app_module.HEALTH_PATH, headers={"Host": host})
        assert status == expected, (host, body)
    assert b"c.LambdaEngine.allowed_hosts" in body


def test_health_needs_no_signature(engine):
    status, _, body = engine.raw("GET", app_module.HEALTH_PATH)
    assert (status, json.loads(body)["status"]) == (200, "ready")


def test_an_unknown_address(engine):
    for method, path in (("GET", "/"), ("PATCH", FUNCTIONS), ("GET", "/2015-03-31/function/x")):
        assert error(engine.signed(method, path))[:2] == (404, "UnknownOperationException")


def test_an_operation_that_is_not_built_is_named(engine, client):
    with pytest.raises(client.exceptions.ClientError) as caught:
        client.create_code_signing_config(AllowedPublishers={"SigningProfileVersionArns": ["arn:aws:signer:x"]})
    response = caught.value.response
    assert response["Error"]["Code"] == "NotImplemented"
    assert "CreateCodeSigningConfig" in response["Error"]["Message"]
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_a_body_that_is_not_json(engine):
    for body in (b"{", b"[]", b"\xff", b'{"Timeout": NaN}'):
        assert error(engine.signed("POST", FUNCTIONS, body))[:2] == (400, "SerializationException")
    wrong = b'{"FunctionName": 3}'
    assert error(engine.signed("POST", FUNCTIONS, wrong))[2] == "NUMBER_VALUE can not be converted to a String"
    wrong = b'{"Timeout": "3"}'
    assert error(engine.signed("POST", FUNCTIONS, wrong))[2] == "STRING_VALUE can not be converted to an Integer"


def test_a_trailing_slash_is_no_other_address(engine):
    assert engine.signed("GET", f"{FUNCTIONS}/")[0] == 200


def test_an_unforeseen_failure_leaves_without_a_traceback(engine, monkeypatch, caplog):
    def broken(*args: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(engine.service.store.functions, "list", broken)
    status, headers, body = engine.signed("GET", FUNCTIONS)
    assert (status, headers["x-amzn-errortype"]) == (500, "ServiceException")
    document = json.loads(body)
    assert document["Type"] == "Service"
    assert headers["x-amzn-requestid"] in document["Message"]
    assert "secret" not in body.decode()
    assert "secret detail" in caplog.text


def test_draining(engine, client, refused, make, name, monkeypatch):
    make()
    monkeypatch.setattr(engine.service, "draining", True)
    assert refused("invoke", FunctionName=name)[:2] == ("ServiceUnavailableException", 503)
    assert refused("delete_function", FunctionName=name)[:2] == ("ServiceUnavailableException", 503)
    assert client.get_function(FunctionName=name)["Configuration"]["FunctionName"] == name
    assert json.loads(engine.raw("GET", app_module.HEALTH_PATH)[2])["status"] == "draining"


def test_a_functions_own_credentials(engine, make, name):
    make()
    credential = engine.service.credentials.issue(engine.service.store.functions.get(name).latest)
    client = engine.client(credential)
    assert client.invoke(FunctionName=name)["StatusCode"] == 200
    assert client.get_function_configuration(FunctionName=name)["FunctionName"] == name
    with pytest.raises(client.exceptions.ClientError) as caught:
        client.delete_function(FunctionName=name)
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    assert caught.value.response["Error"] == {
        "Code": "AccessDeniedException",
        "Message": f"User: arn:aws:sts::000000000000:assumed-role/lambda/{name} is not authorized to perform: "
        f"lambda:DeleteFunction on resource: {arn} because no identity-based policy allows the lambda:DeleteFunction "
        "action",
    }
    keys = Keys(credential.access_key, credential.secret_key, credential.token)
    assert (
        engine.raw(
            "GET", "/_jupyter_lambda/status", headers=signed_headers(engine, "/_jupyter_lambda/status", keys=keys)
        )[0]
        == 403
    )
    without_token = Keys(credential.access_key, credential.secret_key)
    answer = engine.raw("GET", FUNCTIONS, headers=signed_headers(engine, FUNCTIONS, keys=without_token))
    assert error(answer)[1] == "UnrecognizedClientException"
    engine.service.credentials.revoke(credential.access_key)
    answer = engine.raw("GET", FUNCTIONS, headers=signed_headers(engine, FUNCTIONS, keys=keys))
    assert error(answer) == (403, "ExpiredTokenException", "The security token included in the request is expired")
