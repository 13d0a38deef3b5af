"""What the pool knows of functions, versions and environments, and how concurrency is counted on them.

Concurrency is counted as AWS does. A function uses, of each of its versions, the larger of what the version has
provisioned and what of it runs: provisioned concurrency is taken whether it is used or not, and what runs beyond it
spills over. A function with reserved concurrency may use that much; all others together may use what the account has
beyond all reservations.

Source: AWS Lambda Developer Guide, "Understanding Lambda function scaling", "Lambda scaling behavior".
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from jupyter_lambda.model.environment import EnvironmentLife, EnvironmentState

from .instructions import Key, Kind, PoolLimits
from .keepalive import ArrivalPattern

#: AWS's ThrottleReason values that can occur here.
ACCOUNT_CONCURRENCY = "ConcurrentInvocationLimitExceeded"
RESERVED_CONCURRENCY = "ReservedFunctionConcurrentInvocationLimitExceeded"
SCALING_RATE = "FunctionInvocationRateLimitExceeded"
RESERVED_SCALING_RATE = "ReservedFunctionInvocationRateLimitExceeded"

#: What the pool remembers of environments that were ended while idle, for each version.
GHOSTS_MAX = 32
#: Durations that must be known before they are reckoned with, and the weight of the newest.
_DURATIONS_MIN = 3
_WEIGHT = 0.2


@dataclass(slots=True, eq=False)
class Habits:
    """What is learned of one version (``$LATEST`` through all its revisions)."""

    pattern: ArrivalPattern
    #: Mean duration of an invocation, exponentially weighted, and how many it comes from.
    duration_s: float = 0.0
    durations: int = 0
    #: Time from Start to ready: from nothing, and by adopting a generic container.
    cold_s: float = 0.3
    adopt_s: float = 0.02

    def ran(self, duration_s: float) -> None:
        """An invocation took so long."""
        self.durations += 1
        self.duration_s += max(_WEIGHT, 1 / self.durations) * (duration_s - self.duration_s)

    def started(self, took_s: float, *, adopted: bool) -> None:
        """An environment was ready so long after its Start."""
        if adopted:
            self.adopt_s += _WEIGHT * (took_s - self.adopt_s)
        else:
            self.cold_s += _WEIGHT * (took_s - self.cold_s)

    def turns(self, horizon_s: float) -> int:
        """Invocations that one environment is expected to finish within a time; 0 where that isn't known."""
        if self.durations < _DURATIONS_MIN or self.duration_s <= 0:
            return 0
        return min(1_000_000, int(horizon_s / self.duration_s))


@dataclass(slots=True, eq=False)
class FunctionRecord:
    """One function: what it uses of concurrency, memory and its scaling rate."""

    name: str
    #: Environments it may still start at once, and as of when.
    tokens: float
    tokens_at_s: float = 0.0
    reserved: bool = False
    #: Accepted and not finished.
    running: int = 0
    #: What it uses of concurrency, provisioned included.
    usage: int = 0
    #: Memory promised to its environments.
    held_mb: int = 0
    waiting: int = 0
    versions: dict[Key, VersionRecord] = field(default_factory=dict)
    habits: dict[str, Habits] = field(default_factory=dict)

    def may_start(self, per_10s: int, now_s: float) -> float:
        """0 where it may start an environment now, else the seconds until it may (AWS refills continuously)."""
        rate = per_10s / 10
        self.tokens = min(float(per_10s), self.tokens + (now_s - self.tokens_at_s) * rate)
        self.tokens_at_s = now_s
        return 0.0 if self.tokens >= 1 - 1e-6 else (1 - self.tokens) / rate


@dataclass(slots=True, eq=False)
class VersionRecord:
    """One revision of a version: its line, its environments, what is to be provisioned."""

    key: Key
    function: FunctionRecord
    habits: Habits
    memory_mb: int
    kinds: tuple[Kind, ...]
    #: Request id → since when, oldest first.
    waiting: OrderedDict[str, float] = field(default_factory=OrderedDict)
    #: Environments that are being started on demand or ahead of it, provisioned ones not counted.
    starting: int = 0
    running: int = 0
    #: Idle ones, the one used last at the end: on demand, and provisioned.
    idle: dict[str, EnvironmentRecord] = field(default_factory=dict)
    idle_provisioned: dict[str, EnvironmentRecord] = field(default_factory=dict)
    environments: dict[str, EnvironmentRecord] = field(default_factory=dict)
    #: Provisioned: asked for, existing (starting included), failures in a row, and when to try again.
    wanted: int = 0
    existing: int = 0
    failures: int = 0
    not_before_s: float = 0.0
    #: Environments ended while idle: since when each would be idle, and when to start it ahead (0: not).
    ghosts: list[tuple[float, float]] = field(default_factory=list)
    #: It stands in the order of those that need room.
    queued: bool = False
    #: What divides the turns a busy environment is trusted with; doubled each time patience was disappointed.
    hurry: int = 1
    patient_until_s: float = 0.0
    #: Invocations that came, and of them those that had to wait, since then; starts still due because most had to.
    came: int = 0
    waited: int = 0
    counted_since_s: float = 0.0
    urged: int = 0
    #: It may not start more for now because of the scaling rate.
    rate_limited_until_s: float = 0.0
    timer_s: float | None = None

    @property
    def busy(self) -> int:
        """Environments in which an invocation runs."""
        return self.running - len(self.waiting)


@dataclass(slots=True, eq=False)
class EnvironmentRecord:
    """One environment as the pool knows it."""

    environment_id: str
    version: VersionRecord
    life: EnvironmentLife
    memory_mb: int
    started_s: float
    adopted: bool
    provisioned: bool
    prewarmed: bool
    request_id: str | None = None
    assigned_s: float = 0.0
    #: Since when its version would have had it idle; of a pre-warmed one, since its predecessor was.
    idle_since_s: float = 0.0
    retired: bool = False
    uses: int = 0
    #: The age of the eviction order when it was used last, and whether it stands in that order.
    era: float = 0.0
    ranked: bool = False
    timer_s: float | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing runs in it and it could be ended."""
        return self.life.state is EnvironmentState.IDLE

    @property
    def coming(self) -> bool:
        """Whether it isn't ready yet."""
        return self.life.state in (EnvironmentState.STARTING, EnvironmentState.INITIALIZING)


class Concurrency:
    """Counts what functions use of the account's concurrency."""

    def __init__(self, limits: PoolLimits) -> None:
        self._limits = limits
        #: Used by functions without reserved concurrency.
        self.unreserved = 0

    def refusal(self, version: VersionRecord, reserved: int | None, total_reserved: int) -> str | None:
        """Why one more invocation may not run, as AWS's ThrottleReason; None where it may."""
        function = version.function
        if function.reserved != (reserved is not None):
            self.reserve(function, reserved is not None)
        if version.running < version.wanted and reserved != 0:
            return None
        if reserved is not None:
            return RESERVED_CONCURRENCY if function.usage >= reserved else None
        return ACCOUNT_CONCURRENCY if self.unreserved >= self._limits.concurrency - total_reserved else None

    def reserve(self, function: FunctionRecord, reserved: bool) -> None:
        """The function got, or lost, reserved concurrency of its own."""
        if function.reserved != reserved:
            function.reserved = reserved
            self.unreserved += -function.usage if reserved else function.usage

    def enter(self, version: VersionRecord) -> None:
        """An invocation is accepted."""
        version.running += 1
        version.function.running += 1
        if version.running > version.wanted:
            self._use(version.function, 1)

    def leave(self, version: VersionRecord) -> None:
        """An invocation is finished, throttled or withdrawn."""
        if version.running > version.wanted:
            self._use(version.function, -1)
        version.running -= 1
        version.function.running -= 1

    def provision(self, version: VersionRecord, wanted: int) -> None:
        """So many environments of a version are asked for."""
        self._use(version.function, max(wanted, version.running) - max(version.wanted, version.running))
        version.wanted = wanted

    def _use(self, function: FunctionRecord, more: int) -> None:
        function.usage += more
        if not function.reserved:
            self.unreserved += more
