"""Tumbling windows: which one a record is in, when one is over, what the function is told of it. Pure.

Source: AWS Lambda Developer Guide, "Implementing stateful Kinesis Data Streams processing in Lambda".
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from .state import Window

#: Bytes of a window's state. "Your state can be a maximum of 1 MB per shard."
STATE_MAX_BYTES = 1024 * 1024


def window_at(arrived_s: float, length_s: int) -> Window:
    """The window that a time is in, empty; windows begin at multiples of their length since the epoch."""
    start_s = arrived_s // length_s * length_s
    return Window(start_s, start_s + length_s, {})


def belongs(window: Window, arrived_s: float) -> bool:
    """Whether a record still goes into a window; one that came before it (late in the shard) does, too."""
    return arrived_s < window.end_s and not window.terminated_early


def is_over(window: Window, now_s: float, *, at_tip: bool) -> bool:
    """Whether a window that has nothing to send is to be closed.

    Args:
        at_tip: The shard was read to its tip after the window's end, so that nothing can still belong to it.
    """
    return window.terminated_early or (at_tip and now_s >= window.end_s)


def with_answer(window: Window, answer: Any) -> Window | None:
    """The window with the state that the function answered; None where it answered none, which is a failure."""
    if not isinstance(answer, dict) or "state" not in answer:
        return None
    state = answer["state"] if answer["state"] is not None else {}
    too_large = len(json.dumps(state, separators=(",", ":")).encode()) > STATE_MAX_BYTES
    return replace(window, state=state, terminated_early=too_large)


def members(window: Window, shard_id: str, source_arn: str, *, final: bool) -> bytes:
    """What an event has beside its records: JSON members."""
    told = {
        "window": {"start": _iso(window.start_s), "end": _iso(window.end_s)},
        "state": window.state,
        "shardId": shard_id,
        "eventSourceARN": source_arn,
        "isFinalInvokeForWindow": final,
        "isWindowTerminatedEarly": window.terminated_early,
    }
    return json.dumps(told, separators=(",", ":")).encode()[1:-1]


def _iso(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
