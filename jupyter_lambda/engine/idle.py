"""What becomes of an environment for which there is nothing to do."""

from __future__ import annotations

from collections.abc import Iterator

from .fleet import EnvironmentRecord, VersionRecord
from .instructions import Instruction, PoolLimits
from .order import Timers
from .room import Room


class Idle:
    """Keeps idle environments as long as their version's arrival pattern says; provisioned ones for good."""

    def __init__(self, limits: PoolLimits, timers: Timers[VersionRecord | EnvironmentRecord], room: Room) -> None:
        self._timers = timers
        self._room = room
        #: What an environment is kept in any case, so that what comes right after an invocation finds it.
        self._least_s = min(limits.keep_alive_min_s, limits.keep_alive_s)

    def rest(self, environment: EnvironmentRecord, now_s: float) -> None:
        """It has become idle."""
        version = environment.version
        if environment.provisioned:
            version.idle_provisioned[environment.environment_id] = environment
            return
        version.idle[environment.environment_id] = environment
        if not environment.prewarmed:
            environment.idle_since_s = now_s
        self._room.rest(environment)
        due_s = self._until_s(environment)
        if environment.timer_s is None or due_s < environment.timer_s:
            self._timers.arm(environment, max(now_s, due_s))

    def expire(self, environment: EnvironmentRecord, now_s: float) -> Iterator[Instruction]:
        """Its timer has come: it goes if it is still idle and its time is over."""
        if not environment.idle or environment.provisioned:
            return
        due_s = self._until_s(environment)
        if now_s < due_s:
            self._timers.arm(environment, due_s)
            return
        version = environment.version
        ahead_s = environment.idle_since_s + version.habits.pattern.windows.prewarm_s
        if ahead_s > now_s:
            self._timers.arm(version, ahead_s)
        self._room.remember(environment, ahead_s if ahead_s > now_s else 0.0)
        yield self._room.stop(environment, now_s)

    def _until_s(self, environment: EnvironmentRecord) -> float:
        windows = environment.version.habits.pattern.windows
        if windows.prewarm_s and not environment.prewarmed:
            return environment.idle_since_s + self._least_s
        return environment.idle_since_s + windows.keep_alive_s
