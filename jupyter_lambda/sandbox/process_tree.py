"""Finding and killing all that a sandbox started, by what Linux's /proc tells; and the warden that does so when the
engine itself has been killed.

Run as ``python -I -S process_tree.py SANDBOXES_DIR`` this file is the warden: its standard input is a pipe from the
engine; when that ends, however the engine ended, it kills every process of every sandbox in that directory. Standard
library only; imports nothing of the package.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

#: Rounds of "find and kill" before giving up: a process that forks while it is searched for is found in the next.
ROUNDS = 50


def processes() -> list[int]:
    """Ids of all processes; empty where there is no /proc."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def marked(marker: bytes) -> Iterator[int]:
    """Processes that have ``marker`` in their initial environment, or write to a file below it.

    A sandbox's processes have its directory in their TMPDIR and their output, whatever session or parent they gave
    themselves; only one that takes care to shed both is not found.
    """
    own = os.getpid()
    for pid in processes():
        if pid == own:
            continue
        if marker in _read(f"/proc/{pid}/environ") or any(_link(pid, fd).startswith(marker) for fd in (1, 2)):
            yield pid


def descendants(pid: int) -> list[int]:
    """``pid`` and its children, their children and so on, as far as they still have it as an ancestor."""
    found, new = [pid], [pid]
    while new:
        parent = new.pop()
        for task in _names(f"/proc/{parent}/task"):
            for child in _read(f"/proc/{parent}/task/{task}/children").split():
                found.append(int(child))
                new.append(int(child))
    return found


def status_kb(pid: int, *fields: bytes) -> int:
    """The sum of fields of /proc/PID/status that are given in kB; 0 where the process is gone."""
    total = 0
    for line in _read(f"/proc/{pid}/status").splitlines():
        name, _, value = line.partition(b":")
        if name in fields:
            total += int(value.split()[0])
    return total


def proportional_kb(pid: int) -> int:
    """Memory of one process with shared pages divided among those who share them; 0 where it can't be told."""
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1])
    return 0


def kill_marked(marker: bytes, *, sleep: Callable[[float], None] = time.sleep) -> int:
    """Kill every process with ``marker`` in its environment until none is left; returns how many there were."""
    seen: set[int] = set()
    for _ in range(ROUNDS):
        found = [pid for pid in marked(marker) if not _is_zombie(pid)]
        if not found:
            break
        seen.update(found)
        for pid in found:
            _kill(pid)
        sleep(0.002)
    return len(seen)


def marker_of(directory: str) -> bytes:
    """What ``marked`` looks for: a directory's path with the final slash that keeps "ab" from matching "abc"."""
    return os.fsencode(directory.rstrip("/") + "/")


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # gone, or not ours


def _is_zombie(pid: int) -> bool:
    _, _, rest = _read(f"/proc/{pid}/stat").rpartition(b")")
    return rest.strip()[:1] in (b"Z", b"X", b"")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _link(pid: int, fd: int) -> bytes:
    try:
        return os.fsencode(os.readlink(f"/proc/{pid}/fd/{fd}"))
    except OSError:
        return b""


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def watch(directory: str) -> None:
    """Be the warden: until the engine's pipe ends, note the process groups it names; then kill them and all others."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)  # the engine's end is what it waits for
    groups: set[int] = set()
    with os.fdopen(0, "rb", buffering=0) as pipe:
        rest = b""
        while data := pipe.read(65_536):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue  # gone
    kill_marked(marker_of(directory))


if __name__ == "__main__":
    watch(sys.argv[1])
