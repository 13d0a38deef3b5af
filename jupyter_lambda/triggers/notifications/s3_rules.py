"""Notification configurations of a bucket: what they say, and what S3 refuses in them.

A document is a dict as boto3 has it: TopicConfigurations, QueueConfigurations, LambdaFunctionConfigurations,
EventBridgeConfiguration.

Source: Amazon S3 User Guide, "Configuring event notifications using object key name filtering".
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import InvalidArgument

Document = dict[str, Any]

#: Bytes of a filter rule's value, in UTF-8.
VALUE_MAX_BYTES = 1_024
#: Source: Amazon S3 User Guide, "Supported event types for SQS, SNS, and Lambda".
EVENTS = frozenset(
    f"s3:{name}"
    for name in (
        "ReducedRedundancyLostObject",
        "ObjectCreated:*",
        "ObjectCreated:Put",
        "ObjectCreated:Post",
        "ObjectCreated:Copy",
        "ObjectCreated:CompleteMultipartUpload",
        "ObjectRemoved:*",
        "ObjectRemoved:Delete",
        "ObjectRemoved:DeleteMarkerCreated",
        "ObjectRestore:*",
        "ObjectRestore:Post",
        "ObjectRestore:Completed",
        "ObjectRestore:Delete",
        "Replication:*",
        "Replication:OperationFailedReplication",
        "Replication:OperationNotTracked",
        "Replication:OperationMissedThreshold",
        "Replication:OperationReplicatedAfterThreshold",
        "LifecycleTransition",
        "LifecycleExpiration:*",
        "LifecycleExpiration:Delete",
        "LifecycleExpiration:DeleteMarkerCreated",
        "IntelligentTiering",
        "ObjectAcl:Put",
        "ObjectTagging:*",
        "ObjectTagging:Put",
        "ObjectTagging:Delete",
        "ObjectAnnotation:*",
        "ObjectAnnotation:Put",
        "ObjectAnnotation:Delete",
        "ObjectRetention:Put",
    )
)
#: Member of a document → member of its configurations that names the target.
TARGETS = {
    "TopicConfigurations": "TopicArn",
    "QueueConfigurations": "QueueArn",
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """Which events of which objects go to one target."""

    name: str
    target_arn: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    def configuration(self, member: str) -> dict[str, Any]:
        """The rule as a configuration of a document.

        Args:
            member: What names the target: "LambdaFunctionArn", "QueueArn".
        """
        made: dict[str, Any] = {"Id": self.name, member: self.target_arn, "Events": list(self.events)}
        filters = [("prefix", self.prefix), ("suffix", self.suffix)]
        rules = [{"Name": name, "Value": value} for name, value in filters if value]
        if rules:
            made["Filter"] = {"Key": {"FilterRules": rules}}
        return made


def rules_of(document: Mapping[str, Any]) -> dict[str, list[Rule]]:
    """Member of the document → its rules, checked each and against each other; missing Ids are made.

    Raises:
        InvalidArgument: What S3 refuses.
    """
    rules = {kind: [_rule(given, target) for given in document.get(kind) or ()] for kind, target in TARGETS.items()}
    everything = [rule for kind in TARGETS for rule in rules[kind]]
    names = [rule.name for rule in everything]
    if len(set(names)) < len(names):
        raise InvalidArgument(
            "Same ID used for multiple configurations. IDs must be unique",
            {"ArgumentName": "Id", "ArgumentValue": next(name for name in names if names.count(name) > 1)},
        )
    for one, other in itertools.combinations(everything, 2):
        _refuse_overlap(one, other)
    return rules


def _rule(given: Mapping[str, Any], target: str) -> Rule:
    prefix = suffix = None
    for rule in (given.get("Filter") or {}).get("Key", {}).get("FilterRules") or ():
        name, value = str(rule.get("Name", "")).lower(), str(rule.get("Value") or "")
        if len(value.encode("utf-8", "replace")) > VALUE_MAX_BYTES:
            raise InvalidArgument(
                f"Size of filter rule value cannot exceed {VALUE_MAX_BYTES} bytes in UTF-8 representation",
                {"ArgumentName": "FilterRule.Value", "ArgumentValue": value[:64]},
            )
        if name == "prefix" and prefix is None:
            prefix = value
        elif name == "suffix" and suffix is None:
            suffix = value
        elif name in ("prefix", "suffix"):
            raise InvalidArgument(f"Cannot specify more than one {name} rule in a filter.", _named(name))
        else:
            raise InvalidArgument("filter rule name must be either prefix or suffix", _named(name))
    events = tuple(given.get("Events") or ())
    unknown = next((event for event in events if event not in EVENTS), None)
    if unknown is not None or not events:
        raise InvalidArgument(
            "A specified event is not supported for notifications.",
            {"ArgumentName": "Event", "ArgumentValue": unknown or ""},
        )
    name = given.get("Id") or secrets.token_hex(16)
    return Rule(name, str(given.get(target) or ""), events, prefix or "", suffix or "")


def _named(name: str) -> dict[str, str]:
    return {"ArgumentName": "FilterRule.Name", "ArgumentValue": name[:64]}


def _refuse_overlap(one: Rule, other: Rule) -> None:
    """No event of an object may have two targets."""
    common = next(_common(one.events, other.events), None)
    if common is None:
        return
    prefixes = one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)
    suffixes = one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix)
    if not (prefixes and suffixes):
        return
    if one.prefix or one.suffix or other.prefix or other.suffix:
        raise InvalidArgument(
            "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are "
            "overlapping for the same event type."
        )
    raise InvalidArgument(
        "Configurations overlap. Configurations on the same bucket cannot share a common event type.",
        {"ArgumentName": "Event", "ArgumentValue": ", ".join(common)},
    )


def _common(some: Sequence[str], others: Sequence[str]) -> Iterator[tuple[str, str]]:
    for one, other in itertools.product(some, others):
        if one == other or _includes(one, other) or _includes(other, one):
            yield one, other


def _includes(wide: str, event: str) -> bool:
    return wide.endswith(":*") and event.startswith(wide[:-1])


def matches(events: Sequence[str], event: str) -> bool:
    """Whether an event's name, "s3:ObjectCreated:Put", is one of those that a rule is about."""
    return any(wanted == event or _includes(wanted, event) for wanted in events)
