"""Generic containers: how many of which kind are kept ready, when one is started ahead of need and when one goes.

The target of a kind is the least it was asked to hold (``stock``) plus what recent demand suggests: the most starts of
environments within ten seconds that wanted this kind, halved every minute in which there were fewer. So the stock is
back for the next burst like the last one, and falls to its least within minutes where none comes. Memory bounds it: all
kinds together stay under ``warm_memory_mb``, and nothing idle is evicted for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from math import floor

from .instructions import Discard, Kind, Prepare
from .order import Timers

#: Starts are counted in windows of this length; the peak is halved after this time without one like it.
_WINDOW_S = 10.0
_HALVE_S = 60.0
#: Seconds before the first new attempt after a failure, doubled with each further one, and the longest.
BACK_OFF_S = 1.0
BACK_OFF_MAX_S = 300.0


def back_off_s(failures: int) -> float:
    """How long to wait after so many failures in a row."""
    return min(BACK_OFF_MAX_S, BACK_OFF_S * 2.0 ** min(failures - 1, 16))


class ContainerState(Enum):
    """Preparing → Ready → Discarding; adopted ones leave the stock."""

    PREPARING = "Preparing"
    READY = "Ready"
    DISCARDING = "Discarding"


@dataclass(slots=True, eq=False)
class Shelf:
    """One kind's containers and the demand for it."""

    kind: Kind
    least: int = 0
    #: Ready ones, the oldest first.
    ready: dict[str, None] = field(default_factory=dict)
    preparing: int = 0
    failures: int = 0
    not_before_s: float = 0.0
    #: Starts in the present window, when it began, and the peak with the time it is halved.
    starts: int = 0
    window_s: float = 0.0
    peak: float = 0.0
    halve_s: float = 0.0
    timer_s: float | None = None

    @property
    def target(self) -> int:
        """How many should be ready."""
        return self.least + floor(self.peak)

    def wanted(self, now_s: float) -> None:
        """An environment is started that would best adopt this kind."""
        if now_s - self.window_s >= _WINDOW_S:
            self.window_s, self.starts = now_s, 0
        self.starts += 1
        if self.starts >= self.peak:
            self.peak, self.halve_s = float(self.starts), now_s + _HALVE_S

    def pass_time(self, now_s: float) -> None:
        """Forget demand that is long past."""
        while self.peak and now_s >= self.halve_s:
            self.peak = self.peak / 2 if self.peak >= 2 else 0.0
            self.halve_s += _HALVE_S


class Stock:
    """All generic containers of the pool.

    Args:
        cap_mb: All of them together.
    """

    def __init__(self, cap_mb: int) -> None:
        self._cap_mb = cap_mb
        self._shelves: dict[Kind, Shelf] = {}
        self._containers: dict[str, tuple[Shelf, ContainerState]] = {}
        self._count = 0
        #: Of all of them, and of those that are being discarded.
        self.memory_mb = 0
        self.discarding_mb = 0
        #: Being started.
        self.preparing = 0
        self.timers: Timers[Shelf] = Timers()

    def ready(self, kinds: tuple[Kind, ...]) -> Kind | None:
        """The best of these kinds of which a container is ready."""
        for kind in kinds:
            shelf = self._shelves.get(kind)
            if shelf is not None and shelf.ready:
                return kind
        return None

    def ready_mb(self, but: Kind | None) -> int:
        """Memory of those that are ready, one of kind ``but`` not counted."""
        return sum(s.kind.memory_mb * (len(s.ready) - (s.kind == but)) for s in self._shelves.values())

    def demand(self, kinds: tuple[Kind, ...], now_s: float) -> None:
        """An environment of a version that adopts these kinds, best first, is being started."""
        if kinds:
            shelf = self._shelf(kinds[0])
            shelf.wanted(now_s)
            self.timers.arm(shelf, shelf.halve_s)

    def take(self, kind: Kind) -> str:
        """A container of this kind that is ready; it leaves the stock."""
        shelf = self._shelves[kind]
        container_id, _ = shelf.ready.popitem()
        del self._containers[container_id]
        self.memory_mb -= kind.memory_mb
        return container_id

    def hold(self, kind: Kind, count: int) -> Iterator[Discard]:
        """Keep at least so many ready. At 0, what is ready beyond recent demand goes."""
        shelf = self._shelf(kind)
        shelf.least = count
        if count == 0:
            shelf.peak = 0.0
        yield from self._trim(shelf)
        self._drop(shelf)

    def prepared(self, container_id: str) -> Iterator[Discard]:
        """It is ready; nothing where it isn't known. It goes again where it isn't wanted any more."""
        shelf, state = self._containers.get(container_id, (None, None))
        if shelf is not None and state is ContainerState.PREPARING:
            self._containers[container_id] = (shelf, ContainerState.READY)
            shelf.ready[container_id] = None
            shelf.preparing -= 1
            self.preparing -= 1
            shelf.failures = 0
            yield from self._trim(shelf)

    def unprepared(self, container_id: str, now_s: float) -> int:
        """It failed to start, ended, or was discarded and is gone. Returns the MB that are free now."""
        shelf, state = self._containers.pop(container_id, (None, None))
        if shelf is None:
            return 0
        memory_mb = shelf.kind.memory_mb
        self.memory_mb -= memory_mb
        if state is ContainerState.DISCARDING:
            self.discarding_mb -= memory_mb
            self._drop(shelf)
            return memory_mb
        if state is ContainerState.READY:
            del shelf.ready[container_id]
        else:
            shelf.preparing -= 1
            self.preparing -= 1
        shelf.failures += 1
        shelf.not_before_s = now_s + back_off_s(shelf.failures)
        self.timers.arm(shelf, shelf.not_before_s)
        return memory_mb

    def surrender(self, but: Kind | None) -> Discard | None:
        """Give the memory of one that is ready back; of kind ``but`` one is kept for whoever is about to adopt it."""
        for shelf in self._shelves.values():
            if len(shelf.ready) > (shelf.kind == but):
                return self._discard(shelf)
        return None

    def pass_time(self, now_s: float) -> Iterator[Discard]:
        """Give back what demand no longer asks for."""
        for shelf in list(self.timers.due(now_s)):
            shelf.pass_time(now_s)
            yield from self._trim(shelf)
            if shelf.peak:
                self.timers.arm(shelf, shelf.halve_s)
            elif shelf.failures and now_s < shelf.not_before_s:
                self.timers.arm(shelf, shelf.not_before_s)
            self._drop(shelf)

    def refill(self, free_mb: int, at_once: int, now_s: float) -> Iterator[Prepare]:
        """Start what is missing, the kind that lacks the largest part first.

        Args:
            free_mb: Memory that may be promised.
            at_once: Starts that may begin now.
        """
        while at_once > 0:
            short = [s for s in self._shelves.values() if self._lacks(s, free_mb, now_s)]
            if not short:
                return
            shelf = min(short, key=lambda s: (len(s.ready) + s.preparing) / s.target)
            self._count += 1
            container_id = f"c{self._count}"
            self._containers[container_id] = (shelf, ContainerState.PREPARING)
            shelf.preparing += 1
            self.preparing += 1
            self.memory_mb += shelf.kind.memory_mb
            free_mb -= shelf.kind.memory_mb
            at_once -= 1
            yield Prepare(container_id, shelf.kind)

    def counts(self) -> dict[Kind, tuple[int, int, int]]:
        """By kind: ready, being started, target."""
        return {shelf.kind: (len(shelf.ready), shelf.preparing, shelf.target) for shelf in self._shelves.values()}

    def _lacks(self, shelf: Shelf, free_mb: int, now_s: float) -> bool:
        return (
            len(shelf.ready) + shelf.preparing < shelf.target
            and now_s >= shelf.not_before_s
            and shelf.kind.memory_mb <= free_mb
            and self.memory_mb + shelf.kind.memory_mb <= self._cap_mb
        )

    def _trim(self, shelf: Shelf) -> Iterator[Discard]:
        while len(shelf.ready) > shelf.target:
            yield self._discard(shelf)

    def _discard(self, shelf: Shelf) -> Discard:
        container_id = next(iter(shelf.ready))
        del shelf.ready[container_id]
        self._containers[container_id] = (shelf, ContainerState.DISCARDING)
        self.discarding_mb += shelf.kind.memory_mb
        return Discard(container_id)

    def _shelf(self, kind: Kind) -> Shelf:
        shelf = self._shelves.get(kind)
        if shelf is None:
            shelf = self._shelves[kind] = Shelf(kind)
        return shelf

    def _drop(self, shelf: Shelf) -> None:
        used = shelf.ready or shelf.preparing or shelf.target or shelf.timer_s is not None
        # What is being discarded may be of an earlier shelf of the same kind.
        if not used and self._shelves.get(shelf.kind) is shelf:
            del self._shelves[shelf.kind]
