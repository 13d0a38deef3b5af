"""The store as the engine sees it: one state directory, opened by one engine at a time."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from .database import Database
from .deliveries import Deliveries
from .disk import Disk
from .events import EventQueue
from .folders import Folders
from .functions import Functions
from .http import HttpApis
from .imports import Imports
from .ledger import RECORDS_MAX, Ledger
from .lock import StateLock
from .logs import CAP_BYTES, Logs
from .mappings import Mappings
from .metrics import Metrics
from .packages import Packages
from .retention import LogRetention
from .rules import Rules
from .runs import Runs
from .schedules import Schedules
from .sources import Sources
from .timers import Timers
from .urls import Urls


class Store:
    """Functions, asynchronous events, ledger, packages, logs and runs of notebooks of one state directory.

    Reads are synchronous and take microseconds; writes are awaited and return once they are on disk.
    """

    def __init__(
        self,
        lock: StateLock,
        database: Database,
        packages: Packages,
        installation_id: str,
        clock: Callable[[], float],
        *,
        records_max: int = RECORDS_MAX,
        log_cap_bytes: int = CAP_BYTES,
    ) -> None:
        self.state_dir = lock.state_dir
        #: Random hex, made when the directory is used first; labels everything that belongs to this installation.
        self.installation_id = installation_id
        #: Random hex, new at every start.
        self.epoch = secrets.token_hex(8)
        self.functions = Functions(database)
        self.imports = Imports(database)
        self.ledger = Ledger(database, records_max)
        self.metrics = Metrics(database)
        self.http_apis = HttpApis(database)
        self.mappings = Mappings(database)
        self.retention = LogRetention(database)
        self.sources = Sources(database)
        self.urls = Urls(database)
        self.events = EventQueue(database, self.ledger, clock)
        self.deliveries = Deliveries(database)
        self.rules = Rules(database, self.events, self.deliveries)
        self.schedules = Schedules(database)
        self.timers = Timers(database, self.events, self.deliveries)
        self.folders = Folders(database, self.events)
        self.packages = packages
        self.logs = Logs(lock.state_dir / "logs", clock=clock, cap_bytes=log_cap_bytes)
        self.runs = Runs(lock.state_dir / "runs")
        self.disk = Disk(
            lock.state_dir,
            database,
            packages,
            self.logs,
            self.events,
            lambda name: self.functions.get(name) is not None,
            self.runs,
        )
        self._lock = lock
        self._database = database

    @classmethod
    async def open(
        cls,
        state_dir: Path,
        clock: Callable[[], float] = time.time,
        *,
        records_max: int = RECORDS_MAX,
        log_cap_bytes: int = CAP_BYTES,
    ) -> Store:
        """Take the directory, creating it where it is missing.

        Args:
            records_max: Records of single invocations that the ledger keeps.
            log_cap_bytes: Log kept for each function.
        Raises:
            EngineAlreadyRunning: Another engine owns it; the message names its process and address.
            StoreError: It can't be used: permissions, full disk, damaged or newer database, NFS.
        """
        lock = await asyncio.to_thread(StateLock.acquire, Path(state_dir))
        database: Database | None = None
        try:
            database = await Database.open(lock.state_dir / "lambda.db")
            packages = await Packages.open(lock.state_dir / "packages")
            installation_id = await _installation_id(database)
            return cls(
                lock,
                database,
                packages,
                installation_id,
                clock,
                records_max=records_max,
                log_cap_bytes=log_cap_bytes,
            )
        except BaseException:
            if database is not None:
                await database.close()
            lock.release()
            raise

    def announce(self, url: str) -> None:
        """Tell a second engine where this one answers.

        Raises:
            StoreError: The lock file can't be written.
        """
        self._lock.announce(url)

    async def close(self) -> None:
        """Write what is queued, close every file and give the directory free. Safe to call twice."""
        async with contextlib.AsyncExitStack() as closing:
            # The last one pushed is the first one called; all of them are, whatever one of them raises.
            closing.callback(self._lock.release)
            closing.push_async_callback(self._database.close)
            closing.push_async_callback(self.packages.close)
            closing.push_async_callback(self.logs.close)


async def _installation_id(database: Database) -> str:
    row = database.first("SELECT value FROM setting WHERE name = 'installation_id'")
    if row is not None:
        return str(row[0])
    fresh = secrets.token_hex(8)

    def run(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO setting (name, value) VALUES ('installation_id', ?)", (fresh,))

    await database.write(run)
    return fresh
