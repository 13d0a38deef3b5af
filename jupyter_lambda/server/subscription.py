"""The engine's stream of changes, read with nothing but asyncio: signed, cancellable, given up when it falls silent."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from urllib.parse import urlencode, urlsplit

from jupyter_lambda.client import PREFIX, sign
from jupyter_lambda.connection import Connection

#: Seconds to connect and be answered, and the longest silence: the engine gives a sign of life every ten.
_ANSWER_S, _SILENCE_S = 5.0, 25.0
#: Bytes of one batch.
_BATCH_MAX_BYTES = 8 * 1024 * 1024


async def subscribe(
    connection: Connection, after: int | None, epoch: str | None
) -> AsyncGenerator[dict[str, Any], None]:
    """Batches of the engine's changes until the engine ends or can't be heard any more.

    Args:
        after: ``seq`` of the last batch that is known, of the engine ``epoch``; None: begin with a snapshot.
    Raises:
        OSError: It can't be reached, refuses, or has fallen silent.
    """
    url = f"{connection.url.rstrip('/')}{PREFIX}/live"
    if after is not None and epoch:
        url += "?" + urlencode({"after": after, "epoch": epoch})
    parts = urlsplit(url)
    host, port = connection.host_port
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    async with asyncio.timeout(_ANSWER_S):
        reader, writer = await asyncio.open_connection(host, port, ssl=secure, limit=_BATCH_MAX_BYTES)
    try:
        headers = {**sign(connection, "GET", url, {}, b""), "Host": parts.netloc, "Connection": "close"}
        head = f"GET {parts.path}{'?' + parts.query if parts.query else ''} HTTP/1.1\r\n"
        writer.write((head + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode())
        async with asyncio.timeout(_ANSWER_S):
            status, *_ = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        if b" 200 " not in status:
            raise ConnectionError(f"the engine refuses to tell of its changes: {status.decode('latin-1')[:200]}")
        async for line in _lines(reader):
            yield json.loads(line)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as exc:
        raise ConnectionError(f"the engine's changes were cut off: {exc}") from exc
    finally:
        writer.close()


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Lines of a chunked body."""
    rest = b""
    while True:
        async with asyncio.timeout(_SILENCE_S):
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
            if not 0 <= size <= _BATCH_MAX_BYTES:
                raise ValueError(f"a piece of {size} bytes")
            data = await reader.readexactly(size + 2)
        if not size:
            return
        *whole, rest = (rest + data[:-2]).split(b"\n")
        for line in whole:
            yield line
