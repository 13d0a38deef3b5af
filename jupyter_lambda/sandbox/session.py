"""What a runtime and its engine have said to each other: the state machine under the Runtime API. It does no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from jupyter_lambda.model.stream import ResponseStream

from .base import RuntimeEvent


class SessionState(Enum):
    """AWS's names of the runtime's states."""

    STARTED = "Started"
    INIT_ERROR = "InitError"
    READY = "Ready"
    RUNNING = "Running"
    RESPONSE_SENT = "RuntimeResponseSentState"


@dataclass(slots=True)
class Answer:
    """What came of an event, as the session knows it: the runtime's answer, or the reason why there will be none."""

    kind: Literal["response", "error", "too_large", "timeout", "cancelled", "exit"]
    payload: bytes = b""
    error_type: str | None = None
    #: True when all that the runtime wrote to its log before this answer is read before anybody is told of it.
    after_log: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """How initialisation ended: with the first ``next``, or with init/error."""

    kind: Literal["ready", "error", "exit"]
    payload: bytes = b""
    error_type: str | None = None


class Refusal(Exception):
    """The runtime asked for what it may not have now."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status, self.error_type, self.message = status, error_type, message


def _forbidden(state: SessionState, to: str) -> Refusal:
    text = f"State transition from {state.value} to {to} failed for runtime. Error: State transition is not allowed"
    return Refusal(403, "InvalidStateTransition", text)


class Poll:
    """One runtime's long poll. ``deliver`` is called at most once, with the event, or with a refusal."""

    __slots__ = ("alive", "deliver")

    def __init__(self, deliver: Callable[[RuntimeEvent | Refusal], None], alive: Callable[[], bool]) -> None:
        self.deliver = deliver
        self.alive = alive


class Session:
    """What a runtime and its engine have said to each other.

    One event at a time: ``offer`` gives it, one of ``answer``, ``give_up`` and ``end`` settles it. It is handed to the
    newest poll whose connection is there; one that was handed to a connection which then went is handed out again
    only if the runtime asks again before it has answered, as on AWS.
    """

    def __init__(self, *, on_report: Callable[[Report], None], on_answer: Callable[[Answer], None]) -> None:
        self.state = SessionState.STARTED
        self._on_report = on_report
        self._on_answer = on_answer
        self._reported = False
        self._event: RuntimeEvent | None = None
        self._open = False
        self._last_id: str | None = None
        self._poll: Poll | None = None
        self._carrier: Poll | None = None

    @property
    def delivered(self) -> bool:
        """True when the event offered last was handed to the runtime."""
        return self._carrier is not None

    # --- the engine's side

    def offer(self, event: RuntimeEvent) -> None:
        """Hand the event to the runtime, now or when it asks next."""
        assert not self._open, "one event at a time"
        self._event, self._open, self._carrier = event, True, None
        poll, self._poll = self._poll, None
        if poll is None:
            return
        if poll.alive():
            self._hand(poll)
        else:
            poll.deliver(_forbidden(self.state, SessionState.READY.value))

    def give_up(self, answer: Answer, request_id: str | None = None) -> bool:
        """Settle the event from the engine's side (deadline, cancellation).

        Args:
            request_id: Only if it is this one's event; None: whichever is open.
        Returns:
            False when it is settled already, or another one's.
        """
        if request_id is not None and (self._event is None or self._event.request_id != request_id):
            return False
        return self._settle(answer)

    def end(self) -> None:
        """The sandbox has ended: settles what is open."""
        self._report(Report("exit"))
        self._settle(Answer("exit"))
        poll, self._poll = self._poll, None
        if poll is not None:
            poll.deliver(Refusal(500, "ContainerError", "the sandbox has ended"))

    # --- the runtime's side

    def next(self, poll: Poll) -> None:
        """The runtime asks for an event: it gets one through ``poll.deliver``, now or later.

        Raises:
            Refusal: The present event is still with it.
        """
        if self.state is SessionState.INIT_ERROR:
            raise _forbidden(self.state, SessionState.READY.value)
        if self.state is SessionState.RUNNING and self._open:
            if self._carrier is not None and self._carrier.alive():
                raise _forbidden(self.state, SessionState.READY.value)
            self._hand(poll)
            return
        self.state = SessionState.READY
        superseded, self._poll = self._poll, None
        if superseded is not None:
            superseded.deliver(_forbidden(self.state, SessionState.READY.value))
        self._report(Report("ready"))
        if self._open:
            self._hand(poll)
        else:
            self._poll = poll

    def answer(self, request_id: str, answer: Answer) -> None:
        """The runtime answers the event.

        Raises:
            Refusal: It has no such event, or has answered it.
        """
        if request_id != self._last_id or self.state is not SessionState.RUNNING:
            responds = answer.kind in ("response", "too_large")
            self._check_running(request_id, "InvocationResponse" if responds else "InvocationErrorResponse")
        self.state = SessionState.RESPONSE_SENT
        self._settle(answer)

    def stream(self, request_id: str) -> ResponseStream | None:
        """Where the answer that the runtime begins to send goes as it comes; None: it is wanted whole.

        Raises:
            Refusal: It has no such event, or has answered it.
        """
        self._check_running(request_id, "InvocationResponse")
        return self._event.stream if self._event is not None else None

    @property
    def open(self) -> bool:
        """True while an event waits for its answer."""
        return self._open

    def init_error(self, payload: bytes, error_type: str | None) -> None:
        """The runtime could not initialise.

        Raises:
            Refusal: It has asked for events already.
        """
        if self.state is not SessionState.STARTED:
            raise _forbidden(self.state, SessionState.INIT_ERROR.value)
        self.state = SessionState.INIT_ERROR
        self._report(Report("error", payload, error_type))

    def undelivered(self, poll: Poll) -> None:
        """What ``poll`` was given did not go out: the next one gets it."""
        if self._open and self._carrier is poll:
            self._carrier = None
            self.state = SessionState.READY

    # ---

    def _check_running(self, request_id: str, to: str) -> None:
        if request_id != self._last_id:
            raise Refusal(400, "InvalidRequestID", "Invalid request ID")
        if self.state is not SessionState.RUNNING:
            raise _forbidden(self.state, to)

    def _hand(self, poll: Poll) -> None:
        assert self._event is not None
        self.state = SessionState.RUNNING
        self._carrier = poll
        self._last_id = self._event.request_id
        poll.deliver(self._event)

    def _settle(self, answer: Answer) -> bool:
        if not self._open:
            return False
        self._open, self._event = False, None
        self._on_answer(answer)
        return True

    def _report(self, report: Report) -> None:
        if not self._reported:
            self._reported = True
            self._on_report(report)
