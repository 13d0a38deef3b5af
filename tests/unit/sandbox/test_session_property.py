"""Whatever order things happen in: every event is settled once, and none is with two connections that are there."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from jupyter_lambda.sandbox.base import RuntimeEvent
from jupyter_lambda.sandbox.session import Answer, Poll, Refusal, Session

PICK = st.integers(min_value=0, max_value=5)


class Connection:
    def __init__(self) -> None:
        self.here = True
        self.given: list[RuntimeEvent | Refusal] = []
        self.poll = Poll(self.given.append, lambda: self.here)

    def events(self) -> list[str]:
        return [one.request_id for one in self.given if isinstance(one, RuntimeEvent)]


class SessionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.reports: list[object] = []
        self.settled: list[str] = []
        self.session = Session(on_report=self.reports.append, on_answer=lambda _: self.settled.append(self.offered[-1]))
        self.connections: list[Connection] = []
        self.offered: list[str] = []

    @property
    def open(self) -> bool:
        return len(self.settled) < len(self.offered)

    @precondition(lambda self: not self.open)
    @rule()
    def offer(self):
        self.offered.append(f"event-{len(self.offered)}")
        self.session.offer(RuntimeEvent(self.offered[-1], b"", "arn", 0))

    @rule()
    def poll(self):
        connection = Connection()
        self.connections.append(connection)
        try:
            self.session.next(connection.poll)
        except Refusal as refusal:
            connection.given.append(refusal)

    @precondition(lambda self: self.connections)
    @rule(pick=PICK)
    def disconnect(self, pick):
        self.connections[-1 - pick % len(self.connections)].here = False

    @precondition(lambda self: self.connections)
    @rule()
    def find_out_that_it_did_not_go_out(self):
        last = self.connections[-1]
        if not last.here:
            self.session.undelivered(last.poll)

    @precondition(lambda self: self.offered)
    @rule(pick=PICK, kind=st.sampled_from(["response", "error", "too_large"]))
    def answer(self, pick, kind):
        request_id = self.offered[-1 - pick % len(self.offered)]
        had_it = any(request_id in connection.events() for connection in self.connections)
        before = len(self.settled)
        try:
            self.session.answer(request_id, Answer(kind))
        except Refusal:
            assert len(self.settled) == before
        else:
            assert had_it

    @rule()
    def give_up(self):
        was_open = self.open
        assert self.session.give_up(Answer("timeout")) == was_open

    @invariant()
    def every_event_is_settled_once(self):
        assert self.settled == self.offered[: len(self.settled)]
        assert len(self.offered) - len(self.settled) in (0, 1)

    @invariant()
    def no_event_is_with_two_that_are_there(self):
        for request_id in self.offered[-1:]:
            holders = [c for c in self.connections if c.here and request_id in c.events()]
            assert len(holders) <= 1

    @invariant()
    def a_live_poll_and_an_open_event_meet(self):
        if self.open and self.connections and self.connections[-1].here:
            assert self.connections[-1].given

    @invariant()
    def a_poll_is_told_once(self):
        assert all(len(connection.given) <= 1 for connection in self.connections)

    @invariant()
    def readiness_is_reported_once(self):
        assert len(self.reports) == min(1, len(self.connections))


TestSession = SessionMachine.TestCase
TestSession.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
