"""The Runtime API's state machine, with no I/O."""

from __future__ import annotations

import pytest

from jupyter_lambda.sandbox.base import RuntimeEvent
from jupyter_lambda.sandbox.runtime_api import error_type, event_headers
from jupyter_lambda.sandbox.session import Answer, Poll, Refusal, Report, Session, SessionState


def event(request_id: str = "a", **more) -> RuntimeEvent:
    return RuntimeEvent(request_id, b"{}", "arn", 1234, **more)


class Runtime:
    """A runtime's connection: what it was given, and whether it is there."""

    def __init__(self) -> None:
        self.given: list[RuntimeEvent | Refusal] = []
        self.here = True
        self.poll = Poll(self.given.append, lambda: self.here)


@pytest.fixture
def told() -> list[Report | Answer]:
    return []


@pytest.fixture
def session(told) -> Session:
    return Session(on_report=told.append, on_answer=told.append)


def polling(session: Session) -> Runtime:
    runtime = Runtime()
    session.next(runtime.poll)
    return runtime


def refusal(call, *args) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        call(*args)
    return caught.value.status, caught.value.error_type


def test_one_event_after_the_other(session, told):
    runtime = polling(session)
    assert told == [Report("ready")]
    session.offer(event("a"))
    assert runtime.given == [event("a")]
    assert session.delivered
    session.answer("a", Answer("response", b"1"))
    assert told[1:] == [Answer("response", b"1")]
    session.offer(event("b"))
    assert not session.delivered
    assert polling(session).given == [event("b")]
    session.answer("b", Answer("error", b"{}", "E"))
    assert told[2:] == [Answer("error", b"{}", "E")]


def test_an_event_offered_before_the_first_next_waits(session, told):
    session.offer(event())
    assert polling(session).given == [event()]
    assert told == [Report("ready")]


def test_a_poll_whose_connection_went_gets_nothing(session):
    gone = polling(session)
    gone.here = False
    session.offer(event())
    assert isinstance(gone.given[0], Refusal)
    assert not session.delivered
    assert polling(session).given == [event()]


def test_the_newest_poll_gets_the_event_and_the_older_is_let_go(session):
    old, new = polling(session), polling(session)
    session.offer(event())
    assert new.given == [event()]
    assert [refused.status for refused in old.given] == [403]


def test_what_did_not_go_out_is_given_to_the_next_poll(session):
    first = polling(session)
    session.offer(event())
    first.here = False
    session.undelivered(first.poll)
    assert not session.delivered
    assert polling(session).given == [event()]
    session.undelivered(first.poll)  # told too late: another has it
    assert session.delivered


def test_a_runtime_that_asks_again_gets_its_event_again_only_if_its_connection_went(session):
    first = polling(session)
    session.offer(event())
    assert refusal(session.next, Runtime().poll) == (403, "InvalidStateTransition")
    first.here = False
    assert polling(session).given == [event()]


def test_wrong_ids_and_wrong_times_are_refused(session):
    assert refusal(session.answer, "a", Answer("response")) == (400, "InvalidRequestID")
    polling(session)
    session.offer(event("a"))
    assert refusal(session.answer, "b", Answer("response")) == (400, "InvalidRequestID")
    session.answer("a", Answer("response"))
    assert refusal(session.answer, "a", Answer("response")) == (403, "InvalidStateTransition")
    assert refusal(session.answer, "a", Answer("error")) == (403, "InvalidStateTransition")
    assert refusal(session.init_error, b"", None) == (403, "InvalidStateTransition")


def test_an_init_error_is_the_end(session, told):
    session.init_error(b"doc", "E")
    assert refusal(session.next, Runtime().poll) == (403, "InvalidStateTransition")
    assert refusal(session.init_error, b"", None) == (403, "InvalidStateTransition")
    session.end()
    assert told == [Report("error", b"doc", "E")]
    assert session.state is SessionState.INIT_ERROR


@pytest.mark.parametrize("offered", [True, False])
def test_the_end_settles_what_is_open_once(session, told, offered):
    runtime = polling(session)
    if offered:
        session.offer(event())
    session.end()
    session.end()
    assert told == [Report("ready"), *([Answer("exit")] if offered else [])]
    assert len(runtime.given) == 1
    assert not session.give_up(Answer("timeout"))


def test_the_end_before_the_first_next_is_reported(session, told):
    session.end()
    assert told == [Report("exit")]


def test_an_answer_after_the_deadline_changes_nothing(session, told):
    polling(session)
    session.offer(event("a"))
    assert session.give_up(Answer("timeout"))
    session.answer("a", Answer("response"))
    assert told[1:] == [Answer("timeout")]


def test_headers_of_next():
    names = dict(
        event_headers(event(trace_id="Root=1", client_context='{"k":"ä"}\n', cognito_identity="nonsense\r\nX: y"))
    )
    assert names == {
        "Content-Type": "application/json",
        "Lambda-Runtime-Aws-Request-Id": "a",
        "Lambda-Runtime-Deadline-Ms": "1234",
        "Lambda-Runtime-Invoked-Function-Arn": "arn",
        "Lambda-Runtime-Trace-Id": "Root=1",
        "Lambda-Runtime-Client-Context": '{"k":"\\u00e4"}',
        "Lambda-Runtime-Cognito-Identity": "nonsenseX: y",
    }


@pytest.mark.parametrize(
    ("payload", "header", "expected"),
    [
        (b'{"errorType": "E"}', "H", "E"),
        (b'{"errorType": ""}', "H", "H"),
        (b'{"errorType": 1}', None, "Runtime.Unknown"),
        (b"[]", "H", "H"),
        (b"\xff", None, "Runtime.Unknown"),
    ],
)
def test_the_error_type(payload, header, expected):
    assert error_type(payload, header) == expected
