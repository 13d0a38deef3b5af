"""How long an idle environment is kept: the hybrid histogram policy.

For each version the idle times of its environments are counted in bins of one minute up to four hours. From the
histogram follow two windows, both from the moment an environment became idle: it may go, and is started again when
the *pre-warming window* ends (just before the 5th percentile of idle times); and it is kept until the *keep-alive
window* ends (just after the 99th at the latest). The histogram counts only where it says something: after some idle
times, with most of them within its range, and with bins that differ (coefficient of variation); otherwise the fixed
time is used.

Within these percentiles the windows are those of least expected cost, where a cold start costs as much as being idle
for some multiple of the fixed time (``PoolLimits.cold_start_worth``). So what is likely to be needed soon is kept for
longer, what isn't goes at once, and the fixed time remains the one knob between cold starts and memory.

Source: Shahrad et al., "Serverless in the Wild: Characterizing and Optimizing the Serverless Workload at a Large Cloud
Provider", USENIX ATC 2020, section 4. Different here: idle times are those of each environment rather than of the
whole application (they are the same while one environment suffices), those of ended ones included; the cost just told,
where the paper always uses both percentiles; versions that are mostly idle for longer than the histogram reaches are
predicted by an exponentially weighted mean and deviation where the paper uses ARIMA; an application that too little is
known of is kept for the fixed time, where the paper keeps it for the histogram's whole range; counts are halved now and
then, so that a version that changes its habits is learned anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from .instructions import PoolLimits

#: Width and number of bins: one minute, four hours.
BIN_S = 60.0
BINS = 240
#: Percentiles of the idle times that end the pre-warming and the keep-alive window, and the margin put to both.
HEAD, TAIL = 0.05, 0.99
MARGIN = 0.10
#: The histogram is representative where its bins' coefficient of variation is at least this.
VARIATION_MIN = 2.0
#: Idle times needed before anything is concluded.
OBSERVATIONS_MIN = 8
#: Beyond this share of idle times out of the histogram's range it isn't used.
OUT_OF_BOUNDS_MAX = 0.5
#: Mean deviations that are put round the predicted idle time of versions that are idle for longer than that.
PREDICTION_MARGIN = 3.0
#: What a start ahead of need costs, as a part of what a cold start is worth.
PREWARM_COST = 0.1
#: Counts are halved at this many idle times.
_AGE_AT = 4096
#: Weight of the newest idle time in the prediction.
_WEIGHT = 0.3


@dataclass(frozen=True, slots=True)
class Windows:
    """Both in seconds from the moment the environment became idle."""

    #: It may be gone until then; 0: it stays.
    prewarm_s: float
    #: It goes then.
    keep_alive_s: float
    #: Where they come from: "fixed", "histogram" or "prediction".
    source: str


class ArrivalPattern:
    """The idle times of one version's environments, and the windows that follow from them. O(1) for each idle time."""

    __slots__ = (
        "_bins",
        "_deviation_s",
        "_least_s",
        "_limits",
        "_mean_s",
        "_next",
        "_outside",
        "_squares",
        "_total",
        "windows",
    )

    def __init__(self, limits: PoolLimits) -> None:
        self._limits = limits
        #: What an environment is kept in any case, so that what comes right after an invocation finds it.
        self._least_s = min(limits.keep_alive_min_s, limits.keep_alive_s)
        #: Minute → idle times; only minutes that occurred.
        self._bins: dict[int, int] = {}
        self._total = 0
        self._squares = 0
        self._outside = 0
        self._mean_s = 0.0
        self._deviation_s = 0.0
        #: When this many idle times are known the windows are computed anew.
        self._next = OBSERVATIONS_MIN
        self.windows = Windows(0.0, limits.keep_alive_s, "fixed")

    def observe(self, idle_s: float) -> None:
        """An environment was needed after it had been idle for so long (whether it was still there or not)."""
        minute = int(idle_s / BIN_S)
        if minute < BINS:
            before = self._bins.get(minute, 0)
            self._bins[minute] = before + 1
            self._squares += 2 * before + 1
            self._total += 1
        else:
            self._predict(idle_s)
        if self._total + self._outside >= self._next:
            self._conclude()

    @property
    def observations(self) -> int:
        """Idle times known, halved ones included at what they count."""
        return self._total + self._outside

    @property
    def variation(self) -> float:
        """Coefficient of variation of the bins' counts: 0 where all are alike, √239 where all is in one."""
        if not self._total:
            return 0.0
        mean = self._total / BINS
        return sqrt(max(0.0, self._squares / BINS - mean * mean)) / mean

    def _predict(self, idle_s: float) -> None:
        if self._outside:
            self._deviation_s += _WEIGHT * (abs(idle_s - self._mean_s) - self._deviation_s)
            self._mean_s += _WEIGHT * (idle_s - self._mean_s)
        else:
            self._mean_s = idle_s
        self._outside += 1

    def _conclude(self) -> None:
        known = self._total + self._outside
        if known >= _AGE_AT:
            self._halve()
            known = self._total + self._outside
        self._next = known + max(1, known // 8)
        if not self._limits.keep_alive_learned:
            return
        if self._outside > OUT_OF_BOUNDS_MAX * known:
            self.windows = self._predicted()
        elif self.variation >= VARIATION_MIN:
            self.windows = self._from_histogram()
        else:
            self.windows = Windows(0.0, self._limits.keep_alive_s, "fixed")

    def _from_histogram(self) -> Windows:
        """The windows of least expected cost, staying loaded or coming back ahead."""
        head = self._head_s() * (1 - MARGIN)
        cost_s, keep_alive_s = self._cheapest(0.0)
        prewarm_s = 0.0
        # What it would be gone for must be worth a start of its own.
        if head - self._least_s >= self._limits.prewarm_min_s:
            ahead_cost_s, ahead_keep_alive_s = self._cheapest(head)
            if ahead_cost_s < cost_s:
                prewarm_s, keep_alive_s = head, ahead_keep_alive_s
        return Windows(prewarm_s, keep_alive_s, "histogram")

    def _head_s(self) -> float:
        seen = 0
        for minute in sorted(self._bins):
            seen += self._bins[minute]
            if seen >= HEAD * (self._total + self._outside):
                return minute * BIN_S
        return 0.0

    def _cheapest(self, prewarm_s: float) -> tuple[float, float]:
        """The cost of all idle times known, in seconds of idling, and the keep-alive for which it is least.

        Args:
            prewarm_s: Until then it is gone; 0: it stays.
        """
        worth_s, least_s = self._limits.cold_start_worth * self._limits.keep_alive_s, self._least_s
        known = self._total + self._outside
        base_s = known * (least_s + PREWARM_COST * worth_s) if prewarm_s else 0.0
        best_s, best_keep_s = known * worth_s + base_s + (0.0 if prewarm_s else known * least_s), least_s
        seen = missed = 0
        idled_s = 0.0
        for minute in sorted(self._bins):
            count = self._bins[minute]
            middle_s = (minute + 0.5) * BIN_S
            seen += count
            if middle_s < prewarm_s:
                missed += count if middle_s > least_s else 0
                continue
            idled_s += count * (middle_s - prewarm_s)
            keep_s = max(least_s, min((minute + 1) * BIN_S * (1 + MARGIN), self._limits.keep_alive_max_s))
            beyond = known - seen
            cost_s = base_s + idled_s + beyond * (keep_s - prewarm_s) + (missed + beyond) * worth_s
            if cost_s < best_s:
                best_s, best_keep_s = cost_s, keep_s
            if seen >= TAIL * known:
                break
        return best_s, best_keep_s

    def _predicted(self) -> Windows:
        """Start it just before, keep it until just after the usual idle time, where that is sure enough."""
        margin_s = max(BIN_S, PREDICTION_MARGIN * self._deviation_s)
        if margin_s + self._least_s > self._limits.cold_start_worth * self._limits.keep_alive_s * (1 - PREWARM_COST):
            return Windows(0.0, self._least_s, "prediction")
        return Windows(self._mean_s - margin_s, self._mean_s + margin_s, "prediction")

    def _halve(self) -> None:
        self._bins = {minute: count // 2 for minute, count in self._bins.items() if count > 1}
        self._total = sum(self._bins.values())
        self._squares = sum(count * count for count in self._bins.values())
        self._outside //= 2
