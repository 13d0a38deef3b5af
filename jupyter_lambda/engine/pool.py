"""The pool policy: which environment takes which invocation, when one is started and when one goes.

Pure: it is told what happened and what time it is, and returns instructions. No I/O, no clock, no sleep, so that the
same code runs in the engine, in unit tests and in simulated time. Every event costs O(log n), amortised.

- An invocation takes the idle environment of its version that was used last (the others may then grow old and go),
  provisioned ones first. Without one it waits in its version's line, first come first served, for a bounded time.
  Whichever environment of the version is free first takes the head of the line.
- An environment is started for every waiting invocation, as on AWS, except where those that are busy or starting are
  expected, from the durations learned, to come to it within the time of a cold start (``PoolLimits.patience``). Where
  most had to wait for as long as a cold start takes, that is no burst but a load: environments double, until few do.
- How long an idle environment is kept is learned (keepalive.py). Concurrency is counted as AWS does (fleet.py).
- Environments are promised their whole memory. When the budget is short, generic containers go first (stock.py), then
  the least useful idle environments (order.py). What stops holds its memory until it is gone.
- Fair share of memory: the budget divided by the functions that hold or want some. Versions of functions below theirs
  get room before those beyond it, and among equals who waits longest; who has its turn is not overtaken. When nothing
  is idle, a function beyond its share gives up environments as they become free.
- The order of starts: for waiting invocations; provisioned; ahead of need (pre-warming, generic containers).

docs/scaling.md explains the rules and their reasons.
"""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_lambda.model.environment import EnvironmentState

from .fleet import (
    ACCOUNT_CONCURRENCY,
    RESERVED_SCALING_RATE,
    SCALING_RATE,
    Concurrency,
    EnvironmentRecord,
    FunctionRecord,
    Habits,
    VersionRecord,
)
from .idle import Idle
from .instructions import Assign, Discard, Fail, Instruction, Key, Kind, PoolLimits, Prepare, Start, Stop, Throttle
from .keepalive import ArrivalPattern
from .order import Timers
from .room import Room

__all__ = ["Assign", "Discard", "Fail", "Key", "Kind", "Pool", "PoolLimits", "Prepare", "Start", "Stop", "Throttle"]
__all__ += ["Instruction"]


class Pool:
    """See the module. Every method returns the instructions that follow from what it was told, in order."""

    def __init__(self, limits: PoolLimits) -> None:
        self.limits = limits
        self._functions: dict[str, FunctionRecord] = {}
        self._versions: dict[Key, VersionRecord] = {}
        self._environments: dict[str, EnvironmentRecord] = {}
        self._requests: dict[str, VersionRecord] = {}
        self._concurrency = Concurrency(limits)
        self._timers: Timers[VersionRecord | EnvironmentRecord] = Timers()
        self._room = Room(limits, self._environments, self._timers)
        self._idle = Idle(limits, self._timers, self._room)

    # --- invocations

    def arrive(
        self,
        request_id: str,
        key: Key,
        *,
        memory_mb: int,
        reserved: int | None,
        total_reserved: int,
        kinds: tuple[Kind, ...] = (),
        now_s: float,
    ) -> list[Instruction]:
        """An invocation of a version came.

        Args:
            reserved: The function's reserved concurrency, None where it has none.
            total_reserved: What all functions have reserved together.
            kinds: Generic containers an environment of this version may adopt, best first.
        """
        version = self._versions.get(key) or self._meet(key, memory_mb, kinds, now_s)
        reason = self._concurrency.refusal(version, reserved, total_reserved)
        if reason:
            return [Throttle(request_id, reason)]
        self._concurrency.enter(version)
        self._requests[request_id] = version
        version.came += 1
        idle = version.idle_provisioned or version.idle
        if idle:
            environment = idle.popitem()[1]
            if not environment.provisioned:
                self._room.taken(environment)
                version.habits.pattern.observe(now_s - environment.idle_since_s)
            return [self._assign(environment, request_id, now_s)]
        version.kinds = kinds
        version.waiting[request_id] = now_s
        version.waited += 1
        self._room.wait(version.function, 1)
        if len(version.waiting) == 1:
            self._timers.arm(version, now_s + self.limits.queue_timeout_s)
        self._room.need(version)
        return list(self._room.make(now_s))

    def withdraw(self, request_id: str, now_s: float) -> list[Instruction]:
        """A waiting invocation is no longer wanted; nothing follows when it doesn't wait (any more)."""
        version = self._requests.get(request_id)
        if version is None or request_id not in version.waiting:
            return []
        self._leave_line(version, request_id)
        self._release(request_id)
        return list(self._room.make(now_s))

    # --- environments

    def initializing(self, environment_id: str, now_s: float) -> list[Instruction]:
        """The environment's process is up and its code is being loaded."""
        if environment_id in self._environments:
            self._environments[environment_id].life.to(EnvironmentState.INITIALIZING, now_s)
        return []

    def ready(self, environment_id: str, now_s: float) -> list[Instruction]:
        """An environment has initialised, or its invocation is finished and it can take another."""
        environment = self._environments.get(environment_id)
        if environment is None or environment.life.state is EnvironmentState.STOPPING:
            return []
        version = environment.version
        finished = environment.request_id
        if finished is not None:
            version.habits.ran(now_s - environment.assigned_s)
            version.failures = 0
            self._release(finished)
            environment.request_id = None
        else:
            version.habits.started(now_s - environment.started_s, adopted=environment.adopted)
            self._room.came(environment)
        environment.life.to(EnvironmentState.IDLE, now_s)
        if environment.retired:
            return [self._room.stop(environment, now_s), *self._room.make(now_s)]
        if version.waiting:
            if finished is not None and self._room.must_yield(environment, now_s):
                self._room.need(version)
                return [self._room.stop(environment, now_s), *self._room.make(now_s)]
            request_id, since_s = next(iter(version.waiting.items()))
            if environment.prewarmed:
                version.habits.pattern.observe(since_s - environment.idle_since_s)
            self._leave_line(version, request_id)
            return [self._assign(environment, request_id, now_s), *self._room.make(now_s)]
        self._idle.rest(environment, now_s)
        return list(self._room.make(now_s)) if self._room.wanted else []

    def gone(self, environment_id: str, now_s: float) -> list[Instruction]:
        """An environment has ended: stopped, crashed, or never came up.

        One that never came up fails the invocation at the head of its version's line, as AWS answers an initialisation
        error to the invocation that caused it; a provisioned one fails nobody and is tried again later and later.
        """
        environment = self._environments.pop(environment_id, None)
        if environment is None:
            return []
        version = environment.version
        instructions: list[Instruction] = []
        coming = environment.coming
        if coming:
            self._room.came(environment)
        self._room.lost(environment, now_s)
        if environment.request_id is not None:
            self._release(environment.request_id)
        elif coming and version.waiting and not environment.retired and not environment.provisioned:
            request_id = next(iter(version.waiting))
            self._leave_line(version, request_id)
            self._release(request_id)
            instructions.append(Fail(environment_id, request_id))
        environment.life.to(EnvironmentState.GONE, now_s)
        environment.timer_s = None
        self._room.need(version)
        self._forget(version)
        return [*instructions, *self._room.make(now_s)]

    def retire(self, name: str, keep: frozenset[Key], now_s: float) -> list[Instruction]:
        """A function changed or is gone: its environments of keys not in ``keep`` take nothing new."""
        function = self._functions.get(name)
        if function is None:
            return []
        instructions: list[Instruction] = []
        for key, version in list(function.versions.items()):
            if key in keep:
                continue
            if version.wanted:
                self._concurrency.provision(version, 0)
            version.ghosts.clear()
            for environment in list(version.environments.values()):
                self._retire(environment)
                if environment.idle:
                    instructions.append(self._room.stop(environment, now_s))
            self._forget(version)
        kept = {version for _, version, _ in keep}
        function.habits = {v: habits for v, habits in function.habits.items() if v in kept}
        if not function.versions and not function.habits:
            self._functions.pop(name, None)
        return instructions

    # --- generic containers and provisioned concurrency

    def prepared(self, container_id: str, now_s: float) -> list[Instruction]:
        """A generic container is ready."""
        instructions: list[Instruction] = list(self._room.stock.prepared(container_id))
        return instructions + list(self._room.make(now_s, slack=True))

    def unprepared(self, container_id: str, now_s: float) -> list[Instruction]:
        """A generic container failed to start, ended by itself, or was discarded and is gone."""
        self._room.promised_mb -= self._room.stock.unprepared(container_id, now_s)
        return list(self._room.make(now_s, slack=True))

    def stock(self, kind: Kind, count: int, now_s: float) -> list[Instruction]:
        """Keep at least ``count`` containers of a kind ready; 0: no longer."""
        instructions: list[Instruction] = list(self._room.stock.hold(kind, count))
        return instructions + list(self._room.make(now_s, slack=True))

    def provision(
        self,
        key: Key,
        count: int,
        *,
        memory_mb: int,
        kinds: tuple[Kind, ...] = (),
        reserved: int | None = None,
        now_s: float,
    ) -> list[Instruction]:
        """Keep ``count`` environments of a version initialised; 0 releases them.

        Args:
            reserved: The function's reserved concurrency, which they are then taken from; None: the account's.
        """
        if count == 0 and key not in self._versions:
            return []
        version = self._versions.get(key) or self._meet(key, memory_mb, kinds, now_s)
        version.kinds = kinds
        self._concurrency.reserve(version.function, reserved is not None)
        self._concurrency.provision(version, count)
        instructions: list[Instruction] = []
        surplus = [e for e in version.environments.values() if e.provisioned and not e.retired]
        # The idle ones go first, then what isn't ready; what is busy finishes.
        surplus.sort(key=lambda e: (not e.idle, not e.coming))
        for environment in surplus[: max(0, version.existing - count)]:
            self._retire(environment)
            if environment.idle:
                instructions.append(self._room.stop(environment, now_s))
        self._room.provision(version)
        self._forget(version)
        return instructions + list(self._room.make(now_s, slack=True))

    def provisioned(self, key: Key) -> tuple[int, int, int]:
        """Provisioned environments of a version: requested, initialised, and of these in use."""
        version = self._versions.get(key)
        if version is None:
            return 0, 0, 0
        own = [e for e in version.environments.values() if e.provisioned and not e.retired]
        busy = sum(e.request_id is not None for e in own)
        return version.wanted, busy + len(version.idle_provisioned), busy

    # --- time

    def tick(self, now_s: float) -> list[Instruction]:
        """Time has passed: what is idle for too long goes, what waits for too long is throttled, what is due starts."""
        instructions: list[Instruction] = []
        for due in self._timers.due(now_s):
            if isinstance(due, EnvironmentRecord):
                instructions.extend(self._idle.expire(due, now_s))
            else:
                instructions.extend(self._look_after(due, now_s))
        instructions.extend(self._room.stock.pass_time(now_s))
        return instructions + list(self._room.make(now_s, slack=True))

    def next_due_s(self) -> float | None:
        """When ``tick`` may have something to do at the earliest; None while there is nothing to wait for."""
        ours, stock = self._timers.next_s(), self._room.stock.timers.next_s()
        if ours is None or stock is None:
            return stock if ours is None else ours
        return min(ours, stock)

    # --- what may be asked

    @property
    def promised_mb(self) -> int:
        """Memory promised to environments and generic containers that are not gone."""
        return self._room.promised_mb

    def running(self, name: str | None = None) -> int:
        """Invocations accepted and not finished: of one function, or of all."""
        if name is None:
            return len(self._requests)
        function = self._functions.get(name)
        return function.running if function else 0

    def waiting(self) -> int:
        """Invocations that wait for an environment."""
        return self._room.waiting

    def unreserved(self) -> int:
        """What functions without reserved concurrency use of the account's, provisioned concurrency included."""
        return self._concurrency.unreserved

    def states(self) -> dict[str, tuple[Key, EnvironmentState]]:
        """Every environment's version and state."""
        return {i: (e.version.key, e.life.state) for i, e in self._environments.items()}

    def state(self, environment_id: str) -> EnvironmentState | None:
        """One environment's state; None where it is gone."""
        environment = self._environments.get(environment_id)
        return environment.life.state if environment else None

    def warm(self) -> dict[Kind, tuple[int, int, int]]:
        """Generic containers by kind: ready, being started, target."""
        return self._room.stock.counts()

    def windows(self, name: str, version: str) -> tuple[float, float, str] | None:
        """What is learned of a version: pre-warming and keep-alive window in seconds, and where they come from."""
        function = self._functions.get(name)
        habits = function.habits.get(version) if function else None
        if habits is None:
            return None
        windows = habits.pattern.windows
        return windows.prewarm_s, windows.keep_alive_s, windows.source

    # --- inner

    def _meet(self, key: Key, memory_mb: int, kinds: tuple[Kind, ...], now_s: float) -> VersionRecord:
        name, number, _ = key
        function = self._functions.get(name)
        if function is None:
            function = self._functions[name] = FunctionRecord(name, float(self.limits.scaling_per_10s), now_s)
        habits = function.habits.get(number)
        if habits is None:
            habits = function.habits[number] = Habits(ArrivalPattern(self.limits))
        version = self._versions[key] = VersionRecord(key, function, habits, memory_mb, kinds)
        function.versions[key] = version
        return version

    def _forget(self, version: VersionRecord) -> None:
        """Drop a version of which nothing is left; what was learned of it stays until the function changes."""
        if version.environments or version.running or version.wanted or version.ghosts:
            return
        self._versions.pop(version.key, None)
        version.function.versions.pop(version.key, None)
        version.timer_s = None
        function = version.function
        if not function.versions and not function.habits:
            self._functions.pop(function.name, None)

    def _assign(self, environment: EnvironmentRecord, request_id: str, now_s: float) -> Assign:
        environment.life.to(EnvironmentState.BUSY, now_s)
        environment.request_id = request_id
        environment.assigned_s = now_s
        environment.uses += 1
        environment.prewarmed = False
        return Assign(environment.environment_id, request_id)

    def _release(self, request_id: str) -> None:
        self._concurrency.leave(self._requests.pop(request_id))

    def _leave_line(self, version: VersionRecord, request_id: str) -> None:
        del version.waiting[request_id]
        self._room.wait(version.function, -1)
        if not version.waiting:
            version.hurry = 1

    def _retire(self, environment: EnvironmentRecord) -> None:
        if environment.provisioned and not environment.retired:
            environment.version.existing -= 1
        environment.retired = True

    def _look_after(self, version: VersionRecord, now_s: float) -> Iterator[Instruction]:
        """A version's timer has come: its line, its pre-warming, its provisioned environments."""
        reason = ACCOUNT_CONCURRENCY
        if now_s <= version.rate_limited_until_s + 1.0:
            reason = RESERVED_SCALING_RATE if version.function.reserved else SCALING_RATE
        while version.waiting:
            request_id, since_s = next(iter(version.waiting.items()))
            due_s = since_s + self.limits.queue_timeout_s
            if now_s < due_s:
                self._timers.arm(version, due_s)
                break
            self._leave_line(version, request_id)
            self._release(request_id)
            yield Throttle(request_id, reason)
        self._room.look_after(version, now_s)
        yield from self._room.prewarm(version, now_s)
        self._forget(version)
