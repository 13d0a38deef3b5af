"""Schedule expressions against an oracle that looks at every minute, AWS's own examples, and both changes of clocks."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jupyter_lambda.errors import InvalidScheduleExpression
from jupyter_lambda.model.schedule import Schedule, in_words, next_times

ZONES = ("UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu")
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


def instant(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def due(expression: str, zone: str, after: str, count: int) -> list[str]:
    """The next times, as UTC."""
    times = Schedule.parse(expression, zone).upcoming(instant(after), count)
    return [datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M") for time in times]


# ── the oracle: asks of every minute whether the expression means it ─────────────────────────────────────────────────


def number(text: str, names: list[str], first: int) -> int:
    return names.index(text) + first if text in names else int(text)


def plain(item: str, value: int, low: int, high: int, names: list[str]) -> bool:
    body, _, step = item.partition("/")
    if body == "*":
        start, end = low, high
    elif "-" in body:
        start, end = (number(part, names, low) for part in body.split("-"))
    else:
        start = number(body, names, low)
        end = high if step else start
    return start <= value <= end and (value - start) % int(step or 1) == 0


def day_meant(item: str, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if item == "L":
        return day.day == last
    if item == "LW" or re.fullmatch(r"\d+W", item):
        wanted = last if item == "LW" else int(item[:-1])
        if wanted > last or day.weekday() > 4:
            return False
        weekdays = [n for n in range(1, last + 1) if date(day.year, day.month, n).weekday() < 5]
        # On a Saturday the Friday before is nearer than the Monday after, on a Sunday the Monday.
        return day.day == min(weekdays, key=lambda n: abs(n - wanted))
    return plain(item, day.day, 1, 31, [])


def weekday_meant(item: str, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    value = day.isoweekday() % 7 + 1
    if item == "L":
        return value == 7
    if "#" in item:
        name, count = item.split("#")
        return value == number(name, DAYS, 1) and (day.day - 1) // 7 + 1 == int(count)
    if len(item) > 1 and item.endswith("L") and item not in DAYS:
        return value == number(item[:-1], DAYS, 1) and day.day + 7 > last
    return plain(item, value, 1, 7, DAYS)


def meant(texts: list[str], wall: datetime) -> bool:
    minutes, hours, month_days, months, week_days, years = (text.split(",") for text in texts)
    return (
        any(plain(item, wall.minute, 0, 59, []) for item in minutes)
        and any(plain(item, wall.hour, 0, 23, []) for item in hours)
        and any(plain(item, wall.month, 1, 12, MONTHS) for item in months)
        and any(plain(item, wall.year, 1970, 2199, []) for item in years)
        and (month_days == ["?"] or any(day_meant(item, wall.date()) for item in month_days))
        and (week_days == ["?"] or any(weekday_meant(item, wall.date()) for item in week_days))
    )


def oracle(texts: list[str], zone: str, start_s: int, hours: int) -> list[float]:
    """Times that are due within so many hours, minute by minute; of a time that comes twice, the first."""
    found = []
    place = ZoneInfo(zone)
    first = start_s - start_s % 60 + 60
    for moment in range(first, start_s + hours * 3600, 60):
        wall = datetime.fromtimestamp(moment, place)
        if wall.fold == 0 and meant(texts, wall.replace(tzinfo=None)):
            found.append(float(moment))
    return found


# ── expressions ──────────────────────────────────────────────────────────────────────────────────────────────────────


def items(low: int, high: int, names: list[str] | None = None, *, steps: bool = True) -> st.SearchStrategy[str]:
    one = st.integers(low, high).map(str)
    if names:
        one = one | st.sampled_from(names)
    span = st.tuples(st.integers(low, high), st.integers(low, high)).map(lambda pair: f"{min(pair)}-{max(pair)}")
    choices = one | span | st.just("*")
    if steps:
        step = st.integers(1, high - low + 1)
        choices = choices | st.tuples(one | st.just("*") | span, step).map(lambda pair: f"{pair[0]}/{pair[1]}")
    return st.lists(choices, min_size=1, max_size=3).map(",".join)


MONTH_DAYS = items(1, 31) | st.sampled_from(["L", "LW", "1W", "15W", "31W", "15W,L", "*"])
WEEK_DAYS = items(1, 7, DAYS, steps=False) | st.sampled_from(
    ["L", "6L", "FRIL", "3#2", "SAT#5", "1#1", "2L,6L", "MON-FRI"]
)


@st.composite
def crons(draw: st.DrawFn) -> list[str]:
    by_week = draw(st.booleans())
    return [
        draw(items(0, 59)),
        draw(items(0, 23)),
        "?" if by_week else draw(MONTH_DAYS),
        draw(items(1, 12, MONTHS) | st.just("*")),
        draw(WEEK_DAYS) if by_week else "?",
        draw(st.sampled_from(["*", "2026", "2025-2027", "2026/2", "2024,2026"])),
    ]


#: Around changes of clocks, a leap day, the ends of months and years, and anywhere.
STARTS = st.sampled_from(
    [
        instant("2026-03-28T22:13"),  # London forward
        instant("2026-10-24T20:59"),  # London back
        instant("2026-03-08T03:30"),  # New York forward
        instant("2026-11-01T02:00"),  # New York back
        instant("2026-04-04T10:00"),  # Lord Howe back, by half an hour
        instant("2028-02-28T12:00"),
        instant("2026-12-31T20:00"),
        instant("2018-11-03T20:00"),  # São Paulo forward, at midnight
    ]
).map(int) | st.integers(1_700_000_000, 1_900_000_000)


@settings(max_examples=120, deadline=None)
@given(crons(), st.sampled_from(ZONES), STARTS)
@example(["0/10", "*", "*", "*", "?", "*"], "Europe/London", int(instant("2026-10-24T23:55")))
@example(["30", "1", "*", "*", "?", "*"], "Europe/London", int(instant("2026-10-25T00:45")))
def test_every_due_time_is_the_oracles(texts, zone, start_s):
    hours = 60
    schedule = Schedule.parse(f"cron({' '.join(texts)})", zone)
    end_s = start_s + hours * 3600
    found = []
    for time in islice(schedule._from(start_s, 0.0), 4000):
        if time >= end_s:
            break
        found.append(time)
    assert found == oracle(texts, zone, start_s, hours)


@given(crons(), st.sampled_from(ZONES))
def test_whatever_is_valid_can_be_said_in_words(texts, zone):
    words = in_words(f"cron({' '.join(texts)})", zone)
    assert words.endswith(f", {zone}")
    assert "\n" not in words


# ── AWS's examples ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("cron(0 10 * * ? *)", "every day at 10:00, UTC"),
        ("cron(0 18 ? * MON-FRI *)", "every weekday at 18:00, UTC"),
        ("cron(0 8 1 * ? *)", "on day 1 of the month at 08:00, UTC"),
        ("cron(0/15 * * * ? *)", "every 15 minutes, UTC"),
        ("cron(0/10 * ? * MON-FRI *)", "every 10 minutes, every weekday, UTC"),
        ("cron(0/5 8-17 ? * MON-FRI *)", "every 5 minutes from 08:00 to 17:55, every weekday, UTC"),
        ("cron(0 9 ? * 2#1 *)", "on the first Monday of the month at 09:00, UTC"),
        ("cron(15 10 ? * 6L 2022-2023)", "on the last Friday of the month at 10:15, in 2022 and 2023, UTC"),
        ("cron(0 0 ? * 1,7 *)", "every Saturday and Sunday at 00:00, UTC"),
        ("cron(5,35 14 * JUL ? *)", "every day at 14:05 and 14:35, in July, UTC"),
        ("cron(0 * * * ? *)", "every hour, on the hour, UTC"),
        ("cron(0 9-17 * * ? *)", "every hour from 09:00 to 17:00, UTC"),
        ("cron(0 9 L-2 * ? *)", "on the day 2 before the last of the month at 09:00, UTC"),
        ("rate(1 hour)", "every hour"),
        ("rate(5 minutes)", "every 5 minutes"),
        ("at(2026-12-01T09:00:30)", "once, on Tuesday 1 December 2026 at 09:00:30, UTC"),
    ],
)
def test_in_words(expression, words):
    """Amazon EventBridge User Guide, "Cron expressions reference", its examples and some others."""
    assert in_words(expression) == words


def test_the_documents_own_dates():
    """The same page: 1/10 is "the 11th, 21st, and 31st minute"; 3#2 is "the second Tuesday of the month"."""
    assert due("cron(1/10 12 * * ? *)", "UTC", "2026-11-25T12:00", 3) == [
        "2026-11-25T12:01",
        "2026-11-25T12:11",
        "2026-11-25T12:21",
    ]
    assert due("cron(0 9 ? * 3#2 *)", "UTC", "2026-11-25T12:00", 2) == ["2026-12-08T09:00", "2027-01-12T09:00"]
    assert due("cron(0 9 3W * ? *)", "UTC", "2026-10-01T00:00", 2) == ["2026-10-02T09:00", "2026-11-03T09:00"]
    assert due("cron(15 10 ? * 6L 2002-2005)", "UTC", "2002-01-01T00:00", 1) == ["2002-01-25T10:15"]


def test_never_again():
    assert due("cron(0 0 30 2 ? *)", "UTC", "2026-01-01T00:00", 1) == []
    assert due("cron(0 0 1 1 ? 2020)", "UTC", "2026-01-01T00:00", 1) == []
    assert due("cron(0 0 29 2 ? *)", "UTC", "2026-01-01T00:00", 1) == ["2028-02-29T00:00"]
    assert due("at(2020-01-01T00:00:00)", "UTC", "2026-01-01T00:00", 1) == []


# ── clocks forward and back ──────────────────────────────────────────────────────────────────────────────────────────


def test_spring_forward_skips_what_does_not_exist():
    """EventBridge Scheduler User Guide, "Schedule types", example for cron(30 2 * * ? *) in America/Los_Angeles."""
    assert due("cron(30 2 * * ? *)", "America/Los_Angeles", "2026-03-06T12:00", 3) == [
        "2026-03-07T10:30",
        "2026-03-09T09:30",
        "2026-03-10T09:30",
    ]


def test_fall_back_fires_once():
    """The same: "runs the schedule only once at 2:30 a.m. before the shift occurs" (clocks there go back at 2:00)."""
    assert due("cron(30 1 * * ? *)", "America/Los_Angeles", "2026-10-31T12:00", 3) == [
        "2026-11-01T08:30",
        "2026-11-02T09:30",
        "2026-11-03T09:30",
    ]


def test_of_the_hour_that_comes_twice_only_the_first_counts():
    times = due("cron(0/30 * * * ? *)", "Europe/London", "2026-10-24T23:59", 6)
    assert times == [
        "2026-10-25T00:00",
        "2026-10-25T00:30",
        "2026-10-25T02:00",
        "2026-10-25T02:30",
        "2026-10-25T03:00",
        "2026-10-25T03:30",
    ]


def test_a_rate_of_days_is_of_24_hours():
    """The same: "evaluates the rate expression 24 hours after the schedule's last invocation"."""
    origin_s = instant("2026-03-07T10:30")
    times = Schedule.parse("rate(1 days)", "America/Los_Angeles").upcoming(origin_s, 3, origin_s=origin_s)
    assert [time - origin_s for time in times] == [86_400, 172_800, 259_200]


def test_at_a_time_that_does_not_exist_is_as_much_later():
    assert due("at(2026-03-29T01:30:00)", "Europe/London", "2026-03-01T00:00", 2) == ["2026-03-29T01:30"]
    assert due("at(2026-10-25T01:30:00)", "Europe/London", "2026-03-01T00:00", 2) == ["2026-10-25T00:30"]


@given(st.integers(1, 10_000), st.floats(0, 2e9), st.floats(-1e6, 1e8))
def test_rates_keep_their_beat(value, origin_s, later_s):
    rate = Schedule.parse(f"rate({value} minutes)", "Europe/London")
    after_s = origin_s + later_s
    due_s = rate.after(after_s, origin_s=origin_s)
    assert due_s is not None
    assert due_s > after_s
    if after_s >= origin_s:
        assert due_s - after_s <= value * 60 + 1e-3
        assert abs((due_s - origin_s) / (value * 60) - round((due_s - origin_s) / (value * 60))) < 1e-6
    else:
        assert due_s == origin_s


# ── mistakes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("cron(0 1 * * * *)", "exactly one of day-of-month and day-of-week must be '?'"),
        ("cron(0 1 ? * ? *)", "exactly one of day-of-month and day-of-week must be '?'"),
        ("cron(7 20 ? * NOT *)", "'NOT' in the field day-of-week: it must be 1 to 7 or SUN to SAT, 1 is Sunday"),
        ("cron(7 20 ? * 0 *)", "1 is Sunday"),
        ("cron(INVALID)", "needs six fields"),
        ("cron()", "needs six fields"),
        ("cron(0 dummy ? * MON-FRI *)", "'DUMMY' in the field hours: it must be 0 to 23"),
        ("cron(71 8 1 * ? *)", "'71' in the field minutes: it must be 0 to 59"),
        ("cron(0 8 32 * ? *)", "'32' in the field day-of-month"),
        ("cron(0 8 1 * ? 2200)", "'2200' in the field year: it must be 1970 to 2199"),
        ("cron(0/0 8 1 * ? *)", "after '/' there must be a number from 1 on"),
        ("cron(0 22-2 1 * ? *)", "a range goes upwards: 2 comes before 22"),
        ("cron(0 8 ? * 3#1,6#3 *)", "with '#' there can be one expression only"),
        ("cron(0 8 ? * 3#6 *)", "after '#' there must be 1 to 5"),
        ("cron(0 8 ? * 2/2 *)", "'/' can't be used here"),
        ("cron(-1 8 1 * ? *)", "in the field minutes"),
        ("rate(10 seconds)", "the unit must be minutes, hours or days, not 'seconds'"),
        ("rate(10 minutess)", "the unit must be"),
        ("rate(0 minutes)", "the number must be from 1"),
        ("rate(foo minutes)", "a number and a unit"),
        ("rate(-10 minutes)", "a number and a unit"),
        ("rate( 10 minutes )", "a number and a unit"),
        ("rate(10)", "a number and a unit"),
        ("rate(\u0661\u0660 minutes)", "a number and a unit"),
        ("cron(\u0661 8 1 * ? *)", "in the field minutes"),
        (" rate(10 minutes)", "is no schedule: it must be like rate(5 minutes)"),
        ("at(2021-12-31T23:59:59Z)", "without a zone"),
        ("at(2021-12-31)", "it must be like at("),
        ("at(2021-02-30T00:00:00)", "there is no such time"),
        ("", "is no schedule"),
    ],
)
def test_mistakes_are_named_in_one_line(expression, why):
    """All of them are refused by AWS: recorded answers to CreateSchedule and PutRule."""
    with pytest.raises(InvalidScheduleExpression) as caught:
        Schedule.parse(expression)
    assert caught.value.code == "ValidationException"
    assert why in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "expression",
    ["rate(1 minutes)", "rate(1 hours)", "rate(10 minute)", "at(2026-12-01T09:00:00)", "cron(0 9 * * ?)"],
)
def test_rules_are_stricter_than_scheduler(expression):
    """Recorded answers of AWS to PutRule; EventBridge Scheduler's guide has rate(1 days) and an optional year."""
    Schedule.parse(expression, dialect="scheduler")
    with pytest.raises(InvalidScheduleExpression):
        Schedule.parse(expression, dialect="rule")


@pytest.mark.parametrize("name", ["Europe/Lundon", "", "../../etc/passwd", "Europe", "GMT+25"])
def test_zones_must_exist(name):
    with pytest.raises(InvalidScheduleExpression, match="no time zone"):
        Schedule.parse("rate(1 hour)", name)


def test_next_times_are_in_the_zone():
    times = next_times("cron(0 9 ? * MON-FRI *)", "Europe/London", after=datetime(2026, 3, 27, 12, tzinfo=UTC), count=2)
    assert [time.isoformat() for time in times] == ["2026-03-30T09:00:00+01:00", "2026-03-31T09:00:00+01:00"]
    now = datetime(2026, 3, 27, 12, tzinfo=UTC)
    assert next_times("rate(5 minutes)", after=now, count=1) == [now + timedelta(minutes=5)]


@given(st.text(max_size=30) | st.from_regex(r"(cron|rate|at)\([0-9A-Z*?/#,LW -]{0,30}\)", fullmatch=True))
def test_whatever_text_comes_is_answered(text):
    try:
        schedule = Schedule.parse(text)
    except InvalidScheduleExpression:
        return
    due_s = schedule.after(1_800_000_000.0)
    assert due_s is None or due_s > 1_800_000_000.0
