"""Which operation a request for S3, SQS, SNS … means, and that nothing else goes on to the cloud."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from jupyter_lambda.api import description
from jupyter_lambda.api.forward.forward import _exactly, bucket_of, streams
from jupyter_lambda.api.forward.services import S3, SERVICES, Rpc, without_signature
from jupyter_lambda.errors import (
    AccessDeniedException,
    RequestEntityTooLargeException,
    SerializationException,
    UnknownOperationException,
)
from jupyter_lambda.http1 import Request

S3_OPERATIONS = S3(description.load("s3"))


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "operation"),
    [
        ("GET", "/", "", {}, "ListBuckets"),
        ("PUT", "/pictures", "", {}, "CreateBucket"),
        ("GET", "/pictures", "list-type=2&prefix=a%2F", {}, "ListObjectsV2"),
        ("GET", "/pictures/a/b.png", "x-id=GetObject", {}, "GetObject"),
        ("PUT", "/pictures/a%20b//c", "", {}, "PutObject"),
        ("PUT", "/pictures/a", "", {"x-amz-copy-source": "/other/a"}, "CopyObject"),
        ("PUT", "/pictures/a", "partNumber=1&uploadId=u", {}, "UploadPart"),
        ("PUT", "/pictures/a", "partNumber=1&uploadId=u", {"x-amz-copy-source": "/b/c"}, "UploadPartCopy"),
        ("GET", "/pictures/a", "uploadId=u", {}, "ListParts"),
        ("DELETE", "/pictures/a", "uploadId=u", {}, "AbortMultipartUpload"),
        ("DELETE", "/pictures/a", "", {}, "DeleteObject"),
        ("POST", "/pictures", "delete", {}, "DeleteObjects"),
        ("POST", "/pictures/a", "uploads", {}, "CreateMultipartUpload"),
        ("POST", "/pictures/a", "uploadId=u", {}, "CompleteMultipartUpload"),
        ("PUT", "/pictures", "notification", {}, "PutBucketNotificationConfiguration"),
        ("GET", "/pictures", "notification", {}, "GetBucketNotificationConfiguration"),
        ("HEAD", "/pictures/a", "", {}, "HeadObject"),
    ],
)
def test_operations_of_s3(method: str, path: str, query: str, headers: dict[str, str], operation: str) -> None:
    assert S3_OPERATIONS.find(method, path, query, headers).operation == operation


def test_bucket_and_key_are_decoded() -> None:
    assert S3_OPERATIONS.find("GET", "/pictures/a%20b//%C3%BC/", "", {}).labels == {
        "Bucket": "pictures",
        "Key": "a b//ü/",
    }


@pytest.mark.parametrize(
    "path",
    [
        "/_ministack/reset", "/_localstack/health", "/moto-api/reset", "/latest/meta-data/iam", "/%5Fministack/reset",
        "/pictures/../_ministack/reset", "//_ministack/reset", "/../x", "/.", "/iceberg/v1", "/%2e%2e/x",
        "http://127.0.0.1/pictures",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_no_path_leads_to_a_servers_own_routes(method: str, path: str) -> None:
    with pytest.raises(AccessDeniedException):
        S3_OPERATIONS.find(method, path, "", {})


@pytest.mark.parametrize(
    ("method", "path", "query", "operation"),
    [
        ("PUT", "/pictures", "notification=1", "PutBucketNotificationConfiguration"),
        ("PUT", "/pictures", "%6eotification=", "PutBucketNotificationConfiguration"),
        ("PUT", "/pictures", "x=1&policy=x", "PutBucketPolicy"),
        ("GET", "/pictures/a", "%75ploadId=u", "ListParts"),
    ],
)
def test_what_makes_another_operation_is_seen_however_it_is_written(
    method: str, path: str, query: str, operation: str
) -> None:
    assert S3_OPERATIONS.find(method, path, query, {}).operation == operation


def test_an_address_of_two_operations_does_not_go_on() -> None:
    with pytest.raises(UnknownOperationException):
        S3_OPERATIONS.find("PUT", "/pictures", "acl&notification", {})


def rpc(name: str) -> Rpc:
    service = next(one for one in SERVICES if one.name == name)
    return Rpc(service, description.load(name))


def request(
    target: str | None = None, body: bytes = b"", query: str = "", path: str = "/", content_type: str = ""
) -> Request:
    headers = [(b"X-Amz-Target", target.encode())] if target is not None else []
    if content_type:
        headers.append((b"Content-Type", content_type.encode()))
    connection: Any = None
    return Request("POST", path, query, headers, body, "127.0.0.1", connection)


def test_operations_with_names() -> None:
    assert rpc("sqs").find(request("AmazonSQS.SendMessage")).operation == "SendMessage"
    assert rpc("sqs").find(request(body=b"Action=SendMessage&Version=2012-11-05")).operation == "SendMessage"
    assert rpc("sns").find(request(body=b"Action=Publish&Message=x")).operation == "Publish"
    assert rpc("sts").find(request(query="Action=GetCallerIdentity")).operation == "GetCallerIdentity"
    assert rpc("dynamodb").find(request("DynamoDB_20120810.PutItem")).operation == "PutItem"
    streams_, tables = rpc("dynamodbstreams"), rpc("dynamodb")
    assert streams_.means(request("DynamoDBStreams_20120810.GetRecords"))
    assert not tables.means(request("DynamoDBStreams_20120810.GetRecords"))


@pytest.mark.parametrize(
    "wrong",
    [
        request("AWSLambda.CreateFunction"), request("AmazonSQS.Nothing"), request("SendMessage"), request(""),
        request(body=b"Action=CreateFunction"), request(), request("AWSStepFunctions.SendMessage"),
        request(query="Action=ListQueues", body=b"Action=CreateQueue"),
        request(body=b"Action=ListQueues&Action=CreateQueue"),
        request(query="Action=ListQueues&Action="),
        request("AmazonSQS.ListQueues", query="Action=CreateQueue"),
        request("AmazonSQS.ListQueues", b"Action=CreateQueue", content_type="application/x-www-form-urlencoded"),
        request("AmazonSQS.ListQueues,secretsmanager.GetSecretValue"),
    ],
)  # fmt: skip
def test_a_request_for_another_service_or_of_two_minds_does_not_go_on(wrong: Request) -> None:
    with pytest.raises(UnknownOperationException):
        rpc("sqs").find(wrong)


@pytest.mark.parametrize(
    "path", ["/_ministack/reset", "/moto-api/reset", "/bucket/key", "/000000000000/q/../../x", "//", "/000000000000"]
)
@pytest.mark.parametrize("name", ["sqs", "sts", "dynamodb"])
def test_a_servers_own_routes_are_reached_by_no_other_service_either(name: str, path: str) -> None:
    for one in (request("AmazonSQS.ListQueues", path=path), request(body=b"Action=ListQueues", path=path)):
        with pytest.raises(AccessDeniedException):
            rpc(name).find(one)


@pytest.mark.parametrize(
    "form", [b"Action=ListQueues&" + b"a=b&" * 20_000, b"Action=ListQueues&a=" + b"%41" * 2_000_000]
)
def test_a_form_that_would_take_long_to_read_is_too_large(form: bytes) -> None:
    with pytest.raises(RequestEntityTooLargeException):
        rpc("sqs").find(request(body=form))


def test_names_are_decoded_before_they_are_looked_at() -> None:
    with pytest.raises(UnknownOperationException):
        rpc("sqs").find(request(body=b"%41ction=CreateQueue&Action=ListQueues"))


def test_a_queue_may_be_asked_at_its_own_address() -> None:
    asked = request(body=b"Action=SendMessage&MessageBody=x", path="/000000000000/jobs.fifo")
    assert rpc("sqs").find(asked).operation == "SendMessage"
    with pytest.raises(AccessDeniedException):
        rpc("sns").find(asked)


async def _parts(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.mark.parametrize(("parts", "told"), [((b"a", b"bc"), "2"), ((b"ab",), "3"), ((b"ab",), "2,2"), ((), "1")])
async def test_a_body_of_another_length_than_told_is_never_whole(parts: tuple[bytes, ...], told: str) -> None:
    sent: list[bytes] = []

    async def send() -> None:
        async for part in _exactly(_parts(*parts), told):
            sent.append(part)  # noqa: PERF401 - what came before it raises

    with pytest.raises(SerializationException):
        await send()
    assert not told.isdigit() or len(b"".join(sent)) < int(told)


async def test_a_body_of_the_length_told_is_passed_on() -> None:
    for told in ("3", None):
        assert b"".join([part async for part in _exactly(_parts(b"ab", b"c"), told)]) == b"abc"


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("pictures.s3.localhost:9001", "pictures"),
        ("my.pictures.s3.us-east-1.localhost", "my.pictures"),
        ("pictures.localhost:9001", "pictures"),
        ("s3.localhost:9001", ""),
        ("s3.eu-west-1.localhost", ""),
        ("localhost:9001", None),
        ("127.0.0.1:9001", None),
        ("pictures.s3.example.com", None),
        ("evil.localhost.example.com", None),
        (None, None),
    ],
)
def test_buckets_named_by_the_host(host: str | None, bucket: str | None) -> None:
    assert bucket_of(host) == bucket


def test_what_was_signed_for_is_not_sent_on() -> None:
    query = "list-type=2&X-Amz-Signature=00&X-Amz-Date=x&AWSAccessKeyId=A&Signature=b&Expires=1&prefix=a%2Fb"
    assert without_signature(query) == "list-type=2&prefix=a%2Fb"


def test_only_requests_for_s3_are_handed_on_before_they_are_whole() -> None:
    signed = b"AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/%s/aws4_request, SignedHeaders=host, Signature=0"
    assert streams(b"PUT", b"/b/k", [(b"Authorization", signed % b"s3")])
    assert streams(b"PUT", b"/b/k?X-Amz-Credential=A%2F2026%2Fus-east-1%2Fs3%2Faws4_request", [])
    assert not streams(b"POST", b"/", [(b"Authorization", signed % b"lambda")])
    assert not streams(b"PUT", b"/b/k", [])
