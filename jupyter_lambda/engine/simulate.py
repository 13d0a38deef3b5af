"""Simulated time: the pool policy, as the engine uses it, driven by a trace.

Arrivals come from the trace; starts, adoptions, endings and refills take times drawn from a seeded generator. The pool
is ticked as the engine ticks it. What comes out depends on the trace, the limits and the seed alone.
"""

from __future__ import annotations

import heapq
import time
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

from jupyter_lambda.errors import InvalidParameterValueException

from .pool import Assign, Discard, Fail, Instruction, Kind, Pool, PoolLimits, Prepare, Start, Stop, Throttle
from .simulate_traces import Arrival, Trace, seeded

#: Points of the curves over time.
SAMPLES = 360
#: The pool is ticked when something is due, at most and at least this often (as engine/invoker.py does).
_TICK_MIN_S, _TICK_MAX_S = 0.5, 5.0
#: The generic container of simulated functions.
KIND = Kind("generic", 16)


@dataclass(frozen=True, slots=True)
class Times:
    """Medians in seconds, spread log-normally by ``sigma``.

    Of the order of what Docker takes on two cores for a start with the pool empty and for one that adopts a generic
    container (docs/performance.md has the measured figures); the end of an environment and the spread are assumed.
    """

    cold_s: float = 0.25
    adopt_s: float = 0.004
    stop_s: float = 0.05
    sigma: float = 0.25


@dataclass(slots=True)
class Outcome:
    """What a run came to."""

    policy: str
    invocations: int = 0
    cold: int = 0
    throttled: int = 0
    #: Environments started, those ahead of need among them, and generic containers started.
    started: int = 0
    prewarmed: int = 0
    prepared: int = 0
    #: MB·s held by environments in which nothing ran, by those in which something did, and by generic containers.
    wasted_mb_s: float = 0.0
    busy_mb_s: float = 0.0
    generic_mb_s: float = 0.0
    #: Waits for an environment in seconds, sorted; those that had none aren't in it.
    waits: array[float] = field(default_factory=lambda: array("d"))
    environments_max: int = 0
    waiting_max: int = 0
    promised_max_mb: int = 0
    #: By function: invocations and cold starts.
    by_function: list[tuple[int, int]] = field(default_factory=list)
    #: Time, invocations running, environments, MB promised.
    samples: list[tuple[float, int, int, int]] = field(default_factory=list)
    #: Pool events, and the real seconds of CPU the run took.
    events: int = 0
    took_s: float = 0.0

    @property
    def cold_rate(self) -> float:
        """Cold starts by invocations."""
        return self.cold / max(1, self.invocations)

    def wait_s(self, quantile: float) -> float:
        """What so large a part of the invocations waited at most."""
        rank = int(quantile * self.invocations) - (self.invocations - len(self.waits))
        return self.waits[min(rank, len(self.waits) - 1)] if rank >= 0 and len(self.waits) else 0.0


def limits(
    keep_alive_s: float | None,
    *,
    memory_mb: int,
    concurrency: int,
    queue_timeout_s: float = 60.0,
    patience: float = 1.0,
) -> PoolLimits:
    """The engine's limits with a fixed keep-alive; None: the learned one, with ten minutes to begin with."""
    return PoolLimits(
        concurrency,
        memory_mb,
        600.0 if keep_alive_s is None else keep_alive_s,
        queue_timeout_s,
        keep_alive_learned=keep_alive_s is None,
        patience=patience,
    )


class Simulation:
    """One run of one policy through one trace."""

    def __init__(
        self, trace: Trace, policy: str, limits: PoolLimits, *, seed: int, stock: int = 0, times: Times = Times()
    ) -> None:
        self._trace = trace
        self._pool = Pool(limits)
        self._outcome = Outcome(policy)
        self._rng = seeded(seed)
        self._times = times
        self._stock = stock
        self._kinds = (KIND,) if stock else ()
        self._keys = [(name, "$LATEST", "1") for name in trace.names]
        self._numbers = {key: i for i, key in enumerate(self._keys)}
        #: (when, order, what, of which) of everything that is going to happen.
        self._heap: list[tuple[float, int, int, str]] = []
        self._count = 0
        self._calls: dict[str, tuple[float, float, int]] = {}
        #: Environment → its function and when it was started.
        self._environments: dict[str, tuple[int, float]] = {}
        self._containers: dict[str, float] = {}
        self._colds = [0] * len(self._keys)
        self._totals = [0] * len(self._keys)
        self._busy = 0
        #: The environment that has just come up: what is assigned to it is a cold start.
        self._fresh = ""

    def run(self) -> Outcome:
        """From the trace's beginning to its end."""
        outcome, began_s = self._outcome, time.process_time()
        if self._stock:
            self._follow(self._pool.stock(KIND, self._stock, 0.0), 0.0)
        end_s = self._trace.duration_s
        step_s = end_s / SAMPLES
        sample_s = tick_s = 0.0
        arrivals = iter(self._trace.arrivals())
        arrival: Arrival | None = next(arrivals, None)
        heap = self._heap
        while True:
            now_s = arrival[0] if arrival is not None else end_s
            if heap and heap[0][0] < now_s:
                now_s = heap[0][0]
            if tick_s < now_s:
                now_s = tick_s
            while sample_s <= now_s and sample_s <= end_s:
                self._sample(sample_s)
                sample_s += step_s
            if now_s >= end_s:
                break
            if now_s == tick_s:
                self._follow(self._pool.tick(now_s), now_s)
                tick_s = self._next_tick_s(now_s)
            elif heap and heap[0][0] == now_s:
                self._happen(*heapq.heappop(heap))
            else:
                assert arrival is not None
                self._arrive(*arrival)
                arrival = next(arrivals, None)
            outcome.events += 1
        self._close(end_s)
        outcome.took_s = time.process_time() - began_s
        return outcome

    def _next_tick_s(self, now_s: float) -> float:
        due_s = self._pool.next_due_s()
        return now_s + (_TICK_MAX_S if due_s is None else min(max(due_s - now_s, _TICK_MIN_S), _TICK_MAX_S))

    def _arrive(self, now_s: float, function: int, run_s: float) -> None:
        self._count += 1
        request_id = str(self._count)
        self._totals[function] += 1
        self._calls[request_id] = (now_s, run_s, function)
        self._follow(
            self._pool.arrive(
                request_id,
                self._keys[function],
                memory_mb=self._trace.memory_mb[function],
                reserved=None,
                total_reserved=0,
                kinds=self._kinds,
                now_s=now_s,
            ),
            now_s,
        )

    def _happen(self, now_s: float, _order: int, what: int, which: str) -> None:
        pool = self._pool
        if what == _FINISHED:
            self._busy -= 1
            self._follow(pool.ready(which, now_s), now_s)
        elif what == _UP:
            pool.initializing(which, now_s)
            self._fresh = which
            self._follow(pool.ready(which, now_s), now_s)
            self._fresh = ""
        elif what == _GONE:
            self._end(which, now_s)
            self._follow(pool.gone(which, now_s), now_s)
        elif what == _PREPARED:
            self._follow(pool.prepared(which, now_s), now_s)
        else:
            self._outcome.generic_mb_s += KIND.memory_mb * (now_s - self._containers.pop(which))
            self._follow(pool.unprepared(which, now_s), now_s)

    def _follow(self, instructions: Iterable[Instruction], now_s: float) -> None:
        for instruction in instructions:
            kind = type(instruction)
            if kind is Assign:
                assert isinstance(instruction, Assign)
                self._assign(instruction, now_s)
            elif isinstance(instruction, Start):
                self._start(instruction, now_s)
            elif isinstance(instruction, Stop):
                self._later(now_s, self._times.stop_s, _GONE, instruction.environment_id)
            elif isinstance(instruction, Throttle):
                self._outcome.throttled += 1
                del self._calls[instruction.request_id]
            elif isinstance(instruction, Prepare):
                self._outcome.prepared += 1
                self._containers[instruction.container_id] = now_s
                self._later(now_s, self._times.cold_s, _PREPARED, instruction.container_id)
            elif isinstance(instruction, Discard):
                self._later(now_s, self._times.stop_s, _DISCARDED, instruction.container_id)
            else:
                assert not isinstance(instruction, Fail), "nothing fails here"

    def _assign(self, assign: Assign, now_s: float) -> None:
        came_s, run_s, function = self._calls.pop(assign.request_id)
        outcome = self._outcome
        outcome.invocations += 1
        outcome.busy_mb_s += run_s * self._trace.memory_mb[function]
        if now_s > came_s:
            outcome.waits.append(now_s - came_s)
        if self._fresh == assign.environment_id:
            outcome.cold += 1
            self._colds[function] += 1
        self._busy += 1
        self._count += 1
        heapq.heappush(self._heap, (now_s + run_s, self._count, _FINISHED, assign.environment_id))

    def _start(self, start: Start, now_s: float) -> None:
        outcome, times = self._outcome, self._times
        outcome.started += 1
        outcome.prewarmed += start.prewarm
        self._environments[start.environment_id] = (self._numbers[start.key], now_s)
        if start.container_id is not None:
            outcome.generic_mb_s += KIND.memory_mb * (now_s - self._containers.pop(start.container_id))
        self._later(now_s, times.adopt_s if start.container_id else times.cold_s, _UP, start.environment_id)
        outcome.environments_max = max(outcome.environments_max, len(self._environments))
        outcome.promised_max_mb = max(outcome.promised_max_mb, self._pool.promised_mb)

    def _later(self, now_s: float, median_s: float, what: int, which: str) -> None:
        self._count += 1
        took_s = median_s * self._rng.lognormvariate(0, self._times.sigma)
        heapq.heappush(self._heap, (now_s + took_s, self._count, what, which))

    def _end(self, environment_id: str, now_s: float) -> None:
        function, since_s = self._environments.pop(environment_id)
        self._outcome.wasted_mb_s += self._trace.memory_mb[function] * (now_s - since_s)

    def _sample(self, at_s: float) -> None:
        outcome, waiting = self._outcome, self._pool.waiting()
        outcome.waiting_max = max(outcome.waiting_max, waiting)
        outcome.samples.append((at_s, self._busy, len(self._environments), self._pool.promised_mb))

    def _close(self, end_s: float) -> None:
        """Count what is left as if it ended with the trace."""
        outcome = self._outcome
        for environment_id in list(self._environments):
            self._end(environment_id, end_s)
        for since_s in self._containers.values():
            outcome.generic_mb_s += KIND.memory_mb * (end_s - since_s)
        outcome.wasted_mb_s = max(0.0, outcome.wasted_mb_s - outcome.busy_mb_s)
        outcome.waits = array("d", sorted(outcome.waits))
        outcome.by_function = list(zip(self._totals, self._colds, strict=True))


_FINISHED, _UP, _GONE, _PREPARED, _DISCARDED = range(5)


def compare(
    trace: Trace,
    keep_alives_s: Iterable[float],
    *,
    memory_mb: int,
    concurrency: int,
    seed: int,
    stock: int = 0,
    patience: float = 1.0,
) -> list[Outcome]:
    """The learned keep-alive, then fixed ones, on the same trace.

    Raises:
        InvalidParameterValueException: A memory budget or concurrency that makes no sense.
    """
    if memory_mb < 1 or concurrency < 1 or stock < 0:
        raise InvalidParameterValueException("memory and concurrency must be at least 1, the stock at least 0")
    found = []
    for keep_alive_s in (None, *keep_alives_s):
        policy = "learned" if keep_alive_s is None else f"fixed {keep_alive_s / 60:g} min"
        pool = limits(keep_alive_s, memory_mb=memory_mb, concurrency=concurrency, patience=patience)
        found.append(Simulation(trace, policy, pool, seed=seed, stock=stock).run())
    return found
