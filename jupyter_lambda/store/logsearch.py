"""Looks through a function's log in the order of time, a page at a time, so that nothing is lost or told twice.

Every line has a place, ``Position``: when it was written, and where it lies. Pages are what follows (or precedes) a
place, so that one goes on exactly where the last one ended, whatever was written, or rotated away, in between.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from .pattern import Matcher
from .segments import Run, Segment, merge, parse_line, segments

#: Milliseconds by which lines of different streams may be out of order within a segment.
DISORDER_MS = 60_000
#: What CloudWatch Logs counts for each event besides its message. Source: API Reference, "PutLogEvents".
EVENT_OVERHEAD_BYTES = 26


class Position(NamedTuple):
    """A line's place in a function's log."""

    timestamp_ms: int
    #: Of the segment's name.
    segment_ms: int
    number: int
    #: Byte in the segment.
    offset: int


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One line, and where it is."""

    position: Position
    stream: str
    message: str


@dataclass(frozen=True, slots=True)
class EventQuery:
    """What is looked for. Times in ms since the epoch, both inclusive."""

    since_ms: int | None = None
    until_ms: int | None = None
    #: Only lines after this one, oldest first, or before it, newest first.
    after: Position | None = None
    before: Position | None = None
    #: False: the newest that fit are kept, not the oldest.
    oldest_first: bool = True
    #: Streams' names as they stand in the files; None: all.
    streams: frozenset[bytes] | None = None
    stream_prefix: bytes | None = None
    pattern: Matcher | None = None
    limit: int = 10_000
    #: Bytes of messages of one page; one event comes in any case.
    size_bytes: int = 1024 * 1024

    def fits_run(self, run: Run) -> bool:
        """Whether a range of lines may hold something."""
        return (
            self._fits_stream(run.stream)
            and (self.since_ms is None or run.last_ms >= self.since_ms)
            and (self.until_ms is None or run.first_ms <= self.until_ms)
        )

    def fits(self, timestamp_ms: int, stream: bytes, message: bytes) -> bool:
        """Whether a line is one of those, its place aside."""
        return (
            (self.since_ms is None or timestamp_ms >= self.since_ms)
            and (self.until_ms is None or timestamp_ms <= self.until_ms)
            and self._fits_stream(stream)
            and (self.pattern is None or self.pattern.matches(message))
        )

    def _fits_stream(self, stream: bytes) -> bool:
        if self.stream_prefix is not None and not stream.startswith(self.stream_prefix):
            return False
        return self.streams is None or stream in self.streams


@dataclass(frozen=True, slots=True)
class EventPage:
    """Lines, oldest first within the page, and whether there are more in the direction of the search."""

    events: list[LogEvent]
    more: bool


class _Best:
    """Keeps the first so many events in the direction of the search, whatever order they are found in."""

    def __init__(self, query: EventQuery) -> None:
        self._limit, self._size_bytes = query.limit, query.size_bytes
        self._sign = 1 if query.oldest_first else -1
        #: (place, negative so that the one that goes first is the smallest; size; stream, message)
        self._heap: list[tuple[tuple[int, ...], int, bytes, bytes]] = []
        self._kept_bytes = 0
        #: Nothing at or beyond this place may be kept any more: it would stand before what was let go.
        self._closed_from: tuple[int, ...] | None = None

    def offer(self, position: Position, stream: bytes, message: bytes) -> None:
        """Keep an event unless there are enough before it."""
        key = tuple(-self._sign * part for part in position)
        if self._closed_from is not None and key <= self._closed_from:
            return
        size = len(message) + EVENT_OVERHEAD_BYTES
        heapq.heappush(self._heap, (key, size, stream, message))
        self._kept_bytes += size
        while len(self._heap) > self._limit or (self._kept_bytes > self._size_bytes and len(self._heap) > 1):
            key, size, _, _ = heapq.heappop(self._heap)
            self._kept_bytes -= size
            self._closed_from = key

    @property
    def more(self) -> bool:
        """Whether anything was let go."""
        return self._closed_from is not None

    def beyond(self, timestamp_ms: int) -> bool:
        """Whether nothing around this time can be kept any more, disorder of the log included."""
        if self._closed_from is None:
            return False
        last_ms = -self._sign * self._closed_from[0]
        return self._sign * (timestamp_ms - last_ms) > DISORDER_MS

    def events(self) -> list[LogEvent]:
        """What was kept, oldest first."""
        places = [
            LogEvent(
                Position(*(-self._sign * part for part in key)),
                unquote(stream.decode()),
                message.decode("utf-8", "replace"),
            )
            for key, _, stream, message in self._heap
        ]
        return sorted(places, key=lambda event: event.position)


def search(directory: Path, query: EventQuery) -> EventPage:
    """One page of a function's log. Reads files: for a thread.

    Args:
        directory: The function's; need not exist.
    """
    best = _Best(query)
    found = segments(directory)
    later_ms: int | None = None
    for segment in found if query.oldest_first else reversed(found):
        first_ms = segment.first_ms
        if query.oldest_first and best.beyond(first_ms):
            break
        if not query.oldest_first and later_ms is not None and best.beyond(later_ms):
            break
        later_ms = first_ms
        if not query.oldest_first and query.since_ms is not None and _ends_before(found, segment, query.since_ms):
            break
        if query.until_ms is not None and first_ms - DISORDER_MS > query.until_ms:
            continue
        try:
            _search_segment(segment, query, best)
        except FileNotFoundError:  # rotated away in this moment
            continue
    return EventPage(best.events(), best.more)


def _ends_before(found: list[Segment], segment: Segment, since_ms: int) -> bool:
    """Whether all lines of a segment are older than a time, as the name of the one after it tells."""
    following = found.index(segment) + 1
    return following < len(found) and found[following].first_ms + DISORDER_MS < since_ms


def _search_segment(segment: Segment, query: EventQuery, best: _Best) -> None:
    segment_ms, number = (int(part) for part in segment.path.stem.split("-"))
    ranges = merge(run for run in segment.runs() if query.fits_run(run))
    for offset, line in _lines(segment, ranges):
        parsed = parse_line(line)
        if parsed is None:
            continue
        timestamp_ms, stream, _, message = parsed
        if query.oldest_first and best.beyond(timestamp_ms):
            return
        position = Position(timestamp_ms, segment_ms, number, offset)
        if query.after is not None and position <= query.after:
            continue
        if query.before is not None and position >= query.before:
            continue
        if query.fits(timestamp_ms, stream, message):
            best.offer(position, stream, message)


def _lines(segment: Segment, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
    """Byte and text of each line in ranges that begin and end with lines.

    Raises:
        FileNotFoundError: The segment is gone.
    """
    with segment.path.open("rb") as file:
        for start, end in ranges:
            file.seek(start)
            position = start
            for line in file:
                if position >= end:
                    break
                if not line.endswith(b"\n"):  # still being written
                    return
                yield position, line[:-1]
                position += len(line)
