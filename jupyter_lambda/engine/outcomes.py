"""How AWS words what went wrong: the error document a caller gets and the line that stands in the log.

Source: AWS Lambda Developer Guide, "Troubleshoot invocation issues"; recorded answers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from jupyter_lambda.model import limits
from jupyter_lambda.model.invocation import Status
from jupyter_lambda.sandbox.base import Exit, InitOutcome, SandboxOutcome


@dataclass(slots=True)
class Verdict:
    """What the caller, the log and the ledger are told of an outcome."""

    status: Status
    payload: bytes
    #: None, or the value of X-Amz-Function-Error.
    function_error: str | None
    error_type: str | None
    #: A line for the log, without a line break; "" where the runtime has logged the error itself.
    log_line: str = ""


def exit_text(exit_: Exit | None) -> str:
    """ "Runtime exited …", as AWS words it."""
    if exit_ is None or (exit_.code == 0 and not exit_.oom_killed):
        return "Runtime exited without providing a reason"
    if exit_.oom_killed:
        return "Runtime exited with error: signal: killed"
    if exit_.code is None:
        return f"Runtime exited with error: signal: {_SIGNALS.get(exit_.signal or 0, exit_.signal)}"
    if exit_.code > 128 and exit_.code - 128 in _SIGNALS:
        return f"Runtime exited with error: signal: {_SIGNALS[exit_.code - 128]}"
    return f"Runtime exited with error: exit status {exit_.code}"


#: Signal numbers in the words of Go's runtime, which AWS prints.
_SIGNALS = {
    4: "illegal instruction",
    6: "aborted",
    7: "bus error",
    8: "floating point exception",
    9: "killed",
    11: "segmentation fault",
    15: "terminated",
}


def _document(error_type: str, message: str) -> bytes:
    return json.dumps({"errorType": error_type, "errorMessage": message}, separators=(",", ":")).encode()


def judge(outcome: SandboxOutcome | InitOutcome, request_id: str, timeout_s: float) -> Verdict:
    """What came of an event that was handed to the function, or of the initialisation before it."""
    kind = outcome.kind
    if kind == "response":
        return Verdict("success", outcome.payload, None, None)
    if kind == "error":
        status: Status = "init_error" if isinstance(outcome, InitOutcome) else "error"
        return Verdict(status, outcome.payload, "Unhandled", outcome.error_type or "Unhandled")
    if kind == "timeout":
        text = f"Task timed out after {timeout_s:.2f} seconds"
        return _platform_error("timeout", "Sandbox.Timedout", request_id, text, f"{request_id} {text}")
    if kind == "exit":
        status = "init_error" if isinstance(outcome, InitOutcome) else "exit"
        text = exit_text(outcome.exit)
        return _platform_error(status, "Runtime.ExitError", request_id, text)
    if kind == "oom":
        verdict = _platform_error("oom", "Runtime.ExitError", request_id, exit_text(Exit(None, 9, oom_killed=True)))
        return replace(verdict, error_type="Runtime.OutOfMemory")
    if kind == "too_large":
        text = f"Response payload size exceeded maximum allowed payload size ({limits.RESPONSE_MAX_BYTES} bytes)."
        error = "Function.ResponseSizeTooLarge"
        return Verdict("too_large", _document(error, text), "Unhandled", error, text)
    if kind == "cancelled":
        return _platform_error("cancelled", "Sandbox.Cancelled", request_id, "Invocation stopped by the caller")
    return Verdict("system", b"", None, "ServiceException", "The sandbox failed through no fault of the function")


def _platform_error(
    status: Status, error_type: str, request_id: str, text: str, log_line: str | None = None
) -> Verdict:
    message = f"RequestId: {request_id} Error: {text}"
    document = _document(error_type, message)
    return Verdict(status, document, "Unhandled", error_type, log_line or f"{message}\n{error_type}")
