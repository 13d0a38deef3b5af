"""Counters of one minute, made to be filled in well under a microsecond, and totals since the engine's start."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from jupyter_lambda.model.statistics import BUCKETS_PER_E, ZERO_BUCKET, StatisticSet

_log = math.log
_floor = math.floor


class Runs:
    """Invocations of one minute, function, resource and version."""

    __slots__ = ("errors", "histogram", "invocations", "maximum", "minimum", "minute", "throttles", "total_ms")

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.invocations = self.errors = self.throttles = 0
        self.total_ms = 0.0
        self.minimum, self.maximum = math.inf, -math.inf
        self.histogram: dict[int, float] = {}


class Flights:
    """Events that are being processed at once: now, and in the samples of one minute."""

    __slots__ = ("largest", "minute", "reserved", "running", "samples", "smallest", "total")

    def __init__(self, *, reserved: bool = False) -> None:
        self.running = 0
        #: Whether the function has concurrency reserved for it.
        self.reserved = reserved
        self.reset(0)

    def reset(self, minute: int) -> None:
        """Begin a minute."""
        self.minute = minute
        self.samples = self.total = self.largest = 0
        self.smallest = 1 << 60

    def begin(self) -> None:
        """One more, which is a sample."""
        self.running = running = self.running + 1
        self.samples += 1
        self.total += running
        if running > self.largest:
            self.largest = running
        if running < self.smallest:
            self.smallest = running

    def counted(self) -> StatisticSet:
        """The samples."""
        return StatisticSet(float(self.samples), float(self.total), float(self.smallest), float(self.largest))


class Samples:
    """Values of one metric, function and minute."""

    __slots__ = ("counted", "minute")

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.counted = StatisticSet(histogram={})

    def add(self, value: float) -> None:
        """One value that is not negative."""
        counted = self.counted
        counted.samples += 1.0
        counted.total += value
        if value < counted.minimum:
            counted.minimum = value
        if value > counted.maximum:
            counted.maximum = value
        histogram = counted.histogram
        assert histogram is not None
        bucket = _floor(_log(value) * BUCKETS_PER_E) if value > 0.0 else ZERO_BUCKET
        histogram[bucket] = histogram.get(bucket, 0.0) + 1.0


@dataclass(slots=True)
class Totals:
    """What one function did since the engine's start; for counters that only grow."""

    invocations: int = 0
    errors: int = 0
    throttles: int = 0
    cold: int = 0
    billed_ms: int = 0
    gb_s: float = 0.0
    duration: StatisticSet = field(default_factory=StatisticSet)


def shares(count: int, samples: float) -> StatisticSet:
    """Statistics of so many ones among zeros."""
    if not samples:
        return StatisticSet()
    counted = StatisticSet(samples, float(count), 1.0 if count == samples else 0.0, 1.0 if count else 0.0)
    counted.histogram = {}
    if count < samples:
        counted.histogram[ZERO_BUCKET] = samples - count
    if count:
        counted.histogram[0] = float(count)
    return counted


def duration(runs: Runs) -> StatisticSet:
    """Statistics of how long invocations ran, in ms."""
    return StatisticSet(float(runs.invocations), runs.total_ms, runs.minimum, runs.maximum, dict(runs.histogram))
