"""One sandbox as the engine sees it: a driver's process joined to its Runtime API session and its log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

from jupyter_lambda import http1
from jupyter_lambda.errors import DriverError
from jupyter_lambda.model.limits import INIT_TIMEOUT_S, TIMEOUT_MAX_S

from .adoption import Adoption, ImportReport, check_match
from .base import (
    Driver,
    Exit,
    GenericSpec,
    InitOutcome,
    LogSink,
    Process,
    RuntimeEvent,
    SandboxOutcome,
    SandboxSpec,
)
from .busy_poll import BusyPoll
from .directory import SandboxDirectory, short_path
from .logpipe import LogPipe
from .runtime_api import RuntimeApi, error_response
from .runtime_connection import RuntimeConnection
from .session import Answer, Report, Session, SessionState
from .streamed import Wanted, streamed_or

log = logging.getLogger(__name__)

#: Seconds that a kill may take before the outcome of its invocation is told without it; it goes on in the background.
KILL_WAIT_S = 5.0
#: Memory is read again for an invocation that ran as long, or when the last figure is as old. In between a short
#: invocation reports what is known: a read costs the engine more than such an invocation otherwise does.
MEMORY_SLOW_MS, MEMORY_EVERY_S = 10.0, 0.1
#: Turns of the event loop between a process's end and the verdict: an answer that it sent just before is read first.
_SETTLE_TURNS = 3
#: What one sandbox may make the engine hold: connections, and bytes of one request's body.
MAX_CONNECTIONS, MAX_BODY_BYTES = 128, 8 * 1024 * 1024


class Sandbox:
    """One execution environment. Made by `Sandboxes.start`; one invocation at a time."""

    def __init__(
        self,
        spec: SandboxSpec | GenericSpec,
        directory: SandboxDirectory,
        log_sink: LogSink,
        *,
        aws_handler: Callable[[], http1.Handler | None],
        clock: Callable[[], float],
        busy_poll: BusyPoll,
    ) -> None:
        loop = asyncio.get_running_loop()
        #: What it was started with; of a generic one that was adopted, the function's.
        self.spec: SandboxSpec | GenericSpec = spec
        self.sandbox_id = spec.sandbox_id
        self._exited: asyncio.Future[Exit] = loop.create_future()
        #: Done when `close` has removed everything.
        self.closed: asyncio.Future[None] = loop.create_future()
        self._directory = directory
        self._aws_handler = aws_handler
        self._clock = clock
        self._pipe = LogPipe(log_sink)
        self._report: asyncio.Future[Report] = loop.create_future()
        self._answer: asyncio.Future[Answer] | None = None
        self._session = Session(on_report=self._on_report, on_answer=self._on_answer)
        self._api = RuntimeApi(self._session)
        self._adoption = Adoption(generic=isinstance(spec, GenericSpec))
        self._server = http1.Server(
            self.handle,
            max_body_bytes=MAX_BODY_BYTES,
            max_connections=MAX_CONNECTIONS,
            # A function may take its time between two pieces of a streamed response; its deadline watches it.
            stall_timeout_s=TIMEOUT_MAX_S,
            protocol=lambda server: RuntimeConnection(server, self._session, busy_poll),
        )
        self._server.on_refused.append(self._api.refused)
        self._server.streams = streamed_or(None)
        self._process: Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._started = clock()
        self._ready = self._started
        #: When the invocation that runs, or the last one, must be over, in the loop's time; one timer serves all.
        self._deadline = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._memory_mb: int | None = None
        self._measured = float("-inf")

    @property
    def exited(self) -> asyncio.Future[Exit]:
        """Done when the process has ended, for whatever reason; never fails. Whoever sees it calls `close`.

        A future of the asker's own, which it may cancel.
        """
        return asyncio.shield(self._exited)

    # --- what the engine does with it

    async def init(self, timeout_s: float = INIT_TIMEOUT_S) -> InitOutcome:
        """Wait until the runtime asks for its first event, reports that it can't, ends, or takes too long.

        After "timeout" the process still runs: close the sandbox, or call again to go on waiting.
        """
        try:
            report = await asyncio.wait_for(asyncio.shield(self._report), timeout_s)
        except TimeoutError:
            return InitOutcome("timeout", self._since(self._started))
        self._pipe.drain()
        init_ms = (self._ready - self._started) * 1000.0
        if report.kind == "ready":
            assert self._process is not None
            self._process.settle()
            learned = self._adoption.report or ImportReport()
            return InitOutcome("ready", init_ms, imports=learned.imports, import_ms=learned.import_ms)
        if report.kind == "error":
            return InitOutcome("error", init_ms, report.payload, report.error_type)
        end = await self.exited
        return InitOutcome(_exit_kind(end), init_ms, exit=end)

    async def invoke(self, event: RuntimeEvent, timeout_s: float) -> SandboxOutcome:
        """Run one event. A failing function is an outcome, never an exception.

        Args:
            timeout_s: Seconds from now until the sandbox is killed.
        """
        assert self._answer is None, "one invocation at a time"
        loop = asyncio.get_running_loop()
        started = self._clock()
        if self._exited.done():
            return self._dead_outcome(0.0, delivered=False)
        self._pipe.begin(event.request_id)
        self._answer = loop.create_future()
        self._deadline = loop.time() + timeout_s
        if self._alarm is None or self._alarm_at > self._deadline:
            self._set_alarm(loop)
        answer: Answer | None = None
        try:
            self._session.offer(event)
            answer = await self._answer
        except asyncio.CancelledError:
            self._session.give_up(Answer("cancelled"))
            self._close_soon()
            raise
        finally:
            self._answer = None
            self._pipe.end(after_log=answer is not None and answer.after_log)
        run_ms = self._since(started)
        memory = self._memory(run_ms)
        if answer.kind == "response" or answer.kind == "error" or answer.kind == "too_large":
            return SandboxOutcome(answer.kind, answer.payload, run_ms, answer.error_type, None, memory)
        if answer.kind == "exit":
            return self._dead_outcome(run_ms, delivered=self._session.delivered)
        await self._killed()
        end = self._exited.result() if self._exited.done() else None
        delivered = self._session.delivered
        return SandboxOutcome(answer.kind, b"", run_ms, None, end, memory, reusable=False, delivered=delivered)

    async def cancel(self, request_id: str | None = None) -> None:
        """Stop the running invocation: its outcome is "cancelled" and the sandbox is killed. Nothing if none runs.

        Args:
            request_id: Stop this one only; None: whichever runs.
        """
        if self._session.give_up(Answer("cancelled"), request_id):
            await self._killed()

    async def adopt(self, spec: SandboxSpec, log_sink: LogSink) -> None:
        """Of a generic sandbox: give it its function. Go on with `init`, as after a start.

        Args:
            spec: With this sandbox's own id.
            log_sink: Takes what the function writes.
        Raises:
            DriverError: It can't be adopted, or not by this function. Close it and start afresh.
        """
        generic = self.spec
        if not isinstance(generic, GenericSpec):
            raise DriverError(f"sandbox {self.sandbox_id} has its function already; start another")
        check_match(generic, spec, self._adoption)
        self._adoption.take()
        assert self._process is not None
        self.spec = spec
        self._started = self._clock()
        assignment = await self._process.adopt(spec)
        if self._closing is not None:
            raise DriverError(f"sandbox {self.sandbox_id} was closed while it was adopted")
        self._pipe.redirect(log_sink)
        self._adoption.assign(assignment)

    async def generic(self) -> frozenset[str]:
        """Until a generic sandbox waits for its function: the top-level modules it has imported ahead.

        Raises:
            DriverError: It ended before that.
        """
        return await asyncio.shield(self._adoption.waiting)

    async def freeze(self) -> None:
        """Stop every task of the sandbox where it stands."""
        assert self._process is not None
        await self._process.freeze()

    async def thaw(self) -> None:
        """Let a frozen sandbox go on."""
        assert self._process is not None
        await self._process.thaw()

    async def close(self) -> None:
        """Kill the sandbox and remove all that it was. Idempotent; a running invocation ends as "exit"."""
        await asyncio.shield(self._close_soon())

    def log_tail(self, request_id: str) -> bytes:
        """The last 4 KB that the function wrote in this invocation (the present or the last one)."""
        return self._pipe.tail(request_id)

    # --- making and unmaking

    async def start(self, driver: Driver) -> None:
        """Listen and start the process; for `Sandboxes` only.

        Raises:
            DriverError: It could not be started.
            OSError: The socket or the FIFO could not be opened.
        """
        self._pipe.open(self._directory.log)
        with short_path(self._directory.socket) as address:
            await self._server.listen_unix(address)
        if isinstance(self.spec, GenericSpec):
            process = await driver.prepare(self.spec, self._directory.path, self._pipe.feed)
        else:
            process = await driver.start(self.spec, self._directory.path, self._pipe.feed)
        if self._closing is not None:
            await process.kill()
            raise DriverError(f"sandbox {self.sandbox_id} was closed while it started")
        self._process = process
        self._started = self._clock()
        self._watcher = asyncio.get_running_loop().create_task(self._watch(self._process))

    async def _watch(self, process: Process) -> None:
        try:
            end = await process.wait()
        except Exception:
            log.exception("sandbox %s: its driver lost sight of it", self.sandbox_id)
            end = Exit(None, system=True)
        for _ in range(_SETTLE_TURNS):
            await asyncio.sleep(0)
        self._ended(end)

    def _ended(self, end: Exit) -> None:
        if not self._exited.done():
            self._pipe.drain()
            self._exited.set_result(end)
        self._adoption.end()
        self._session.end()

    def _close_soon(self) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        return self._closing

    async def _close(self) -> None:
        try:
            if self._process is not None:
                await self._process.kill()
        except Exception:
            log.exception("sandbox %s could not be killed", self.sandbox_id)
        if self._watcher is not None:
            try:
                await asyncio.wait_for(self._watcher, KILL_WAIT_S)
            except TimeoutError:
                log.warning("sandbox %s: its end was not seen within %s s of its kill", self.sandbox_id, KILL_WAIT_S)
        self._ended(Exit(None, system=True))
        if self._alarm is not None:
            self._alarm.cancel()
        await self._server.close()
        self._pipe.close()
        self._directory.remove()
        self.closed.set_result(None)

    async def _killed(self) -> None:
        """Close, and wait for it, but not for ever: a hung container engine must not hold back the answer."""
        await asyncio.wait({self._close_soon()}, timeout=KILL_WAIT_S)

    # --- what happens to it

    async def handle(self, request: http1.Request) -> http1.Response:
        """Answer what the sandbox asks: the Runtime API here, anything else by the engine's AWS handler."""
        if self._api.serves(request.path):
            return await self._api.handle(request)
        if self._adoption.serves(request.path):
            started = self._session.state is not SessionState.STARTED
            return await self._adoption.handle(request, started=started)
        request.peer = f"sandbox:{self.sandbox_id}"
        handler = self._aws_handler()
        if handler is None:
            text = f"no AWS endpoint is attached to this sandbox: {request.method} {request.path}"
            return error_response(404, "NotFound", text)
        return await handler(request)

    def streams(self, wanted: Wanted | None) -> None:
        """Which requests that are not the Runtime API's are handed on before they are whole."""
        self._server.streams = streamed_or(wanted)

    def _on_report(self, report: Report) -> None:
        self._ready = self._clock()
        if not self._report.done():
            self._report.set_result(report)

    def _on_answer(self, answer: Answer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    # ---

    def _dead_outcome(self, run_ms: float, *, delivered: bool) -> SandboxOutcome:
        end = self._exited.result() if self._exited.done() else Exit(None, system=True)
        kind = _exit_kind(end)
        memory = self._memory(float("inf"))
        return SandboxOutcome(kind, b"", run_ms, None, end, memory, reusable=False, delivered=delivered)

    def _set_alarm(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = self._deadline
        self._alarm = loop.call_at(self._deadline, self._alarmed)

    def _alarmed(self) -> None:
        """A deadline has come: of the invocation that runs, or of one before it that was in time."""
        self._alarm = None
        if self._answer is None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._deadline:
            self._set_alarm(loop)
        else:
            self._session.give_up(Answer("timeout"))

    def _memory(self, run_ms: float) -> int | None:
        now = self._clock()
        if (run_ms >= MEMORY_SLOW_MS or now - self._measured >= MEMORY_EVERY_S) and self._process is not None:
            self._measured = now
            self._memory_mb = self._process.memory_peak_mb()
        return self._memory_mb

    def _since(self, then: float) -> float:
        return (self._clock() - then) * 1000.0


def _exit_kind(end: Exit) -> Literal["system", "oom", "exit"]:
    if end.system:
        return "system"
    return "oom" if end.oom_killed else "exit"
