"""The reading half of a connection: bytes to requests, within limits."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from http import HTTPMethod
from typing import TYPE_CHECKING, cast

import httptools

from .body import STREAM_MAX_BYTES, IncomingBody
from .message import Request
from .usual import Usual

if TYPE_CHECKING:
    from .connection import Connection
    from .server import Server

log = logging.getLogger(__name__)

#: Bytes of request line and headers together.
MAX_HEADER_BYTES = 64 * 1024
#: Requests of one connection that may wait before no more is read from it.
PIPELINE_MAX = 16
#: A client whose requests were unlike each other so often in a row is left to the parser.
_STRANGE_MAX = 16
_METHODS = {m.value.encode(): m.value for m in HTTPMethod}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class BadRequest(Exception):
    """What the peer sent is not HTTP, or too large; answered by the server itself."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Reading(asyncio.Protocol):
    """Feeds what comes to the parser and puts requests into ``_waiting``; the subclass answers them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        #: Requests that wait for their answer, and whether the connection may go on after each.
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._reading = True
        #: Nothing more is read from this client.
        self._refused = False
        self.closed = False
        self.peer = "unix"
        #: Bytes since the last message ended, up to and with the read that is being parsed.
        self._fed_bytes = 0
        self._in_message = False
        #: Requests that the parser has read; what the last one looked like; how many were unlike the one before.
        self._came = 0
        self._usual: Usual | None = None
        self._strange = 0
        #: The body of the request that has come in part and is being answered already.
        self._incoming: IncomingBody | None = None
        self._reset()

    @property
    def answering(self) -> bool:
        """True while a request of this connection waits for its answer."""
        raise NotImplementedError

    def close(self) -> None:
        """Close after what was written has gone out."""
        raise NotImplementedError

    def _serve_waiting(self) -> None:
        """Begin with what waits, unless something is being answered."""
        raise NotImplementedError

    def refuse(self, status: int, message: str) -> None:
        """Answer what can't be read, unless another answer is under way, and close."""
        raise NotImplementedError

    def _reset(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._trailers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._headers_done = self._checked = False

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then answer what is whole; what isn't HTTP is refused."""
        if self._refused:
            return
        fresh = not self._fed_bytes
        if fresh and self._usual is not None and self._again(data):
            return
        self._fed_bytes += len(data)
        came = self._came
        try:
            self._parser.feed_data(data)
            if fresh and self._came == came + 1 and not self._fed_bytes:
                self._learn(data)
            if self._in_message:
                self._incomplete()
            elif self._server.stalling:
                self._server.stalling.pop(self, None)
        except httptools.HttpParserUpgrade:
            # The offer to upgrade is ignored, as RFC 9110 allows: the request is answered, then the connection closed.
            self._refused = True
        except BadRequest as exc:
            self._fail(exc.status, str(exc))
        except httptools.HttpParserCallbackError as exc:
            cause = exc.__context__
            if isinstance(cause, BadRequest):
                self._fail(cause.status, str(cause))
            else:
                log.exception("HTTP parser callback failed")
                self._fail(400, "bad request")
        except httptools.HttpParserError as exc:
            self._fail(400, f"malformed HTTP request: {exc}")
        if self._waiting:
            self._serve_waiting()

    def _fail(self, status: int, message: str) -> None:
        """Refuse what came, but begin with what came whole before it."""
        self._serve_waiting()
        self.refuse(status, message)

    def _again(self, data: bytes) -> bool:
        """Read a request like the last one; False, and nothing has happened, where it isn't."""
        usual = self._usual
        assert usual is not None
        found = usual.read(data)
        if found is None or len(found[2]) > self._server.max_body_bytes or len(self._waiting) >= PIPELINE_MAX:
            return False
        raw, headers, body = found
        self._strange = 0
        request = Request(
            usual.method, usual.path, usual.query, raw, body, self.peer, cast("Connection", self), [], None, headers
        )
        self._waiting.append((request, True))
        self._serve_waiting()
        return True

    def _learn(self, data: bytes) -> None:
        """Keep the head of the one request that this was, unless this client sends another each time."""
        self._usual = None
        if self._strange < _STRANGE_MAX and self._waiting and self._waiting[-1][1]:
            self._strange += 1
            request = self._waiting[-1][0]
            self._usual = Usual.learn(
                data, request.method, request.path, request.query, request.raw_headers, len(request.body)
            )

    # --- httptools callbacks

    def on_message_begin(self) -> None:
        """A request begins."""
        self._reset()
        self._in_message = True

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer after the body."""
        if self._headers_done:
            self._trailers.append((name, value))
            self._check_size(self._trailers)
        else:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Nothing is decided here: most requests come whole, see ``_incomplete`` for those that don't."""
        self._headers_done = True
        if self._fed_bytes > MAX_HEADER_BYTES:
            self._check_size(self._headers)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body_bytes += len(body)
        most_bytes = self._server.max_body_bytes if self._incoming is None else STREAM_MAX_BYTES
        if self._body_bytes > most_bytes:
            raise BadRequest(413, f"the request body is larger than {most_bytes} bytes")
        if self._incoming is None:
            self._body.append(body)
        else:
            self._incoming.feed(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._came += 1
        self._in_message = False
        self._fed_bytes = 0
        incoming = self._incoming
        if incoming is not None:
            self._incoming = None
            incoming.end()
            if incoming.discarding:
                self.close()
            return
        parser, parts = self._parser, self._body
        method = parser.get_method()
        path, _, query = self._url.decode("latin-1").partition("?")
        request = Request(
            _METHODS.get(method) or method.decode("latin-1"),
            path,
            query,
            self._headers,
            parts[0] if len(parts) == 1 else b"".join(parts),
            self.peer,
            cast("Connection", self),
            self._trailers,
        )
        self._waiting.append((request, parser.should_keep_alive()))
        if len(self._waiting) > PIPELINE_MAX and self._reading and self._transport:
            self._reading = False
            self._transport.pause_reading()

    def _check_size(self, headers: list[tuple[bytes, bytes]]) -> None:
        if len(self._url) + sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
            raise BadRequest(431, f"the request's headers are larger than {MAX_HEADER_BYTES} bytes")

    def _incomplete(self) -> None:
        """More of this request is to come: refuse what is declared too large before it is sent, and watch the time.

        Raises:
            BadRequest: It is too large.
        """
        if self._incoming is None or not self._incoming.paused:
            self._server.watch(self)
        if not self._headers_done:
            if self._fed_bytes > MAX_HEADER_BYTES:
                self._check_size(self._headers)
                if self._fed_bytes > 2 * MAX_HEADER_BYTES:
                    raise BadRequest(431, f"the request's headers are larger than {MAX_HEADER_BYTES} bytes")
            return
        if self._checked:
            return
        self._checked = True
        streams = self._server.streams
        streamed = (
            streams is not None and not self.answering and streams(self._parser.get_method(), self._url, self._headers)
        )
        most_bytes = STREAM_MAX_BYTES if streamed else self._server.max_body_bytes
        expects_continue = False
        for name, value in self._headers:
            lower = name.lower()
            if lower == b"content-length" and value.isdigit() and int(value) > most_bytes:
                raise BadRequest(413, f"the request body is larger than {most_bytes} bytes")
            if lower == b"expect" and value.lower() == b"100-continue":
                expects_continue = True
        if streamed:
            self._begin_stream(expects_continue)
        elif expects_continue and self._transport and not self.answering:
            self._transport.write(_CONTINUE)

    def _begin_stream(self, expects_continue: bool) -> None:
        """Hand on the request whose body is still to come."""
        assert self._transport is not None
        incoming = IncomingBody(self._transport, expects_continue=expects_continue, flowing=self._flows)
        parts, self._body = self._body, []
        for part in parts:
            incoming.feed(part)
        path, _, query = self._url.decode("latin-1").partition("?")
        method = self._parser.get_method().decode("latin-1")
        request = Request(
            method, path, query, self._headers, b"", self.peer, cast("Connection", self), self._trailers, incoming
        )
        self._waiting.append((request, self._parser.should_keep_alive()))
        self._incoming = incoming

    def _flows(self, flowing: bool) -> None:
        """A client that is made to wait does not stall."""
        if flowing:
            self._server.watch(self)
        else:
            self._server.stalling.pop(self, None)
