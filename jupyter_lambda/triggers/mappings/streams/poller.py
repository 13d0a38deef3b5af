"""The shards of one stream for one mapping: found, put in order, read."""

from __future__ import annotations

import asyncio
import logging

from jupyter_lambda.triggers.mappings.context import Context, SourceProblem

from .dynamodb import DynamoDbSource
from .kinesis import KinesisSource
from .shard import ShardReader
from .source import ABSENT, Shard, Source, Start, Stream, code_of
from .state import ShardState

log = logging.getLogger(__name__)

#: Seconds between looks for new shards; a shard that ends is a reason to look at once.
LIST_EVERY_S = 10.0
#: In place of a shard id: what is kept of the stream itself.
_STREAM = ""


class StreamPoller:
    """A ``Poller``."""

    def __init__(self, context: Context, source: Source | None = None) -> None:
        self._context = context
        self._uuid = context.mapping.uuid
        self._source: Source = source or _source(context)
        self._states: dict[str, ShardState] = {}
        self._readers: dict[str, ShardReader] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._retention_s = 0.0

    async def check(self) -> None:
        """Whether there is such a stream."""
        await self._describe()

    async def prepare(self) -> None:
        """Fix where each shard begins, unless that was done for this stream before."""
        stream = await self._describe()
        saved = self._context.rows.shards(self._uuid)
        known = saved.get(_STREAM, {}).get("incarnation")
        if known == stream.incarnation:
            return
        if known is not None:
            log.warning("%s is another stream now: it is read from its beginning", self._context.mapping.trigger)
        shards = await self._source.shards()
        states = await asyncio.gather(*(self._first_state(shard, again=known is not None) for shard in shards))
        rows = {shard.shard_id: state.to_json() for shard, state in zip(shards, states, strict=True)}
        rows[_STREAM] = {"incarnation": stream.incarnation}
        await self._context.rows.save_shards(self._uuid, rows, forget=set(saved) - set(rows))

    async def run(self) -> None:
        """Read all shards, children after their parents."""
        await self.prepare()
        self._retention_s = (await self._describe()).retention_s
        saved = self._context.rows.shards(self._uuid)
        self._states = {name: ShardState.from_json(body) for name, body in saved.items() if name != _STREAM}
        wake = asyncio.Event()
        self._context.on_stop(wake.set)
        try:
            while not self._context.stopping.is_set():
                await self._look(wake)
                if not self._context.stopping.is_set():
                    await _wait(wake, LIST_EVERY_S)
                wake.clear()
        finally:
            self._context.stop()
            await self._finish()

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _look(self, wake: asyncio.Event) -> None:
        """List the shards, begin those whose turn it is."""
        self._collect()
        if self._context.stopping.is_set():
            return
        listed = await self._source.shards()
        new = {shard.shard_id: shard for shard in listed if shard.shard_id not in self._states}
        present = {shard.shard_id for shard in listed}
        gone = [name for name, state in self._states.items() if state.finished and name not in present]
        for name, shard in new.items():
            self._states[name] = ShardState(Start("TRIM_HORIZON"), shard.parents)
        if new or gone:
            rows = {name: self._states[name].to_json() for name in new}
            await self._context.rows.save_shards(self._uuid, rows, forget=gone)
        for name in gone:
            del self._states[name]
        closed = {shard.shard_id for shard in listed if shard.closed}
        for name, reader in self._readers.items():
            reader.closed = name in closed
        for name, state in self._states.items():
            if name not in self._tasks and not state.finished and self._parents_finished(state):
                self._begin(name, state, wake, closed=name in closed)

    def _parents_finished(self, state: ShardState) -> bool:
        return all(name not in self._states or self._states[name].finished for name in state.parents)

    def _begin(self, name: str, state: ShardState, wake: asyncio.Event, *, closed: bool) -> None:
        reader = ShardReader(self._context, self._source, name, state, self._retention_s)
        reader.closed = closed
        self._readers[name] = reader
        task = asyncio.create_task(reader.run(), name=f"{self._context.mapping.trigger} {name}")
        task.add_done_callback(lambda _: wake.set())
        self._tasks[name] = task

    def _collect(self) -> None:
        """Raises what ended a shard's task before its time."""
        for name in [name for name, task in self._tasks.items() if task.done()]:
            task = self._tasks.pop(name)
            del self._readers[name]
            task.result()

    async def _finish(self) -> None:
        """What is in flight is done first; cancelled, it is cancelled too."""
        try:
            if self._tasks:
                await asyncio.wait(self._tasks.values())
            self._collect()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _describe(self) -> Stream:
        try:
            return await self._source.describe()
        except Exception as error:
            if code_of(error) in ABSENT:
                raise SourceProblem(f"Stream not found: {self._context.mapping.source_arn}") from error
            raise

    async def _first_state(self, shard: Shard, *, again: bool) -> ShardState:
        options = self._context.options
        if again or options.starting_position == "TRIM_HORIZON":
            return ShardState(Start("TRIM_HORIZON"), shard.parents)
        if options.starting_position == "AT_TIMESTAMP":
            return ShardState(Start("AT_TIMESTAMP", timestamp_s=options.starting_timestamp_s or 0.0), shard.parents)
        if shard.closed:
            return ShardState(Start("TRIM_HORIZON"), shard.parents, finished=True)
        return ShardState(await self._source.tip(shard.shard_id), shard.parents)


def _source(context: Context) -> Source:
    return KinesisSource(context) if context.mapping.kind == "kinesis" else DynamoDbSource(context)


async def _wait(wake: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await wake.wait()
    except TimeoutError:
        return
