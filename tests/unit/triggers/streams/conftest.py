"""A Kinesis stream made of lists, and a poller on it, in time that passes only where everybody waits."""

# ruff: noqa: N802, N803 - the operations and members of AWS

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from jupyter_lambda.engine.metrics import Metrics
from jupyter_lambda.model.arn import Account
from jupyter_lambda.model.mapping import EventSourceMapping, Options
from jupyter_lambda.triggers.mappings.context import Context
from jupyter_lambda.triggers.mappings.counts import Counts
from jupyter_lambda.triggers.mappings.streams.poller import StreamPoller

STREAM_ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/clicks"
QUEUE_ARN = "arn:aws:sqs:us-east-1:000000000000:failed"


#: The wall clock when the loop's is at zero: large numbers cost a float its last digits.
EPOCH_S = 1_799_999_000.0


def wall() -> float:
    return EPOCH_S + asyncio.get_running_loop().time()


def refusal(code: str, message: str = "no") -> ClientError:
    told = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(told, "Operation")


@dataclass
class FakeShard:
    parents: tuple[str, ...] = ()
    records: list[dict[str, Any]] = field(default_factory=list)
    closed: bool = False


class FakeCloud:
    """Kinesis with one stream, and queues that take what they are sent."""

    def __init__(self, shards: int = 1) -> None:
        self.shards = {f"shardId-{n:012d}": FakeShard() for n in range(shards)}
        self.created_s = 1.0
        self.retention_h = 24
        #: As moto and ministack do: iterators of closed shards never end.
        self.endless = False
        #: Errors that the next reads answer.
        self.errors: list[Exception] = []
        self.delivered: list[tuple[str, dict[str, Any]]] = []
        self.refuse_deliveries = 0
        self.why: str | None = None
        self._iterators: dict[str, tuple[str, int]] = {}
        self._numbers = itertools.count(1)
        self._sequence = itertools.count(495_903_382_714_902_566_085_596_925_383_615_710_959_215_759_891_365)

    def available(self) -> str | None:
        return self.why

    def now(self) -> float:
        return wall()

    def put(self, key: str, data: Any = None, shard: str | None = None, at_s: float | None = None) -> str:
        name = shard or sorted(name for name, one in self.shards.items() if not one.closed)[0]
        sequence = str(next(self._sequence))
        text = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.shards[name].records.append(
            {
                "SequenceNumber": sequence,
                "PartitionKey": key,
                "Data": text,
                "ApproximateArrivalTimestamp": self.now() if at_s is None else at_s,
            }
        )
        return sequence

    def split(self, name: str) -> list[str]:
        self.shards[name].closed = True
        children = [f"shardId-{len(self.shards) + n:012d}" for n in range(2)]
        for child in children:
            self.shards[child] = FakeShard((name,))
        return children

    async def call(self, service: str, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.002)
        answer = getattr(self, f"_{operation}")(**params)
        return {"ResponseMetadata": {"HTTPHeaders": {}}, **answer}

    def _DescribeStreamSummary(self, StreamName):
        if StreamName != "clicks":
            raise refusal("ResourceNotFoundException")
        about = {"StreamCreationTimestamp": self.created_s, "RetentionPeriodHours": self.retention_h}
        return {"StreamDescriptionSummary": {"StreamStatus": "ACTIVE", **about}}

    def _ListShards(self, StreamName, MaxResults=None):
        return {"Shards": [self._listed(name, one) for name, one in self.shards.items()]}

    def _listed(self, name, shard):
        numbers = {"StartingSequenceNumber": "0"}
        if shard.closed:
            numbers["EndingSequenceNumber"] = "1"
        listed = {"ShardId": name, "SequenceNumberRange": numbers}
        return listed | dict(zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False))

    def _GetShardIterator(self, StreamName, ShardId, ShardIteratorType, StartingSequenceNumber=None, Timestamp=None):
        if ShardId not in self.shards:
            raise refusal("ResourceNotFoundException")
        records = self.shards[ShardId].records
        place = 0
        if ShardIteratorType == "AFTER_SEQUENCE_NUMBER":
            place = sum(int(one["SequenceNumber"]) <= int(StartingSequenceNumber) for one in records)
        elif ShardIteratorType == "AT_TIMESTAMP":
            place = sum(one["ApproximateArrivalTimestamp"] < Timestamp.timestamp() for one in records)
        return {"ShardIterator": self._iterator(ShardId, place)}

    def _iterator(self, name, place):
        token = f"it-{next(self._numbers)}"
        self._iterators[token] = (name, place)
        return token

    def expire(self) -> None:
        self._iterators.clear()

    def _GetRecords(self, ShardIterator, Limit):
        if self.errors:
            raise self.errors.pop(0)
        if ShardIterator not in self._iterators:
            raise refusal("ExpiredIteratorException")
        name, place = self._iterators[ShardIterator]
        if name not in self.shards:
            raise refusal("ResourceNotFoundException")
        shard = self.shards[name]
        page = shard.records[place : place + Limit]
        left = len(shard.records) - place - len(page)
        answer: dict[str, Any] = {"Records": page, "MillisBehindLatest": 1000 * left}
        if left or not shard.closed or self.endless:
            answer["NextShardIterator"] = self._iterator(name, place + len(page))
        return answer

    def _GetQueueUrl(self, QueueName):
        return {"QueueUrl": f"http://queues/{QueueName}"}

    def _SendMessage(self, QueueUrl, MessageBody):
        if self.refuse_deliveries:
            self.refuse_deliveries -= 1
            raise refusal("AccessDenied")
        self.delivered.append((QueueUrl, json.loads(MessageBody)))
        return {}

    def _PutObject(self, Bucket, Key, Body):
        self.delivered.append((f"{Bucket}/{Key}", json.loads(Body)))
        return {}


class FakeRows:
    """What is on disk: only what a save has brought there survives a kill."""

    def __init__(self) -> None:
        self.disk: dict[str, str] = {}
        self.results: list[str] = []
        self.saves = 0

    def shards(self, uuid: str) -> dict[str, Any]:
        return {name: json.loads(text) for name, text in self.disk.items()}

    async def save_shards(self, uuid: str, shards: Mapping[str, Any], forget: Any = ()) -> None:
        texts = {name: json.dumps(body) for name, body in shards.items()}
        await asyncio.sleep(0.001)
        self.disk |= texts
        for name in forget:
            self.disk.pop(name, None)
        self.saves += 1
        await asyncio.sleep(0.001)

    def result(self, uuid: str, result: str) -> None:
        self.results.append(result)


class FakeService:
    """Runs a Python callable; what it raises is a function error."""

    def __init__(self, handler: Callable[[dict[str, Any]], Any]) -> None:
        self.handler = handler
        self.account = Account()
        self.draining = False
        self.took_s = 0.01
        self.running = self.most_running = 0
        self.throttles: list[Exception] = []
        self.events: list[dict[str, Any]] = []
        self.sources: list[str] = []

    def resolve(self, name, qualifier):
        return SimpleNamespace(name=name.name, version="$LATEST", role="arn:aws:iam::000000000000:role/r")

    async def invoke(self, invocation, version):
        if self.throttles:
            raise self.throttles.pop(0)
        event = json.loads(invocation.payload)
        self.events.append(event)
        self.sources.append(invocation.source)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.took_s)
            payload, error = json.dumps(self.handler(event)).encode(), None
        except Exception as exc:
            payload, error = json.dumps({"errorMessage": str(exc)}).encode(), "Unhandled"
        finally:
            self.running -= 1
        record = SimpleNamespace(request_id=invocation.request_id)
        return SimpleNamespace(payload=payload, function_error=error, executed_version="$LATEST", record=record)


class World:
    """A stream, a disk, a function; pollers come and go."""

    def __init__(self, handler: Callable[[dict[str, Any]], Any] = lambda event: None, shards: int = 1, **options: Any):
        self.cloud = FakeCloud(shards)
        self.rows = FakeRows()
        self.service = FakeService(handler)
        given = {"batch_size": 100, "starting_position": "TRIM_HORIZON"} | options
        self.mapping = EventSourceMapping(
            "u", "kinesis", STREAM_ARN, "f", None, Options(**given), "Enabled", "User action", 0.0
        )
        self.metrics = Metrics(lambda: 0.0)
        self.counts = Counts(self.metrics, lambda: self.mapping, "u", self.mapping.trigger)
        self.context: Context | None = None

    def options(self, **changes: Any) -> None:
        self.mapping = replace(self.mapping, options=replace(self.mapping.options, **changes))

    def poller(self) -> StreamPoller:
        service: Any = self.service
        rows: Any = self.rows
        self.context = Context(
            self.mapping,
            service=service,
            rows=rows,
            cloud=self.cloud,
            counts=self.counts,
            clock=wall,
        )
        return StreamPoller(self.context)

    async def run_for(self, seconds: float) -> None:
        """A poller's life: started, let run, stopped in peace."""
        running = asyncio.create_task(self.poller().run())
        await asyncio.wait({running}, timeout=seconds)
        assert self.context is not None
        self.context.stop()
        await running

    async def kill_after(self, seconds: float) -> None:
        """Another one's, that is cut off."""
        running = asyncio.create_task(self.poller().run())
        await asyncio.sleep(seconds)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    @property
    def batches(self) -> list[list[Any]]:
        """The data of every invocation's records."""
        import base64

        return [
            [json.loads(base64.b64decode(one["kinesis"]["data"])) for one in event["Records"]]
            for event in self.service.events
        ]

    @property
    def data(self) -> list[Any]:
        return [one for batch in self.batches for one in batch]


@pytest.fixture
def world() -> type[World]:
    return World


@pytest.fixture
def queue_arn() -> str:
    return QUEUE_ARN


@pytest.fixture
def refuse() -> Callable[..., ClientError]:
    return refusal
