"""The event stream encoding, read by botocore's own decoder."""

from __future__ import annotations

import base64
import json

from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from jupyter_lambda.api.eventstream import message, of_response
from jupyter_lambda.errors import ServiceException
from jupyter_lambda.model.invocation import InvocationResult
from jupyter_lambda.model.stream import ResponseStream


def decoded(data: bytes) -> list[tuple[str, bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [(one.headers[":event-type"], one.payload) for one in buffer]


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_what_is_written_is_what_botocore_reads(payloads):
    data = b"".join(message("PayloadChunk", payload, "application/octet-stream") for payload in payloads)
    assert decoded(data) == [("PayloadChunk", payload) for payload in payloads]


async def complete(outcome, *, with_log: bool = False) -> dict:
    stream = ResponseStream()
    stream.begin("text/plain")
    await stream.write(b"one")
    stream.end(outcome)
    events = decoded(b"".join([piece async for piece in of_response(stream, with_log=with_log)]))
    assert events[0] == ("PayloadChunk", b"one")
    assert events[1][0] == "InvokeComplete"
    return json.loads(events[1][1])


async def test_how_it_ends():
    record = None
    good = InvocationResult(b"", None, "1", b"log", record)  # type: ignore[arg-type]
    bad = InvocationResult(b'{"errorType": "E"}', "Unhandled", "1", b"log", record)  # type: ignore[arg-type]
    assert await complete(good) == {}
    assert await complete(good, with_log=True) == {"LogResult": base64.b64encode(b"log").decode()}
    assert await complete(bad) == {"ErrorCode": "Unhandled", "ErrorDetails": '{"errorType": "E"}'}
    assert await complete(ServiceException("gone")) == {"ErrorCode": "ServiceException", "ErrorDetails": "gone"}
