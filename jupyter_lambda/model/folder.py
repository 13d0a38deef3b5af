"""Watched folders and the state of a file."""

from __future__ import annotations

from dataclasses import dataclass

#: Seconds that a file must rest before it counts, where nobody says.
SETTLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder whose files fire a function."""

    folder_id: str
    function_name: str
    #: Absolute.
    path: str
    #: Of the names below it: ``*.csv``, ``**/*.csv``.
    pattern: str
    #: Whether files that go away fire, too.
    deleted: bool = False
    #: Whether a small text's content is put into the event.
    content: bool = True
    settle_s: float = SETTLE_S
    paused: bool = False
    #: Seconds since the epoch.
    created_s: float = 0.0


@dataclass(frozen=True, slots=True)
class File:
    """What tells one state of a file from another."""

    size_bytes: int
    mtime_ns: int
    inode: int
    #: Hex, of the content; None: not known.
    sha256: str | None = None

    def looks_like(self, other: File) -> bool:
        """The same file, as far as can be told without reading it."""
        return (self.size_bytes, self.mtime_ns, self.inode) == (other.size_bytes, other.mtime_ns, other.inode)
