"""``rate:``, ``cron:`` and ``at:`` — schedules of EventBridge Scheduler.

Source: Amazon EventBridge Scheduler User Guide, "Schedule types in EventBridge Scheduler".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jupyter_lambda.connection import stays_or_ends
from jupyter_lambda.errors import InvalidScheduleExpression

from . import samples
from .base import MARK, Action, Made, Source, Trigger
from .errors import Refused, TriggerError, WordError
from .options import Options, nearest
from .place import Function, Place

#: Role that AWS's Scheduler takes to invoke the function; the engine asks for none.
ROLE_VARIABLE = "JUPYTER_LAMBDA_SCHEDULER_ROLE"
#: Fire times that are shown.
_SHOWN = 3
_RATE = re.compile(r"(\d+)\s*([a-z]*)")
_UNITS = {"m": "minute", "min": "minute", "h": "hour", "d": "day"}
_SERVICE = "scheduler"
_OPTIONS = {
    "flex": "a window in which it may fire, e.g. 15m (FlexibleTimeWindow)",
    "input": "the event, in JSON; without it, Scheduler's own",
    "retries": "how often a failed delivery is tried again (MaximumRetryAttempts)",
    "age": "how late it may still be delivered, e.g. 1h (MaximumEventAgeInSeconds)",
    "role": f"ARN of the role that AWS's Scheduler takes; for --profile only (or set {ROLE_VARIABLE})",
}


@dataclass(frozen=True)
class ScheduleSource(Source):
    """What the three have in common."""

    known: ClassVar[Mapping[str, str]] = _OPTIONS

    #: As AWS writes it: ``rate(5 minutes)``.
    expression: str = ""
    zone: str = "UTC"
    flex_minutes: int = 0
    input: str | None = None
    retry: tuple[tuple[str, int], ...] = ()
    role: str | None = None

    @classmethod
    def of_expression(cls, expression: str, zone: str, **more: Any) -> Self:
        """Of what AWS calls it: ``cron(0 9 ? * MON-FRI *)``."""
        plain = expression[len(cls.kind) + 1 : -1]
        shown = plain if zone == "UTC" else f"{plain}@{zone}"
        return cls(shown, expression=expression, zone=zone, **more)

    @classmethod
    def _options(cls, options: Options) -> dict[str, Any]:
        flex_s = options.seconds("flex", 60, 86_400)
        if options.json("input") is None and options.text("input") not in (None, "null"):
            raise WordError(f"{cls.kind}: input={options.text('input')} is not JSON")
        policy = {
            "MaximumRetryAttempts": options.number("retries", 0, 185),
            "MaximumEventAgeInSeconds": options.seconds("age", 60, 86_400),
        }
        return {
            "flex_minutes": (flex_s or 0) // 60,
            "input": options.text("input"),
            "retry": tuple((key, value) for key, value in policy.items() if value is not None),
            "role": options.text("role"),
            "options": options.pairs(),
        }

    def in_words(self) -> str:
        """When it fires."""
        from jupyter_lambda.model import schedule

        words = schedule.in_words(self.expression, self.zone)
        return words + (f", within {self.flex_minutes} minutes" if self.flex_minutes else "")

    def next_times(self, after: datetime, count: int = _SHOWN) -> list[datetime]:
        """When it fires next, in its own time zone."""
        from jupyter_lambda.model import schedule

        found = schedule.next_times(self.expression, self.zone, after=after, count=count)
        return [at.astimezone(ZoneInfo(self.zone)) for at in found]

    def plan(self, place: Place, function_name: str) -> list[str]:
        """What would be made."""
        return [f"a schedule of EventBridge Scheduler for {function_name}: {self.expression}, {self.zone}"]

    def make(self, place: Place, function: Function) -> Made:
        """The schedule; one that is there is brought to what the word says."""
        name = self.mark(function)
        present = _schedule(place, name)
        wanted = self._wanted(place, function)
        action: Action = "unchanged"
        if present is None or not _same(present, wanted):
            self._check_future()
            operation = "create_schedule" if present is None else "update_schedule"
            place.call(_SERVICE, operation, Name=name, State="ENABLED", **wanted)
            action = "made" if present is None else "changed"
        elif present.get("State") != "ENABLED":
            place.call(_SERVICE, "update_schedule", Name=name, State="ENABLED", **wanted)
            action = "changed"
        return Made(self._trigger("ENABLED"), action, self._notes(place))

    def remove(self, place: Place, function: Function) -> None:
        """The schedule."""
        try:
            place.call(_SERVICE, "delete_schedule", Name=self.mark(function))
        except Refused as exc:
            if exc.aws_code != "ResourceNotFoundException":
                raise

    @classmethod
    def found(cls, place: Place, function: Function) -> Iterable[Trigger]:
        """Those of its schedules that were made from words of this kind."""
        found = []
        for one in place.pages(_SERVICE, "list_schedules", "Schedules", NamePrefix=f"{MARK}-"):
            if one.get("Target", {}).get("Arn") != function.arn:
                continue
            full = _schedule(place, str(one["Name"]))
            if full is None or not str(full["ScheduleExpression"]).startswith(f"{cls.kind}("):
                continue
            found.append(cls._of_schedule(full)._trigger(str(full["State"])))
        return sorted(found, key=lambda one: one.word)

    @classmethod
    def _of_schedule(cls, full: Mapping[str, Any]) -> Self:
        window = full.get("FlexibleTimeWindow", {})
        flex = int(window.get("MaximumWindowInMinutes") or 0)
        text = full["Target"].get("Input")
        options = [("flex", f"{flex}m")] if flex else []
        if text:
            options.append(("input", str(text)))
        zone = str(full.get("ScheduleExpressionTimezone") or "UTC")
        return cls.of_expression(
            str(full["ScheduleExpression"]), zone, flex_minutes=flex, input=text, options=tuple(options)
        )

    def set_paused(self, place: Place, function: Function, *, paused: bool) -> None:
        """Disable or enable it; ticks that pass meanwhile fire nothing, as at AWS."""
        name = self.mark(function)
        present = _schedule(place, name)
        if present is None:
            raise TriggerError(f"{function.name} has no trigger {self.word}")
        wanted = {key: value for key, value in present.items() if key in _UPDATED and value is not None}
        place.call(_SERVICE, "update_schedule", **{**wanted, "State": "DISABLED" if paused else "ENABLED"})

    def sample(self, place: Place) -> dict[str, Any]:
        """What Scheduler sends."""
        import json

        if self.input is not None:
            found = json.loads(self.input)
            return found if isinstance(found, dict) else {"input": found}
        return samples.scheduled(place.arn("scheduler", "schedule/default/sample"), place)

    def _wanted(self, place: Place, function: Function) -> dict[str, Any]:
        target: dict[str, Any] = {"Arn": function.arn, "RoleArn": self._role(place)}
        if self.input is not None:
            target["Input"] = self.input
        if self.retry:
            target["RetryPolicy"] = dict(self.retry)
        window: dict[str, Any] = {"Mode": "OFF"}
        if self.flex_minutes:
            window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": self.flex_minutes}
        return {
            "ScheduleExpression": self.expression,
            "ScheduleExpressionTimezone": self.zone,
            "FlexibleTimeWindow": window,
            "Target": target,
            "Description": f"%%lambda {function.name} --trigger '{self.identity}'"[:512],
        }

    def _role(self, place: Place) -> str:
        chosen = self.role or os.environ.get(ROLE_VARIABLE)
        if chosen:
            return chosen
        if place.is_aws:
            raise TriggerError(
                f"{self.word}: AWS's Scheduler needs a role that may invoke the function: add ?role=ARN, or set "
                f"{ROLE_VARIABLE}; its trust policy names scheduler.amazonaws.com"
            )
        return f"arn:{place.partition}:iam::{place.account_id}:role/jupyter-lambda"

    def _check_future(self) -> None:
        """Overridden where a time can be past."""

    def _notes(self, place: Place) -> tuple[str, ...]:
        note = stays_or_ends(place.admin.connection) if place.admin is not None else ""
        return (note,) if note else ()

    def _trigger(self, state: str) -> Trigger:
        times = self.next_times(datetime.now(UTC)) if state == "ENABLED" else []
        shown = ", ".join(at.strftime("%a %d %b %Y %H:%M") for at in times)
        if shown:
            line = f"fires next: {shown} ({self.zone})"
        else:
            line = "paused" if state != "ENABLED" else "its time has passed"
        return Trigger(self.word, self.in_words(), "on" if state == "ENABLED" else "paused", (line,))


@dataclass(frozen=True)
class RateSource(ScheduleSource):
    """Every so often."""

    kind: ClassVar[str] = "rate"
    usage: ClassVar[str] = "'rate:5 minutes' or rate:5m"
    summary: ClassVar[str] = "every so many minutes, hours or days"

    @classmethod
    def read(cls, where: str, options: Options) -> Self:
        """``5 minutes``, ``1 hour``, ``2d``."""
        found = _RATE.fullmatch(where.strip().lower().removeprefix("rate(").removesuffix(")").strip())
        if not found:
            raise WordError(f"rate:{where}: write a number and a unit: 'rate:5 minutes', rate:1h, rate:2d")
        number, unit = int(found[1]), _UNITS.get(found[2], found[2].removesuffix("s"))
        if unit in ("second", "", "sec"):
            raise WordError(f"rate:{where}: the unit is minutes, hours or days; a minute is the least AWS knows")
        if unit not in ("minute", "hour", "day"):
            raise WordError(f"rate:{where}: there is no unit {found[2]}{nearest(unit, ('minute', 'hour', 'day'))}")
        if not number:
            raise WordError(f"rate:{where}: the number must be above 0")
        plain = f"{number} {unit}{'' if number == 1 else 's'}"
        return cls.of_expression(f"rate({plain})", "UTC", **cls._options(options))


@dataclass(frozen=True)
class CronSource(ScheduleSource):
    """At times of a calendar."""

    kind: ClassVar[str] = "cron"
    usage: ClassVar[str] = "'cron:0 9 ? * MON-FRI *@Europe/London'"
    summary: ClassVar[str] = "AWS's cron: minute hour day month weekday year, one of the days is ?; @ a time zone"

    @classmethod
    def read(cls, where: str, options: Options) -> Self:
        """Six fields, and perhaps ``@Zone``."""
        text, zone = _zone(where.strip().removeprefix("cron(").removesuffix(")"), "cron")
        fields = text.split()
        if len(fields) == 5:
            raise WordError(
                f"cron:{where} has five fields, as Unix's cron; AWS's has six, the year last, and one of the "
                f"days is ?: 'cron:{_six(fields)}'"
            )
        if len(fields) != 6:
            raise WordError(f"cron:{where} has {len(fields)} fields, not six: minute hour day month weekday year")
        plain = " ".join(fields).upper()
        _check(f"cron({plain})", zone, where)
        return cls.of_expression(f"cron({plain})", zone, **cls._options(options))


@dataclass(frozen=True)
class AtSource(ScheduleSource):
    """Once."""

    kind: ClassVar[str] = "at"
    usage: ClassVar[str] = "at:2026-12-01T09:00"
    summary: ClassVar[str] = "once, at that time; @ a time zone"

    @classmethod
    def read(cls, where: str, options: Options) -> Self:
        """``2026-12-01T09:00``, and perhaps ``@Zone``."""
        text, zone = _zone(where.strip().removeprefix("at(").removesuffix(")"), "at")
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise WordError(f"at:{where}: write a date and time such as at:2026-12-01T09:00") from None
        if at.tzinfo is not None:
            at, zone = at.astimezone(UTC).replace(tzinfo=None), "UTC"
        plain = at.replace(microsecond=0).isoformat()
        return cls.of_expression(f"at({plain})", zone, **cls._options(options))

    def _check_future(self) -> None:
        at = datetime.fromisoformat(self.expression[3:-1]).replace(tzinfo=ZoneInfo(self.zone))
        now = datetime.now(UTC)
        if at <= now:
            shown = now.astimezone(ZoneInfo(self.zone)).strftime("%Y-%m-%dT%H:%M")
            raise TriggerError(f"{self.word} is past: it is {shown} in {self.zone}")


#: What UpdateSchedule takes of what GetSchedule gives.
_UPDATED = (
    "Name",
    "GroupName",
    "ScheduleExpression",
    "ScheduleExpressionTimezone",
    "FlexibleTimeWindow",
    "Target",
    "Description",
    "StartDate",
    "EndDate",
    "KmsKeyArn",
    "ActionAfterCompletion",
)


def _schedule(place: Place, name: str) -> dict[str, Any] | None:
    try:
        return place.call(_SERVICE, "get_schedule", Name=name)
    except Refused as exc:
        if exc.aws_code == "ResourceNotFoundException":
            return None
        raise


def _same(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether nothing that the word says differs; what AWS adds by itself doesn't count."""
    own, target = present.get("Target", {}), wanted["Target"]
    plain = ("ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow")
    return (
        all(present.get(key) == wanted[key] for key in plain)
        and all(own.get(key) == target.get(key) for key in ("Arn", "RoleArn", "Input"))
        and ("RetryPolicy" not in target or own.get("RetryPolicy", {}).items() >= target["RetryPolicy"].items())
    )


def _zone(text: str, kind: str) -> tuple[str, str]:
    """The expression, and the time zone behind ``@``; UTC where there is none."""
    plain, at, zone = text.partition("@")
    if not at:
        return plain.strip(), "UTC"
    try:
        ZoneInfo(zone.strip())
    except (ZoneInfoNotFoundError, ValueError, OSError):
        from zoneinfo import available_timezones

        raise WordError(f"{kind}: there is no time zone {zone}{_like(zone, available_timezones())}") from None
    return plain.strip(), zone.strip()


def _like(zone: str, known: Iterable[str]) -> str:
    import difflib

    names = sorted(known)
    by_city = {name.rpartition("/")[2].lower(): name for name in names}
    city = by_city.get(zone.rpartition("/")[2].lower().replace(" ", "_"))
    near = [city] if city else difflib.get_close_matches(zone, names, n=1)
    return f"; did you mean {near[0]}?" if near else "; write one such as Europe/London"


def _six(fields: list[str]) -> str:
    """A Unix crontab's five fields as AWS's six, where that is plain: one of the days becomes ``?``."""
    minute, hour, day, month, weekday = fields
    if weekday == "*":
        weekday = "?"
    else:
        day = "?" if day == "*" else day
        weekday = "".join(str(int(sign) % 7 + 1) if sign.isdigit() else sign for sign in weekday)
    return " ".join((minute, hour, day, month, weekday, "*"))


def _check(expression: str, zone: str, where: str) -> None:
    """Raises WordError where the expression means nothing."""
    from jupyter_lambda.model import schedule

    try:
        schedule.in_words(expression, zone)
    except InvalidScheduleExpression as exc:
        raise WordError(f"cron:{where}: {exc.message}") from None
