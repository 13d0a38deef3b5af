"""DynamoDB streams: events as AWS has them, where LATEST begins, pages of shards."""

# ruff: noqa: N802, N803 - the operations and members of AWS

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from jupyter_lambda.triggers.mappings.streams.dynamodb import DynamoDbSource
from jupyter_lambda.triggers.mappings.streams.source import Shard, Start

ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-01T00:00:00.000"


class FakeStreams:
    """Two shards, a page each; records of the second one."""

    def __init__(self, records: int) -> None:
        self.records = [{"dynamodb": {"SequenceNumber": str(100 + n)}} for n in range(records)]
        self.closed = False

    async def call(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        assert service == "dynamodbstreams"
        found: dict[str, Any] = getattr(self, f"_{operation}")(**params)
        return found

    def _DescribeStream(self, StreamArn, ExclusiveStartShardId=None, Limit=None):
        first = {"ShardId": "a", "SequenceNumberRange": {"StartingSequenceNumber": "1", "EndingSequenceNumber": "9"}}
        second = {"ShardId": "b", "ParentShardId": "a", "SequenceNumberRange": {"StartingSequenceNumber": "100"}}
        described: dict[str, Any] = {"StreamArn": StreamArn, "StreamLabel": "2026-01-01T00:00:00.000"}
        if ExclusiveStartShardId is None:
            described |= {"Shards": [first], "LastEvaluatedShardId": "a"}
        else:
            described |= {"Shards": [second]}
        return {"StreamDescription": described}

    def _GetShardIterator(self, StreamArn, ShardId, ShardIteratorType, SequenceNumber="0"):
        after = int(SequenceNumber) if ShardIteratorType == "AFTER_SEQUENCE_NUMBER" else 0
        place = sum(int(one["dynamodb"]["SequenceNumber"]) <= after for one in self.records)
        return {"ShardIterator": str(place)}

    def _GetRecords(self, ShardIterator, Limit):
        place = int(ShardIterator)
        page = self.records[place : place + min(Limit, 4)]
        answer: dict[str, Any] = {"Records": page}
        if page or not self.closed:
            answer["NextShardIterator"] = str(place + len(page))
        return answer


def source(records: int = 0) -> tuple[DynamoDbSource, FakeStreams]:
    cloud = FakeStreams(records)
    context: Any = SimpleNamespace(cloud=cloud, mapping=SimpleNamespace(source_arn=ARN), region="us-east-1")
    return DynamoDbSource(context), cloud


async def test_all_pages_of_shards():
    stream, _ = source()
    assert await stream.shards() == [Shard("a", (), True), Shard("b", ("a",), False)]
    described = await stream.describe()
    assert (described.incarnation, described.retention_s) == ("2026-01-01T00:00:00.000", 86_400.0)


async def test_the_tip_is_after_the_last_record_or_the_horizon_of_an_empty_shard():
    assert await source(0)[0].tip("b") == Start("TRIM_HORIZON")
    assert await source(11)[0].tip("b") == Start("AFTER_SEQUENCE_NUMBER", sequence="110")


async def test_an_empty_page_is_the_tip_and_a_closed_shard_ends():
    stream, cloud = source(2)
    page = await stream.read(await stream.iterator("b", Start("TRIM_HORIZON")), 1000)
    assert (len(page.records), page.at_tip) == (2, False)
    page = await stream.read(page.next_iterator, 1000)
    assert (page.records, page.at_tip, page.next_iterator) == ([], True, "2")
    cloud.closed = True
    assert (await stream.read("2", 1000)).next_iterator is None


def test_the_event_is_aws_s():
    """Recorded: eventVersion 1.1, binary values in base64; "userIdentity" of what time to live deletes."""
    raw = {
        "eventID": "e1",
        "eventName": "REMOVE",
        "eventVersion": "1.0",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-west-1",
        "userIdentity": {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"},
        "dynamodb": {
            "ApproximateCreationDateTime": datetime(2026, 1, 1, tzinfo=UTC),
            "Keys": {"id": {"S": "o1"}},
            "OldImage": {
                "id": {"S": "o1"},
                "b": {"B": b"foobar"},
                "bs": {"BS": [b"a", b"b"]},
                "l": {"L": [{"N": "1"}]},
            },
            "SequenceNumber": "111",
            "SizeBytes": 70,
            "StreamViewType": "OLD_IMAGE",
        },
    }
    stream, _ = source()
    event = stream.event("b", raw, "role")
    assert json.loads(json.dumps(event)) == {
        "eventID": "e1",
        "eventName": "REMOVE",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_767_225_600.0,
            "Keys": {"id": {"S": "o1"}},
            "OldImage": {
                "id": {"S": "o1"},
                "b": {"B": "Zm9vYmFy"},
                "bs": {"BS": ["YQ==", "Yg=="]},
                "l": {"L": [{"N": "1"}]},
            },
            "SequenceNumber": "111",
            "SizeBytes": 70,
            "StreamViewType": "OLD_IMAGE",
        },
        "eventSourceARN": ARN,
        "userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"},
    }
    assert stream.key(raw) == '{"id": {"S": "o1"}}'
    assert stream.arrived_s(raw) == 1_767_225_600.0
