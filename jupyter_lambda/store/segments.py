"""The files of one function's log.

``logs/<function>/<13 digits>-<4 digits>.log``: *segments*, named by the time of their first line, each holding lines of
all of the function's streams in the order in which they came::

    1763887479000 2026/11/23/[$LATEST]0f3c… 8a6c2f9e-… START RequestId: 8a6c2f9e-… Version: $LATEST

that is, milliseconds since the epoch, stream, request id ("-" outside an invocation), message. One file for all
streams, because a stream is an environment and most write a few lines only: thousands of small files would make the
cap, the search by time, and reading the newest lines slow. Stream names never become file names.

Beside each segment, ``<same name>.idx`` says where the lines of a request are, one line per request and write::

    8a6c2f9e-… 2026/11/23/[$LATEST]0f3c… 1763887479000 1763887479019 0 2381

request id, stream, first and last millisecond, first byte, and byte after the last. Between the two, lines of other
requests may lie. Looking for one request, one stream or one hour searches the index (at most a quarter of the log's
size, that of functions that print nothing themselves) and then reads only the ranges it names. It is derived: where it
is missing or short (the engine was killed between two writes), the rest of the segment is scanned. So that nothing is
ever appended behind such a gap, each start of the engine begins a new segment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_SEGMENT = re.compile(r"(\d{13,})-(\d{4,})\.log")
#: Bytes read at once when a segment is scanned.
_BLOCK_BYTES = 1024 * 1024


@dataclass(slots=True)
class Run:
    """Where lines of one request and stream lie in a segment. Times in ms, ``start`` and ``end`` in bytes."""

    request_id: bytes
    stream: bytes
    first_ms: int
    last_ms: int
    start: int
    end: int

    def encode(self) -> bytes:
        """The index's line."""
        return b"%b %b %d %d %d %d\n" % (
            self.request_id,
            self.stream,
            self.first_ms,
            self.last_ms,
            self.start,
            self.end,
        )

    @classmethod
    def decode(cls, line: bytes) -> Run | None:
        """The reverse; None for a line that a crash cut short."""
        parts = line.split(b" ")
        try:
            request_id, stream, *numbers = parts
            first_ms, last_ms, start, end = map(int, numbers)
        except ValueError:
            return None
        return cls(request_id, stream, first_ms, last_ms, start, end)


def parse_line(line: bytes) -> tuple[int, bytes, bytes, bytes] | None:
    """(ms, stream, request id, message) of a segment's line; None for one that a crash damaged."""
    parts = line.split(b" ", 3)
    if len(parts) != 4 or not parts[0].isdigit():
        return None
    return int(parts[0]), parts[1], parts[2], parts[3]


class Runs:
    """Collects the runs of one write, or of a segment that is being scanned."""

    def __init__(self) -> None:
        self._runs: dict[tuple[bytes, bytes], Run] = {}

    def add(self, request_id: bytes, stream: bytes, first_ms: int, last_ms: int, start: int, end: int) -> None:
        """Count in some lines."""
        run = self._runs.get((request_id, stream))
        if run is None:
            self._runs[(request_id, stream)] = Run(request_id, stream, first_ms, last_ms, start, end)
        else:
            run.first_ms = min(run.first_ms, first_ms)
            run.last_ms = max(run.last_ms, last_ms)
            run.end = end

    def encode(self) -> bytes:
        """All of them as lines of the index; the last one says how far the index reaches."""
        return b"".join(run.encode() for run in sorted(self._runs.values(), key=lambda run: run.end))

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of a log, and its index."""

    path: Path

    @property
    def index_path(self) -> Path:
        """Where its index is."""
        return self.path.with_suffix(".idx")

    @property
    def first_ms(self) -> int:
        """When its first line was written, as its name tells."""
        return int(self.path.name.partition("-")[0])

    def size_bytes(self) -> int:
        """Of the segment and its index; 0 once it is gone."""
        total = 0
        for path in (self.path, self.index_path):
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue
        return total

    def remove(self) -> None:
        """Delete both files."""
        self.path.unlink(missing_ok=True)
        self.index_path.unlink(missing_ok=True)

    def runs(self, request_id: bytes | None = None) -> list[Run]:
        """Its index, or only the entries of one request; completed from the segment where it is missing or short.

        Raises:
            FileNotFoundError: The segment is gone.
        """
        size_bytes = self.path.stat().st_size
        try:
            data = self.index_path.read_bytes()
        except FileNotFoundError:
            data = b""
        whole = data[: data.rfind(b"\n") + 1]
        last = Run.decode(whole[whole.rfind(b"\n", 0, -1) + 1 : -1])
        covered = last.end if last else 0
        lines = whole.splitlines() if request_id is None else _lines_starting(whole, request_id + b" ")
        runs = [run for line in lines if (run := Run.decode(line))]
        if covered < size_bytes:
            runs += [run for run in self.scan(covered) if request_id in (None, run.request_id)]
        return runs

    def scan(self, start: int) -> Runs:
        """The runs of everything from a byte on, which must begin a line."""
        runs = Runs()
        position = start
        with self.path.open("rb") as file:
            file.seek(start)
            for line in file:
                end = position + len(line)
                if parsed := parse_line(line.rstrip(b"\n")):
                    runs.add(parsed[2], parsed[1], parsed[0], parsed[0], position, end)
                position = end
        return runs

    def lines(self, ranges: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """Lines in byte ranges that begin and end with lines, the last range and the last line first.

        Raises:
            FileNotFoundError: The segment is gone.
        """
        with self.path.open("rb") as file:
            for start, end in reversed(list(ranges)):
                rest, newest = b"", True
                while start < end:
                    begin = max(start, end - _BLOCK_BYTES)
                    file.seek(begin)
                    block = file.read(end - begin) + rest
                    end = begin
                    lines = block.split(b"\n")
                    if newest:
                        # Empty after the last newline; else a line that is being written, or that a crash cut short.
                        lines.pop()
                        newest = False
                    # The first one may have begun in the block before.
                    rest = lines.pop(0) if begin > start else b""
                    yield from (line for line in reversed(lines) if line)


def segments(directory: Path) -> list[Segment]:
    """The segments of a function, oldest first; none where there is no directory."""
    try:
        names = [path.name for path in directory.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [(int(match[1]), int(match[2]), name) for name in names if (match := _SEGMENT.fullmatch(name))]
    return [Segment(directory / name) for _, _, name in sorted(found)]


def merge(runs: Iterable[Run]) -> list[tuple[int, int]]:
    """The byte ranges of runs, ascending, those that touch or overlap joined."""
    ranges: list[tuple[int, int]] = []
    for start, end in sorted((run.start, run.end) for run in runs):
        if ranges and start <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(end, ranges[-1][1]))
        else:
            ranges.append((start, end))
    return ranges


def _lines_starting(data: bytes, prefix: bytes) -> list[bytes]:
    """The lines of an index that begin with something, without splitting it all."""
    data, needle = b"\n" + data, b"\n" + prefix
    lines = []
    position = data.find(needle)
    while position >= 0:
        end = data.find(b"\n", position + 1)
        if end < 0:
            break
        lines.append(data[position + 1 : end])
        position = data.find(needle, end)
    return lines
