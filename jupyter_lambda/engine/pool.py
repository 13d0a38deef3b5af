"""The pool policy: which environment takes which invocation, when one is started and when one goes.

Pure: it is told what happened and what time it is, and returns instructions. No I/O, no clock, no sleep, so that the
same code runs in the engine, in unit tests and in simulated time.

- An invocation takes the idle environment of its version that was used last (the others may then grow old and go).
- Without one it waits in its version's line, first come first served, and an environment is started for it. Whichever
  environment of the version is free first takes the head of the line.
- Concurrency is counted as AWS does: invocations accepted and not finished, per function and per account.
- Environments are promised their whole memory. When the budget is short, the longest-idle environment of anyone goes;
  when nothing is idle, the version whose head waits longest gets the next room.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

from jupyter_lambda.model.environment import EnvironmentLife, EnvironmentState

#: Function name, version, revision id.
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Start:
    """Start an environment for a version."""

    environment_id: str
    key: Key


@dataclass(frozen=True, slots=True)
class Assign:
    """Run an invocation in an environment."""

    environment_id: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Throttle:
    """Refuse an invocation; ``reason`` is AWS's ThrottleReason."""

    request_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """An environment failed to start; this invocation is the one that is told."""

    environment_id: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End an idle environment."""

    environment_id: str


Instruction = Start | Assign | Throttle | Fail | Stop


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Plain values: counts, MB, seconds."""

    concurrency: int
    memory_mb: int
    keep_alive_s: float
    queue_timeout_s: float


@dataclass(slots=True)
class _Environment:
    life: EnvironmentLife
    key: Key
    memory_mb: int
    request_id: str | None = None
    idle_since_s: float = 0.0
    retired: bool = False


@dataclass(slots=True)
class _Line:
    """What waits for one version, and what is being started for it."""

    memory_mb: int
    waiting: OrderedDict[str, float]
    starting: int = 0


class Pool:
    """See the module. Every method returns the instructions that follow from what it was told, in order."""

    def __init__(self, limits: PoolLimits) -> None:
        self.limits = limits
        self._environments: dict[str, _Environment] = {}
        self._idle: dict[Key, deque[str]] = {}
        self._lines: dict[Key, _Line] = {}
        #: Accepted and not finished: by function, and of functions without reserved concurrency.
        self._running: dict[str, int] = {}
        self._unreserved = 0
        self._requests: dict[str, tuple[Key, bool]] = {}
        self._promised_mb = 0
        self._started = 0

    # --- what happened

    def arrive(
        self, request_id: str, key: Key, *, memory_mb: int, reserved: int | None, total_reserved: int, now_s: float
    ) -> list[Instruction]:
        """An invocation of a version came.

        Args:
            reserved: The function's reserved concurrency, None where it has none.
            total_reserved: What all functions have reserved together.
        """
        reason = self._over_limit(key[0], reserved, total_reserved)
        if reason:
            return [Throttle(request_id, reason)]
        self._running[key[0]] = self._running.get(key[0], 0) + 1
        self._unreserved += reserved is None
        self._requests[request_id] = (key, reserved is None)
        idle = self._idle.get(key)
        if idle:
            return [self._assign(idle.pop(), request_id, now_s)]
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(memory_mb, OrderedDict())
        line.waiting[request_id] = now_s
        return list(self._make_room(now_s))

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
        if environment.request_id is None:
            self._lines[environment.key].starting -= 1
        else:
            self._finish(environment)
        environment.life.to(EnvironmentState.IDLE, now_s)
        environment.idle_since_s = now_s
        if environment.retired:
            return [self._stop(environment_id, now_s), *self._make_room(now_s)]
        line = self._lines.get(environment.key)
        if line and line.waiting:
            request_id, _ = line.waiting.popitem(last=False)
            self._drop_line(environment.key)
            return [self._assign(environment_id, request_id, now_s)]
        self._drop_line(environment.key)
        self._idle.setdefault(environment.key, deque()).append(environment_id)
        return list(self._make_room(now_s))

    def gone(self, environment_id: str, now_s: float) -> list[Instruction]:
        """An environment has ended: stopped, crashed, or never came up.

        One that never came up fails the invocation at the head of its version's line, as AWS answers an initialisation
        error to the invocation that caused it.
        """
        environment = self._environments.pop(environment_id, None)
        if environment is None:
            return []
        instructions: list[Instruction] = []
        state = environment.life.state
        environment.life.to(EnvironmentState.GONE, now_s)
        self._promised_mb -= environment.memory_mb
        if environment.request_id is not None:
            self._finish(environment)
        elif state is EnvironmentState.IDLE:
            self._idle[environment.key].remove(environment_id)
            self._drop_idle(environment.key)
        elif state in (EnvironmentState.STARTING, EnvironmentState.INITIALIZING):
            line = self._lines[environment.key]
            line.starting -= 1
            if line.waiting and not environment.retired:
                request_id, _ = line.waiting.popitem(last=False)
                self._release(request_id)
                instructions.append(Fail(environment_id, request_id))
            self._drop_line(environment.key)
        return [*instructions, *self._make_room(now_s)]

    def withdraw(self, request_id: str, now_s: float) -> list[Instruction]:
        """A waiting invocation is no longer wanted; nothing follows when it doesn't wait (any more)."""
        known = self._requests.get(request_id)
        line = self._lines.get(known[0]) if known else None
        if known is None or line is None or request_id not in line.waiting:
            return []
        del line.waiting[request_id]
        self._release(request_id)
        self._drop_line(known[0])
        return list(self._make_room(now_s))

    def retire(self, name: str, keep: frozenset[Key], now_s: float) -> list[Instruction]:
        """A function changed or is gone: its environments of keys not in ``keep`` take nothing new."""
        instructions: list[Instruction] = []
        for environment_id, environment in list(self._environments.items()):
            if environment.key[0] != name or environment.key in keep:
                continue
            environment.retired = True
            if environment.life.state is EnvironmentState.IDLE:
                self._idle[environment.key].remove(environment_id)
                self._drop_idle(environment.key)
                instructions.append(self._stop(environment_id, now_s))
        return instructions

    def tick(self, now_s: float) -> list[Instruction]:
        """Time has passed: environments idle for too long go, invocations waiting for too long are throttled."""
        instructions: list[Instruction] = []
        for key, line in list(self._lines.items()):
            while line.waiting:
                request_id, since_s = next(iter(line.waiting.items()))
                if now_s - since_s < self.limits.queue_timeout_s:
                    break
                del line.waiting[request_id]
                self._release(request_id)
                instructions.append(Throttle(request_id, "ConcurrentInvocationLimitExceeded"))
            self._drop_line(key)
        for key, idle in list(self._idle.items()):
            while idle and now_s - self._environments[idle[0]].idle_since_s >= self.limits.keep_alive_s:
                instructions.append(self._stop(idle.popleft(), now_s))
            self._drop_idle(key)
        return [*instructions, *self._make_room(now_s)]

    # --- what may be asked

    @property
    def promised_mb(self) -> int:
        """Memory promised to environments that are not gone."""
        return self._promised_mb

    def running(self, name: str | None = None) -> int:
        """Invocations accepted and not finished: of one function, or of all."""
        return self._running.get(name, 0) if name is not None else len(self._requests)

    def states(self) -> dict[str, tuple[Key, EnvironmentState]]:
        """Every environment's version and state."""
        return {i: (e.key, e.life.state) for i, e in self._environments.items()}

    def next_due_s(self) -> float | None:
        """When ``tick`` has something to do at the earliest; None while nothing is idle or waiting."""
        dues = [self._environments[idle[0]].idle_since_s + self.limits.keep_alive_s for idle in self._idle.values()]
        dues += [
            next(iter(line.waiting.values())) + self.limits.queue_timeout_s
            for line in self._lines.values()
            if line.waiting
        ]
        return min(dues, default=None)

    # --- inner

    def _over_limit(self, name: str, reserved: int | None, total_reserved: int) -> str | None:
        if reserved is not None:
            over = self._running.get(name, 0) >= reserved
            return "ReservedFunctionConcurrentInvocationLimitExceeded" if over else None
        over = self._unreserved >= self.limits.concurrency - total_reserved
        return "ConcurrentInvocationLimitExceeded" if over else None

    def _assign(self, environment_id: str, request_id: str, now_s: float) -> Assign:
        environment = self._environments[environment_id]
        environment.life.to(EnvironmentState.BUSY, now_s)
        environment.request_id = request_id
        self._drop_idle(environment.key)
        return Assign(environment_id, request_id)

    def _finish(self, environment: _Environment) -> None:
        assert environment.request_id is not None
        self._release(environment.request_id)
        environment.request_id = None

    def _release(self, request_id: str) -> None:
        (name, _, _), unreserved = self._requests.pop(request_id)
        self._unreserved -= unreserved
        left = self._running[name] - 1
        if left:
            self._running[name] = left
        else:
            del self._running[name]

    def _stop(self, environment_id: str, now_s: float) -> Stop:
        self._environments[environment_id].life.to(EnvironmentState.STOPPING, now_s)
        return Stop(environment_id)

    def _make_room(self, now_s: float) -> Iterator[Instruction]:
        """Start what the lines need, the longest-waiting version first, as far as memory goes."""
        needy = [(key, line) for key, line in self._lines.items() if line.starting < len(line.waiting)]
        needy.sort(key=lambda item: next(iter(item[1].waiting.values())))
        for key, line in needy:
            while line.starting < len(line.waiting):
                yield from self._evict_for(line.memory_mb, now_s)
                fits = self._promised_mb + line.memory_mb <= self.limits.memory_mb
                if not fits and self._environments:
                    return  # whoever waits longest gets the next room; later ones must not overtake
                yield self._start(key, line, now_s)

    def _evict_for(self, memory_mb: int, now_s: float) -> Iterator[Instruction]:
        """Stop the longest-idle environments until ``memory_mb`` will fit; what stops still holds its memory."""
        stopping = sum(e.memory_mb for e in self._environments.values() if e.life.state is EnvironmentState.STOPPING)
        short = self._promised_mb - stopping + memory_mb - self.limits.memory_mb
        while short > 0 and self._idle:
            key = min(self._idle, key=lambda k: self._environments[self._idle[k][0]].idle_since_s)
            environment_id = self._idle[key].popleft()
            self._drop_idle(key)
            short -= self._environments[environment_id].memory_mb
            yield self._stop(environment_id, now_s)

    def _start(self, key: Key, line: _Line, now_s: float) -> Start:
        self._started += 1
        environment_id = f"e{self._started}"
        self._environments[environment_id] = _Environment(EnvironmentLife(environment_id, now_s), key, line.memory_mb)
        self._promised_mb += line.memory_mb
        line.starting += 1
        return Start(environment_id, key)

    def _drop_line(self, key: Key) -> None:
        line = self._lines.get(key)
        if line is not None and not line.waiting and not line.starting:
            del self._lines[key]

    def _drop_idle(self, key: Key) -> None:
        if key in self._idle and not self._idle[key]:
            del self._idle[key]
