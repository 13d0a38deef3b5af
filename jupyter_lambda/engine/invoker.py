"""Runs invocations: from their acceptance, through an environment, to their record and what their caller is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jupyter_lambda.errors import (
    InvalidParameterValueException,
    LambdaError,
    ServiceException,
    TooManyRequestsException,
)
from jupyter_lambda.model import limits
from jupyter_lambda.model.function import FunctionVersion
from jupyter_lambda.model.invocation import Invocation, InvocationResult
from jupyter_lambda.sandbox.base import RuntimeEvent, SandboxOutcome

from .environments import Environment
from .freezer import Frost
from .lifecycle import Failure, InitFailure, Lifecycle
from .live import Live
from .metering import Usage, end_lines, record_of, start_line
from .metrics import Metrics
from .outcomes import Verdict, judge
from .settings import EngineSettings

if TYPE_CHECKING:
    from jupyter_lambda.store import Store

#: How often an invocation is given to another environment because its own ended before the event reached the function.
_UNDELIVERED_MAX = 3
#: Of an environment that can't be thawed: the function has not seen the event.
_UNTHAWED = SandboxOutcome("system", b"", 0.0, reusable=False, delivered=False)


@dataclass(slots=True)
class _Call:
    """An invocation from its acceptance to its end."""

    invocation: Invocation
    version: FunctionVersion
    accepted: float
    environment: Environment | None = None
    #: Made only where the pool has not answered at once.
    assigned: asyncio.Future[Environment] | None = None
    #: The START line, once it is written.
    start: bytes = b""
    cancelled: bool = False


class Invoker:
    """The way of each invocation: to an environment, through it, and into the log.

    All methods run in the event loop.

    Args:
        clock: Seconds since the epoch, for records and logs; durations come from the loop's monotonic clock.
        spawn: Runs a coroutine in the service's task group.
    """

    def __init__(
        self,
        settings: EngineSettings,
        store: Store,
        lifecycle: Lifecycle,
        metrics: Metrics,
        live: Live,
        *,
        clock: Callable[[], float] = time.time,
        spawn: Callable[..., object],
    ) -> None:
        self._live = live
        self._settings = settings
        self._store = store
        self._lifecycle = lifecycle
        self._pool = lifecycle.pool
        self._metrics = metrics
        self._clock = clock
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._calls: dict[str, _Call] = {}
        lifecycle.calls = self
        #: Set while no invocation waits or runs.
        self.quiet = asyncio.Event()
        self.quiet.set()

    # --- for the service

    async def run(self, invocation: Invocation, version: FunctionVersion, *, attempt: int = 1) -> InvocationResult:
        """Run one invocation and return what came of it, a failing function included. The caller records it.

        Raises:
            InvalidParameterValueException: The request id is in use.
            TooManyRequestsException: A concurrency limit, or no environment in time.
            ServiceException: The engine or the container engine failed; the function did not run, or not to its end.
        """
        request_id = invocation.request_id
        if request_id in self._calls:
            raise InvalidParameterValueException(f"Request id {request_id} is in use; choose another.")
        call = _Call(invocation, version, self._loop.time())
        self._calls[request_id] = call
        self.quiet.clear()
        try:
            for _ in range(_UNDELIVERED_MAX):
                result = await self._attempt(call, attempt)
                if result is not None:
                    return result
        except BaseException:
            self._lifecycle.execute(self._pool.withdraw(request_id, self._loop.time()))
            if call.environment is not None:
                # Cancelled from outside, or worse: what state its environment is in is unknown, so it goes.
                self._lifecycle.end_soon(call.environment)
            raise
        finally:
            del self._calls[request_id]
            if not self._calls:
                self.quiet.set()
        raise ServiceException(f"the environments of function {version.name} end before they take an event")

    def cancel(self, request_id: str) -> bool:
        """Stop a waiting or running invocation; False when it is not there (any more)."""
        call = self._calls.get(request_id)
        if call is None:
            return False
        call.cancelled = True
        if call.environment is not None:
            self._spawn(call.environment.sandbox.cancel(request_id), name=f"cancel {request_id}")
        elif call.assigned is not None and not call.assigned.done():
            call.assigned.set_exception(_Cancelled())
            self._lifecycle.execute(self._pool.withdraw(request_id, self._loop.time()))
        return True

    def runs(self, request_id: str) -> bool:
        """Whether an invocation of this id waits or runs."""
        return request_id in self._calls

    def running(self) -> list[dict[str, object]]:
        """Invocations that wait or run, oldest first."""
        now = self._loop.time()
        return [
            {
                "request_id": c.invocation.request_id,
                "function_name": c.version.name,
                "version": c.version.version,
                "source": c.invocation.source,
                "state": "running" if c.environment else "waiting",
                "age_s": round(now - c.accepted, 3),
            }
            for c in self._calls.values()
        ]

    # --- one invocation

    async def _attempt(self, call: _Call, attempt: int) -> InvocationResult | None:
        """Run the invocation in one environment; None when that ended before the function saw the event."""
        invocation, version = call.invocation, call.version
        key = version.key
        kinds = self._lifecycle.know(key, version)
        functions = self._store.functions
        function = functions.get(version.name)
        self._lifecycle.execute(
            self._pool.arrive(
                invocation.request_id,
                key,
                memory_mb=version.memory_mb,
                reserved=function.reserved_concurrency if function else None,
                total_reserved=functions.total_reserved(),
                kinds=kinds,
                now_s=self._loop.time(),
            )
        )
        environment = call.environment
        if environment is None:
            if call.assigned is None:
                call.assigned = self._loop.create_future()
            try:
                environment = await call.assigned
            except _InitFailed as failed:
                return self._init_failed(call, failed.failure, attempt)
            except _Cancelled:
                return self._finished(call, None, SandboxOutcome("cancelled", b"", 0.0), 0.0, b"", attempt)
        waited_s = self._loop.time() - call.accepted
        if environment.frost is not Frost.THAWED and not await self._lifecycle.thaw(environment):
            outcome = _UNTHAWED
        else:
            outcome = await self._handle(call, environment)
        if not outcome.delivered and outcome.kind in ("exit", "oom", "system"):
            call.environment = call.assigned = None
            await self._lifecycle.end(environment)
            return None
        output = environment.sandbox.log_tail(invocation.request_id)
        result = self._finished(call, environment, outcome, waited_s, output, attempt)
        call.environment = None
        if key in self._lifecycle.provisioned:
            qualifier = self._lifecycle.provisioned[key]
            self._metrics.provisioned_invocation(version.name, qualifier, spillover=not environment.provisioned)
        if outcome.reusable:
            self._lifecycle.release(environment)
        else:
            self._lifecycle.end_soon(environment)
        if result.record.status == "system":
            self._store.ledger.record(result.record)
            raise ServiceException(
                f"the sandbox of function {version.name} failed through no fault of the function; "
                "see the engine's log (engine.log in its state directory) and `jupyter lambda doctor`"
            )
        return result

    async def _handle(self, call: _Call, environment: Environment) -> SandboxOutcome:
        invocation, version = call.invocation, call.version
        now_s = self._clock()
        call.start = start_line(invocation.request_id, version.version)
        self._store.logs.begin(
            version.name, environment.log_stream, invocation.request_id, call.start, int(now_s * 1000)
        )
        if call.cancelled:
            return SandboxOutcome("cancelled", b"", 0.0, reusable=False)
        event = RuntimeEvent(
            invocation.request_id,
            invocation.payload,
            invocation.invoked_arn,
            int((now_s + version.timeout_s) * 1000),
            invocation.trace_id,
            invocation.client_context,
        )
        if invocation.stream is not None:
            event.stream = invocation.stream
        self._metrics.begin(version.name, now_s)
        if self._live.tap is not None:
            self._live.began(invocation, cold=environment.init_ms is not None, at_s=now_s)
        try:
            return await environment.sandbox.invoke(event, version.timeout_s)
        finally:
            self._metrics.end(version.name)

    def _init_failed(self, call: _Call, failure: InitFailure, attempt: int) -> InvocationResult:
        verdict = judge(failure.outcome, call.invocation.request_id, limits.INIT_TIMEOUT_S + call.version.timeout_s)
        if verdict.status == "system":
            raise ServiceException(f"the sandbox of function {call.version.name} could not be started")
        # AWS runs a failed initialisation again within the invocation, so that its output stands after START too.
        start = start_line(call.invocation.request_id, call.version.version)
        now_ms = int(self._clock() * 1000)
        request_id, written = call.invocation.request_id, start + failure.output
        self._store.logs.append(call.version.name, failure.log_stream, request_id, written, now_ms, platform=True)
        usage = Usage(
            attempt=attempt,
            run_ms=0.0,
            init_ms=failure.outcome.init_ms,
            waited_s=self._loop.time() - call.accepted,
            environment_id=failure.environment_id,
            log_stream=failure.log_stream,
        )
        return self._result(call, verdict, usage, start + failure.output)

    def _finished(
        self,
        call: _Call,
        environment: Environment | None,
        outcome: SandboxOutcome,
        waited_s: float,
        output: bytes,
        attempt: int,
    ) -> InvocationResult:
        verdict = judge(outcome, call.invocation.request_id, call.version.timeout_s)
        init_ms = environment.init_ms if environment else None
        if environment:
            environment.init_ms = None
        usage = Usage(
            attempt=attempt,
            run_ms=outcome.run_ms,
            init_ms=init_ms,
            waited_s=waited_s,
            memory_used_mb=outcome.memory_used_mb,
            environment_id=environment.sandbox.sandbox_id if environment else None,
            log_stream=environment.log_stream if environment else None,
        )
        start = call.start or start_line(call.invocation.request_id, call.version.version)
        return self._result(call, verdict, usage, start + output)

    def _result(self, call: _Call, verdict: Verdict, usage: Usage, output: bytes) -> InvocationResult:
        now_s, increment_ms = self._clock(), self._settings.billing_increment_ms
        record = record_of(call.invocation, call.version, verdict, usage, now_s=now_s, increment_ms=increment_ms)
        self._metrics.invocation(record, call.invocation.invoked_arn)
        if self._live.tap is not None:
            self._live.ended(record)
        end = end_lines(record)
        if verdict.log_line:
            end = verdict.log_line.encode() + b"\n" + end
            if not output.endswith(b"\n"):
                end = b"\n" + end
        if record.log_stream is not None:
            self._store.logs.end(record.function_name, record.log_stream, record.request_id, end, int(now_s * 1000))
        tail = (output + end)[-limits.LOG_TAIL_BYTES :]
        return InvocationResult(verdict.payload, verdict.function_error, call.version.version, tail, record)

    # --- what comes of the pool's decisions

    def assigned(self, request_id: str, environment: Environment) -> None:
        """An invocation has its environment."""
        call = self._calls[request_id]
        call.environment = environment
        if call.assigned is not None and not call.assigned.done():  # else nobody waits, or its caller has gone
            call.assigned.set_result(environment)

    def throttled(self, request_id: str, reason: str) -> None:
        """An invocation is refused."""
        call = self._calls[request_id]
        self._store.ledger.throttle(call.version.name, self._clock())
        self._metrics.throttle(call.invocation.invoked_arn, call.version.version)
        if self._live.tap is not None:
            self._live.throttled(call.version.name, request_id)
        self._refuse(request_id, TooManyRequestsException(reason=reason))

    def failed(self, request_id: str, failure: Failure) -> None:
        """The environment that an invocation waited for did not come up."""
        self._refuse(request_id, failure if isinstance(failure, LambdaError) else _InitFailed(failure))

    def _refuse(self, request_id: str, error: Exception) -> None:
        call = self._calls[request_id]
        if call.assigned is None:
            call.assigned = self._loop.create_future()
        if not call.assigned.done():
            call.assigned.set_exception(error)


class _InitFailed(Exception):
    def __init__(self, failure: InitFailure) -> None:
        super().__init__()
        self.failure = failure


class _Cancelled(Exception):
    """The invocation was stopped while it waited."""
