"""From one notification's queue to asynchronous invocations. A message is deleted once its invocation is on disk."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import ClientError, LambdaError, ResourceConflictException
from jupyter_lambda.model.arn import LATEST, FunctionName
from jupyter_lambda.model.invocation import AsyncEvent
from jupyter_lambda.model.notification import Notification
from jupyter_lambda.triggers.mappings.backoff import Backoff
from jupyter_lambda.triggers.outlets import PutEvent
from jupyter_lambda.triggers.permission import allowed
from jupyter_lambda.triggers.queue import BATCH_MAX, Cloud, Queue, first_of, may_leave

from . import bus_events, s3_events, sns_events
from .own_queues import principal

log = logging.getLogger(__name__)

#: Seconds between attempts to reach the queue and what fills it: first, and longest.
FIRST_S, LONGEST_S = 0.2, 10.0
#: Seconds between looks at how many messages wait: while it is paused, and while more come than are worked off.
DEPTH_S = 15.0
#: Receptions that are being worked off at once.
UNDER_WAY_MAX = 8
#: Makes ids of invocations from those of messages: what comes twice is one invocation.
_IDS = uuid.UUID("5b1e7c1a-6f5e-4a39-9d0c-3f0b7b1f9a54")


class Undeliverable(Exception):
    """The function can't be invoked, and waiting won't change that; the message says why."""


class Pump:
    """One notification's."""

    def __init__(
        self,
        notification: Notification,
        service: LambdaService,
        cloud: Cloud,
        *,
        attach: Callable[[str], Awaitable[Queue]],
        current: Callable[[str], Notification | None],
        is_paused: Callable[[str], bool],
        put_event: PutEvent,
    ) -> None:
        """
        Args:
            attach: Makes sure that the cloud fills the queue of the notification of this id.
            current: The notification as it is now; None: it is no more.
            is_paused: Whether messages are to stay in the queue.
            put_event: Tells EventBridge's default bus; what it leads to is on disk when it returns.
        """
        self.id = notification.id
        self._trigger = notification.trigger
        self._function = notification.function_arn.partition(":function:")[2]
        #: Why nothing comes; "" where all is well.
        self.problem = ""
        #: How it went with the last message: "" before the first, "OK", "PROBLEM: …".
        self.last_result = ""
        self.delivered = 0
        self.dropped = 0
        #: Messages that wait, as the queue said last.
        self.depth: int | None = None
        #: Where they wait, once it was found.
        self.queue: Queue | None = None
        self.stopping = asyncio.Event()
        #: Set when what was missing may be there now.
        self.wake = asyncio.Event()
        self._service, self._cloud, self._attach, self._current = service, cloud, attach, current
        self._is_paused, self._put_event = is_paused, put_event
        #: Set while nothing more is to be received: it is paused, or stops.
        self._halt = asyncio.Event()
        #: Set when somebody paused it, or let it go on.
        self._looked = asyncio.Event()
        #: Set while nothing is being received or worked off.
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self._depth_due_s = 0.0
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def paused(self) -> bool:
        """Whether messages stay in the queue."""
        return self._is_paused(self.id)

    def summary(self) -> dict[str, Any]:
        """For the status and Prometheus."""
        return {
            "trigger": self._trigger,
            "function": self._function,
            "state": "paused" if self.paused else "on",
            "problem": self.problem,
            "queue_depth": self.depth,
            "delivered": self.delivered,
            "dropped": self.dropped,
        }

    def stop(self) -> None:
        """Receive nothing more, and end."""
        self.stopping.set()
        self._halt.set()

    def look(self) -> None:
        """It was paused, or is to go on."""
        if self.paused or self.stopping.is_set():
            self._halt.set()
        else:
            self._halt.clear()
        self._looked.set()

    async def quiet(self) -> None:
        """Until nothing that was received is on its way any more; for one that is paused."""
        await self._at_rest.wait()

    async def run(self) -> None:
        """Until ``stopping``, or the notification is gone."""
        backoff = Backoff(FIRST_S, LONGEST_S)
        while not self.stopping.is_set() and self._current(self.id) is not None:
            try:
                # Paused or not: what happens meanwhile can only wait in a queue that is told.
                self.queue = await self._attach(self.id)
                self._well()
                await self._hold(self.queue)
                await self._read(self.queue, backoff)
            except Exception as error:  # noqa: BLE001 - the cloud's, the network's: tried again
                self._tell(error)
                self.wake.clear()
                await first_of(self.wake, self.stopping, seconds=backoff.next_s())

    async def _hold(self, queue: Queue) -> None:
        """While it is paused."""
        while True:
            self._looked.clear()
            if not self.paused or self.stopping.is_set():
                return
            self.depth = (await queue.attributes()).depth
            await first_of(self._looked, self.stopping, seconds=DEPTH_S)

    async def _read(self, queue: Queue, backoff: Backoff) -> None:
        self._at_rest.clear()
        try:
            while not self._halt.is_set():
                messages = await queue.receive_until(self._halt, BATCH_MAX, queue.wait_s, self._may_leave)
                backoff.reset()
                if messages and self.paused:  # of the poll that was waiting when it was paused
                    await queue.change_visibility([message["ReceiptHandle"] for message in messages], 0)
                    return
                if messages:
                    await self._room()
                    task = asyncio.create_task(self._deliver(queue, messages), name=f"messages of {self.id}")
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)
                if len(messages) < BATCH_MAX and self._under_way:
                    await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
                await self._measure(queue, len(messages))
        finally:
            try:
                if self._under_way:
                    await asyncio.wait(self._under_way)
            finally:
                self._at_rest.set()

    async def _measure(self, queue: Queue, received: int) -> None:
        """How many messages wait; asked for only where the last reception doesn't tell."""
        now_s = asyncio.get_running_loop().time()
        if not received:
            self.depth = 0
        elif received == BATCH_MAX and now_s >= self._depth_due_s:
            self._depth_due_s = now_s + DEPTH_S
            self.depth = (await queue.attributes()).depth

    def _may_leave(self) -> bool:
        return may_leave(self._cloud, draining=self._service.draining)

    async def _room(self) -> None:
        while len(self._under_way) >= UNDER_WAY_MAX:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)

    def _well(self) -> None:
        if self.problem:
            log.info("notification %s: it works again", self.id)
        self.problem = ""

    def _tell(self, error: Exception) -> None:
        why = error.message if isinstance(error, LambdaError) else str(error) or type(error).__name__
        if why != self.problem:
            log.warning("notification %s: %s", self.id, why)
        self.problem = why

    # ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _deliver(self, queue: Queue, messages: list[dict[str, Any]]) -> None:
        done = await asyncio.gather(*(self._one(message) for message in messages))
        handles = [message["ReceiptHandle"] for message, is_done in zip(messages, done, strict=True) if is_done]
        try:
            if handles:
                await queue.delete(handles)
        except Exception as error:  # noqa: BLE001 - they come again, and are known by their ids
            log.info("notification %s: messages could not be deleted: %s", self.id, error)

    async def _one(self, message: dict[str, Any]) -> bool:
        """Turn one message into an invocation; whether it can be deleted."""
        notification = self._current(self.id)
        if notification is None:
            return True
        try:
            event = self._event(notification, message)
            if event is not None:
                await (self._tell_bus if notification.to_bus else self._invoke)(notification, message, event)
                self.delivered += 1
                self.last_result = "OK"
        except Undeliverable as why:
            return await self._give_up(notification, message, str(why))
        except LambdaError as error:
            log.info("notification %s: a message waits: %s", self.id, error.message)
            self.last_result = f"PROBLEM: an event waits: {error.message}"
            return False
        return True

    def _event(self, notification: Notification, message: dict[str, Any]) -> dict[str, Any] | None:
        """The function's event; None where the message is not for it."""
        try:
            if notification.kind == "sns":
                return sns_events.event(message["Body"], notification)
            sent_ms = int((message.get("Attributes") or {}).get("SentTimestamp", 0))
            records = s3_events.records(message["Body"], notification, message_id=message["MessageId"], sent_ms=sent_ms)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            raise Undeliverable(f"it is no message of {notification.trigger}: {exc!r}") from exc
        return {"Records": records} if records else None

    async def _invoke(self, notification: Notification, message: dict[str, Any], event: dict[str, Any]) -> None:
        account = self._service.account
        try:
            name = FunctionName.parse(notification.function_arn, account)
            self._service.resolve(name)
        except LambdaError as exc:
            raise Undeliverable(exc.message) from exc
        if not allowed(
            self._service,
            notification.function_arn,
            principal=principal(notification),
            source_arn=notification.source_arn,
            source_account=account.account_id,
        ):
            raise Undeliverable(f"{principal(notification)} may not invoke {notification.function_arn}")
        request_id = str(uuid.uuid5(_IDS, f"{self.id}/{message['MessageId']}"))
        if await self._is_known(request_id, message):
            return
        invocation = AsyncEvent(
            request_id=request_id,
            function_name=name.name,
            qualifier=name.qualifier or LATEST,
            payload=json.dumps(event, separators=(",", ":")).encode(),
            source=notification.trigger,
            enqueued_s=self._service.clock(),
        )
        try:
            await self._service.invoke_async(invocation)
        except ResourceConflictException:  # it came before, and waits
            log.info("notification %s: message %s came again", self.id, message["MessageId"])

    async def _tell_bus(self, notification: Notification, message: dict[str, Any], event: dict[str, Any]) -> None:
        try:
            for record in event["Records"]:
                await self._put_event(bus_events.entry(record, self._service.account.account_id))
        except (ClientError, ValueError, KeyError, TypeError) as exc:
            raise Undeliverable(f"message {message['MessageId']} of {notification.trigger}: {exc!r}") from exc

    async def _is_known(self, request_id: str, message: dict[str, Any]) -> bool:
        """Whether a message that came again was invoked already: its deletion was cut short."""
        if int((message.get("Attributes") or {}).get("ApproximateReceiveCount", 1)) <= 1:
            return False
        if self._service.runs(request_id):
            return True
        ledger = self._service.store.ledger
        await ledger.flush()
        return ledger.get(request_id) is not None

    async def _give_up(self, notification: Notification, message: dict[str, Any], why: str) -> bool:
        """What can't be delivered goes to the subscription's dead-letter queue, or nowhere, as on AWS."""
        self.dropped += 1
        self.last_result = f"PROBLEM: an event was given up: {why}"
        arn = _dead_letter(notification)
        if arn is None:
            target = notification.function_arn or "EventBridge"
            log.warning("%s → %s: an event is dropped: %s", notification.trigger, target, why)
            return True
        try:
            queue = await Queue.find(self._cloud, arn)
            await self._cloud.call("sqs", "SendMessage", {"QueueUrl": queue.url, "MessageBody": message["Body"]})
        except Exception as error:  # noqa: BLE001 - it comes again
            log.warning("%s: the dead-letter queue %s did not take an event: %s", notification.trigger, arn, error)
            return False
        return True


def _dead_letter(notification: Notification) -> str | None:
    try:
        policy = json.loads(notification.attributes.get("RedrivePolicy") or "{}")
    except ValueError:
        return None
    found = policy.get("deadLetterTargetArn") if isinstance(policy, dict) else None
    return str(found) if found else None
