"""A connection of a runtime: the two requests that this project's own runtime sends again and again take a short way.

That runtime (`runtime/client.py`) writes ``response`` and the next ``next`` in one go and always in the same words, so
they are recognised by comparing bytes: no parser, no header list, no coroutine. The 202 goes out together with the next
event, since HTTP answers in order and this client reads both in one go: an invocation then costs the sandbox one
wake-up instead of two. Whatever reads differently in a single byte (errors, large bodies, awslambdaric, custom
runtimes, other routes) is left to the HTTP server and `runtime_api.py`, which give the same answers.
"""

from __future__ import annotations

from jupyter_lambda import http1
from jupyter_lambda.model.limits import RESPONSE_MAX_BYTES

from .base import RuntimeEvent
from .busy_poll import BusyPoll
from .runtime_api import ACCEPTED_BODY, JSON, NEXT_PATH, RESPONSE_PATH, error_response, event_headers
from .session import Answer, Poll, Refusal, Session

#: What the runtime sends, see `runtime.client`.
_NEXT = f"GET {NEXT_PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
_NEXT_BYTES = len(_NEXT)
#: Up to the digits of Content-Length, which is the last header.
_RESPONSE = (
    f"POST {RESPONSE_PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
).encode()
_ACCEPTED = http1.encode_head(202, (JSON,), len(ACCEPTED_BODY), close=False) + ACCEPTED_BODY
#: Events up to this size are sent in one piece with their head.
_JOINED_MAX_BYTES = 64 * 1024


class RuntimeConnection(http1.Connection):
    """One connection of a sandbox to its Runtime API."""

    def __init__(self, server: http1.Server, session: Session, busy_poll: BusyPoll) -> None:
        super().__init__(server)
        self._session = session
        self._busy_poll = busy_poll
        #: True while an event that was given the short way has no answer.
        self._given = False
        self._poll = Poll(self._deliver, self._alive)
        #: True while the long poll of a ``next`` that came the short way is open.
        self._polling = False
        #: What the peer sent meanwhile, against all custom.
        self._held = b""
        #: The answer to ``response`` that waits for the next event.
        self._unsent = b""
        #: The id of the event that was given the short way, and how its response will begin.
        self._request_id = ""
        self._expected = b""

    @property
    def busy(self) -> bool:
        """True while a request of this connection is being answered or has come in part."""
        return self._polling or super().busy

    def data_received(self, data: bytes) -> None:
        """Take the short way where the bytes are the expected ones."""
        if self._given:
            self._given = False
            self._busy_poll.end()
        if self._polling:
            self._hold(data)
        elif not self._short(data):
            self._expected = b""
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The sandbox has gone."""
        if self._given:
            self._given = False
            self._busy_poll.end()
        super().connection_lost(exc)

    def _short(self, data: bytes) -> bool:
        """False, and nothing has happened, where it takes the general way."""
        expected = self._expected
        if not expected or not data.startswith(expected):
            return data == _NEXT and not super().busy and self._next()
        # Nothing went the general way since the event was given: it has no request under way.
        if not data.endswith(_NEXT):
            return False
        begin = len(expected)
        end = data.find(b"\r\n\r\n", begin, begin + 16)
        digits = data[begin:end]
        if end < 0 or not digits.isdigit():
            return False
        size_bytes = int(digits)
        stop = end + 4 + size_bytes
        if stop + _NEXT_BYTES != len(data) or size_bytes > RESPONSE_MAX_BYTES:
            return False
        try:
            # The log is read by the time the invocation goes on: the runtime had flushed it before the first byte of
            # this, the loop was told of both at once at the latest, and wakes tasks after all it was told of.
            self._session.answer(self._request_id, Answer("response", data[end + 4 : stop], after_log=True))
        except Refusal:
            return False  # it will be refused again, and told so
        self._expected, self._unsent = b"", _ACCEPTED
        if not self._next():
            self._flush()
            super().data_received(_NEXT)
        return True

    def _next(self) -> bool:
        self._polling = True
        try:
            self._session.next(self._poll)
        except Refusal:
            self._polling = False
            return False
        return True

    def _alive(self) -> bool:
        transport = self._transport
        return not self.closed and transport is not None and not transport.is_closing()

    def _deliver(self, event: RuntimeEvent | Refusal) -> None:
        self._polling = False
        transport = self._transport
        if transport is None or self.closed:
            if not isinstance(event, Refusal):
                self._session.undelivered(self._poll)
            return
        if isinstance(event, Refusal):
            refusal = error_response(event.status, event.error_type, event.message)
            body = refusal.body
            assert isinstance(body, bytes)
            self._flush()
            transport.write(http1.encode_head(refusal.status, refusal.headers, len(body), close=False) + body)
        else:
            self._request_id = event.request_id
            self._expected = _RESPONSE % event.request_id.encode()
            self._given = True
            self._busy_poll.begin()
            head = self._unsent + event_head(event)
            self._unsent = b""
            if len(event.payload) <= _JOINED_MAX_BYTES:
                transport.write(head + event.payload)
            else:
                transport.writelines((head, event.payload))
        if self._held:
            self._loop.call_soon(self._release)

    def _flush(self) -> None:
        if self._unsent and self._transport is not None:
            self._transport.write(self._unsent)
        self._unsent = b""

    def _hold(self, data: bytes) -> None:
        """HTTP lets a client send more before it has its answer: it is looked at then."""
        self._held += data
        if self._transport is not None:
            self._transport.pause_reading()

    def _release(self) -> None:
        held, self._held = self._held, b""
        if self._transport is not None and not self.closed:
            self._transport.resume_reading()
            self.data_received(held)


def event_head(event: RuntimeEvent) -> bytes:
    """The head of ``next``'s answer, as the HTTP server would write it.

    Raises:
        ValueError: A line break in a value.
    """
    size_bytes = len(event.payload)
    if event.trace_id or event.client_context or event.cognito_identity:
        return http1.encode_head(200, event_headers(event), size_bytes, close=False)
    text = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"Lambda-Runtime-Aws-Request-Id: {event.request_id}\r\nLambda-Runtime-Deadline-Ms: {event.deadline_ms}\r\n"
        f"Lambda-Runtime-Invoked-Function-Arn: {event.invoked_arn}\r\nContent-Length: {size_bytes}\r\n\r\n"
    )
    if text.count("\n") != 7 or text.count("\r") != 7:
        raise ValueError("line break in the value of a header of the event")
    return text.encode("latin-1", "replace")
