"""Scheduled runs that failed while nobody looked: told once, after whatever the notebook runs next."""

from __future__ import annotations

import threading
import time
from typing import Any

from jupyter_lambda.errors import LambdaError

from .view import clock

#: Seconds between two questions.
ASK_EVERY_S = 5.0


class _Told:
    """What this kernel's reader knows already."""

    def __init__(self) -> None:
        self.runs: frozenset[str] = frozenset()
        self.asked_s = float("-inf")
        self.lock = threading.Lock()


_told = _Told()


def seen() -> None:
    """The reader has just looked at the runs."""
    _told.runs = frozenset()


def tell(engine: Any) -> None:
    """Print one line where scheduled runs failed that this kernel hasn't told of; never fails, rarely asks."""
    line = news(engine)
    if line:
        print(line)  # noqa: T201


def news(engine: Any) -> str:
    """The line; "" where there is nothing new."""
    with _told.lock:
        if engine.admin is None or time.monotonic() - _told.asked_s < ASK_EVERY_S:
            return ""
        _told.asked_s = time.monotonic()
    try:
        found = engine.admin.failed_runs()
    except LambdaError:  # whatever ails the engine, the line that was run has said so
        return ""
    runs = {str(run["run_id"]) for run in found["runs"]}
    if not runs - _told.runs:
        return ""
    _told.runs = frozenset(runs)
    count = len(runs)
    since = f" since {clock(float(found['since_s']))}" if found["since_s"] else ""
    return f"{count} scheduled run{'' if count == 1 else 's'} failed{since}: %lambda runs"
