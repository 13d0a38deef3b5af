"""When something is due: ``rate(…)``, ``cron(…)`` and ``at(…)``, read and asked for the next time in a time zone.

Pure: text and times in, times out; times are seconds since the epoch. What EventBridge Scheduler does where clocks are
set forward or back is done here:

- A time that doesn't exist, since clocks go forward over it, is skipped (cron). A one-time schedule is not lost: it is
  due as much later as clocks went forward.
- A time that comes twice, since clocks go back, counts once, the first time.
- Rates count elapsed time: a day is 24 hours, whatever clocks do.

Source: EventBridge Scheduler User Guide, "Schedule types", "Daylight savings time on EventBridge Scheduler"; Amazon
EventBridge User Guide, "Rate expressions reference".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo, available_timezones

from jupyter_lambda.errors import InvalidScheduleExpression

from . import schedule_words
from .schedule_cron import Cron
from .schedule_timing import At, Dialect, Rate, Timing, read


@dataclass(frozen=True)
class Schedule:
    """An expression and the zone it is meant in."""

    #: As it was written.
    expression: str
    timing: Timing
    zone: tzinfo
    #: The zone's name, "UTC" or "Europe/London".
    timezone: str = "UTC"

    @classmethod
    def parse(cls, expression: str, timezone: str = "UTC", *, dialect: Dialect = "scheduler") -> Schedule:
        """Read an expression.

        Raises:
            InvalidScheduleExpression: One line that says what is wrong with it.
        """
        return _parse(expression, timezone, dialect)

    def after(self, after_s: float, *, origin_s: float = 0.0) -> float | None:
        """The first time it is due after a time; None: never again.

        Args:
            origin_s: When a rate is due first; the others have no beginning.
        """
        match self.timing:
            case Rate() as rate:
                return rate.after(after_s, origin_s)
            case At(wall):
                due_s = wall.replace(tzinfo=self.zone).timestamp()
                return due_s if due_s > after_s else None
            case Cron() as cron:
                start = datetime.fromtimestamp(after_s, self.zone).replace(tzinfo=None)
                times = (self._exists(wall) for wall in cron.from_(start))
                return next((due_s for due_s in times if due_s is not None and due_s > after_s), None)

    def upcoming(self, after_s: float, count: int, *, origin_s: float | None = None) -> list[float]:
        """The next times it is due, at most ``count``.

        Args:
            origin_s: When a rate is due first; None: one period after ``after_s``.
        """
        if origin_s is None:
            origin_s = after_s + self.timing.period_s if isinstance(self.timing, Rate) else 0.0
        return list(islice(self._from(after_s, origin_s), count))

    def _from(self, after_s: float, origin_s: float) -> Iterator[float]:
        due_s = self.after(after_s, origin_s=origin_s)
        while due_s is not None:
            yield due_s
            due_s = self.after(due_s, origin_s=origin_s)

    def _exists(self, wall: datetime) -> float | None:
        """Seconds since the epoch of a wall clock's time, the first of two; None where clocks go forward over it."""
        moment = wall.replace(tzinfo=self.zone).astimezone(UTC)
        if moment.astimezone(self.zone).replace(tzinfo=None) != wall:
            return None
        return moment.timestamp()


@lru_cache(maxsize=1024)
def _parse(expression: str, timezone: str, dialect: Dialect) -> Schedule:
    return Schedule(expression, read(expression, dialect), zone(timezone), timezone)


def zone(name: str) -> tzinfo:
    """A time zone of the IANA database.

    Raises:
        InvalidScheduleExpression: There is none of this name.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; not a name; a directory of the database
        similar = [known for known in sorted(available_timezones()) if name and name.lower() in known.lower()]
        hint = f"; did you mean {similar[0]}?" if similar else ", like Europe/London"
        raise InvalidScheduleExpression(f"{name[:64]!r} is no time zone of the IANA database{hint}") from None


def in_words(expression: str, timezone: str = "UTC", *, dialect: Dialect = "scheduler") -> str:
    """An expression for people: "every weekday at 09:00, Europe/London".

    Raises:
        InvalidScheduleExpression: One line that says what is wrong with it.
    """
    return schedule_words.in_words(Schedule.parse(expression, timezone, dialect=dialect).timing, timezone)


def next_times(
    expression: str, timezone: str = "UTC", *, after: datetime, count: int = 3, dialect: Dialect = "scheduler"
) -> list[datetime]:
    """When an expression is due next, in its own zone; a rate as if it began now.

    Args:
        after: With its time zone.
    Raises:
        InvalidScheduleExpression: One line that says what is wrong with it.
    """
    schedule = Schedule.parse(expression, timezone, dialect=dialect)
    return [datetime.fromtimestamp(due_s, schedule.zone) for due_s in schedule.upcoming(after.timestamp(), count)]
