"""Space kept in reserve, so that a full disk doesn't stop acknowledgements and deletes."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

#: Bytes held back. A commit that only acknowledges or deletes needs a few pages.
BALLAST_BYTES = 8 * 1024 * 1024
#: Seconds between attempts to get the reserve back.
RESTORE_INTERVAL_S = 1.0


class Ballast:
    """A file of zeros that is removed when the disk is full and made anew when there is room. Used by one thread."""

    def __init__(self, path: Path, size_bytes: int = BALLAST_BYTES) -> None:
        self._path = path
        self._size_bytes = size_bytes
        self._next_attempt = 0.0
        #: Whether the reserve is there; while it isn't, only work that frees space may write.
        self.held = False

    def restore(self) -> bool:
        """Make the reserve if it is missing; at most one attempt in ``RESTORE_INTERVAL_S``. True when it is there."""
        if self.held:
            return True
        now = time.monotonic()
        if now < self._next_attempt:
            return False
        self._next_attempt = now + RESTORE_INTERVAL_S
        try:
            self._allocate()
        except OSError:
            # No room yet: what was written of it would only make that worse.
            self._remove()
            return False
        self.held = True
        return True

    def release(self) -> None:
        """Give the space to the database."""
        self.held = False
        self._next_attempt = time.monotonic() + RESTORE_INTERVAL_S
        self._remove()

    def _allocate(self) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, self._size_bytes)
            else:
                os.pwrite(descriptor, bytes(self._size_bytes), 0)
        finally:
            os.close(descriptor)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            # A file that can't be removed can't help either; the database's own error tells the story.
            self._path.unlink(missing_ok=True)
