"""Memory and starts: who gets room, what goes for it, and what is started ahead of need with what is left."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from math import ceil

from jupyter_lambda.model.environment import EnvironmentLife, EnvironmentState

from .fleet import GHOSTS_MAX, EnvironmentRecord, FunctionRecord, VersionRecord
from .instructions import Instruction, Kind, PoolLimits, Start, Stop
from .order import LeastUseful, NextRoom, Timers
from .stock import Stock, back_off_s

#: An environment is trusted with at most so many waiting invocations; by what that is divided after a disappointment.
_TURNS_MAX = 64
_HURRY = 4
#: Cold starts' time after which what was counted says nothing of the present load.
_LATELY = 4
#: A provisioned environment that lasted this long has not failed at once.
_LASTED_S = 60.0
#: When a start ahead of need finds no room, it is tried again after this long.
_RETRY_S = 1.0


class Room:
    """The memory of all environments and generic containers, and the order in which it is given.

    Args:
        environments: The pool's, by id; new ones are put there.
        timers: The pool's.
    """

    def __init__(
        self,
        limits: PoolLimits,
        environments: dict[str, EnvironmentRecord],
        timers: Timers[VersionRecord | EnvironmentRecord],
    ) -> None:
        self._limits = limits
        self._environments = environments
        self._timers = timers
        self.stock = Stock(limits.warm_memory_mb)
        self._next = NextRoom()
        self._least_useful = LeastUseful()
        #: Promised to everything that is not gone; of it, environments that stop and provisioned ones.
        self.promised_mb = 0
        self._stopping_mb = 0
        self._provisioned_mb = 0
        #: Of environments that are idle and may be evicted.
        self._idle_mb = 0
        #: Functions that hold or want memory; invocations that wait.
        self._active = 0
        self.waiting = 0
        #: Environments that are being started from nothing.
        self._in_flight = 0
        self._count = 0
        #: Something changed that may let provisioned environments or generic containers start.
        self._slack = False
        self._to_provision: dict[VersionRecord, None] = {}
        #: Versions that can't fit beside what is provisioned.
        self._unfit: dict[VersionRecord, None] = {}

    # --- what happened

    @property
    def wanted(self) -> bool:
        """Whether ``make`` may have something to do."""
        return self._slack or bool(self._next)

    def wait(self, function: FunctionRecord, more: int) -> None:
        """So many more invocations of a function wait (or fewer)."""
        was = function.waiting or function.held_mb
        function.waiting += more
        self.waiting += more
        self._active += bool(function.waiting or function.held_mb) - bool(was)

    def need(self, version: VersionRecord) -> None:
        """A version may need more environments than are being started."""
        self._next.add(version, self._share_mb())

    def provision(self, version: VersionRecord) -> None:
        """What is provisioned of a version, or is to be, changed."""
        self._to_provision[version] = None
        self._slack = True

    def came(self, environment: EnvironmentRecord) -> None:
        """It is ready, or it never will be."""
        self._in_flight -= not environment.adopted
        environment.version.starting -= not environment.provisioned
        self._slack = True

    def rest(self, environment: EnvironmentRecord) -> None:
        """It is idle and may be evicted."""
        self._idle_mb += environment.memory_mb
        self._least_useful.add(environment)

    def taken(self, environment: EnvironmentRecord) -> None:
        """It is idle no longer: an invocation has it."""
        self._idle_mb -= environment.memory_mb

    def stop(self, environment: EnvironmentRecord, now_s: float) -> Stop:
        """End it; it holds its memory until it is gone."""
        self._unrest(environment)
        environment.life.to(EnvironmentState.STOPPING, now_s)
        environment.timer_s = None
        self._stopping_mb += environment.memory_mb
        return Stop(environment.environment_id)

    def lost(self, environment: EnvironmentRecord, now_s: float) -> None:
        """It is gone, and its memory free."""
        version = environment.version
        if environment.life.state is EnvironmentState.STOPPING:
            self._stopping_mb -= environment.memory_mb
        self._unrest(environment)
        del version.environments[environment.environment_id]
        self._hold(version.function, -environment.memory_mb)
        self._slack = True
        if not environment.provisioned:
            return
        self._provisioned_mb -= environment.memory_mb
        for unfit in self._unfit:
            self._next.add(unfit, self._share_mb())
        self._unfit.clear()
        if not environment.retired:
            version.existing -= 1
            if environment.uses == 0:
                version.failures = version.failures + 1 if now_s - environment.started_s < _LASTED_S else 1
                version.not_before_s = now_s + back_off_s(version.failures)
            self.provision(version)

    def remember(self, environment: EnvironmentRecord, ahead_s: float) -> None:
        """It is ended while idle: what comes next tells how long it would have been, and it may come back by itself."""
        ghosts = environment.version.ghosts
        if len(ghosts) < GHOSTS_MAX:
            ghosts.append((environment.idle_since_s, ahead_s))

    # --- what follows

    def make(self, now_s: float, *, slack: bool = False) -> Iterator[Instruction]:
        """Start what is needed as far as memory goes, then what is asked for ahead of need."""
        self._slack |= slack
        while (version := self._next.first(self._share_mb())) is not None:
            if version.starting >= self._starts_wanted(version, now_s):
                self._next.drop(version)
                continue
            delay_s = version.function.may_start(self._limits.scaling_per_10s, now_s)
            if delay_s:
                self._next.drop(version)
                version.rate_limited_until_s = now_s + delay_s
                self._timers.arm(version, version.rate_limited_until_s)
                continue
            if 0 < self._provisioned_mb > self._limits.memory_mb - version.memory_mb:
                self._next.drop(version)
                self._unfit[version] = None
                continue
            kind = self.stock.ready(version.kinds)
            if not self._in_vain(version.memory_mb, kind):
                yield from self._free(version.memory_mb, kind, now_s)
            if not self._fits(version.memory_mb, kind):
                return  # whose turn it is gets the next room; others must not overtake
            version.function.tokens -= 1
            self.stock.demand(version.kinds, now_s)
            if version.ghosts:
                version.habits.pattern.observe(now_s - version.ghosts.pop()[0])
            yield self._start(version, kind, now_s)
            self._next.renew(version, self._share_mb())
        if self._slack:
            self._slack = False
            if (yield from self._provision_pending(now_s)):
                yield from self._refill(now_s)

    def must_yield(self, environment: EnvironmentRecord, now_s: float) -> bool:
        """Whether a free environment, for which more work waits, goes so that another function gets its turn."""
        head = self._next.first(self._share_mb())
        if head is None or environment.provisioned or head.function is environment.version.function:
            return False
        left_mb = self.promised_mb - self._stopping_mb - self.stock.discarding_mb
        if left_mb == 0 or left_mb + head.memory_mb <= self._limits.memory_mb:
            return False  # what stops is enough
        waited_s = now_s - next(iter(head.waiting.values()))
        if waited_s >= self._limits.queue_timeout_s / 2:
            return True
        beyond = environment.version.function.held_mb > self._share_mb() >= head.function.held_mb
        return beyond and waited_s >= self._limits.yield_after_s

    def look_after(self, version: VersionRecord, now_s: float) -> None:
        """A version's timer has come: it may start more, or its patience is over."""
        if version.waiting and 0 < version.patient_until_s <= now_s:
            version.patient_until_s = 0.0
            waited_s = now_s - next(iter(version.waiting.values()))
            if waited_s >= self._horizon_s(version):
                version.hurry = min(version.hurry * _HURRY, _TURNS_MAX * _HURRY)
        self.need(version)
        if version.existing < version.wanted:
            self.provision(version)

    def prewarm(self, version: VersionRecord, now_s: float) -> Iterator[Instruction]:
        """Start again, ahead of their next invocation, environments that were ended because it was far."""
        keep_alive_s = version.habits.pattern.windows.keep_alive_s
        for i, (since_s, ahead_s) in reversed(list(enumerate(version.ghosts))):
            if not ahead_s:
                continue
            if now_s >= since_s + keep_alive_s:
                version.ghosts[i] = (since_s, 0.0)
            elif now_s < ahead_s:
                self._timers.arm(version, ahead_s)
            elif not self._may_start_ahead(version):
                self._timers.arm(version, now_s + _RETRY_S)
            else:
                del version.ghosts[i]
                yield self._start(version, self.stock.ready(version.kinds), now_s, prewarm_since_s=since_s)

    # --- inner

    def _share_mb(self) -> float:
        return self._limits.memory_mb / (self._active or 1)

    def _hold(self, function: FunctionRecord, memory_mb: int) -> None:
        was = function.waiting or function.held_mb
        function.held_mb += memory_mb
        self.promised_mb += memory_mb
        self._active += bool(function.waiting or function.held_mb) - bool(was)

    def _unrest(self, environment: EnvironmentRecord) -> None:
        version = environment.version
        if environment.provisioned:
            version.idle_provisioned.pop(environment.environment_id, None)
        elif version.idle.pop(environment.environment_id, None):
            self._idle_mb -= environment.memory_mb

    def _horizon_s(self, version: VersionRecord) -> float:
        """What may be waited for a busy environment: as long as a start would take."""
        habits = version.habits
        return self._limits.patience * (habits.adopt_s if self.stock.ready(version.kinds) else habits.cold_s)

    def _starts_wanted(self, version: VersionRecord, now_s: float) -> int:
        """Environments that should be starting for a version's line."""
        waiting = len(version.waiting)
        horizon_s = self._horizon_s(version)
        turns = min(_TURNS_MAX, version.habits.turns(horizon_s)) // version.hurry
        if turns < 1:
            return waiting
        wanted = ceil(max(0, waiting - version.busy * turns) / turns)
        self._urge(version, now_s)
        wanted = max(wanted, min(waiting, version.starting + version.urged))
        if wanted < waiting:
            version.patient_until_s = now_s + horizon_s
            self._timers.arm(version, version.patient_until_s)
        return wanted

    @staticmethod
    def _urge(version: VersionRecord, now_s: float) -> None:
        """Patience is for bursts: where most had to wait for as long as a cold start takes, environments double."""
        counted_s, cold_s = now_s - version.counted_since_s, version.habits.cold_s
        if counted_s < cold_s:
            return
        lately = counted_s < _LATELY * cold_s
        version.urged = max(1, version.busy) if lately and 2 * version.waited >= version.came else 0
        version.counted_since_s, version.came, version.waited = now_s, 0, 0

    def _fits(self, memory_mb: int, kind: Kind | None) -> bool:
        """Alone, an environment may be larger than the whole budget."""
        others_mb = self.promised_mb - (kind.memory_mb if kind else 0)
        return others_mb + memory_mb <= self._limits.memory_mb or others_mb == 0

    def _short_mb(self, memory_mb: int, kind: Kind | None) -> int:
        """What is missing for so much beside what doesn't stop."""
        left_mb = self.promised_mb - (kind.memory_mb if kind else 0) - self._stopping_mb - self.stock.discarding_mb
        return left_mb + memory_mb - self._limits.memory_mb

    def _in_vain(self, memory_mb: int, kind: Kind | None) -> bool:
        """Whether there would not be room for so much if all that is idle or generic were given up."""
        short_mb = self._short_mb(memory_mb, kind)
        return 0 < self._idle_mb + self.stock.ready_mb(kind) < short_mb

    def _free(self, memory_mb: int, kind: Kind | None, now_s: float) -> Iterator[Instruction]:
        """Give up generic containers, then idle environments, until so much will fit beside what doesn't stop."""
        short_mb = self._short_mb(memory_mb, kind)
        while short_mb > 0:
            before_mb = self.stock.discarding_mb
            discard = self.stock.surrender(kind)
            if discard is not None:
                short_mb -= self.stock.discarding_mb - before_mb
                yield discard
                continue
            environment = self._least_useful.evict()
            if environment is None:
                return
            short_mb -= environment.memory_mb
            self.remember(environment, 0.0)
            yield self.stop(environment, now_s)

    def _start(
        self,
        version: VersionRecord,
        kind: Kind | None,
        now_s: float,
        *,
        provisioned: bool = False,
        prewarm_since_s: float | None = None,
    ) -> Start:
        self._count += 1
        environment_id = f"e{self._count}"
        container_id = None
        if kind is not None:
            container_id = self.stock.take(kind)
            self.promised_mb -= kind.memory_mb
            self._slack = True
        prewarm = prewarm_since_s is not None
        environment = EnvironmentRecord(
            environment_id,
            version,
            EnvironmentLife(environment_id, now_s),
            version.memory_mb,
            now_s,
            kind is not None,
            provisioned,
            prewarm,
            idle_since_s=prewarm_since_s or 0.0,
        )
        self._environments[environment_id] = version.environments[environment_id] = environment
        self._hold(version.function, version.memory_mb)
        self._in_flight += kind is None
        version.starting += not provisioned
        version.urged = max(0, version.urged - 1)
        version.existing += provisioned
        self._provisioned_mb += version.memory_mb * provisioned
        return Start(environment_id, version.key, container_id, provisioned, prewarm)

    def _may_begin(self) -> int:
        """Starts from nothing that may begin ahead of need."""
        return self._limits.starts_at_once - self._in_flight - self.stock.preparing

    def _may_start_ahead(self, version: VersionRecord) -> bool:
        kind = self.stock.ready(version.kinds)
        free = kind is not None or self._may_begin() > 0
        others_mb = self.promised_mb - (kind.memory_mb if kind else 0)
        return free and not self._next and others_mb + version.memory_mb <= self._limits.memory_mb

    def _provision_pending(self, now_s: float) -> Generator[Instruction, None, bool]:
        """Start what is provisioned and isn't there. Returns whether all that can be had is begun."""
        for version in list(self._to_provision):
            while version.existing < version.wanted:
                if now_s < version.not_before_s:
                    self._timers.arm(version, version.not_before_s)
                    break
                if 0 < self._provisioned_mb > self._limits.memory_mb - version.memory_mb:
                    break  # more is provisioned than there is memory
                kind = self.stock.ready(version.kinds)
                if kind is None and self._may_begin() <= 0:
                    return False
                if self._in_vain(version.memory_mb, kind):
                    return False
                yield from self._free(version.memory_mb, kind, now_s)
                if not self._fits(version.memory_mb, kind):
                    return False
                yield self._start(version, kind, now_s, provisioned=True)
            else:
                del self._to_provision[version]
        return True

    def _refill(self, now_s: float) -> Iterator[Instruction]:
        free_mb = self._limits.memory_mb - self.promised_mb
        for prepare in self.stock.refill(free_mb, self._may_begin(), now_s):
            self.promised_mb += prepare.kind.memory_mb
            yield prepare
