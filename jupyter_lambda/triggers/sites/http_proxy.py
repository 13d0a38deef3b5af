"""HTTP_PROXY integrations: a request passed on to another HTTP server, and its answer passed back.

Source: Amazon API Gateway Developer Guide, "Create HTTP proxy integrations for HTTP APIs".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from jupyter_lambda.http1 import Response
from jupyter_lambda.http1.client import Client, Reply

from .events import source_ip
from .integration import Failed, TimedOut
from .responses import HOP_HEADERS
from .routes import DEFAULT
from .visit import Visit

#: Bytes of an answer. Source: API Gateway Developer Guide, "Quotas": payload size 10 MB.
_ANSWER_MAX_BYTES = 10 * 1024 * 1024


async def forward(
    visit: Visit,
    uri: str,
    method: str,
    *,
    route_key: str,
    path: str,
    variables: Mapping[str, str],
    timeout_s: float,
) -> Response:
    """The other server's answer.

    Args:
        uri: Of the integration, stage variables filled in; ``{name}`` stands for a path variable.
        method: Of the integration: one, or "ANY" for the request's.
        path: Of the request, without the stage; ``$default`` passes it on.
    Raises:
        TimedOut: No answer within the time.
        Failed: No answer at all, or one that is too large.
    """
    for name, value in variables.items():
        quoted = quote(value, safe="/")
        uri = uri.replace(f"{{{name}}}", quoted).replace(f"{{{name}+}}", quoted)
    parts, port = _address(uri)
    target = parts.path.rstrip("/") + path if route_key == DEFAULT else parts.path
    if any(segment in (".", "..") for segment in unquote(target).split("/")):
        raise Failed(f"{target[:128]} could lead out of what the integration names")
    query = "&".join(one for one in (parts.query, visit.query) if one)
    client = Client(_connector(parts.hostname or "", port, secure=parts.scheme == "https"))
    try:
        async with asyncio.timeout(timeout_s):
            reply = await client.request(
                visit.method if method == "ANY" else method,
                (target or "/") + (f"?{query}" if query else ""),
                _headers(visit, parts.netloc.rpartition("@")[2]),
                visit.body,
                timeout_s=None,
            )
            body = await _read(reply)
    except TimeoutError:
        raise TimedOut(f"{parts.netloc} did not answer within {timeout_s:g} s") from None
    except (OSError, ValueError) as exc:
        raise Failed(f"{parts.netloc}: {exc}") from exc
    finally:
        client.close()
    headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in reply.raw_headers]
    return Response(reply.status, [(n, v) for n, v in headers if n.lower() not in HOP_HEADERS], body)


def _address(uri: str) -> tuple[SplitResult, int | None]:
    """An integration's URI in its parts, and its port.

    Raises:
        Failed: It is none.
    """
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as exc:
        raise Failed(f"{uri[:128]} is no address of an HTTP server: {exc}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Failed(f"{uri[:128]} is no address of an HTTP server")
    return parts, port


def _connector(host: str, port: int | None, *, secure: bool) -> Callable[..., Any]:
    def connect(protocol: Callable[[], asyncio.Protocol]) -> Any:
        loop = asyncio.get_running_loop()
        return loop.create_connection(protocol, host, port or (443 if secure else 80), ssl=secure or None)

    return connect


def _headers(visit: Visit, host: str) -> list[tuple[str, str]]:
    dropped = HOP_HEADERS | {"host", "expect"}
    named = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in visit.raw_headers]
    kept = [(n, v) for n, v in named if n.lower() not in dropped]
    by = f"by={visit.domain_name};for={source_ip(visit)};host={visit.domain_name};proto=http"
    return [("Host", host), *kept, ("Forwarded", by)]


async def _read(reply: Reply) -> bytes:
    pieces, size = [], 0
    async for piece in reply.chunks():
        size += len(piece)
        if size > _ANSWER_MAX_BYTES:
            raise Failed(f"the answer is larger than {_ANSWER_MAX_BYTES} bytes")
        pieces.append(piece)
    return b"".join(pieces)
