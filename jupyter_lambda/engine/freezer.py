"""Freezes what is idle, so that code between two invocations costs nothing, and thaws it when it is wanted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from jupyter_lambda.errors import LambdaError

if TYPE_CHECKING:
    from jupyter_lambda.sandbox.sandbox import Sandbox

log = logging.getLogger(__name__)


class Frost(Enum):
    """Thawed → Due → Freezing → Frozen → Thawed; what is wanted goes back to Thawed from anywhere."""

    THAWED = "thawed"
    #: Chosen, its turn has not come yet.
    DUE = "due"
    FREEZING = "freezing"
    FROZEN = "frozen"


@dataclass(slots=True, eq=False)
class Freezable:
    """A sandbox that may be frozen: an environment, or a generic container."""

    sandbox: Sandbox
    frost: Frost = field(default=Frost.THAWED, init=False)
    #: Monotonic seconds.
    idle_since_s: float = field(default=0.0, init=False)
    #: While it is being frozen: done when it is, or when that failed.
    settled: asyncio.Future[None] | None = field(default=None, init=False)


class Freezer:
    """One timer for everything that is idle, and none while nothing is; nothing is made for a single invocation.

    AWS freezes an environment as soon as its invocation ends. Here it stays awake for a short delay, so that an
    environment in steady use is never frozen and thawed in between.

    Args:
        delay_s: How long something must have been idle; None: nothing is ever frozen.
        spawn: Runs a coroutine in the service's task group.
    """

    def __init__(self, delay_s: float | None, *, spawn: Callable[..., object]) -> None:
        self._delay_s = delay_s
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        #: The longest idle first.
        self._idle: dict[Freezable, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def idle(self, item: Freezable) -> None:
        """Nothing runs in it from now on."""
        if self._delay_s is None:
            return
        item.idle_since_s = self._loop.time()
        self._idle[item] = None
        if self._timer is None:
            self._timer = self._loop.call_later(self._delay_s, self._look)

    def busy(self, item: Freezable) -> None:
        """It is wanted, or goes. What is frozen already needs ``thaw``."""
        self._idle.pop(item, None)
        if item.frost is Frost.DUE:
            item.frost = Frost.THAWED

    async def thaw(self, item: Freezable) -> None:
        """Let it go on, if it stands still.

        Raises:
            DriverError: It can't be thawed; it is of no use any more.
        """
        if item.settled is not None:
            await asyncio.shield(item.settled)
        if item.frost is Frost.FROZEN:
            await item.sandbox.thaw()
        item.frost = Frost.THAWED

    def close(self) -> None:
        """Freeze nothing more."""
        self._delay_s = None
        self._idle.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        assert self._delay_s is not None
        now_s = self._loop.time()
        due = []
        for item in self._idle:
            left_s = item.idle_since_s + self._delay_s - now_s
            if left_s > 0.0:
                self._timer = self._loop.call_later(left_s, self._look)
                break
            item.frost = Frost.DUE
            due.append(item)
        for item in due:
            del self._idle[item]
        if due:
            self._spawn(self._freeze(due), name="freeze what is idle")

    async def _freeze(self, due: list[Freezable]) -> None:
        for item in due:
            if item.frost is not Frost.DUE:  # wanted in the meantime
                continue
            item.frost = Frost.FREEZING
            item.settled = self._loop.create_future()
            try:
                await item.sandbox.freeze()
                item.frost = Frost.FROZEN
            except LambdaError as error:
                # Partly frozen at most: thawing is harmless, and whoever wants it does that first.
                item.frost = Frost.FROZEN
                log.debug("sandbox %s is not frozen: %s", item.sandbox.sandbox_id, error)
            finally:
                item.settled.set_result(None)
                item.settled = None
