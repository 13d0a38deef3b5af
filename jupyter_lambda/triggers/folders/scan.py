"""Look at a folder: which files match, in which state. Never follows a symbolic link, never leaves the folder."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from jupyter_lambda.errors import InvalidParameterValueException
from jupyter_lambda.model.folder import File

#: Most matching files of one folder: each is held in memory.
FILES_MAX = 200_000
#: Most folders below one folder; more are looked at only by a pattern that names them.
DEPTH_MAX = 64
#: Names that programs give to what is not finished: hidden files, editors' and downloads' temporary files.
UNFINISHED = (".*", "*~", "~$*", "#*#", "*.swp", "*.swx", "*.tmp", "*.part", "*.partial", "*.crdownload", "4913")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(slots=True)
class Look:
    """What was found."""

    #: Name below the folder → its state.
    files: dict[str, File] = field(default_factory=dict)
    #: Name → seconds since the epoch at which it was last touched in any way (renamed, written).
    touched_s: dict[str, float] = field(default_factory=dict)
    #: Folders that were looked into, "" for the folder itself → inode.
    folders: dict[str, int] = field(default_factory=dict)
    #: Folders that could not be read: what was known of their files stays.
    unread: list[str] = field(default_factory=list)
    #: Whether ``FILES_MAX`` was reached: the rest is not known.
    cut: bool = False

    def covers(self, name: str) -> bool:
        """Whether a file that isn't in ``files`` is really not there."""
        return not self.cut and not any(name.startswith(f"{folder}/") or not folder for folder in self.unread)


class Pattern:
    """Which names below a folder count: ``*.csv``, ``in/*.csv``, ``**/*.csv`` (``**``: any folders, or none)."""

    def __init__(self, text: str) -> None:
        """
        Raises:
            InvalidParameterValueException: It could leave the folder, or is empty.
        """
        segments = text.split("/")
        if not text or any(segment in ("", ".", "..") for segment in segments) or "\0" in text:
            raise InvalidParameterValueException(
                f"The pattern {text[:256]!r} must be a relative path with *, ? and [] and without .."
            )
        self.text = text
        self._segments = [*segments, "*"] if segments[-1] == "**" else segments
        self._compiled = [None if s == "**" else re.compile(fnmatch.translate(s)) for s in self._segments]
        last = self._segments[-1]
        others = [fnmatch.translate(one) for one in UNFINISHED if not fnmatch.fnmatchcase(last, one)]
        # One expression: of a large folder each file's name is looked at every time.
        self._unfinished = re.compile("|".join(others)) if others else None

    def matches(self, name: str) -> bool:
        """Whether a file's name counts."""
        parts = name.split("/")
        return self._fits(parts, 0, 0) and not self.is_unfinished(parts[-1])

    def descends(self, folder: str) -> bool:
        """Whether files below this folder can count."""
        parts = folder.split("/")
        return any(self._fits(parts, 0, 0, upto=upto) for upto in range(1, len(self._segments)))

    def is_unfinished(self, base: str) -> bool:
        """A temporary file's name, which the pattern doesn't ask for by itself (``*.tmp`` asks for ``a.tmp``)."""
        return self._unfinished is not None and self._unfinished.match(base) is not None

    def _fits(self, parts: list[str], at: int, segment: int, *, upto: int | None = None) -> bool:
        """Whether the parts from ``at`` fit the segments from ``segment``; ``upto``: only the first so many."""
        end = len(self._segments) if upto is None else upto
        if segment == end:
            return at == len(parts)
        compiled = self._compiled[segment]
        if compiled is None:
            if self._fits(parts, at, segment + 1, upto=upto):
                return True
            return at < len(parts) and not parts[at].startswith(".") and self._fits(parts, at + 1, segment, upto=upto)
        if at == len(parts) or not compiled.match(parts[at]):
            return False
        if parts[at].startswith(".") and not self._segments[segment].startswith("."):
            return False
        return self._fits(parts, at + 1, segment + 1, upto=upto)


def look(root: str, pattern: Pattern, *, beside: tuple[int, int] | None = None) -> Look:
    """Look at the whole folder.

    Args:
        beside: Device and inode of a folder that is never entered (the engine's own state).
    Raises:
        OSError: The folder itself can't be read.
    """
    found = Look()
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _look_into(descriptor, "", pattern, found, beside, 0)
    finally:
        os.close(descriptor)
    return found


def look_at(root: str, pattern: Pattern, names: Iterable[str]) -> Look:
    """Look at single files, as ``look`` would.

    Raises:
        OSError: The folder itself can't be read.
    """
    found = Look()
    os.close(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    for name in names:
        if not pattern.matches(name):
            continue
        try:
            descriptor = open_beneath(root, name)
        except OSError:
            continue
        try:
            _note(found, name, os.fstat(descriptor))
        finally:
            os.close(descriptor)
    return found


def open_beneath(root: str, name: str) -> int:
    """A file of the folder, opened for reading, no link followed on the way; the caller closes it.

    Raises:
        OSError: It is not there, is no plain file, or a link is in the way.
    """
    *folders, last = name.split("/")
    if any(part in ("", ".", "..") for part in (*folders, last)) or "\0" in name:
        raise FileNotFoundError(2, "not a name below the folder", name)
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in folders:
            below = os.open(part, _DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        descriptor = os.open(last, _FILE, dir_fd=at)
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(2, "not a plain file", name)
    return descriptor


def state_of(status: os.stat_result, sha256: str | None = None) -> File:
    """The state that ``stat`` tells."""
    return File(status.st_size, status.st_mtime_ns, status.st_ino, sha256)


def _look_into(
    descriptor: int, prefix: str, pattern: Pattern, found: Look, beside: tuple[int, int] | None, depth: int
) -> None:
    found.folders[prefix.rstrip("/")] = os.fstat(descriptor).st_ino
    for entry in _entries(descriptor):
        name = prefix + entry.name
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:  # gone meanwhile
            continue
        if stat.S_ISDIR(status.st_mode):
            inside = (status.st_dev, status.st_ino) != beside and depth < DEPTH_MAX
            if inside and pattern.descends(name):
                _enter(descriptor, name, pattern, found, beside, depth)
        elif stat.S_ISREG(status.st_mode) and pattern.matches(name):
            if len(found.files) >= FILES_MAX:
                found.cut = True
                return
            _note(found, name, status)


def _enter(
    descriptor: int, name: str, pattern: Pattern, found: Look, beside: tuple[int, int] | None, depth: int
) -> None:
    try:
        below = os.open(name.rpartition("/")[2], _DIRECTORY, dir_fd=descriptor)
    except FileNotFoundError:
        return
    except OSError:
        found.unread.append(name)
        return
    try:
        _look_into(below, f"{name}/", pattern, found, beside, depth + 1)
    except OSError:
        found.unread.append(name)
    finally:
        os.close(below)


def _entries(descriptor: int) -> Iterator[os.DirEntry[str]]:
    with os.scandir(descriptor) as entries:
        yield from entries


def _note(found: Look, name: str, status: os.stat_result) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no text can't stand in an event
        return
    found.files[name] = state_of(status)
    found.touched_s[name] = max(status.st_mtime, status.st_ctime)
