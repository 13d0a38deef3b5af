"""Orders the pool keeps as heaps: who gets the next room, which idle environment goes first, what is due next.

Entries are checked when they come to the top (what they were put in for may have changed since), and put back where
they now belong; so every operation is O(log n), amortised.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from math import log2
from typing import Generic, Protocol, TypeVar

from .fleet import EnvironmentRecord, VersionRecord


class NextRoom:
    """Versions that need an environment: below their function's fair share of memory first, then who waits longest."""

    def __init__(self) -> None:
        self._under: list[tuple[float, int, VersionRecord]] = []
        self._over: list[tuple[float, int, VersionRecord]] = []
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._under or self._over)

    def add(self, version: VersionRecord, share_mb: float) -> None:
        """A version needs room; nothing where it stands in the order already."""
        if not version.queued and version.waiting:
            version.queued = True
            self._put(version, share_mb)

    def first(self, share_mb: float) -> VersionRecord | None:
        """Whose turn it is; it stays until ``drop`` or ``renew``."""
        while self._under:
            since_s, _, version = self._under[0]
            if not version.waiting:
                heapq.heappop(self._under)
                version.queued = False
            elif since_s < next(iter(version.waiting.values())) or version.function.held_mb > share_mb:
                heapq.heappop(self._under)
                self._put(version, share_mb)
            else:
                return version
        while self._over:
            since_s, _, version = self._over[0]
            if not version.waiting:
                heapq.heappop(self._over)
                version.queued = False
            elif since_s < (head_s := next(iter(version.waiting.values()))):
                self._count += 1
                heapq.heapreplace(self._over, (head_s, self._count, version))
            else:
                return version
        return None

    def drop(self, version: VersionRecord) -> None:
        """The first one needs nothing (for now)."""
        version.queued = False
        heapq.heappop(self._under or self._over)

    def renew(self, version: VersionRecord, share_mb: float) -> None:
        """The first one got room; it stands again where it now belongs."""
        heapq.heappop(self._under or self._over)
        self._put(version, share_mb)

    def _put(self, version: VersionRecord, share_mb: float) -> None:
        self._count += 1
        heap = self._over if version.function.held_mb > share_mb else self._under
        heapq.heappush(heap, (next(iter(version.waiting.values())), self._count, version))


class LeastUseful:
    """Idle environments by what losing them would cost: uses × cold start / memory, aged.

    The era is the usefulness of the environment evicted last, and is added to what is used from then on; so what has
    not been used for long goes in the end however useful it was.

    Source: Cherkasova, "Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching", HP Labs 1998;
    Fuerst and Sharma, "FaasCache", ASPLOS 2021. Different here: uses are the environment's own, so that a version's
    spare environments go before its busiest, and count by their logarithm.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, float, int, EnvironmentRecord]] = []
        self._count = 0
        self.era = 0.0

    def add(self, environment: EnvironmentRecord) -> None:
        """It is idle, on demand, and may be evicted."""
        environment.era = self.era
        if not environment.ranked:
            environment.ranked = True
            self._put(environment)

    def evict(self) -> EnvironmentRecord | None:
        """The least useful one; it no longer stands in the order. None where nothing is idle."""
        heap = self._heap
        while heap:
            rank, since_s, _, environment = heapq.heappop(heap)
            if not environment.idle or environment.provisioned:
                environment.ranked = False
            elif (rank, since_s) < (self._rank(environment), environment.idle_since_s):
                self._put(environment)
            else:
                environment.ranked = False
                self.era = max(self.era, rank)
                return environment
        return None

    def _rank(self, environment: EnvironmentRecord) -> float:
        cost_s = environment.version.habits.cold_s
        return environment.era + log2(1 + environment.uses) * cost_s / environment.memory_mb

    def _put(self, environment: EnvironmentRecord) -> None:
        self._count += 1
        heapq.heappush(self._heap, (self._rank(environment), environment.idle_since_s, self._count, environment))


class Timed(Protocol):
    """What a timer may be set for: the earliest one counts, and is kept here."""

    timer_s: float | None


T = TypeVar("T", bound=Timed)


class Timers(Generic[T]):
    """What is due when; at most one timer for each thing counts."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._count = 0

    def arm(self, thing: T, due_s: float) -> None:
        """Set its timer, unless it has an earlier one."""
        if thing.timer_s is None or due_s < thing.timer_s:
            thing.timer_s = due_s
            self._count += 1
            heapq.heappush(self._heap, (due_s, self._count, thing))

    def next_s(self) -> float | None:
        """The earliest."""
        heap = self._heap
        while heap and heap[0][2].timer_s != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now_s: float) -> Iterator[T]:
        """Things whose timer has come; each is cleared before it is given out."""
        while (next_s := self.next_s()) is not None and next_s <= now_s:
            thing = heapq.heappop(self._heap)[2]
            thing.timer_s = None
            yield thing
