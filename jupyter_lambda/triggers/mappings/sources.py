"""Which kinds of sources there are, told from a request: by the ARN, and by members that only one kind has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_lambda.errors import InvalidParameterValueException, NotImplementedException
from jupyter_lambda.model.mapping import Kind

_STREAM = re.compile(r"arn:[^:]+:kinesis:[^:]*:\d*:stream/[A-Za-z0-9_.-]+")
_CONSUMER = re.compile(r"arn:[^:]+:kinesis:[^:]*:\d*:stream/[^/]+/consumer/.+")
_TABLE_STREAM = re.compile(r"arn:[^:]+:dynamodb:[^:]*:\d*:table/[A-Za-z0-9_.-]+/stream/.+")
_QUEUE = re.compile(r"arn:[^:]+:sqs:[^:]*:\d*:[A-Za-z0-9_.-]+")

#: Sources of AWS that are not built here, by the service in their ARN.
_OTHERS = {
    "kafka": "Amazon MSK",
    "mq": "Amazon MQ",
    "rds": "Amazon DocumentDB",
}
#: Members of a request that belong to sources and modes that are not built here.
UNBUILT = {
    "SelfManagedEventSource": "self-managed Apache Kafka event sources",
    "SelfManagedKafkaEventSourceConfig": "self-managed Apache Kafka event sources",
    "AmazonManagedKafkaEventSourceConfig": "Amazon MSK event sources",
    "DocumentDBEventSourceConfig": "Amazon DocumentDB event sources",
    "Topics": "Apache Kafka event sources (Topics)",
    "Queues": "Amazon MQ event sources (Queues)",
    "SourceAccessConfigurations": "event sources that need SourceAccessConfigurations (Kafka, MQ)",
    "ProvisionedPollerConfig": "provisioned mode (ProvisionedPollerConfig)",
    "KMSKeyArn": "encrypted filter criteria (KMSKeyArn)",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one kind of source allows. Source: AWS Lambda API Reference, "CreateEventSourceMapping"."""

    title: str
    batch_size: int
    batch_size_max: int = 10_000
    #: Has shards, positions and what belongs to them.
    stream: bool = True


LIMITS: dict[Kind, Limits] = {
    "kinesis": Limits("Kinesis", 100),
    "dynamodb": Limits("DynamoDB", 100),
    "sqs": Limits("SQS", 10, stream=False),
}


def refuse_unbuilt(params: Mapping[str, Any]) -> None:
    """Raises NotImplementedException where a request is about a source or mode that is not built, by name."""
    for member, what in UNBUILT.items():
        if params.get(member):
            raise NotImplementedException(f"Not built: {what}. What is: Kinesis, DynamoDB streams and SQS.")
    if "KafkaMetrics" in params.get("MetricsConfig", {}).get("Metrics", ()):
        raise NotImplementedException("Metrics of Apache Kafka event sources (KafkaMetrics) are not built.")


def kind_of(arn: str | None, region: str) -> Kind:
    """The kind of the source that an ARN names.

    Args:
        region: This engine's. (Accounts may differ: that of a profile is AWS's.)
    Raises:
        InvalidParameterValueException: None at all, not the ARN of an event source, or in another region.
        NotImplementedException: One of AWS's that is not built here.
    """
    if not arn:
        raise InvalidParameterValueException("Unrecognized event source.")
    if arn.count(":") >= 5 and arn.split(":")[3] not in ("", region):
        raise InvalidParameterValueException(
            f"The event source {arn} is in another region than this engine, which is in {region}."
        )
    if _CONSUMER.fullmatch(arn):
        raise NotImplementedException(
            "Stream consumers (enhanced fan-out) are not built; give the ARN of the stream itself, without /consumer/…"
        )
    if _STREAM.fullmatch(arn):
        return "kinesis"
    if _TABLE_STREAM.fullmatch(arn):
        return "dynamodb"
    if _QUEUE.fullmatch(arn):
        return "sqs"
    service = arn.split(":")[2] if arn.count(":") >= 5 else ""
    if service in _OTHERS:
        raise NotImplementedException(f"{_OTHERS[service]} event sources are not built; Kinesis, DynamoDB and SQS are.")
    if service == "dynamodb":
        raise InvalidParameterValueException(
            f"Unrecognized event source, must be kinesis, dynamodb stream or sqs. {arn} names a table: give the ARN of "
            "its stream (LatestStreamArn)."
        )
    raise InvalidParameterValueException("Unrecognized event source, must be kinesis, dynamodb stream or sqs.")


def is_fifo(arn: str) -> bool:
    """Whether a queue's ARN is that of a FIFO queue."""
    return arn.endswith(".fifo")
