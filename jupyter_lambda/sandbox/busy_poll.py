"""Looking instead of sleeping, for the moment in which an answer is about to come.

Where one invocation runs alone, nothing else keeps this machine's cores awake: the engine falls asleep while the
sandbox works, the sandbox while the engine does, and each time a core must be woken, which takes longer than the work
itself (30 to 60 µs on a virtual machine, for each of four times). So the event loop is kept turning for a moment after
an event went out. It costs no more CPU than those wake-ups do; under load it is of no use and does not happen.
"""

from __future__ import annotations

import asyncio
import os
import time

#: A look in vain costs as much as so many others gain. When so much more is lost than gained, it sleeps at once for so
#: many seconds; then half as much may be lost.
_VAIN, _VAIN_MAX, _PAUSE_S = 3, 16, 1.0


class _Look:
    """Looking for one kind of thing, as long as it mostly comes in time."""

    __slots__ = ("left", "not_before_s")

    def __init__(self) -> None:
        self.left = _VAIN_MAX
        self.not_before_s = 0.0

    def found(self) -> None:
        """It came in time."""
        if self.left < _VAIN_MAX:
            self.left += 1

    def failed(self, now_s: float) -> None:
        """It did not."""
        self.left -= _VAIN
        if self.left <= 0:
            self.left, self.not_before_s = _VAIN_MAX // 2, now_s + _PAUSE_S


class BusyPoll:
    """One for all sandboxes of an engine. Methods run in the event loop.

    Args:
        for_s: Seconds to look for; 0: never.
    """

    def __init__(self, for_s: float) -> None:
        # With a single core the sandbox could not run meanwhile.
        self._for_s = for_s if _cores() > 1 else 0.0
        #: Events that went out and have no answer yet.
        self._open = 0
        self._until_s = 0.0
        self._turning = False
        #: For the answer of an event, and for the next one of a caller who has its answer.
        self._answer, self._event = _Look(), _Look()
        self._looking = self._answer

    def begin(self) -> None:
        """An event goes out to a sandbox."""
        self._open += 1
        if self._turning and self._looking is self._event:
            self._event.found()
        if self._open == 1 and self._for_s:
            self._look(self._answer)

    def end(self) -> None:
        """Its answer came, or none will come."""
        self._open -= 1
        if self._turning and self._looking is self._answer:
            self._answer.found()
        if not self._open and self._for_s:
            self._look(self._event)

    def _look(self, look: _Look) -> None:
        now_s = time.perf_counter()
        self._looking = look
        self._until_s = now_s + self._for_s if now_s >= look.not_before_s else 0.0
        if self._until_s and not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        now_s = time.perf_counter()
        if self._open <= 1 and now_s < self._until_s:
            # What is put off to the next turn keeps the loop from sleeping in this one.
            asyncio.get_running_loop().call_soon(self._turn)
            return
        self._turning = False
        if self._until_s and now_s >= self._until_s:
            self._looking.failed(now_s)


def _cores() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
