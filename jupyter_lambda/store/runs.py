"""Runs of notebook jobs: what each left behind, as files that people can look at too.

::

    runs/NAME/job.json                    the function NAME is a notebook job: which notebook, how many runs are kept
    runs/NAME/RUN/run.json                one run: its request, what fired it, when it began
    runs/NAME/RUN/{notebook.ipynb, …}     its artefacts; one on its way has the ending .part

A run's id is its request id; one that begins again (a retry, or after the engine was killed) gets ".2", ".3" …, so that
nothing of the earlier one is lost. How a run ended is in the ledger; this part knows nothing of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jupyter_lambda.errors import InvalidParameterValueException, RequestEntityTooLargeException, StoreError

#: Artefacts there can be.
NAMES = frozenset({"parameters.json", "notebook.ipynb", "report.html", "log.txt", "result.json"})
#: Bytes of all artefacts of one run.
RUN_MAX_BYTES = 256 * 1024 * 1024
#: Bytes of a JSON document that is looked into: parameters are an event's, and results are some lines.
_JSON_MAX_BYTES = 8 * 1024 * 1024
#: Runs kept of a job that doesn't say.
KEPT = 30
_JOB, _RUN = "job.json", "run.json"
_FUNCTION = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ID = re.compile(r"[A-Za-z0-9-]{1,64}(\.\d{1,6})?")


@dataclass(frozen=True, slots=True)
class Job:
    """A function that runs a notebook."""

    function_name: str
    #: Its file's name.
    notebook: str
    runs_kept: int = KEPT
    made_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Begun:
    """A run as it began. Times in seconds since the epoch."""

    run_id: str
    request_id: str
    function_name: str
    #: What fired it: "schedule:NAME", "async", …
    source: str
    started_s: float
    #: Of the engine that ran it.
    epoch: str


class Runs:
    """The directory ``runs`` of one state directory. Files are written in threads; looking is quick."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    # --- jobs

    def jobs(self) -> list[Job]:
        """All of them, by name."""
        try:
            names = sorted(entry.name for entry in os.scandir(self._directory) if _FUNCTION.fullmatch(entry.name))
        except FileNotFoundError:
            return []
        return [job for name in names if (job := self.job(name)) is not None]

    def job(self, function_name: str) -> Job | None:
        """One of them; None for a function that is no notebook job."""
        found = _read(self._directory / function_name / _JOB) if _FUNCTION.fullmatch(function_name) else None
        return Job(**found) if found else None

    async def put_job(self, job: Job) -> None:
        """Make a function a notebook job, or change one.

        Raises:
            InvalidParameterValueException: Its name can't be a function's.
            StoreError: It can't be written.
        """
        if not _FUNCTION.fullmatch(job.function_name):
            raise InvalidParameterValueException(f"{job.function_name[:64]!r} can't be a function's name.")
        await _in_thread(_write, self._directory / job.function_name / _JOB, asdict(job))

    async def forget_job(self, function_name: str) -> None:
        """Remove a job's runs and that it is one; an unknown one is no error."""
        if _FUNCTION.fullmatch(function_name):
            await _in_thread(shutil.rmtree, self._directory / function_name, ignore_errors=True)

    # --- runs

    def of(self, function_name: str) -> list[Begun]:
        """A job's runs, the one that began last first."""
        if not _FUNCTION.fullmatch(function_name):
            return []
        try:
            names = [e.name for e in os.scandir(self._directory / function_name) if e.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        found = [run for name in names if (run := self._begun(function_name, name)) is not None]
        return sorted(found, key=lambda run: (run.started_s, run.run_id), reverse=True)

    def find(self, run_id: str) -> Begun | None:
        """A run by its id."""
        if not _ID.fullmatch(run_id):
            return None
        for job in self.jobs():
            if (found := self._begun(job.function_name, run_id)) is not None:
                return found
        return None

    async def begin(self, run: Begun) -> Begun:
        """Open a run; its id gets a number where an earlier one of the same request is there already.

        Raises:
            InvalidParameterValueException: The request id has characters that no file should have.
            StoreError: It can't be written.
        """
        if not _ID.fullmatch(run.request_id):
            raise InvalidParameterValueException(f"The request id {run.request_id[:64]!r} can't be a run's.")

        def make() -> Begun:
            folder, number = self._directory / run.function_name, 1
            while True:
                run_id = run.request_id if number == 1 else f"{run.request_id}.{number}"
                try:
                    (folder / run_id).mkdir(parents=True)
                    break
                except FileExistsError:
                    number += 1
            opened = Begun(**{**asdict(run), "run_id": run_id})
            _write(folder / run_id / _RUN, asdict(opened))
            return opened

        begun: Begun = await _in_thread(make)
        return begun

    async def write(self, run: Begun, name: str, at: int, data: bytes, *, last: bool) -> None:
        """Add a piece to an artefact; with the last one it takes the place of an earlier one of that name.

        Args:
            at: Where the piece belongs; 0 begins anew.
        Raises:
            InvalidParameterValueException: No such artefact, or a piece before it is missing.
            RequestEntityTooLargeException: The run's artefacts would be larger than one run's may be.
            StoreError: It can't be written.
        """
        if name not in NAMES:
            raise InvalidParameterValueException(f"A run has no {name[:64]!r}; it has {', '.join(sorted(NAMES))}.")
        folder = self._directory / run.function_name / run.run_id
        await _in_thread(_append, folder, name, at, data, last)

    def files(self, run: Begun) -> dict[str, int]:
        """Its artefacts and their bytes."""
        folder, found = self._directory / run.function_name / run.run_id, {}
        for name in sorted(NAMES):
            try:
                found[name] = (folder / name).stat().st_size
            except FileNotFoundError:
                continue
        return found

    def read(self, run: Begun, name: str) -> bytes | None:
        """One artefact, whole; None where the run has none of that name."""
        if name not in NAMES:
            return None
        try:
            return (self._directory / run.function_name / run.run_id / name).read_bytes()
        except FileNotFoundError:
            return None

    def read_json(self, run: Begun, name: str) -> Any:
        """One artefact that is JSON; None where there is none."""
        return _read(self._directory / run.function_name / run.run_id / name) if name in NAMES else None

    # --- keeping it small

    async def keep(self, job: Job, busy: Collection[str]) -> int:
        """Remove a job's oldest runs beyond those it keeps; returns how many went.

        Args:
            busy: Request ids of invocations that run: theirs stay.
        """
        old = [run for run in self.of(job.function_name)[job.runs_kept :] if run.request_id not in busy]
        for run in old:
            await self._remove(run)
        return len(old)

    def size_bytes(self) -> int:
        """All of it (in a thread)."""
        return _size(self._directory)

    async def drop(self, goal: int, busy: Collection[str] = ()) -> int:
        """Remove the oldest runs of all jobs until ``goal`` bytes are free; returns how many are."""
        freed = 0
        runs = [run for job in self.jobs() for run in self.of(job.function_name) if run.request_id not in busy]
        for run in sorted(runs, key=lambda run: run.started_s):
            if freed >= goal:
                break
            freed += await asyncio.to_thread(_size, self._directory / run.function_name / run.run_id)
            await self._remove(run)
        return freed

    async def _remove(self, run: Begun) -> None:
        await _in_thread(shutil.rmtree, self._directory / run.function_name / run.run_id, ignore_errors=True)

    # --- what people have been told

    @property
    def seen_s(self) -> float:
        """When somebody last looked at the runs; 0 for never."""
        found = _read(self._directory / "seen.json")
        return float(found["seen_s"]) if found else 0.0

    async def saw(self, now_s: float) -> None:
        """Somebody looked."""
        await _in_thread(_write, self._directory / "seen.json", {"seen_s": now_s})

    def _begun(self, function_name: str, run_id: str) -> Begun | None:
        found = _read(self._directory / function_name / run_id / _RUN)
        return Begun(**found) if found else None


async def _in_thread(function: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return await asyncio.to_thread(function, *args, **kwargs)
    except OSError as exc:
        raise StoreError(f"what a run left behind can't be kept: {exc}") from exc


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is none, or half of one."""
    try:
        found = json.loads(path.read_bytes()) if path.stat().st_size <= _JSON_MAX_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _write(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON whole: a reader sees the old file or the new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    _durably(draft, "wb", json.dumps(value).encode())
    draft.replace(path)


def _append(folder: Path, name: str, at: int, data: bytes, last: bool) -> None:
    draft = folder / f"{name}.part"
    if at != (_length(draft) if at else 0):
        raise InvalidParameterValueException(f"The piece of {name} at {at} does not follow what came before.")
    gone = (0 if at else _length(draft)) + (_length(folder / name) if last else 0)
    if _size(folder) - gone + len(data) > RUN_MAX_BYTES:
        draft.unlink(missing_ok=True)
        raise RequestEntityTooLargeException(
            f"{name} is too large: all that one run leaves behind may be {RUN_MAX_BYTES // 1024**2} MB"
        )
    _durably(draft, "ab" if at else "wb", data)
    if last:
        draft.replace(folder / name)


def _durably(path: Path, mode: str, data: bytes) -> None:
    with path.open(mode) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _size(folder: Path) -> int:
    """Bytes of all files below a directory."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            total += _length(Path(parent) / name)
    return total
