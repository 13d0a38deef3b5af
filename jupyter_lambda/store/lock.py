"""The state directory and the lock that makes one engine its sole owner."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from pathlib import Path

from jupyter_lambda.errors import EngineAlreadyRunning, StoreError

#: ``errno`` values by which file systems say that they have no locks.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


class StateLock:
    """An exclusive ``flock`` on ``engine.lock``; the kernel drops it when the process ends, however it ends.

    The file's content, JSON ``{"pid": …, "url": …}``, only serves the second engine's error message.
    """

    def __init__(self, state_dir: Path, descriptor: int) -> None:
        self.state_dir = state_dir
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, state_dir: Path) -> StateLock:
        """Create the directory where it is missing (mode 0700) and lock it.

        Raises:
            EngineAlreadyRunning: Another process holds the lock.
            StoreError: The directory can't be created, written or locked.
        """
        _make_private(state_dir)
        path = state_dir / "engine.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise _cannot_write(path, exc) from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            owner = _owner(descriptor)
            os.close(descriptor)
            raise EngineAlreadyRunning(
                f"another engine ({owner}) owns the state directory {state_dir}; use it, "
                "or stop it with `jupyter lambda stop`"
            ) from exc
        except OSError as exc:
            os.close(descriptor)
            if exc.errno in _NO_LOCKS:
                raise StoreError(
                    f"the file system of {state_dir} has no file locks ({exc.strerror}); "
                    "choose a directory on a local disk with --state-dir"
                ) from exc
            raise _cannot_write(path, exc) from exc
        lock = cls(state_dir, descriptor)
        lock.announce(None)
        return lock

    def announce(self, url: str | None) -> None:
        """Write this process's id and address into the lock file.

        Raises:
            StoreError: The file can't be written.
        """
        if self._descriptor is None:
            return
        text = json.dumps({"pid": os.getpid(), "url": url}).encode()
        try:
            # In place: a renamed file would be another inode, and the lock belongs to the inode.
            os.pwrite(self._descriptor, text, 0)
            os.ftruncate(self._descriptor, len(text))
        except OSError as exc:
            raise _cannot_write(self.state_dir / "engine.lock", exc) from exc

    def release(self) -> None:
        """Give the directory free; the file stays, since removing it would race with the next owner."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _make_private(state_dir: Path) -> None:
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError as exc:
        raise StoreError(f"{state_dir} is not a directory; choose another one with --state-dir") from exc
    except OSError as exc:
        raise _cannot_write(state_dir, exc) from exc


def _owner(descriptor: int) -> str:
    """Who holds the lock, as far as its file tells."""
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
        pid, url = found["pid"], found["url"]
    except (OSError, ValueError, KeyError, TypeError):
        return "process unknown"
    return f"process {pid}, {url}" if url else f"process {pid}, still starting"


def _cannot_write(path: Path, exc: OSError) -> StoreError:
    advice = "free some space" if exc.errno == errno.ENOSPC else "check its owner and permissions"
    return StoreError(f"can't write {path}: {exc.strerror}; {advice}, or choose another directory with --state-dir")
