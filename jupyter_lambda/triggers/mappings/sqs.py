"""An SQS queue, read for a function.

Collectors receive messages and make batches of them; each batch is a task of its own: invoke, delete what succeeded,
let the rest return. At least one collector polls as long as another batch may begin, more while polls come back full.
The queue itself is the memory: what is not deleted comes again, and its own RedrivePolicy says how often.

Source: AWS Lambda Developer Guide, "Using Lambda with Amazon SQS".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any

from jupyter_lambda.errors import InvalidParameterValueException, LambdaError
from jupyter_lambda.model import limits
from jupyter_lambda.triggers.queue import BATCH_MAX, Attributes, Queue, first_of, is_absent, is_aws, may_leave

from .context import Context, SourceProblem, Stopped, Throttled
from .counts import DELETED, FAILED, FILTERED, POLLED
from .sqs_failures import failed
from .sqs_groups import BUSY_S, Groups
from .sqs_hold import Hold
from .sqs_records import ENVELOPE_BYTES, Message, message, payload, record
from .sqs_scale import Scale

log = logging.getLogger(__name__)

#: Collectors at once, of a standard queue; groups of a FIFO queue are kept apart by one.
COLLECTORS_MAX = 4
#: Seconds between two looks at the queue's attributes.
ATTRIBUTES_EVERY_S = 30.0
#: Seconds between polls that don't wait: of a FIFO queue some of whose groups are busy, or of one that is at rest.
BUSY_POLL_S, RESTING_POLL_S = 0.3, 0.5
#: Seconds of a window that are not worth another poll.
WINDOW_END_S = 0.01
#: Seconds between attempts to tell the queue what has become of a batch, and how many there are.
SETTLE_PAUSE_S, SETTLE_ATTEMPTS = 1.0, 5
#: Seconds of the pause before a batch is given back because the function is throttled.
THROTTLED_PAUSE_S = 5.0


class SqsPoller:
    """See ``Poller``."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._options = context.options
        self._arn = context.mapping.source_arn
        self._scale = Scale(self._options.maximum_concurrency)
        self._batches: set[asyncio.Task[None]] = set()
        #: Collectors beside the first one.
        self._helpers: set[asyncio.Task[None]] = set()
        self._collecting = 0
        #: Set whenever a batch is done with.
        self._freed = asyncio.Event()
        self._looked_s = -ATTRIBUTES_EVERY_S

    async def check(self) -> None:
        """See ``Poller.check``; a queue's visibility timeout must be no shorter than the function's timeout."""
        await self._open()
        timeout_s = self._context.timeout_s()
        if self._attributes.visibility_s < timeout_s:
            raise InvalidParameterValueException(
                f"Queue visibility timeout: {self._attributes.visibility_s} seconds is less than Function timeout: "
                f"{timeout_s} seconds"
            )

    async def prepare(self) -> None:
        """Nothing: a queue has no position."""

    async def run(self) -> None:
        """See ``Poller.run``."""
        await self._open()
        self._groups = Groups(self._attributes, trusts_order=is_aws(self._context.cloud))
        try:
            await self._collect(first=True)
        finally:
            await self._finish()

    async def _finish(self) -> None:
        """Wait for what is under way; where there is no time for that, its messages come again."""
        try:
            while under_way := self._helpers | self._batches:
                await asyncio.wait(under_way)
        except asyncio.CancelledError:
            under_way = self._helpers | self._batches
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
            raise

    # ── the queue ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _open(self) -> None:
        try:
            self._queue = await Queue.find(self._context.cloud, self._arn)
            await self._look()
        except Exception as error:
            raise self._problem(error) from error

    async def _look(self) -> None:
        """Read the queue's attributes, if that was a while ago."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._looked_s < ATTRIBUTES_EVERY_S:
            return
        self._attributes: Attributes = await self._queue.attributes()
        self._looked_s = now_s
        self._context.counts.queue_depth = self._attributes.depth

    def _problem(self, error: Exception) -> Exception:
        if is_absent(error):
            return SourceProblem(f"the queue {self._arn} does not exist")
        if isinstance(error, LambdaError):
            return SourceProblem(error.message)
        return error

    # ── collecting ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _call_helper(self) -> None:
        helper = asyncio.create_task(self._help(), name=f"messages of {self._context.mapping.trigger}")
        self._helpers.add(helper)
        helper.add_done_callback(self._helpers.discard)

    async def _help(self) -> None:
        try:
            await self._collect(first=False)
        except Exception as error:  # noqa: BLE001 - the first collector meets it as well, and tells it
            log.info("%s: %s", self._context.mapping.trigger, error)

    async def _collect(self, *, first: bool) -> None:
        """Make batches until the poller stops; all but the first collector end with the flood."""
        stopping = self._context.stopping
        while not stopping.is_set():
            await self._slot()
            self._collecting += 1
            try:
                if stopping.is_set():
                    return
                hold, full = await self._batch()
            except Exception as error:
                raise self._problem(error) from error
            finally:
                self._collecting -= 1
            if hold.messages:
                self._begin(hold)
            else:
                await hold.end()
            if full and not self._attributes.fifo and len(self._helpers) < COLLECTORS_MAX - 1:
                self._call_helper()
            elif not full and not first:
                return

    async def _slot(self) -> None:
        """Wait until one more batch may be under way, or the poller stops."""
        while not self._context.stopping.is_set():
            if len(self._batches) + self._collecting < self._scale.allowed:
                return
            await self._wait_freed(None)

    async def _wait_freed(self, seconds: float | None) -> None:
        """Until a batch is done with, the poller stops, or that time is over."""
        self._freed.clear()
        await first_of(self._freed, self._context.stopping, seconds=seconds)

    async def _batch(self) -> tuple[Hold, bool]:
        """One batch, its messages held; empty where nothing came. The second value: the last poll came back full."""
        loop = asyncio.get_running_loop()
        await self._look()
        hold = Hold(self._queue, self._attributes.visibility_s)
        until_s = loop.time()
        size_bytes, full = ENVELOPE_BYTES, False
        try:
            while len(hold.messages) < self._options.batch_size and size_bytes < limits.PAYLOAD_MAX_BYTES:
                left_s = until_s - loop.time()
                if hold.messages and (left_s < WINDOW_END_S or self._context.stopping.is_set()):
                    break
                wanted = min(BATCH_MAX, self._options.batch_size - len(hold.messages))
                received = await self._poll(wanted, left_s if hold.messages else None)
                full = len(received) >= wanted
                if received and not hold.messages:
                    until_s = loop.time() + self._options.batching_window_s
                messages = await self._sift(received)
                fitting = await self._fit(messages, size_bytes)
                if fitting:
                    hold.add(fitting)
                    size_bytes += sum(len(one.data) + 1 for one in fitting)
                if len(fitting) < len(messages) or not hold.messages:
                    break
        except BaseException:
            await hold.end()
            raise
        return hold, full

    async def _poll(self, count: int, left_s: float | None) -> list[dict[str, Any]]:
        """One ReceiveMessage."""
        wait_s = self._queue.wait_s if left_s is None else min(self._queue.wait_s, int(left_s))
        if self._attributes.fifo and (self._groups.busy or not is_aws(self._context.cloud)):
            # moto spins while it waits for a group that is busy, and decides which are when a poll begins: the poll of
            # an engine that was killed meanwhile could take a message from between two others.
            wait_s = 0
        received = await self._queue.receive_until(self._context.stopping, count, wait_s, self._may_leave)
        if not received and wait_s == 0:
            pause_s = BUSY_POLL_S if self._groups.busy else RESTING_POLL_S
            await self._wait_freed(pause_s if left_s is None else min(pause_s, max(0.0, left_s)))
        return received

    def _may_leave(self) -> bool:
        return may_leave(self._context.cloud, draining=self._context.draining)

    async def _sift(self, received: Sequence[dict[str, Any]]) -> list[Message]:
        """What the function shall see of it; what the filters don't let through is deleted."""
        self._context.counts.add(POLLED, len(received))
        made = [record(one, queue_arn=self._arn, region=self._arn.split(":")[3]) for one in received]
        passing = [one for one in made if self._context.filters.accepts(one)]
        if len(passing) < len(made):
            kept = {one["messageId"] for one in passing}
            dropped = [one["receiptHandle"] for one in made if one["messageId"] not in kept]
            await self._queue.delete(dropped)
            self._context.counts.add(FILTERED, len(dropped))
        messages = [message(one) for one in passing]
        if not self._attributes.fifo:
            return messages
        taken, at_once, later = self._groups.take(messages)
        for refused, pause_s in ((at_once, 0), (later, BUSY_S)):
            if refused:
                await self._queue.change_visibility([one.receipt_handle for one in refused], pause_s)
        return taken

    async def _fit(self, messages: list[Message], size_bytes: int) -> list[Message]:
        """As many as the payload has room for; the rest goes back. What fits into none goes alone, and fails."""
        for at, one in enumerate(messages):
            is_first = at == 0 and size_bytes == ENVELOPE_BYTES
            size_bytes += len(one.data) + 1
            if size_bytes > limits.PAYLOAD_MAX_BYTES and not is_first:
                rest = messages[at:]
                self._groups.leave(rest)
                self._groups.returns(rest)
                await self._queue.change_visibility([each.receipt_handle for each in rest], 0)
                return messages[:at]
        return messages

    # ── one batch ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, hold: Hold) -> None:
        task = asyncio.create_task(self._run_batch(hold), name=f"batch of {self._context.mapping.trigger}")
        self._batches.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._batches.discard(task)
        self._freed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a batch of %s failed in the engine", self._context.mapping.trigger, exc_info=error)

    async def _run_batch(self, hold: Hold) -> None:
        batch = list(hold.messages)
        try:
            outcome = await self._context.invoke(payload(batch), len(batch), patience_s=hold.visibility_s)
            bad = batch
            if outcome.ok:
                bad = failed(outcome.payload, batch) if self._options.reports_failures else []
                self._context.counts.add(FAILED, len(bad))
            (self._scale.failed if bad else self._scale.worked)()
            self._context.told(ok=not bad)
            gone = {one.message_id for one in bad}
            await self._settle(hold, [one for one in batch if one.message_id not in gone], bad)
        except Stopped:
            await self._return_all(hold, batch)
        except Throttled as why:
            log.info("%s: messages go back to the queue: %s", self._context.mapping.trigger, why)
            self._scale.failed()
            with contextlib.suppress(Stopped):  # still held: received at once again, each round would count
                await self._context.pause(THROTTLED_PAUSE_S)
            await self._return_all(hold, batch)
        finally:
            self._groups.leave(batch)
            await hold.end()

    async def _settle(self, hold: Hold, good: list[Message], bad: list[Message]) -> None:
        """Delete what succeeded, then let the rest return; what the queue doesn't hear of comes again."""
        for attempt in range(SETTLE_ATTEMPTS):
            try:
                if good:
                    self._context.counts.add(DELETED, await hold.delete(good))
                    self._age(good)
                    self._groups.leave(good)
                    good = []
                if not bad:
                    return
                await hold.end()
                if not self._attributes.fifo:
                    await hold.let_return(bad)
                else:
                    self._groups.returns(bad)
                    await hold.keep_until_due(bad, self._context.stopping)
            except Exception as error:  # noqa: BLE001 - the network's and the service's
                self._context.tell(f"PROBLEM: {self._problem(error)}")
                if is_absent(error) or attempt == SETTLE_ATTEMPTS - 1:
                    log.warning("%s: messages will come again: %s", self._context.mapping.trigger, error)
                    return
                await asyncio.sleep(SETTLE_PAUSE_S)
            else:
                return

    async def _return_all(self, hold: Hold, batch: Sequence[Message]) -> None:
        await hold.end()
        try:
            self._groups.returns(batch)
            await hold.give_back(batch)
        except Exception as error:  # noqa: BLE001 - as above; they become visible by themselves
            log.info("%s: messages become visible later: %s", self._context.mapping.trigger, error)

    def _age(self, messages: Sequence[Message]) -> None:
        sent_ms = min(one.sent_ms for one in messages)
        if sent_ms:
            self._context.counts.iterator_age_ms = max(0.0, self._context.clock() * 1000 - sent_ms)
