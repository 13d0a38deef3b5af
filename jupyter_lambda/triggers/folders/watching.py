"""Hear of changes as they happen: one thread for all folders. What it says is a hint; ``scan`` finds what is true."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

log = logging.getLogger(__name__)

#: Milliseconds between looks at what the operating system reported, and for which changes are gathered. The thread
#: wakes so often while folders are watched: a file has to rest for longer anyway.
_STEP_MS, _DEBOUNCE_MS = 200, 400
#: watchfiles' number of a deletion.
_DELETED = 3
#: Folders that are listened to; further ones are looked at in intervals.
FOLDERS_MAX = 4_000


class Watching:
    """Reports the paths at which something happened."""

    def __init__(self, heard: Callable[[set[str]], None]) -> None:
        """
        Args:
            heard: Called in the loop with absolute paths.
        """
        self._heard = heard
        self._paths: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        #: Why nothing is heard; "" where all is well.
        self.trouble = ""

    def listen(self, paths: Mapping[str, int]) -> bool:
        """Listen to these folders, not to those below them; True if others were listened to before.

        What happened between the old and the new may have been missed: look at all of them.

        Args:
            paths: Absolute, each with its inode: one that was made anew has to be listened to anew.
        """
        wanted = {path: inode for path, inode in sorted(paths.items())[:FOLDERS_MAX] if Path(path).is_dir()}
        if wanted == self._paths and (self._thread is None or self._thread.is_alive()):
            return False
        self.close()
        self._paths = wanted
        if wanted:
            self._begin(sorted(wanted))
        return True

    def close(self) -> None:
        """Listen to nothing more."""
        self._stop.set()
        self._thread, self._paths = None, {}

    def _report(self, found: set[tuple[int, str]]) -> None:
        # A folder that went away is not listened to when it is made again, even if it gets the same inode.
        for kind, path in found:
            if kind == _DELETED:
                self._paths.pop(path, None)
        self._heard({path for _, path in found})

    def _begin(self, paths: list[str]) -> None:
        from watchfiles._rust_notify import RustNotify

        try:
            notify = RustNotify(paths, False, False, 0, False, True)
        except Exception as exc:  # noqa: BLE001 - inotify's limits, a folder that has just gone: it's own error type
            trouble = f"changes are found by looking every few seconds: {exc}"
            if trouble != self.trouble:
                log.warning("folders: %s", trouble)
            self.trouble, self._paths = trouble, {}
            return
        self.trouble = ""
        self._stop = threading.Event()
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(
            target=self._listen, args=(notify, self._stop, loop), name="folders", daemon=True
        )
        self._thread.start()

    def _listen(self, notify: object, stop: threading.Event, loop: asyncio.AbstractEventLoop) -> None:
        with notify:  # type: ignore[attr-defined]
            while not stop.is_set():
                try:
                    found = notify.watch(_DEBOUNCE_MS, _STEP_MS, 0, stop)  # type: ignore[attr-defined]
                    if isinstance(found, set):
                        loop.call_soon_threadsafe(self._report, found)
                except RuntimeError:  # the loop is closed
                    return
                except Exception:
                    log.exception("folders: nothing is heard any more; changes are found by looking")
                    return
