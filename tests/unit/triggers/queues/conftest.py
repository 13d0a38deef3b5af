"""SQS made of a list, in time that passes only where everybody waits."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

ACCOUNT, REGION = "000000000000", "us-east-1"


def absent() -> ClientError:
    told = {"Error": {"Code": "AWS.SimpleQueueService.NonExistentQueue", "Message": "no such queue"}}
    return ClientError(told | {"ResponseMetadata": {"HTTPStatusCode": 400}}, "X")


@dataclass
class Stored:
    body: str
    id: str
    group: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    visible_s: float = 0.0
    receives: int = 0
    handle: str = ""
    sent_ms: int = 0


class FakeQueue:
    """One queue, as AWS keeps it; ``careless``: as moto does."""

    def __init__(self, name: str, *, visibility_s: int = 30) -> None:
        self.name, self.visibility_s = name, visibility_s
        self.fifo = name.endswith(".fifo")
        self.careless = False
        self.messages: list[Stored] = []
        self.redrive: tuple[FakeQueue, int] | None = None
        self.polls = 0
        #: (operation, ids, seconds) of what was asked about messages.
        self.asked: list[tuple[str, list[str], int | None]] = []
        self._numbers = itertools.count(1)
        self._pending: set[str] = set()

    @property
    def arn(self) -> str:
        return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.name}"

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def send(self, body: str, group: str | None = None, **attributes: Any) -> str:
        number = next(self._numbers)
        stored = Stored(body, f"m{number}", group, attributes, sent_ms=int(self.now() * 1000))
        self.messages.append(stored)
        return stored.id

    def receive(self, count: int) -> list[dict[str, Any]]:
        now_s = self.now()
        locked = {m.group for m in self.messages if m.receives and m.visible_s > now_s and m.group}
        if self.careless:
            locked = {m.group for m in self.messages if m.id in self._pending}
        found = []
        for m in list(self.messages):
            if len(found) == count:
                break
            if m.visible_s > now_s:
                continue
            if self.careless and m.id in self._pending:
                self._pending.discard(m.id)
                locked = {one.group for one in self.messages if one.id in self._pending}
            if self.fifo and m.group in locked:
                continue
            if self.redrive and m.receives >= self.redrive[1]:
                self.messages.remove(m)
                self.redrive[0].messages.append(Stored(m.body, m.id, m.group))
                continue
            m.receives += 1
            m.visible_s = now_s + self.visibility_s
            m.handle = f"{m.id}-{m.receives}"
            found.append(self._wire(m))
        if self.careless:
            self._pending |= {one["MessageId"] for one in found}
        return found

    def _wire(self, m: Stored) -> dict[str, Any]:
        attributes = {"ApproximateReceiveCount": str(m.receives), "SentTimestamp": str(m.sent_ms)}
        if m.group:
            attributes |= {"MessageGroupId": m.group, "SequenceNumber": m.id[1:].zfill(20)}
        wire = {
            "MessageId": m.id,
            "ReceiptHandle": m.handle,
            "Body": m.body,
            "MD5OfBody": hashlib.md5(m.body.encode()).hexdigest(),
            "Attributes": attributes,
        }
        if m.attributes:
            wire |= {"MessageAttributes": m.attributes, "MD5OfMessageAttributes": "0" * 32}
        return wire

    def by_handle(self, handle: str) -> Stored | None:
        return next((m for m in self.messages if m.handle == handle), None)

    def delete(self, entries: list[Mapping[str, Any]]) -> dict[str, Any]:
        refused = []
        for entry in entries:
            m = self.by_handle(entry["ReceiptHandle"])
            if m is None:
                refused.append({"Id": entry["Id"], "SenderFault": True, "Code": "ReceiptHandleIsInvalid"})
            else:
                self.messages.remove(m)
                self._pending.discard(m.id)
        self.asked.append(("delete", [e["ReceiptHandle"].split("-")[0] for e in entries], None))
        return {"Successful": [], "Failed": refused}

    def change(self, entries: list[Mapping[str, Any]]) -> dict[str, Any]:
        for entry in entries:
            m = self.by_handle(entry["ReceiptHandle"])
            assert m is not None, "visibility of a message that is gone"
            m.visible_s = self.now() + entry["VisibilityTimeout"]
            if not entry["VisibilityTimeout"]:
                self._pending.discard(m.id)
        seconds = entries[0]["VisibilityTimeout"]
        self.asked.append(("visibility", [e["ReceiptHandle"].split("-")[0] for e in entries], seconds))
        return {"Successful": [], "Failed": []}


def _snake(operation: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", operation).lower()


class FakeCloud:
    """Answers SQS's operations; other services by ``others``."""

    home = "embedded"

    def __init__(self) -> None:
        self.queues: dict[str, FakeQueue] = {}
        self.others: dict[tuple[str, str], Callable[[Mapping[str, Any]], dict[str, Any]]] = {}
        self.calls: list[tuple[str, str, Mapping[str, Any]]] = []
        #: Raised by the next calls, one each.
        self.failures: list[Exception] = []

    def available(self) -> str | None:
        return None

    def queue(self, name: str, **options: Any) -> FakeQueue:
        self.queues[name] = made = FakeQueue(name, **options)
        return made

    async def call(self, service: str, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        self.calls.append((service, operation, params))
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        if service != "sqs":
            return self.others[service, operation](params)
        return await getattr(self, _snake(operation))(params)

    def _found(self, params: Mapping[str, Any]) -> FakeQueue:
        name = params["QueueUrl"].rsplit("/", 1)[-1]
        if name not in self.queues:
            raise absent()
        return self.queues[name]

    async def create_queue(self, params):
        self.queues.setdefault(params["QueueName"], FakeQueue(params["QueueName"]))
        return {"QueueUrl": f"http://sqs/{params['QueueName']}"}

    async def delete_queue(self, params):
        del self.queues[self._found(params).name]
        return {}

    async def get_queue_url(self, params):
        if params["QueueName"] not in self.queues:
            raise absent()
        return {"QueueUrl": f"http://sqs/{params['QueueName']}"}

    async def get_queue_attributes(self, params):
        queue = self._found(params)
        attributes = {"QueueArn": queue.arn, "VisibilityTimeout": str(queue.visibility_s)}
        attributes["ApproximateNumberOfMessages"] = str(len(queue.messages))
        if queue.fifo:
            attributes["FifoQueue"] = "true"
        if queue.redrive:
            policy = {"deadLetterTargetArn": queue.redrive[0].arn, "maxReceiveCount": queue.redrive[1]}
            attributes["RedrivePolicy"] = json.dumps(policy)
        return {"Attributes": attributes}

    async def set_queue_attributes(self, params):
        self._found(params)
        return {}

    async def receive_message(self, params):
        loop = asyncio.get_running_loop()
        until_s = loop.time() + params["WaitTimeSeconds"]
        while True:
            queue = self._found(params)
            queue.polls += 1
            found = queue.receive(params["MaxNumberOfMessages"])
            if found or loop.time() >= until_s:
                return {"Messages": found} if found else {}
            await asyncio.sleep(0.1)

    async def delete_message_batch(self, params):
        return self._found(params).delete(params["Entries"])

    async def change_message_visibility_batch(self, params):
        return self._found(params).change(params["Entries"])

    async def send_message(self, params):
        return {"MessageId": self._found(params).send(params["MessageBody"])}


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud()
