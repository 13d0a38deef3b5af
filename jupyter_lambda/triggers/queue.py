"""One SQS queue as pollers use it: receive, delete, give back; in SQS's batches of ten.

Source: Amazon SQS API Reference.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

log = logging.getLogger(__name__)

#: Messages of one request. Source: Amazon SQS Developer Guide, "Amazon SQS message quotas".
BATCH_MAX = 10
#: Seconds of the longest long poll.
WAIT_MAX_S = 20
#: The same where a server of one's own is asked: those go on waiting after their client has gone, and whatever they
#: find then is invisible until its time has run out. So polls are short there, and nobody walks away from one.
WAIT_LOCAL_S = 2
#: Seconds that a message can be invisible at most.
VISIBILITY_MAX_S = 43_200
#: Codes by which services say that a queue is not there: JSON protocol, its query compatibility, older servers.
_ABSENT = frozenset(
    ("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "AWS.SimpleQueueService.QueueDoesNotExist")
)


class Cloud(Protocol):
    """What pollers need of ``triggers.cloud``."""

    async def call(self, service: str, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """One operation of AWS's; botocore's ClientError is raised as it is."""

    def available(self) -> str | None:
        """Why there is no cloud; None where there is one."""


def is_aws(cloud: object) -> bool:
    """Whether the services are AWS's own."""
    return getattr(cloud, "home", None) == "aws"


def may_leave(cloud: object, *, draining: bool) -> bool:
    """Whether a poll may be given up before it is answered.

    Args:
        draining: The engine is about to end, and its embedded cloud with it.
    """
    return is_aws(cloud) or (draining and getattr(cloud, "home", None) == "embedded")


def error_code(error: Exception) -> str:
    """The code of botocore's ClientError; "" for any other error."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def is_absent(error: Exception) -> bool:
    """Whether an error says that there is no such queue."""
    code = error_code(error)
    return code in _ABSENT or code.endswith("#QueueDoesNotExist")


@dataclass(frozen=True, slots=True)
class Attributes:
    """What pollers want to know of a queue."""

    arn: str
    fifo: bool
    #: Seconds that a received message is invisible.
    visibility_s: int
    #: Receptions after which SQS moves a message to the dead-letter queue; None: it never does.
    receives_max: int | None
    #: Messages that wait, approximately.
    depth: int


class Queue:
    """A queue by its URL."""

    def __init__(self, cloud: Cloud, url: str) -> None:
        self.url = url
        #: Seconds of a long poll.
        self.wait_s = WAIT_MAX_S if is_aws(cloud) else WAIT_LOCAL_S
        self._cloud = cloud

    @classmethod
    async def find(cls, cloud: Cloud, arn: str) -> Queue:
        """The queue of an ARN.

        Raises:
            botocore.exceptions.ClientError: There is none, or it can't be asked.
        """
        *_, account_id, name = arn.split(":")
        try:
            answer = await cloud.call("sqs", "GetQueueUrl", {"QueueName": name, "QueueOwnerAWSAccountId": account_id})
        except Exception as error:
            if not is_absent(error):
                raise
            # Servers that know one account only don't find theirs by another's number.
            answer = await cloud.call("sqs", "GetQueueUrl", {"QueueName": name})
        return cls(cloud, str(answer["QueueUrl"]))

    async def attributes(self) -> Attributes:
        """What the queue is like now."""
        answer = await self._call("GetQueueAttributes", {"AttributeNames": ["All"]})
        found = answer.get("Attributes") or {}
        policy = json.loads(found["RedrivePolicy"]) if found.get("RedrivePolicy") else {}
        receives = policy.get("maxReceiveCount")
        return Attributes(
            arn=found.get("QueueArn", ""),
            fifo=str(found.get("FifoQueue", "false")).lower() == "true",
            visibility_s=int(found.get("VisibilityTimeout", 30)),
            receives_max=int(receives) if receives is not None else None,
            depth=int(found.get("ApproximateNumberOfMessages", 0)),
        )

    async def receive(self, count: int, wait_s: int) -> list[dict[str, Any]]:
        """Up to ten messages; waits that long for the first one."""
        params = {
            "MaxNumberOfMessages": min(BATCH_MAX, count),
            "WaitTimeSeconds": min(WAIT_MAX_S, wait_s),
            # AttributeNames is the name that every server knows.
            "AttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        }
        answer = await self._call("ReceiveMessage", params)
        return list(answer.get("Messages") or ())

    async def receive_until(
        self, stopping: asyncio.Event, count: int, wait_s: int, leave: Callable[[], bool]
    ) -> list[dict[str, Any]]:
        """As ``receive``; a stop ends it where ``leave`` says so, see ``may_leave``; else it is heard to the end."""
        receiving = asyncio.ensure_future(self.receive(count, wait_s))
        stopped = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait({receiving, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done() and leave():
                return []
            return await receiving
        finally:
            stopped.cancel()
            receiving.cancel()

    async def delete(self, receipt_handles: Sequence[str]) -> list[str]:
        """Delete messages; the handles of those that the queue would not delete are returned."""
        return await self._in_batches("DeleteMessageBatch", receipt_handles, {})

    async def change_visibility(self, receipt_handles: Sequence[str], visibility_s: int) -> list[str]:
        """Make messages invisible for that long from now; 0: give them back. Returns the handles that were refused."""
        seconds = max(0, min(VISIBILITY_MAX_S, visibility_s))
        return await self._in_batches("ChangeMessageVisibilityBatch", receipt_handles, {"VisibilityTimeout": seconds})

    async def _in_batches(self, operation: str, handles: Sequence[str], more: Mapping[str, Any]) -> list[str]:
        parts = [handles[at : at + BATCH_MAX] for at in range(0, len(handles), BATCH_MAX)]
        # One after the other: messages of a FIFO group are to become visible in their order.
        return [handle for part in parts for handle in await self._batch(operation, part, more)]

    async def _batch(self, operation: str, handles: Sequence[str], more: Mapping[str, Any]) -> list[str]:
        entries = [{"Id": str(at), "ReceiptHandle": handle, **more} for at, handle in enumerate(handles)]
        answer = await self._call(operation, {"Entries": entries})
        refused = answer.get("Failed") or ()
        for one in refused:
            log.info("%s: %s of a message was refused: %s", self.url, operation, one.get("Code"))
        return [handles[int(one["Id"])] for one in refused]

    async def _call(self, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        return await self._cloud.call("sqs", operation, {"QueueUrl": self.url, **params})


async def first_of(*events: asyncio.Event, seconds: float | None = None) -> None:
    """Until one of the events is set, or that time is over."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
