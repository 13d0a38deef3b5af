"""The embedded cloud's life: watched while the engine runs, gone when the engine is, its data there again."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_lambda.client import Admin
from jupyter_lambda.connection import alive

from .cloud import SERVERS, Cloud

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(params=SERVERS)
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cloud]:
    """An engine of the test's own."""
    cloud = Cloud(tmp_path, request.param)
    yield cloud
    if cloud.engine.process is not None and cloud.engine.process.poll() is None:
        assert cloud.stop() == 0, cloud.engine.output[-3000:]


def status(cloud: Cloud) -> Any:
    found: Any = Admin(cloud.connection).status()
    return found["triggers"]["cloud"]


def test_it_is_started_when_needed_watched_and_started_again(cloud: Cloud) -> None:
    assert "not started" in status(cloud)["state"]
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="first-use")
    first = status(cloud)
    assert (first["state"], first["restarts"]) == ("ready", 0)
    os.kill(first["process"], signal.SIGKILL)
    cloud.until(lambda: status(cloud).get("restarts") == 1)
    assert "the embedded cloud" in cloud.engine.output
    assert "has stopped: it ended with code -9. It starts again" in cloud.engine.output
    s3.create_bucket(Bucket="second-use")  # waits until it is back
    assert status(cloud)["process"] != first["process"]


def test_it_ends_with_the_engine_and_its_data_is_there_again(cloud: Cloud) -> None:
    s3, sqs, tables = (cloud.client(name) for name in ("s3", "sqs", "dynamodb"))
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="a/b", Body=b"object")
    queue = sqs.create_queue(QueueName="kept")["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="message")
    tables.create_table(
        TableName="kept",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for turn, end in enumerate((cloud.kill, cloud.stop)):
        tables.put_item(TableName="kept", Item={"id": {"S": str(turn)}})
        process = status(cloud)["process"]
        end()
        cloud.until(lambda process=process: not alive(process))
        cloud.start()
        s3, sqs, tables = (cloud.client(name) for name in ("s3", "sqs", "dynamodb"))
        if not cloud.persists:
            assert s3.list_buckets()["Buckets"] == []
            return
        assert tables.get_item(TableName="kept", Key={"id": {"S": str(turn)}})["Item"]
        assert s3.get_object(Bucket="kept", Key="a/b")["Body"].read() == b"object"
    queue = sqs.get_queue_url(QueueName="kept")["QueueUrl"]
    assert sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=2)["Messages"][0]["Body"] == "message"


def test_what_a_kill_of_the_server_itself_costs_is_bounded(cloud: Cloud) -> None:
    if not cloud.persists:
        pytest.skip("moto keeps nothing")
    sqs = cloud.client("sqs")
    queue = sqs.create_queue(QueueName="kept")["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="old")
    saved = cloud.engine.state_dir / "cloud" / "ministack" / "state" / "sqs.json"
    cloud.until(lambda: saved.exists() and "old" in saved.read_text())
    os.kill(status(cloud)["process"], signal.SIGKILL)
    assert sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"][0]["Body"] == "old"


def test_it_listens_on_no_port_and_its_socket_is_the_owners_alone(cloud: Cloud) -> None:
    cloud.client("s3").list_buckets()
    process = status(cloud)["process"]
    inodes = {str(one.readlink()) for one in Path(f"/proc/{process}/fd").iterdir()}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
            assert f"socket:[{line.split()[9]}]" not in inodes, f"a {table} socket: {line}"
    directory = cloud.engine.state_dir / "cloud" / cloud.server
    assert directory.stat().st_mode & 0o077 == 0
    [path] = directory.glob("*.sock")
    assert path.stat().st_mode & 0o077 == 0


def test_nothing_but_its_operations_is_reached_through_the_engine(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="stays")
    for path in ("/_ministack/reset", "/_localstack/health", "/moto-api/reset", "/stays/../_ministack/reset"):
        assert signed_for_s3(cloud, "POST", path) == "AccessDenied"
    assert signed_for_s3(cloud, "GET", "/2015-03-31/functions/") == "NoSuchBucket"
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["stays"]


def signed_for_s3(cloud: Cloud, method: str, path: str) -> str:
    """The error code of one request signed for S3, whatever its path."""
    from http.client import HTTPConnection

    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    connection = cloud.connection
    request = AWSRequest(method, connection.url + path, data=b"")
    S3SigV4Auth(Credentials(connection.access_key, connection.secret_key), "s3", connection.region).add_auth(request)
    wire = HTTPConnection(*connection.host_port, timeout=30)
    try:
        wire.request(method, path, b"", dict(request.headers.items()))  # the path as it stands
        return wire.getresponse().read().decode().partition("<Code>")[2].partition("</Code>")[0]
    finally:
        wire.close()


def test_a_function_finishes_its_work_with_the_cloud_while_the_engine_stops(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path, "ministack")
    cloud.client("s3").create_bucket(Bucket="last-words")
    code = "import boto3, time\ndef handler(event, context):\n    s3 = boto3.client('s3')\n    time.sleep(1.5)\n"
    cloud.deploy("slow", code + "    s3.put_object(Bucket='last-words', Key='k', Body=b'done')\n", MemorySize=512)
    cloud.client("lambda").invoke(FunctionName="slow", InvocationType="Event", Payload=b"{}")
    cloud.until(lambda: Admin(cloud.connection).status()["running"] == 1)
    assert cloud.stop() == 0
    cloud.start()
    assert cloud.client("s3").get_object(Bucket="last-words", Key="k")["Body"].read() == b"done"
    assert cloud.stop() == 0


def test_where_there_is_no_cloud_each_service_says_so_in_its_own_way(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path, "auto", home="none")
    for name, operation in (("s3", "list_buckets"), ("sqs", "list_queues"), ("sns", "list_topics")):
        client = cloud.client(name)
        with pytest.raises(client.exceptions.ClientError, match="this engine has no cloud") as caught:
            getattr(client, operation)()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert status(cloud)["home"] == "none"
    assert cloud.stop() == 0


def test_another_endpoint_gets_requests_signed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint is another engine's, which verifies each signature as AWS does."""
    for name in "ab":
        (tmp_path / name).mkdir()
    there = Cloud(tmp_path / "a", "ministack")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", there.connection.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", there.connection.secret_key)
    url = f"--LambdaEngine.aws_endpoint_url={there.connection.url}"
    here = Cloud(tmp_path / "b", "ministack", url, home="endpoint")
    try:
        s3, sqs = here.client("s3"), here.client("sqs")
        s3.create_bucket(Bucket="elsewhere")
        data = os.urandom(3_000_000)
        s3.put_object(Bucket="elsewhere", Key="a b/ü", Body=data)
        assert there.client("s3").get_object(Bucket="elsewhere", Key="a b/ü")["Body"].read() == data
        assert s3.get_object(Bucket="elsewhere", Key="a b/ü", Range="bytes=0-9")["Body"].read() == data[:10]
        queue = sqs.create_queue(QueueName="elsewhere")["QueueUrl"]
        arn = "arn:aws:sqs:us-east-1:000000000000:elsewhere"
        here.deploy("teller", "def handler(event, context): return event\n")
        here.client("lambda").put_function_event_invoke_config(
            FunctionName="teller", DestinationConfig={"OnSuccess": {"Destination": arn}}
        )
        here.client("lambda").invoke(FunctionName="teller", InvocationType="Event", Payload=b"7")
        [told] = here.until(lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5).get("Messages"))
        assert json.loads(told["Body"])["responsePayload"] == 7
        assert status(here) == {"home": "endpoint", "at": there.connection.url}
    finally:
        assert here.stop() == 0
        assert there.stop() == 0


CODE = """
import boto3, os, socket, urllib.request
def handler(event, context):
    s3, tables = boto3.client("s3"), boto3.client("dynamodb")
    s3.put_object(Bucket="from-inside", Key=context.function_name, Body=b"x" * 20_000_000)
    size = s3.head_object(Bucket="from-inside", Key=context.function_name)["ContentLength"]
    tables.put_item(TableName="from-inside", Item={"id": {"S": context.function_name}})
    open_ports = []
    for host, port in event:
        try:
            socket.create_connection((host, port), timeout=1).close()
            open_ports.append([host, port])
        except OSError:
            pass
    return [size, open_ports, [n for n in os.listdir("/") if n == "cloud"]]
"""


@pytest.mark.docker
@pytest.mark.slow
def test_containers_use_it_through_the_engine_alone(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path, "ministack", driver="docker")
    try:
        cloud.client("s3").create_bucket(Bucket="from-inside")
        cloud.client("dynamodb").create_table(
            TableName="from-inside",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        port = int(cloud.connection.url.rpartition(":")[2])
        gateway = socket.gethostbyname(socket.gethostname())
        targets = json.dumps([[gateway, port], ["172.17.0.1", port], ["172.17.0.1", 4566], ["172.18.0.1", port]])
        for network in ("none", "egress"):
            name, functions = f"inside-{network}", cloud.client("lambda")
            functions.meta.events.register(
                "before-call.lambda.CreateFunction",
                lambda params, network=network, **_: params["headers"].update({"X-Jupyter-Lambda-Network": network}),
            )
            cloud.deploy(name, CODE, MemorySize=512)
            answer = json.loads(functions.invoke(FunctionName=name, Payload=targets)["Payload"].read())
            assert answer == [20_000_000, [], []], answer
        items = cloud.client("dynamodb").scan(TableName="from-inside")["Items"]
        assert {item["id"]["S"] for item in items} == {"inside-none", "inside-egress"}
    finally:
        assert cloud.stop() == 0, cloud.engine.output[-3000:]
