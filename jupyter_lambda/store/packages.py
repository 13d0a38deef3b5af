"""Deployment packages by the SHA-256 of their zip.

``packages/<sha-256 in hex>/`` holds ``package.zip``, ``files/`` and ``about.json``. A package is checked by
unpacking it once, when it is added, so a first cold start finds its files there. The zip is synced to disk; the files,
which can be made from it again, are not: ``about.json`` names the machine's boot in which they were written, and after
another boot they are unpacked anew at first use. Identical uploads share one directory. What is being made or removed
is in ``.under-way`` until it is whole, or gone: clearing up after a crash looks at nothing else.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from jupyter_lambda.errors import ClientError, StoreError

from .archive import Archive
from .unpack import remove_tree, sync_directory, unpack, write_synced

log = logging.getLogger(__name__)

T = TypeVar("T")
#: Packages that are unpacked or removed at the same time.
THREADS = 2
#: Seconds for which a package is kept that nothing refers to yet: its function may just be being created.
GRACE_S = 900.0
#: Packages looked up in one turn of the loop while those that nothing uses are collected.
COLLECT_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Package:
    """A package in the store."""

    #: SHA-256 of the zip, base64: AWS's CodeSha256.
    code_sha256: str
    #: Bytes of the zip.
    code_size: int


class Packages:
    """All packages of one state directory. Opened with ``await Packages.open(…)``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._under_way = directory / ".under-way"
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store-packages")
        self._boot_id = _boot_id()
        #: CodeSha256 → directory of those known to be unpacked completely.
        self._ready: dict[str, Path] = {}
        self._unpacking: dict[str, asyncio.Lock] = {}
        #: CodeSha256 → when it was added last, on the steady clock. Changed under the lock, by several threads.
        self._touched_s: dict[str, float] = {}
        self._lock = threading.Lock()
        #: Directory → bytes, of packages counted before: they never change. Used by one thread at a time.
        self._sizes: dict[str, int] = {}

    @classmethod
    async def open(cls, directory: Path) -> Packages:
        """Make the directory, and clear away what a crash left half done.

        Raises:
            StoreError: It can't be written.
        """
        packages = cls(directory)
        try:
            await packages._run(packages._tidy)
        except BaseException:
            await packages.close()
            raise
        return packages

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.to_thread(self._threads.shutdown)

    async def add_zip(self, data: bytes) -> Package:
        """Check, unpack and keep a package.

        Raises:
            InvalidParameterValueException: Not a zip, or one that mustn't be unpacked, or too large unpacked.
            RequestEntityTooLargeException: The zip is too large.
            StoreError: It can't be written.
        """
        return await self._run(lambda: self._add(data))

    async def unpacked(self, code_sha256: str) -> Path:
        """The directory with the package's files: read-only, readable for every user.

        Raises:
            StoreError: The package is missing or damaged, or can't be unpacked.
        """
        if ready := self._ready.get(code_sha256):
            return ready
        lock = self._unpacking.setdefault(code_sha256, asyncio.Lock())
        async with lock:
            if code_sha256 not in self._ready:
                self._ready[code_sha256] = await self._run(lambda: self._ensure_unpacked(code_sha256))
        self._unpacking.pop(code_sha256, None)
        return self._ready[code_sha256]

    def zip_bytes(self, code_sha256: str) -> bytes:
        """The zip as it was uploaded.

        Raises:
            StoreError: The package is missing.
        """
        return self._read(code_sha256, "package.zip")

    def unzipped_size(self, code_sha256: str) -> int:
        """Bytes of all files of the package.

        Raises:
            StoreError: The package is missing or damaged.
        """
        return int(self._about(code_sha256)["unzipped_size"])

    async def collect(self, keep: Callable[[str], bool]) -> int:
        """Remove packages that nothing uses.

        Args:
            keep: Called in the loop with each CodeSha256. Packages added in the last ``GRACE_S`` stay anyway.
        Returns:
            Bytes of the removed zips and files.
        """
        freed = 0
        names = await self._run(lambda: [path.name for path in self._directory.iterdir()])
        for start in range(0, len(names), COLLECT_CHUNK):
            for name in names[start : start + COLLECT_CHUNK]:
                code_sha256 = _base64(name)
                if code_sha256 is None:
                    if name != self._under_way.name:
                        await self._run(functools.partial(remove_tree, self._directory / name))
                elif not self._is_fresh(code_sha256) and not keep(code_sha256):
                    self._ready.pop(code_sha256, None)
                    freed += await self._run(functools.partial(self._remove, code_sha256))
            # Invocations go first.
            await asyncio.sleep(0)
        return freed

    def size_bytes(self) -> int:
        """Bytes of all zips and of the files unpacked from them, as each package says of itself; for a thread.

        Raises:
            OSError: The directory can't be read.
        """
        names = [path.name for path in self._directory.iterdir()]
        for name in names:
            if name not in self._sizes and (code_sha256 := _base64(name)) is not None:
                try:
                    zip_size = (self._directory / name / "package.zip").stat().st_size
                    self._sizes[name] = zip_size + self.unzipped_size(code_sha256)
                except (OSError, StoreError) as exc:
                    log.debug("package %s is not counted: %s", name, exc)
        self._sizes = {name: self._sizes[name] for name in names if name in self._sizes}
        return sum(self._sizes.values())

    # ── in threads ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as exc:
            raise StoreError(
                f"packages in {self._directory}: {exc.strerror or exc} ({exc.filename or 'no file'}); "
                "check free space, owner and permissions"
            ) from exc

    def _tidy(self) -> None:
        self._directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._under_way.mkdir(mode=0o711, exist_ok=True)
        for path in self._under_way.iterdir():
            log.info("removing %s, which a crash left behind", path)
            remove_tree(path)

    def _add(self, data: bytes) -> Package:
        digest = hashlib.sha256(data)
        package = Package(base64.b64encode(digest.digest()).decode(), len(data))
        target = self._directory / digest.hexdigest()
        with self._lock:
            # From here on, collect() leaves it alone.
            self._touched_s[package.code_sha256] = time.monotonic()
            if (target / "about.json").exists():
                return package
        archive = Archive(data)
        temporary = self._under_way / f"adding-{digest.hexdigest()}-{os.urandom(4).hex()}"
        temporary.mkdir(mode=0o755)
        try:
            size_bytes = unpack(archive, temporary / "files")
            write_synced(temporary / "package.zip", data)
            self._write_about(temporary, size_bytes)
            self._put_in_place(temporary, target)
        except BaseException:
            remove_tree(temporary)
            raise
        return package

    def _put_in_place(self, temporary: Path, target: Path) -> None:
        sync_directory(temporary)
        try:
            temporary.rename(target)
        except OSError:
            if not (target / "about.json").exists():
                raise
            # The same package was added at the same time.
            remove_tree(temporary)
        sync_directory(self._directory)

    def _write_about(self, directory: Path, size_bytes: int) -> None:
        about = {"unzipped_size": size_bytes, "boot_id": self._boot_id}
        fresh = directory / "about.json.new"
        write_synced(fresh, json.dumps(about).encode())
        fresh.rename(directory / "about.json")

    def _ensure_unpacked(self, code_sha256: str) -> Path:
        directory = self._path(code_sha256)
        files = directory / "files"
        about = self._about(code_sha256)
        if about["boot_id"] == self._boot_id and files.is_dir():
            return files
        fresh = directory / f"files.new-{os.urandom(4).hex()}"
        try:
            size_bytes = unpack(Archive(self.zip_bytes(code_sha256)), fresh)
        except ClientError as exc:
            remove_tree(fresh)
            raise StoreError(f"{directory}/package.zip is damaged; deploy the function's code again") from exc
        except BaseException:
            remove_tree(fresh)
            raise
        for old in directory.glob("files*"):
            if old != fresh:
                remove_tree(old)
        fresh.rename(files)
        self._write_about(directory, size_bytes)
        return files

    def _remove(self, code_sha256: str) -> int:
        directory = self._path(code_sha256)
        freed = len(self._read(code_sha256, "package.zip")) if (directory / "package.zip").exists() else 0
        try:
            freed += int(self._about(code_sha256)["unzipped_size"])
        except StoreError as exc:
            log.warning("removing a damaged package: %s", exc)
        # Under another name first: half a package must not look like a whole one.
        dying = self._under_way / f"removing-{directory.name}-{os.urandom(4).hex()}"
        with self._lock:
            if self._is_fresh(code_sha256):
                return 0
            self._touched_s.pop(code_sha256, None)
            directory.rename(dying)
        remove_tree(dying)
        return freed

    def _is_fresh(self, code_sha256: str) -> bool:
        touched_s = self._touched_s.get(code_sha256)
        return touched_s is not None and time.monotonic() - touched_s < GRACE_S

    # ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _path(self, code_sha256: str) -> Path:
        try:
            digest = base64.b64decode(code_sha256, validate=True)
        except ValueError as exc:
            raise StoreError(f"{code_sha256!r} is not the SHA-256 of a package") from exc
        if len(digest) != hashlib.sha256().digest_size:
            raise StoreError(f"{code_sha256!r} is not the SHA-256 of a package")
        return self._directory / digest.hex()

    def _read(self, code_sha256: str, name: str) -> bytes:
        path = self._path(code_sha256) / name
        try:
            return path.read_bytes()
        except OSError as exc:
            raise StoreError(f"{path}: {exc.strerror}; deploy the function's code again") from exc

    def _about(self, code_sha256: str) -> dict[str, Any]:
        try:
            about = json.loads(self._read(code_sha256, "about.json"))
            return {"unzipped_size": int(about["unzipped_size"]), "boot_id": str(about["boot_id"])}
        except (ValueError, KeyError, TypeError) as exc:
            path = self._path(code_sha256) / "about.json"
            raise StoreError(f"{path} is damaged; remove its directory and deploy the function's code again") from exc


def _base64(name: str) -> str | None:
    """CodeSha256 of a package's directory; None for any other name."""
    if len(name) != 64 or not all(c in "0123456789abcdef" for c in name):
        return None
    return base64.b64encode(bytes.fromhex(name)).decode()


def _boot_id() -> str:
    """What differs from one start of the machine to the next; where it isn't told, from one engine to the next."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return os.urandom(16).hex()
