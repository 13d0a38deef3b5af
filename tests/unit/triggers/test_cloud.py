"""Homes, messages, and what the embedded cloud's process is given."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from jupyter_lambda.errors import ServiceUnavailableException
from jupyter_lambda.http1 import Request, Response, Server
from jupyter_lambda.model.arn import Account
from jupyter_lambda.triggers.cloud import embedded
from jupyter_lambda.triggers.cloud import host as cloud_host
from jupyter_lambda.triggers.cloud.child import Saver
from jupyter_lambda.triggers.cloud.homes import Address, Remote, scope_only
from jupyter_lambda.triggers.cloud.host import Cloud, CloudSettings
from jupyter_lambda.triggers.cloud.wire import Wire

ACCOUNT = Account("eu-central-1", "123456789012")


def cloud(tmp_path: Path, **settings: Any) -> Cloud:
    return Cloud(CloudSettings(**settings), ACCOUNT, tmp_path)


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "MODULES", {"ministack": ("no_such_module",)})


def test_auto_takes_what_is_named_then_what_is_installed(tmp_path: Path) -> None:
    assert cloud(tmp_path, endpoint_url="http://127.0.0.1:4566", profile="p").home == "endpoint"
    assert cloud(tmp_path, profile="p").home == "aws"
    assert cloud(tmp_path).home == "embedded"
    assert cloud(tmp_path).endpoint == "embedded (ministack)"
    assert cloud(tmp_path, server="moto").endpoint == "embedded (moto)"
    assert cloud(tmp_path, home="none").home == "none"


@pytest.mark.usefixtures("nothing_installed")
async def test_where_there_is_none_the_answer_says_what_to_do(tmp_path: Path) -> None:
    for chosen in ("auto", "embedded"):
        with pytest.raises(ServiceUnavailableException, match=r"pip install jupyter-lambda\[cloud\]"):
            await cloud(tmp_path, home=chosen).call("sqs", "ListQueues")
    assert cloud(tmp_path).endpoint is None
    assert cloud(tmp_path).status()["home"] == "none"
    with pytest.raises(ServiceUnavailableException, match="cloud = 'none'"):
        await cloud(tmp_path, home="none").call("sqs", "ListQueues")
    with pytest.raises(ServiceUnavailableException, match="aws_endpoint_url names none"):
        await cloud(tmp_path, home="endpoint").call("sqs", "ListQueues")


async def test_an_endpoint_gets_signed_requests_and_its_answers_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    seen: list[Request] = []

    async def answer(request: Request) -> Response:
        seen.append(request)
        if "Error" in request.body.decode():
            return Response(400, [], b'{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"none"}')
        return Response(200, [], json.dumps({"QueueUrl": "http://x/q"}).encode())

    server = Server(answer)
    host, port = await server.listen_tcp("127.0.0.1", 0)
    home = cloud(tmp_path, endpoint_url=f"http://{host}:{port}")
    found = await home.call("sqs", "GetQueueUrl", {"QueueName": "q"})
    assert found["QueueUrl"] == "http://x/q"
    headers = seen[0].headers
    assert headers["x-amz-target"] == "AmazonSQS.GetQueueUrl"
    assert headers["host"] == f"{host}:{port}"
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIATEST/")
    assert "/eu-central-1/sqs/aws4_request" in headers["authorization"]
    with pytest.raises(ClientError) as caught:
        await home.call("sqs", "GetQueueUrl", {"QueueName": "Error"})
    assert caught.value.response["Error"]["Code"].endswith("QueueDoesNotExist")
    with pytest.raises(ParamValidationError):
        await home.call("sqs", "GetQueueUrl", {"Wrong": 1})
    await home.close()
    await server.close()
    with pytest.raises(ServiceUnavailableException, match="does not answer"):
        await cloud(tmp_path, endpoint_url=f"http://{host}:{port}").call("sqs", "ListQueues")


async def test_a_long_poll_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def answer(request: Request) -> Response:
        while not request.connection.closed:
            await asyncio.sleep(0.01)
        gone.set()
        return Response(200)

    server = Server(answer)
    host, port = await server.listen_tcp("127.0.0.1", 0)
    home = cloud(tmp_path, endpoint_url=f"http://{host}:{port}")
    polling = asyncio.ensure_future(home.call("sqs", "ReceiveMessage", {"QueueUrl": "http://x/q"}))
    while not server.connections:
        await asyncio.sleep(0.01)
    polling.cancel()
    await asyncio.wait_for(gone.wait(), 5)
    with pytest.raises(asyncio.CancelledError):
        await polling
    await server.close()


def test_addresses() -> None:
    assert Address.parse("https://sqs.eu-central-1.amazonaws.com").netloc == "sqs.eu-central-1.amazonaws.com"
    assert Address.parse("http://localhost:4566/prefix/") == Address("http", "localhost", 4566, "/prefix")
    for wrong in ("localhost:4566", "ftp://x", "http://", ""):
        with pytest.raises(ValueError, match="not an address"):
            Address.parse(wrong)


async def test_aws_itself_is_found_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")  # this engine itself, as in a notebook
    remote = Remote("eu-central-1")
    assert (await remote.address("sqs")).netloc == "sqs.eu-central-1.amazonaws.com"
    assert (await remote.address("dynamodbstreams")).netloc == "streams.dynamodb.eu-central-1.amazonaws.com"


async def test_messages() -> None:
    s3 = Wire("s3")
    message = s3.write("PutObject", {"Bucket": "b-b", "Key": "a b/ü", "Body": b"x", "Metadata": {"m": "1"}})
    assert (message.method, message.path, message.body) == ("PUT", "/b-b/a%20b/%C3%BC", b"x")
    assert message.headers["x-amz-meta-m"] == "1"
    listed = s3.write("ListObjectsV2", {"Bucket": "b-b", "Prefix": "a/b"})
    assert listed.target == "/b-b?list-type=2&prefix=a%2Fb"
    removed = s3.write("DeleteObjects", {"Bucket": "b-b", "Delete": {"Objects": [{"Key": "a"}]}})
    assert "Content-MD5" in removed.headers, "S3 wants a checksum here"
    assert (await s3.read("GetObject", 200, {"Content-Length": "2"}, b"\xd0\xff"))["Body"] == b"\xd0\xff"
    with pytest.raises(ClientError) as caught:
        await s3.read("GetObject", 404, {}, b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>")
    assert caught.value.response["Error"]["Code"] == "NoSuchKey"
    sns = Wire("sns").write("Publish", {"TopicArn": "arn:t", "Message": "a&b"})
    assert b"Action=Publish" in sns.body
    assert b"Message=a%26b" in sns.body
    assert sns.headers["Content-Type"].startswith("application/x-www-form-urlencoded")
    tokens = {json.loads(Wire("secretsmanager").write("CreateSecret", {"Name": "n"}).body)["ClientRequestToken"]}
    assert len(tokens.pop()) == 36, "botocore's clients fill in idempotency tokens"


def test_the_servers_process_is_given_nothing_of_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "AWS_PROFILE",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "MINISTACK_HOST",
        "HTTPS_PROXY",
        "API_KEY",
    ):
        monkeypatch.setenv(name, "the user's")
    monkeypatch.setenv("DOCKER_HOST", "unix:///var/run/docker.sock")
    given = embedded.environment(tmp_path, ACCOUNT)
    assert "the user's" not in given.values()
    assert given["DOCKER_HOST"] == f"unix://{tmp_path}/no-docker.sock", "it would look for containers to remove"
    assert given["MINISTACK_ACCOUNT_ID"] == given["MOTO_ACCOUNT_ID"] == "123456789012"
    assert not {"lambda", "stepfunctions", "codebuild", "ecs", "ec2"} & set(given["SERVICES"].split(","))


def test_the_embedded_cloud_reads_account_and_region_in_the_scope() -> None:
    told = scope_only("123456789012", "eu-central-1", "sqs", "20261125")
    assert "Credential=123456789012/20261125/eu-central-1/sqs/aws4_request, SignedHeaders=host" in told


async def test_state_is_saved_soon_after_a_change_and_not_more_often_than_it_is_worth() -> None:
    now_s, saved, took_s = 0.0, 0, 1.0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        return None

    def save() -> None:
        nonlocal saved, now_s
        saved, now_s = saved + 1, now_s + took_s

    saver = Saver(app, save, clock=lambda: now_s)

    async def request(method: str, target: bytes = b"") -> None:
        await saver({"type": "http", "method": method, "headers": [(b"x-amz-target", target)]}, None, None)

    await request("GET")
    await request("POST", b"DynamoDB_20120810.GetItem")
    saver.look()
    assert saved == 0, "nothing has changed"
    await request("POST", b"AmazonSQS.SendMessage")
    saver.look()
    assert saved == 1
    await request("PUT")
    now_s += 10
    saver.look()
    assert saved == 1, "saving took a second: not again within twenty"
    now_s += 20
    saver.look()
    assert saved == 2


def test_the_preferred_server_is_ministack() -> None:
    assert embedded.installed() == "ministack"
    assert embedded.installed("moto") == "moto"
    assert embedded.installed("other") is None
    assert cloud_host.installed is embedded.installed
