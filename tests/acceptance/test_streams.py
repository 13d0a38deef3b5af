"""Kinesis and DynamoDB Streams fire functions, on both servers of an embedded cloud, through SIGKILLs of the engine."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
from botocore.config import Config

from jupyter_lambda.client import Admin

from .cloud import SERVERS, Cloud, cloud  # noqa: F401 - a fixture
from .engine import ROLE, RUNTIME, Engine, package

T = TypeVar("T")
REGION, ACCOUNT = "us-east-1", "000000000000"
#: Appends one line for each record to the file in SEEN, a batch in one write.
RECORDER = """
import base64, json, os
def handler(event, context):
    lines = []
    for record in event["Records"]:
        data = json.loads(base64.b64decode(record["kinesis"]["data"]))
        lines.append("%s %d\\n" % (data["k"], data["n"]))
    with open(os.environ["SEEN"], "ab", buffering=0) as file:
        file.write("".join(lines).encode())
    return {"count": len(lines)}
"""
PICKY = "assert all(record['kinesis']['partitionKey'] != 'poison' for record in event['Records'])"
_SERVERS = {
    # As in cloud.child: its threads change lists that they share.
    "moto": (
        "import sys; from moto.server import main; sys.setswitchinterval(0.05);"
        " sys.exit(main(['-H', '127.0.0.1', '-p', sys.argv[1]]))"
    ),
    "ministack": (
        "import os, sys; os.environ.update(GATEWAY_PORT=sys.argv[1], BIND_HOST='127.0.0.1', LOG_LEVEL='ERROR',"
        " TMPDIR=sys.argv[2], S3_DATA_DIR=sys.argv[2]); sys.argv[1:] = []; from ministack.app import main; main()"
    ),
}


class Outside:
    """A server that outlives the engine, and an engine that finds its cloud there."""

    def __init__(self, directory: Path, server: str) -> None:
        self.directory, self.server = directory, server
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-c", _SERVERS[server], str(port), str(directory)]
        with (directory / "server.out").open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=directory)
        self.until(self._answers, 60)
        options = ("--LambdaEngine.cloud=endpoint", f"--LambdaEngine.aws_endpoint_url={self.url}")
        self.engine = Engine(directory / "state", "process", *options)
        self.seen_path = directory / "seen"
        self.seen_path.touch()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=5):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            assert self.process.poll() is None, (self.directory / "server.out").read_text()[-2000:]
            return False

    def client(self, service: str) -> Any:
        """Of the server itself, or, for Lambda, of the engine."""
        keys = ("test", "test")
        url = self.url
        if service == "lambda":
            url, keys = self.connection.url, (self.connection.access_key, self.connection.secret_key)
        return boto3.client(
            service,
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id=keys[0],
            aws_secret_access_key=keys[1],
            config=Config(proxies={}, retries={"total_max_attempts": 2}),
        )

    def start(self) -> None:
        self.connection = self.engine.start()

    def deploy(self, name: str, source: str, **variables: str) -> None:
        self.client("lambda").create_function(
            FunctionName=name,
            Role=ROLE,
            Runtime=RUNTIME,
            Handler="app.handler",
            Timeout=60,
            Code={"ZipFile": package(source)},
            Environment={"Variables": {"SEEN": str(self.seen_path), **variables}},
        )

    def map(self, arn: str, function: str, **options: Any) -> str:
        """A mapping that is Enabled; its uuid."""
        aws = self.client("lambda")
        made = aws.create_event_source_mapping(EventSourceArn=arn, FunctionName=function, **options)
        uuid: str = made["UUID"]
        self.until(lambda: aws.get_event_source_mapping(UUID=uuid)["State"] == "Enabled", 20)
        return uuid

    def seen(self) -> list[tuple[str, int]]:
        lines = self.seen_path.read_text().splitlines()
        return [(key, int(number)) for key, number in (line.split() for line in lines)]

    def until(self, look: Callable[[], T], timeout_s: float, *, every_s: float = 0.05) -> T:
        """The first true answer of ``look``."""
        deadline = time.monotonic() + timeout_s
        while not (found := look()):
            assert time.monotonic() < deadline, "it did not come true"
            time.sleep(every_s)
        return found

    def close(self) -> None:
        if self.engine.process is not None and self.engine.process.poll() is None:
            self.engine.stop()
        self.process.kill()
        self.process.wait()


@pytest.fixture(params=SERVERS)
def outside(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outside]:
    outside = Outside(tmp_path, request.param)
    yield outside
    outside.close()


def put_all(outside: Outside, stream: str, records: list[tuple[str, int]]) -> None:
    """In order, five hundred at once."""
    kinesis = outside.client("kinesis")
    for at in range(0, len(records), 500):
        entries = [
            {"Data": json.dumps({"k": key, "n": number}).encode(), "PartitionKey": key}
            for key, number in records[at : at + 500]
        ]
        assert kinesis.put_records(StreamName=stream, Records=entries)["FailedRecordCount"] == 0


def size_of(path: Path) -> int:
    return path.stat().st_size


@pytest.mark.slow
@pytest.mark.timeout(480)
def test_100_000_records_in_order_through_20_kills(outside: Outside) -> None:
    count, keys, kills = 100_000, 64, 20
    outside.client("kinesis").create_stream(StreamName="clicks", ShardCount=4)
    outside.start()
    outside.deploy("count", RECORDER)
    arn = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/clicks"
    outside.map(arn, "count", StartingPosition="TRIM_HORIZON", BatchSize=500)
    records = [(f"key{n % keys}", n // keys) for n in range(count)]
    least = sum(len(f"{key} {number}\n") for key, number in records)
    producer = threading.Thread(target=put_all, args=(outside, "clicks", records))
    producer.start()
    draw = random.Random(20)
    began_s = time.monotonic()
    for _ in range(kills):
        before = size_of(outside.seen_path)
        outside.until(lambda: size_of(outside.seen_path) > before or not producer.is_alive(), 30)  # noqa: B023
        time.sleep(draw.uniform(0.0, 0.5))
        outside.engine.kill()
        outside.start()
    producer.join()
    outside.until(lambda: size_of(outside.seen_path) >= least and len(set(outside.seen())) == count, 240, every_s=0.5)
    took_s = time.monotonic() - began_s
    seen = outside.seen()
    first: dict[str, list[int]] = {}
    known: set[tuple[str, int]] = set()
    for key, number in seen:
        if (key, number) not in known:
            known.add((key, number))
            first.setdefault(key, []).append(number)
    for key, numbers in first.items():
        assert numbers == list(range(len(numbers))), f"{key} came out of order"
    assert len(known) == count
    repeated = len(seen) - count
    # A kill costs at most the batch of each shard that was in flight.
    assert repeated <= kills * 4 * 500, f"{repeated} of {count} records came again, in {took_s:.1f} s"


def test_a_table_s_changes_are_added_up(outside: Outside) -> None:
    dynamodb = outside.client("dynamodb")
    dynamodb.create_table(
        TableName="orders",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    arn = dynamodb.describe_table(TableName="orders")["Table"]["LatestStreamArn"]
    outside.start()
    # Adds what changed to one line of the file, as a table of totals would.
    outside.deploy(
        "totals",
        """
import json, os
def handler(event, context):
    with open(os.environ["SEEN"] + ".json", "a") as file:
        for record in event["Records"]:
            images = [record["dynamodb"].get(side, {}) for side in ("OldImage", "NewImage")]
            amounts = [int(image.get("amount", {}).get("N", "0")) for image in images]
            print(json.dumps([record["eventName"], *amounts, record]), file=file)
    return {"ok": True}
""",
    )
    outside.map(arn, "totals", StartingPosition="LATEST", BatchSize=10)
    for n in range(20):
        dynamodb.put_item(TableName="orders", Item={"id": {"S": f"o{n % 5}"}, "amount": {"N": str(n)}})
    dynamodb.delete_item(TableName="orders", Key={"id": {"S": "o0"}})
    path = Path(f"{outside.seen_path}.json")
    outside.until(lambda: path.exists() and len(path.read_text().splitlines()) >= 21, 30)
    changes = [json.loads(line) for line in path.read_text().splitlines()]
    assert [name for name, *_ in changes] == ["INSERT"] * 5 + ["MODIFY"] * 15 + ["REMOVE"]
    assert sum(after - before for _, before, after, _ in changes) == 16 + 17 + 18 + 19
    record = changes[5][3]
    assert record["eventSource"] == "aws:dynamodb"
    assert record["eventSourceARN"] == arn
    assert record["dynamodb"]["Keys"] == {"id": {"S": "o0"}}
    assert record["dynamodb"]["OldImage"] == {"id": {"S": "o0"}, "amount": {"N": "0"}}
    assert record["dynamodb"]["NewImage"] == {"id": {"S": "o0"}, "amount": {"N": "5"}}
    assert isinstance(record["dynamodb"]["ApproximateCreationDateTime"], float | int)
    invocations = Admin(outside.connection).invocations()
    assert {one["source"] for one in invocations["invocations"]} == {"dynamodb:orders"}


def test_a_poison_record_goes_to_its_queue(outside: Outside) -> None:
    kinesis, sqs = outside.client("kinesis"), outside.client("sqs")
    kinesis.create_stream(StreamName="clicks", ShardCount=1)
    queue = sqs.create_queue(QueueName="failed")["QueueUrl"]
    outside.start()
    outside.deploy("picky", RECORDER.replace("lines = []", "lines = []; " + PICKY))
    uuid = outside.map(
        f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/clicks",
        "picky",
        StartingPosition="LATEST",
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:sqs:{REGION}:{ACCOUNT}:failed"}},
        MetricsConfig={"Metrics": ["EventCount"]},
    )
    put_all(outside, "clicks", [("poison" if n == 13 else "k", n) for n in range(40)])
    message = outside.until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"), 30)[0]
    told = json.loads(message["Body"])
    assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert told["KinesisBatchInfo"]["batchSize"] == 1
    outside.until(lambda: {n for _, n in outside.seen()} == set(range(40)) - {13}, 30)
    aws = outside.client("lambda")
    # Paused, the position holds.
    aws.update_event_source_mapping(UUID=uuid, Enabled=False)
    outside.until(lambda: aws.get_event_source_mapping(UUID=uuid)["State"] == "Disabled", 20)
    put_all(outside, "clicks", [("k", n) for n in range(40, 50)])
    time.sleep(1.5)
    assert max(n for _, n in outside.seen()) == 39
    aws.update_event_source_mapping(UUID=uuid, Enabled=True)
    outside.until(lambda: {n for _, n in outside.seen()} == set(range(50)) - {13}, 30)
    state = aws.get_event_source_mapping(UUID=uuid)
    assert (state["State"], state["LastProcessingResult"]) == ("Enabled", "OK")
    aws.delete_event_source_mapping(UUID=uuid)
    outside.until(lambda: not aws.list_event_source_mappings()["EventSourceMappings"], 20)


def test_the_embedded_cloud_s_own_streams(cloud: Cloud, tmp_path: Path) -> None:  # noqa: F811
    """Through the engine's endpoint, and over a restart of engine and cloud where the cloud remembers."""
    path = tmp_path / "seen"
    path.touch()
    kinesis, aws = cloud.client("kinesis"), cloud.client("lambda")
    kinesis.create_stream(StreamName="steps", ShardCount=2)
    cloud.deploy("steps", RECORDER, Environment={"Variables": {"SEEN": str(path)}})
    arn = kinesis.describe_stream_summary(StreamName="steps")["StreamDescriptionSummary"]["StreamARN"]
    made = aws.create_event_source_mapping(EventSourceArn=arn, FunctionName="steps", StartingPosition="LATEST")
    uuid = made["UUID"]
    cloud.until(lambda: aws.get_event_source_mapping(UUID=uuid)["State"] == "Enabled")
    put_numbers(cloud, range(20))
    cloud.until(lambda: len(path.read_text().splitlines()) >= 20)
    if cloud.persists:
        assert cloud.stop() == 0
        cloud.start()
        put_numbers(cloud, range(20, 40))
        cloud.until(lambda: len(path.read_text().splitlines()) >= 40)
    numbers = [int(line.split()[1]) for line in path.read_text().splitlines()]
    assert sorted(numbers) == list(range(40 if cloud.persists else 20)), "once each"


def put_numbers(cloud: Cloud, numbers: range) -> None:  # noqa: F811
    entries = [{"Data": json.dumps({"k": f"k{n}", "n": n}).encode(), "PartitionKey": f"k{n}"} for n in numbers]
    cloud.client("kinesis").put_records(StreamName="steps", Records=entries)
