"""One invocation: the request, what came of it, the record that is kept, and the durable asynchronous event.

What is made for every invocation is never changed once made, and yet not frozen: construction would take five times as
long (2 µs for a record), some 6 µs in all for each invocation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .stream import ResponseStream

#: How an invocation ended.
#: success: the function answered · error: it reported an error · timeout · exit: its process ended (sys.exit, crash) ·
#: oom: killed for memory · too_large: its response exceeds the limit · init_error: it failed before the first event ·
#: cancelled: stopped by the caller · system: the engine or container engine failed.
Status = Literal["success", "error", "timeout", "exit", "oom", "too_large", "init_error", "cancelled", "system"]


@dataclass(slots=True)
class Invocation:
    """A request to run one version once."""

    request_id: str
    function_name: str
    #: The version that runs: "$LATEST" or a number; aliases are resolved by now.
    version: str
    #: The ARN as the caller named it, with its qualifier; the context's ``invoked_function_arn``.
    invoked_arn: str
    payload: bytes
    #: Who fired it: "sdk", "async", or a trigger's name.
    source: str = "sdk"
    #: JSON text (decoded from base64), or None.
    client_context: str | None = None
    trace_id: str | None = None
    #: Seconds since the epoch at which the engine accepted it.
    received_s: float = 0.0
    #: Where the answer goes as it comes; None: it is wanted whole.
    stream: ResponseStream | None = None


@dataclass(slots=True)
class InvocationRecord:
    """What the ledger keeps of one invocation. Durations in milliseconds, times in seconds since the epoch."""

    request_id: str
    function_name: str
    version: str
    source: str
    status: Status
    received_s: float
    #: When the function began to run; None when it never did (throttled, no sandbox).
    started_s: float | None
    #: Waiting for an environment, without ``init_ms``.
    queue_ms: float
    #: Initialising the environment; None for a warm start.
    init_ms: float | None
    run_ms: float
    billed_ms: int
    memory_mb: int
    #: Most memory used so far in the environment; None where it can't be measured.
    memory_used_mb: int | None
    cold: bool
    error_type: str | None = None
    environment_id: str | None = None
    log_stream: str | None = None
    #: Which attempt of an asynchronous event this was, from 1; 1 for synchronous ones.
    attempt: int = 1
    #: Memory in GB × billed seconds.
    gb_s: float = 0.0


@dataclass(slots=True)
class InvocationResult:
    """What the caller of Invoke gets."""

    payload: bytes
    #: None or "Unhandled": the X-Amz-Function-Error header.
    function_error: str | None
    #: The version that ran: the X-Amz-Executed-Version header.
    executed_version: str
    #: The last 4 KB of this invocation's log, START to REPORT.
    log_tail: bytes
    record: InvocationRecord


@dataclass(frozen=True, slots=True)
class AsyncEvent:
    """A durable asynchronous invocation, as the queue keeps it."""

    request_id: str
    function_name: str
    #: The qualifier the caller used ("$LATEST", version or alias); resolved at each attempt.
    qualifier: str
    payload: bytes
    source: str
    enqueued_s: float
    client_context: str | None = None
    trace_id: str | None = None
    #: Attempts that ended in a function error so far.
    attempts: int = 0
    #: Attempts put off by a throttle or a system error so far; they do not count as retries.
    deferrals: int = 0
    #: Set once the function is done with: what the destination is owed. {"destination": arn, "body": …}
    outcome: dict[str, Any] | None = field(default=None)
