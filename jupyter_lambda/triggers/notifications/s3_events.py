"""Records of a bucket's events: from what a cloud put into the queue to what AWS sends to functions.

Source: Amazon S3 User Guide, "Event message structure".
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from jupyter_lambda.model.notification import Notification

from .s3_rules import matches


def records(body: str, notification: Notification, *, message_id: str, sent_ms: int) -> list[dict[str, Any]]:
    """The records of one message that are this notification's, worded as AWS words them; none for a test event.

    Args:
        message_id: Of the queue's message: what the cloud left out is made of it, the same each time it comes.
        sent_ms: Milliseconds since the epoch at which the message was sent.
    Raises:
        ValueError: The message is not one of S3's.
    """
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError("an S3 notification is a JSON object")  # noqa: TRY004 - what is wrong is the value
    if document.get("Event") == "s3:TestEvent":
        return []
    found = document["Records"] if isinstance(document.get("Records"), list) else None
    if found is None:
        raise ValueError("an S3 notification has Records")
    worded = [_record(one, notification, message_id, sent_ms) for one in found]
    return [one for one in worded if _is_wanted(one, notification)]


def _is_wanted(record: Mapping[str, Any], notification: Notification) -> bool:
    key = unquote_plus(record["s3"]["object"]["key"])
    return (
        matches(notification.events, f"s3:{record['eventName']}")
        and key.startswith(notification.prefix)
        and key.endswith(notification.suffix)
    )


def _record(given: Mapping[str, Any], notification: Notification, message_id: str, sent_ms: int) -> dict[str, Any]:
    bucket, thing = given["s3"]["bucket"], copy.deepcopy(given["s3"]["object"])
    # AWS writes keys as forms do, but for slashes; some servers escape those as well.
    thing["key"] = quote_plus(unquote_plus(thing["key"]), safe="/")
    thing.setdefault("sequencer", f"{sent_ms:018X}")
    name = str(given["eventName"]).removeprefix("s3:")
    if name == "ObjectRemoved:Delete":
        thing.pop("size", None)
        thing.pop("eTag", None)
    request = message_id.replace("-", "").upper()
    made = {
        "eventVersion": given.get("eventVersion") or "2.1",
        "eventSource": "aws:s3",
        "awsRegion": given.get("awsRegion", ""),
        "eventTime": given.get("eventTime", ""),
        "eventName": name,
        "userIdentity": given.get("userIdentity") or {"principalId": "AWS:local"},
        "requestParameters": given.get("requestParameters") or {"sourceIPAddress": "127.0.0.1"},
        "responseElements": given.get("responseElements")
        or {"x-amz-request-id": request[:16], "x-amz-id-2": f"{request}{request}"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": notification.name,
            "bucket": {
                "name": bucket["name"],
                "ownerIdentity": bucket.get("ownerIdentity") or {"principalId": "local"},
                "arn": bucket.get("arn") or notification.source_arn,
            },
            "object": thing,
        },
    }
    # Of single kinds of events: glacierEventData, replicationEventData, …
    return made | {name: value for name, value in given.items() if name not in made}
