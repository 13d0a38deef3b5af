"""What the pool policy is told at start, and the instructions it gives."""

from __future__ import annotations

from dataclasses import dataclass

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

    #: Concurrent executions of the account.
    concurrency: int
    #: What all environments and generic containers together may be promised.
    memory_mb: int
    #: How long an idle environment is kept while nothing is learned of its version.
    keep_alive_s: float
    #: How long an invocation waits for an environment before it is throttled.
    queue_timeout_s: float
    #: Environments a function may start within ten seconds (AWS: 1,000).
    scaling_per_10s: int = 1000
    #: All generic containers together.
    warm_memory_mb: int = 1024
    #: Starts from nothing in flight beyond which generic containers, provisioned and pre-warmed environments wait.
    starts_at_once: int = 2
    #: Whether keep-alive follows each version's arrival pattern, or is ``keep_alive_s`` for all.
    keep_alive_learned: bool = True
    #: What avoiding a cold start is worth when keep-alive is learned: idling for so many times ``keep_alive_s``.
    cold_start_worth: float = 2.0
    #: Bounds of a learned keep-alive.
    keep_alive_min_s: float = 60.0
    keep_alive_max_s: float = 14_400.0
    #: An environment is ended and started again ahead of its next invocation only if that frees it for this long.
    prewarm_min_s: float = 120.0
    #: A busy environment is waited for where that takes, as learned, at most this many cold starts; 0: one start for
    #: every waiting invocation, as AWS does.
    patience: float = 1.0
    #: How long the memory of a function beyond its fair share stays its own while another function waits for some.
    yield_after_s: float = 1.0
