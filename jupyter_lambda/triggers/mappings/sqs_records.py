"""SQS messages as the function gets them.

Source: AWS Lambda Developer Guide, "Using Lambda with Amazon SQS", the example events.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_HEAD, _TAIL = b'{"Records":[', b"]}"
#: Bytes of a payload around its records.
ENVELOPE_BYTES = len(_HEAD) + len(_TAIL)


@dataclass(frozen=True, slots=True)
class Message:
    """One message that is held: nobody else sees it until its visibility runs out."""

    message_id: str
    #: Names this reception of it; whoever deletes it or changes its visibility says it.
    receipt_handle: str
    #: Of a FIFO queue; None otherwise.
    group_id: str | None
    #: How often it was received, this time included.
    receive_count: int
    #: Milliseconds since the epoch at which it was sent; 0: the queue didn't say.
    sent_ms: int
    #: The record as JSON.
    data: bytes


def payload(messages: Sequence[Message]) -> bytes:
    """The event of one batch."""
    return _HEAD + b",".join(message.data for message in messages) + _TAIL


def record(received: Mapping[str, Any], *, queue_arn: str, region: str) -> dict[str, Any]:
    """The record of one message of ReceiveMessage's answer."""
    attributes = received.get("MessageAttributes") or {}
    made: dict[str, Any] = {
        "messageId": received["MessageId"],
        "receiptHandle": received["ReceiptHandle"],
        "body": received.get("Body", ""),
        "attributes": dict(received.get("Attributes") or {}),
        "messageAttributes": {name: _attribute(value) for name, value in attributes.items()},
        "md5OfBody": received.get("MD5OfBody", ""),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": region,
    }
    if attributes and "MD5OfMessageAttributes" in received:
        made["md5OfMessageAttributes"] = received["MD5OfMessageAttributes"]
    return made


def _attribute(given: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if given.get("StringValue") is not None:
        made["stringValue"] = given["StringValue"]
    if given.get("BinaryValue") is not None:
        made["binaryValue"] = _base64(given["BinaryValue"])
    made["stringListValues"] = list(given.get("StringListValues") or ())
    made["binaryListValues"] = [_base64(value) for value in given.get("BinaryListValues") or ()]
    made["dataType"] = given.get("DataType", "String")
    return made


def _base64(value: bytes | str) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def message(made: Mapping[str, Any]) -> Message:
    """A record, ready to be put into a batch."""
    attributes = made["attributes"]
    return Message(
        message_id=made["messageId"],
        receipt_handle=made["receiptHandle"],
        group_id=attributes.get("MessageGroupId"),
        receive_count=int(attributes.get("ApproximateReceiveCount", 1)),
        sent_ms=int(attributes.get("SentTimestamp", 0)),
        # Half of a surrogate pair, which JSON can name and UTF-8 can't hold, leaves as "?".
        data=_encode(made).encode("utf-8", "replace"),
    )
