"""Simulated time: a clock that stands still until it is told, and a clockwork that is driven along it."""

from __future__ import annotations

from jupyter_lambda.store.timers import Timers

from .clockwork import Clockwork


class SimulatedTime:
    """A clock for ``Clockwork``, and its driver.

    time = SimulatedTime(start_s)
    clockwork = Clockwork(…, clock=time.now)
    await time.run(clockwork, timers, until_s)
    """

    def __init__(self, start_s: float) -> None:
        self.now_s = start_s

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.now_s

    async def run(self, clockwork: Clockwork, timers: Timers, until_s: float) -> int:
        """Go from one due time to the next, firing each, up to a time; returns how often a timer moved on."""
        moved = 0
        while (due_s := timers.next_due_s()) is not None and due_s <= until_s:
            self.now_s = max(self.now_s, due_s)
            moved += await clockwork.fire_due()
        self.now_s = max(self.now_s, until_s)
        return moved
