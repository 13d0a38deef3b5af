"""Follow one folder: look when something was heard or some time has passed, tell of what has settled."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import LambdaError
from jupyter_lambda.model.folder import File, Folder
from jupyter_lambda.model.invocation import AsyncEvent

from .changes import Change, Changes
from .scan import FILES_MAX, Look, Pattern, look, look_at
from .telling import Read, event, is_touch, read

log = logging.getLogger(__name__)

#: Seconds between looks at the whole folder where nothing was heard: the notices of the operating system can overflow,
#: and network file systems give none. A large folder is looked at less often: a hundredth of the time goes into it.
LOOK_EVERY_S, LOOK_SHARE = 20.0, 100
#: The same where nothing can be heard.
DEAF_EVERY_S, DEAF_SHARE = 3.0, 20
#: Seconds between looks while the folder itself is missing or unreadable, or was exchanged.
RETRY_S = 2.0
#: Single files that are looked at instead of the whole folder.
NAMES_MAX = 500
#: Files told of in one transaction, and events of the queue above which the rest waits.
BATCH, QUEUE_MAX = 50, 2_000


class Follower:
    """One folder's state and task."""

    def __init__(
        self, service: LambdaService, folder: Folder, told: dict[str, File], sign: Callable[[str], str]
    ) -> None:
        self._service = service
        self._folder = folder
        self._sign = sign
        self._pattern = Pattern(folder.pattern)
        self.changes = Changes(told, folder.settle_s)
        #: What is wrong; "" where nothing is.
        self.trouble = ""
        #: Events told since the engine began.
        self.fired = 0
        #: Called when it is known which folders there are to listen to.
        self.on_folders: Callable[[], None] = lambda: None
        #: Whether nothing can be heard of changes.
        self.is_deaf: Callable[[], bool] = lambda: False
        self._below: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._names: set[str] = set()
        self._look_at_s = 0.0
        self._look_wanted = False
        self._identity: tuple[int, int] | None = None

    def change(self, folder: Folder) -> None:
        """Other settings, or paused or not."""
        self._folder = folder
        self.changes.settle(folder.settle_s)
        self.on_folders()
        self.look_soon()

    def listen_to(self) -> dict[str, int]:
        """Absolute paths of the folder and of those below it that the pattern reaches, with their inodes."""
        root = self._folder.path
        return {f"{root.rstrip('/')}/{name}" if name else root: inode for name, inode in self._below.items()}

    def hear(self, paths: set[str]) -> None:
        """Something happened at these paths."""
        root = self._folder.path.rstrip("/") + "/"
        names = {path[len(root) :] for path in paths if path.startswith(root)}
        if not names and self._folder.path not in paths:
            return
        if self._folder.path in paths or len(self._names) + len(names) > NAMES_MAX:
            self.look_soon()
            return
        counted = {name for name in names if self._pattern.matches(name)}
        if any(self._pattern.descends(name) for name in names - counted):
            self.look_soon()  # perhaps a folder: what is in it came with it
        elif counted:
            self._names |= counted
            self._wake.set()

    def look_soon(self) -> None:
        """Look at the whole folder; what is being looked at just now may have been passed already."""
        self._look_wanted = True
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                delay_s = await self._turn()
            except LambdaError as exc:
                self.trouble, delay_s = exc.message, RETRY_S
            except Exception as exc:
                log.exception("folder %s", self._folder.path)
                self.trouble, delay_s = f"{type(exc).__name__}: {exc}", RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._wake.wait()
            self._wake.clear()

    async def _turn(self) -> float | None:
        """Look and tell; returns the seconds until there is more to do."""
        if self._folder.paused:
            self.trouble = ""
            return None
        if not await self._look():
            return RETRY_S
        if self._service.store.functions.get(self._folder.function_name) is None:
            self.trouble = f"there is no function {self._folder.function_name}; what happens waits for it"
            return RETRY_S
        waits = await self._tell()
        now_s = time.monotonic()
        due_s = self.changes.next_s()
        until = [self._look_at_s - now_s, RETRY_S if waits else LOOK_EVERY_S]
        if due_s is not None and not waits:
            until.append(due_s - now_s)
        return max(0.02, min(until))

    async def _look(self) -> bool:
        """Look at what was heard of, or at all; False when the folder can't be read."""
        names, self._names = self._names, set()
        now_s = time.monotonic()
        whole = self._look_wanted or now_s >= self._look_at_s or not self._is_same()
        self._look_wanted = False
        try:
            if whole:
                found = await asyncio.to_thread(look, self._folder.path, self._pattern, beside=self._beside())
                self._note_folders(found)
                took_s = time.monotonic() - now_s
                every_s, share = (DEAF_EVERY_S, DEAF_SHARE) if self.is_deaf() else (LOOK_EVERY_S, LOOK_SHARE)
                self._look_at_s = time.monotonic() + max(every_s, took_s * share)
            else:
                names |= {name for name in self.changes.restless() if name not in names}
                if not names:
                    return True
                found = await asyncio.to_thread(look_at, self._folder.path, self._pattern, names)
        except OSError as exc:
            self._identity, self._below = None, {}
            self.trouble = f"{self._folder.path} can't be read: {exc.strerror or exc}; it is looked for again"
            self._look_at_s = 0.0
            return False
        self.trouble = ""
        if found.cut:
            self.trouble = f"more than {FILES_MAX:,} files match: only the first are followed"
        elif found.unread:
            self.trouble = f"{len(found.unread)} folders below can't be read: {', '.join(found.unread[:3])}"
        self.changes.look(found, time.monotonic(), self._service.clock(), names=None if whole else names)
        return True

    def _is_same(self) -> bool:
        """Whether the path still means the folder that was looked at."""
        try:
            status = Path(self._folder.path).stat()
        except OSError:
            return False
        identity = (status.st_dev, status.st_ino)
        same, self._identity = identity == self._identity, identity
        return same

    def _beside(self) -> tuple[int, int]:
        status = self._service.store.state_dir.stat()
        return status.st_dev, status.st_ino

    def _note_folders(self, found: Look) -> None:
        self._is_same()
        self._below = found.folders
        self.on_folders()

    async def _tell(self) -> bool:
        """Tell of what has settled; True when the queue is full, so that the rest waits."""
        due = list(self.changes.due(time.monotonic()))
        for first in range(0, len(due), BATCH):
            if self._service.store.events.depth()["waiting"] > QUEUE_MAX:
                self.trouble = f"{len(due) - first:,} files wait: the queue of events is long"
                return True
            await self._tell_batch(due[first : first + BATCH])
        return False

    async def _tell_batch(self, due: Sequence[Change]) -> None:
        events: list[AsyncEvent] = []
        seen: dict[str, File] = {}
        gone: list[str] = []
        for change in due:
            if change.type == "deleted":
                gone.append(change.name)
                if self._folder.deleted:
                    events.append(self._event(change, None))
                continue
            found = await self._read(change)
            if found is None:
                continue
            seen[change.name] = found.file
            if not is_touch(self.changes.told.get(change.name), found.file):
                events.append(self._event(change, found))
        await self._service.store.folders.tell(
            self._folder.folder_id, events, seen=seen, gone=gone, then=self._service.entered
        )
        self.fired += len(events)
        for name, file in seen.items():
            self.changes.tell(name, file)
        for name in gone:
            self.changes.tell(name, None)

    async def _read(self, change: Change) -> Read | None:
        try:
            found = await asyncio.to_thread(read, self._folder, change)
        except OSError as exc:
            self.trouble = f"{change.name} can't be read: {exc.strerror or exc}"
            found = None
        if found is None:  # it moves on: look again, after it has rested
            self.changes.again(change.name, change.file, time.monotonic())
        return found

    def _event(self, change: Change, found: Read | None) -> AsyncEvent:
        return event(self._folder, change, found, self._service.clock(), self._sign)
