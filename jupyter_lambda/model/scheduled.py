"""EventBridge Scheduler's words: groups and schedules; and what both it and rules have, a timer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: The group that every account has.
DEFAULT_GROUP = "default"

#: What a timer belongs to.
TimerKind = Literal["rule", "schedule"]


@dataclass(frozen=True, slots=True)
class ScheduleGroup:
    """A group of schedules. Times are seconds since the epoch."""

    name: str
    created_s: float
    modified_s: float
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScheduledTarget:
    """One schedule of EventBridge Scheduler. Times are seconds since the epoch."""

    group: str
    name: str
    #: rate(…), cron(…) or at(…).
    expression: str
    timezone: str
    state: str
    #: The target as AWS's API has it.
    target: Mapping[str, Any]
    created_s: float
    modified_s: float
    start_s: float | None = None
    end_s: float | None = None
    #: Minutes of the flexible time window; 0: off.
    window_minutes: int = 0
    #: "NONE" or "DELETE".
    action_after_completion: str = "NONE"
    description: str | None = None
    kms_key_arn: str | None = None

    @property
    def timing(self) -> tuple[Any, ...]:
        """What its timer depends on."""
        return (self.expression, self.timezone, self.state, self.start_s, self.end_s, self.window_minutes)


@dataclass(frozen=True, slots=True)
class Timer:
    """When a rule or schedule is due. Times are seconds since the epoch."""

    kind: TimerKind
    #: Bus or group.
    place: str
    name: str
    #: When a rate is due first.
    origin_s: float
    #: The next time by its expression; None: it does not tick.
    tick_s: float | None
    #: When that fires.
    due_s: float | None
    last_tick_s: float | None = None
    last_fired_s: float | None = None
    #: "fired", or why not.
    last_result: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """Something on its way to a target beyond this engine, kept until that has taken it."""

    #: "rule:NAME" or "schedule:NAME".
    source: str
    #: Where to.
    arn: str
    payload: bytes
    #: Seconds since the epoch.
    first_s: float
    #: ARN of the rule or schedule.
    source_arn: str
    #: What the target's kind needs besides, e.g. {"MessageGroupId": …}.
    details: Mapping[str, Any] = field(default_factory=dict)
    #: Further attempts, and seconds, after which it is given up.
    retries_max: int = 185
    age_max_s: float = 86_400.0
    #: ARN of the queue that then gets it.
    dead_letter_arn: str | None = None


@dataclass(frozen=True, slots=True)
class Sending:
    """A delivery in the store."""

    seq: int
    attempts: int
    delivery: Delivery
