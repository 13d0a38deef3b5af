"""The life of one execution environment: its states and the transitions between them."""

from __future__ import annotations

from enum import Enum


class EnvironmentState(Enum):
    """Starting → Initializing → Idle ⇄ Busy → Stopping → Gone."""

    STARTING = "Starting"
    INITIALIZING = "Initializing"
    IDLE = "Idle"
    BUSY = "Busy"
    STOPPING = "Stopping"
    GONE = "Gone"

    # By identity: Enum's own, by name, is slow, and every invocation changes the state of an environment twice.
    __hash__ = object.__hash__


_S = EnvironmentState
#: From each state, where it may go. Anything may end; nothing comes back.
TRANSITIONS: dict[EnvironmentState, frozenset[EnvironmentState]] = {
    _S.STARTING: frozenset({_S.INITIALIZING, _S.STOPPING, _S.GONE}),
    _S.INITIALIZING: frozenset({_S.IDLE, _S.BUSY, _S.STOPPING, _S.GONE}),
    _S.IDLE: frozenset({_S.BUSY, _S.STOPPING, _S.GONE}),
    _S.BUSY: frozenset({_S.IDLE, _S.STOPPING, _S.GONE}),
    _S.STOPPING: frozenset({_S.GONE}),
    _S.GONE: frozenset(),
}


class IllegalTransition(AssertionError):
    """A programming error: the message tells the environment's whole history."""


class EnvironmentLife:
    """The state of one environment, and the only place where it changes."""

    __slots__ = ("_history", "environment_id", "state")

    def __init__(self, environment_id: str, now_s: float) -> None:
        self.environment_id = environment_id
        self.state = EnvironmentState.STARTING
        self._history: list[tuple[float, EnvironmentState]] = [(now_s, self.state)]

    def to(self, state: EnvironmentState, now_s: float) -> None:
        """Change state.

        Raises:
            IllegalTransition: Not allowed from the present state.
        """
        if state not in TRANSITIONS[self.state]:
            story = " → ".join(f"{s.value}@{t:.3f}" for t, s in self._history)
            raise IllegalTransition(f"environment {self.environment_id}: {story} ↛ {state.value}")
        self.state = state
        if len(self._history) >= 32:
            del self._history[1:9]
        self._history.append((now_s, state))
