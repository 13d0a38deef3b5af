"""Answers of Function URLs whose InvokeMode is RESPONSE_STREAM: sent on as the function writes them.

A function that wants to choose status, headers and cookies says so by its content type, and begins its answer with them
as JSON and eight NUL bytes; everything else is the body as it stands.

Source: AWS Lambda Developer Guide, "Response streaming for Lambda functions" and "Using a custom runtime".
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator

from jupyter_lambda.errors import LambdaError
from jupyter_lambda.http1 import CutShort, Response
from jupyter_lambda.model.invocation import Invocation
from jupyter_lambda.model.stream import Reading, ResponseStream

from . import responses

log = logging.getLogger(__name__)

PRELUDE_TYPE = "application/vnd.awslambda.http-integration-response"
_NULS = b"\0" * 8
#: Bytes in which a prelude must end; not AWS's figure.
PRELUDE_MAX_BYTES = 256 * 1024


async def answer(stream: ResponseStream, invocation: Invocation) -> Response:
    """The response, once the function's answer has begun.

    Raises:
        LambdaError: The invocation was refused.
    """
    await stream.opened()
    if not stream.begun:
        return responses.bad_gateway()  # the function failed
    content_type = stream.content_type or ""
    first = b""
    response = Response(200, [("Content-Type", content_type)])
    if content_type.partition(";")[0].strip().lower() == PRELUDE_TYPE:
        try:
            document, first = await _prelude(stream)
            response = responses.prelude(document)
        except (responses.Malformed, ValueError, RecursionError) as why:
            stream.abandon()
            log.warning("the streamed answer of function %s is malformed: %s", invocation.function_name, why)
            return responses.bad_gateway()
    response.body = Reading(stream, _pieces(stream, first))
    return response


async def _prelude(stream: ResponseStream) -> tuple[object, bytes]:
    """What stands before the NUL bytes, and what came after them in the same piece."""
    read = b""
    while _NULS not in read:
        chunk = await stream.read()
        if not chunk or len(read) > PRELUDE_MAX_BYTES:
            raise responses.Malformed("its prelude has no end of eight NUL bytes")
        read += chunk
    head, _, first = read.partition(_NULS)
    return json.loads(head), first


async def _pieces(stream: ResponseStream, first: bytes) -> AsyncGenerator[bytes, None]:
    if first:
        yield first
    while chunk := await stream.read():
        yield chunk
    outcome = stream.outcome
    if isinstance(outcome, LambdaError) or outcome is None or outcome.function_error is not None:
        raise CutShort  # the function's log tells why
