"""Subscriptions of functions to topics: each is a queue's, of the engine's own, in the cloud.

The cloud keeps and applies all that a subscription has (FilterPolicy, FilterPolicyScope, RedrivePolicy …); here its
protocol and endpoint are told as the function's.

Source: Amazon SNS API Reference, "Subscribe"; Amazon SNS Developer Guide, "Fanout to Lambda functions".
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import LambdaError
from jupyter_lambda.model.notification import OWN_QUEUES, Notification
from jupyter_lambda.store.sources import Sources
from jupyter_lambda.triggers.queue import Cloud, Queue, error_code, is_aws

from .errors import InvalidParameterException, from_cloud
from .own_queues import drop_queue, is_own, open_queue

_FUNCTION = re.compile(
    r"arn:aws[a-z-]*:lambda:[a-z]{2}(?:-[a-z]+)+-\d:\d{12}:function:[a-zA-Z0-9_-]+(?::(?:\$LATEST|[a-zA-Z0-9_-]+))?"
)
#: Codes by which services say that there is no such subscription.
_ABSENT = frozenset(("NotFound", "NotFoundException", "InvalidParameter", "InvalidParameterException"))


class Topics:
    """Of one engine. Its methods run one at a time for one topic: whoever calls holds the lock."""

    def __init__(self, service: LambdaService, rows: Sources, cloud: Cloud, changed: Callable[[], None]) -> None:
        """
        Args:
            changed: Called when subscriptions came or went.
        """
        self._service, self._rows, self._cloud, self._changed = service, rows, cloud, changed

    def is_ours(self, endpoint: str) -> bool:
        """Whether the engine delivers to this endpoint; functions of AWS itself are AWS's to call."""
        account = self._service.account
        return not is_aws(self._cloud) or f":{account.region}:{account.account_id}:" in endpoint

    async def subscribe(self, topic_arn: str, endpoint: str, attributes: Mapping[str, str]) -> str:
        """Subscribe a function; the subscription's ARN.

        Raises:
            LambdaError: As SNS or the cloud refuses it.
        """
        if not _FUNCTION.fullmatch(endpoint):
            raise InvalidParameterException("Invalid parameter: Lambda endpoint ARN")
        if topic_arn.endswith(".fifo"):
            raise InvalidParameterException("Invalid parameter: Invalid protocol type: lambda")
        _refuse_raw(attributes)
        for known in self._rows.notifications("sns", topic_arn):
            if known.function_arn == endpoint:
                if attributes and dict(attributes) != dict(known.attributes):
                    raise InvalidParameterException(
                        "Invalid parameter: Attributes Reason: Subscription already exists with different attributes"
                    )
                return known.subscription_arn
        made = secrets.token_hex(8)
        notification = Notification(
            id=made,
            kind="sns",
            resource=topic_arn,
            function_arn=endpoint,
            queue_name=f"{OWN_QUEUES}sns-{made}",
            attributes=dict(attributes),
            created_s=self._service.clock(),
        )
        try:
            _, notification = await self._subscribe(notification)
        except Exception as error:
            await drop_queue(self._cloud, notification)
            if isinstance(error, LambdaError):
                raise
            raise from_cloud(error) from error
        await self._rows.change_notifications([notification])
        self._changed()
        return notification.subscription_arn

    async def unsubscribe(self, notification: Notification) -> None:
        """End a subscription of ours.

        Raises:
            LambdaError: As the cloud refuses it.
        """
        await self.ask("Unsubscribe", {"SubscriptionArn": notification.subscription_arn})
        await self._forget([notification])

    async def forget(self, topic_arn: str) -> None:
        """The topic was deleted, and its subscriptions with it."""
        await self._forget(list(self._rows.notifications("sns", topic_arn)))

    async def set_attribute(self, notification: Notification, name: str, value: str) -> None:
        """Change one attribute of a subscription of ours.

        Raises:
            LambdaError: As SNS or the cloud refuses it.
        """
        _refuse_raw({name: value})
        params = {"SubscriptionArn": notification.subscription_arn, "AttributeName": name, "AttributeValue": value}
        await self.ask("SetSubscriptionAttributes", params)
        attributes = {**notification.attributes, name: value}
        await self._rows.change_notifications([replace(notification, attributes=attributes)])

    async def attach(self, notification: Notification) -> Queue:
        """Make sure that the topic tells the notification's queue: a cloud may have forgotten it.

        Raises:
            botocore.exceptions.ClientError: There is no such topic, or the queue can't be subscribed.
        """
        queue, queue_arn = await open_queue(self._cloud, notification)
        params = {"SubscriptionArn": notification.subscription_arn}
        try:
            answer = await self._cloud.call("sns", "GetSubscriptionAttributes", params)
        except Exception as error:
            if error_code(error) not in _ABSENT:
                raise
        else:
            if (answer.get("Attributes") or {}).get("Endpoint") == queue_arn:
                return queue
        queue, attached = await self._subscribe(notification)
        await self._rows.change_notifications([attached])
        return queue

    def by_arn(self, subscription_arn: str) -> Notification | None:
        """The subscription of ours that has this ARN."""
        found = self._rows.notifications("sns")
        return next((one for one in found if one.subscription_arn == subscription_arn), None)

    def shown(self, told: Mapping[str, str]) -> dict[str, str] | None:
        """A subscription, or its attributes, as callers see it: a function's where its queue is ours.

        None where the engine doesn't know it any more: it is nobody's.
        """
        if told.get("Protocol") != "sqs" or not is_own(told.get("Endpoint", "")):
            return dict(told)
        name = told["Endpoint"].rsplit(":", 1)[-1]
        found = next((one for one in self._rows.notifications("sns") if one.queue_name == name), None)
        return None if found is None else {**told, "Protocol": "lambda", "Endpoint": found.function_arn}

    async def ask(self, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """One operation of SNS's.

        Raises:
            LambdaError: As the cloud refuses it.
        """
        try:
            return await self._cloud.call("sns", operation, params)
        except LambdaError:
            raise
        except Exception as error:
            raise from_cloud(error) from error

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _subscribe(self, notification: Notification) -> tuple[Queue, Notification]:
        queue, queue_arn = await open_queue(self._cloud, notification)
        params: dict[str, Any] = {
            "TopicArn": notification.resource,
            "Protocol": "sqs",
            "Endpoint": queue_arn,
            "ReturnSubscriptionArn": True,
        }
        if notification.attributes:
            params["Attributes"] = dict(notification.attributes)
        answer = await self._cloud.call("sns", "Subscribe", params)
        return queue, replace(notification, subscription_arn=str(answer["SubscriptionArn"]))

    async def _forget(self, gone: list[Notification]) -> None:
        await self._rows.change_notifications(remove=[one.id for one in gone])
        self._changed()
        for one in gone:
            await drop_queue(self._cloud, one)


def _refuse_raw(attributes: Mapping[str, str]) -> None:
    if attributes.get("RawMessageDelivery", "false").lower() == "true":
        raise InvalidParameterException(
            "Invalid parameter: Attributes Reason: Delivery protocol [lambda] does not support raw message delivery."
        )
