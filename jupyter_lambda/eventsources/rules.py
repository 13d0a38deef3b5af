"""``events:`` — events of EventBridge's default bus. Source: Amazon EventBridge User Guide, "Event patterns"."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from . import samples
from .base import MARK, Action, Made, Source, Trigger, allow, disallow
from .errors import Refused, WordError
from .options import Options
from .place import Function, Place

_MISSING = "ResourceNotFoundException"


@dataclass(frozen=True)
class RuleSource(Source):
    """A pattern of events."""

    kind: ClassVar[str] = "events"
    usage: ClassVar[str] = '\'events:{"source": ["my.app"]}\''
    summary: ClassVar[str] = "events of the default bus that match an event pattern"

    @classmethod
    def read(cls, where: str, options: Options) -> Self:
        """An event pattern in JSON."""
        try:
            pattern = json.loads(where)
        except ValueError as exc:
            raise WordError(f"events:{where} is not JSON: {exc}") from None
        if not isinstance(pattern, dict) or not pattern:
            raise WordError(f"events:{where}: an event pattern is an object with at least one field")
        return cls(json.dumps(pattern, sort_keys=True), options=options.pairs())

    def in_words(self) -> str:
        """What fires it."""
        return f"events of the default bus that match {self.where}"

    def plan(self, place: Place, function_name: str) -> list[str]:
        """What would be made."""
        return [f"a rule of the default event bus with the target {function_name}: {self.where}"]

    def make(self, place: Place, function: Function) -> Made:
        """The rule, its target, and EventBridge's permission."""
        name = self.mark(function)
        present = _rule(place, name)
        action: Action = "unchanged"
        if present is None or not _same(present, self.where) or present.get("State") != "ENABLED":
            place.call("events", "put_rule", Name=name, EventPattern=self.where, State="ENABLED")
            action = "made" if present is None else "changed"
        allow(place, function, name, principal="events.amazonaws.com", source_arn=place.arn("events", f"rule/{name}"))
        answer = place.call("events", "put_targets", Rule=name, Targets=[{"Id": "function", "Arn": function.arn}])
        for one in answer.get("FailedEntries", ()):
            raise Refused(f"events: {one.get('ErrorCode')}: {one.get('ErrorMessage')}", str(one.get("ErrorCode", "")))
        return Made(self._trigger(place, "ENABLED"), action)

    def remove(self, place: Place, function: Function) -> None:
        """The rule with its target, and the permission."""
        name = self.mark(function)
        if _rule(place, name) is not None:
            place.call("events", "remove_targets", Rule=name, Ids=["function"])
            place.call("events", "delete_rule", Name=name)
        disallow(place, function, name)

    @classmethod
    def found(cls, place: Place, function: Function) -> Iterable[Trigger]:
        """Those of its rules that were made from words."""
        found = []
        for name in _names(place, function):
            rule = _rule(place, name)
            pattern = rule.get("EventPattern") if rule else None
            if rule and pattern:
                found.append(cls(json.dumps(json.loads(pattern), sort_keys=True))._trigger(place, str(rule["State"])))
        return found

    def set_paused(self, place: Place, function: Function, *, paused: bool) -> None:
        """Disable or enable the rule; what happens meanwhile fires nothing, as at AWS."""
        place.call("events", "disable_rule" if paused else "enable_rule", Name=self.mark(function))

    def sample(self, place: Place) -> dict[str, Any]:
        """An event that the pattern's plain values describe."""
        pattern = json.loads(self.where)
        detail = pattern.get("detail")
        filled = {key: _first(values) for key, values in detail.items()} if isinstance(detail, dict) else {"n": 3}
        source = str(_first(pattern.get("source", ["my.app"])))
        return samples.event_bus(source, str(_first(pattern.get("detail-type", ["sample"]))), filled, place)

    def _trigger(self, place: Place, state: str) -> Trigger:
        sample = self.sample(place)
        entry = {
            "Source": sample["source"],
            "DetailType": sample["detail-type"],
            "Detail": json.dumps(sample["detail"]),
        }
        line = place.command(f"aws events put-events --entries '{json.dumps([entry])}'")
        return Trigger(self.word, self.in_words(), "on" if state == "ENABLED" else "paused", (line,))


def _first(values: Any) -> Any:
    """A value that a pattern's list takes: the first plain one."""
    if isinstance(values, list):
        return next((value for value in values if not isinstance(value, Mapping)), "sample")
    if isinstance(values, Mapping):
        return {key: _first(value) for key, value in values.items()}
    return values


def _names(place: Place, function: Function) -> list[str]:
    names: list[str] = []
    params: dict[str, Any] = {"TargetArn": function.arn}
    while True:
        answer = place.call("events", "list_rule_names_by_target", **params)
        names += [str(name) for name in answer.get("RuleNames", ()) if str(name).startswith(f"{MARK}-")]
        if not answer.get("NextToken"):
            return names
        params["NextToken"] = answer["NextToken"]


def _rule(place: Place, name: str) -> dict[str, Any] | None:
    try:
        return place.call("events", "describe_rule", Name=name)
    except Refused as exc:
        if exc.aws_code == _MISSING:
            return None
        raise


def _same(present: Mapping[str, Any], pattern: str) -> bool:
    try:
        same: bool = json.loads(present.get("EventPattern") or "null") == json.loads(pattern)
    except ValueError:
        return False
    return same
