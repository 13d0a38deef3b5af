"""EventBridge Scheduler's schedules: what their ticks fire.

Source: EventBridge Scheduler User Guide, "Managing targets", "Adding context attributes", "Configuring flexible time
windows", "Deleting a schedule".
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.model.arn import Account
from jupyter_lambda.model.schedule import Schedule
from jupyter_lambda.model.schedule_timing import At, Rate
from jupyter_lambda.model.scheduled import ScheduledTarget, Timer
from jupyter_lambda.store.schedules import Schedules as Rows

from . import targets
from .clockwork import Fired
from .envelope import event as envelope
from .envelope import instant
from .rules import Outcome, Rules, local_bus
from .ticks import Ticks


def schedule_arn(account: Account, group: str, name: str) -> str:
    """``arn:aws:scheduler:REGION:ACCOUNT:schedule/GROUP/NAME``."""
    return f"arn:{account.partition}:scheduler:{account.region}:{account.account_id}:schedule/{group}/{name}"


def group_arn(account: Account, group: str) -> str:
    """``arn:aws:scheduler:REGION:ACCOUNT:schedule-group/GROUP``."""
    return f"arn:{account.partition}:scheduler:{account.region}:{account.account_id}:schedule-group/{group}"


class Scheduler:
    """The owner of schedules' timers."""

    def __init__(self, service: LambdaService, rows: Rows, rules: Rules) -> None:
        self._service = service
        self.rows = rows
        self._rules = rules

    def timer(self, schedule: ScheduledTarget) -> Timer:
        """When a schedule is due from now on, but for its flexible window.

        A rate begins at once, or with its StartDate; AWS ignores both dates for a one-time schedule.
        """
        now_s = self._service.clock()
        timing = Schedule.parse(schedule.expression, schedule.timezone)
        once = isinstance(timing.timing, At)
        start_s = schedule.start_s if schedule.start_s is not None and not once else now_s
        origin_s = float(int(start_s))
        ticks = Ticks(timing, origin_s, None if once else schedule.end_s, schedule.window_minutes * 60.0)
        first_after_s = max(now_s, start_s)
        if isinstance(timing.timing, Rate) or start_s > now_s:
            # The beginning itself counts.
            first_after_s = max(origin_s, float(int(now_s))) - 1.0
        tick_s = ticks.after(first_after_s) if schedule.state == "ENABLED" else None
        return Timer("schedule", schedule.group, schedule.name, origin_s, tick_s, tick_s)

    def ticks(self, timer: Timer) -> Ticks | None:
        """See ``Owner.ticks``."""
        schedule = self.rows.get(timer.place, timer.name)
        if schedule is None or schedule.state != "ENABLED":
            return None
        timing = Schedule.parse(schedule.expression, schedule.timezone)
        end_s = None if isinstance(timing.timing, At) else schedule.end_s
        return Ticks(timing, timer.origin_s, end_s, schedule.window_minutes * 60.0)

    def fire(self, timer: Timer, tick_s: float) -> Fired:
        """See ``Owner.fire``."""
        schedule = self.rows.get(timer.place, timer.name)
        assert schedule is not None, "asked for its ticks just now"
        settings = schedule.target
        account, source = self._service.account, f"schedule:{schedule.name}"
        arn = schedule_arn(account, schedule.group, schedule.name)
        kind = targets.kind_of(settings["Arn"], "EventBridge Scheduler")
        payload = self._payload(settings, arn, tick_s).encode()
        if kind == "lambda":
            asked = targets.to_function(
                self._service, settings["Arn"], payload, source=source, source_arn=arn, principal=None
            )
            if isinstance(asked, str):
                return targets.refused(self._service, settings, payload, asked, source=source, source_arn=arn)
            return Fired([asked])
        details: dict[str, Any] = {}
        if kind == "events":
            bus = local_bus(account, settings["Arn"])
            details = {"Event": self._event(settings, arn, payload)}
            if bus is not None:
                return self._to_bus(bus, details["Event"])
        delivery = targets.to_elsewhere(
            self._service, settings, kind, payload, source=source, source_arn=arn, details=details
        )
        return Fired(deliveries=[delivery])

    def ends(self, timer: Timer) -> bool:
        """See ``Owner.ends``."""
        schedule = self.rows.get(timer.place, timer.name)
        return schedule is not None and schedule.action_after_completion == "DELETE"

    def _payload(self, settings: Mapping[str, Any], arn: str, tick_s: float) -> str:
        """The input with context attributes filled in; without one, AWS's own event."""
        account = self._service.account
        execution_id = str(uuid.uuid4())
        text = settings.get("Input")
        if text is None:
            event = envelope(
                account,
                execution_id,
                detail_type="Scheduled Event",
                source="aws.scheduler",
                time_s=tick_s,
                resources=[arn],
                detail="{}",
            )
            return json.dumps(event, separators=(",", ":"))
        attributes = {
            "schedule-arn": arn,
            "scheduled-time": instant(tick_s),
            "execution-id": execution_id,
            "attempt-number": "1",
        }
        filled = str(text)
        for name, value in attributes.items():
            filled = filled.replace(f"<aws.scheduler.{name}>", value)
        return filled

    def _event(self, settings: Mapping[str, Any], arn: str, payload: bytes) -> dict[str, Any]:
        """An event for a bus: the input is its detail."""
        parameters = settings.get("EventBridgeParameters", {})
        return envelope(
            self._service.account,
            str(uuid.uuid4()),
            detail_type=parameters.get("DetailType", "Scheduled Event"),
            source=parameters.get("Source", "aws.scheduler"),
            time_s=self._service.clock(),
            resources=[arn],
            detail=json.loads(payload),
        )

    def _to_bus(self, bus: str, event: Mapping[str, Any]) -> Fired:
        if bus not in self._rules.rows.buses():
            return Fired(result=f"ResourceNotFoundException: Event bus {bus} does not exist.")
        outcome = Outcome.none()
        self._rules.spread(bus, event, outcome)
        return Fired(outcome.events, outcome.deliveries)
