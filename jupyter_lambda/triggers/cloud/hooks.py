"""Requests on their way to the cloud that somebody here answers instead: what fires functions is the engine's to know.

    cloud.hooks["s3", "PutBucketNotificationConfiguration"] = self.put_notification
    cloud.hooks["sns", "Subscribe"] = self.subscribe

A hook gets the request verified and permitted, with its whole body. It answers, or returns None and the request goes on
to the cloud as it came; it may ask the cloud itself by ``cloud.call``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from jupyter_lambda.engine.credentials import Credential
from jupyter_lambda.http1 import Response


@dataclass(frozen=True, slots=True)
class Forwarded:
    """One request for one operation."""

    #: botocore's name of the service.
    service: str
    operation: str
    method: str
    #: Of S3 in path style: /BUCKET/KEY, percent-encoded as it was sent.
    path: str
    query: str
    #: Labels of the path, decoded: of S3 Bucket and Key.
    labels: Mapping[str, str]
    #: By lower-case name.
    headers: Mapping[str, str]
    body: bytes
    caller: Credential
    request_id: str

    def form(self) -> dict[str, str]:
        """The parameters of a query protocol (SNS), flat as they are sent: Attributes.entry.1.key …"""
        return dict(parse_qsl(self.query, keep_blank_values=True)) | dict(
            parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)
        )


Hook = Callable[[Forwarded], Awaitable[Response | None]]
