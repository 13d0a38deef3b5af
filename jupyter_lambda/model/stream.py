"""A function's answer on its way while the function still runs: from its sandbox to whoever reads.

Who writes waits for a slow reader, so that little is held here. A reader that goes away stops nothing: the function
runs on, as on AWS, and what it still writes is dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Self

from jupyter_lambda.errors import LambdaError

if TYPE_CHECKING:
    from .invocation import InvocationResult

#: Bytes that may wait for the reader before the writer does.
AHEAD_MAX_BYTES = 256 * 1024


class ResponseStream:
    """One answer. All methods are for the event loop's thread; one writes, one reads."""

    def __init__(self) -> None:
        #: What the runtime said the answer is; None until it has begun.
        self.content_type: str | None = None
        #: How the invocation ended, or why it was refused; None while it runs.
        self.outcome: InvocationResult | LambdaError | None = None
        #: Bytes written so far.
        self.size_bytes = 0
        self._chunks: deque[bytes] = deque()
        self._ahead_bytes = 0
        self._abandoned = False
        self._changed: list[asyncio.Future[None]] = []

    # --- the function's side

    @property
    def begun(self) -> bool:
        """True from the answer's head on."""
        return self.content_type is not None

    def begin(self, content_type: str) -> None:
        """The answer begins."""
        self.content_type = content_type
        self._wake()

    async def write(self, chunk: bytes) -> None:
        """Another piece; returns when there is room for more."""
        self.size_bytes += len(chunk)
        if chunk and not self._abandoned:
            self._chunks.append(chunk)
            self._ahead_bytes += len(chunk)
            self._wake()
        while self._ahead_bytes > AHEAD_MAX_BYTES and not self._abandoned and self.outcome is None:
            await self._change()

    def end(self, outcome: InvocationResult | LambdaError) -> None:
        """The invocation is over."""
        self.outcome = outcome
        self._wake()

    # --- the reader's side

    async def opened(self) -> None:
        """Until the answer begins, or the invocation is over without one.

        Raises:
            LambdaError: It was refused, or the engine failed before the answer began.
        """
        while not self.begun and self.outcome is None:
            await self._change()
        if not self.begun and isinstance(self.outcome, LambdaError):
            raise self.outcome

    async def read(self) -> bytes:
        """What has come, waiting for the first byte of it; b"" once the invocation is over and all is read."""
        while not self._chunks and self.outcome is None:
            await self._change()
        data = b"".join(self._chunks)
        self._clear()
        return data

    def abandon(self) -> None:
        """Nobody reads any more."""
        self._abandoned = True
        self._clear()

    # ---

    def _clear(self) -> None:
        self._chunks.clear()
        if self._ahead_bytes:
            self._ahead_bytes = 0
            self._wake()

    async def _change(self) -> None:
        changed = asyncio.get_running_loop().create_future()
        self._changed.append(changed)
        await changed

    def _wake(self) -> None:
        waiting, self._changed = self._changed, []
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)


class Reading:
    """What is made of a stream for its reader; closing it, begun or not, gives the stream up."""

    def __init__(self, stream: ResponseStream, pieces: AsyncGenerator[bytes, None]) -> None:
        self._stream = stream
        self._pieces = pieces

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._pieces)

    async def aclose(self) -> None:
        """Nobody reads any more."""
        self._stream.abandon()
        await self._pieces.aclose()
