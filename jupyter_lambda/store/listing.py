"""The subdirectories of a directory, read again only when it has changed."""

from __future__ import annotations

import os
import time
from pathlib import Path
from urllib.parse import unquote

#: Nanoseconds within which a change of a directory may not show in its time.
SETTLED_NS = 50_000_000


class Listing:
    """May be used in any thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        #: When it had changed last, and what it held then.
        self._read: tuple[int, list[str]] = (0, [])

    def names(self) -> list[str]:
        """Unquoted and sorted; not to be changed. Empty where there is no directory."""
        try:
            changed_ns = self._directory.stat().st_mtime_ns
            known_ns, names = self._read
            if changed_ns != known_ns or time.time_ns() - changed_ns < SETTLED_NS:
                with os.scandir(self._directory) as entries:
                    names = sorted(unquote(entry.name) for entry in entries if entry.is_dir())
                self._read = changed_ns, names
        except FileNotFoundError:
            return []
        return names
