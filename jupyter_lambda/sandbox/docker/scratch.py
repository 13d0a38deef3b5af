"""The sandbox's /tmp: of the size asked for, on disk, so that what is in it does not count as the function's memory.

A sparse ext4 file, loop-mounted for the moment in which the container is created and started. The container then holds
the only mount of it: unmounted and unlinked here at once, it goes away with the container, however that ends, and a
killed engine leaves nothing behind. Needs root and loop devices; elsewhere /tmp is in memory (``profile``).
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
from pathlib import Path

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.docker.mounts import NOATIME, NODEV, NOSUID, mount_file, unmount

#: Seconds mkfs, mount and umount may take each.
_TOOL_TIMEOUT_S = 20
#: Where a freshly made file system of each size is kept to be copied.
TEMPLATES = "tmp-templates"
#: What ext4 without a journal takes for itself: inode tables, bitmaps, and the copy of its superblock.
_OVERHEAD = 1.03
_OVERHEAD_MB = 6
MB = 1024 * 1024


class Scratch:
    """Makes file systems for sandboxes. All methods block."""

    def __init__(self, state_dir: Path) -> None:
        self._templates = state_dir / TEMPLATES
        self._lock = threading.Lock()

    def unavailable(self) -> str | None:
        """Why this host can't do it, tried for real; None when it can."""
        if os.geteuid() != 0:
            return "the engine is not root"
        if missing := [tool for tool in ("mkfs.ext4", "mount", "umount") if shutil.which(tool, path=_PATH) is None]:
            return f"{', '.join(missing)} is not installed"
        trial = self._templates / "trial"
        try:
            self.mount(trial, 16, 0)
            self.release(trial)
        except (DriverError, OSError) as exc:
            return str(exc)
        finally:
            shutil.rmtree(trial, ignore_errors=True)
        return None

    def mount(self, directory: Path, size_mb: int, uid: int) -> Path:
        """Make and mount a file system of ``size_mb`` in ``directory`` (made if need be).

        Returns:
            Where it is mounted: to be bind-mounted into a container, then given to ``release``.
        Raises:
            DriverError: The disk is full, or there is no loop device left.
        """
        image, target = directory / "tmp.ext4", directory / "tmp"
        target.mkdir(parents=True, exist_ok=True)
        try:
            _copy_sparse(self._template(size_mb), image)
        except OSError as exc:
            raise DriverError(
                f"the /tmp of a sandbox could not be made at {image}: {exc.strerror}; free some disk space"
            ) from exc
        try:
            mount_file(image, target, NOSUID | NODEV | NOATIME, b"nobarrier")
        except OSError:  # the tool knows other ways, or why there is none
            _run("mount", "-t", "ext4", "-o", "loop,nosuid,nodev,noatime,nobarrier", str(image), str(target))
        (target / "lost+found").rmdir()
        os.chown(target, uid, uid)
        target.chmod(0o1777)
        return target

    def release(self, directory: Path) -> None:
        """Leave the file system to the container that has it mounted, or let it go. Idempotent."""
        image, target = directory / "tmp.ext4", directory / "tmp"
        if target.is_mount():
            try:
                unmount(target)
            except OSError as exc:
                raise DriverError(f"the /tmp of a sandbox, {target}, can't be unmounted: {exc.strerror}") from exc
        image.unlink(missing_ok=True)

    def _template(self, size_mb: int) -> Path:
        path = self._templates / f"{size_mb}.ext4"
        with self._lock:
            if path.exists():
                return path
            self._templates.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            partial.unlink(missing_ok=True)
            with partial.open("wb") as file:
                file.truncate(round(size_mb * _OVERHEAD + _OVERHEAD_MB) * MB)
            _run("mkfs.ext4", "-q", "-F", "-O", "^has_journal,^resize_inode", "-m", "0", "-i", "16384",
                 "-E", "lazy_itable_init=1,nodiscard,root_owner=0:0", str(partial))  # fmt: skip
            partial.rename(path)
            return path


#: Root's tools are not on everyone's PATH.
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin"


def _run(*command: str) -> None:
    try:
        subprocess.run(
            command, check=True, timeout=_TOOL_TIMEOUT_S, capture_output=True, stdin=subprocess.DEVNULL,
            env={"PATH": _PATH, "LC_ALL": "C"},
        )  # fmt: skip
    except subprocess.CalledProcessError as exc:
        text = exc.stderr.decode("utf-8", "replace").strip()
        raise DriverError(f"{command[0]} failed while making /tmp of a sandbox: {text}") from exc
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise DriverError(f"{command[0]} failed while making /tmp of a sandbox: {exc}") from exc


def _copy_sparse(source: Path, target: Path) -> None:
    """Copy only what is written in a sparse file: a few hundred kB of a file system of gigabytes."""
    with source.open("rb", buffering=0) as reader, target.open("xb", buffering=0) as writer:
        size = os.fstat(reader.fileno()).st_size
        writer.truncate(size)
        end = 0
        while end < size:
            try:
                start = os.lseek(reader.fileno(), end, os.SEEK_DATA)
            except OSError as exc:
                if exc.errno == errno.ENXIO:
                    return  # a hole up to the end
                raise
            end = os.lseek(reader.fileno(), start, os.SEEK_HOLE)
            offset = start
            while offset < end:
                data = os.pread(reader.fileno(), min(MB, end - offset), offset)
                offset += os.pwrite(writer.fileno(), data, offset)


def unmount_below(directory: Path) -> int:
    """Unmount whatever a killed engine left mounted below a directory; how many that were. Blocking."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return 0
    root = directory.resolve()
    left = [path for line in lines if (path := Path(_unescape(line.split(" ")[4]))).is_relative_to(root)]
    for path in reversed(left):
        _run("umount", "--lazy", str(path))
    return len(left)


def _unescape(path: str) -> str:
    """Mountinfo writes blanks, tabs, line breaks and backslashes in octal."""
    for code, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, sign)
    return path
