"""A small HTTP/1.1 server on asyncio's Protocol and httptools: the engine's endpoint and each sandbox's Runtime API.

One request of a connection at a time (pipelined ones wait), keep-alive, chunked bodies and trailers,
``Expect: 100-continue``, streamed responses with back-pressure, limits on everything a peer sends. A handler answers at
once, in a coroutine, or later by itself; only a coroutine costs a task.
"""

from __future__ import annotations

from .body import BrokenBody, IncomingBody
from .connection import Connection
from .message import CutShort, DirectHandler, Handler, Request, Response, encode_head
from .reading import MAX_HEADER_BYTES
from .server import Server

__all__ = [
    "MAX_HEADER_BYTES",
    "BrokenBody",
    "Connection",
    "CutShort",
    "DirectHandler",
    "Handler",
    "IncomingBody",
    "Request",
    "Response",
    "Server",
    "encode_head",
]
