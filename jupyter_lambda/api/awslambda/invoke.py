"""Invoke: synchronous, asynchronous, and with an answer that is read as it comes."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from jupyter_lambda.api import eventstream
from jupyter_lambda.api.call import Call
from jupyter_lambda.api.rest_json import decode_json, scan_json
from jupyter_lambda.errors import (
    InvalidParameterValueException,
    InvalidRequestContentException,
    RequestTooLargeException,
)
from jupyter_lambda.model import limits
from jupyter_lambda.model.arn import LATEST, FunctionName
from jupyter_lambda.model.invocation import AsyncEvent, Invocation, InvocationRecord

from .configuration import refuse_unbuilt

WITHOUT_EFFECT = {
    "Invoke": {"TenantId": "no function has tenant isolation"},
    "InvokeWithResponseStream": {"TenantId": "no function has tenant isolation"},
}
REQUEST_ID_HEADER = "x-jupyter-lambda-request-id"
RECORD_HEADER = "X-Jupyter-Lambda-Record"
_ASK_RECORD = RECORD_HEADER.lower()
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: Payloads above this are parsed in a thread: 1 MB of JSON takes some 10 ms.
_PARSE_INLINE_BYTES = 128 * 1024
_ERROR_TYPE_MAX_CHARS = 256
_RECORD_MEMBERS = tuple(member.name for member in fields(InvocationRecord))
_JSON_SPACES = " \t\n\r"
_encode = json.JSONEncoder(separators=(",", ":")).encode
#: What a function gets when the request has no payload, as on AWS.
_NO_PAYLOAD = b"{}"


async def invoke(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "Invoke"."""
    params = call.params
    refuse_unbuilt(params)
    name, qualifier = call.named()
    kind = params.get("InvocationType", "RequestResponse")
    payload = params["Payload"]
    if len(payload) > _PARSE_INLINE_BYTES:
        payload = await asyncio.to_thread(_payload, payload, kind)
    else:
        payload = _payload(payload, kind)
    encoded = params.get("ClientContext")
    context = _client_context(encoded) if encoded else None
    if kind == "DryRun":
        call.service.resolve(FunctionName(name), qualifier)
        return {"StatusCode": 204}
    headers = call.request.headers
    request_id = _request_id(call, headers.get(REQUEST_ID_HEADER))
    trace_id = headers.get("x-amzn-trace-id")
    if kind == "Event":
        await _enqueue(call, name, qualifier, payload, request_id, context, trace_id)
        return {"StatusCode": 202}
    version = call.service.resolve(FunctionName(name), qualifier)
    invocation = Invocation(
        request_id=request_id,
        function_name=name,
        version=version.version,
        invoked_arn=call.plane.account.function_arn(name, qualifier),
        payload=payload,
        client_context=context,
        trace_id=trace_id,
        received_s=call.service.clock(),
    )
    result = await call.service.invoke(invocation, version)
    if _ASK_RECORD in headers:
        call.headers.append((RECORD_HEADER, _record(result.record)))
    log = base64.b64encode(result.log_tail).decode() if params.get("LogType") == "Tail" else None
    return {
        "StatusCode": 200,
        "FunctionError": result.function_error,
        "LogResult": log,
        "ExecutedVersion": result.executed_version,
        "Payload": result.payload,
    }


async def invoke_with_response_stream(call: Call) -> Mapping[str, Any]:
    """Source: AWS Lambda API Reference, "InvokeWithResponseStream"."""
    params = call.params
    refuse_unbuilt(params)
    name, qualifier = call.named()
    kind = params.get("InvocationType", "RequestResponse")
    payload = await asyncio.to_thread(_payload, params["Payload"], kind)
    encoded = params.get("ClientContext")
    context = _client_context(encoded) if encoded else None
    version = call.service.resolve(FunctionName(name), qualifier)
    if kind == "DryRun":
        return {"StatusCode": 204}
    invocation = Invocation(
        request_id=_request_id(call, call.request.headers.get(REQUEST_ID_HEADER)),
        function_name=name,
        version=version.version,
        invoked_arn=call.plane.account.function_arn(name, qualifier),
        payload=payload,
        client_context=context,
        trace_id=call.request.headers.get("x-amzn-trace-id"),
        received_s=call.service.clock(),
    )
    stream = call.service.stream(invocation, version)
    await stream.opened()
    return {
        "StatusCode": 200,
        "ExecutedVersion": version.version,
        "ResponseStreamContentType": eventstream.CONTENT_TYPE,
        "EventStream": eventstream.of_response(stream, with_log=params.get("LogType") == "Tail"),
    }


async def invoke_async(call: Call) -> Mapping[str, Any]:
    """Deprecated by AWS, and still its first asynchronous form. Source: AWS Lambda API Reference, "InvokeAsync"."""
    name, qualifier = call.named()
    payload = await asyncio.to_thread(_payload, call.params["InvokeArgs"], "Event")
    request_id = _request_id(call, call.request.headers.get(REQUEST_ID_HEADER))
    await _enqueue(call, name, qualifier, payload, request_id, None, call.request.headers.get("x-amzn-trace-id"))
    return {"Status": 202}


def _record(record: InvocationRecord) -> str:
    """The record as a header: ASCII in one line, and short whatever the function calls its error."""
    members = {name: getattr(record, name) for name in _RECORD_MEMBERS}
    if record.error_type is not None:
        members["error_type"] = record.error_type[:_ERROR_TYPE_MAX_CHARS]
    return _encode(members)


async def _enqueue(
    call: Call,
    name: str,
    qualifier: str | None,
    payload: bytes,
    request_id: str,
    context: str | None,
    trace_id: str | None,
) -> None:
    call.service.resolve(FunctionName(name), qualifier)
    event = AsyncEvent(
        request_id=request_id,
        function_name=name,
        qualifier=qualifier or LATEST,
        payload=payload,
        source="async",
        enqueued_s=call.service.clock(),
        client_context=context,
        trace_id=trace_id,
    )
    await call.service.invoke_async(event)


def _payload(payload: bytes, kind: str) -> bytes:
    """The payload, checked for size and JSON."""
    limit = limits.EVENT_MAX_BYTES if kind == "Event" else limits.PAYLOAD_MAX_BYTES
    size = len(payload)
    if size > limit:
        raise RequestTooLargeException(
            f"{size} byte payload is too large for the {kind} invocation type (limit {limit} bytes)"
        )
    if not size:
        return _NO_PAYLOAD
    _check_json(payload)
    return payload


def _check_json(payload: bytes) -> None:
    prefix = "Could not parse request body into json: Could not parse payload into json: "
    try:
        text = payload.decode()
        if not _is_json(text):
            decode_json(text)
    except UnicodeDecodeError as exc:
        raise InvalidRequestContentException(
            f"{prefix}Invalid UTF-8 start byte 0x{payload[exc.start]:02x} at byte {exc.start}"
        ) from None
    except json.JSONDecodeError as exc:
        raise InvalidRequestContentException(f"{prefix}{exc.msg} at line: {exc.lineno}, column: {exc.colno}") from None
    except (ValueError, RecursionError) as exc:
        raise InvalidRequestContentException(f"{prefix}{exc}") from None


def _is_json(text: str) -> bool:
    """True for one JSON value that begins at the first character; False for all else, JSON after spaces included."""
    try:
        end = scan_json(text, 0)[1]
    except (StopIteration, ValueError, RecursionError):
        return False
    return end == len(text) or not text[end:].strip(_JSON_SPACES)


def _client_context(encoded: str) -> str:
    """The header's JSON text."""
    if len(encoded) > limits.CLIENT_CONTEXT_MAX_BYTES:
        raise InvalidRequestContentException(
            f"Client context must be less than {limits.CLIENT_CONTEXT_MAX_BYTES} bytes of base64."
        )
    try:
        text = base64.b64decode(encoded, validate=True).decode()
        document = decode_json(text)
    except (binascii.Error, ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidRequestContentException("Client context must be a valid Base64-encoded JSON object.")
    # One line of ASCII: it becomes a header of the Runtime API.
    return _encode(document)


def _request_id(call: Call, chosen: str | None) -> str:
    """The id of the invocation: the caller's choice, or the one of the request."""
    if chosen is None:
        return call.request_id
    if not _UUID.fullmatch(chosen):
        raise InvalidParameterValueException("X-Jupyter-Lambda-Request-Id must be a UUID in lower case.")
    ledger, events = call.service.store.ledger, call.service.store.events
    if call.service.runs(chosen) or events.get(chosen) is not None or ledger.get(chosen) is not None:
        raise InvalidParameterValueException(f"X-Jupyter-Lambda-Request-Id: {chosen} is in use; choose another.")
    call.request_id = chosen
    return chosen
