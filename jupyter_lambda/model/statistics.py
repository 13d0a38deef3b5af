"""Statistics of a metric over a period: samples, sum, extremes, and a histogram from which percentiles are told.

The histogram is logarithmic and sparse: a bucket is 2 % wide, so that a percentile is told within 1 %.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable

#: Ratio of a bucket's upper to its lower bound.
BUCKET_RATIO = 1.02
#: Buckets per unit of natural logarithm.
BUCKETS_PER_E = 1.0 / math.log(BUCKET_RATIO)
#: The bucket of zero, below all others.
ZERO_BUCKET = -32_768
#: Bucket number, count: as they are kept.
_PAIR = struct.Struct("<hf")


def bucket_of(value: float) -> int:
    """The bucket of a value that is not negative."""
    if value <= 0.0:
        return ZERO_BUCKET
    return max(ZERO_BUCKET + 1, min(32_767, math.floor(math.log(value) * BUCKETS_PER_E)))


def bucket_middle(bucket: int) -> float:
    """The value that stands for all of a bucket."""
    return 0.0 if bucket == ZERO_BUCKET else math.exp((bucket + 0.5) / BUCKETS_PER_E)


class StatisticSet:
    """AWS's StatisticSet, with a histogram; empty at first."""

    __slots__ = ("histogram", "maximum", "minimum", "samples", "total")

    def __init__(
        self,
        samples: float = 0.0,
        total: float = 0.0,
        minimum: float = math.inf,
        maximum: float = -math.inf,
        histogram: dict[int, float] | None = None,
    ) -> None:
        self.samples = samples
        self.total = total
        self.minimum = minimum
        self.maximum = maximum
        #: Bucket → samples. None: percentiles can't be told.
        self.histogram = histogram

    @classmethod
    def of(cls, value: float, count: float = 1.0) -> StatisticSet:
        """Of one value that was seen so many times."""
        histogram = {bucket_of(value): count} if value >= 0 else None
        return cls(count, value * count, value, value, histogram)

    def add(self, other: StatisticSet) -> None:
        """Count in what another one has counted."""
        if not other.samples:
            return
        if not self.samples:
            self.histogram = None if other.histogram is None else dict(other.histogram)
        elif self.histogram is not None and other.histogram is not None:
            for bucket, count in other.histogram.items():
                self.histogram[bucket] = self.histogram.get(bucket, 0.0) + count
        else:
            self.histogram = None
        self.samples += other.samples
        self.total += other.total
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)

    def percentile(self, percent: float) -> float | None:
        """The value below which so many percent of the samples are; None where it can't be told."""
        if not self.samples:
            return None
        if self.minimum == self.maximum:
            return self.minimum
        if self.histogram is None:
            return None
        if percent in (0.0, 100.0):
            return self.minimum if percent == 0.0 else self.maximum
        rank, seen = self.samples * percent / 100.0, 0.0
        for bucket in sorted(self.histogram):
            seen += self.histogram[bucket]
            if seen >= rank:
                return min(self.maximum, max(self.minimum, bucket_middle(bucket)))
        return self.maximum

    def encode_histogram(self) -> bytes | None:
        """The histogram as it is kept: six bytes a bucket."""
        if self.histogram is None:
            return None
        return b"".join(_PAIR.pack(bucket, count) for bucket, count in sorted(self.histogram.items()))


def decode_histogram(data: bytes | None) -> dict[int, float] | None:
    """The reverse."""
    return None if data is None else dict(_PAIR.iter_unpack(data))


def merged(sets: Iterable[StatisticSet]) -> StatisticSet:
    """All of them together."""
    whole = StatisticSet()
    for one in sets:
        whole.add(one)
    return whole
