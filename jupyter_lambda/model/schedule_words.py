"""Schedules for people: "every 5 minutes", "every weekday at 09:00, Europe/London"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .schedule_cron import DAY_OF_WEEK, MONTHS, WEEKDAYS, YEAR_MAX, YEAR_MIN, Cron, values
from .schedule_timing import At, Rate, Timing

_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_WEEKDAYS, _WEEKEND = (2, 3, 4, 5, 6), (1, 7)
#: Times of the day that are listed one by one.
_LISTED_MAX = 6
_NEAREST = re.compile(r"(\d+)W")
_BEFORE_LAST = re.compile(r"L-(\d+)")


def in_words(timing: Timing, timezone: str) -> str:
    """What a schedule means, in one line."""
    match timing:
        case Rate(value, unit):
            return f"every {unit}" if value == 1 else f"every {value} {unit}s"
        case At(wall):
            day = f"{_DAYS[wall.isoweekday() % 7]} {wall.day} {_MONTHS[wall.month - 1]} {wall.year}"
            seconds = f":{wall:%S}" if wall.second else ""
            return f"once, on {day} at {wall:%H:%M}{seconds}, {timezone}"
        case Cron() as cron:
            return f"{_cron(cron)}, {timezone}"


def _cron(cron: Cron) -> str:
    times, days = _times(cron.minutes, cron.hours), _days(cron)
    text = f"{days} {times}" if not times.startswith("every") else times if days == "every day" else f"{times}, {days}"
    if len(cron.months) < len(MONTHS):
        text += f", in {_listed(_MONTHS[month - 1] for month in cron.months)}"
    if len(cron.years) < YEAR_MAX - YEAR_MIN + 1:
        text += f", in {_spans(cron.years)}"
    return text


def _times(minutes: Sequence[int], hours: Sequence[int]) -> str:
    """The times of a day."""
    all_day = len(hours) == 24
    row = hours[-1] - hours[0] == len(hours) - 1
    step = _step(minutes)
    if len(minutes) == 1 and all_day:
        return "every hour, on the hour" if minutes[0] == 0 else f"every hour, {minutes[0]} minutes past"
    if len(minutes) * len(hours) <= _LISTED_MAX:
        return f"at {_listed(f'{hour:02}:{minute:02}' for hour in hours for minute in minutes)}"
    span = f"from {hours[0]:02}:{minutes[0]:02} to {hours[-1]:02}:{minutes[-1]:02}"
    if len(minutes) == 1 and row:
        return f"every hour {span}"
    if step and (all_day or row):
        every = "every minute" if step == 1 else f"every {step} minutes"
        return every if all_day else f"{every} {span}"
    past = f"at minute{'s' * (len(minutes) > 1)} {_spans(minutes)}"
    return f"every hour {past}" if all_day else f"{past} of the hour{'s' * (len(hours) > 1)} {_spans(hours)}"


def _step(minutes: Sequence[int]) -> int | None:
    """Minutes between two, where they fill the hour evenly from its beginning."""
    step = minutes[1] - minutes[0] if len(minutes) > 1 else 60
    return step if list(minutes) == list(range(0, 60, step)) and 60 % step == 0 and step < 60 else None


def _days(cron: Cron) -> str:
    _, _, month_days, _, week_days, _ = cron.texts
    if week_days == "?":
        return "every day" if month_days == "*" else _month_days(month_days.split(","))
    if week_days == "*":
        return "every day"
    return _week_days(week_days)


def _month_days(items: Sequence[str]) -> str:
    if all(item.isdigit() for item in items):
        return f"on day{'s' * (len(items) > 1)} {_listed(items)} of the month"
    text = f"{_listed(_month_day(item) for item in items)} of the month"
    return text if text.startswith("every") else f"on {text}"


def _month_day(item: str) -> str:
    if item == "L":
        return "the last day"
    if item == "LW":
        return "the last weekday"
    if nearest := _NEAREST.fullmatch(item):
        return f"the weekday nearest to day {nearest[1]}"
    if before := _BEFORE_LAST.fullmatch(item):
        return f"the day {before[1]} before the last"
    if "/" in item:
        body, _, step = item.partition("/")
        start = "day 1" if body == "*" else f"day {body}"
        return f"every {step} days from {start}"
    first, dash, last = item.partition("-")
    return f"days {first} to {last}" if dash else f"day {item}"


def _week_days(text: str) -> str:
    if "#" in text:
        day, _, count = text.partition("#")
        return f"on the {_ORDINALS[int(count) - 1]} {_day(day)} of the month"
    items = text.split(",")
    lasts = [item for item in items if len(item) > 1 and item.endswith("L") and item not in WEEKDAYS]
    if lasts:
        named = [f"the last {_day(item[:-1])}" for item in lasts]
        plain = [item for item in items if item not in lasts]
        more = f" and {_week_days(','.join(plain))}" if plain else ""
        return f"on {_listed(named)} of the month{more}"
    days = values(DAY_OF_WEEK, ",".join("SAT" if item == "L" else item for item in items))
    if days == _WEEKDAYS:
        return "every weekday"
    if days == _WEEKEND:
        return "every Saturday and Sunday"
    return f"every {_listed(_DAYS[day - 1] for day in days)}"


def _day(text: str) -> str:
    return _DAYS[WEEKDAYS.index(text) if text in WEEKDAYS else int(text) - 1]


def _spans(numbers: Sequence[int]) -> str:
    """1, 2, 3, 7 → "1 to 3 and 7"."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return _listed(f"{span[0]} to {span[-1]}" if len(span) > 2 else _listed(map(str, span)) for span in spans)


def _listed(items: Iterable[str]) -> str:
    """a, b and c."""
    *many, last = items
    return f"{', '.join(many)} and {last}" if many else last
