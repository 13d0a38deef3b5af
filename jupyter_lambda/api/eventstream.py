"""AWS's event stream encoding: a response of many messages, each with headers, a payload and checksums.

Source: Smithy, "Amazon Event Stream Specification".
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import AsyncGenerator
from zlib import crc32

from jupyter_lambda.errors import LambdaError
from jupyter_lambda.model.stream import Reading, ResponseStream

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7


def message(event_type: str, payload: bytes, content_type: str) -> bytes:
    """One event."""
    headers = b"".join(
        struct.pack(">B", len(name)) + name + struct.pack(">BH", _STRING, len(value)) + value
        for name, value in (
            (b":event-type", event_type.encode()),
            (b":content-type", content_type.encode()),
            (b":message-type", b"event"),
        )
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    checked = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return checked + struct.pack(">I", crc32(checked))


def of_response(stream: ResponseStream, *, with_log: bool) -> Reading:
    """A function's answer as the events of InvokeWithResponseStream: PayloadChunk …, InvokeComplete."""
    return Reading(stream, _events(stream, with_log))


async def _events(stream: ResponseStream, with_log: bool) -> AsyncGenerator[bytes, None]:
    while chunk := await stream.read():
        yield message("PayloadChunk", chunk, "application/octet-stream")
    outcome = stream.outcome
    complete: dict[str, str] = {}
    if isinstance(outcome, LambdaError):
        complete = {"ErrorCode": outcome.code, "ErrorDetails": outcome.message}
    elif outcome is not None:
        if outcome.function_error is not None:
            details = outcome.payload.decode("utf-8", "replace")
            complete = {"ErrorCode": outcome.function_error, "ErrorDetails": details}
        if with_log:
            complete["LogResult"] = base64.b64encode(outcome.log_tail).decode()
    yield message("InvokeComplete", json.dumps(complete).encode(), "application/json")
