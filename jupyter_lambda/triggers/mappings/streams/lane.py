"""One lane of a shard: makes batches of the records in it and sends them, one after another."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_lambda.model.limits import PAYLOAD_MAX_BYTES
from jupyter_lambda.triggers.mappings.backoff import Backoff
from jupyter_lambda.triggers.mappings.context import Outcome, Stopped
from jupyter_lambda.triggers.mappings.counts import FAILED

from . import windows
from .discards import AGE, RETRIES, SIZE, GivenUp, give_up
from .report import answer_of, first_failure
from .retries import Verdict, expired, judge
from .source import Record
from .state import Lane, Segment, Window

if TYPE_CHECKING:
    from .shard import ShardReader

#: Seconds before a batch that failed is sent again: first, and longest.
RETRY_FIRST_S, RETRY_LONGEST_S = 0.5, 60.0
#: Bytes of an event that are not its records: braces, and the members of a window but for its state.
_ENVELOPE_BYTES = 2_000


class LaneRunner:
    """Use ``add`` to give it records; ``run`` sends them."""

    def __init__(self, shard: ShardReader, index: int) -> None:
        self._shard = shard
        self._index = index
        self._context = shard.context
        self._options = shard.context.options
        #: Records that are not done with, in order.
        self.queue: deque[Record] = deque()
        self.queued_bytes = 0
        #: Set when there is something new to look at.
        self.wake = asyncio.Event()
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_LONGEST_S)

    @property
    def state(self) -> Lane:
        """What is kept of it."""
        return self._shard.state.lanes[self._index]

    def add(self, record: Record) -> None:
        """The next record."""
        self.queue.append(record)
        self.queued_bytes += len(record.text)

    async def run(self) -> None:
        """Until the shard is read and sent to its end, or the poller is to stop."""
        try:
            while await self._step():
                if self._context.stopping.is_set():
                    return
        except Stopped:
            return

    async def _step(self) -> bool:
        """One batch, or one end of a window; False at the end."""
        if self.state.segments:
            batch, segment = await self._gather_again(self.state.segments[0])
            if not batch:
                return True
        else:
            batch, segment = await self._gather()
        if batch and self._window_ends_before(batch[0]):
            await self._close_window()
        elif batch:
            await self._send(batch, segment)
        elif self.state.window is not None:
            await self._close_window()
        elif self._shard.ended and not self.queue:
            return False
        return True

    # ── gathering ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _gather_again(self, segment: Segment) -> tuple[list[Record], Segment]:
        """The records of a batch that is sent again; after a restart they have to be read again first."""
        shard = self._shard
        while shard.read_number < segment.last and not shard.ended and not shard.full:
            await self._wait(None)
        batch = [record for record in self.queue if record.number <= segment.last]
        if not batch:
            # Trimmed from the stream, or filtered out by now.
            self.state.segments.pop(0)
        return batch, segment

    async def _gather(self) -> tuple[list[Record], Segment]:
        """The next batch: full, or as old as MaximumBatchingWindowInSeconds allows; empty at the end of a window or of
        the shard."""
        loop = asyncio.get_running_loop()
        deadline_s: float | None = None
        while True:
            batch, more = self._front()
            if batch:
                if deadline_s is None:
                    deadline_s = loop.time() + self._options.batching_window_s
                complete = not more or self._shard.ended or self._shard.full
                if complete or loop.time() >= deadline_s:
                    return batch, Segment(batch[0].number, batch[-1].number, 0, 0)
                await self._wait(deadline_s - loop.time())
            elif self._nothing_comes():
                return [], Segment(0, 0, 0, 0)
            else:
                await self._wait(self._until_window_ends_s())

    def _front(self) -> tuple[list[Record], bool]:
        """As much of the queue as fits into one batch, and whether more would fit."""
        room = PAYLOAD_MAX_BYTES - _ENVELOPE_BYTES
        window = self.state.window
        if window is not None:
            room -= len(windows.members(window, self._shard.shard_id, "", final=False))
        batch: list[Record] = []
        for record in self.queue:
            room -= len(record.text) + 1
            if batch and (
                room < 0 or len(batch) >= self._options.batch_size or not self._same_window(batch[0], record)
            ):
                return batch, False
            batch.append(record)
        return batch, len(batch) < self._options.batch_size

    def _same_window(self, first: Record, record: Record) -> bool:
        length_s = self._options.tumbling_window_s
        if not length_s:
            return True
        return windows.belongs(self.state.window or windows.window_at(first.arrived_s, length_s), record.arrived_s)

    def _nothing_comes(self) -> bool:
        if self._shard.ended:
            return True
        window = self.state.window
        if window is None:
            return False
        now_s = self._context.clock()
        return windows.is_over(window, now_s, at_tip=self._shard.tip_s >= window.end_s)

    def _until_window_ends_s(self) -> float | None:
        window = self.state.window
        # Reads wake the lane, so only their reaching the tip after the end has to be waited for; a little is enough.
        return None if window is None else max(0.05, window.end_s - self._context.clock())

    async def _wait(self, timeout_s: float | None) -> None:
        if self._context.stopping.is_set():
            raise Stopped
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.wake.wait()
        self.wake.clear()
        if self._context.stopping.is_set():
            raise Stopped

    # ── sending ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _send(self, batch: list[Record], segment: Segment) -> None:
        old = expired([one.arrived_s for one in batch], self._context.clock(), self._options, self._shard.retention_s)
        if old:
            await self._give_up(batch[:old], AGE, segment.invokes, None)
            self._rest_of(segment, batch[old:])
            await self._done(old)
            return
        event = self._event(batch)
        if len(event) > PAYLOAD_MAX_BYTES:
            await self._give_up(batch, SIZE, segment.invokes, None)
            self._rest_of(segment, [])
            await self._done(len(batch))
            return
        if self._options.tumbling_window_s and self.state.window is None:
            self.state.window = windows.window_at(batch[0].arrived_s, self._options.tumbling_window_s)
            event = self._event(batch)
        outcome = await self._context.invoke(event, len(batch))
        failed_at, window = self._read_answer(batch, outcome)
        self._context.told(ok=failed_at is None)
        if outcome.ok and failed_at is not None:
            self._context.counts.add(FAILED, len(batch) - failed_at)
        verdict = judge([one.number for one in batch], segment, failed_at, self._options)
        await self._settle(batch, segment, outcome, verdict, window)

    def _read_answer(self, batch: list[Record], outcome: Outcome) -> tuple[int | None, Window | None]:
        """Index of the first record that failed, None for none; and the window as it is now."""
        window = self.state.window
        if not outcome.ok:
            return 0, window
        failed_at: int | None = None
        answer = answer_of(outcome.payload)
        if self._options.reports_failures:
            failed_at = first_failure(answer, [one.sequence for one in batch])
        if window is not None and failed_at != 0:
            after = windows.with_answer(window, answer)
            if after is None:
                return 0, window
            return failed_at, after
        return failed_at, window

    async def _settle(
        self, batch: list[Record], segment: Segment, outcome: Outcome, verdict: Verdict, window: Window | None
    ) -> None:
        """Make a verdict last, in one write: position, retries, window."""
        gone = verdict.done + verdict.discarded
        if verdict.discarded:
            records = batch[verdict.done : gone]
            await self._give_up(records, RETRIES, segment.invokes + 1, outcome)
        state = self.state
        state.window = window
        state.segments[: len(state.segments[:1])] = verdict.segments
        self._context.counts.age(self._context.clock() - batch[-1].arrived_s)
        await self._done(gone)
        if verdict.segments and not verdict.at_once:
            await self._context.pause(self._backoff.next_s())
        elif gone:
            self._backoff.reset()

    async def _give_up(self, records: list[Record], condition: str, invokes: int, outcome: Outcome | None) -> None:
        given_up = GivenUp(records, condition, invokes, outcome, self._event(records))
        await give_up(self._context, self._shard.shard_id, self._shard.source.batch_info, given_up)

    def _rest_of(self, segment: Segment, batch: list[Record]) -> None:
        """The first batch that is sent again has lost records at its beginning."""
        if self.state.segments:
            left = [replace(segment, first=batch[0].number)] if batch else []
            self.state.segments[:1] = left

    async def _done(self, count: int) -> None:
        """So many records at the head of the queue are done with; keep that, with all else that has changed."""
        for _ in range(count):
            record = self.queue.popleft()
            self.queued_bytes -= len(record.text)
            self.state.done = record.number
        await self._shard.save()
        self._shard.sent()

    # ── windows ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _window_ends_before(self, record: Record) -> bool:
        window = self.state.window
        if window is None:
            return False
        # The option may have been taken away while a window was open.
        return not self._options.tumbling_window_s or not windows.belongs(window, record.arrived_s)

    async def _close_window(self) -> None:
        """The final invocation; tried again as MaximumRetryAttempts allows, and nothing goes on before it succeeds."""
        window = self.state.window
        assert window is not None
        event = self._event([], final=True)
        outcome = await self._context.invoke(event, 0)
        self._context.told(ok=outcome.ok)
        attempts = window.attempts + 1
        if outcome.ok:
            self.state.window = None
            self._backoff.reset()
        elif 0 <= self._options.maximum_retry_attempts < attempts:
            given_up = GivenUp([], RETRIES, attempts, outcome, event)
            await give_up(self._context, self._shard.shard_id, self._shard.source.batch_info, given_up)
            self.state.window = None
        else:
            self.state.window = replace(window, attempts=attempts)
        await self._shard.save()
        if self.state.window is not None:
            await self._context.pause(self._backoff.next_s())

    def _event(self, batch: list[Record], *, final: bool = False) -> bytes:
        """What the function gets."""
        text = b'{"Records":[' + b",".join([one.text for one in batch]) + b"]"
        window = self.state.window
        if window is not None:
            arn = self._context.mapping.source_arn
            text += b"," + windows.members(window, self._shard.shard_id, arn, final=final)
        return text + b"}"
