"""The thread's side of the logs: chunks to lines, lines to segments, rotation, the cap, and what a full disk costs."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import shutil
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from .segments import Runs, Segment, segments
from .unpack import write_all

log = logging.getLogger(__name__)

#: Bytes of one line; longer ones are cut into several, as CloudWatch Logs does.
LINE_MAX_BYTES = 256 * 1024
#: Logs of functions whose files are kept open; two descriptors each.
OPEN_MAX = 64
#: Of every cap, how many segments: the oldest one of them is what goes when the cap is reached.
SEGMENTS_PER_CAP = 8
#: Seconds after which the beginning of a line is written without its end.
REST_S = 0.5

#: Stream, request id, what was written, milliseconds since the epoch, whether it begins a line of its own, and the time
#: of its first line where that is another (a START that was written together with its END).
Chunk = tuple[str, str | None, bytes, int, bool, int]
#: One or more lines as they stand in the segment, how many, their stream and request id, times of the first and last.
Piece = tuple[bytes, int, bytes, bytes, int, int]


def token(text: str | None) -> bytes:
    """A stream or request id as one word of a line."""
    if not text:
        return b"-"
    # Request ids: too many to remember, and nothing to quote.
    return text.encode() if text.isascii() and text.replace("-", "").isalnum() else _quoted(text)


@functools.lru_cache(maxsize=1_024)
def _quoted(text: str) -> bytes:
    return quote(text, safe="/$[]:@!,;=+~()'*&").encode()


def directory_name(function_name: str) -> str:
    """A function's directory: its name, unless that is no good as one."""
    name = quote(function_name, safe="").replace(".", "%2E")
    return name if 0 < len(name) <= 200 else f"%{hashlib.sha256(function_name.encode()).hexdigest()}"


@dataclass(slots=True)
class _Rest:
    """The beginning of a line whose end hasn't come yet."""

    request_id: str | None
    data: bytes
    timestamp_ms: int
    since_s: float


class FunctionLog:
    """The segments of one function, and the one that is being written."""

    def __init__(self, directory: Path, cap_bytes: int) -> None:
        self._directory = directory
        self._cap_bytes = cap_bytes
        self._segment: Segment | None = None
        self._descriptors: tuple[int, int] | None = None
        self._size_bytes = 0
        self._index_bytes = 0
        self._closed: deque[tuple[Segment, int]] = deque((s, s.size_bytes()) for s in segments(directory))
        self._rests: dict[str, _Rest] = {}
        #: Lines that could not be written, and why, since the last one that could.
        self._lost, self._reason = 0, ""

    def write(self, chunks: Iterable[Chunk], now_s: float, *, whole: bool) -> bool:
        """Append chunks; True when beginnings of lines are kept back.

        Args:
            now_s: Of a steady clock, to tell how long the beginning of a line has waited.
            whole: Write them too.
        """
        pieces: list[Piece] = []
        for chunk in chunks:
            self._split(chunk, now_s, pieces)
        for stream, rest in list(self._rests.items()):
            if whole or now_s - rest.since_s >= REST_S:
                pieces.append(_line(token(stream), token(rest.request_id), rest.timestamp_ms, rest.data))
                del self._rests[stream]
        if pieces:
            self._write_pieces(pieces)
        return bool(self._rests)

    def _split(self, chunk: Chunk, now_s: float, pieces: list[Piece]) -> None:
        stream, request_id, data, timestamp_ms, own_line, first_ms = chunk
        words = token(stream), token(request_id)
        rest = self._rests.pop(stream, None)
        if rest is None and data.endswith(b"\n") and len(data) <= LINE_MAX_BYTES and b"\r" not in data:
            # Whole lines, as nearly always: made in one go.
            start = b"%d %b %b " % (timestamp_ms, *words)
            text = b"%b%b\n" % (start, data[:-1].replace(b"\n", b"\n" + start))
            if first_ms != timestamp_ms:
                text = b"%d%b" % (first_ms, text[text.index(b" ") :])
            pieces.append((text, data.count(b"\n"), *words, first_ms, timestamp_ms))
            return
        if rest is not None and rest.request_id == request_id and not own_line:
            data, first_ms = rest.data + data, rest.timestamp_ms
        elif rest is not None:
            pieces.append(_line(token(stream), token(rest.request_id), rest.timestamp_ms, rest.data))
        lines = data.split(b"\n")
        last = lines.pop()
        for line in lines:
            message = line.removesuffix(b"\r")
            starts = range(0, len(message), LINE_MAX_BYTES) or (0,)
            pieces.extend(_line(*words, first_ms, message[start : start + LINE_MAX_BYTES]) for start in starts)
            first_ms = timestamp_ms
        while len(last) >= LINE_MAX_BYTES:
            pieces.append(_line(*words, first_ms, last[:LINE_MAX_BYTES]))
            last = last[LINE_MAX_BYTES:]
        if last:
            self._rests[stream] = _Rest(request_id, last, first_ms, now_s)

    def _write_pieces(self, pieces: list[Piece]) -> None:
        limit = max(1, self._cap_bytes // SEGMENTS_PER_CAP)
        if self._lost > 0:
            _, _, stream, request_id, timestamp_ms, _ = pieces[0]
            notice = f"[jupyter_lambda] {self._lost} lines of the log could not be written: {self._reason}"
            pieces.insert(0, _line(stream, request_id, timestamp_ms, notice.encode()))
            # Should this write fail as well, the notice is not to be counted with the lines that it loses.
            self._lost -= 1
        block: list[bytes] = []
        first_ms = pieces[0][4]
        runs, end, count = Runs(), self._size_bytes, 0
        waiting = deque(pieces)
        while waiting:
            piece = waiting.popleft()
            text, lines, stream, request_id, piece_ms, last_ms = piece
            if (end or lines > 1) and end + len(text) > limit:
                if lines > 1:
                    waiting.extendleft(reversed(_single(piece)))
                    continue
                self._append(block, count, runs, first_ms)
                self.close()
                block, runs, end, count = [], Runs(), 0, 0
            block.append(text)
            count += lines
            runs.add(request_id, stream, piece_ms, last_ms, end, end + len(text))
            end += len(text)
        self._append(block, count, runs, pieces[-1][4])

    def _append(self, block: list[bytes], count: int, runs: Runs, timestamp_ms: int) -> None:
        """Write so many lines and their index, or count them as lost: the invocation never hears of it."""
        if not block:
            return
        data = b"".join(block)
        try:
            log_file, index_file = self._open(timestamp_ms)
            write_all(log_file, data)
        except OSError as exc:
            self._lose(count, exc)
            return
        self._size_bytes += len(data)
        self._lost = 0
        index = runs.encode()
        try:
            write_all(index_file, index)
        except OSError as exc:
            # Without its index the segment is scanned; one with a gap would hide lines.
            log.warning("index of %s: %s", self._segment, exc)
            segment = self._segment
            self.close()
            if segment is not None:
                segment.index_path.unlink(missing_ok=True)
            return
        self._index_bytes += len(index)

    def _lose(self, count: int, exc: OSError) -> None:
        if not self._lost:
            log.error("log in %s: %s; lines are dropped until this is mended", self._directory, exc)
        self._lost += count
        self._reason = exc.strerror or str(exc)
        if self._descriptors is None:
            return
        try:
            # Half a line would spoil the next one.
            os.ftruncate(self._descriptors[0], self._size_bytes)
        except OSError as again:
            log.warning("log in %s goes on in a new segment: %s", self._directory, again)
            self.close()

    def _open(self, timestamp_ms: int) -> tuple[int, int]:
        if self._descriptors is not None:
            return self._descriptors
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        if self._segment is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._segment = self._fresh(timestamp_ms)
            self._size_bytes = self._index_bytes = 0
            self._drop_oldest()
        log_file = os.open(self._segment.path, flags, 0o600)
        try:
            self._descriptors = log_file, os.open(self._segment.index_path, flags, 0o600)
        except OSError:
            os.close(log_file)
            raise
        return self._descriptors

    def _fresh(self, timestamp_ms: int) -> Segment:
        """A segment that doesn't exist yet, named so that it is the newest."""
        if self._closed:
            timestamp_ms = max(timestamp_ms, self._closed[-1][0].first_ms)
        number = 0
        while (path := self._directory / f"{timestamp_ms:013d}-{number:04d}.log").exists():
            number += 1
        return Segment(path)

    def _drop_oldest(self) -> None:
        room = self._cap_bytes - self._cap_bytes // SEGMENTS_PER_CAP
        total = sum(size for _, size in self._closed)
        while self._closed and total > room:
            segment, size = self._closed.popleft()
            segment.remove()
            total -= size

    def trim(self, before_ms: int) -> None:
        """Delete segments all of whose lines are older than a time, as the next one's name tells."""
        while self._closed:
            following = self._closed[1][0] if len(self._closed) > 1 else self._segment
            if following is None or following.first_ms >= before_ms:
                return
            self._closed.popleft()[0].remove()

    def drop(self, until: str) -> int:
        """Delete segments up to one, by its file's name, the one being written included. Returns bytes."""
        if self._segment is not None and self._segment.path.name <= until:
            self.close()
        freed = 0
        while self._closed and self._closed[0][0].path.name <= until:
            segment, size = self._closed.popleft()
            segment.remove()
            freed += size
        return freed

    def release(self) -> None:
        """Close the files; the segment goes on when the next lines come."""
        if self._descriptors is not None:
            for descriptor in self._descriptors:
                os.close(descriptor)
            self._descriptors = None

    def close(self) -> None:
        """Close the files; the next lines begin a new segment."""
        self.release()
        if self._segment is not None:
            self._closed.append((self._segment, self._size_bytes + self._index_bytes))
            self._segment = None
        self._size_bytes = self._index_bytes = 0


def _line(stream: bytes, request_id: bytes, timestamp_ms: int, message: bytes) -> Piece:
    text = b"%d %b %b %b\n" % (timestamp_ms, stream, request_id, message)
    return text, 1, stream, request_id, timestamp_ms, timestamp_ms


def _single(piece: Piece) -> list[Piece]:
    """The lines of a piece one by one."""
    text, _, stream, request_id, _, _ = piece
    lines = text[:-1].split(b"\n")
    times = [int(line[: line.index(b" ")]) for line in lines]
    return [(line + b"\n", 1, stream, request_id, ms, ms) for line, ms in zip(lines, times, strict=True)]


class LogWriter:
    """All functions' logs. Used by one thread only."""

    def __init__(self, directory: Path, cap_bytes: int) -> None:
        self._directory = directory
        self._cap_bytes = cap_bytes
        self._logs: dict[str, FunctionLog] = {}
        #: Those whose files may be open, least recently used first.
        self._open: dict[str, FunctionLog] = {}
        self._resting: set[str] = set()

    def write(self, batch: dict[str, list[Chunk]], now_s: float, *, whole: bool) -> bool:
        """Append what functions wrote; True when beginnings of lines are kept back.

        Args:
            whole: Keep nothing back, also of functions that are not in the batch.
        """
        for name in batch.keys() | self._resting:
            try:
                resting = self._log(name).write(batch.get(name, ()), now_s, whole=whole)
            except Exception:  # one function's log must not take down another's
                log.exception("writing the log of %s", name)
                resting = False
            (self._resting.add if resting else self._resting.discard)(name)
        return bool(self._resting)

    def trim(self, function_name: str, before_ms: int) -> None:
        """Delete what is older than a time, as far as whole segments are."""
        if (self._directory / directory_name(function_name)).is_dir():
            self._log(function_name).trim(before_ms)

    def drop(self, function_name: str, until: str) -> int:
        """Delete a function's segments up to one, and its directory if nothing is left in it. Returns bytes."""
        freed = self._log(function_name).drop(until)
        with contextlib.suppress(OSError):  # not empty, or gone
            (self._directory / directory_name(function_name)).rmdir()
        return freed

    def delete(self, function_name: str) -> None:
        """Remove a function's log."""
        self._resting.discard(function_name)
        self._open.pop(function_name, None)
        if found := self._logs.pop(function_name, None):
            found.close()
        try:
            shutil.rmtree(self._directory / directory_name(function_name))
        except FileNotFoundError:
            return
        except OSError as exc:
            log.warning("the log of %s stays in part: %s", function_name, exc)

    def close(self) -> None:
        """Close all files."""
        for written in self._logs.values():
            written.close()

    def _log(self, name: str) -> FunctionLog:
        found = self._logs.get(name)
        if found is None:
            found = self._logs[name] = FunctionLog(self._directory / directory_name(name), self._cap_bytes)
        self._open.pop(name, None)
        self._open[name] = found
        if len(self._open) > OPEN_MAX:
            self._open.pop(next(iter(self._open))).release()
        return found
