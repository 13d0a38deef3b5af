"""Messages that a poller has received and not yet dealt with: kept invisible for as long as that takes.

A queue's visibility timeout counts from the reception; a window that fills, or a function that runs for longer, would
let somebody else have the messages. So they are extended every half of it, until they are deleted or given back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from jupyter_lambda.triggers.queue import Queue

from .sqs_records import Message

log = logging.getLogger(__name__)

#: Seconds of the shortest extension, whatever the queue's own timeout.
EXTENSION_MIN_S = 10


class Hold:
    """One batch, from its first reception on. ``end`` it in any case."""

    def __init__(self, queue: Queue, visibility_s: int) -> None:
        self._queue = queue
        #: The queue's own visibility timeout.
        self.visibility_s = visibility_s
        self.messages: list[Message] = []
        self._loop = asyncio.get_running_loop()
        self._since_s = self._loop.time()
        self._extended = False
        self._keeping: asyncio.Task[None] | None = None

    def add(self, messages: Sequence[Message]) -> None:
        """More messages; the first ones start the clock."""
        if not self.messages:
            self._since_s = self._loop.time()
        self.messages += messages
        if self._keeping is None:
            self._keeping = self._loop.create_task(self._keep(), name="visibility of messages")

    @property
    def left_s(self) -> float:
        """Seconds until the first message would be visible again without any extension; not negative."""
        return max(0.0, self._since_s + self.visibility_s - self._loop.time())

    async def end(self) -> None:
        """Extend no more."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None

    async def delete(self, messages: Sequence[Message]) -> int:
        """Done with: they leave the queue. Returns how many did."""
        refused = await self._queue.delete(_handles(messages))
        gone = {message.message_id for message in messages}
        self.messages = [message for message in self.messages if message.message_id not in gone]
        return len(messages) - len(refused)

    async def give_back(self, messages: Sequence[Message]) -> None:
        """Let others have them at once."""
        await self._queue.change_visibility(_handles(messages), 0)

    async def let_return(self, messages: Sequence[Message]) -> None:
        """Let them be visible again when the queue's own timeout, counted from their reception, has run out."""
        if self._extended:
            await self._queue.change_visibility(_handles(messages), round(self.left_s))

    async def keep_until_due(self, messages: Sequence[Message], stopping: asyncio.Event) -> None:
        """As ``let_return``, but in their order: one after the other, not whenever the queue gets to it."""
        left_s = self.left_s
        await self._queue.change_visibility(_handles(messages), round(left_s) + EXTENSION_MIN_S)
        try:
            async with asyncio.timeout(left_s):
                await stopping.wait()
        except TimeoutError:
            await self.give_back(messages)
        else:
            await self._queue.change_visibility(_handles(messages), round(self.left_s))

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(max(0.5, self.visibility_s / 2))
            try:
                await self._queue.change_visibility(_handles(self.messages), max(self.visibility_s, EXTENSION_MIN_S))
            except Exception as error:  # noqa: BLE001 - botocore's and the network's; what comes of it is at least once
                log.warning("messages of %s could not be kept invisible: %s", self._queue.url, error)
            else:
                self._extended = True


def _handles(messages: Sequence[Message]) -> list[str]:
    return [message.receipt_handle for message in messages]
