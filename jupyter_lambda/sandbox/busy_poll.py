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

    def begin(self) -> None:
        """An event goes out to a sandbox."""
        self._open += 1
        if self._open == 1 and self._for_s:
            self._look()

    def end(self) -> None:
        """Its answer came, or none will come."""
        self._open -= 1
        if not self._open and self._for_s:
            self._look()

    def _look(self) -> None:
        self._until_s = time.perf_counter() + self._for_s
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        # What is put off to the next turn keeps the loop from sleeping in this one.
        if self._open <= 1 and time.perf_counter() < self._until_s:
            asyncio.get_running_loop().call_soon(self._turn)
        else:
            self._turning = False


def _cores() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
