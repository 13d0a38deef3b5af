"""What tables, streams and queues share: event source mappings. Source: AWS Lambda API Reference,
"CreateEventSourceMapping" and "UpdateEventSourceMapping".
"""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from .base import Made, Source, Trigger
from .errors import Refused, TriggerError, WordError
from .options import Options
from .place import Function, Place

#: Seconds to wait until a new mapping of an engine says that it works, or why not; AWS takes far longer.
_SETTLE_S = 6.0
#: Seconds to wait for a mapping that is just being deleted.
_GONE_S = 20.0
_POLL_S = 0.2
#: Members of a mapping that a later word may leave out again: what they are then.
_DEFAULTS: dict[str, Any] = {
    "MaximumBatchingWindowInSeconds": 0,
    "ParallelizationFactor": 1,
    "BisectBatchOnFunctionError": False,
    "MaximumRetryAttempts": -1,
    "MaximumRecordAgeInSeconds": -1,
    "TumblingWindowInSeconds": 0,
    "FunctionResponseTypes": [],
    "FilterCriteria": {},
    "DestinationConfig": {},
    "ScalingConfig": {},
}
#: Options that all have.
COMMON = {
    "batch": "most records of one call (BatchSize)",
    "window": "longest wait for a fuller batch, e.g. 5s (MaximumBatchingWindowInSeconds)",
    "filter": "a pattern in JSON, of records that count (FilterCriteria)",
    "partial": "yes: the answer names the records that failed (ReportBatchItemFailures)",
}
#: Options of streams.
STREAM = {
    **COMMON,
    "start": "latest, oldest, or a time: where to begin (StartingPosition)",
    "parallel": "batches of one shard at one time, 1 to 10 (ParallelizationFactor)",
    "retries": "how often a batch that failed is tried again (MaximumRetryAttempts)",
    "age": "how old a record may get, e.g. 1h (MaximumRecordAgeInSeconds)",
    "bisect": "yes: a batch that failed is halved (BisectBatchOnFunctionError)",
    "tumbling": "length of a window over which state is kept, e.g. 60s (TumblingWindowInSeconds)",
    "failure": "ARN that gets what was given up (DestinationConfig)",
}


def read_common(options: Options, *, batch_max: int) -> dict[str, Any]:
    """The options that all have, as AWS's parameters."""
    params: dict[str, Any] = {
        "BatchSize": options.number("batch", 1, batch_max),
        "MaximumBatchingWindowInSeconds": options.seconds("window", 0, 300),
    }
    pattern = options.json("filter")
    if pattern is not None:
        params["FilterCriteria"] = {"Filters": [{"Pattern": json.dumps(pattern, separators=(",", ":"))}]}
    if options.yes("partial"):
        params["FunctionResponseTypes"] = ["ReportBatchItemFailures"]
    return {key: value for key, value in params.items() if value is not None}


def read_stream(options: Options) -> dict[str, Any]:
    """The options of streams, as AWS's parameters; the starting position apart."""
    params: dict[str, Any] = {
        "ParallelizationFactor": options.number("parallel", 1, 10),
        "MaximumRetryAttempts": options.number("retries", -1, 10_000),
        "MaximumRecordAgeInSeconds": options.seconds("age", 60, 604_800),
        "BisectBatchOnFunctionError": options.yes("bisect"),
        "TumblingWindowInSeconds": options.seconds("tumbling", 0, 900),
    }
    failure = options.text("failure")
    if failure is not None:
        if not failure.startswith("arn:"):
            raise WordError(f"failure={failure}: write the ARN of a queue, topic or bucket")
        params["DestinationConfig"] = {"OnFailure": {"Destination": failure}}
    return read_common(options, batch_max=10_000) | {k: v for k, v in params.items() if v is not None}


def read_start(kind: str, options: Options, *, timestamps: bool) -> dict[str, Any]:
    """Where to begin, as AWS's parameters; empty where the word doesn't say."""
    text = options.text("start")
    names = {"latest": "LATEST", "oldest": "TRIM_HORIZON", "trim_horizon": "TRIM_HORIZON"}
    if text is None:
        return {}
    if text.lower() in names:
        return {"StartingPosition": names[text.lower()]}
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise WordError(f"{kind}: start={text}: write latest, oldest or a time such as 2026-12-01T09:00") from None
    if not timestamps:
        raise WordError(f"{kind}: start={text}: a table's stream begins at latest or oldest; AWS takes no time there")
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": at}


@dataclass(frozen=True)
class MappedSource(Source):
    """A source that Lambda polls for the function."""

    #: AWS's parameters but the starting position.
    params: Mapping[str, Any] = field(default_factory=dict, hash=False)
    start: Mapping[str, Any] = field(default_factory=dict, hash=False)

    #: In the ARN of such sources.
    service: ClassVar[str]
    #: What a batch is made of.
    items: ClassVar[str] = "records"

    @abstractmethod
    def source_arn(self, place: Place) -> tuple[str, tuple[str, ...], Mapping[str, Any]]:
        """ARN of what is polled, notes, and where to begin where the word doesn't say.

        Raises:
            TriggerError: There is no such thing, or it can't be polled; with what to do.
        """

    @classmethod
    @abstractmethod
    def of_arn(cls, arn: str, options: tuple[tuple[str, str], ...]) -> Self:
        """The source that an existing mapping polls."""

    @abstractmethod
    def try_it(self, place: Place) -> tuple[str, ...]:
        """How to send it something."""

    def plan(self, place: Place, function_name: str) -> list[str]:
        """What would be made."""
        more = "".join(f", {key} {_shown(value)}" for key, value in {**self.params, **self.start}.items())
        return [f"an event source mapping from the {self.kind} {self.where} to {function_name}{more}"]

    def make(self, place: Place, function: Function) -> Made:
        """The mapping; the one that is there keeps its position."""
        arn, notes, start = self.source_arn(place)
        present = self._present(place, function, arn)
        if present is None:
            return self._create(place, function, arn, {**start, **self.start}).noting(*notes)
        changes = _changes({"BatchSize": 10 if self.service == "sqs" else 100, **self.params}, present)
        if not changes and present.get("State") not in ("Disabled", "Disabling"):
            return Made(self._trigger(place, present), "unchanged", notes)
        _when_ready(
            lambda: place.call("lambda", "update_event_source_mapping", UUID=present["UUID"], Enabled=True, **changes)
        )
        return Made(self._trigger(place, self._settled(place, present["UUID"])), "changed", notes)

    def remove(self, place: Place, function: Function) -> None:
        """The mapping, and its position with it."""
        for one in _mappings(place, function):
            source = source_of(one)
            if source is not None and source.identity == self.identity and one.get("State") != "Deleting":
                _when_ready(lambda uuid=one["UUID"]: place.call("lambda", "delete_event_source_mapping", UUID=uuid))

    @classmethod
    def found(cls, place: Place, function: Function) -> Iterable[Trigger]:
        """The mappings of this kind."""
        found = []
        for one in _mappings(place, function):
            source = source_of(one)
            if isinstance(source, cls) and one.get("State") != "Deleting":
                found.append(source._trigger(place, one))
        return sorted(found, key=lambda one: one.word)

    def set_paused(self, place: Place, function: Function, *, paused: bool) -> None:
        """Disable or enable it; the position stays."""
        for one in _mappings(place, function):
            source = source_of(one)
            if source is not None and source.identity == self.identity:
                uuid = one["UUID"]
                _when_ready(
                    lambda uuid=uuid: place.call("lambda", "update_event_source_mapping", UUID=uuid, Enabled=not paused)
                )
                self._settled(place, uuid)

    def _create(self, place: Place, function: Function, arn: str, start: Mapping[str, Any]) -> Made:
        made = _when_ready(
            lambda: place.call(
                "lambda",
                "create_event_source_mapping",
                EventSourceArn=arn,
                FunctionName=function.name,
                **self.params,
                **start,
            )
        )
        return Made(self._trigger(place, self._settled(place, made["UUID"])), "made")

    def _present(self, place: Place, function: Function, arn: str) -> dict[str, Any] | None:
        """The mapping that is there; one that is just being deleted is waited for."""
        until_s = time.monotonic() + _GONE_S
        while True:
            own = [one for one in _mappings(place, function) if one.get("EventSourceArn") == arn]
            if not own:
                return None
            if own[0].get("State") != "Deleting" or time.monotonic() > until_s:
                return own[0]
            time.sleep(_POLL_S)

    def _settled(self, place: Place, uuid: str) -> dict[str, Any]:
        """The mapping once it is enabled or disabled; at AWS, as it is."""
        until_s = time.monotonic() + (0 if place.is_aws else _SETTLE_S)
        while True:
            one = place.call("lambda", "get_event_source_mapping", UUID=uuid)
            if one.get("State") in ("Enabled", "Disabled") or time.monotonic() >= until_s:
                return one
            time.sleep(_POLL_S)

    def _trigger(self, place: Place, one: Mapping[str, Any]) -> Trigger:
        state = str(one.get("State", ""))
        shown = {"Enabled": "on", "Disabled": "paused"}.get(state, state.lower())
        result = str(one.get("LastProcessingResult") or "")
        why = str(one.get("StateTransitionReason") or "")
        if result.startswith("PROBLEM") and why and why != "USER_INITIATED":
            result = f"{result} ({why})"
        words = f"{self.in_words()}, at most {one['BatchSize']} at once" if one.get("BatchSize") else self.in_words()
        return Trigger(self.word, words, shown, self.try_it(place), result)


def source_of(mapping: Mapping[str, Any]) -> MappedSource | None:
    """What a mapping polls; None for a kind that has no word."""
    arn = str(mapping.get("EventSourceArn", ""))
    service = arn.split(":")[2] if arn.count(":") >= 5 else ""
    for kind in MappedSource.__subclasses__():
        if kind.service == service:
            return kind.of_arn(arn, _options(mapping))
    return None


def _mappings(place: Place, function: Function) -> list[dict[str, Any]]:
    return list(
        place.pages(
            "lambda",
            "list_event_source_mappings",
            "EventSourceMappings",
            token=("NextMarker", "Marker"),
            FunctionName=function.name,
        )
    )


def _options(one: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The options that a mapping stands for, where they aren't the defaults."""
    numbers = {
        "window": "MaximumBatchingWindowInSeconds",
        "parallel": "ParallelizationFactor",
        "retries": "MaximumRetryAttempts",
        "age": "MaximumRecordAgeInSeconds",
        "tumbling": "TumblingWindowInSeconds",
    }
    found = {
        name: str(one[member])
        for name, member in numbers.items()
        if one.get(member) is not None and one[member] != _DEFAULTS[member]
    }
    default = 10 if ":sqs:" in str(one.get("EventSourceArn")) else 100
    if one.get("BatchSize", default) != default:
        found["batch"] = str(one["BatchSize"])
    if one.get("BisectBatchOnFunctionError"):
        found["bisect"] = "yes"
    if "ReportBatchItemFailures" in (one.get("FunctionResponseTypes") or ()):
        found["partial"] = "yes"
    filters = (one.get("FilterCriteria") or {}).get("Filters") or []
    if len(filters) == 1:
        found["filter"] = str(filters[0]["Pattern"])
    failure = ((one.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
    if failure:
        found["failure"] = str(failure)
    concurrency = (one.get("ScalingConfig") or {}).get("MaximumConcurrency")
    if concurrency:
        found["concurrency"] = str(concurrency)
    return tuple(sorted(found.items()))


def _changes(wanted: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
    """What an update must say; what the word no longer says goes back to its default."""
    changes = {key: value for key, value in wanted.items() if _plain(present.get(key)) != _plain(value)}
    dropped = {key: default for key, default in _DEFAULTS.items() if key not in wanted}
    return changes | {
        key: default for key, default in dropped.items() if _plain(present.get(key)) not in (_plain(default), None)
    }


def _plain(value: Any) -> Any:
    """Empty structures, however they are written, are the same."""
    if isinstance(value, Mapping):
        kept = {key: _plain(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, {}, [])}
    return value


def _shown(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)


def _when_ready(request: Any) -> Any:
    """Ask again while an earlier change of the mapping is under way."""
    until_s = time.monotonic() + _GONE_S
    while True:
        try:
            return request()
        except Refused as exc:
            if exc.aws_code != "ResourceInUseException" or time.monotonic() > until_s:
                raise
        time.sleep(_POLL_S)


def missing(what: str, name: str, place: Place, python: str, command: str) -> TriggerError:
    """There is no such thing; with the line that makes it."""
    return TriggerError(f"there is no {what} {name} here; make it: {place.offer(python, command)}")
