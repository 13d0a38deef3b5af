"""One sandbox's process group: its limits, its memory, its end.

Memory is watched from outside, since RLIMIT_AS and RLIMIT_DATA count what threads and allocators merely reserve, and
break numpy long before the limit is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jupyter_lambda.errors import DriverError

from . import process_tree
from .base import Assignment, Exit, GenericSpec, SandboxSpec

#: Seconds between looks at a sandbox's memory: the first while it changes, growing to the second while it doesn't.
WATCH_MIN_S, WATCH_MAX_S = 0.05, 0.25
#: MB of change from one look to the next that count as change.
WATCH_CHANGE_MB = 2
#: Processes and threads of a sandbox, and open files of a process. Source: AWS Lambda quotas.
PROCESSES_MAX, FILES_MAX = 1_024, 1_024
#: Raised for sandboxes, so that the host's own shortage of memory ends them before anything else.
OOM_SCORE_ADJ = 500
_LINUX = sys.platform == "linux"


class ProcessGroup:
    """One sandbox's process group."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        spec: SandboxSpec | GenericSpec,
        directory: Path,
        loop: asyncio.AbstractEventLoop,
        threads: ThreadPoolExecutor,
        gone: Callable[[ProcessGroup], None],
        assign: Callable[[SandboxSpec, Path], Assignment],
    ) -> None:
        """
        Args:
            gone: Called when it has been killed and removed.
            assign: Prepares the directory of a generic one for the function that adopts it; blocking.
        """
        self.pid = child.pid
        self._child = child
        self._directory = directory
        self._memory_mb = spec.memory_mb
        self._loop = loop
        self._threads = threads
        self._gone = gone
        self._assign = assign
        self._ended: asyncio.Future[Exit] = loop.create_future()
        self._killing: asyncio.Future[None] | None = None
        self._oom = False
        self._peak_kb = 0
        self._seen_kb = 0
        self._interval_s = WATCH_MIN_S
        self._frozen = False
        self._timer: asyncio.TimerHandle | None = None
        self._pidfd: int | None = None

    def watch(self) -> None:
        """Begin to notice its end and its memory; in the event loop."""
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            # macOS, or an old kernel: a thread of its own waits instead.
            threading.Thread(target=self._wait, name=f"sandbox-{self.pid}", daemon=True).start()
        else:
            self._loop.add_reader(self._pidfd, self._reap)
        if _LINUX:
            self._timer = self._loop.call_later(self._interval_s, self._look)

    async def wait(self) -> Exit:
        """Until its first process has ended."""
        return await asyncio.shield(self._ended)

    async def freeze(self) -> None:
        """Stop the group."""
        self._frozen = True
        self._signal(signal.SIGSTOP)

    def settle(self) -> None:
        """Nothing changes: a plain process has no CPU share of its own."""

    async def adopt(self, spec: SandboxSpec) -> Assignment:
        """Make a generic one this function's."""
        try:
            assignment = await self._loop.run_in_executor(self._threads, self._assign, spec, self._directory)
        except OSError as exc:
            raise DriverError(f"function {spec.function_name} can't adopt a sandbox: {exc}") from exc
        limit(self.pid, spec)
        self._memory_mb = spec.memory_mb
        if self._frozen:
            await self.thaw()
        return assignment

    async def thaw(self) -> None:
        """Let the group go on."""
        self._frozen = False
        self._signal(signal.SIGCONT)

    async def kill(self) -> None:
        """Kill the group and whoever left it, and remove the directory."""
        if self._killing is None:
            self._signal(signal.SIGKILL)
            self._killing = asyncio.ensure_future(self._finish())
        await asyncio.shield(self._killing)

    def memory_peak_mb(self) -> int | None:
        """The largest of what was seen and of the first process's own high-water mark; never more than the limit.

        The mark counts pages of files too, which the limit does not.
        """
        if not _LINUX:
            return None
        own = process_tree.status_kb(self.pid, b"VmHWM") if not self._ended.done() else 0
        self._peak_kb = max(self._peak_kb, own)
        return min(-(-self._peak_kb // 1024), self._memory_mb) if self._peak_kb else None

    # ---

    def _signal(self, number: int) -> None:
        if self._child.returncode is not None:
            return  # reaped: its number may be another's by now
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def _finish(self) -> None:
        marker = process_tree.marker_of(str(self._directory))
        await self._loop.run_in_executor(self._threads, process_tree.kill_marked, marker)
        await asyncio.shield(self._ended)
        await self._loop.run_in_executor(self._threads, lambda: shutil.rmtree(self._directory, ignore_errors=True))
        self._gone(self)

    def _wait(self) -> None:
        self._child.wait()
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody asks any more
            self._loop.call_soon_threadsafe(self._reap)

    def _reap(self) -> None:
        # Not reaped yet, so the number of its group is still its own: whom it left behind ends with it.
        self._signal(signal.SIGKILL)
        code = self._child.poll()
        if code is None or self._ended.done():
            return
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if self._timer is not None:
            self._timer.cancel()
        if code < 0:
            self._ended.set_result(Exit(None, signal=-code, oom_killed=self._oom))
        else:
            self._ended.set_result(Exit(code, oom_killed=self._oom))

    def _look(self) -> None:
        """Measure the memory of the tree; kill it where it exceeds the limit."""
        if self._ended.done():
            return
        if not self._frozen:
            tree = process_tree.descendants(self.pid)
            used_kb = sum(process_tree.status_kb(pid, b"RssAnon", b"RssShmem") for pid in tree)
            if used_kb > self._memory_mb * 1024 and len(tree) > 1:
                # Pages that forks share were counted once for each of them.
                used_kb = min(used_kb, sum(process_tree.proportional_kb(pid) for pid in tree))
            if used_kb > self._memory_mb * 1024:
                self._oom = True
                used_kb = self._memory_mb * 1024
            self._peak_kb = max(
                self._peak_kb, used_kb, process_tree.status_kb(self.pid, b"VmHWM") if not self._oom else 0
            )
            changed = abs(used_kb - self._seen_kb) > WATCH_CHANGE_MB * 1024
            self._seen_kb = used_kb
            self._interval_s = WATCH_MIN_S if changed else min(WATCH_MAX_S, self._interval_s * 1.5)
            if self._oom or len(tree) > PROCESSES_MAX:
                self._signal(signal.SIGKILL)
        self._timer = self._loop.call_later(self._interval_s, self._look)


def limit(pid: int, spec: SandboxSpec | GenericSpec) -> None:
    """Limits of single processes, set from outside: a hook between fork and exec would make every start a slow fork.

    RLIMIT_NPROC counts all of the user's processes, not the sandbox's, so it is no use here.
    """
    if not _LINUX:
        return
    storage = spec.ephemeral_storage_mb * 1024 * 1024
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, FILES_MAX),
        (resource.RLIMIT_FSIZE, storage),
    ):
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, kind, (value, value))
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(OOM_SCORE_ADJ))
