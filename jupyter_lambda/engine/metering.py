"""What an invocation costs, and the lines AWS writes about it: START, END, REPORT."""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_lambda.model.function import FunctionVersion
from jupyter_lambda.model.invocation import Invocation, InvocationRecord, Status

from .outcomes import Verdict


def billed_ms(duration_ms: float, increment_ms: int) -> int:
    """Duration rounded up to a multiple of the increment, in ms; at least one increment, as AWS bills.

    Source: AWS Lambda pricing ("rounded up to the nearest 1 ms"; 100 ms until December 2020).
    """
    # Microseconds, so that 100.0000001 from float arithmetic isn't billed as 200.
    micros, step = max(1, round(duration_ms * 1000)), increment_ms * 1000
    return -(-micros // step) * increment_ms


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars."""

    gb_s: float
    request: float

    def of(self, *, gb_s: float, requests: int) -> float:
        """What so many GB-seconds and requests cost."""
        return gb_s * self.gb_s + requests * self.request


@dataclass(slots=True)
class Usage:
    """What an invocation took. Milliseconds, but ``waited_s``: seconds until it had an environment.

    Not frozen, as nothing that is made for every invocation: that costs a microsecond for each.
    """

    #: Which attempt of an asynchronous event, from 1.
    attempt: int
    run_ms: float
    #: None for a warm start.
    init_ms: float | None
    waited_s: float
    memory_used_mb: int | None = None
    #: None when it never had an environment: nothing is billed.
    environment_id: str | None = None
    log_stream: str | None = None


def record_of(
    invocation: Invocation,
    version: FunctionVersion,
    verdict: Verdict,
    usage: Usage,
    *,
    now_s: float,
    increment_ms: int,
) -> InvocationRecord:
    """What the ledger keeps. Initialisation is billed with the run, as AWS does since August 2025."""
    run_ms, init_ms = usage.run_ms, usage.init_ms
    ran = usage.environment_id is not None
    init = init_ms or 0.0
    billed = billed_ms(run_ms + init, increment_ms) if ran else 0
    memory_mb = version.memory_mb
    # By position: twenty keywords cost more than all the arithmetic.
    return InvocationRecord(
        invocation.request_id,
        version.name,
        version.version,
        invocation.source,
        verdict.status,
        invocation.received_s,
        now_s - run_ms / 1000 if ran else None,
        max(0.0, usage.waited_s * 1000 - init),
        init_ms,
        run_ms,
        billed,
        memory_mb,
        usage.memory_used_mb,
        init_ms is not None,
        verdict.error_type,
        usage.environment_id,
        usage.log_stream,
        usage.attempt,
        memory_mb / 1024 * billed / 1000,
    )


def start_line(request_id: str, version: str) -> bytes:
    """The line before the function's own."""
    return f"START RequestId: {request_id} Version: {version}\n".encode()


#: The REPORT line's Status field; absent after a success.
_REPORT_STATUS: dict[Status, str] = {
    "error": "error",
    "exit": "error",
    "oom": "error",
    "too_large": "error",
    "init_error": "error",
    "cancelled": "error",
    "system": "error",
    "timeout": "timeout",
}


def end_lines(record: InvocationRecord) -> bytes:
    """END and REPORT.

    Source: AWS Lambda Developer Guide, "Log format"; a function's own error that it reported itself has no Status
    field, one that the platform saw has.
    """
    request_id, memory_mb = record.request_id, record.memory_mb
    used_mb = record.memory_used_mb or 0
    more = ""
    if record.init_ms is not None:
        more = f"Init Duration: {record.init_ms:.2f} ms\t"
    status = _REPORT_STATUS.get(record.status)
    if status and record.status != "error":
        more += f"Status: {status}\t"
        if status == "error" and record.error_type:
            more += f"Error Type: {record.error_type}\t"
    return (
        f"END RequestId: {request_id}\nREPORT RequestId: {request_id}\tDuration: {record.run_ms:.2f} ms\t"
        f"Billed Duration: {record.billed_ms} ms\tMemory Size: {memory_mb} MB\t"
        f"Max Memory Used: {used_mb if used_mb < memory_mb else memory_mb} MB\t{more}\n"
    ).encode()
