"""``topic:`` — notifications of an SNS topic. Source: Amazon SNS Developer Guide, "Fanout to Lambda functions"."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Self

from . import notified, samples
from .base import Action, Made, Source, Trigger, allow, disallow, permitted_sources
from .errors import Refused, WordError
from .mappings import missing
from .options import Options
from .place import Function, Place, last

_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")
_PRINCIPAL = "sns.amazonaws.com"


@dataclass(frozen=True)
class TopicSource(Source):
    """A topic."""

    kind: ClassVar[str] = "topic"
    usage: ClassVar[str] = "topic:news"
    summary: ClassVar[str] = "notifications of an SNS topic"
    known: ClassVar[Mapping[str, str]] = {"filter": "a filter policy in JSON, of the message attributes"}
    unpausable: ClassVar[str] = "at AWS, SNS keeps nothing; remove it, or subscribe a queue: and pause that"

    filter: str | None = None

    @classmethod
    def read(cls, where: str, options: Options) -> Self:
        """A topic's name."""
        if not _NAME.fullmatch(where):
            raise WordError(f"topic:{where}: a topic's name has 1 to 256 letters, digits, _ and -")
        pattern = options.json("filter")
        text = None if pattern is None else json.dumps(pattern, sort_keys=True, separators=(",", ":"))
        return cls(where, filter=text, options=options.pairs())

    def in_words(self) -> str:
        """What fires it."""
        return f"notifications of the topic {self.where}" + (f" that match {self.filter}" if self.filter else "")

    def plan(self, place: Place, function_name: str) -> list[str]:
        """What would be made."""
        return [f"a subscription of {function_name} to the topic {self.where}"]

    def make(self, place: Place, function: Function) -> Made:
        """SNS's permission and the subscription."""
        arn = self._arn(place)
        try:
            place.call("sns", "get_topic_attributes", TopicArn=arn)
        except Refused as exc:
            if exc.aws_code not in ("NotFound", "NotFoundException"):
                raise
            python, command = (
                f'aws("sns").create_topic(Name="{self.where}")',
                f"aws sns create-topic --name {self.where}",
            )
            raise missing("topic", self.where, place, python, command) from exc
        allow(place, function, self.mark(function), principal=_PRINCIPAL, source_arn=arn)
        present = _subscription(place, arn, function)
        if present is None:
            attributes = {"FilterPolicy": self.filter} if self.filter else {}
            place.call(
                "sns", "subscribe", TopicArn=arn, Protocol="lambda", Endpoint=function.arn, Attributes=attributes
            )
            return Made(self._trigger(place), "made")
        action: Action = "unchanged"
        if _filter(place, present) != self.filter:
            place.call(
                "sns",
                "set_subscription_attributes",
                SubscriptionArn=present,
                AttributeName="FilterPolicy",
                AttributeValue=self.filter or "{}",
            )
            action = "changed"
        if notified.known(place, function, **self._which(place, function)).get("state") == "paused":
            self.set_paused(place, function, paused=False)
            action = "changed"
        return Made(self._trigger(place), action)

    def remove(self, place: Place, function: Function) -> None:
        """The subscription and the permission."""
        present = _subscription(place, self._arn(place), function)
        if present is not None:
            place.call("sns", "unsubscribe", SubscriptionArn=present)
        disallow(place, function, self.mark(function))

    @classmethod
    def found(cls, place: Place, function: Function) -> Iterable[Trigger]:
        """Its subscriptions to the topics that may invoke it."""
        found = []
        for arn in permitted_sources(place, function, _PRINCIPAL):
            try:
                present = _subscription(place, arn, function)
            except Refused:  # the cloud that it was in is gone
                continue
            if present is not None:
                pattern = _filter(place, present)
                options = (("filter", pattern),) if pattern else ()
                also = notified.known(place, function, topic=arn)
                found.append(cls(last(arn), filter=pattern, options=options)._trigger(place, also))
        return sorted(found, key=lambda one: one.word)

    def can_pause(self, place: Place) -> bool:
        """An engine keeps what it is told meanwhile; AWS doesn't."""
        return not place.is_aws

    def set_paused(self, place: Place, function: Function, *, paused: bool) -> None:
        """Pause or go on, at an engine."""
        if not self.can_pause(place):
            super().set_paused(place, function, paused=paused)
        notified.set_paused(place, function, paused=paused, **self._which(place, function))

    def sample(self, place: Place) -> dict[str, Any]:
        """One notification."""
        return samples.topic(self._arn(place), place)

    def _which(self, place: Place, function: Function) -> dict[str, str]:
        del function
        return {"topic": self._arn(place)}

    def _arn(self, place: Place) -> str:
        return place.arn("sns", self.where)

    def _trigger(self, place: Place, also: Mapping[str, Any] = MappingProxyType({})) -> Trigger:
        line = place.command(f"aws sns publish --topic-arn {self._arn(place)} --message hello")
        return Trigger(self.word, self.in_words(), str(also.get("state", "on")), (line,), notified.result(also))


def _subscription(place: Place, topic_arn: str, function: Function) -> str | None:
    try:
        for one in place.pages("sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=topic_arn):
            if one.get("Endpoint") == function.arn and one.get("Protocol") == "lambda":
                return str(one["SubscriptionArn"])
    except Refused as exc:
        if exc.aws_code not in ("NotFound", "NotFoundException"):
            raise
    return None


def _filter(place: Place, subscription_arn: str) -> str | None:
    attributes = place.call("sns", "get_subscription_attributes", SubscriptionArn=subscription_arn)["Attributes"]
    text = attributes.get("FilterPolicy")
    try:
        pattern = json.loads(text) if text else None
    except ValueError:
        return str(text)
    return json.dumps(pattern, sort_keys=True, separators=(",", ":")) if pattern else None
