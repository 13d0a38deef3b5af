"""EventBridge's rules: events on a bus that match, and ticks of scheduled rules, become what their targets get.

Source: Amazon EventBridge User Guide, "Rules in Amazon EventBridge", "Event bus targets".
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import InvalidScheduleExpression
from jupyter_lambda.model.arn import Account
from jupyter_lambda.model.invocation import AsyncEvent
from jupyter_lambda.model.rule import DEFAULT_BUS, Rule, RuleTarget
from jupyter_lambda.model.schedule import Schedule
from jupyter_lambda.model.schedule_timing import Rate
from jupyter_lambda.model.scheduled import Delivery, Timer
from jupyter_lambda.store.rules import Rules as Rows
from jupyter_lambda.triggers.patterns import EventPattern

from . import inputs, targets
from .clockwork import Fired
from .envelope import event as envelope
from .envelope import instant
from .ticks import Ticks

PRINCIPAL = "events.amazonaws.com"
#: Buses that one event may pass through, one after the other, so that it can't go round for ever.
_HOPS_MAX = 5


@dataclass(slots=True)
class Outcome:
    """What events on a bus lead to."""

    events: list[AsyncEvent]
    deliveries: list[Delivery]
    results: list[str]

    @classmethod
    def none(cls) -> Outcome:
        """Nothing yet."""
        return cls([], [], [])


def bus_arn(account: Account, bus: str) -> str:
    """``arn:aws:events:REGION:ACCOUNT:event-bus/NAME``."""
    return f"arn:{account.partition}:events:{account.region}:{account.account_id}:event-bus/{bus}"


def rule_arn(account: Account, bus: str, rule: str) -> str:
    """``arn:aws:events:REGION:ACCOUNT:rule/[BUS/]NAME``."""
    path = rule if bus == DEFAULT_BUS else f"{bus}/{rule}"
    return f"arn:{account.partition}:events:{account.region}:{account.account_id}:rule/{path}"


def local_bus(account: Account, name_or_arn: str) -> str | None:
    """The name of a bus of this engine; None: the ARN is of another account or region."""
    if not name_or_arn.startswith("arn:"):
        return name_or_arn
    prefix = bus_arn(account, "")
    return name_or_arn.removeprefix(prefix) if name_or_arn.startswith(prefix) else None


class Rules:
    """The owner of rules' timers, and where events on buses go."""

    def __init__(self, service: LambdaService, rows: Rows) -> None:
        self._service = service
        self.rows = rows

    # ── scheduled rules ──────────────────────────────────────────────────────────────────────────────────────────────

    def timer(self, rule: Rule) -> Timer | None:
        """When a scheduled rule is due from now on; None where it has no schedule."""
        if rule.schedule is None:
            return None
        schedule = Schedule.parse(rule.schedule, dialect="rule")
        now_s = self._service.clock()
        origin_s = float(int(now_s))
        if isinstance(schedule.timing, Rate):
            origin_s += schedule.timing.period_s
        tick_s = Ticks(schedule, origin_s).after(now_s) if rule.enabled else None
        return Timer("rule", rule.bus, rule.name, origin_s, tick_s, tick_s)

    def ticks(self, timer: Timer) -> Ticks | None:
        """See ``Owner.ticks``."""
        rule = self.rows.rules(timer.place).get(timer.name)
        if rule is None or rule.schedule is None or not rule.enabled:
            return None
        try:
            return Ticks(Schedule.parse(rule.schedule, dialect="rule"), timer.origin_s)
        except InvalidScheduleExpression:
            return None

    def fire(self, timer: Timer, tick_s: float) -> Fired:
        """See ``Owner.fire``: AWS's "Scheduled Event" to each target."""
        account = self._service.account
        rule = self.rows.rules(timer.place)[timer.name]
        event = envelope(
            account,
            str(uuid.uuid4()),
            detail_type="Scheduled Event",
            source="aws.events",
            time_s=tick_s,
            resources=[rule_arn(account, rule.bus, rule.name)],
            detail={},
        )
        outcome = Outcome.none()
        self._to_targets(rule, event, outcome, hops=0)
        result = "; ".join(dict.fromkeys(outcome.results)) if outcome.results else "the rule has no target"
        return Fired(outcome.events, outcome.deliveries, result)

    def ends(self, timer: Timer) -> bool:
        """See ``Owner.ends``: rules stay."""
        return False

    # ── events on buses ──────────────────────────────────────────────────────────────────────────────────────────────

    async def put(self, events: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Take events on buses; returns once all they lead to is on disk.

        Args:
            events: Name of the bus, and the event in its envelope.
        Raises:
            StoreError: It can't be written; none is taken.
        """
        outcome = Outcome.none()
        for bus, event in events:
            self.spread(bus, event, outcome)
        if outcome.events or outcome.deliveries:
            await self.rows.accept(outcome.events, outcome.deliveries, self._service.entered)

    def spread(self, bus: str, event: Mapping[str, Any], outcome: Outcome, hops: int = 0) -> None:
        """Add what an event leads to: every enabled rule of the bus whose pattern it is of."""
        for rule in self.rows.rules(bus).values():
            if rule.pattern is not None and rule.enabled and pattern(rule.pattern).matches(event):
                self._to_targets(rule, event, outcome, hops)

    def _to_targets(self, rule: Rule, event: Mapping[str, Any], outcome: Outcome, hops: int) -> None:
        account = self._service.account
        source_arn = rule_arn(account, rule.bus, rule.name)
        known = {
            "aws.events.rule-arn": source_arn,
            "aws.events.rule-name": rule.name,
            "aws.events.event.ingestion-time": instant(self._service.clock()),
        }
        for target in self.rows.targets(rule.bus, rule.name).values():
            bus = local_bus(account, target.arn) if ":event-bus/" in target.arn else None
            if bus is not None:
                self._to_bus(bus, event, outcome, hops)
                continue
            data = inputs.payload(target.settings, event, known)
            fired = self._to_target(rule, target, data, event, source_arn)
            outcome.events += fired.events
            outcome.deliveries += fired.deliveries
            outcome.results.append(fired.result)

    def _to_bus(self, bus: str, event: Mapping[str, Any], outcome: Outcome, hops: int) -> None:
        if bus not in self.rows.buses():
            outcome.results.append(f"ResourceNotFoundException: Event bus {bus} does not exist.")
        elif hops >= _HOPS_MAX:
            outcome.results.append(f"an event passes through {_HOPS_MAX} buses at most")
        else:
            outcome.results.append("fired")
            self.spread(bus, event, outcome, hops + 1)

    def _to_target(
        self, rule: Rule, target: RuleTarget, payload: bytes, event: Mapping[str, Any], source_arn: str
    ) -> Fired:
        source = f"rule:{rule.name}"
        kind = targets.kind_of(target.arn, "EventBridge's rules")
        if kind == "lambda":
            asked = targets.to_function(
                self._service, target.arn, payload, source=source, source_arn=source_arn, principal=PRINCIPAL
            )
            if isinstance(asked, str):
                return targets.refused(
                    self._service, target.settings, payload, asked, source=source, source_arn=source_arn
                )
            return Fired([asked])
        details: dict[str, Any] = {}
        if kind == "kinesis":
            path = target.settings.get("KinesisParameters", {}).get("PartitionKeyPath", "$.id")
            details = {"PartitionKey": str(inputs.select(event, path))[:256]}
        elif kind == "events":
            details = {"Event": dict(event)}
        delivery = targets.to_elsewhere(
            self._service, target.settings, kind, payload, source=source, source_arn=source_arn, details=details
        )
        return Fired(deliveries=[delivery])


@lru_cache(maxsize=4096)
def pattern(text: str) -> EventPattern:
    """A compiled pattern, kept."""
    return EventPattern.parse(text)
