"""The process driver: a sandbox is a process group on this host. The embedded fallback where no Docker answers.

Same Runtime API and same results as in a container, but not isolated: a function runs as the engine's own user, sees
its files and its network.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from jupyter_lambda import runtime
from jupyter_lambda.errors import DriverError

from . import process_tree
from .adoption import VARIABLES
from .base import Assignment, Finding, GenericSpec, Process, SandboxSettings, SandboxSpec
from .directory import BEFORE_START, DIRECTORIES
from .layers import merge_layers
from .process_group import WATCH_MAX_S, WATCH_MIN_S, ProcessGroup, limit

log = logging.getLogger(__name__)

RUNTIME_DIR = Path(runtime.__file__).resolve().parent
#: Sandboxes started or removed at the same time.
THREADS = 8
#: The file by which a sandbox's directory is known to be this driver's.
MARK = "process.json"
_PROC = Path("/proc/self/task").is_dir()


class ProcessDriver:
    """Runs sandboxes as process groups."""

    name = "process"
    isolated = False
    can_prepare = True

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._root = settings.state_dir.resolve() / DIRECTORIES
        self._live: set[ProcessGroup] = set()
        self._threads = ThreadPoolExecutor(THREADS, "sandbox-process")
        self._warden: subprocess.Popen[bytes] | None = None
        self._user_sites: dict[Path, str] = {}

    async def open(self) -> None:
        """Start the warden and sweep what an earlier engine left.

        Raises:
            DriverError: Not a POSIX host, or the warden can't be started.
        """
        if os.name != "posix":
            raise DriverError("the process driver needs Linux or macOS; use Docker on this host")
        await asyncio.to_thread(self._sweep)
        script = process_tree.__file__
        command = [sys.executable, "-I", "-S", script, str(self._root)]
        try:
            self._warden = await asyncio.to_thread(
                subprocess.Popen, command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
            )
        except OSError as exc:
            raise DriverError(f"{sys.executable} could not be started: {exc.strerror}") from exc

    async def start(self, spec: SandboxSpec, directory: Path, log: Callable[[bytes], None]) -> Process:
        """Start a function's runtime in a process group of its own."""
        if spec.kind == "image" or spec.code_dir is None:
            raise DriverError(
                f"function {spec.function_name} is a container image, which needs Docker: "
                "start a Docker engine and restart with --driver docker"
            )
        return await self._started(spec, spec.code_dir, directory)

    async def prepare(self, spec: GenericSpec, directory: Path, log: Callable[[bytes], None]) -> Process:
        """Start a runtime in a process group of its own that waits for its function."""
        return await self._started(spec, directory, directory)

    def can_adopt(self, spec: SandboxSpec) -> bool:
        """Not a function that brings libraries: where they lie must be known to the linker at a process's start."""
        if spec.code_dir is None:
            return False
        places = [spec.code_dir, spec.code_dir / "lib", *(layer / "lib" for layer in spec.layer_dirs)]
        return not any(_has_libraries(place) for place in places)

    async def _started(self, spec: SandboxSpec | GenericSpec, code_dir: Path, directory: Path) -> ProcessGroup:
        loop = asyncio.get_running_loop()
        starting = loop.run_in_executor(self._threads, self._start, spec, code_dir, directory, loop)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            # A thread can't be stopped, but is done in milliseconds; what it started must not stay.
            with contextlib.suppress(DriverError):
                await (await starting).kill()
            raise

    async def probe(self) -> list[Finding]:
        """What this driver can't do here."""
        findings = [
            Finding(
                "warning",
                "isolation",
                "functions run as this user, with its files and network, an unlimited share of the CPU, and no network "
                "setting; other users of this host can reach a running function's Runtime API on its loopback port",
                "install Docker for isolation",
            )
        ]
        if not _PROC:
            findings.append(
                Finding(
                    "warning",
                    "memory limit",
                    "this host has no /proc: memory is neither measured nor limited, and a process that leaves its "
                    "group outlives its sandbox",
                    "use Docker on this host",
                )
            )
        else:
            text = f"watched every {WATCH_MIN_S * 1000:.0f} to {WATCH_MAX_S * 1000:.0f} ms and enforced by a kill"
            findings.append(Finding("ok", "memory limit", text))
        text = "a function's TMPDIR is a directory of this disk, of which only the size of each file is limited"
        findings.append(Finding("warning", "ephemeral storage", text))
        return findings

    async def image_exists(self, image: str) -> str | None:
        """No images here."""
        return None

    async def close(self) -> None:
        """Kill every sandbox that is left, and the warden."""
        await asyncio.gather(*(process.kill() for process in list(self._live)))
        warden, self._warden = self._warden, None
        if warden is not None:
            await asyncio.to_thread(_end_warden, warden)
        self._threads.shutdown(wait=False)

    # --- in a thread

    def _start(
        self, spec: SandboxSpec | GenericSpec, code_dir: Path, directory: Path, loop: asyncio.AbstractEventLoop
    ) -> ProcessGroup:
        interpreter = spec.interpreter or Path(sys.executable)
        what = f"function {spec.function_name}" if isinstance(spec, SandboxSpec) else f"sandbox {spec.sandbox_id}"
        try:
            (directory / MARK).write_text(json.dumps({"sandbox_id": spec.sandbox_id, "epoch": self._settings.epoch}))
            self._prepare(interpreter)
            (directory / "tmp").mkdir()
            if isinstance(spec, SandboxSpec):
                merge_layers(spec.layer_dirs, directory / "opt")
                environment = self._environment(spec, code_dir, directory, directory / "opt", interpreter)
            else:
                environment = self._generic_environment(spec, directory)
            command = [str(interpreter), "-I", "-B", str(RUNTIME_DIR / "bootstrap.py")]
            if spec.interpreter is None:
                command.append("--custom")
            output = os.open(directory / "run/log", os.O_WRONLY | os.O_CLOEXEC)
            try:
                child = subprocess.Popen(
                    command,
                    cwd=code_dir,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            finally:
                os.close(output)
        except OSError as exc:
            raise DriverError(
                f"{what} could not be started: {exc.filename or interpreter}: {exc.strerror or exc}"
            ) from exc
        self._tell_warden(b"+%d\n" % child.pid)
        limit(child.pid, spec)
        process = ProcessGroup(child, spec, directory, loop, self._threads, self._gone, self._assign)
        self._live.add(process)
        loop.call_soon_threadsafe(process.watch)
        return process

    def _environment(
        self, spec: SandboxSpec, code_dir: Path, directory: Path, opt: Path, interpreter: Path
    ) -> dict[str, str]:
        """A sandbox's whole environment: the function's own and what this driver sets. Nothing of the engine's."""
        temporary = str(directory / "tmp")
        path = [str(interpreter.parent), "/usr/local/bin", "/usr/bin", "/bin", f"{opt}/bin"]
        own = {
            "PATH": os.pathsep.join(path),
            "LD_LIBRARY_PATH": os.pathsep.join([str(code_dir), f"{code_dir}/lib", f"{opt}/lib"]),
            "LAMBDA_TASK_ROOT": str(code_dir),
            "LAMBDA_RUNTIME_DIR": str(RUNTIME_DIR),
            # Also the mark by which this sandbox's processes are known, wherever they went.
            "TMPDIR": f"{temporary}/",
            "HOME": temporary,
            "JUPYTER_LAMBDA_SOCKET": f"{directory}/run/api.sock",
            "JUPYTER_LAMBDA_LOG": "",  # file descriptors 1 and 2 are the log already
            "JUPYTER_LAMBDA_FORWARD": "127.0.0.1:0",
            "JUPYTER_LAMBDA_OPT": str(opt),
            "JUPYTER_LAMBDA_SITE": self._user_sites.get(interpreter, ""),
        }
        return {**spec.environment, **own}

    def _generic_environment(self, spec: GenericSpec, directory: Path) -> dict[str, str]:
        """What a sandbox's first process is started with while its function is not known."""
        nobodys = SandboxSpec(
            spec.sandbox_id, "", "", spec.memory_mb, spec.ephemeral_storage_mb, "", VARIABLES, directory
        )
        variables = self._environment(nobodys, directory, directory, directory / "opt", spec.interpreter)
        return {**variables, "JUPYTER_LAMBDA_GENERIC": json.dumps(spec.imports)}

    def _assign(self, spec: SandboxSpec, directory: Path) -> Assignment:
        """What a generic sandbox's runtime is told; blocking.

        Raises:
            OSError: It would not do as well as a fresh one, or the layers can't be laid over each other.
        """
        assert spec.code_dir is not None
        assert spec.interpreter is not None
        if not self.can_adopt(spec):
            raise OSError(f"the linker would not find the libraries in {spec.code_dir}")
        opt = directory / "opt"
        merge_layers(spec.layer_dirs, opt)
        environment = self._environment(spec, spec.code_dir, directory, opt, spec.interpreter)
        return Assignment(environment, str(spec.code_dir))

    def _prepare(self, interpreter: Path) -> None:
        """Once for each interpreter: compile the runtime, and ask where the user's own packages are.

        Without bytecode every cold start would compile the runtime anew. The user's site directory is the notebook's
        too, but isolated mode leaves it out.
        """
        if interpreter in self._user_sites:
            return
        script = (
            "import compileall, site, sys; compileall.compile_dir(sys.argv[1], quiet=2, maxlevels=0); "
            "print(site.getusersitepackages() if site.ENABLE_USER_SITE else '')"
        )
        command = [str(interpreter), "-c", script, str(RUNTIME_DIR)]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
        except subprocess.TimeoutExpired:
            log.warning("%s did not answer within 30 s; its user packages will be missing", interpreter)
            self._user_sites[interpreter] = ""
            return
        lines = done.stdout.decode(errors="replace").splitlines()
        self._user_sites[interpreter] = lines[-1] if done.returncode == 0 and lines else ""

    def _gone(self, process: ProcessGroup) -> None:
        self._live.discard(process)
        self._tell_warden(b"-%d\n" % process.pid)

    def _tell_warden(self, line: bytes) -> None:
        if self._warden is None or self._warden.stdin is None:
            return
        try:
            os.write(self._warden.stdin.fileno(), line)
        except OSError:
            log.warning("the warden has ended: if the engine is killed, its sandboxes may outlive it")
            self._warden = None

    def _sweep(self) -> None:
        """Kill and remove what an earlier engine of this state directory left."""
        killed = process_tree.kill_marked(process_tree.marker_of(str(self._root)))
        left = [directory for directory in self._root.glob("*") if _removable(directory)]
        for directory in left:
            shutil.rmtree(directory, ignore_errors=True)
        if killed or left:
            log.info("swept %d processes and %d directories of an earlier engine", killed, len(left))


@lru_cache(maxsize=4096)
def _has_libraries(place: Path) -> bool:
    """Whether the linker would find shared libraries in a directory of a package, which doesn't change."""
    return place.is_dir() and any(".so" in path.suffixes for path in place.glob("lib*"))


def _removable(directory: Path) -> bool:
    """Whether a sandbox's directory is this driver's, or its engine was killed before any driver had touched it.

    Others may have mounts in it: they are the Docker driver's to remove.
    """
    names = {path.name for path in directory.iterdir()}
    return MARK in names or names <= BEFORE_START


def _end_warden(warden: subprocess.Popen[bytes]) -> None:
    assert warden.stdin is not None
    warden.stdin.close()
    try:
        warden.wait(10)
    except subprocess.TimeoutExpired:
        warden.kill()
        warden.wait()
