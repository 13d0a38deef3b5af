"""Writing a checked archive to disk, and removing what was written."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from .archive import Archive, Entry, Kind, not_a_zip

#: Modes in the store: nobody writes, every sandbox's user reads.
DIRECTORY_MODE, FILE_MODE, EXECUTABLE_MODE = 0o555, 0o444, 0o555
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def unpack(archive: Archive, target: Path) -> int:
    """Write an archive's files into a new directory.

    Args:
        target: Must not exist; its parent must.
    Returns:
        Bytes of all files.
    Raises:
        InvalidParameterValueException: The archive is damaged, too large, or holds a link that leads outside.
        OSError: It can't be written. What was written so far is left to the caller to remove.
    """
    target.mkdir(mode=0o700)
    made = [target]
    known = {target}
    size_bytes = 0
    links: list[tuple[Entry, Path]] = []
    for entry in archive.entries:
        path = target / entry.path
        for directory in _missing(path if entry.kind is Kind.DIRECTORY else path.parent, known):
            directory.mkdir(mode=0o700)
            made.append(directory)
        if entry.kind is Kind.LINK:
            links.append((entry, path))
        elif entry.kind is Kind.FILE:
            size_bytes += _write_file(archive, entry, path)
    # Last, so that nothing is written through them.
    for entry, path in links:
        path.symlink_to(archive.read_link(entry))
    _check_links(target, [path for _, path in links])
    for directory in reversed(made):
        directory.chmod(DIRECTORY_MODE)
    return size_bytes


def _missing(directory: Path, known: set[Path]) -> list[Path]:
    """The directories that must be made, outermost first; they count as known from now on."""
    missing: list[Path] = []
    while directory not in known:
        known.add(directory)
        missing.append(directory)
        directory = directory.parent
    return missing[::-1]


def _write_file(archive: Archive, entry: Entry, path: Path) -> int:
    size_bytes = 0
    descriptor = os.open(path, _CREATE, 0o600)
    try:
        for chunk in archive.read(entry):
            write_all(descriptor, chunk)
            size_bytes += len(chunk)
        os.fchmod(descriptor, EXECUTABLE_MODE if entry.executable else FILE_MODE)
    finally:
        os.close(descriptor)
    return size_bytes


def _check_links(target: Path, links: list[Path]) -> None:
    """Each link's text stays inside by itself; through other links it might not."""
    root = os.path.realpath(target)
    for path in links:
        real = os.path.realpath(path)
        if real != root and not real.startswith(f"{root}/"):
            raise not_a_zip()


def write_all(descriptor: int, data: bytes) -> None:
    """Write all bytes: one call may take only a part of them.

    Raises:
        OSError: Not all of them could be written.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and wait until it is on disk.

    Raises:
        OSError: It can't be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Wait until the names in a directory are on disk.

    Raises:
        OSError: The disk failed.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a file or a directory with everything below, read-only directories too; links aren't followed.

    Raises:
        OSError: Something stays.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        path.unlink(missing_ok=True)
        return
    path.chmod(0o700)
    for directory, names, _ in os.walk(path):
        for name in names:
            inner = Path(directory, name)
            if not inner.is_symlink():
                inner.chmod(0o700)
    shutil.rmtree(path)
