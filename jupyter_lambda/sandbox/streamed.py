"""Responses that a runtime sends while its function still runs: passed on as they come.

A runtime says so by a header and sends its answer in chunks; an error on the way stands in trailers after them.

Source: AWS Lambda Developer Guide, "Building a custom runtime for AWS Lambda", "Response streaming".
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator, Callable

from jupyter_lambda import http1
from jupyter_lambda.model.limits import RESPONSE_MAX_BYTES, STREAMED_RESPONSE_MAX_BYTES
from jupyter_lambda.model.stream import ResponseStream

from .session import Answer, Refusal, Session

#: Tells by method, target and headers of a request whether it is handed on before it is whole.
Wanted = Callable[[bytes, bytes, list[tuple[bytes, bytes]]], bool]
MODE_HEADER = "lambda-runtime-function-response-mode"
#: What an answer is of which the runtime says nothing.
_OCTETS = "application/octet-stream"
#: Seconds in which a runtime whose connection broke off may prove to have ended, which then is what is told.
_END_WAIT_S = 0.5


def is_streamed(method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request that has come in part is such a response: see ``http1.Server.streams``."""
    if method != b"POST" or not target.endswith(b"/response"):
        return False
    return any(name.lower() == MODE_HEADER.encode() for name, _ in headers)


def streamed_or(wanted: Wanted | None) -> Wanted:
    """Such responses, and what else is wanted."""
    if wanted is None:
        return is_streamed
    return lambda method, target, headers: is_streamed(method, target, headers) or wanted(method, target, headers)


class TooLarge(Exception):
    """The response exceeds its limit."""


async def receive(request: http1.Request, session: Session, request_id: str) -> None:
    """Take a response to its end and settle the event with it.

    Raises:
        Refusal: The runtime has no such event, or what it sends is too large.
    """
    stream = session.stream(request_id)
    if stream is not None and stream.begun:
        raise Refusal(403, "InvalidStateTransition", "the response to this event is under way already")
    whole: list[bytes] = []
    try:
        if stream is None:
            await _collect(request, whole)
        else:
            await _pass_on(request, stream)
    except TooLarge:
        most_bytes = RESPONSE_MAX_BYTES if stream is None else STREAMED_RESPONSE_MAX_BYTES
        text = f"Response payload size exceeded maximum allowed payload size ({most_bytes} bytes)."
        session.answer(request_id, _error("Function.ResponseSizeTooLarge", text) if stream else Answer("too_large"))
        raise Refusal(413, "RequestEntityTooLarge", text) from None
    except http1.BrokenBody:
        await _broken_off(session, request_id)
        return
    session.answer(request_id, streamed_error(request.trailers) or Answer("response", b"".join(whole)))


async def _collect(request: http1.Request, whole: list[bytes]) -> None:
    """The answer is wanted whole: it is held back until all of it is there."""
    size_bytes = 0
    async for chunk in _body(request):
        size_bytes += len(chunk)
        if size_bytes > RESPONSE_MAX_BYTES:
            raise TooLarge
        whole.append(chunk)


async def _pass_on(request: http1.Request, stream: ResponseStream) -> None:
    stream.begin(request.headers.get("content-type") or _OCTETS)
    async for chunk in _body(request):
        if stream.size_bytes + len(chunk) > STREAMED_RESPONSE_MAX_BYTES:
            raise TooLarge
        await stream.write(chunk)


async def _body(request: http1.Request) -> AsyncIterator[bytes]:
    if request.stream is None:
        yield request.body
        return
    async for chunk in request.stream:
        yield chunk


async def _broken_off(session: Session, request_id: str) -> None:
    """The connection has gone in the midst of a response: with its process, which is told by others, or by itself."""
    await asyncio.sleep(_END_WAIT_S)
    try:
        session.answer(request_id, _error("Runtime.TruncatedResponse", "the response ended before it was complete"))
    except Refusal:
        return  # settled meanwhile


def _error(kind: str, text: str) -> Answer:
    return Answer("error", json.dumps({"errorType": kind, "errorMessage": text}).encode(), kind)


def streamed_error(trailer_fields: list[tuple[bytes, bytes]]) -> Answer | None:
    """The error that a streamed response ended with, told by its trailers."""
    if not trailer_fields:
        return None
    trailers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in trailer_fields}
    kind = trailers.get("lambda-runtime-function-error-type")
    if kind is None:
        return None
    try:
        payload = base64.b64decode(trailers.get("lambda-runtime-function-error-body", ""), validate=True)
    except (binascii.Error, ValueError):
        payload = b""
    if not payload:
        payload = json.dumps({"errorMessage": "the response stream ended with an error", "errorType": kind}).encode()
    return Answer("error", payload, kind)
