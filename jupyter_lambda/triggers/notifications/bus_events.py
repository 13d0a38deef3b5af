"""Events of a bucket's objects for EventBridge, made of S3's own records.

Source: Amazon S3 User Guide, "EventBridge event message structure" and "Using EventBridge".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

#: What a bucket tells EventBridge; no filter can be set there.
EVENTS = (
    "s3:ObjectCreated:*",
    "s3:ObjectRemoved:*",
    "s3:ObjectRestore:*",
    "s3:ObjectTagging:*",
    "s3:ObjectAcl:Put",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleTransition",
    "s3:IntelligentTiering",
)
#: Beginning of a record's eventName → DetailType; the first one that fits.
_TYPES = {
    "ObjectCreated:": "Object Created",
    "ObjectRemoved:": "Object Deleted",
    "LifecycleExpiration:": "Object Deleted",
    "ObjectRestore:Post": "Object Restore Initiated",
    "ObjectRestore:Completed": "Object Restore Completed",
    "ObjectRestore:Delete": "Object Restore Expired",
    "ObjectTagging:Put": "Object Tags Added",
    "ObjectTagging:Delete": "Object Tags Deleted",
    "ObjectAcl:": "Object ACL Updated",
    "LifecycleTransition": "Object Storage Class Changed",
    "IntelligentTiering": "Object Access Tier Changed",
}
#: eventName → why.
_REASONS = {
    "ObjectCreated:Put": "PutObject",
    "ObjectCreated:Post": "POST Object",
    "ObjectCreated:Copy": "CopyObject",
    "ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
    "ObjectRemoved:Delete": "DeleteObject",
    "ObjectRemoved:DeleteMarkerCreated": "DeleteObject",
    "LifecycleExpiration:Delete": "Lifecycle Expiration",
    "LifecycleExpiration:DeleteMarkerCreated": "Lifecycle Expiration",
}
#: Member of a record's object → member of the event's.
_OBJECT = {"size": "size", "eTag": "etag", "versionId": "version-id", "sequencer": "sequencer"}


def entry(record: Mapping[str, Any], account_id: str) -> dict[str, Any]:
    """An entry of PutEvents.

    Args:
        record: As a function would get it.
    Raises:
        ValueError: It is of no kind that EventBridge is told of.
    """
    name, bucket, thing = record["eventName"], record["s3"]["bucket"], record["s3"]["object"]
    told = next((told for beginning, told in _TYPES.items() if name.startswith(beginning)), None)
    if told is None:
        raise ValueError(f"EventBridge is not told of {name}")
    detail: dict[str, Any] = {
        "version": "0",
        "bucket": {"name": bucket["name"]},
        # Not escaped, unlike in S3's own records.
        "object": {"key": unquote_plus(thing["key"])}
        | {member: thing[given] for given, member in _OBJECT.items() if given in thing},
        "request-id": record["responseElements"].get("x-amz-request-id", ""),
        "requester": account_id,
        "source-ip-address": record["requestParameters"].get("sourceIPAddress", ""),
    }
    if name in _REASONS:
        detail["reason"] = _REASONS[name]
    if told == "Object Deleted":
        marker = name.endswith(":DeleteMarkerCreated")
        detail["deletion-type"] = "Delete Marker Created" if marker else "Permanently Deleted"
    made: dict[str, Any] = {
        "Source": "aws.s3",
        "DetailType": told,
        "Detail": json.dumps(detail),
        "Resources": [bucket["arn"]],
    }
    if record["eventTime"]:
        made["Time"] = datetime.fromisoformat(record["eventTime"]).timestamp()
    return made
