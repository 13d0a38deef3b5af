"""Events and results between Python and JSON."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

from jupyter_lambda.model.limits import PAYLOAD_MAX_BYTES

from .errors import NotebookError
from .values import human_size


class EventError(NotebookError):
    """An event can't be sent: not JSON, or too large."""


def encode(event: Any) -> bytes:
    """An event as JSON.

    What notebooks are full of is turned into what JSON has: NumPy numbers and arrays, DataFrames (a list of records),
    Series, dates, dataclasses, sets; bytes become base64 text.

    Raises:
        EventError: Something in it can't be turned into JSON, or it is too large.
    """
    if isinstance(event, bytes | bytearray):
        data = bytes(event)  # JSON already, as boto3 takes it
        if not _is_json(data):
            raise EventError("the event is bytes that aren't JSON; a function takes JSON: pass text, or base64 of them")
    else:
        try:
            data = json.dumps(event, default=_plain, ensure_ascii=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError) as exc:
            raise EventError(f"the event can't be sent as JSON: {exc}") from None
    if len(data) > PAYLOAD_MAX_BYTES:
        raise EventError(
            f"the event is {human_size(len(data))} of JSON; Lambda takes {human_size(PAYLOAD_MAX_BYTES)}: "
            "send a file's name or a part of it"
        )
    return data


def decode(payload: bytes) -> Any:
    """A response; text that isn't JSON stays text."""
    if not payload:
        return None
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind.__name__ == "DataFrame" and hasattr(value, "to_dict"):
        return value.to_dict(orient="records")
    if hasattr(value, "tolist"):  # NumPy arrays and numbers, pandas Series and Index
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if kind.__module__ in ("decimal", "uuid", "pathlib", "pathlib._local"):
        return float(value) if kind.__name__ == "Decimal" else str(value)
    raise TypeError(f"{kind.__module__}.{kind.__qualname__} isn't JSON; turn it into numbers, text, lists or dicts")
