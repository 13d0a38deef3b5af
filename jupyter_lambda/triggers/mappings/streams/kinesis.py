"""Kinesis data streams. Source: Amazon Kinesis Data Streams API Reference; AWS Lambda Developer Guide, "Kinesis"."""

from __future__ import annotations

import base64
import math
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from jupyter_lambda.triggers.mappings.context import Context, SourceProblem

from .source import Page, Shard, Start, Stream, listed_shard, seconds

#: Seconds before now from which a shard is read to find its tip: clocks may differ by that much.
_TIP_BACK_S = 60.0
#: Reads that finding a tip may take.
_TIP_READS_MAX = 10_000


class KinesisSource:
    """One data stream."""

    batch_info = "KinesisBatchInfo"
    page_max = 2_000
    idle_s = (0.1, 0.5)

    def __init__(self, context: Context) -> None:
        self._cloud = context.cloud
        self._name = context.mapping.source_name
        self._arn = context.mapping.source_arn
        self._region = context.region
        self._clock = context.clock

    async def describe(self) -> Stream:
        """Raises SourceProblem where the stream is being deleted."""
        answer = await self._call("DescribeStreamSummary", {"StreamName": self._name})
        summary = answer["StreamDescriptionSummary"]
        if summary.get("StreamStatus") == "DELETING":
            raise SourceProblem(f"the stream {self._name} is being deleted")
        created = summary.get("StreamCreationTimestamp")
        incarnation = f"{seconds(created):.3f}" if created is not None else ""
        return Stream(incarnation, float(summary.get("RetentionPeriodHours", 24)) * 3600)

    async def shards(self) -> list[Shard]:
        """By ListShards."""
        found: list[Shard] = []
        params: dict[str, Any] = {"StreamName": self._name}
        while True:
            answer = await self._call("ListShards", params)
            found += [listed_shard(one) for one in answer["Shards"]]
            token = answer.get("NextToken")
            if not token:
                return found
            params = {"NextToken": token}

    async def iterator(self, shard_id: str, start: Start) -> str:
        """By GetShardIterator."""
        params: dict[str, Any] = {"StreamName": self._name, "ShardId": shard_id, "ShardIteratorType": start.at}
        if start.at == "AT_TIMESTAMP":
            # The service's times are of milliseconds: never a later one than was meant.
            params["Timestamp"] = datetime.fromtimestamp(math.floor(start.timestamp_s * 1000) / 1000, UTC)
        elif start.at == "AFTER_SEQUENCE_NUMBER":
            params["StartingSequenceNumber"] = start.sequence
        answer = await self._call("GetShardIterator", params)
        return str(answer["ShardIterator"])

    async def read(self, iterator: str, limit: int) -> Page:
        """By GetRecords."""
        answer = await self._call("GetRecords", {"ShardIterator": iterator, "Limit": limit})
        return Page(answer["Records"], answer.get("NextShardIterator"), not answer.get("MillisBehindLatest"))

    async def tip(self, shard_id: str) -> Start:
        """After the last record, found from a minute before the earlier of the two clocks; that minute's start if none.

        An iterator of type LATEST lives for five minutes only, so it would not survive the engine.
        """
        answer = await self._call("ListShards", {"StreamName": self._name, "MaxResults": 1})
        since_s = min(self._clock(), _date_s(answer)) - _TIP_BACK_S
        start = Start("AT_TIMESTAMP", timestamp_s=since_s)
        iterator: str | None = await self.iterator(shard_id, start)
        for _ in range(_TIP_READS_MAX):
            if iterator is None:
                break
            page = await self.read(iterator, 10_000)
            if page.records:
                start = Start("AFTER_SEQUENCE_NUMBER", sequence=self.sequence(page.records[-1]))
            elif page.at_tip:
                break
            iterator = page.next_iterator
        return start

    def sequence(self, raw: dict[str, Any]) -> str:
        """Of the shard."""
        return str(raw["SequenceNumber"])

    def key(self, raw: dict[str, Any]) -> str:
        """The partition key."""
        return str(raw["PartitionKey"])

    def arrived_s(self, raw: dict[str, Any]) -> float:
        """ApproximateArrivalTimestamp."""
        return seconds(raw.get("ApproximateArrivalTimestamp", 0.0))

    def event(self, shard_id: str, raw: dict[str, Any], role: str) -> dict[str, Any]:
        """Source: AWS Lambda Developer Guide, "Using Lambda to process records from Amazon Kinesis Data Streams"."""
        sequence = self.sequence(raw)
        return {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": raw["PartitionKey"],
                "sequenceNumber": sequence,
                "data": base64.b64encode(raw["Data"]).decode(),
                "approximateArrivalTimestamp": round(self.arrived_s(raw), 3),
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{shard_id}:{sequence}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": role,
            "awsRegion": self._region,
            "eventSourceARN": self._arn,
        }

    async def _call(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        return await self._cloud.call("kinesis", operation, params)


def _date_s(answer: dict[str, Any]) -> float:
    """The service's clock, by the Date of its answer; far ahead where it tells none."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return time.time() + 1e9
