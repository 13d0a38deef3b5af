"""Rules and schedules reach queues, topics and streams of the embedded cloud, with both implementations."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from .cloud import Cloud, cloud  # noqa: F401 - a fixture

pytestmark = pytest.mark.timeout(180)

ROLE = "arn:aws:iam::000000000000:role/r"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:"


def bodies(sqs: Any, url: str, count: int) -> list[Any]:
    """The bodies of so many messages."""
    found: list[Any] = []
    for _ in range(20):
        for message in sqs.receive_message(
            QueueUrl=url, WaitTimeSeconds=2, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages", []):
            found.append((json.loads(message["Body"]), message.get("MessageAttributes", {})))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        if len(found) >= count:
            return found
    raise AssertionError(f"{len(found)} of {count} messages: {found}")


def test_rules_and_schedules_beyond_functions(cloud: Cloud) -> None:  # noqa: F811
    sqs, sns, kinesis = cloud.client("sqs"), cloud.client("sns"), cloud.client("kinesis")
    events, scheduler = cloud.client("events"), cloud.client("scheduler")
    jobs = sqs.create_queue(QueueName="jobs")["QueueUrl"]
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    topic = sns.create_topic(Name="news")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"{QUEUE}jobs")
    kinesis.create_stream(StreamName="clicks", ShardCount=1)
    cloud.until(
        lambda: (
            kinesis.describe_stream_summary(StreamName="clicks")["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE"
        )
    )

    # A rule, to a queue, a topic, a stream, and a queue that isn't there.
    events.put_rule(Name="orders", EventPattern='{"source":["shop"]}')
    template = {"InputPathsMap": {"n": "$.detail.n"}, "InputTemplate": '{"queued": <n>}'}
    stream = "arn:aws:kinesis:us-east-1:000000000000:stream/clicks"
    events.put_targets(
        Rule="orders",
        Targets=[
            {"Id": "queue", "Arn": f"{QUEUE}jobs", "InputTransformer": template},
            {"Id": "topic", "Arn": topic, "InputPath": "$.detail"},
            {"Id": "stream", "Arn": stream, "KinesisParameters": {"PartitionKeyPath": "$.detail.n"}},
            {"Id": "none", "Arn": f"{QUEUE}none", "DeadLetterConfig": {"Arn": f"{QUEUE}dead"}},
        ],
    )
    answer = events.put_events(Entries=[{"Source": "shop", "DetailType": "order", "Detail": '{"n": 7}'}])
    assert answer["FailedEntryCount"] == 0
    got = [body for body, _ in bodies(sqs, jobs, 2)]
    assert {"queued": 7} in got
    assert [json.loads(body["Message"]) for body in got if "Message" in body] == [{"n": 7}]
    iterator = kinesis.get_shard_iterator(
        StreamName="clicks", ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records: list[Any] = []
    cloud.until(lambda: records.extend(kinesis.get_records(ShardIterator=iterator)["Records"]) or bool(records))
    assert json.loads(records[0]["Data"])["detail"] == {"n": 7}
    assert records[0]["PartitionKey"] == "7"
    [(event, attributes)] = bodies(sqs, dead, 1)
    assert event["detail"] == {"n": 7}
    assert attributes["TARGET_ARN"]["StringValue"] == f"{QUEUE}none"
    assert (
        "NonExistent" in attributes["ERROR_CODE"]["StringValue"]
        or "NotExist" in attributes["ERROR_CODE"]["StringValue"]
    )

    # A one-time schedule, to a queue, and gone.
    at = datetime.now(UTC) + timedelta(seconds=2)
    scheduler.create_schedule(
        Name="once",
        ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target={"Arn": f"{QUEUE}jobs", "RoleArn": ROLE, "Input": '{"at":"<aws.scheduler.scheduled-time>"}'},
    )
    assert bodies(sqs, jobs, 1)[0][0] == {"at": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
    assert scheduler.list_schedules()["Schedules"] == []
