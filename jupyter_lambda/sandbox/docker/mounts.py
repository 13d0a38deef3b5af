"""Mounting without starting a program: system calls, a few microseconds each where `mount` takes milliseconds."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from functools import cache
from pathlib import Path
from typing import Any

#: Flags of mount and umount2. Source: kernel, include/uapi/linux/mount.h.
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, NOATIME, BIND = 1, 2, 4, 8, 32, 1024, 4096
_MNT_DETACH = 2
#: Loop devices. Source: kernel, include/uapi/linux/loop.h.
_CONTROL, _LOOP_CTL_GET_FREE, _LOOP_CONFIGURE = "/dev/loop-control", 0x4C82, 0x4C0A
_LO_FLAGS_AUTOCLEAR = 4
#: struct loop_config: file, block size, then struct loop_info64 (…, flags, name of the file, …), reserved.
_LOOP_CONFIG = struct.Struct("=II 5Q 4I 64s 64s 32s 2Q 8Q")
#: Attempts at getting a free loop device before another program does.
_LOOP_ATTEMPTS = 32


@cache
def libc() -> Any:
    """The C library."""
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library


def check(result: int, what: str) -> int:
    """The result of a system call.

    Raises:
        OSError: It failed.
    """
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def mount(source: str, target: bytes, kind: bytes | None, flags: int, data: bytes | None = None) -> None:
    """
    Raises:
        OSError: It failed.
    """
    result = libc().mount(os.fsencode(source), target, kind, ctypes.c_ulong(flags), data)
    check(result, f"mount {os.fsdecode(target)}")


def unmount(target: Path) -> None:
    """Unmount now, whoever still uses it.

    Raises:
        OSError: It failed.
    """
    check(libc().umount2(os.fsencode(target), _MNT_DETACH), f"umount {target}")


def mount_file(image: Path, target: Path, flags: int, data: bytes) -> None:
    """Mount the ext4 file system in a file. The loop device goes with the last mount of it.

    Raises:
        OSError: No loop device is left, or none can be had so (before Linux 5.8, in a container).
    """
    file = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    try:
        path, device = _loop(file, image)
        try:
            mount(path, os.fsencode(target), b"ext4", flags, data)
        finally:
            os.close(device)  # unless it is mounted now, this lets it go
    finally:
        os.close(file)


def _loop(file: int, image: Path) -> tuple[str, int]:
    name = os.fsencode(image)[:63]
    config = _LOOP_CONFIG.pack(file, 0, *(0,) * 5, 0, 0, 0, _LO_FLAGS_AUTOCLEAR, name, b"", b"", 0, 0, *(0,) * 8)
    control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        for attempt in range(_LOOP_ATTEMPTS):
            path = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
            device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, config)
            except OSError as exc:
                os.close(device)
                if exc.errno != errno.EBUSY or attempt == _LOOP_ATTEMPTS - 1:
                    raise
            else:
                return path, device
    finally:
        os.close(control)
    raise AssertionError("unreachable")
