"""All notifications of one engine: what callers of S3 and SNS ask is answered here, and each has its pump."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import LambdaError, ServiceUnavailableException
from jupyter_lambda.http1 import Response
from jupyter_lambda.model.notification import Kind, Notification
from jupyter_lambda.store.sources import Sources
from jupyter_lambda.triggers.cloud.hooks import Forwarded
from jupyter_lambda.triggers.cloud.host import Cloud
from jupyter_lambda.triggers.outlets import PutEvent
from jupyter_lambda.triggers.queue import Queue

from . import holding
from . import xml_documents as xml
from .buckets import Buckets
from .passing import hide_queues, pass_on
from .pump import Pump
from .topics import Topics

log = logging.getLogger(__name__)

#: Seconds that the creation of a bucket or topic waits for what was to be told of it.
_ATTACH_MAX_S = 5.0


class Notifications:
    """A part of ``Triggers``."""

    def __init__(self, service: LambdaService, rows: Sources, cloud: Cloud) -> None:
        self._rows, self._cloud, self._service = rows, cloud, service
        #: Tells EventBridge's default bus; set by who has it.
        self.put_event: PutEvent | None = None
        self._buckets = Buckets(service, rows, cloud, self._follow)
        self._topics = Topics(service, rows, cloud, self._follow)
        self._pumps: dict[str, tuple[Pump, asyncio.Task[None]]] = {}
        #: One change of a bucket or topic at a time.
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._started = False
        cloud.hooks.update(
            {
                ("s3", "PutBucketNotificationConfiguration"): self._put_configuration,
                ("s3", "GetBucketNotificationConfiguration"): self._get_configuration,
                # The same requests by their former names.
                ("s3", "PutBucketNotification"): self._put_configuration,
                ("s3", "GetBucketNotification"): self._get_configuration,
                ("s3", "CreateBucket"): self._create_bucket,
                ("s3", "DeleteBucket"): self._delete_bucket,
                ("sns", "Subscribe"): self._subscribe,
                ("sns", "Unsubscribe"): self._unsubscribe,
                ("sns", "ListSubscriptions"): self._list_subscriptions,
                ("sns", "ListSubscriptionsByTopic"): self._list_subscriptions,
                ("sns", "GetSubscriptionAttributes"): self._get_attributes,
                ("sns", "SetSubscriptionAttributes"): self._set_attributes,
                ("sns", "CreateTopic"): self._create_topic,
                ("sns", "DeleteTopic"): self._delete_topic,
                ("sqs", "ListQueues"): self._list_queues,
            }
        )

    # ── a part of the triggers ───────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Every notification goes on with what waits in its queue."""
        self._started = True
        self._follow()

    async def stop(self, timeout_s: float) -> None:
        """Messages that were received become invocations; what waits in queues goes on waiting there."""
        self._started = False
        running = list(self._pumps.values())
        for pump, _ in running:
            pump.stop()
        tasks = [task for _, task in running]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=max(0.001, timeout_s))
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._pumps.clear()

    def status(self) -> Mapping[str, Any]:
        """Each notification in a few words."""
        return {
            one.id: pump.summary() for one in self._rows.notifications() if (pump := self._pump(one.id)) is not None
        }

    # ── what the engine's owner asks for ─────────────────────────────────────────────────────────────────────────────

    async def described(self, function: str | None = None) -> list[dict[str, Any]]:
        """Those of one function, or all: state, messages that wait, last result."""
        found = holding.of_function(self._rows, self._service.account, function)
        await holding.measure(self._pumps_of(found))
        return [self._described(one) for one in found]

    async def set_paused(
        self, function: str, kind: Kind | None, resource: str | None, name: str | None, *, paused: bool
    ) -> list[dict[str, Any]]:
        """Pause, or go on; see ``holding.chosen`` for which. Once a pause is answered nothing more is fired.

        Raises:
            ResourceNotFoundException: There is none such.
            StoreError: It can't be written down.
        """
        found = holding.chosen(self._rows, self._service.account, function, kind, resource, name)
        await self._rows.set_paused([one.id for one in found], paused=paused)
        pumps = self._pumps_of(found)
        for pump in pumps:
            pump.look()
        if paused:
            await holding.quiet(pumps)
        return [self._described(one) for one in found]

    def _described(self, one: Notification) -> dict[str, Any]:
        pump, paused = self._pump(one.id), self._rows.is_paused(one.id)
        return holding.described(one, pump, self._service.account, paused=paused)

    def _pumps_of(self, some: Sequence[Notification]) -> list[Pump]:
        return [pump for one in some if (pump := self._pump(one.id)) is not None]

    def _pump(self, notification_id: str) -> Pump | None:
        found = self._pumps.get(notification_id)
        return found[0] if found else None

    def _follow(self) -> None:
        """Begin the pumps of new notifications, end those of notifications that are gone."""
        wanted = {one.id: one for one in self._rows.notifications()} if self._started else {}
        for notification_id, (pump, _) in self._pumps.items():
            if notification_id not in wanted:
                pump.stop()
        for one in wanted.values():
            if one.id not in self._pumps:
                rows = self._rows
                pump = Pump(
                    one, self._service, self._cloud,
                    attach=self._attach, current=rows.notification, is_paused=rows.is_paused,
                    put_event=self._put_event,
                )  # fmt: skip
                task = asyncio.create_task(pump.run(), name=f"notification {one.id}")
                self._pumps[one.id] = pump, task
                self._service.metrics.notifications[one.id] = pump.summary
                task.add_done_callback(functools.partial(self._ended, one.id))

    async def _put_event(self, entry: Mapping[str, Any]) -> None:
        if self.put_event is None:
            raise ServiceUnavailableException("This engine has no event bus.")
        await self.put_event(entry)

    def _ended(self, notification_id: str, ended: asyncio.Task[None]) -> None:
        self._pumps.pop(notification_id, None)
        self._service.metrics.notifications.pop(notification_id, None)
        if not ended.cancelled() and (error := ended.exception()) is not None:
            log.error("notification %s failed in the engine", notification_id, exc_info=error)

    async def _attach(self, notification_id: str) -> Queue:
        """For pumps: see ``Buckets.attach``."""
        found = self._rows.notification(notification_id)
        assert found is not None, "a pump ends with its notification"
        attach = self._buckets.attach if found.kind == "s3" else self._topics.attach
        async with self._locks[found.resource]:
            return await attach(found)

    # ── S3 ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _put_configuration(self, asked: Forwarded) -> Response:
        async def work() -> Response:
            document = xml.read_configuration(asked.body)
            skip = asked.headers.get("x-amz-skip-destination-validation", "").lower() == "true"
            bucket = asked.labels["Bucket"]
            async with self._locks[bucket]:
                await self._buckets.put(bucket, document, validate=not skip)
            return xml.s3_answer(b"", asked.request_id)

        return await self._s3(asked, work)

    async def _get_configuration(self, asked: Forwarded) -> Response:
        async def work() -> Response:
            document = await self._buckets.get(asked.labels["Bucket"])
            return xml.s3_answer(xml.write_configuration(document), asked.request_id)

        return await self._s3(asked, work)

    async def _create_bucket(self, asked: Forwarded) -> Response | None:
        return await self._created(asked, asked.labels["Bucket"])

    async def _delete_bucket(self, asked: Forwarded) -> Response | None:
        bucket = asked.labels["Bucket"]
        if not self._rows.notifications("s3", bucket):
            return None
        answer = await pass_on(self._cloud, asked)
        if answer.status < 300:
            async with self._locks[bucket]:
                await self._buckets.forget(bucket)
        return answer

    async def _s3(self, asked: Forwarded, work: Callable[[], Awaitable[Response]]) -> Response:
        try:
            return await work()
        except LambdaError as error:
            return xml.s3_refusal(error, asked.path, asked.request_id)

    # ── SNS ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _subscribe(self, asked: Forwarded) -> Response | None:
        form = asked.form()
        endpoint, topic_arn = form.get("Endpoint", ""), form.get("TopicArn", "")
        if form.get("Protocol") != "lambda" or not self._topics.is_ours(endpoint):
            return None

        async def work() -> str:
            async with self._locks[topic_arn]:
                arn = await self._topics.subscribe(topic_arn, endpoint, _map(form, "Attributes"))
            return f"<SubscriptionArn>{arn}</SubscriptionArn>"

        return await self._sns(asked, work)

    async def _unsubscribe(self, asked: Forwarded) -> Response | None:
        found = self._topics.by_arn(asked.form().get("SubscriptionArn", ""))
        if found is None:
            return None

        async def work() -> None:
            async with self._locks[found.resource]:
                await self._topics.unsubscribe(found)

        return await self._sns(asked, work)

    async def _list_subscriptions(self, asked: Forwarded) -> Response | None:
        if not self._rows.notifications("sns"):
            return None
        params = {name: value for name, value in asked.form().items() if name in ("TopicArn", "NextToken")}

        async def work() -> str:
            answer = await self._topics.ask(asked.operation, params)
            shown = [self._topics.shown(one) for one in answer.get("Subscriptions") or ()]
            token = answer.get("NextToken")
            after = f"<NextToken>{token}</NextToken>" if token else ""
            return f"<Subscriptions>{xml.members([one for one in shown if one is not None])}</Subscriptions>{after}"

        return await self._sns(asked, work)

    async def _get_attributes(self, asked: Forwarded) -> Response | None:
        arn = asked.form().get("SubscriptionArn", "")
        if self._topics.by_arn(arn) is None:
            return None

        async def work() -> str:
            answer = await self._topics.ask("GetSubscriptionAttributes", {"SubscriptionArn": arn})
            shown = self._topics.shown(answer.get("Attributes") or {}) or {}
            return f"<Attributes>{xml.entries(shown)}</Attributes>"

        return await self._sns(asked, work)

    async def _set_attributes(self, asked: Forwarded) -> Response | None:
        form = asked.form()
        found = self._topics.by_arn(form.get("SubscriptionArn", ""))
        if found is None:
            return None

        async def work() -> None:
            async with self._locks[found.resource]:
                await self._topics.set_attribute(found, form.get("AttributeName", ""), form.get("AttributeValue", ""))

        return await self._sns(asked, work)

    async def _create_topic(self, asked: Forwarded) -> Response | None:
        account = self._service.account
        name = asked.form().get("Name", "")
        return await self._created(asked, f"arn:{account.partition}:sns:{account.region}:{account.account_id}:{name}")

    async def _delete_topic(self, asked: Forwarded) -> Response | None:
        topic_arn = asked.form().get("TopicArn", "")
        if not self._rows.notifications("sns", topic_arn):
            return None
        answer = await pass_on(self._cloud, asked)
        if answer.status < 300:
            async with self._locks[topic_arn]:
                await self._topics.forget(topic_arn)
        return answer

    async def _sns(self, asked: Forwarded, work: Callable[[], Awaitable[str | None]]) -> Response:
        try:
            return xml.sns_answer(asked.operation, await work(), asked.request_id)
        except LambdaError as error:
            return xml.sns_refusal(error, asked.request_id)

    # ── both ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _created(self, asked: Forwarded, resource: str) -> Response | None:
        """A bucket or topic comes (back) of which functions are to be told: see that they are before it is used."""
        waiting = self._rows.notifications(resource=resource)
        if not waiting:
            return None
        answer = await pass_on(self._cloud, asked)
        if answer.status < 300:
            try:
                async with asyncio.timeout(_ATTACH_MAX_S):
                    for one in waiting:
                        await self._attach(one.id)
            except Exception as error:  # noqa: BLE001 - the pump goes on trying
                log.warning("%s: %s", resource, error)
            for one in waiting:
                if (pump := self._pump(one.id)) is not None:
                    pump.wake.set()
        return answer

    async def _list_queues(self, asked: Forwarded) -> Response:
        return hide_queues(await pass_on(self._cloud, asked))


def _map(form: Mapping[str, str], name: str) -> dict[str, str]:
    """A map of a query protocol: Attributes.entry.1.key, Attributes.entry.1.value, …"""
    found = {}
    for key, value in form.items():
        if key.startswith(f"{name}.entry.") and key.endswith(".key"):
            found[value] = form.get(f"{key[:-3]}value", "")
    return found
