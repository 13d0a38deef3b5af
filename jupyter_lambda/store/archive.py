"""Reading a zip that somebody else made: everything in it is checked before anything is written.

What is refused: encryption, compression other than stored and deflated, absolute paths, ``..``, drive letters,
backslashes, NUL, names that no file system takes, devices, duplicate names, a file where another entry needs a
directory, entries that overlap, entries below a symbolic link, links that leave the package, more entries or bytes than
the limits, and whatever the ``zipfile`` module stumbles over. Sizes are counted while decompressing; claims aren't
believed.
"""

from __future__ import annotations

import io
import posixpath
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from jupyter_lambda.errors import InvalidParameterValueException, RequestEntityTooLargeException
from jupyter_lambda.model import limits

#: Bytes of one path component, and of a path, that Linux accepts; the path leaves room for the mount point.
NAME_MAX_BYTES, PATH_MAX_BYTES = 255, 3_000
#: Bytes of a symbolic link's target.
LINK_MAX_BYTES = 4_000
_CHUNK_BYTES = 256 * 1024
_ENCRYPTED = 0x1 | 0x40
_DRIVE = re.compile(r"[A-Za-z]:")
_LOCAL_HEADER_BYTES = 30
_CENTRAL_HEADER = b"PK\x01\x02"

# What zipfile and what it stands on raise for a bad archive; see docs of each. OSError: seeking outside the data.
_BAD = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    RuntimeError,
    ValueError,
)


def not_a_zip() -> InvalidParameterValueException:
    """AWS's answer to anything that can't be unzipped."""
    return InvalidParameterValueException(
        "Could not unzip uploaded file. Please check your file, then try to upload again."
    )


def too_large() -> InvalidParameterValueException:
    """AWS's answer to a package that is too large once unzipped."""
    return InvalidParameterValueException(f"Unzipped size must be smaller than {limits.UNZIPPED_MAX_BYTES} bytes")


class Kind(Enum):
    """What an entry is; nothing else is unpacked."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or link of an archive that has been found sound."""

    #: Relative, normalised, "/" between components.
    path: str
    kind: Kind
    executable: bool
    info: zipfile.ZipInfo


class Archive:
    """A deployment package in memory.

    Args:
        data: The zip.
    Raises:
        InvalidParameterValueException: With AWS's message, for every archive that can't or mustn't be unpacked.
        RequestEntityTooLargeException: It is larger than ``limits.ZIP_MAX_BYTES``.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) > limits.ZIP_MAX_BYTES:
            raise RequestEntityTooLargeException(f"Zipped size must be smaller than {limits.ZIP_MAX_BYTES} bytes")
        if not data:
            raise InvalidParameterValueException("Uploaded file must be a non-empty zip")
        # Reading a directory of a million entries costs seconds and gigabytes: count its headers first. Headers of zips
        # inside this one are counted with them, hence the factor.
        if data.count(_CENTRAL_HEADER) > 2 * limits.ZIP_MAX_ENTRIES:
            raise not_a_zip()
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except _BAD as exc:
            raise not_a_zip() from exc
        infos = self._zip.infolist()
        if not infos:
            raise InvalidParameterValueException("Uploaded file must be a non-empty zip")
        if len(infos) > limits.ZIP_MAX_ENTRIES:
            raise not_a_zip()
        if sum(info.file_size for info in infos) > limits.UNZIPPED_MAX_BYTES:
            raise too_large()
        _check_overlaps(infos, self._zip.start_dir)
        self.entries = _check_tree([entry for info in infos if (entry := _entry(info))])
        self._unzipped_bytes = 0

    def read(self, entry: Entry) -> Iterator[bytes]:
        """The content of a file, chunk by chunk, counted against the limit.

        Raises:
            InvalidParameterValueException: It is damaged, or the package becomes too large.
        """
        size_bytes = 0
        try:
            with self._zip.open(entry.info) as source:
                while chunk := source.read(_CHUNK_BYTES):
                    size_bytes += len(chunk)
                    self._unzipped_bytes += len(chunk)
                    if self._unzipped_bytes > limits.UNZIPPED_MAX_BYTES:
                        raise too_large()
                    yield chunk
        except _BAD as exc:
            raise not_a_zip() from exc
        if size_bytes != entry.info.file_size:
            raise not_a_zip()

    def read_link(self, entry: Entry) -> str:
        """The target of a symbolic link: relative, and by its text inside the package.

        Raises:
            InvalidParameterValueException: It is damaged or leads outside.
        """
        target = bytearray()
        for chunk in self.read(entry):
            target += chunk
            if len(target) > LINK_MAX_BYTES:
                raise not_a_zip()
        try:
            text = target.decode()
        except UnicodeDecodeError as exc:
            raise not_a_zip() from exc
        place = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), text))
        if not text or "\0" in text or text.startswith("/") or place == ".." or place.startswith("../"):
            raise not_a_zip()
        return text


_KINDS = {0: Kind.FILE, stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.LINK}


def _entry(info: zipfile.ZipInfo) -> Entry | None:
    """One checked entry; None for the package's own root ("./")."""
    if info.flag_bits & _ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise not_a_zip()
    # Only Unix (3) and macOS (19) writers put a mode there.
    mode = info.external_attr >> 16 if info.create_system in (3, 19) else 0
    kind = _KINDS.get(stat.S_IFMT(mode))
    # zipfile cuts a name at NUL; the original tells.
    name = info.orig_filename
    if name.endswith("/"):
        kind = Kind.DIRECTORY
    if kind is None or "\0" in name or "\\" in name or name.startswith("/") or _DRIVE.match(name):
        raise not_a_zip()
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts:
        if kind == Kind.DIRECTORY:
            return None
        raise not_a_zip()
    _check_parts(parts)
    return Entry("/".join(parts), kind, bool(mode & 0o111), info)


def _check_parts(parts: list[str]) -> None:
    try:
        lengths = [len(part.encode()) for part in parts]
    except UnicodeEncodeError as exc:
        raise not_a_zip() from exc
    if ".." in parts or max(lengths) > NAME_MAX_BYTES or sum(lengths) + len(lengths) > PATH_MAX_BYTES:
        raise not_a_zip()


def _check_overlaps(infos: list[zipfile.ZipInfo], end: int) -> None:
    """Refuse entries that share bytes: a bomb that needs no nesting."""
    for info in sorted(infos, key=lambda info: info.header_offset, reverse=True):
        if info.header_offset < 0 or info.header_offset + _LOCAL_HEADER_BYTES + info.compress_size > end:
            raise not_a_zip()
        end = info.header_offset


def _check_tree(entries: list[Entry]) -> list[Entry]:
    """Refuse duplicates, and entries below something that is not a directory."""
    kinds: dict[str, Kind] = {}
    for entry in entries:
        if entry.path in kinds and not (entry.kind == kinds[entry.path] == Kind.DIRECTORY):
            raise not_a_zip()
        kinds[entry.path] = entry.kind
    checked: set[str] = set()
    for entry in entries:
        parent = posixpath.dirname(entry.path)
        while parent and parent not in checked:
            if kinds.get(parent, Kind.DIRECTORY) != Kind.DIRECTORY:
                raise not_a_zip()
            checked.add(parent)
            parent = posixpath.dirname(parent)
    return entries
