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
class Kind:
    """A kind of generic container; equal kinds are interchangeable."""

    #: Opaque to the pool, e.g. ``python3.11/egress/512``.
    name: str
    #: What one that is ready is counted with.
    memory_mb: int


@dataclass(frozen=True, slots=True)
class Start:
    """Start an environment for a version.

    With ``container_id`` it adopts that generic container, which then is no longer the pool's; an adoption that fails
    is made up for by a fresh start of the same environment. ``prewarm``: no invocation waits for it.
    """

    environment_id: str
    key: Key
    container_id: str | None = None
    provisioned: bool = False
    prewarm: bool = False


@dataclass(frozen=True, slots=True)
class Prepare:
    """Start a generic container ahead of need; answered with ``prepared`` or ``unprepared``."""

    container_id: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Discard:
    """End a generic container that is ready; answered with ``unprepared``, which gives its memory back."""

    container_id: str


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


Instruction = Start | Assign | Throttle | Fail | Stop | Prepare | Discard


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Plain values: counts, MB, seconds."""

    concurrency: int
    memory_mb: int
    keep_alive_s: float
    queue_timeout_s: float
    #: Environments a function may start within ten seconds (AWS: 1,000).
    scaling_per_10s: int = 1000
    #: All generic containers together.
    warm_memory_mb: int = 1024
    #: Starts from nothing in flight beyond which generic containers and provisioned environments wait.
    starts_at_once: int = 2


@dataclass(slots=True)
class _Environment:
    life: EnvironmentLife
    key: Key
    memory_mb: int
    request_id: str | None = None
    idle_since_s: float = 0.0
    retired: bool = False
    provisioned: bool = False


@dataclass(slots=True)
class _Container:
    kind: Kind
    state: str = "preparing"


@dataclass(slots=True)
class _Provision:
    """How many environments of a version are to be kept, and what there is."""

    memory_mb: int
    kinds: tuple[Kind, ...]
    wanted: int = 0
    existing: int = 0
    failures: int = 0
    not_before_s: float = 0.0


@dataclass(slots=True)
class _Line:
    """What waits for one version, and what is being started for it."""

    memory_mb: int
    kinds: tuple[Kind, ...]
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
        self._containers: dict[str, _Container] = {}
        self._ready: dict[Kind, deque[str]] = {}
        self._stock: dict[Kind, int] = {}
        #: Failures of a kind since its last success, and when it may be tried again.
        self._kind_failures: dict[Kind, tuple[int, float]] = {}
        self._provisions: dict[Key, _Provision] = {}

    # --- what happened

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
            kinds: Generic containers an environment of this version may adopt, best first.
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
            line = self._lines[key] = _Line(memory_mb, kinds, OrderedDict())
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
            if environment.provisioned:
                self._provisions[environment.key].failures = 0
            else:
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
        if environment.provisioned:
            self._provision_gone(environment, state, now_s)
        if environment.request_id is not None:
            self._finish(environment)
        elif state is EnvironmentState.IDLE:
            self._idle[environment.key].remove(environment_id)
            self._drop_idle(environment.key)
        elif state in (EnvironmentState.STARTING, EnvironmentState.INITIALIZING) and not environment.provisioned:
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
            for environment_id in list(idle):
                environment = self._environments[environment_id]
                if not environment.provisioned and now_s - environment.idle_since_s >= self.limits.keep_alive_s:
                    idle.remove(environment_id)
                    instructions.append(self._stop(environment_id, now_s))
            self._drop_idle(key)
        return [*instructions, *self._make_room(now_s)]

    # --- generic containers and provisioned concurrency

    def prepared(self, container_id: str, now_s: float) -> list[Instruction]:
        """A generic container is ready."""
        container = self._containers.get(container_id)
        if container is None or container.state != "preparing":
            return []
        container.state = "ready"
        self._kind_failures.pop(container.kind, None)
        self._ready.setdefault(container.kind, deque()).append(container_id)
        return list(self._make_room(now_s))

    def unprepared(self, container_id: str, now_s: float) -> list[Instruction]:
        """A generic container failed to start, ended by itself, or was discarded and is gone."""
        container = self._containers.pop(container_id, None)
        if container is None:
            return []
        self._promised_mb -= container.kind.memory_mb
        if container.state == "ready":
            self._ready[container.kind].remove(container_id)
        if container.state != "discarding":
            failures = self._kind_failures.get(container.kind, (0, 0.0))[0] + 1
            self._kind_failures[container.kind] = (failures, now_s + min(300.0, 2.0**failures / 2))
        return list(self._make_room(now_s))

    def stock(self, kind: Kind, count: int, now_s: float) -> list[Instruction]:
        """Keep at least ``count`` containers of a kind ready; 0: no longer."""
        self._stock[kind] = count
        if count == 0:
            del self._stock[kind]
            ready = self._ready.pop(kind, deque())
            return [self._discard(container_id) for container_id in ready]
        return list(self._make_room(now_s))

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
        provision = self._provisions.setdefault(key, _Provision(memory_mb, kinds))
        provision.wanted = count
        instructions: list[Instruction] = []
        for environment_id, environment in list(self._environments.items()):
            if provision.existing <= count:
                break
            if environment.key == key and environment.provisioned and not environment.retired:
                if environment.life.state is EnvironmentState.IDLE:
                    self._idle[key].remove(environment_id)
                    self._drop_idle(key)
                    instructions.append(self._stop(environment_id, now_s))
                environment.retired = True
                provision.existing -= 1
        return [*instructions, *self._make_room(now_s)]

    def provisioned(self, key: Key) -> tuple[int, int, int]:
        """Provisioned environments of a version: requested, initialised, and of these in use."""
        provision = self._provisions.get(key)
        if provision is None:
            return 0, 0, 0
        own = [e.life.state for e in self._environments.values() if e.key == key and e.provisioned and not e.retired]
        busy = own.count(EnvironmentState.BUSY)
        return provision.wanted, own.count(EnvironmentState.IDLE) + busy, busy

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
        dues = [
            e.idle_since_s + self.limits.keep_alive_s
            for e in self._environments.values()
            if e.life.state is EnvironmentState.IDLE and not e.provisioned
        ]
        dues += [not_before_s for kind, (_, not_before_s) in self._kind_failures.items() if kind in self._stock]
        dues += [p.not_before_s for p in self._provisions.values() if p.existing < p.wanted]
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
                line.starting += 1
                yield self._start(key, line.memory_mb, line.kinds, now_s)
        for key, provision in self._provisions.items():
            while provision.existing < provision.wanted and provision.not_before_s <= now_s:
                if self._promised_mb + provision.memory_mb > self.limits.memory_mb:
                    return
                provision.existing += 1
                yield self._start(key, provision.memory_mb, provision.kinds, now_s, provisioned=True)
        yield from self._refill(now_s)

    def _refill(self, now_s: float) -> Iterator[Instruction]:
        warm_mb = sum(c.kind.memory_mb for c in self._containers.values())
        preparing = sum(c.state == "preparing" for c in self._containers.values())
        for kind, count in self._stock.items():
            have = sum(c.kind == kind and c.state != "discarding" for c in self._containers.values())
            while have < count and self._kind_failures.get(kind, (0, 0.0))[1] <= now_s:
                warm_mb += kind.memory_mb
                over = self._promised_mb + kind.memory_mb > self.limits.memory_mb
                if over or warm_mb > self.limits.warm_memory_mb or preparing >= self.limits.starts_at_once:
                    return
                self._started += 1
                container_id = f"c{self._started}"
                self._containers[container_id] = _Container(kind)
                self._promised_mb += kind.memory_mb
                have, preparing = have + 1, preparing + 1
                yield Prepare(container_id, kind)

    def _discard(self, container_id: str) -> Discard:
        self._containers[container_id].state = "discarding"
        return Discard(container_id)

    def _provision_gone(self, environment: _Environment, state: EnvironmentState, now_s: float) -> None:
        provision = self._provisions[environment.key]
        provision.existing -= not environment.retired
        if state in (EnvironmentState.STARTING, EnvironmentState.INITIALIZING):
            provision.failures += 1
            provision.not_before_s = now_s + min(300.0, 2.0**provision.failures / 2)

    def _evict_for(self, memory_mb: int, now_s: float) -> Iterator[Instruction]:
        """Stop the longest-idle environments until ``memory_mb`` will fit; what stops still holds its memory."""
        stopping = sum(e.memory_mb for e in self._environments.values() if e.life.state is EnvironmentState.STOPPING)
        short = self._promised_mb - stopping + memory_mb - self.limits.memory_mb
        while short > 0 and (kind := next((k for k, ready in self._ready.items() if ready), None)) is not None:
            short -= kind.memory_mb
            yield self._discard(self._ready[kind].popleft())
        if short <= 0:
            return
        idle = [
            (e.idle_since_s, i)
            for i, e in self._environments.items()
            if e.life.state is EnvironmentState.IDLE and not e.provisioned
        ]
        for _, environment_id in sorted(idle):
            if short <= 0:
                return
            environment = self._environments[environment_id]
            self._idle[environment.key].remove(environment_id)
            self._drop_idle(environment.key)
            short -= environment.memory_mb
            yield self._stop(environment_id, now_s)

    def _start(
        self, key: Key, memory_mb: int, kinds: tuple[Kind, ...], now_s: float, *, provisioned: bool = False
    ) -> Start:
        self._started += 1
        environment_id = f"e{self._started}"
        environment = _Environment(EnvironmentLife(environment_id, now_s), key, memory_mb, provisioned=provisioned)
        self._environments[environment_id] = environment
        self._promised_mb += memory_mb
        for kind in kinds:
            ready = self._ready.get(kind)
            if ready:
                container_id = ready.popleft()
                del self._containers[container_id]
                self._promised_mb -= kind.memory_mb
                return Start(environment_id, key, container_id, provisioned=provisioned)
        return Start(environment_id, key, provisioned=provisioned)

    def _drop_line(self, key: Key) -> None:
        line = self._lines.get(key)
        if line is not None and not line.waiting and not line.starting:
            del self._lines[key]

    def _drop_idle(self, key: Key) -> None:
        if key in self._idle and not self._idle[key]:
            del self._idle[key]
