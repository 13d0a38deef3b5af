"""What goes over the wire: requests as handlers get them, responses as they give them, heads as bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .body import IncomingBody
    from .connection import Connection

_STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n" for s in HTTPStatus}
#: Header names as they come → in lower case; as many as a few clients use.
_NAMES: dict[bytes, str] = {}
_NAMES_MAX, _NAME_MAX_BYTES = 256, 64


@dataclass(slots=True)
class Request:
    """One request, body read whole unless ``stream`` is there."""

    method: str
    #: Path as sent (still percent-encoded), without the query.
    path: str
    #: Query as sent, without "?"; "" where there is none.
    query: str
    raw_headers: list[tuple[bytes, bytes]]
    body: bytes
    #: "unix" or the peer's IP address.
    peer: str
    #: The Protocol's connection; ``closed`` tells a long poll that nobody waits any more.
    connection: Connection
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    #: The body as it comes, ``body`` being empty then: only where the server was told to, see ``Server.streams``.
    stream: IncomingBody | None = None
    _headers: dict[str, str] | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Lower-case name → value; repeated headers joined by a comma, as RFC 9110 allows."""
        if self._headers is None:
            merged: dict[str, str] = {}
            for name, value in self.raw_headers:
                key = _NAMES.get(name) or _lower(name)
                text = value.decode("latin-1")
                merged[key] = f"{merged[key]},{text}" if key in merged else text
            self._headers = merged
        return self._headers


@dataclass(slots=True)
class Response:
    """What a handler answers. ``body`` may be an async iterator: it is then sent chunked as it comes."""

    status: int = 200
    headers: Iterable[tuple[str, str]] = ()
    body: bytes | AsyncIterator[bytes] = b""
    #: True when the connection must not be used again.
    close: bool = False
    #: Bytes of a body that is an iterator, where they are known: it is then not sent in chunks. Of an answer to HEAD:
    #: what the body would have.
    length: int | None = None


class CutShort(Exception):
    """Raised by a body that is an iterator: it can't be completed, for a reason that is told elsewhere. The connection
    is cut, so that the client doesn't take what it has for the whole."""


#: Answers a request in a coroutine.
Handler = Callable[[Request], Awaitable[Response]]
#: Answers at once with a response, with an awaitable (a task drives it), or with None: whoever it leaves the request to
#: then calls ``request.connection.answer(response)``, once.
DirectHandler = Callable[[Request], Response | Awaitable[Response] | None]


def encode_head(status: int, headers: Iterable[tuple[str, str]], length: int | None, *, close: bool) -> bytes:
    """Status line and headers; ``length`` None means chunked. A line break in a value is an error, not a header."""
    text = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"
    lines = 1
    for name, value in headers:
        text += f"{name}: {value}\r\n"
        lines += 1
    if text.count("\n") != lines or text.count("\r") != lines:
        broken = next(name for name, value in headers if "\n" in value or "\r" in value)
        raise ValueError(f"line break in the value of header {broken}")
    text += "Transfer-Encoding: chunked\r\n" if length is None else f"Content-Length: {length}\r\n"
    text += "Connection: close\r\n\r\n" if close else "\r\n"
    return text.encode("latin-1", "replace")


def _lower(name: bytes) -> str:
    lower = name.decode("latin-1").lower()
    if len(_NAMES) < _NAMES_MAX and len(name) <= _NAME_MAX_BYTES:
        _NAMES[name] = lower
    return lower
