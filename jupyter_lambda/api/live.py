"""``GET /_jupyter_lambda/live?after=SEQ&epoch=EPOCH``: changes of state as they happen, a JSON document a line."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qs

from jupyter_lambda.engine.live import Live
from jupyter_lambda.errors import InvalidParameterValueException
from jupyter_lambda.http1 import Request, Response

PATH = "/_jupyter_lambda/live"


def answer(live: Live, request: Request, headers: list[tuple[str, str]]) -> Response:
    """A response that goes on until the client or the engine goes.

    Raises:
        InvalidParameterValueException: ``after`` is no number.
        ServiceUnavailableException: Too many watch already.
    """
    query = parse_qs(request.query, max_num_fields=10)
    after = query.get("after", [None])[-1]
    if after is not None and not (after.isascii() and after.isdigit() and len(after) < 20):
        raise InvalidParameterValueException("The parameter after must be the seq of a batch.")
    batches = live.watch(None if after is None else int(after), query.get("epoch", [None])[-1])
    found = [*headers, ("Content-Type", "application/x-ndjson"), ("Cache-Control", "no-store")]
    return Response(200, found, _lines(batches))


async def _lines(batches: AsyncGenerator[dict[str, Any], None]) -> AsyncIterator[bytes]:
    async with aclosing(batches):
        async for batch in batches:
            yield json.dumps(batch, separators=(",", ":")).encode() + b"\n"
