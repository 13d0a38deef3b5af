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


@dataclass(frozen=True, slots=True)
class Usage:
    """What an invocation took. Milliseconds, but ``waited_s``: seconds until it had an environment."""

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
    ran = usage.environment_id is not None
    init_ms = usage.init_ms or 0.0
    billed = billed_ms(usage.run_ms + init_ms, increment_ms) if ran else 0
    return InvocationRecord(
        request_id=invocation.request_id,
        function_name=version.name,
        version=version.version,
        source=invocation.source,
        status=verdict.status,
        received_s=invocation.received_s,
        started_s=now_s - usage.run_ms / 1000 if ran else None,
        queue_ms=max(0.0, usage.waited_s * 1000 - init_ms),
        init_ms=usage.init_ms,
        run_ms=usage.run_ms,
        billed_ms=billed,
        memory_mb=version.memory_mb,
        memory_used_mb=usage.memory_used_mb,
        cold=usage.init_ms is not None,
        error_type=verdict.error_type,
        environment_id=usage.environment_id,
        log_stream=usage.log_stream,
        attempt=usage.attempt,
        gb_s=version.memory_mb / 1024 * billed / 1000,
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
    used = record.memory_used_mb if record.memory_used_mb is not None else 0
    fields = [
        f"REPORT RequestId: {record.request_id}",
        f"Duration: {record.run_ms:.2f} ms",
        f"Billed Duration: {record.billed_ms} ms",
        f"Memory Size: {record.memory_mb} MB",
        f"Max Memory Used: {min(used, record.memory_mb)} MB",
    ]
    if record.init_ms is not None:
        fields.append(f"Init Duration: {record.init_ms:.2f} ms")
    status = _REPORT_STATUS.get(record.status)
    if status and record.status != "error":
        fields.append(f"Status: {status}")
        if status == "error" and record.error_type:
            fields.append(f"Error Type: {record.error_type}")
    report = "\t".join(fields)
    return f"END RequestId: {record.request_id}\n{report}\t\n".encode()
