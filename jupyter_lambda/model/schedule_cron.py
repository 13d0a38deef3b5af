"""AWS's cron expressions: six fields, ``? L W #``, 1 = Sunday; read, and asked for the next time of a wall clock.

Pure and without time zones: a ``Cron`` knows calendar days and the clock on the wall. ``model/schedule.py`` knows which
of those times exist in a zone.

Source: Amazon EventBridge User Guide, "Cron expressions reference", and EventBridge Scheduler User Guide, "Schedule
types".
"""

from __future__ import annotations

import calendar
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from jupyter_lambda.errors import InvalidScheduleExpression

YEAR_MIN, YEAR_MAX = 1970, 2199
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
#: 1 is Sunday.
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

_SATURDAY = 7
_NUMBER = re.compile(r"[0-9]{1,4}")
_NEAREST = re.compile(r"([0-9]{1,2})W")
_BEFORE_LAST = re.compile(r"L-([0-9]{1,2})")
_OCCURRENCE = re.compile(r"([A-Z]{3}|[0-9])#([0-9]{1,3})")
_LAST_WEEKDAY = re.compile(r"([A-Z]{3}|[0-9])L")

#: Days of one month: year and month in, days out.
Days = Callable[[int, int], set[int]]


@dataclass(frozen=True, slots=True)
class Field:
    """One of the six fields: its name and bounds, and what it is called by."""

    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()
    #: The dash and the slash are not for everybody: AWS's table of wildcards.
    steps: bool = True


MINUTES = Field("minutes", 0, 59)
HOURS = Field("hours", 0, 23)
DAY_OF_MONTH = Field("day-of-month", 1, 31)
MONTH = Field("month", 1, 12, MONTHS)
DAY_OF_WEEK = Field("day-of-week", 1, 7, WEEKDAYS, steps=False)
YEAR = Field("year", YEAR_MIN, YEAR_MAX)
FIELDS = (MINUTES, HOURS, DAY_OF_MONTH, MONTH, DAY_OF_WEEK, YEAR)


@dataclass(frozen=True)
class Cron:
    """A cron expression that has been read."""

    #: The six fields as they were written, in capitals.
    texts: tuple[str, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    years: tuple[int, ...]
    days: Days

    @classmethod
    def parse(cls, text: str, *, year_optional: bool = False) -> Cron:
        """Read what stands between the parentheses.

        Raises:
            InvalidScheduleExpression: One line that says which field is wrong, and why.
        """
        texts = text.upper().split()
        if year_optional and len(texts) == 5:
            texts.append("*")
        if len(texts) != len(FIELDS):
            names = " ".join(field.name for field in FIELDS)
            raise InvalidScheduleExpression(f"cron needs six fields ({names}); here are {len(texts)}: {text[:64]!r}")
        minutes, hours, month_days, months, week_days, years = texts
        if (month_days == "?") == (week_days == "?"):
            raise InvalidScheduleExpression(
                "cron: exactly one of day-of-month and day-of-week must be '?' (any); here are "
                f"{month_days!r} and {week_days!r}"
            )
        days = _days_of_month(month_days) if week_days == "?" else _days_of_week(week_days)
        return cls(
            tuple(texts),
            values(MINUTES, minutes),
            values(HOURS, hours),
            values(MONTH, months),
            values(YEAR, years),
            days,
        )

    def from_(self, start: datetime) -> Iterator[datetime]:
        """All times of the wall clock from one on (its seconds don't count), in order.

        Args:
            start: Without a time zone.
        """
        for day in self._dates(start.date()):
            first = start if day == start.date() else datetime.combine(day, datetime.min.time())
            for hour in self.hours[bisect_left(self.hours, first.hour) :]:
                begin = first.minute if hour == first.hour else 0
                for minute in self.minutes[bisect_left(self.minutes, begin) :]:
                    yield datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001 - the wall's

    def _dates(self, start: date) -> Iterator[date]:
        for year in self.years[bisect_left(self.years, start.year) :]:
            for month in self.months:
                if (year, month) < (start.year, start.month):
                    continue
                for day in sorted(self.days(year, month)):
                    found = date(year, month, day)
                    if found >= start:
                        yield found


def values(field: Field, text: str) -> tuple[int, ...]:
    """The values of a field of plain items, in order.

    Raises:
        InvalidScheduleExpression: An item is not valid.
    """
    found: set[int] = set()
    for item in text.split(","):
        found.update(_item(field, item))
    return tuple(sorted(found))


def _item(field: Field, item: str) -> Sequence[int]:
    """``*``, ``5``, ``MON``, ``1-5``, ``0/15``, ``*/15``, ``8-17/2``."""
    body, slash, step_text = item.partition("/")
    step = 1
    if slash:
        if not field.steps:
            raise _wrong(field, item, "'/' can't be used here")
        if not _NUMBER.fullmatch(step_text) or int(step_text) == 0:
            raise _wrong(field, item, "after '/' there must be a number from 1 on")
        step = int(step_text)
    if body == "*":
        return range(field.first, field.last + 1, step)
    first, dash, last = body.partition("-")
    low = _number(field, first, item)
    high = _number(field, last, item) if dash else (field.last if slash else low)
    if high < low:
        raise _wrong(field, item, f"a range goes upwards: {high} comes before {low}")
    return range(low, high + 1, step)


def _number(field: Field, text: str, item: str) -> int:
    if text in field.names:
        return field.names.index(text) + field.first
    bounds = f"{field.first} to {field.last}"
    if field.names:
        bounds += f" or {field.names[0]} to {field.names[-1]}"
    if field is DAY_OF_WEEK:
        bounds += ", 1 is Sunday"
    if not _NUMBER.fullmatch(text) or not field.first <= int(text) <= field.last:
        raise _wrong(field, item, f"it must be {bounds}")
    return int(text)


def _wrong(field: Field, item: str, why: str) -> InvalidScheduleExpression:
    return InvalidScheduleExpression(f"cron: {item[:32]!r} in the field {field.name}: {why}")


# ── days ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _days_of_month(text: str) -> Days:
    parts = [_month_item(item) for item in text.split(",")]
    return lambda year, month: {day for part in parts for day in part(year, month) if 1 <= day <= last_day(year, month)}


def _month_item(item: str) -> Days:
    """A plain item, ``L``, ``L-3`` (the third day before the last), ``LW`` (the last weekday), ``15W``."""
    if item == "L":
        return lambda year, month: {last_day(year, month)}
    if item == "LW":
        return lambda year, month: {_nearest_weekday(year, month, last_day(year, month))}
    before = _BEFORE_LAST.fullmatch(item)
    if before:
        distance = int(before[1])
        if not 1 <= distance <= 30:
            raise _wrong(DAY_OF_MONTH, item, "after 'L-' there must be 1 to 30")
        return lambda year, month: {last_day(year, month) - distance}
    nearest = _NEAREST.fullmatch(item)
    if nearest:
        wanted = _number(DAY_OF_MONTH, nearest[1], item)
        return lambda year, month: {_nearest_weekday(year, month, wanted)} if wanted <= last_day(year, month) else set()
    plain = set(_item(DAY_OF_MONTH, item))
    return lambda year, month: plain


def _days_of_week(text: str) -> Days:
    items = text.split(",")
    if "#" in text and len(items) > 1:
        raise _wrong(DAY_OF_WEEK, text, "with '#' there can be one expression only")
    parts = [_week_item(item) for item in items]
    return lambda year, month: {day for part in parts for day in part(year, month)}


def _week_item(item: str) -> Days:
    """A plain item, ``L`` (the week's last day, Saturday), ``6L`` (the month's last Friday), ``3#2`` (2nd Tuesday)."""
    if item == "L":
        return lambda year, month: _weekdays(year, month, _SATURDAY)
    last = _LAST_WEEKDAY.fullmatch(item)
    if last:
        weekday = _number(DAY_OF_WEEK, last[1], item)
        return lambda year, month: {max(_weekdays(year, month, weekday))}
    occurrence = _OCCURRENCE.fullmatch(item)
    if occurrence:
        weekday, count = _number(DAY_OF_WEEK, occurrence[1], item), int(occurrence[2])
        if not 1 <= count <= 5:
            raise _wrong(DAY_OF_WEEK, item, "after '#' there must be 1 to 5")
        return lambda year, month: set(sorted(_weekdays(year, month, weekday))[count - 1 : count])
    plain = _item(DAY_OF_WEEK, item)
    return lambda year, month: {day for weekday in plain for day in _weekdays(year, month, weekday)}


def last_day(year: int, month: int) -> int:
    """The number of the month's last day."""
    return calendar.monthrange(year, month)[1]


def _weekdays(year: int, month: int, weekday: int) -> set[int]:
    """The days of a month that are of one weekday, 1 is Sunday."""
    first_weekday, last = calendar.monthrange(year, month)  # of the 1st, 0 is Monday
    first = (weekday - 2 - first_weekday) % 7 + 1
    return set(range(first, last + 1, 7))


def _nearest_weekday(year: int, month: int, day: int) -> int:
    """Monday to Friday nearest to a day, in the same month."""
    chosen = date(year, month, day)
    if chosen.weekday() == 5:  # Saturday: Friday before it, unless that is in another month
        chosen += timedelta(days=-1 if day > 1 else 2)
    elif chosen.weekday() == 6:
        chosen += timedelta(days=1 if day < last_day(year, month) else -2)
    return chosen.day
