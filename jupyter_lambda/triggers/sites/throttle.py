"""Throttling: a token bucket for each route of a stage, as its settings say.

Source: Amazon API Gateway Developer Guide, "Throttle requests to your HTTP APIs": rate is what flows in per second,
burst is what the bucket holds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

#: Buckets that are kept; of more, those that were used longest ago are full again by then.
_BUCKETS_MAX = 4_096


@dataclass(slots=True)
class _Bucket:
    rate_per_s: float
    burst: float
    tokens: float
    filled_s: float


class Throttle:
    """All buckets of an engine; they are full after a restart."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """
        Args:
            monotonic: Seconds that only grow.
        """
        self._monotonic = monotonic
        self._buckets: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()

    def allows(self, key: tuple[str, ...], rate_per_s: float | None, burst: int | None) -> bool:
        """Take one token.

        Args:
            key: Whose bucket.
            rate_per_s: None: there is no limit.
            burst: None: as much as flows in within a second.
        """
        if rate_per_s is None and burst is None:
            return True
        now_s = self._monotonic()
        rate = rate_per_s if rate_per_s is not None else float(burst or 0)
        room = float(burst) if burst is not None else rate
        bucket = self._buckets.get(key)
        if bucket is None or (bucket.rate_per_s, bucket.burst) != (rate, room):
            bucket = self._buckets[key] = _Bucket(rate, room, room, now_s)
            if len(self._buckets) > _BUCKETS_MAX:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        bucket.tokens = min(bucket.burst, bucket.tokens + (now_s - bucket.filled_s) * bucket.rate_per_s)
        bucket.filled_s = now_s
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True
