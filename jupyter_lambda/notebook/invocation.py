"""One call of a function as the notebook keeps it: result or failure, what it cost, and its log."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import NotebookError

#: The line AWS ends an invocation's log with.
_REPORT = re.compile(
    r"REPORT RequestId: (?P<id>\S+)\s+Duration: (?P<duration>[\d.]+) ms\s+Billed Duration: (?P<billed>\d+) ms\s+"
    r"Memory Size: (?P<size>\d+) MB\s+Max Memory Used: (?P<used>\d+) MB(?:\s+Init Duration: (?P<init>[\d.]+) ms)?"
)
_FRAME = re.compile(r'\s*File "(?P<file>.+?)", line (?P<line>\d+), in (?P<name>[^\n]+)(?:\n\s*(?P<code>[^\n]*))?')
_LOADER = "lambda_function/__init__.py"


@dataclass(frozen=True, slots=True)
class Frame:
    """One place in a remote traceback."""

    #: "In [5]" for a cell of this notebook, else a file's name.
    where: str
    line: int
    name: str
    code: str
    #: Written by the user, not by Python, a package or the runtime.
    own: bool

    def __str__(self) -> str:
        head = f"{self.where}, line {self.line}, in {self.name}"
        return f"{head}\n    {self.code}" if self.code else head


@dataclass(frozen=True)
class Invocation:
    """What came of one call."""

    function: str
    request_id: str
    event: Any
    #: The function's answer; None if it failed.
    result: Any
    #: "success", "error", "timeout", "oom", "exit", "init_error", "too_large", "cancelled", "system".
    status: str
    #: AWS's error object (errorType, errorMessage, stackTrace), None if it succeeded.
    error: Mapping[str, Any] | None = None
    duration_ms: float | None = None
    billed_ms: int | None = None
    memory_used_mb: int | None = None
    memory_mb: int | None = None
    #: None where it isn't known.
    cold: bool | None = None
    init_ms: float | None = None
    version: str = "$LATEST"
    #: Its log: the last 4 KB, or all of it where the engine still has it.
    log: str = ""
    #: Label of a cell in a traceback → its name for the reader.
    places: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the function answered."""
        return self.error is None

    @property
    def error_type(self) -> str:
        """The class of the error, e.g. "ZeroDivisionError"; "" if it succeeded."""
        return str((self.error or {}).get("errorType", "")) if self.error else ""

    @property
    def error_message(self) -> str:
        """The error's message; "" if it succeeded."""
        return str((self.error or {}).get("errorMessage", "")) if self.error else ""

    @property
    def frames(self) -> list[Frame]:
        """The remote traceback, outermost first, without the loader's and the runtime's own frames."""
        trace = (self.error or {}).get("stackTrace") or ()
        return [frame for text in trace if isinstance(text, str) for frame in _frames(text, self.places)]

    @property
    def hint(self) -> str:
        """What would help, where that can be told from how it failed; else ""."""
        if self.status == "oom":
            return f"it needed more than its {self.memory_mb} MB: give it more with --memory"
        if self.status == "timeout":
            return "it ran into its time-out: give it more with --timeout"
        if self.error_type == "Runtime.MarshalError":
            return "a function's result must be JSON: numbers, text, lists, dicts"
        if self.status == "too_large":
            return "a result may be 6 MB: write larger ones to a file or store and return its name"
        return ""

    def raise_for_error(self) -> Invocation:
        """Raise FunctionError if it failed; else itself."""
        if self.error is not None:
            raise FunctionError(self)
        return self

    def summary(self) -> str:
        """One line: state, duration, billed, memory, start, request id."""
        parts = [f"{self.function}: {self.status}"]
        if self.duration_ms is not None:
            parts.append(human_ms(self.duration_ms))
        if self.billed_ms is not None:
            parts.append(f"billed {human_ms(self.billed_ms)}")
        if self.memory_mb is not None:
            parts.append(f"{self.memory_used_mb if self.memory_used_mb is not None else '?'} of {self.memory_mb} MB")
        if self.cold is not None:
            parts.append(f"cold start{f' ({human_ms(self.init_ms)})' if self.init_ms else ''}" if self.cold else "warm")
        parts.append(self.request_id)
        return " · ".join(parts)

    def __repr__(self) -> str:
        return f"<Invocation {self.summary()}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from .render import invocation_html, invocation_text

        return {"text/plain": invocation_text(self), "text/html": invocation_html(self)}


class FunctionError(NotebookError):
    """A function failed; ``invocation`` has everything about it."""

    def __init__(self, invocation: Invocation) -> None:
        super().__init__(f"{invocation.error_type or invocation.status}: {invocation.error_message}")
        self.invocation = invocation

    def __reduce__(self) -> tuple[type[FunctionError], tuple[Invocation]]:
        return FunctionError, (self.invocation,)

    def _render_traceback_(self) -> list[str]:
        from .render import failure_ansi

        return failure_ansi(self.invocation)


class Throttled(NotebookError):
    """A concurrency limit was reached and stayed reached."""


def _frames(text: str, places: Mapping[str, str]) -> list[Frame]:
    found = []
    for match in _FRAME.finditer(text):
        file = match["file"]
        if file.endswith(_LOADER) or "<frozen" in file or ("/runtime/" in file and "bootstrap" in file):
            continue
        shown, own = _place(file, places)
        found.append(Frame(shown, int(match["line"]), match["name"].strip(), (match["code"] or "").strip(), own))
    return found


def _place(file: str, places: Mapping[str, str]) -> tuple[str, bool]:
    if file in places:
        return places[file], True
    if file.startswith(("%%lambda ", "cell defining ")):
        return file, True
    inside = re.search(r"/task/(?:.*/)?([^/]+\.py)$|/files/([^/]+\.py)$", file)
    if inside and "site-packages" not in file:
        return inside[1] or inside[2], True
    return file, False


def from_response(
    function: str,
    request_id: str,
    event: Any,
    response: Mapping[str, Any],
    *,
    places: Mapping[str, str],
    full_log: Callable[[str], str | None],
) -> Invocation:
    """Read what Invoke answered.

    Args:
        full_log: Fetches an invocation's whole log by request id, when its last 4 KB aren't all of it.
    """
    import base64

    from . import events

    payload = events.decode(response["Payload"].read())
    log = base64.b64decode(response.get("LogResult", "")).decode("utf-8", "replace")
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    request_id = str(response.get("ResponseMetadata", {}).get("RequestId") or request_id)
    measured = _measured(headers, log)
    failed = bool(response.get("FunctionError"))
    if "START RequestId" not in log and log:
        log = full_log(request_id) or log
    return Invocation(
        function=function,
        request_id=request_id,
        event=event,
        result=None if failed else payload,
        error=_error(payload) if failed else None,
        status=measured.pop("status", None) or (_status(payload) if failed else "success"),
        version=str(response.get("ExecutedVersion", "$LATEST")),
        log=log,
        places=places,
        **measured,
    )


def _error(payload: Any) -> Mapping[str, Any]:
    return payload if isinstance(payload, dict) else {"errorMessage": str(payload), "errorType": "Error"}


def _status(payload: Any) -> str:
    """AWS itself sends no record: its error types tell."""
    kind = str(_error(payload).get("errorType", ""))
    return {
        "Sandbox.Timedout": "timeout",
        "Runtime.OutOfMemory": "oom",
        "Runtime.ExitError": "exit",
        "Function.ResponseSizeTooLarge": "too_large",
    }.get(kind, "error")


def _measured(headers: Mapping[str, str], log: str) -> dict[str, Any]:
    """From the engine's record if it sent one, else from the REPORT line of the log."""
    import json

    record = headers.get("x-jupyter-lambda-record")
    if record:
        data = json.loads(record)
        return {
            "status": data.get("status"),
            "duration_ms": data.get("run_ms"),
            "billed_ms": data.get("billed_ms"),
            "memory_used_mb": data.get("memory_used_mb"),
            "memory_mb": data.get("memory_mb"),
            "cold": data.get("cold"),
            "init_ms": data.get("init_ms"),
        }
    report = _REPORT.search(log)
    if not report:
        return {}
    return {
        "duration_ms": float(report["duration"]),
        "billed_ms": int(report["billed"]),
        "memory_used_mb": int(report["used"]),
        "memory_mb": int(report["size"]),
        "cold": report["init"] is not None,
        "init_ms": float(report["init"]) if report["init"] else None,
    }


def human_ms(value: float) -> str:
    """Milliseconds for people: "3.2 ms", "450 ms", "2.4 s", "3 min 5 s"."""
    if value < 10:
        return f"{value:.1f} ms"
    if value < 1000:
        return f"{value:.0f} ms"
    if value < 60_000:
        return f"{value / 1000:.1f} s"
    return f"{value // 60_000:.0f} min {value % 60_000 / 1000:.0f} s"
