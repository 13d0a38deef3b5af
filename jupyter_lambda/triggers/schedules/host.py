"""Schedules as a part of the triggers: rules, EventBridge Scheduler, and what fires them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import ResourceNotFoundException, ValidationException

from .clockwork import Clockwork
from .deliveries import Cloud, Deliveries
from .entries import EntryError, read
from .rules import Rules, local_bus
from .scheduler import Scheduler


class Schedules:
    """A part of ``Triggers``. An engine without schedules waits, and does nothing."""

    def __init__(self, service: LambdaService, cloud: Cloud) -> None:
        self._service = service
        store, settings = service.store, service.settings
        self._timers = store.timers
        self.rules = Rules(service, store.rules)
        self.scheduler = Scheduler(service, store.schedules, self.rules)
        self.clockwork = Clockwork(
            store.timers,
            {"rule": self.rules, "schedule": self.scheduler},
            service.entered,
            service.clock,
            missed=settings.missed_ticks,
            most=settings.missed_ticks_max,
            draining=lambda: service.draining,
            looked=self._tell,
        )
        self.deliveries = Deliveries(store.deliveries, cloud, service.clock)

    def _tell(self) -> None:
        if self._service.live.tap is not None:
            self._service.live.schedules()

    async def start(self) -> None:
        """Go on: what was missed while no engine ran is dealt with as the setting says."""
        await self.deliveries.start()
        await self.clockwork.start()

    async def stop(self, timeout_s: float) -> None:
        """Fire and deliver nothing more; what is due stays due."""
        await self.clockwork.stop()
        await self.deliveries.stop(timeout_s)

    def status(self) -> Mapping[str, Any]:
        """How many tick, when the next is due, what is on its way."""
        ticking, waiting = self._timers.ticking(), self.deliveries.rows.count()
        if not ticking and not waiting:
            return {}
        return {"ticking": ticking, "next_due_s": self._timers.next_due_s(), "deliveries": waiting}

    async def put_event(self, entry: Mapping[str, Any]) -> None:
        """Take one entry of PutEvents that the engine itself has made; returns once all it leads to is on disk.

        Raises:
            ResourceNotFoundException: There is no such bus.
            ValidationException: The entry is not valid.
        """
        try:
            bus, event = read(entry, self._service.account, str(uuid.uuid4()), self._service.clock(), internal=True)
        except EntryError as error:
            raise ValidationException(f"{error.code}: {error.message}") from error
        name = local_bus(self._service.account, bus)
        if name not in self.rules.rows.buses():
            raise ResourceNotFoundException(f"Event bus {bus} does not exist.")
        assert name is not None
        await self.rules.put([(name, event)])
