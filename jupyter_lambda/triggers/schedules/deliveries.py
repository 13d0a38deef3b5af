"""Takes deliveries to queues, topics, streams and buses beyond this engine, and tries again until they are taken.

A delivery leaves the store once its target has it, or once its dead-letter queue is owed it instead. The engine may die
between the two, so a target may get one twice: at least once, as AWS promises.

Source: Amazon EventBridge User Guide, "How EventBridge retries delivering events"; EventBridge Scheduler User Guide,
"Configuring a schedule's dead-letter queue".
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from jupyter_lambda.errors import LambdaError
from jupyter_lambda.model.scheduled import Delivery, Sending
from jupyter_lambda.store.deliveries import Deliveries as Rows

from .targets import dead_letter, kind_of

log = logging.getLogger(__name__)

#: Deliveries that are tried at once.
_AT_ONCE = 16
#: Seconds before the first further attempt, and the most between two.
_BACKOFF_S, _BACKOFF_MAX_S = 1.0, 300.0
#: Codes that no further attempt can change: AWS gives these up at once.
_FINAL = ("NotFound", "NonExistent", "DoesNotExist", "AccessDenied", "InvalidParameter", "ValidationException")


class Cloud(Protocol):
    """What is asked of ``triggers.cloud``."""

    async def call(self, service: str, operation: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One operation; botocore's ClientError is raised as it is."""


class Deliveries:
    """The worker. Sleeps while there is nothing."""

    def __init__(self, rows: Rows, cloud: Cloud, clock: Callable[[], float]) -> None:
        self.rows = rows
        self._cloud = cloud
        self._clock = clock
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Go on with what is left from before."""
        self._stopping = False
        self.rows.on_entered = self._wake.set
        self._task = asyncio.get_running_loop().create_task(self._work(), name="deliveries")

    async def stop(self, timeout_s: float) -> None:
        """Try nothing new; what doesn't finish is tried again at the next start."""
        self.rows.on_entered = None
        self._stopping = True
        self._wake.set()
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait([task], timeout=max(0.001, timeout_s))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _work(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                await self.send_due()
            except LambdaError as error:
                log.error("deliveries: %s", error)  # noqa: TRY400 - the message says it all
                await asyncio.sleep(_BACKOFF_S)
                continue
            except Exception:  # without this task nothing would be delivered any more
                log.exception("deliveries: the engine failed")
                await asyncio.sleep(_BACKOFF_S)
                continue
            due_s = self.rows.next_due_s()
            try:
                async with asyncio.timeout(None if due_s is None else max(0.01, due_s - self._clock())):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def send_due(self) -> int:
        """Try whatever may be tried now; returns how many."""
        tried = 0
        while not self._stopping and (due := self.rows.due(self._clock(), _AT_ONCE)):
            await asyncio.gather(*(self._send(one) for one in due))
            tried += len(due)
        return tried

    async def _send(self, sending: Sending) -> None:
        delivery = sending.delivery
        try:
            await send(self._cloud, delivery)
        except LambdaError as error:
            await self._again(sending, f"{error.code}: {error.message}", final=False)
        except Exception as error:  # noqa: BLE001 - botocore's, of whatever kind
            response = getattr(error, "response", {})
            code = response.get("Error", {}).get("Code", type(error).__name__)
            why = f"{code}: {response.get('Error', {}).get('Message', error)}"
            await self._again(sending, why, final=any(word in code for word in _FINAL))
        else:
            await self.rows.done(sending.seq)

    async def _again(self, sending: Sending, why: str, *, final: bool) -> None:
        delivery, now_s = sending.delivery, self._clock()
        attempts = sending.attempts + 1
        due_s = now_s + min(_BACKOFF_MAX_S, _BACKOFF_S * 2 ** min(sending.attempts, 16))
        condition = ""
        if attempts > delivery.retries_max:
            condition = "MaximumRetryAttempts"
        elif due_s - delivery.first_s > delivery.age_max_s:
            condition = "MaximumEventAgeInSeconds"
        if not final and not condition:
            log.info("%s to %s is put off: %s", delivery.source, delivery.arn, why)
            await self.rows.retry(sending.seq, due_s, attempts)
            return
        log.warning("%s: nothing reaches %s: %s", delivery.source, delivery.arn, why)
        instead = None
        if delivery.dead_letter_arn is not None:
            instead = dead_letter(
                delivery.dead_letter_arn,
                delivery.payload,
                now_s,
                delivery.source,
                delivery.source_arn,
                delivery.arn,
                why,
                condition,
                sending.attempts,
            )
        await self.rows.done(sending.seq, instead)


async def send(cloud: Cloud, delivery: Delivery) -> None:
    """One attempt.

    Raises:
        botocore.exceptions.ClientError: The target's own error.
        LambdaError: There is no cloud, or it doesn't answer.
    """
    await _SENDERS[kind_of(delivery.arn, "deliveries")](cloud, delivery)


async def _to_queue(cloud: Cloud, delivery: Delivery) -> None:
    _, _, _, _, account, name = delivery.arn.split(":", 5)
    found = await cloud.call("sqs", "GetQueueUrl", {"QueueName": name, "QueueOwnerAWSAccountId": account})
    params: dict[str, Any] = {"QueueUrl": found["QueueUrl"], "MessageBody": delivery.payload.decode()}
    if delivery.details.get("MessageGroupId"):
        params["MessageGroupId"] = delivery.details["MessageGroupId"]
    attributes = delivery.details.get("Attributes", {})
    if attributes:
        params["MessageAttributes"] = {
            key: {"DataType": "String", "StringValue": str(value)} for key, value in attributes.items()
        }
    await cloud.call("sqs", "SendMessage", params)


async def _to_topic(cloud: Cloud, delivery: Delivery) -> None:
    await cloud.call("sns", "Publish", {"TopicArn": delivery.arn, "Message": delivery.payload.decode()})


async def _to_stream(cloud: Cloud, delivery: Delivery) -> None:
    params = {
        "StreamName": delivery.arn.rpartition("/")[2],
        "Data": delivery.payload,
        "PartitionKey": delivery.details.get("PartitionKey") or delivery.source,
    }
    await cloud.call("kinesis", "PutRecord", params)


async def _to_bus(cloud: Cloud, delivery: Delivery) -> None:
    event = delivery.details["Event"]
    entry = {
        "EventBusName": delivery.arn,
        "Source": event["source"],
        "DetailType": event["detail-type"],
        "Detail": json.dumps(event["detail"]),
        "Resources": event["resources"],
    }
    answer = await cloud.call("events", "PutEvents", {"Entries": [entry]})
    if answer.get("FailedEntryCount"):
        failed = answer["Entries"][0]
        raise _NotTaken(failed.get("ErrorCode", "InternalFailure"), failed.get("ErrorMessage", ""))


async def _to_nowhere(cloud: Cloud, delivery: Delivery) -> None:
    raise AssertionError(f"functions are no deliveries: {delivery.arn}")


class _NotTaken(Exception):
    """A bus refused an entry; looks like botocore's error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.response = {"Error": {"Code": code, "Message": message}}


_SENDERS: Mapping[str, Callable[[Cloud, Delivery], Awaitable[None]]] = {
    "lambda": _to_nowhere,
    "sqs": _to_queue,
    "sns": _to_topic,
    "kinesis": _to_stream,
    "events": _to_bus,
}
