"""SQS queues fire functions, on both servers of an embedded cloud, and through SIGKILLs of the engine."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import defaultdict
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .cloud import Cloud, cloud  # noqa: F401 - a fixture
from .test_streams import ACCOUNT, REGION, Outside, outside  # noqa: F401 - a fixture

pytestmark = pytest.mark.timeout(240)

#: Fails messages that say so, the first time they come.
PICKY = """
import json
def handler(event, context):
    failed = []
    for record in event["Records"]:
        first = record["attributes"]["ApproximateReceiveCount"] == "1"
        if record["body"].startswith("bad") and (first or record["body"] == "bad for ever"):
            failed.append({"itemIdentifier": record["messageId"]})
        print("DONE" if not failed else "FAILED", record["body"])
    return {"batchItemFailures": failed}
"""
#: Appends a line for each message: group and number.
RECORDER = """
import json, os, time
def handler(event, context):
    lines = []
    for record in event["Records"]:
        lines.append("%s %s\\n" % (record["attributes"].get("MessageGroupId", "-"), record["body"]))
    with open(os.environ["SEEN"], "ab", buffering=0) as file:
        file.write("".join(lines).encode())
"""
#: Appends a line for each object.
OBJECTS = """
import os
from urllib.parse import unquote_plus
def handler(event, context):
    for record in event["Records"]:
        with open(os.environ["SEEN"], "ab", buffering=0) as file:
            file.write(b"s3 " + unquote_plus(record["s3"]["object"]["key"]).encode() + b"\\n")
"""


def queue(cloud: Cloud, name: str, **attributes: str) -> tuple[str, str]:  # noqa: F811
    url = cloud.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def lines(cloud: Cloud, function: str) -> list[str]:  # noqa: F811
    from jupyter_lambda.client import Admin

    return [line["message"].strip() for line in Admin(cloud.connection).logs(function)]


def enabled(cloud: Cloud, **options: Any) -> str:  # noqa: F811
    aws = cloud.client("lambda")
    uuid: str = aws.create_event_source_mapping(**options)["UUID"]
    cloud.until(lambda: aws.get_event_source_mapping(UUID=uuid)["State"] == "Enabled")
    return uuid


def test_failed_messages_come_again_and_in_the_end_go_to_the_dead_letter_queue(cloud: Cloud) -> None:  # noqa: F811
    sqs = cloud.client("sqs")
    dead, dead_arn = queue(cloud, "dead")
    policy = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2})
    url, arn = queue(cloud, "work", VisibilityTimeout="2", RedrivePolicy=policy)
    cloud.deploy("picky", PICKY, Timeout=2)
    sqs.send_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": str(at), "MessageBody": body}
            for at, body in enumerate(["good 1", "bad once", "good 2", "bad for ever", "good 3"])
        ],
    )
    uuid = enabled(
        cloud,
        FunctionName="picky",
        EventSourceArn=arn,
        BatchSize=5,
        MaximumBatchingWindowInSeconds=1,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    messages = cloud.until(
        lambda: sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=1, AttributeNames=["All"]).get("Messages")
    )
    assert [one["Body"] for one in messages] == ["bad for ever"]
    cloud.until(lambda: [line for line in lines(cloud, "picky") if line == "DONE bad once"])
    mapping = cloud.client("lambda").get_event_source_mapping(UUID=uuid)
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["StateTransitionReason"] == "USER_INITIATED"
    depth = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert depth["ApproximateNumberOfMessages"] == "0"
    assert depth["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_a_paused_mapping_keeps_its_messages_in_the_queue(cloud: Cloud) -> None:  # noqa: F811
    aws, sqs = cloud.client("lambda"), cloud.client("sqs")
    url, arn = queue(cloud, "paused")
    cloud.deploy("patient", PICKY, Timeout=3)
    uuid = enabled(cloud, FunctionName="patient", EventSourceArn=arn)
    aws.update_event_source_mapping(UUID=uuid, Enabled=False)
    cloud.until(lambda: aws.get_event_source_mapping(UUID=uuid)["State"] == "Disabled")
    sqs.send_message(QueueUrl=url, MessageBody="later")
    time.sleep(1)
    waiting = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert waiting["ApproximateNumberOfMessages"] == "1"
    aws.update_event_source_mapping(UUID=uuid, Enabled=True)
    cloud.until(lambda: "DONE later" in lines(cloud, "patient"))
    aws.delete_event_source_mapping(UUID=uuid)
    sqs.delete_queue(QueueUrl=url)


def test_a_queue_that_is_not_there_is_said_at_once_and_one_that_goes_is_told(cloud: Cloud) -> None:  # noqa: F811
    aws = cloud.client("lambda")
    cloud.deploy("lonely", PICKY, Timeout=3)
    with pytest.raises(ClientError, match="does not exist"):
        aws.create_event_source_mapping(FunctionName="lonely", EventSourceArn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:nowhere")
    url, arn = queue(cloud, "fleeting", VisibilityTimeout="2")
    with pytest.raises(ClientError, match="Queue visibility timeout: 2 seconds is less than Function timeout: 3"):
        aws.create_event_source_mapping(FunctionName="lonely", EventSourceArn=arn)
    cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "30"})
    uuid = enabled(cloud, FunctionName="lonely", EventSourceArn=arn)
    cloud.client("sqs").delete_queue(QueueUrl=url)
    told = cloud.until(
        lambda: [
            reason
            for reason in [aws.get_event_source_mapping(UUID=uuid)["StateTransitionReason"]]
            if "does not exist" in reason
        ]
    )
    assert told == [f"PROBLEM: the queue {arn} does not exist"]
    url, _ = queue(cloud, "fleeting")
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="back")
    cloud.until(lambda: "DONE back" in lines(cloud, "lonely"))
    aws.delete_event_source_mapping(UUID=uuid)


def test_groups_of_a_fifo_queue_keep_their_order(cloud: Cloud, tmp_path: Any) -> None:  # noqa: F811
    sqs = cloud.client("sqs")
    url, arn = queue(cloud, "ordered.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    seen = tmp_path / "seen"
    seen.touch()
    cloud.deploy("orderly", RECORDER, Timeout=20, Environment={"Variables": {"SEEN": str(seen)}})
    for at in range(0, 100, 10):
        sqs.send_message_batch(
            QueueUrl=url,
            Entries=[{"Id": str(n), "MessageBody": str(n), "MessageGroupId": f"g{n % 4}"} for n in range(at, at + 10)],
        )
    enabled(cloud, FunctionName="orderly", EventSourceArn=arn, BatchSize=3)
    found = cloud.until(lambda: len(seen.read_text().splitlines()) >= 100 and seen.read_text().splitlines())
    _in_order(found, {f"g{n}": list(range(n, 100, 4)) for n in range(4)})


def _in_order(found: list[str], expected: dict[str, list[int]]) -> None:
    """Every group's messages came for the first time in their order, and all of them came."""
    firsts: dict[str, dict[int, None]] = defaultdict(dict)
    for line in found:
        group, number = line.split()
        firsts[group][int(number)] = None
    assert {group: list(numbers) for group, numbers in firsts.items()} == expected


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_is_lost_and_groups_keep_their_order_through_twenty_kills(outside: Outside) -> None:  # noqa: F811
    outside.start()
    sqs, s3 = outside.client("sqs"), outside.client("s3")
    visibility = {"VisibilityTimeout": "3"}
    plain = sqs.create_queue(QueueName="plain", Attributes=visibility)["QueueUrl"]
    fifo = sqs.create_queue(QueueName="ordered.fifo", Attributes={"FifoQueue": "true", **visibility})["QueueUrl"]
    outside.deploy("recorder", RECORDER)
    outside.client("lambda").update_function_configuration(FunctionName="recorder", Timeout=3)
    outside.deploy("objects", OBJECTS)
    outside.client("lambda").add_permission(
        FunctionName="objects", StatementId="s3", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com"
    )
    s3.create_bucket(Bucket="things")
    through_engine(outside, "s3").put_bucket_notification_configuration(
        Bucket="things",
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [
                {
                    "LambdaFunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:objects",
                    "Events": ["s3:ObjectCreated:*"],
                }
            ]
        },
    )
    for name in ("plain", "ordered.fifo"):
        outside.map(f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}", "recorder", BatchSize=5)
    total, groups, objects = 250, 5, 50
    sending = threading.Thread(target=_send, args=(sqs, s3, plain, fifo, total, groups, objects))
    sending.start()
    draw = random.Random(7)
    for _ in range(20):
        time.sleep(draw.uniform(0.2, 1.0))
        outside.engine.kill()
        outside.start()
    sending.join()
    expected = {("-", str(n)) for n in range(total)} | {(f"g{n % groups}", str(n)) for n in range(total)}
    expected |= {("s3", f"o {n}") for n in range(objects)}

    def seen() -> list[tuple[str, str]]:
        text = outside.seen_path.read_text().splitlines()
        return [(line.partition(" ")[0], line.partition(" ")[2]) for line in text]

    outside.until(lambda: expected <= set(seen()), 120)
    _in_order(
        [f"{group} {number}" for group, number in seen() if group.startswith("g")],
        {f"g{g}": list(range(g, total, groups)) for g in range(groups)},
    )
    assert set(seen()) == expected


def _send(sqs: Any, s3: Any, plain: str, fifo: str, total: int, groups: int, objects: int) -> None:
    """Messages and objects over some ten seconds."""
    for at in range(0, total, 10):
        numbers = range(at, at + 10)
        sqs.send_message_batch(QueueUrl=plain, Entries=[{"Id": str(n), "MessageBody": str(n)} for n in numbers])
        sqs.send_message_batch(
            QueueUrl=fifo,
            Entries=[
                {
                    "Id": str(n),
                    "MessageBody": str(n),
                    "MessageGroupId": f"g{n % groups}",
                    "MessageDeduplicationId": str(n),
                }
                for n in numbers
            ],
        )
        for n in range(at * objects // total, (at + 10) * objects // total):
            s3.put_object(Bucket="things", Key=f"o {n}", Body=b"x")
        time.sleep(0.25)


def through_engine(outside: Outside, service: str) -> Any:  # noqa: F811
    """A client of the engine's endpoint."""
    import boto3
    from botocore.config import Config

    connection = outside.connection
    return boto3.client(
        service,
        endpoint_url=connection.url,
        region_name=connection.region,
        aws_access_key_id=connection.access_key,
        aws_secret_access_key=connection.secret_key,
        config=Config(proxies={}),
    )
