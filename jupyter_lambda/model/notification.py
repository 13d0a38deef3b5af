"""What a bucket or a topic tells a function: a bucket's notification configuration, a topic's subscription.

Source: Amazon S3 API Reference, "LambdaFunctionConfiguration"; Amazon SNS API Reference, "Subscribe".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

#: s3: a bucket tells of its objects; sns: a topic hands on what is published.
Kind = Literal["s3", "sns"]
#: Names of the queues that belong to the engine begin so; nobody else is shown them.
OWN_QUEUES = "jupyter-lambda-own-"


@dataclass(frozen=True, slots=True)
class Notification:
    """One bucket's or topic's word to one function. It travels through a queue of its own."""

    #: Of this engine's own making.
    id: str
    kind: Kind
    #: The bucket's name, or the topic's ARN.
    resource: str
    #: As the caller gave it, with its qualifier.
    function_arn: str
    #: Of the queue that belongs to it, in the cloud.
    queue_name: str
    #: The Id that the caller gave the bucket's configuration, or was given.
    name: str = ""
    #: Of a bucket: "s3:ObjectCreated:*", …
    events: tuple[str, ...] = ()
    prefix: str = ""
    suffix: str = ""
    #: Of a topic: the ARN under which callers know the subscription.
    subscription_arn: str = ""
    #: Of a subscription, as they were set last: FilterPolicy, FilterPolicyScope, RedrivePolicy, …
    attributes: Mapping[str, str] = field(default_factory=dict)
    created_s: float = 0.0
    #: Of a bucket: EventBridge's default bus is told, and no function.
    to_bus: bool = False

    @property
    def trigger(self) -> str:
        """The name of this trigger in invocation records: "s3:BUCKET", "sns:TOPIC"."""
        return f"{self.kind}:{self.resource.rsplit(':', 1)[-1]}"

    @property
    def source_arn(self) -> str:
        """Who asks to invoke the function, as resource policies name it."""
        return self.resource if self.kind == "sns" else f"arn:aws:s3:::{self.resource}"

    def body(self) -> dict[str, Any]:
        """What is kept as JSON."""
        return asdict(self)


def notification_from(data: Mapping[str, Any]) -> Notification:
    """A notification as ``body`` wrote it; what a newer release added is passed over."""
    names = {member.name for member in fields(Notification)}
    known = {name: value for name, value in data.items() if name in names}
    known["events"] = tuple(known.get("events", ()))
    return Notification(**known)
