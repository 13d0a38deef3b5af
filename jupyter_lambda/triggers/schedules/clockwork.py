"""Waits for whatever is due next, of all rules and schedules together, and fires it.

One task sleeps until the next timer is due; where none ticks it sleeps until one does. While it waits it looks at the
clock now and then, since that may be set forward, or the machine may have been suspended: every few seconds when
something is due within a minute, else every half minute.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from jupyter_lambda.errors import LambdaError
from jupyter_lambda.model.invocation import AsyncEvent
from jupyter_lambda.model.scheduled import Delivery, Timer, TimerKind
from jupyter_lambda.store.timers import Firing, Timers

from .ticks import MissedTicks, Ticks, plan

log = logging.getLogger(__name__)

#: Seconds within which something is due soon; seconds between looks at the clock then, and otherwise.
_SOON_S, _LOOK_SOON_S, _LOOK_S = 60.0, 3.0, 30.0
#: Timers that fire together.
_BATCH = 200
#: Seconds before another try when the store can't be written.
_AGAIN_S = 1.0
#: Seconds by which a timer is put off where the engine itself fails.
_LATER_S = 60.0


@dataclass(frozen=True, slots=True)
class Fired:
    """What one tick leads to."""

    events: Sequence[AsyncEvent] = ()
    deliveries: Sequence[Delivery] = ()
    #: "fired", or why not.
    result: str = "fired"


class Owner(Protocol):
    """Who knows what the timers of one kind fire: rules, schedules."""

    def ticks(self, timer: Timer) -> Ticks | None:
        """The ticks of a timer's rule or schedule; None when that is gone or disabled."""

    def fire(self, timer: Timer, tick_s: float) -> Fired:
        """What a tick leads to. May be asked twice for the same tick, when the store could not be written."""

    def ends(self, timer: Timer) -> bool:
        """Whether the schedule is deleted after its last tick."""


class Clockwork:
    """Fires what is due. Time comes from ``clock`` alone."""

    def __init__(
        self,
        timers: Timers,
        owners: Mapping[TimerKind, Owner],
        entered: Callable[[Sequence[AsyncEvent]], None],
        clock: Callable[[], float],
        *,
        missed: MissedTicks = "once",
        most: int = 100,
        draining: Callable[[], bool] = lambda: False,
        looked: Callable[[], None] = lambda: None,
        chance: random.Random | None = None,
    ) -> None:
        """
        Args:
            entered: Told of events that are in the queue now.
            missed: What becomes of missed ticks.
            most: How many of one schedule's ticks fire at once, at most.
            draining: While it says True nothing fires; it is due still.
            looked: Called after each look for what is due: something has fired, or was made, changed or removed.
        """
        self._timers = timers
        self._owners = owners
        self._entered = entered
        self._clock = clock
        self._missed: MissedTicks = missed
        self._most = most
        self._draining = draining
        self._looked = looked
        self._chance = chance or random.Random()  # noqa: S311 - spreads load, no secret
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to wait."""
        self._task = asyncio.get_running_loop().create_task(self._work(), name="schedules")

    async def stop(self) -> None:
        """Fire nothing more; what is being written is written."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def changed(self) -> None:
        """A timer was added or changed."""
        self._wake.set()

    def due_of(self, tick_s: float | None, window_s: float) -> float | None:
        """When a tick fires: somewhere within its flexible window."""
        if tick_s is None:
            return None
        return tick_s + self._chance.uniform(0.0, window_s) if window_s else tick_s

    async def fire_due(self) -> int:
        """Fire whatever is due; returns how many timers moved on.

        Raises:
            StoreError: The store can't be written; what has not moved is due still.
        """
        moved = 0
        while not self._draining() and (due := self._timers.due(self._clock(), _BATCH)):
            firings = [self._guarded(timer) for timer in due]
            done = await asyncio.shield(
                asyncio.gather(*(self._timers.fire(firing, self._entered) for firing in firings))
            )
            moved += sum(done)
        return moved

    def _guarded(self, timer: Timer) -> Firing:
        """What becomes of a timer; one that the engine stumbles over is put off, and holds up no other."""
        try:
            return self._firing(timer)
        except Exception:
            log.exception("%s %s could not be fired", timer.kind, timer.name)
            later_s = self._clock() + _LATER_S
            return Firing(timer, replace(timer, due_s=later_s, last_result="the engine failed; its log says why"))

    def _firing(self, timer: Timer) -> Firing:
        owner = self._owners[timer.kind]
        ticks = owner.ticks(timer)
        if ticks is None or timer.tick_s is None:
            return Firing(timer, replace(timer, tick_s=None, due_s=None))
        now_s = self._clock()
        chosen = plan(ticks, timer.tick_s, now_s, self._missed, self._most)
        # A change that was made while a tick fired may have set that tick once more.
        chosen_ticks = [tick_s for tick_s in chosen.fire if tick_s != timer.last_tick_s]
        fired = [owner.fire(timer, tick_s) for tick_s in chosen_ticks]
        result = fired[-1].result if fired else timer.last_result
        if not chosen.fire:
            result = "skipped: missed while no engine ran"
        after = replace(
            timer,
            tick_s=chosen.next_s,
            due_s=self.due_of(chosen.next_s, ticks.window_s),
            last_tick_s=chosen_ticks[-1] if fired else timer.last_tick_s,
            last_fired_s=now_s if fired else timer.last_fired_s,
            last_result=result,
        )
        return Firing(
            timer,
            after,
            [event for one in fired for event in one.events],
            [delivery for one in fired for delivery in one.deliveries],
            delete=chosen.next_s is None and owner.ends(timer),
        )

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self.fire_due()
                self._looked()
            except LambdaError as error:
                log.error("schedules: %s", error)  # noqa: TRY400 - the message says it all
                await asyncio.sleep(_AGAIN_S)
                continue
            except Exception:
                log.exception("schedules: the engine failed")
                await asyncio.sleep(_AGAIN_S)
                continue
            try:
                async with asyncio.timeout(self._pause_s()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _pause_s(self) -> float | None:
        """Until the next look; None: nothing ticks."""
        due_s = self._timers.next_due_s()
        if due_s is None:
            return None
        if self._draining():
            return _LOOK_S
        ahead_s = max(0.001, due_s - self._clock())
        return min(ahead_s, _LOOK_SOON_S if ahead_s <= _SOON_S else _LOOK_S)
