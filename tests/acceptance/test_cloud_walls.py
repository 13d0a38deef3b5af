"""What a signature for one service is not good for: the embedded cloud's own routes, and other services of it."""

from __future__ import annotations

import hashlib
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from .cloud import Cloud, cloud  # noqa: F401 - a fixture

pytestmark = pytest.mark.timeout(180)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def ask(
    cloud: Cloud,  # noqa: F811
    service: str,
    method: str,
    target: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes]:
    """Status and body of one signed request, as it stands."""
    connection = cloud.connection
    signed = AWSRequest(method, connection.url + target, data=body, headers=dict(headers or {}))
    keys = Credentials(connection.access_key, connection.secret_key)
    (S3SigV4Auth if service == "s3" else SigV4Auth)(keys, service, connection.region).add_auth(signed)
    client = HTTPConnection(urlsplit(connection.url).netloc, timeout=30)
    try:
        client.request(method, target, body, dict(signed.headers.items()))
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()


def test_no_service_leads_to_the_servers_own_routes(cloud: Cloud) -> None:  # noqa: F811
    cloud.client("sqs").create_queue(QueueName="kept")
    for path in ("/_ministack/reset", "/moto-api/reset", "/_ministack/config"):
        status, answer = ask(cloud, "sqs", "POST", path, b"Action=ListQueues&Version=2012-11-05", FORM)
        assert (status, b"AccessDenied" in answer) == (403, True), answer
        json_form = {"X-Amz-Target": "AmazonSQS.ListQueues", "Content-Type": "application/x-amz-json-1.0"}
        status, answer = ask(cloud, "sqs", "POST", path, b"{}", json_form)
        assert (status, b"AccessDenied" in answer) == (400, True), answer
    assert len(cloud.client("sqs").list_queues()["QueueUrls"]) == 1


def test_a_request_is_of_the_service_it_is_signed_for(cloud: Cloud) -> None:  # noqa: F811
    cloud.client("s3").create_bucket(Bucket="letters")
    cloud.client("secretsmanager").create_secret(Name="code", SecretString="1234")
    body = b'{"SecretId":"code"}'
    headers = {
        "X-Amz-Target": "secretsmanager.GetSecretValue",
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest(),
    }
    status, answer = ask(cloud, "s3", "PUT", "/letters/a", body, headers)
    assert status == 200
    assert b"1234" not in answer
    assert cloud.client("s3").get_object(Bucket="letters", Key="a")["Body"].read() == body
    role = b"Action=AssumeRole&RoleArn=arn:aws:iam::000000000000:role/r&RoleSessionName=s&Version=2011-06-15"
    status, answer = ask(cloud, "sts", "POST", "/?Action=GetCallerIdentity&Version=2011-06-15", role, FORM)
    assert status >= 400
    assert b"AccessKeyId" not in answer
