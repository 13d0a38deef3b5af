"""What the admin route ``schedules`` tells: each rule and schedule, when it is due, what it did last."""

from __future__ import annotations

from typing import Any

from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import LambdaError
from jupyter_lambda.model.arn import FunctionName
from jupyter_lambda.model.schedule_words import in_words
from jupyter_lambda.model.scheduled import Timer
from jupyter_lambda.triggers.host import Triggers
from jupyter_lambda.triggers.schedules.rules import rule_arn
from jupyter_lambda.triggers.schedules.scheduler import schedule_arn

#: Times that are told ahead.
NEXT = 3


def schedules(service: LambdaService, triggers: Triggers, function: str | None, count: int = NEXT) -> dict[str, Any]:
    """Every schedule and scheduled rule, the next due first.

    Args:
        function: Only those that invoke this function, by its bare name.
        count: Fire times to tell of each.
    """
    timers = service.store.timers.all() if function is None else _timers_of(service, triggers, function)
    told = [_told(service, triggers, timer, count) for timer in timers]
    return {"schedules": [one for one in told if one and (function is None or function in one["functions"])]}


def _timers_of(service: LambdaService, triggers: Triggers, function: str) -> list[Timer]:
    """Those of one function, found by the schedules' targets; rules are few."""
    store = service.store
    found = [
        store.timers.get("schedule", one.group, one.name)
        for one in store.schedules.of_target(service.account.function_arn(function))
    ]
    for bus in triggers.schedules.rules.rows.buses():
        rules = triggers.schedules.rules.rows.rules(bus).values()
        found += [store.timers.get("rule", bus, rule.name) for rule in rules if rule.schedule]
    return sorted((timer for timer in found if timer), key=lambda timer: (timer.due_s is None, timer.due_s or 0.0))


def _told(service: LambdaService, triggers: Triggers, timer: Timer, count: int) -> dict[str, Any] | None:
    part, account = triggers.schedules, service.account
    if timer.kind == "rule":
        rule = part.rules.rows.rules(timer.place).get(timer.name)
        if rule is None or rule.schedule is None:
            return None
        arns = [target.arn for target in part.rules.rows.targets(timer.place, timer.name).values()]
        arn, expression, timezone, state = rule_arn(account, rule.bus, rule.name), rule.schedule, "UTC", rule.state
        window_minutes = 0
    else:
        schedule = part.scheduler.rows.get(timer.place, timer.name)
        if schedule is None:
            return None
        arns = [schedule.target["Arn"]]
        arn, expression = schedule_arn(account, schedule.group, schedule.name), schedule.expression
        timezone, state, window_minutes = schedule.timezone, schedule.state, schedule.window_minutes
    owner = part.rules if timer.kind == "rule" else part.scheduler
    ticks = owner.ticks(timer)
    next_s: list[float] = []
    tick_s = timer.tick_s
    while ticks is not None and tick_s is not None and len(next_s) < count:
        next_s.append(tick_s)
        tick_s = ticks.after(tick_s)
    functions = [name for name in (_function(service, one) for one in arns) if name]
    return {
        "trigger": f"{timer.kind}:{timer.name}",
        "arn": arn,
        "expression": expression,
        "timezone": timezone,
        "words": in_words(ticks.schedule.timing, timezone) if ticks else None,
        "state": state,
        "function": functions[0] if functions else None,
        "functions": functions,
        "targets": arns,
        "window_minutes": window_minutes,
        "due_s": timer.due_s,
        "next_s": next_s,
        "last_tick_s": timer.last_tick_s,
        "last_fired_s": timer.last_fired_s,
        "last_result": timer.last_result,
    }


def _function(service: LambdaService, arn: str) -> str | None:
    if ":lambda:" not in arn:
        return None
    try:
        return FunctionName.parse(arn, service.account).name
    except LambdaError:
        return None
