"""What the state directory takes, and what of it goes when that is more than it may.

The oldest segments of logs go first, of deleted functions before all others; then the oldest runs of notebooks, then
dead events. Packages that nothing uses go anyway (``Packages.collect``), and the ledger has a limit of its own. What
was accepted and has not run, code, configuration and sums never go: where they alone are too much,
``Usage.excess_bytes`` says so.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from .database import Database
from .events import EventQueue
from .logs import Logs
from .logwriter import directory_name
from .packages import Packages
from .runs import Runs

#: Share of the cap that is left free once something had to go, so that it need not go piece by piece.
SLACK = 0.05
#: Dead events that leave in one transaction.
DEAD_CHUNK = 200


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of the state directory's parts."""

    logs: int
    packages: int
    #: The database and its write-ahead log, without pages that are free inside, and the reserve for a full disk.
    database: int
    #: The most it may be; 0: not limited.
    cap: int = 0
    #: What runs of notebooks left behind.
    runs: int = 0

    @property
    def total(self) -> int:
        """All together."""
        return self.logs + self.packages + self.database + self.runs

    @property
    def excess_bytes(self) -> int:
        """Bytes above the cap."""
        return max(0, self.total - self.cap) if self.cap else 0


@dataclass(frozen=True, slots=True)
class _Old:
    """A segment of a log with its index."""

    function_name: str
    file: str
    written_ns: int
    size_bytes: int


class Disk:
    """Measures one state directory and keeps it under its cap."""

    def __init__(
        self,
        state_dir: Path,
        database: Database,
        packages: Packages,
        logs: Logs,
        events: EventQueue,
        exists: Callable[[str], bool],
        runs: Runs,
    ) -> None:
        self._state_dir = state_dir
        self._database = database
        self._packages = packages
        self._logs = logs
        self._events = events
        self._exists = exists
        self._runs = runs
        #: Request ids of invocations that run now: what their runs have left so far stays. Set by the engine.
        self.busy: Callable[[], Collection[str]] = tuple
        #: As measured last; None: not yet.
        self.usage: Usage | None = None

    async def fit(self, cap_bytes: int) -> Usage:
        """Measure, and remove what may go until the cap holds; invocations go on meanwhile.

        Args:
            cap_bytes: 0: only measure.
        Raises:
            StoreError: The database can't be written.
            OSError: The directory can't be read.
        """
        segments, packages, runs = await asyncio.to_thread(
            lambda: (self._segments(), self._packages.size_bytes(), self._runs.size_bytes())
        )
        logs, database = sum(segment.size_bytes for segment in segments), self._database_bytes()
        usage = Usage(logs, packages, database, cap_bytes, runs)
        if usage.excess_bytes:
            goal = usage.total - int(cap_bytes * (1 - SLACK))
            freed = await self._drop_logs(segments, goal)
            dropped = await self._runs.drop(goal - freed, self.busy()) if freed < goal else 0
            if freed + dropped < goal:
                await self._drop_dead(goal - freed - dropped)
            usage = Usage(logs - freed, packages, self._database_bytes(), cap_bytes, runs - dropped)
        self.usage = usage
        return usage

    async def _drop_logs(self, segments: list[_Old], goal: int) -> int:
        gone = {name: not self._exists(name) for name in {segment.function_name for segment in segments}}
        segments.sort(key=lambda segment: (not gone[segment.function_name], segment.written_ns))
        chosen: dict[str, str] = {}
        planned = 0
        for segment in segments:
            if planned >= goal:
                break
            planned += segment.size_bytes
            chosen[segment.function_name] = max(chosen.get(segment.function_name, ""), segment.file)
        return sum([await self._logs.drop(name, until) for name, until in chosen.items()])

    async def _drop_dead(self, goal: int) -> None:
        before = self._database_bytes()
        while before - self._database_bytes() < goal and await self._events.forget_dead(DEAD_CHUNK):
            pass

    def _database_bytes(self) -> int:
        size = 0
        for name in ("lambda.db", "lambda.db-wal", "ballast"):
            try:
                size += (self._state_dir / name).stat().st_size
            except FileNotFoundError:
                continue
        (free,) = self._database.query("PRAGMA freelist_count")[0]
        (page,) = self._database.query("PRAGMA page_size")[0]
        return max(0, size - int(free) * int(page))

    def _segments(self) -> list[_Old]:
        """All segments of all logs (in a thread)."""
        found: list[_Old] = []
        try:
            with os.scandir(self._state_dir / "logs") as directories:
                names = [entry.name for entry in directories if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return found
        for name in names:
            function_name = unquote(name)
            if directory_name(function_name) == name:
                found += _of(self._state_dir / "logs" / name, function_name)
        return found


def _of(directory: Path, function_name: str) -> list[_Old]:
    sizes: dict[str, int] = {}
    times: dict[str, int] = {}
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                stem, _, kind = entry.name.rpartition(".")
                about = entry.stat(follow_symlinks=False)
                sizes[stem] = sizes.get(stem, 0) + about.st_size
                if kind == "log":
                    times[stem] = about.st_mtime_ns
    except FileNotFoundError:  # deleted in this moment
        return []
    return [_Old(function_name, f"{stem}.log", times[stem], sizes[stem]) for stem in times]
