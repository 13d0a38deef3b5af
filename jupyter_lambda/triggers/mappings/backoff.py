"""Growing pauses with jitter, for throttles and for sources that don't answer."""

from __future__ import annotations

import random


class Backoff:
    """Half to all of first × 2ⁿ, at most ``longest``: many that failed together don't come back together."""

    def __init__(self, first_s: float, longest_s: float, *, draw: random.Random | None = None) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._draw = draw or random.Random()  # noqa: S311 - pauses, not secrets
        self.count = 0

    def next_s(self) -> float:
        """Seconds to wait now; longer each time."""
        whole_s = min(self._longest_s, self._first_s * 2.0 ** min(self.count, 60))
        self.count += 1
        return whole_s * self._draw.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It worked."""
        self.count = 0
