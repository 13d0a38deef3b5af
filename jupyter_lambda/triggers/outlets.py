"""Destinations and dead-letter queues beyond this engine's functions: SQS, SNS, EventBridge, S3.

Source: AWS Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations" and "Adding a dead-letter
queue".
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from jupyter_lambda.engine.destinations import Delivery, UndeliverableError
from jupyter_lambda.errors import LambdaError, ServiceException

#: Takes one entry of PutEvents.
PutEvent = Callable[[Mapping[str, Any]], Awaitable[None]]


class Caller(Protocol):
    """The cloud, as far as it is needed here."""

    async def call(self, service: str, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Cloud.call``."""


class Outlets:
    """Hands outcomes to what lives in the cloud, or to a bus of this engine."""

    def __init__(self, cloud: Caller, *, clock: Callable[[], float] = time.time) -> None:
        self._cloud, self._clock = cloud, clock
        self._queue_urls: dict[str, str] = {}
        #: This engine's event buses; None while there are none.
        self.put_event: PutEvent | None = None

    async def deliver(self, delivery: Delivery) -> None:
        """Hand over one outcome; returns once it was accepted.

        Raises:
            UndeliverableError: A destination of this kind can't take it.
            LambdaError: It was not accepted this time; the message says why.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        parts = delivery.destination_arn.split(":", 5)
        service, resource = (parts[2], parts[5]) if len(parts) == 6 else ("", "")
        try:
            if service == "sqs":
                await self._to_queue(delivery, resource)
            elif service == "sns":
                await self._to_topic(delivery, resource)
            elif service == "events" and delivery.success is not None:
                await self._to_bus(delivery, resource)
            elif service == "s3" and delivery.success is False:
                await self._to_bucket(delivery, resource)
            else:
                raise UndeliverableError("this kind of destination can't take such an outcome")
        except LambdaError:
            raise
        except (ClientError, BotoCoreError) as exc:
            self._queue_urls.pop(delivery.destination_arn, None)
            raise ServiceException(f"{service} did not accept it: {exc}") from exc

    async def _to_queue(self, delivery: Delivery, name: str) -> None:
        if name.endswith(".fifo"):
            raise UndeliverableError("an SQS FIFO queue can't be a destination")
        url = self._queue_urls.get(delivery.destination_arn)
        if url is None:
            url = (await self._cloud.call("sqs", "GetQueueUrl", {"QueueName": name}))["QueueUrl"]
            self._queue_urls[delivery.destination_arn] = url
        params = {"QueueUrl": url, "MessageBody": delivery.body, **_attributes(delivery)}
        await self._cloud.call("sqs", "SendMessage", params)

    async def _to_topic(self, delivery: Delivery, name: str) -> None:
        if name.endswith(".fifo"):
            raise UndeliverableError("an SNS FIFO topic can't be a destination")
        params = {"TopicArn": delivery.destination_arn, "Message": delivery.body, **_attributes(delivery)}
        await self._cloud.call("sns", "Publish", params)

    async def _to_bus(self, delivery: Delivery, resource: str) -> None:
        if self.put_event is None:
            raise UndeliverableError("this engine has no event buses")
        outcome = "Success" if delivery.success else "Failure"
        await self.put_event(
            {
                "EventBusName": resource.removeprefix("event-bus/"),
                "Source": "lambda",
                "DetailType": f"Lambda Function Invocation Result - {outcome}",
                "Detail": delivery.body,
                "Resources": [delivery.destination_arn, delivery.function_arn],
            }
        )

    async def _to_bucket(self, delivery: Delivery, bucket: str) -> None:
        at = time.gmtime(self._clock())
        day, second = time.strftime("%Y/%m/%d", at), time.strftime("%Y-%m-%dT%H.%M.%S", at)
        key = f"aws/lambda/async/{delivery.function_name}/{day}/{second}-{uuid.uuid4()}"
        params = {"Bucket": bucket, "Key": key, "Body": delivery.body.encode(), "ContentType": "application/json"}
        await self._cloud.call("s3", "PutObject", params)


def _attributes(delivery: Delivery) -> dict[str, Any]:
    """What a dead-letter queue is told beside the event; nothing for a destination, whose record says it all."""
    if delivery.success is not None:
        return {}
    text = {"RequestID": delivery.request_id, "ErrorMessage": delivery.error_message or "unknown"}
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in text.items()}
    return {"MessageAttributes": attributes | {"ErrorCode": {"DataType": "Number", "StringValue": "200"}}}
