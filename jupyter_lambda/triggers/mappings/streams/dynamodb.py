"""DynamoDB streams. Source: Amazon DynamoDB Streams API Reference; AWS Lambda Developer Guide, "DynamoDB"."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jupyter_lambda.triggers.mappings.context import Context, SourceProblem

from .source import Page, Shard, Start, Stream, listed_shard, seconds

#: Seconds for which a stream keeps its records.
RETENTION_S = 24 * 3600.0


class DynamoDbSource:
    """One stream of a table."""

    batch_info = "DDBStreamBatchInfo"
    page_max = 1_000
    idle_s = (0.1, 0.25)

    def __init__(self, context: Context) -> None:
        self._cloud = context.cloud
        self._arn = context.mapping.source_arn
        self._region = context.region

    async def describe(self) -> Stream:
        """A stream that is disabled is read to its end. Its ARN has its time in it: no other stream gets the same."""
        answer = await self._call("DescribeStream", {"StreamArn": self._arn, "Limit": 1})
        described = answer["StreamDescription"]
        if described.get("StreamArn", self._arn) != self._arn:
            raise SourceProblem(f"the table has another stream now: {described['StreamArn']}")
        return Stream(str(described.get("StreamLabel", "")), RETENTION_S)

    async def shards(self) -> list[Shard]:
        """By DescribeStream."""
        found: list[Shard] = []
        params: dict[str, Any] = {"StreamArn": self._arn}
        while True:
            described = (await self._call("DescribeStream", params))["StreamDescription"]
            found += [listed_shard(one) for one in described.get("Shards", ())]
            last = described.get("LastEvaluatedShardId")
            if not last:
                return found
            params["ExclusiveStartShardId"] = last

    async def iterator(self, shard_id: str, start: Start) -> str:
        """By GetShardIterator, which knows no timestamps."""
        params = {"StreamArn": self._arn, "ShardId": shard_id, "ShardIteratorType": start.at}
        if start.at == "AFTER_SEQUENCE_NUMBER":
            params["SequenceNumber"] = start.sequence
        return str((await self._call("GetShardIterator", params))["ShardIterator"])

    async def read(self, iterator: str, limit: int) -> Page:
        """By GetRecords. The service doesn't tell how far behind a read is: an empty page is the tip."""
        answer = await self._call("GetRecords", {"ShardIterator": iterator, "Limit": limit})
        records = answer.get("Records", ())
        return Page(records, answer.get("NextShardIterator"), not records)

    async def tip(self, shard_id: str) -> Start:
        """After the last record. An open shard is hours old at most; it is read through once, for an iterator of type
        LATEST would not survive the engine."""
        start = Start("TRIM_HORIZON")
        iterator: str | None = await self.iterator(shard_id, start)
        while iterator is not None:
            page = await self.read(iterator, self.page_max)
            if not page.records:
                break
            start = Start("AFTER_SEQUENCE_NUMBER", sequence=self.sequence(page.records[-1]))
            iterator = page.next_iterator
        return start

    def sequence(self, raw: dict[str, Any]) -> str:
        """Of the shard."""
        return str(raw["dynamodb"]["SequenceNumber"])

    def key(self, raw: dict[str, Any]) -> str:
        """The item's key: what happens to one item stays in order."""
        return json.dumps(_plain(raw["dynamodb"].get("Keys", {})), sort_keys=True)

    def arrived_s(self, raw: dict[str, Any]) -> float:
        """ApproximateCreationDateTime."""
        return seconds(raw["dynamodb"].get("ApproximateCreationDateTime", 0.0))

    def event(self, shard_id: str, raw: dict[str, Any], role: str) -> dict[str, Any]:
        """Source: AWS Lambda Developer Guide, "Using AWS Lambda with Amazon DynamoDB"; recorded events."""
        event = {
            "eventID": raw.get("eventID"),
            "eventName": raw.get("eventName"),
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": self._region,
            "dynamodb": _plain(raw["dynamodb"]),
            "eventSourceARN": self._arn,
        }
        identity = raw.get("userIdentity")
        if identity:
            # Time to live deletes so.
            event["userIdentity"] = {"type": identity.get("Type"), "principalId": identity.get("PrincipalId")}
        return event

    async def _call(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        return await self._cloud.call("dynamodbstreams", operation, params)


def _plain(value: Any) -> Any:
    """Bytes as base64 and times as seconds, as events have them; members without a value left out."""
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items() if one is not None}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one) for one in value]
    return value
