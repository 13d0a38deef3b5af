"""One mapping's task: follows its state, lets its poller run, and tells why where the source can't be read."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from jupyter_lambda.errors import StoreError
from jupyter_lambda.model.mapping import EventSourceMapping, Kind, State
from jupyter_lambda.store.mappings import Mappings as Rows

from .backoff import Backoff
from .context import Context, SourceProblem, Stopped, describe
from .poller import Poller

log = logging.getLogger(__name__)

#: Seconds between attempts to read a source that can't be read: first, and longest.
SOURCE_FIRST_S, SOURCE_LONGEST_S = 0.5, 60.0
#: A poller that ran for this long without a problem has got over the last one.
_SETTLED_S = 30.0
#: StateTransitionReason where nothing is wrong.
USER_ACTION: dict[Kind, str] = {"kinesis": "User action", "dynamodb": "User action", "sqs": "USER_INITIATED"}


class MappingTask:
    """Until the mapping is deleted, or cancelled."""

    def __init__(
        self,
        uuid: str,
        rows: Rows,
        context: Callable[[EventSourceMapping], Context],
        make: Callable[[Kind, Context], Poller],
    ) -> None:
        self._uuid = uuid
        self._rows = rows
        self._context = context
        self._make = make
        #: Set whenever the mapping was changed.
        self.changed = asyncio.Event()
        self._stopping = False
        #: The poller's, while there is one.
        self._running: Context | None = None
        self._backoff = Backoff(SOURCE_FIRST_S, SOURCE_LONGEST_S)

    def stop(self) -> None:
        """The engine stops: finish what is in flight, begin nothing."""
        self._stopping = True
        self.changed.set()
        if self._running is not None:
            self._running.stop()

    async def run(self) -> None:
        """The whole life."""
        while not self._stopping and (mapping := self._rows.get(self._uuid)) is not None:
            self.changed.clear()
            try:
                await self._follow(mapping)
            except Stopped:
                continue
            except StoreError as error:  # a full disk, say
                log.warning("event source mapping %s: %s", self._uuid, error.message)
                await self._wait(self._backoff.next_s())
            except Exception as error:  # without this task nothing would follow the mapping any more
                log.exception("event source mapping %s failed in the engine", self._uuid)
                self._rows.result(self._uuid, f"PROBLEM: {describe(error)}")
                await self._wait(self._backoff.next_s())

    async def _follow(self, mapping: EventSourceMapping) -> None:
        match mapping.state:
            case "Deleting":
                await self._rows.remove(self._uuid)
            case "Disabling":
                await self._move(mapping, "Disabled")
            case "Disabled":
                await self.changed.wait()
            case _:
                await self._poll(mapping)

    async def _poll(self, mapping: EventSourceMapping) -> None:
        """Creating, Enabling, Updating: make ready, then Enabled; Enabled: read until something changes."""
        context = self._context(mapping)
        self._running = context
        working = asyncio.create_task(self._work(mapping, context), name=f"event source mapping {self._uuid}")
        changing = asyncio.create_task(self.changed.wait(), name=f"changes of mapping {self._uuid}")
        try:
            await asyncio.wait({working, changing}, return_when=asyncio.FIRST_COMPLETED)
            context.stop()
            # What is in flight finishes: its records are done with, or will come again.
            await working
        finally:
            self._running = None
            changing.cancel()
            if not working.done():
                working.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await working

    async def _work(self, mapping: EventSourceMapping, context: Context) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            context.check_cloud()
            poller = self._make(mapping.kind, context)
            await poller.check()
            if mapping.state != "Enabled":
                await poller.prepare()
            await self._move(mapping, "Enabled")
            await poller.run()
        except (Stopped, StoreError, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and tried again
            if self.changed.is_set():
                return
            if loop.time() - began_s > _SETTLED_S:
                self._backoff.reset()
            await self._tell(mapping, error)
            await self._wait(self._backoff.next_s())

    async def _move(self, mapping: EventSourceMapping, after: State) -> None:
        """Into the state that is meant to last, with nothing wrong."""
        known = self._rows.get(self._uuid)
        if known is None or known.state != mapping.state:
            raise Stopped
        reason = USER_ACTION[mapping.kind]
        if (known.state, known.reason) != (after, reason):
            await self._rows.move(self._uuid, mapping.state, after, reason)

    async def _tell(self, mapping: EventSourceMapping, error: Exception) -> None:
        known = self._rows.get(self._uuid)
        if known is None:
            return
        reason = f"PROBLEM: {describe(error)}"
        if not isinstance(error, SourceProblem) and not hasattr(error, "response"):
            log.info("event source mapping %s (%s)", self._uuid, mapping.trigger, exc_info=error)
        if known.reason != reason:
            log.warning("event source mapping %s (%s): %s", self._uuid, mapping.trigger, reason)
            await self._rows.move(self._uuid, known.state, known.state, reason)
        self._rows.result(self._uuid, reason)

    async def _wait(self, seconds: float) -> None:
        """That long, or until the mapping changes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.changed.wait()
