"""One subscription to the engine's changes, shared by all pages of a Jupyter server; each page at its own pace."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from jupyter_lambda.errors import LambdaError

from .keeper import EngineKeeper
from .subscription import subscribe

#: Characters of batches that are kept for pages that are slow, or come back.
KEPT_MAX_CHARS = 4_000_000
#: Invocations above which what a page has missed is told as sums by function.
SINGLE_MAX = 200
#: Seconds between looks at an engine that isn't ready, and before a lost subscription is tried again.
LOOK_S = 0.3
#: Seconds that the subscription outlives the last page, which may only be loading anew.
LINGER_S = 5.0
_INVOCATIONS = frozenset({"began", "ended", "throttled"})
#: What is added up in a function's sums; of ``run_ms_max`` the largest counts.
_LARGEST = "run_ms_max"


@dataclass(eq=False, slots=True)
class Page:
    """A page, and how far it has come."""

    #: ``seq`` of the last batch it was given, None: nothing yet; and the engine whose batch that was.
    seq: int | None = None
    epoch: str | None = None
    #: What it was last told of the engine's process.
    keeper: str = ""
    wake: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Batch:
    before: int
    seq: int
    text: str


class Feed:
    """Pages ``join``, ask for their ``next`` message, and ``leave``; while there is one the engine is listened to."""

    def __init__(self, keeper: EngineKeeper, log: logging.Logger | logging.LoggerAdapter[Any]) -> None:
        self._keeper = keeper
        self._log = log
        self._pages: set[Page] = set()
        self._batches: deque[_Batch] = deque()
        self._chars = 0
        #: The last snapshot, as the engine told it; usable while all batches since are there.
        self._base: _Batch | None = None
        self._epoch: str | None = None
        self._seq: int | None = None
        self._task: asyncio.Task[None] | None = None
        self._fresh = asyncio.Event()

    def join(self, page: Page) -> None:
        """A page has opened."""
        self._pages.add(page)
        if self._task is None or self._task.done():
            if self._seq is None and page.seq is not None:
                self._seq, self._epoch = page.seq, page.epoch
            self._task = asyncio.create_task(self._run(), name="jupyter_lambda live")
        page.wake.set()

    def leave(self, page: Page) -> None:
        """It has closed."""
        self._pages.discard(page)

    async def close(self) -> None:
        """Listen no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def next(self, page: Page) -> str:
        """The page's next message, as soon as there is one; what it has missed meanwhile is in one."""
        while True:
            page.wake.clear()
            said = json.dumps(self._keeper.describe())
            if said != page.keeper:
                page.keeper = said
                return json.dumps({"keeper": json.loads(said)})
            text = self._pending(page)
            if text is not None:
                return text
            await page.wake.wait()

    def _pending(self, page: Page) -> str | None:
        if self._seq is None or (self._base is None and not self._batches and page.seq is None):
            if page.seq is None and self._seq is not None:
                self._fresh.set()
            return None
        if page.epoch == self._epoch and page.seq is not None:
            if page.seq == self._seq:
                return None
            missed = [batch for batch in self._batches if batch.before >= page.seq]
            if missed and missed[0].before == page.seq:
                return self._given(page, merged([batch.text for batch in missed]))
        base = self._base
        if base is None or (self._batches and self._batches[0].before > base.seq):
            self._fresh.set()
            return None
        since = [batch.text for batch in self._batches if batch.before >= base.seq]
        return self._given(page, merged([base.text, *since]))

    def _given(self, page: Page, text: str) -> str:
        page.seq, page.epoch = self._seq, self._epoch
        return text

    # --- the subscription

    async def _run(self) -> None:
        told, alone_s = "", 0.0
        while alone_s < LINGER_S:
            alone_s = 0.0 if self._pages else alone_s + LOOK_S
            said = json.dumps(self._keeper.describe())
            if said != told:
                told = said
                self._wake()
            if self._keeper.state in ("ready", "elsewhere"):
                try:
                    await self._listen()
                except (OSError, TimeoutError) as exc:
                    self._log.debug("jupyter_lambda: %s", exc)
                    self._keeper.suspect()
                except LambdaError as exc:
                    self._log.debug("jupyter_lambda: %s", exc)
            await asyncio.sleep(LOOK_S)

    async def _listen(self) -> None:
        """Until the engine ends, a page needs a snapshot, or nobody has been listening for a while."""
        connection = await self._keeper.connection()
        self._wake()
        after = None if self._fresh.is_set() else self._seq
        self._fresh.clear()
        reading = asyncio.create_task(self._read(connection, after), name="jupyter_lambda live reading")
        fresh = asyncio.create_task(self._fresh.wait())
        alone = asyncio.create_task(self._alone())
        try:
            await asyncio.wait({reading, fresh, alone}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
        finally:
            for task in (reading, fresh, alone):
                task.cancel()
            await asyncio.gather(reading, fresh, alone, return_exceptions=True)

    async def _alone(self) -> None:
        left_s = LINGER_S
        while left_s > 0:
            await asyncio.sleep(LOOK_S)
            left_s = LINGER_S if self._pages else left_s - LOOK_S

    async def _read(self, connection: Any, after: int | None) -> None:
        async with aclosing(subscribe(connection, after, self._epoch)) as batches:
            async for batch in batches:
                self._take(batch)

    def _take(self, batch: dict[str, Any]) -> None:
        seq = int(batch["seq"])
        if "reset" in batch:
            self._batches.clear()
            self._chars = 0
            self._base = _Batch(seq, seq, json.dumps(batch))
            self._seq, self._epoch = seq, batch["epoch"]
        elif self._seq is not None and seq > self._seq:
            kept = _Batch(self._seq, seq, json.dumps(batch))
            self._batches.append(kept)
            self._chars += len(kept.text)
            while self._chars > KEPT_MAX_CHARS and len(self._batches) > 1:
                self._chars -= len(self._batches.popleft().text)
            self._seq = seq
        self._wake()

    def _wake(self) -> None:
        for page in self._pages:
            page.wake.set()


def merged(texts: Iterable[str]) -> str:
    """Several batches as one; the first may be a snapshot."""
    texts = list(texts)
    if len(texts) == 1:
        return texts[0]
    batches = [json.loads(text) for text in texts]
    events = [event for batch in batches for event in batch.get("events", ())]
    whole: dict[str, Any] = {key: value for batch in batches for key, value in batch.items() if key in ("seq", "epoch")}
    if "reset" in batches[0]:
        whole["reset"] = batches[0]["reset"]
    sums: dict[str, dict[str, float]] = {}
    for batch in batches:
        for name, one in batch.get("sums", {}).items():
            _add(sums.setdefault(name, {}), one)
    if sum(event["kind"] in _INVOCATIONS for event in events) > SINGLE_MAX:
        for event in events:
            if event["kind"] in _INVOCATIONS:
                _add(sums.setdefault(event["function"], {}), _sums_of(event))
        events = [event for event in events if event["kind"] not in _INVOCATIONS]
    whole["events"] = events
    if sums:
        whole["sums"] = sums
    running = {name: count for batch in batches for name, count in batch.get("running", {}).items()}
    if running:
        whole["running"] = running
    return json.dumps(whole)


def _sums_of(event: dict[str, Any]) -> dict[str, float]:
    if event["kind"] != "ended":
        return {event["kind"]: 1}
    found = {"ended": 1, "errors": int(event["status"] != "success"), "cold": int(event["cold"])}
    return {**found, "run_ms": event["run_ms"], _LARGEST: event["run_ms"]}


def _add(sums: dict[str, float], more: dict[str, float]) -> None:
    for name, value in more.items():
        before = sums.get(name, 0)
        sums[name] = max(before, value) if name == _LARGEST else before + value
