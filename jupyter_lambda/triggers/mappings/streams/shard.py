"""One shard: a reader that fetches ahead, within bounds, and lanes that send what it fetched."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import zlib
from typing import Any

from jupyter_lambda.triggers.mappings.backoff import Backoff
from jupyter_lambda.triggers.mappings.context import Context, Stopped, describe
from jupyter_lambda.triggers.mappings.counts import FILTERED, POLLED

from .lane import LaneRunner
from .progress import SKIPPED, Progress
from .source import ABSENT, EXPIRED, THROTTLED, TRIMMED, Page, Record, Source, Start, code_of
from .state import ShardState

log = logging.getLogger(__name__)

#: Records and bytes that are fetched ahead of what is sent.
_AHEAD_RECORDS_MAX, _AHEAD_BYTES_MAX = 50_000, 32 * 1024 * 1024
#: Seconds between attempts where the source fails: first and longest; and how many of them in a row end the poller.
_FIRST_S, _LONGEST_S, _FAILURES_MAX = 0.5, 10.0, 5
#: Seconds after which a position that moved by passing records over is saved.
_SAVE_EVERY_S = 1.0
#: Records that are made into events without a pause.
_YIELD_EVERY = 200


class ShardReader:
    """From one start of the poller to the shard's end, or to the poller's stop."""

    def __init__(self, context: Context, source: Source, shard_id: str, state: ShardState, retention_s: float) -> None:
        self.context = context
        self.source = source
        self.shard_id = shard_id
        self.state = state
        self.retention_s = retention_s
        state.divide(context.options.lanes)
        #: The stream lists it as closed.
        self.closed = False
        #: Read to its end.
        self.ended = False
        #: Nothing more is fetched until some of what was is sent.
        self.full = False
        #: Number of the last record that was read.
        self.read_number = state.after_number
        #: When the last read began that reached the tip.
        self.tip_s = float("-inf")
        self._read_sequence = state.after
        self._progress = Progress(state.after)
        self._error: Exception | None = None
        self._room = asyncio.Event()
        self._saved_s = context.clock()
        self._ahead_max = min(
            _AHEAD_RECORDS_MAX, 2 * context.options.batch_size * context.options.lanes + source.page_max
        )
        self.lanes = [LaneRunner(self, index) for index in range(context.options.lanes)]

    async def run(self) -> None:
        """Returns when the shard is finished or the poller is to stop; what is in flight then is done first.

        Raises:
            Exception: The source can't be read.
            StoreError: The position can't be kept.
        """
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read())
                self.context.on_stop(reader.cancel)
                for lane in self.lanes:
                    group.create_task(lane.run())
                    self.context.on_stop(lane.wake.set)
                if self.context.stopping.is_set():
                    reader.cancel()
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        if self._error is not None:
            raise self._error
        if self.ended and not any(lane.queue for lane in self.lanes) and not self.context.stopping.is_set():
            self.state.finished = True
            await self.save()

    async def save(self) -> None:
        """Keep the position.

        Raises:
            StoreError: It can't be written.
        """
        self._progress.advance([lane.done for lane in self.state.lanes])
        self.state.after = self._progress.after
        self._saved_s = self.context.clock()
        await self.context.rows.save_shards(self.context.mapping.uuid, {self.shard_id: self.state.to_json()})

    def sent(self) -> None:
        """A lane has got rid of records: there may be room."""
        self._room.set()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self) -> None:
        try:
            with contextlib.suppress(Stopped):
                await self._read_on()
        except Exception as error:  # noqa: BLE001 - the lanes finish what they have first
            self._error = error
            self.context.stop()
        finally:
            self._wake()

    async def _read_on(self) -> None:
        backoff = Backoff(_FIRST_S, _LONGEST_S)
        first_s, longest_s = self.source.idle_s
        idle_s, iterator, start = first_s, None, self.state.resume
        while not self.ended:
            await self._wait_for_room()
            closed, began_s = self.closed, self.context.clock()
            try:
                if iterator is None:
                    iterator = await self.source.iterator(self.shard_id, start)
                page = await self.source.read(iterator, self.source.page_max)
            except Exception as error:  # noqa: BLE001 - sorted out there
                iterator, start = None, await self._recover(error, backoff)
                continue
            backoff.reset()
            await self._take(page)
            iterator = page.next_iterator
            if page.at_tip:
                self.tip_s = began_s
            # Servers other than AWS's may go on handing out iterators for a shard that is closed.
            self.ended = iterator is None or (closed and page.at_tip and not page.records)
            self._wake()
            if page.records:
                idle_s = first_s
            elif not self.ended:
                await self.context.pause(idle_s)
                idle_s = min(longest_s, idle_s * 1.5)

    async def _take(self, page: Page) -> None:
        """Divide a page among the lanes; what the filters don't let through is passed over."""
        role = self.context.role() if page.records else ""
        filtered = polled = 0
        for place, raw in enumerate(page.records):
            if place % _YIELD_EVERY == _YIELD_EVERY - 1:
                await asyncio.sleep(0)  # others have their turn
            sequence = self.source.sequence(raw)
            number = int(sequence)
            if number <= self.read_number:
                continue
            polled += 1
            self.read_number, self._read_sequence = number, sequence
            key_hash = zlib.crc32(self.source.key(raw).encode())
            index = SKIPPED
            if not self.state.is_done(number, key_hash):
                record = self._record(raw, sequence, role)
                if record is None:
                    filtered += 1
                else:
                    index = key_hash % len(self.lanes)
                    self.lanes[index].add(record)
            self._progress.read(number, sequence, index)
        self.context.counts.add(POLLED, polled)
        self.context.counts.add(FILTERED, filtered)
        await self._save_passed()

    def _record(self, raw: dict[str, Any], sequence: str, role: str) -> Record | None:
        event = self.source.event(self.shard_id, raw, role)
        if not self.context.filters.accepts(event):
            return None
        text = json.dumps(event, separators=(",", ":")).encode()
        return Record(sequence, self.source.arrived_s(raw), text)

    async def _save_passed(self) -> None:
        """Where filters let nothing through, no batch would ever move the position."""
        moved = self._progress.advance([lane.done for lane in self.state.lanes])
        if moved and self.context.clock() - self._saved_s >= _SAVE_EVERY_S:
            await self.save()

    async def _recover(self, error: Exception, backoff: Backoff) -> Start:
        """After a failed read: where to go on, after a pause.

        Raises:
            Exception: That one, where it has gone on for too long or can't be got over.
        """
        code = code_of(error)
        start = self.state.resume
        if self._read_sequence:
            start = Start("AFTER_SEQUENCE_NUMBER", sequence=self._read_sequence)
        if code in EXPIRED:
            return start
        if code in TRIMMED:
            log.warning(
                "%s, %s: records after %s are gone from the stream before they were read; reading goes on with the "
                "oldest that are left",
                self.context.mapping.trigger,
                self.shard_id,
                self._read_sequence or "the start",
            )
            self.context.tell("PROBLEM: records were trimmed from the stream before they were read")
            return Start("TRIM_HORIZON")
        if code in ABSENT:
            if any(one.shard_id == self.shard_id for one in await self.source.shards()):
                raise error
            log.warning("%s: %s is no longer listed", self.context.mapping.trigger, self.shard_id)
            self.ended = True
            return start
        if code not in THROTTLED and backoff.count >= _FAILURES_MAX:
            raise error
        self.context.tell(f"PROBLEM: {describe(error)}")
        await self.context.pause(backoff.next_s())
        return start

    async def _wait_for_room(self) -> None:
        while True:
            ahead = sum(len(lane.queue) for lane in self.lanes)
            self.full = ahead >= self._ahead_max or sum(lane.queued_bytes for lane in self.lanes) >= _AHEAD_BYTES_MAX
            if not self.full:
                return
            # Whoever gathers a batch can't hope for more.
            self._wake()
            self._room.clear()
            await self._room.wait()

    def _wake(self) -> None:
        for lane in self.lanes:
            lane.wake.set()
