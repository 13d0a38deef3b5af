"""Where batches go that are given up: a queue, a topic, or a bucket, which gets the records too.

Source: AWS Lambda Developer Guide, "Configuring destinations for Kinesis event source mappings" (and DynamoDB's).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol


class Cloud(Protocol):
    """Where destinations live."""

    async def call(self, service: str, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """One operation of AWS."""


@dataclass(frozen=True, slots=True)
class Discard:
    """A batch that is given up."""

    mapping_uuid: str
    shard_id: str
    #: What a destination is told of it.
    document: Mapping[str, Any]
    #: The event that the function got, or would have got; buckets get it beside the document.
    event: bytes
    at_s: float


async def deliver(cloud: Cloud, destination_arn: str, discard: Discard) -> None:
    """Send a discarded batch; returns once it was accepted.

    Raises:
        Exception: It was not; botocore's ClientError, or what else can go wrong on the way.
    """
    service, resource = _parts(destination_arn)
    if service == "s3":
        body = {**discard.document, "payload": discard.event.decode()}
        params = {"Bucket": resource, "Key": object_key(discard), "Body": _text(body).encode()}
        await cloud.call("s3", "PutObject", params)
    elif service == "sns":
        await cloud.call("sns", "Publish", {"TopicArn": destination_arn, "Message": _text(discard.document)})
    else:
        found = await cloud.call("sqs", "GetQueueUrl", {"QueueName": resource})
        params = {"QueueUrl": found["QueueUrl"], "MessageBody": _text(discard.document)}
        await cloud.call("sqs", "SendMessage", params)


async def find(cloud: Cloud, destination_arn: str) -> None:
    """Look whether a destination is there; nothing is sent.

    Raises:
        Exception: It is not, or can't be asked.
    """
    service, resource = _parts(destination_arn)
    if service == "s3":
        await cloud.call("s3", "HeadBucket", {"Bucket": resource})
    elif service == "sns":
        await cloud.call("sns", "GetTopicAttributes", {"TopicArn": destination_arn})
    else:
        await cloud.call("sqs", "GetQueueUrl", {"QueueName": resource})


def object_key(discard: Discard) -> str:
    """``aws/lambda/MAPPING/SHARD/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-UUID``."""
    at = datetime.fromtimestamp(discard.at_s, UTC)
    place = f"aws/lambda/{discard.mapping_uuid}/{discard.shard_id}"
    return f"{place}/{at:%Y/%m/%d}/{at:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"


def _parts(arn: str) -> tuple[str, str]:
    """Service and resource of an ARN."""
    parts = arn.split(":", 5)
    return parts[2], parts[5]


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))
