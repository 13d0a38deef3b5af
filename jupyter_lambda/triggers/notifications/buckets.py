"""Notification configurations of buckets: a Lambda target becomes a queue of the engine's own, the rest stays.

Source: Amazon S3 API Reference, "PutBucketNotificationConfiguration".
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import LambdaError
from jupyter_lambda.model.arn import FunctionName
from jupyter_lambda.model.notification import OWN_QUEUES, Notification
from jupyter_lambda.store.sources import Sources
from jupyter_lambda.triggers.permission import allowed
from jupyter_lambda.triggers.queue import Cloud, Queue, is_aws

from . import bus_events
from .errors import InvalidArgument, from_cloud
from .own_queues import drop_queue, is_own, open_queue
from .s3_rules import Document, Rule, rules_of

_QUEUES, _FUNCTIONS, _BUS = "QueueConfigurations", "LambdaFunctionConfigurations", "EventBridgeConfiguration"


class Buckets:
    """Of one engine. Its methods run one at a time for one bucket: whoever calls holds the lock."""

    def __init__(self, service: LambdaService, rows: Sources, cloud: Cloud, changed: Callable[[], None]) -> None:
        """
        Args:
            changed: Called when notifications came or went.
        """
        self._service, self._rows, self._cloud, self._changed = service, rows, cloud, changed

    async def put(self, bucket: str, document: Document, *, validate: bool) -> None:
        """Replace a bucket's configuration.

        Args:
            validate: Whether targets are looked at.
        Raises:
            LambdaError: As S3 or the cloud refuses it.
        """
        rules = rules_of(document)
        here, elsewhere = self._split(rules[_FUNCTIONS])
        if validate:
            for rule in here:
                self._check_target(bucket, rule)
        known = self._rows.notifications("s3", bucket)
        wanted = [self._notification(bucket, rule, before) for rule, before in _paired(here, known)]
        whole = dict(document)
        if _BUS in document and not is_aws(self._cloud):
            # The bus is the engine's, so the cloud has nobody to tell.
            del whole[_BUS]
            wanted.append(self._bus(bucket, known))
        kept = {one.id for one in wanted}
        fresh = [one for one in wanted if one.id not in {old.id for old in known}]
        gone = [one for one in known if one.id not in kept]
        try:
            queues = [_rule(one, (await open_queue(self._cloud, one))[1]) for one in wanted]
            whole[_FUNCTIONS] = [rule.configuration("LambdaFunctionArn") for rule in elsewhere]
            whole[_QUEUES] = [rule.configuration("QueueArn") for rule in [*rules[_QUEUES], *queues]]
            await self._put(bucket, whole, validate=validate)
        except Exception as error:
            for one in fresh:
                await drop_queue(self._cloud, one)
            if isinstance(error, LambdaError):
                raise
            raise from_cloud(error) from error
        await self._rows.change_notifications(wanted, [one.id for one in gone])
        self._changed()
        for one in gone:
            await drop_queue(self._cloud, one)

    async def get(self, bucket: str) -> Document:
        """A bucket's configuration as its owner put it.

        Raises:
            LambdaError: As the cloud refuses it.
        """
        try:
            document = await self._get(bucket)
        except LambdaError:
            raise
        except Exception as error:
            raise from_cloud(error) from error
        document[_QUEUES] = [one for one in document.get(_QUEUES) or () if not is_own(one["QueueArn"])]
        known = self._rows.notifications("s3", bucket)
        own = [_function_rule(one).configuration("LambdaFunctionArn") for one in known if not one.to_bus]
        document[_FUNCTIONS] = [*(document.get(_FUNCTIONS) or ()), *own]
        if any(one.to_bus for one in known):
            document[_BUS] = {}
        return document

    async def forget(self, bucket: str) -> None:
        """The bucket was deleted, and its configuration with it."""
        gone = self._rows.notifications("s3", bucket)
        await self._rows.change_notifications(remove=[one.id for one in gone])
        self._changed()
        for one in gone:
            await drop_queue(self._cloud, one)

    async def attach(self, notification: Notification) -> Queue:
        """Make sure that the bucket tells the notification's queue: a cloud may have forgotten it.

        Raises:
            botocore.exceptions.ClientError: There is no such bucket, or it can't be told.
        """
        queue, queue_arn = await open_queue(self._cloud, notification)
        document = await self._get(notification.resource)
        ours = _rule(notification, queue_arn).configuration("QueueArn")
        others = [one for one in document.get(_QUEUES) or () if one.get("Id") != notification.name]
        present = [one for one in document.get(_QUEUES) or () if one.get("Id") == notification.name]
        if not any(_same(one, ours) for one in present):
            await self._put(notification.resource, {**document, _QUEUES: [*others, ours]}, validate=True)
        return queue

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _get(self, bucket: str) -> Document:
        found = await self._cloud.call("s3", "GetBucketNotificationConfiguration", {"Bucket": bucket})
        return {name: value for name, value in found.items() if name != "ResponseMetadata"}

    async def _put(self, bucket: str, document: Document, *, validate: bool) -> None:
        params: dict[str, Any] = {
            "Bucket": bucket,
            "NotificationConfiguration": {name: value for name, value in document.items() if value or value == {}},
        }
        if not validate:
            params["SkipDestinationValidation"] = True
        await self._cloud.call("s3", "PutBucketNotificationConfiguration", params)

    def _split(self, rules: Sequence[Rule]) -> tuple[list[Rule], list[Rule]]:
        """Those for functions of this engine, and those for functions that AWS itself has."""
        account = self._service.account
        own = f":{account.region}:{account.account_id}:"
        elsewhere = [rule for rule in rules if is_aws(self._cloud) and own not in rule.target_arn]
        return [rule for rule in rules if rule not in elsewhere], elsewhere

    def _check_target(self, bucket: str, rule: Rule) -> None:
        arn, account = rule.target_arn, self._service.account
        if not arn.startswith(f"arn:{account.partition}:lambda:"):
            raise _invalid(arn, "The ARN could not be parsed")
        try:
            self._service.resolve(FunctionName.parse(arn, account))
        except LambdaError:
            raise _invalid(arn, "The destination Lambda does not exist") from None
        if not allowed(
            self._service,
            arn,
            principal="s3.amazonaws.com",
            source_arn=f"arn:{account.partition}:s3:::{bucket}",
            source_account=account.account_id,
        ):
            raise _invalid(arn, f"Not authorized to invoke function [{arn}]")

    def _bus(self, bucket: str, known: Sequence[Notification]) -> Notification:
        """What tells EventBridge."""
        made = secrets.token_hex(8)
        fresh = Notification(
            id=made,
            kind="s3",
            resource=bucket,
            function_arn="",
            queue_name=f"{OWN_QUEUES}s3-{made}",
            name=f"{OWN_QUEUES}events",
            events=bus_events.EVENTS,
            created_s=self._service.clock(),
            to_bus=True,
        )
        return next((one for one in known if one.to_bus), fresh)

    def _notification(self, bucket: str, rule: Rule, known: Notification | None) -> Notification:
        """What a rule becomes.

        Args:
            known: What it was before; its queue stays, what waits there, and whether it is paused.
        """
        if known is not None:
            made, created_s = known.id, known.created_s
        else:
            made, created_s = secrets.token_hex(8), self._service.clock()
        return Notification(
            id=made,
            kind="s3",
            resource=bucket,
            function_arn=rule.target_arn,
            queue_name=f"{OWN_QUEUES}s3-{made}",
            name=rule.name,
            events=rule.events,
            prefix=rule.prefix,
            suffix=rule.suffix,
            created_s=created_s,
        )


def _paired(rules: Sequence[Rule], known: Sequence[Notification]) -> list[tuple[Rule, Notification | None]]:
    """Rules and what each was before: by name and function; or, as S3 makes new names for those that the caller left
    out, by all that they say.
    """
    by_name = {(one.name, one.function_arn): one for one in known}
    left = {one.id: one for one in known}
    for rule in rules:
        if (found := by_name.get((rule.name, rule.target_arn))) is not None:
            left.pop(found.id, None)
    by_content = {_content(_function_rule(one)): one for one in left.values()}
    return [(rule, by_name.get((rule.name, rule.target_arn)) or by_content.get(_content(rule))) for rule in rules]


def _content(rule: Rule) -> tuple[str, tuple[str, ...], str, str]:
    return rule.target_arn, tuple(sorted(rule.events)), rule.prefix, rule.suffix


def _invalid(arn: str, why: str) -> InvalidArgument:
    details = {"ArgumentName1": arn, "ArgumentValue1": why}
    return InvalidArgument("Unable to validate the following destination configurations", details)


def _function_rule(one: Notification) -> Rule:
    return _rule(one, one.function_arn)


def _rule(one: Notification, target_arn: str) -> Rule:
    return Rule(one.name, target_arn, one.events, one.prefix, one.suffix)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return (
        one.get("QueueArn") == other["QueueArn"]
        and sorted(one.get("Events", ())) == sorted(other["Events"])
        and _filters(one) == _filters(other)
    )


def _filters(one: Mapping[str, Any]) -> dict[str, str]:
    rules = (one.get("Filter") or {}).get("Key", {}).get("FilterRules") or ()
    return {str(rule["Name"]).lower(): str(rule.get("Value", "")) for rule in rules}
