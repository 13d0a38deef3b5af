"""Errors of the function, as documents for the Runtime API and as lines of the log."""

from __future__ import annotations

import json
import os
import time

from .logs import write_log

TYPE_CHECKING = False  # `typing` is not imported: every cold start would wait for it
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Any

#: Frames of files in this folder are the runtime's, not the function's.
_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Fault(Exception):
    """An error with one of AWS's own error types, which has no stack trace of the function's."""

    def __init__(self, kind: str, message: str, trace: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.kind, self.message, self.trace = kind, message, list(trace)


def fault_document(fault: Fault, request_id: str = "") -> dict[str, Any]:
    """The error document of one of AWS's own errors."""
    return {
        "errorMessage": fault.message,
        "errorType": fault.kind,
        "requestId": request_id,
        "stackTrace": fault.trace,
    }


def error_document(exc: BaseException, request_id: str = "") -> dict[str, Any]:
    """The error document of an exception of the function's, without this file's frames."""
    import traceback

    try:
        message = str(exc)
    except Exception:
        message = f"<{type(exc).__name__} whose text can't be made>"
    return {
        "errorMessage": message,
        "errorType": type(exc).__name__,
        "requestId": request_id,
        "stackTrace": traceback.format_list(_frames(traceback, exc.__traceback__)),
    }


def _frames(traceback: Any, tb: TracebackType | None) -> list[tuple[str, int, str, str]]:
    frames = [(f.filename, f.lineno, f.name, f.line) for f in traceback.extract_tb(tb)]
    # The leading frames are the runtime's own.
    while frames and frames[0][0].startswith(_FOLDER):
        del frames[0]
    return frames


def log_error(document: dict[str, Any]) -> None:
    """Print an error as AWS prints it."""
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON":
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        write_log(json.dumps(dict({"timestamp": stamp, "level": "ERROR"}, **document)) + "\n")
        return
    message = f": {document['errorMessage']}" if document["errorMessage"] else ""
    lines = [f"[ERROR] {document['errorType']}{message}", "Traceback (most recent call last):"]
    for element in document["stackTrace"]:
        lines += element.splitlines()
    write_log("\n".join(lines) + "\n")
