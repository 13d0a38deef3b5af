"""Functions' logs: written behind the invocation, capped per function, searched by request, stream, time and pattern.

``append`` only puts a chunk on a list; within 100 ms a thread makes lines of the lists and writes them (``segments``
tells of the files and their index). Nothing here ever raises into an invocation: what can't be written is dropped, and
a line in the log says how much and why. Logs are not synced to disk: a power failure may cost the last seconds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from .listing import Listing
from .logsearch import EventPage, EventQuery, search
from .logwriter import Chunk, LogWriter, directory_name, token
from .pattern import Matcher, Pattern
from .segments import Run, Segment, merge, parse_line, segments

log = logging.getLogger(__name__)

#: Bytes of one function's log on disk.
CAP_BYTES = 64 * 1024 * 1024
#: Seconds from ``append`` until the bytes are in the file.
FLUSH_S = 0.1
#: Bytes per second that one function may log in the long run, and at once.
RATE_BYTES_S, BURST_BYTES = 8 * 1024 * 1024, 32 * 1024 * 1024
#: Bytes of all functions that may wait for a slow disk.
WAITING_MAX_BYTES = 128 * 1024 * 1024
#: Milliseconds by which lines of different streams may be out of order within a segment.
DISORDER_MS = 60_000


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line."""

    timestamp_ms: int
    stream: str
    #: None: written outside an invocation.
    request_id: str | None
    message: str


@dataclass(frozen=True, slots=True)
class LogStream:
    """One stream of a function's log, as far as it is kept. Times in milliseconds since the epoch."""

    name: str
    first_ms: int
    last_ms: int


@dataclass(slots=True)
class _Buffer:
    """What one function wrote since the last write, and how much more it may."""

    refilled_s: float
    budget_bytes: float
    chunks: list[Chunk] = field(default_factory=list)
    #: (stream, request id) → bytes dropped, and when the last of them.
    dropped: dict[tuple[str, str | None], tuple[int, int]] = field(default_factory=dict)
    #: Whether the flood is still on.
    dropping: bool = False


class Logs:
    """The logs of all functions. ``read`` and ``streams`` may be called in any thread, the rest in the loop's."""

    def __init__(
        self,
        directory: Path,
        *,
        clock: Callable[[], float] = time.time,
        cap_bytes: int = CAP_BYTES,
        rate_bytes_s: float = RATE_BYTES_S,
        burst_bytes: float = BURST_BYTES,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._rate_bytes_s, self._burst_bytes = rate_bytes_s, burst_bytes
        self._writer = LogWriter(directory, cap_bytes)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-logs")
        self._loop = asyncio.get_running_loop()
        self._buffers: dict[str, _Buffer] = {}
        self._dirty: set[str] = set()
        #: Invocations that have begun and written nothing yet, by request id: function, stream, START line, ms.
        self._begun: dict[str | None, tuple[str, str, bytes, int]] = {}
        self._waiting_bytes = 0
        #: Bytes handed to the writer since the start.
        self.written_bytes = 0
        self._listing = Listing(directory)
        self._timer: asyncio.TimerHandle | None = None
        self._writing: Future[bool] | None = None
        self._closed = False

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, function_name: str, stream: str, request_id: str, data: bytes, timestamp_ms: int) -> None:
        """Take the START line of an invocation: it is written with what follows, or at the latest after ``FLUSH_S``.

        An invocation that prints nothing is then one piece for the writer instead of two.
        """
        self._begun[request_id] = function_name, stream, data, timestamp_ms
        if self._timer is None:
            self._schedule()

    def end(self, function_name: str, stream: str, request_id: str, data: bytes, timestamp_ms: int) -> None:
        """Take the lines that end an invocation: END and REPORT."""
        begun = self._begun.pop(request_id, None)
        if begun is None:
            self._take(function_name, (stream, request_id, data, timestamp_ms, True, timestamp_ms))
        else:
            self._take(function_name, (stream, request_id, begun[2] + data, timestamp_ms, True, begun[3]))

    def append(
        self,
        function_name: str,
        stream: str,
        request_id: str | None,
        data: bytes,
        timestamp_ms: int,
        *,
        platform: bool = False,
    ) -> None:
        """Take what a function wrote; never raises, never blocks.

        Args:
            data: Any bytes, any number of lines; a line may come in several chunks.
            platform: The engine's own line (START, END, REPORT): begins a line of its own, not dropped in a flood.
        """
        if request_id in self._begun:
            self._put_start(request_id)
        self._take(function_name, (stream, request_id, data, timestamp_ms, platform, timestamp_ms))

    def _put_start(self, request_id: str | None) -> None:
        function_name, stream, data, timestamp_ms = self._begun.pop(request_id)
        self._take(function_name, (stream, request_id, data, timestamp_ms, True, timestamp_ms))

    def _take(self, function_name: str, chunk: Chunk) -> None:
        buffer = self._buffers.get(function_name)
        if buffer is None:
            buffer = self._buffers[function_name] = _Buffer(time.monotonic(), self._burst_bytes)
        stream, request_id, data, timestamp_ms, platform, _ = chunk
        size = len(data)
        self._dirty.add(function_name)
        if (size > buffer.budget_bytes and not platform) or self._waiting_bytes > WAITING_MAX_BYTES:
            before, _ = buffer.dropped.get((stream, request_id), (0, 0))
            buffer.dropped[stream, request_id] = before + size, timestamp_ms
            buffer.dropping = True
        else:
            if not platform:
                buffer.budget_bytes -= size
            self._waiting_bytes += size
            buffer.chunks.append(chunk)
        if self._timer is None:
            self._schedule()

    async def flush(self) -> None:
        """Return once everything appended so far can be read."""
        if self._closed:
            return
        await asyncio.wrap_future(self._submit(whole=True))

    async def trim(self, function_name: str, before_ms: int) -> None:
        """Delete what is older than a time, as far as whole segments are."""
        if not self._closed:
            await asyncio.wrap_future(self._thread.submit(self._writer.trim, function_name, before_ms))

    async def drop(self, function_name: str, until: str) -> int:
        """Delete segments up to one, by its file's name, to make room; returns bytes."""
        return (
            0
            if self._closed
            else await asyncio.wrap_future(self._thread.submit(self._writer.drop, function_name, until))
        )

    def delete(self, function_name: str) -> asyncio.Future[None]:
        """Remove a function's log, in order with the writes; need not be awaited."""
        buffer = self._buffers.pop(function_name, None)
        if buffer is not None:
            self._waiting_bytes -= sum(len(chunk[2]) for chunk in buffer.chunks)
        self._dirty.discard(function_name)
        for request_id in [r for r, begun in self._begun.items() if begun[0] == function_name]:
            del self._begun[request_id]
        if self._closed:
            done = self._loop.create_future()
            done.set_result(None)
            return done
        return asyncio.wrap_future(self._thread.submit(self._writer.delete, function_name))

    async def close(self) -> None:
        """Write what is there and close the files."""
        if self._closed:
            return
        await self.flush()
        # What is appended from here on is lost with the process.
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._thread.submit(self._writer.close)
        await asyncio.to_thread(self._thread.shutdown)

    def _schedule(self) -> None:
        if not self._closed:
            self._timer = self._loop.call_later(FLUSH_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._writing is not None and not self._writing.done():
            # The disk is slower than the functions; what comes meanwhile is bounded by WAITING_MAX_BYTES.
            self._schedule()
            return
        self._writing = self._submit(whole=False)
        self._writing.add_done_callback(self._written)
        if self._dirty:
            self._schedule()

    def _written(self, done: Future[bool]) -> None:
        """(in the writer's thread) Come again when beginnings of lines were kept back."""
        if done.cancelled() or done.exception() is not None or not done.result():
            return
        try:
            self._loop.call_soon_threadsafe(self._come_again)
        except RuntimeError:
            log.warning("the event loop ended before all logs were written")

    def _come_again(self) -> None:
        if self._timer is None:
            self._schedule()

    def _submit(self, *, whole: bool) -> Future[bool]:
        batch: dict[str, list[Chunk]] = {}
        now_s = time.monotonic()
        for request_id in list(self._begun):
            self._put_start(request_id)
        for name in list(self._dirty):
            buffer = self._buffers[name]
            chunks, buffer.chunks = buffer.chunks, []
            if buffer.dropped and (whole or not buffer.dropping):
                chunks += _notices(buffer, self._rate_bytes_s)
            if not buffer.dropped:
                self._dirty.discard(name)
            buffer.dropping = False
            earned = (now_s - buffer.refilled_s) * self._rate_bytes_s
            buffer.budget_bytes = min(self._burst_bytes, buffer.budget_bytes + earned)
            buffer.refilled_s = now_s
            if chunks:
                batch[name] = chunks
        size_bytes, self._waiting_bytes = self._waiting_bytes, 0
        self.written_bytes += size_bytes
        if size_bytes > WAITING_MAX_BYTES // 2:
            log.warning("%d bytes of logs in one write", size_bytes)
        return self._thread.submit(self._writer.write, batch, now_s, whole=whole)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def read(
        self,
        function_name: str,
        *,
        stream: str | None = None,
        request_id: str | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        pattern: str | None = None,
        limit: int = 10_000,
    ) -> list[LogLine]:
        """The newest lines that fit, in the order of time. What was appended in the last 100 ms needs ``flush`` first.

        By request id it takes milliseconds; a search by pattern through a whole log takes up to seconds: use a thread.

        Args:
            since_ms, until_ms: Both inclusive.
            pattern: See ``pattern``.
        Raises:
            ValidationException: The pattern can't be read.
        """
        query = _Query(
            stream=token(stream) if stream is not None else None,
            request_id=token(request_id) if request_id is not None else None,
            since_ms=since_ms,
            until_ms=until_ms,
            pattern=Pattern.parse(pattern) if pattern else None,
        )
        found: list[LogLine] = []
        later_ms: int | None = None
        for segment in reversed(segments(self._directory / directory_name(function_name))):
            if later_ms is not None and since_ms is not None and later_ms + DISORDER_MS < since_ms:
                break
            later_ms = segment.first_ms
            try:
                query.search(segment, found, limit)
            except FileNotFoundError:
                # Rotated away in this moment, and everything older with it.
                break
            if len(found) >= limit:
                break
        found.reverse()
        found.sort(key=lambda line: line.timestamp_ms)
        return found

    def search(self, function_name: str, query: EventQuery) -> EventPage:
        """A page of a function's log in the order of time, and whether there is more; see ``logsearch``."""
        return search(self._directory / directory_name(function_name), query)

    def functions(self) -> list[str]:
        """The functions that have a log, by name."""
        return self._listing.names()

    def known(self, function_name: str) -> bool:
        """Whether a function has a log."""
        return (self._directory / directory_name(function_name)).is_dir()

    def span(self, function_name: str) -> tuple[int | None, int]:
        """When a function's log begins, in ms since the epoch, None where it has none; and its bytes."""
        found = segments(self._directory / directory_name(function_name))
        return found[0].first_ms if found else None, sum(segment.size_bytes() for segment in found)

    def streams(self, function_name: str) -> list[LogStream]:
        """The streams of a function, the one written last first."""
        spans: dict[bytes, tuple[int, int]] = {}
        for segment in segments(self._directory / directory_name(function_name)):
            try:
                runs = segment.runs()
            except FileNotFoundError:
                continue
            for run in runs:
                first_ms, last_ms = spans.get(run.stream, (run.first_ms, run.last_ms))
                spans[run.stream] = min(first_ms, run.first_ms), max(last_ms, run.last_ms)
        ordered = sorted(spans.items(), key=lambda item: item[1][1], reverse=True)
        return [LogStream(unquote(name.decode()), *span) for name, span in ordered]


@dataclass(frozen=True, slots=True)
class _Query:
    """What ``read`` looks for, in the bytes of the files."""

    stream: bytes | None
    request_id: bytes | None
    since_ms: int | None
    until_ms: int | None
    pattern: Matcher | None

    def search(self, segment: Segment, found: list[LogLine], limit: int) -> None:
        """Add the lines of a segment that fit, newest first, until there are enough.

        Raises:
            FileNotFoundError: The segment is gone.
        """
        for line in segment.lines(self._ranges(segment)):
            parsed = parse_line(line)
            if parsed is None or not self._fits(*parsed):
                continue
            timestamp_ms, stream, request_id, message = parsed
            found.append(
                LogLine(
                    timestamp_ms,
                    unquote(stream.decode()),
                    None if request_id == b"-" else unquote(request_id.decode()),
                    message.decode("utf-8", "replace"),
                )
            )
            if len(found) >= limit:
                return

    def _ranges(self, segment: Segment) -> list[tuple[int, int]]:
        if (self.stream, self.request_id, self.since_ms, self.until_ms) == (None, None, None, None):
            return [(0, segment.path.stat().st_size)]
        return merge(run for run in segment.runs(self.request_id) if self._may_hold(run))

    def _may_hold(self, run: Run) -> bool:
        return (
            (self.stream is None or run.stream == self.stream)
            and (self.since_ms is None or run.last_ms >= self.since_ms)
            and (self.until_ms is None or run.first_ms <= self.until_ms)
        )

    def _fits(self, timestamp_ms: int, stream: bytes, request_id: bytes, message: bytes) -> bool:
        return (
            (self.request_id is None or request_id == self.request_id)
            and (self.stream is None or stream == self.stream)
            and (self.since_ms is None or timestamp_ms >= self.since_ms)
            and (self.until_ms is None or timestamp_ms <= self.until_ms)
            and (self.pattern is None or self.pattern.matches(message))
        )


def _notices(buffer: _Buffer, rate_bytes_s: float) -> list[Chunk]:
    """One line for each request that lost output to the flood control."""
    notices: list[Chunk] = []
    for (stream, request_id), (size, timestamp_ms) in buffer.dropped.items():
        text = (
            f"[jupyter_lambda] {size:,} bytes of output dropped: "
            f"the function logs more than {rate_bytes_s / 1048576:.0f} MiB/s\n"
        )
        notices.append((stream, request_id, text.encode(), timestamp_ms, True, timestamp_ms))
    buffer.dropped = {}
    return notices
