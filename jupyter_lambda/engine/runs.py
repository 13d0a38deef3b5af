"""Runs of notebook jobs as people see them: what a run left behind, together with what the ledger says came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from jupyter_lambda.errors import AccessDeniedException, ResourceNotFoundException
from jupyter_lambda.model.invocation import InvocationRecord
from jupyter_lambda.store.runs import Begun, Job

if TYPE_CHECKING:
    from .service import LambdaService

#: running · success · failed (``reason`` says why)
RunStatus = Literal["running", "success", "failed"]
#: Beginnings of the sources that nobody waits for: who called by hand has seen what came of it.
SCHEDULED = ("schedule:", "rule:")
#: Seconds by which a record's times may differ from those of the run's files: both are this engine's clock, but a run
#: begins only when its first artefact has come.
_SLACK_S = 1.0
#: Seconds that the record of a run that has ended may take to its place in the ledger.
GRACE_S = 3.0
#: Seconds that no run takes.
_TOOK_MAX_S = 86_400.0
_REASONS = {
    "timeout": "its time was over",
    "oom": "it ran out of memory",
    "exit": "its process ended",
    "cancelled": "it was stopped",
    "init_error": "it could not start",
    "system": "its sandbox failed",
    "too_large": "its answer was too large",
    "error": "it failed",
}


@dataclass(slots=True)
class Run:
    """One run of a notebook. Times in seconds since the epoch."""

    run_id: str
    request_id: str
    function_name: str
    #: Its file's name.
    notebook: str
    status: RunStatus
    #: Why it failed, for people.
    reason: str
    #: What fired it.
    source: str
    started_s: float
    #: None while it runs.
    ended_s: float | None
    #: Which attempt of its event this was.
    attempt: int = 1
    parameters: Mapping[str, Any] | None = None
    #: Artefacts and their bytes.
    files: Mapping[str, int] = field(default_factory=dict)
    memory_used_mb: int | None = None
    billed_ms: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """As the engine's route tells it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Left:
    """What one run left behind, as far as it is needed to tell of it."""

    begun: Begun
    parameters: Mapping[str, Any] | None
    result: Mapping[str, Any]
    files: Mapping[str, int]


class RunBook:
    """All runs of one engine's notebook jobs."""

    def __init__(self, service: LambdaService) -> None:
        self._service = service
        self._runs = service.store.runs
        self._ledger = service.store.ledger
        #: The open run of each request that runs here now, by request id.
        self._open: dict[str, Begun] = {}
        #: When each of them was last seen running.
        self._seen: dict[str, float] = {}
        service.store.disk.busy = self._busy

    # --- for sandboxes

    async def take(self, caller: str, request_id: str, name: str, at: int, data: bytes, *, last: bool) -> Begun:
        """Keep a piece of an artefact. The first one of a run opens it.

        Args:
            caller: Name of the function whose credentials signed the request.
        Raises:
            AccessDeniedException: The request is no running invocation of that function.
            ResourceNotFoundException: The function is no notebook job.
            LambdaError: see ``store.runs.Runs.write``
        """
        running = next((one for one in self._service.running() if one["request_id"] == request_id), None)
        if running is None or running["function_name"] != caller:
            raise AccessDeniedException(f"{request_id[:64]} is no running invocation of {caller}.")
        run = self._open.get(request_id)
        if run is None or (name == "parameters.json" and not at):
            run = await self._begin(caller, request_id, str(running["source"]))
        await self._runs.write(run, name, at, data, last=last)
        return run

    async def _begin(self, function_name: str, request_id: str, source: str) -> Begun:
        job = self._runs.job(function_name)
        if job is None:
            raise ResourceNotFoundException(f"{function_name} is no notebook job; %lambda notebook makes one.")
        busy = self._busy()
        self._open = {key: run for key, run in self._open.items() if key in busy}
        self._seen = {key: seen_s for key, seen_s in self._seen.items() if key in busy}
        begun = Begun(request_id, request_id, function_name, source, self._service.clock(), self._service.store.epoch)
        run = self._open[request_id] = await self._runs.begin(begun)
        self._see([request_id])
        await self._runs.keep(job, busy)
        return run

    def _busy(self) -> set[str]:
        return {str(one["request_id"]) for one in self._service.running()}

    # --- for people

    async def of(self, job: Job, limit: int) -> list[Run]:
        """A job's runs, the newest first: those with files, and those that failed before they had any."""
        left = await asyncio.to_thread(self._left, job)
        await self._ledger.flush()
        # From here on nothing else runs: a run that had begun runs still, or has its record (but see ``_goes_on``).
        records = self._ledger.recent(job.function_name, limit=limit + job.runs_kept)
        running = {
            str(one["request_id"]): one for one in self._service.running() if one["function_name"] == job.function_name
        }
        self._see(running)
        records_of = [next((record for record in records if _is_of(record, one.begun)), None) for one in left]
        found = [self._run(job, one, record, running) for one, record in zip(left, records_of, strict=True)]
        told = {id(record) for record in records_of}
        # Records whose files have gone with older runs tell nothing more.
        since_s = left[-1].begun.started_s if len(left) >= job.runs_kept else 0.0
        found += [_of_record(job, one) for one in records if id(one) not in told and one.received_s >= since_s]
        shown = {run.request_id for run in found if run.status == "running"}
        found += [_waiting(job, one, self._service.clock()) for key, one in running.items() if key not in shown]
        return sorted(found, key=lambda run: run.started_s, reverse=True)[:limit]

    async def all(self, function_name: str | None, limit: int) -> list[Run]:
        """Runs of one job or all of them, the newest first.

        Raises:
            ResourceNotFoundException: The function is no notebook job.
        """
        if function_name is None:
            jobs = self._runs.jobs()
        else:
            job = self._runs.job(function_name)
            if job is None:
                raise ResourceNotFoundException(f"{function_name[:64]} is no notebook job.")
            jobs = [job]
        runs = [run for job in jobs for run in await self.of(job, limit)]
        return sorted(runs, key=lambda run: run.started_s, reverse=True)[:limit]

    async def failed(self, since_s: float) -> list[Run]:
        """Scheduled runs that failed after a moment, the newest first."""
        runs = await self.all(None, 1_000)
        return [
            run
            for run in runs
            if run.status == "failed" and run.source.startswith(SCHEDULED) and (run.ended_s or 0.0) > since_s
        ]

    async def get(self, run_id: str) -> Run:
        """One run.

        Raises:
            ResourceNotFoundException: There is none of this id.
        """
        for job in self._runs.jobs():
            for run in await self.of(job, 1_000):
                if run.run_id == run_id:
                    return run
        raise ResourceNotFoundException(f"There is no run {run_id[:64]}.")

    async def artefact(self, run_id: str, name: str) -> bytes:
        """One file of a run; its log also where the run itself could not leave one.

        Raises:
            ResourceNotFoundException: The run has none of that name.
        """
        data = await asyncio.to_thread(self._read, run_id, name)
        if data is None and name == "log.txt":
            run = await self.get(run_id)
            logs = self._service.store.logs
            await logs.flush()
            lines = await asyncio.to_thread(logs.read, run.function_name, request_id=run.request_id, limit=10_000)
            data = "".join(f"{line.message.rstrip()}\n" for line in lines).encode()
        if data is None:
            raise ResourceNotFoundException(f"The run {run_id[:64]} has no {name[:64]}.")
        return data

    def _read(self, run_id: str, name: str) -> bytes | None:
        begun = self._runs.find(run_id)
        return self._runs.read(begun, name) if begun is not None else None

    # --- one run

    def _left(self, job: Job) -> list[_Left]:
        """What a job's runs left, the newest first (in a thread: some files for each)."""
        read = self._runs.read_json
        return [
            _Left(one, read(one, "parameters.json"), read(one, "result.json") or {}, self._runs.files(one))
            for one in self._runs.of(job.function_name)
        ]

    def _run(
        self, job: Job, left: _Left, record: InvocationRecord | None, running: Mapping[str, Mapping[str, object]]
    ) -> Run:
        begun, said = left.begun, left.result
        run = Run(
            begun.run_id,
            begun.request_id,
            begun.function_name,
            job.notebook,
            "failed",
            "",
            begun.source,
            begun.started_s,
            None,
            parameters=left.parameters,
            files=left.files,
        )
        here = begun.epoch == self._service.store.epoch
        if record is None and here and self._goes_on(begun) and (begun.request_id in running or not said):
            run.status = "running"
            return run
        if record is not None:
            run.status, run.reason = _judge(record, said)
            run.ended_s = (record.started_s or record.received_s) + record.run_ms / 1000
            run.attempt = record.attempt
            run.memory_used_mb, run.billed_ms = record.memory_used_mb, record.billed_ms
        elif said:  # its record has gone from the ledger, or is about to be written
            run.status = "success" if said.get("status") == "success" else "failed"
            run.reason = str(said.get("failure", ""))
            run.ended_s = begun.started_s + _seconds(said.get("seconds"))
        else:
            run.reason = "it was cut off half-way: the engine ended, or was stopped, while it ran"
            # Nobody was there to see when; the next engine found it so.
            run.ended_s = begun.started_s if here else max(begun.started_s, self._service.started_s)
        return run

    def _see(self, request_ids: Iterable[str]) -> None:
        now_s = self._service.clock()
        for request_id in request_ids:
            if request_id in self._open:
                self._seen[request_id] = now_s

    def _goes_on(self, begun: Begun) -> bool:
        """Whether a run of this engine without a record goes on.

        It may have ended a moment ago: its record is on its way to the disk, together with the end of its event.
        """
        opened = self._open.get(begun.request_id)
        if opened is None or opened.run_id != begun.run_id:
            return False
        return self._service.clock() - self._seen.get(begun.request_id, 0.0) < GRACE_S


def _seconds(said: Any) -> float:
    """How long a run took, as it says itself: the file is the function's, and may hold anything."""
    number = isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said < _TOOK_MAX_S
    return float(said) if number else 0.0


def _is_of(record: InvocationRecord, begun: Begun) -> bool:
    """Whether a record tells how this run ended: the run began within it."""
    if record.request_id != begun.request_id or record.started_s is None:
        return False
    ended_s = record.started_s + record.run_ms / 1000
    return record.started_s - _SLACK_S <= begun.started_s <= ended_s + _SLACK_S


def _judge(record: InvocationRecord, said: Mapping[str, Any]) -> tuple[RunStatus, str]:
    if record.status == "success":
        return "success", ""
    return "failed", str(said.get("failure") or _REASONS[record.status])


def _of_record(job: Job, record: InvocationRecord) -> Run:
    """A run that left no files: it failed before its first one, or they have gone."""
    status, reason = _judge(record, {})
    started_s = record.started_s or record.received_s
    return Run(
        f"{record.request_id}",
        record.request_id,
        record.function_name,
        job.notebook,
        status,
        reason,
        record.source,
        started_s,
        started_s + record.run_ms / 1000,
        attempt=record.attempt,
        memory_used_mb=record.memory_used_mb,
        billed_ms=record.billed_ms,
    )


def _waiting(job: Job, running: Mapping[str, object], now_s: float) -> Run:
    """A run that is starting, or waits for room."""
    request_id, source = str(running["request_id"]), str(running["source"])
    age_s = float(str(running["age_s"]))
    return Run(request_id, request_id, job.function_name, job.notebook, "running", "", source, now_s - age_s, None)
