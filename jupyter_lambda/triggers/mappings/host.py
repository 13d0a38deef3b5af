"""All event source mappings of one engine: made, changed and removed here, each with a task of its own."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import (
    InvalidParameterValueException,
    LambdaError,
    ResourceInUseException,
    ResourceNotFoundException,
)
from jupyter_lambda.model.mapping import EventSourceMapping, Kind, Options, State
from jupyter_lambda.store.mappings import Mappings as Rows

from .context import Cloud, Context, describe
from .counts import Counts
from .delivery import find
from .poller import Poller, make
from .task import USER_ACTION, MappingTask

log = logging.getLogger(__name__)

#: Seconds for a source to say that it is there, while the caller of CreateEventSourceMapping waits.
CHECK_TIMEOUT_S = 10.0
_STEADY = frozenset({"Enabled", "Disabled"})


class Mappings:
    """A part of ``Triggers``."""

    def __init__(
        self,
        service: LambdaService,
        rows: Rows,
        cloud: Cloud,
        *,
        clock: Callable[[], float] = time.time,
        make: Callable[[Kind, Context], Poller] = make,
    ) -> None:
        self._service = service
        self.rows = rows
        self._cloud = cloud
        self._clock = clock
        self._make = make
        self._tasks: dict[str, tuple[MappingTask, asyncio.Task[None]]] = {}
        self._counts: dict[str, Counts] = {}
        self._started = False
        #: Held while a mapping is looked at, decided about and written.
        self._lock = asyncio.Lock()

    # ── a part of the triggers ───────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Every mapping goes on from its position."""
        self._started = True
        for mapping in self.rows.all():
            self._begin(mapping.uuid)

    async def stop(self, timeout_s: float) -> None:
        """Batches in flight have that long to finish; those that don't come again."""
        self._started = False
        tasks = list(self._tasks.values())
        for mapping, _ in tasks:
            mapping.stop()
        if tasks:
            _, late = await asyncio.wait([running for _, running in tasks], timeout=max(0.001, timeout_s))
            for running in late:
                running.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._tasks.clear()

    def status(self) -> Mapping[str, Any]:
        """Each mapping in a few words."""
        return {
            mapping.uuid: {
                "function": mapping.function_name,
                "state": mapping.state,
                "reason": mapping.reason,
                "last_result": mapping.last_result,
                **self.counts(mapping).summary(),
            }
            for mapping in self.rows.all()
        }

    # ── what the API asks ────────────────────────────────────────────────────────────────────────────────────────────

    async def create(
        self,
        kind: Kind,
        source_arn: str,
        function_name: str,
        qualifier: str | None,
        options: Options,
        *,
        enabled: bool,
        tags: Mapping[str, str],
    ) -> EventSourceMapping:
        """Make a mapping; its source is looked for at once, and reading begins in the background.

        Raises:
            InvalidParameterValueException: The source isn't there, or can't be reached.
            ResourceConflictException: The function reads this source already.
        """
        mapping = EventSourceMapping(
            uuid=str(uuid.uuid4()),
            kind=kind,
            source_arn=source_arn,
            function_name=function_name,
            qualifier=qualifier,
            options=options,
            state="Creating" if enabled else "Disabled",
            reason=USER_ACTION[kind],
            last_modified_s=self._clock(),
            tags=tags,
        )
        try:
            await self._check(mapping)
            await self.rows.add(mapping)
        except LambdaError:
            self._forget_counts(mapping.uuid)
            raise
        self._begin(mapping.uuid)
        return replace(mapping, state="Creating")

    def get(self, uuid: str) -> EventSourceMapping:
        """Raises ResourceNotFoundException where there is none."""
        mapping = self.rows.get(uuid)
        if mapping is None:
            raise ResourceNotFoundException("The resource you requested does not exist.")
        return mapping

    async def update(
        self,
        uuid: str,
        *,
        options: Options,
        function: tuple[str, str | None] | None = None,
        enabled: bool | None = None,
    ) -> EventSourceMapping:
        """Change a mapping. Positions stay.

        Raises:
            ResourceNotFoundException: There is none.
            ResourceInUseException: An earlier change is still under way.
            InvalidParameterValueException: A new destination isn't there, or can't be reached.
        """
        before = self.get(uuid)
        if options.on_failure_arn not in (None, before.options.on_failure_arn):
            await self._check(replace(before, options=options), destination_only=True)
        async with self._lock:
            return await self._update(self.get(uuid), options, function, enabled)

    async def _update(
        self,
        before: EventSourceMapping,
        options: Options,
        function: tuple[str, str | None] | None,
        enabled: bool | None,
    ) -> EventSourceMapping:
        self._check_steady(before, "update")
        was_enabled = before.state not in ("Disabled", "Disabling")
        wanted = was_enabled if enabled is None else enabled
        state: State = "Disabled"
        if wanted:
            state = before.state if before.state == "Creating" else "Updating" if was_enabled else "Enabling"
        elif was_enabled:
            state = "Disabling"
        name, qualifier = function or (before.function_name, before.qualifier)
        after = replace(
            before,
            function_name=name,
            qualifier=qualifier,
            options=options,
            state=state,
            reason=USER_ACTION[before.kind],
            last_modified_s=self._clock(),
        )
        await self.rows.put(after)
        self._changed(before.uuid)
        # Where nothing runs, there is nothing to follow: AWS answers Updating all the same.
        return replace(after, state="Updating") if state == "Disabled" else after

    async def tag(self, uuid: str, tags: Mapping[str, str]) -> None:
        """Replace a mapping's tags; its poller doesn't notice.

        Raises:
            ResourceNotFoundException: There is none.
        """
        async with self._lock:
            self.get(uuid)
            await self.rows.retag(uuid, tags)

    async def delete(self, uuid: str) -> EventSourceMapping:
        """Remove a mapping once what it has in flight is done with.

        Raises:
            ResourceNotFoundException: There is none.
            ResourceInUseException: An earlier change is still under way.
        """
        async with self._lock:
            before = self.get(uuid)
            self._check_steady(before, "delete")
            after = replace(before, state="Deleting", reason=USER_ACTION[before.kind], last_modified_s=self._clock())
            await self.rows.put(after)
            self._changed(uuid)
            return after

    def counts(self, mapping: EventSourceMapping) -> Counts:
        """What a mapping has read since the engine's start."""
        uuid = mapping.uuid
        found = self._counts.get(uuid)
        if found is None:
            found = Counts(self._service.metrics, lambda: self.rows.get(uuid), uuid, mapping.trigger)
            self._counts[uuid] = found
        return found

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, uuid: str) -> None:
        if not self._started or uuid in self._tasks:
            return
        task = MappingTask(uuid, self.rows, self._context, self._make)
        running = asyncio.create_task(task.run(), name=f"mapping {uuid}")
        self._tasks[uuid] = task, running
        running.add_done_callback(lambda ended: self._ended(uuid, ended))

    def _ended(self, uuid: str, ended: asyncio.Task[None]) -> None:
        self._tasks.pop(uuid, None)
        if self.rows.get(uuid) is None:
            self._forget_counts(uuid)
        if not ended.cancelled() and (error := ended.exception()) is not None:
            log.error("event source mapping %s failed in the engine", uuid, exc_info=error)

    def _forget_counts(self, uuid: str) -> None:
        found = self._counts.pop(uuid, None)
        if found is not None:
            found.forget()

    def _changed(self, uuid: str) -> None:
        found = self._tasks.get(uuid)
        if found is not None:
            found[0].changed.set()
        else:
            self._begin(uuid)

    def _context(self, mapping: EventSourceMapping) -> Context:
        return Context(
            mapping,
            service=self._service,
            rows=self.rows,
            cloud=self._cloud,
            counts=self.counts(mapping),
            clock=self._clock,
        )

    async def _check(self, mapping: EventSourceMapping, *, destination_only: bool = False) -> None:
        """Say at once why a trigger can't work.

        Raises:
            InvalidParameterValueException: Its source or destination isn't there, or can't be asked.
        """
        why = self._cloud.available()
        destination_arn = mapping.options.on_failure_arn
        if why is None:
            try:
                async with asyncio.timeout(CHECK_TIMEOUT_S):
                    if not destination_only:
                        await self._make(mapping.kind, self._context(mapping)).check()
                    if destination_arn is not None:
                        await find(self._cloud, destination_arn)
            except InvalidParameterValueException:
                raise
            except TimeoutError:
                why = f"{mapping.source_arn}, or its destination, did not answer within {CHECK_TIMEOUT_S:.0f} seconds"
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told
                why = describe(error)
        if why is not None:
            raise InvalidParameterValueException(why)

    def _check_steady(self, mapping: EventSourceMapping, what: str) -> None:
        # A change that can't come to its end, for the source can't be read, may be followed by another one.
        blocked = mapping.reason != USER_ACTION[mapping.kind]
        if mapping.state == "Deleting" or (mapping.state not in _STEADY and not blocked):
            raise ResourceInUseException(f"Cannot {what} the event source mapping because it is in use.")
