"""What stands in a schedule's parentheses: a rate, a cron expression, or one time of the wall clock.

Source: Amazon EventBridge User Guide, "Rate expressions reference"; EventBridge Scheduler User Guide, "Schedule types".
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from jupyter_lambda.errors import InvalidScheduleExpression

from .schedule_cron import Cron

#: Which service reads the expression. EventBridge's rules: rate's unit agrees with its number, cron has six fields, no
#: "at". EventBridge Scheduler: either unit, the year may be missing. Source: recorded answers of AWS, and both guides.
Dialect = Literal["rule", "scheduler"]

#: Unit of a rate → seconds.
UNITS_S = {"minute": 60, "hour": 3_600, "day": 86_400}
#: Largest number of a rate.
_RATE_MAX = 10**9
_CALL = re.compile(r"(rate|cron|at)\((.*)\)", re.DOTALL)
_RATE = re.compile(r"([0-9]{1,20}) +([a-z]+)")
_AT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", re.ASCII)
_FORMS = {
    "rule": "rate(5 minutes) or cron(0 9 ? * MON-FRI *)",
    "scheduler": "rate(5 minutes), cron(0 9 ? * MON-FRI *) or at(2026-12-01T09:00:00)",
}


@dataclass(frozen=True, slots=True)
class Rate:
    """Every so many seconds, counted from when it began."""

    value: int
    unit: str
    period_s: float

    def after(self, after_s: float, origin_s: float) -> float:
        """The first time after one, where the first of all is ``origin_s``."""
        if after_s < origin_s:
            return origin_s
        due_s = origin_s + (math.floor((after_s - origin_s) / self.period_s) + 1) * self.period_s
        return due_s if due_s > after_s else due_s + self.period_s  # fractions of seconds are rounded


@dataclass(frozen=True, slots=True)
class At:
    """Once, at a time of the wall clock."""

    wall: datetime


#: What a schedule can be.
Timing = Rate | Cron | At


def read(expression: str, dialect: Dialect) -> Timing:
    """Read an expression.

    Raises:
        InvalidScheduleExpression: One line that says what is wrong with it.
    """
    call = _CALL.fullmatch(expression)
    if call is None or (call[1] == "at" and dialect == "rule"):
        raise InvalidScheduleExpression(f"{expression[:64]!r} is no schedule: it must be like {_FORMS[dialect]}")
    name, inside = call[1], call[2]
    if name == "rate":
        return _rate(inside, dialect)
    if name == "cron":
        return Cron.parse(inside, year_optional=dialect == "scheduler")
    return _at(inside)


def _rate(text: str, dialect: Dialect) -> Rate:
    found = _RATE.fullmatch(text)
    if found is None:
        raise InvalidScheduleExpression(f"rate({text[:64]}): it must be a number and a unit, like rate(5 minutes)")
    value, unit = int(found[1]), found[2]
    singular = unit.removesuffix("s")
    if singular not in UNITS_S or unit not in (singular, f"{singular}s"):
        raise InvalidScheduleExpression(
            f"rate({text[:64]}): the unit must be minutes, hours or days, not {unit[:32]!r}"
        )
    if not 1 <= value <= _RATE_MAX:
        raise InvalidScheduleExpression(f"rate({text[:64]}): the number must be from 1 to {_RATE_MAX}")
    wanted = singular if value == 1 else f"{singular}s"
    if dialect == "rule" and unit != wanted:
        raise InvalidScheduleExpression(f"rate({text}): of {value} the unit is {wanted!r}, not {unit!r}")
    return Rate(value, singular, value * UNITS_S[singular])


def _at(text: str) -> At:
    if not _AT.fullmatch(text):
        raise InvalidScheduleExpression(f"at({text[:64]}): it must be like at(2026-12-01T09:00:00), without a zone")
    try:
        return At(datetime.fromisoformat(text))
    except ValueError as exc:
        raise InvalidScheduleExpression(f"at({text}): there is no such time: {exc}") from None
