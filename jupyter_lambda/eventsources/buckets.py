"""``s3:`` — objects of a bucket. Source: Amazon S3 User Guide, "Event notification types and destinations"."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Self

from . import notified, samples
from .base import Action, Made, Source, Trigger, allow, disallow, permitted_sources
from .errors import Refused, WordError
from .mappings import missing
from .options import Options, nearest
from .place import Function, Place

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PRINCIPAL = "s3.amazonaws.com"
_CONFIGURATIONS = "LambdaFunctionConfigurations"
#: Words of the option ``events`` → AWS's.
EVENTS = {
    "created": "s3:ObjectCreated:*",
    "removed": "s3:ObjectRemoved:*",
    "put": "s3:ObjectCreated:Put",
    "copied": "s3:ObjectCreated:Copy",
    "restored": "s3:ObjectRestore:*",
    "tagged": "s3:ObjectTagging:*",
}
#: AWS checks that it may invoke the function, which it may learn a moment later than we were told.
_ATTEMPTS, _PAUSE_S = 5, 1.0


@dataclass(frozen=True)
class BucketSource(Source):
    """A bucket, and which of its keys."""

    kind: ClassVar[str] = "s3"
    usage: ClassVar[str] = "s3:bucket or 's3:bucket/prefix*.csv'"
    summary: ClassVar[str] = "objects that appear in a bucket; before * stands a prefix, behind it a suffix"
    known: ClassVar[Mapping[str, str]] = {"events": f"{', '.join(EVENTS)}; several by commas (created)"}
    unpausable: ClassVar[str] = (
        "at AWS, S3 forgets what happens meanwhile; remove it, or fire into a queue: and pause that"
    )

    events: tuple[str, ...] = (EVENTS["created"],)

    @classmethod
    def read(cls, where: str, options: Options) -> Self:
        """``bucket[/prefix*suffix]``."""
        bucket, slash, keys = where.partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise WordError(f"s3:{where}: a bucket's name has 3 to 63 small letters, digits, - and .")
        if keys.count("*") > 1 or set(keys) & set("?["):
            raise WordError(f"s3:{where}: S3 knows a prefix and a suffix, so one * is possible and no other sign")
        names = (options.text("events") or "created").split(",")
        for name in names:
            if name not in EVENTS:
                raise WordError(f"s3: there is no event {name}{nearest(name, list(EVENTS))}")
        plain = keys.removesuffix("*")
        found = tuple(dict.fromkeys(EVENTS[name] for name in names))
        return cls(bucket + (slash + plain if plain else ""), events=found, options=options.pairs())

    @property
    def bucket(self) -> str:
        """Its name."""
        return self.where.partition("/")[0]

    @property
    def affixes(self) -> tuple[str, str]:
        """Prefix and suffix of the keys; a word without ``*`` is a prefix, as a folder's name is."""
        prefix, _, suffix = self.where.partition("/")[2].partition("*")
        return prefix, suffix

    def in_words(self) -> str:
        """What fires it."""
        prefix, suffix = self.affixes
        names = {value: key for key, value in EVENTS.items()}
        what = " or ".join(names.get(event, event) for event in self.events)
        which = (f" that begin with {prefix}" if prefix else "") + (" and" if prefix and suffix else "")
        which += (" that end in " if not prefix else " end in ") + suffix if suffix else ""
        return f"objects {what} in the bucket {self.bucket}{which}"

    def plan(self, place: Place, function_name: str) -> list[str]:
        """What would be made."""
        return [f"a notification of the bucket {self.bucket} to {function_name}: {self.in_words()}"]

    def make(self, place: Place, function: Function) -> Made:
        """S3's permission, and one entry of the bucket's notification configuration; others stay."""
        self._check_bucket(place)
        allow(
            place,
            function,
            self.mark(function),
            principal=_PRINCIPAL,
            source_arn=self._arn(place),
            SourceAccount=place.account_id,
        )
        before = _configuration(place, self.bucket)
        entries = list(before.get(_CONFIGURATIONS, ()))
        own = self._entry(function)
        present = next((one for one in entries if one.get("Id") == own["Id"]), None)
        action: Action = "made" if present is None else "changed"
        if present is not None and _same(present, own):
            action = "unchanged"
        else:
            kept = [one for one in entries if one.get("Id") != own["Id"]]
            self._put(place, {**before, _CONFIGURATIONS: [*kept, own]})
        if present is not None and self._known(place, function, own).get("state") == "paused":
            self.set_paused(place, function, paused=False)
            action = "changed"
        return Made(self._trigger(place), action)

    def remove(self, place: Place, function: Function) -> None:
        """The entry and the permission."""
        try:
            before = _configuration(place, self.bucket)
        except Refused as exc:
            if exc.aws_code not in ("NoSuchBucket", "404"):
                raise
            before = {}
        entries = list(before.get(_CONFIGURATIONS, ()))
        kept = [one for one in entries if self._differs(one, function)]
        if len(kept) != len(entries):
            rest = {**before, _CONFIGURATIONS: kept}
            if not kept:
                del rest[_CONFIGURATIONS]
            self._put(place, rest)
        disallow(place, function, self.mark(function))

    @classmethod
    def found(cls, place: Place, function: Function) -> Iterable[Trigger]:
        """The entries of the buckets that may invoke it."""
        found = []
        for arn in permitted_sources(place, function, _PRINCIPAL):
            bucket = arn.rpartition(":")[2]
            try:
                entries = _configuration(place, bucket).get(_CONFIGURATIONS, ())
            except Refused:  # the bucket is gone, or the cloud it was in
                continue
            for one in entries:
                if one.get("LambdaFunctionArn") == function.arn:
                    source = _source(bucket, one)
                    found.append(source._trigger(place, source._known(place, function, one)))
        return sorted(found, key=lambda one: one.word)

    def can_pause(self, place: Place) -> bool:
        """An engine keeps what it is told meanwhile; AWS doesn't."""
        return not place.is_aws

    def set_paused(self, place: Place, function: Function, *, paused: bool) -> None:
        """Pause or go on, at an engine."""
        if not self.can_pause(place):
            super().set_paused(place, function, paused=paused)
        for one in _configuration(place, self.bucket).get(_CONFIGURATIONS, ()):
            if not self._differs(one, function):
                notified.set_paused(place, function, paused=paused, **self._which(one))

    def sample(self, place: Place) -> dict[str, Any]:
        """An object that was put."""
        prefix, suffix = self.affixes
        removed = all("Removed" in event for event in self.events)
        key = f"{prefix}sample{suffix or '.txt'}"
        return samples.bucket(self.bucket, key, "ObjectRemoved:Delete" if removed else "ObjectCreated:Put", place)

    def _known(self, place: Place, function: Function, entry: Mapping[str, Any]) -> dict[str, Any]:
        return notified.known(place, function, **self._which(entry))

    def _which(self, entry: Mapping[str, Any]) -> dict[str, str]:
        return {"bucket": self.bucket, "configuration": str(entry.get("Id"))}

    def _arn(self, place: Place) -> str:
        return place.arn("s3", self.bucket, bare=True)

    def _check_bucket(self, place: Place) -> None:
        try:
            place.call("s3", "head_bucket", Bucket=self.bucket)
        except Refused as exc:
            if exc.aws_code not in ("404", "NoSuchBucket"):
                raise
            raise missing(
                "bucket",
                self.bucket,
                place,
                f'aws("s3").create_bucket(Bucket="{self.bucket}")',
                f"aws s3 mb s3://{self.bucket}",
            ) from exc

    def _entry(self, function: Function) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "Id": self.mark(function),
            "LambdaFunctionArn": function.arn,
            "Events": list(self.events),
        }
        rules = [{"Name": name, "Value": value} for name, value in zip(("prefix", "suffix"), self.affixes, strict=True)
                 if value]  # fmt: skip
        if rules:
            entry["Filter"] = {"Key": {"FilterRules": rules}}
        return entry

    def _differs(self, entry: Mapping[str, Any], function: Function) -> bool:
        if entry.get("LambdaFunctionArn") != function.arn:
            return True
        return entry.get("Id") != self.mark(function) and _source(self.bucket, entry).identity != self.identity

    def _put(self, place: Place, configuration: Mapping[str, Any]) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                place.call(
                    "s3",
                    "put_bucket_notification_configuration",
                    Bucket=self.bucket,
                    NotificationConfiguration=configuration,
                )
            except Refused as exc:
                if exc.aws_code != "InvalidArgument" or not place.is_aws or attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(_PAUSE_S)
            else:
                return

    def _trigger(self, place: Place, also: Mapping[str, Any] = MappingProxyType({})) -> Trigger:
        prefix, suffix = self.affixes
        suffix = suffix or ".txt"
        target = f"s3://{self.bucket}/{prefix}sample{suffix}"
        line = place.command(f"aws s3 cp sample{suffix} {target}")
        return Trigger(self.word, self.in_words(), str(also.get("state", "on")), (line,), notified.result(also))


def _configuration(place: Place, bucket: str) -> dict[str, Any]:
    found = place.call("s3", "get_bucket_notification_configuration", Bucket=bucket)
    return {key: value for key, value in found.items() if key != "ResponseMetadata"}


def _rules(entry: Mapping[str, Any]) -> dict[str, str]:
    rules = ((entry.get("Filter") or {}).get("Key") or {}).get("FilterRules") or ()
    return {str(rule["Name"]).lower(): str(rule.get("Value", "")) for rule in rules}


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return (
        one.get("LambdaFunctionArn") == other["LambdaFunctionArn"]
        and sorted(one.get("Events", ())) == sorted(other["Events"])
        and _rules(one) == _rules(other)
    )


def _source(bucket: str, entry: Mapping[str, Any]) -> BucketSource:
    rules = _rules(entry)
    prefix, suffix = rules.get("prefix", ""), rules.get("suffix", "")
    keys = f"{prefix}*{suffix}" if suffix else prefix
    events = tuple(str(event) for event in entry.get("Events", ()))
    names = {value: key for key, value in EVENTS.items()}
    spelled = ",".join(names.get(event, event) for event in events)
    options = (("events", spelled),) if events != (EVENTS["created"],) else ()
    # A prefix may be written with the * behind it or without; as it was found, it is written without.
    return BucketSource(f"{bucket}/{keys}" if keys else bucket, events=events, options=options)
