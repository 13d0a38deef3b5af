"""Runs invocations: carries out what the pool decides, with real sandboxes, and tells what came of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jupyter_lambda.errors import (
    InvalidParameterValueException,
    LambdaError,
    ServiceException,
    TooManyRequestsException,
)
from jupyter_lambda.model import limits
from jupyter_lambda.model.environment import EnvironmentState
from jupyter_lambda.model.function import FunctionVersion
from jupyter_lambda.model.invocation import Invocation, InvocationResult
from jupyter_lambda.sandbox.base import InitOutcome, RuntimeEvent, SandboxOutcome

from .environments import Environment, Specs
from .metering import Usage, end_lines, record_of, start_line
from .metrics import Metrics
from .outcomes import Verdict, judge
from .pool import Assign, Fail, Instruction, Key, Pool, Start, Stop, Throttle
from .settings import EngineSettings

if TYPE_CHECKING:
    from jupyter_lambda.sandbox.sandbox import Sandbox, Sandboxes
    from jupyter_lambda.store import Store

    from .credentials import Credentials
    from .runtimes import Runtimes

log = logging.getLogger(__name__)

#: Bytes of what an environment writes outside invocations that are kept to explain a failed initialisation.
_INIT_OUTPUT_MAX_BYTES = 64 * 1024
#: How often an invocation is given to another environment because its own ended before the event reached the function.
_UNDELIVERED_MAX = 3


@dataclass(frozen=True, slots=True)
class InitFailure:
    """Why an environment never became ready; told to the invocation that waited for it."""

    outcome: InitOutcome
    environment_id: str
    log_stream: str
    #: What the function wrote while it was initialising.
    output: bytes


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
    """Owns the environments. All methods run in the event loop.

    Args:
        clock: Seconds since the epoch, for records and logs; durations come from the loop's monotonic clock.
        spawn: Runs a coroutine in the service's task group.
    """

    def __init__(
        self,
        settings: EngineSettings,
        store: Store,
        sandboxes: Sandboxes,
        credentials: Credentials,
        runtimes: Runtimes,
        pool: Pool,
        *,
        clock: Callable[[], float] = time.time,
        spawn: Callable[..., object],
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics = metrics if metrics is not None else Metrics(clock)
        self._settings = settings
        self._store = store
        self._sandboxes = sandboxes
        self._credentials = credentials
        self._specs = Specs(settings, store, credentials, runtimes)
        self._pool = pool
        self._clock = clock
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._versions: dict[Key, FunctionVersion] = {}
        self._environments: dict[str, Environment] = {}
        self._failures: dict[str, InitFailure | LambdaError] = {}
        self._calls: dict[str, _Call] = {}
        self._ticking: asyncio.TimerHandle | None = None
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
            self._execute(self._pool.withdraw(request_id, self._loop.time()))
            if call.environment is not None:
                # Cancelled from outside, or worse: what state its environment is in is unknown, so it goes.
                self._spawn(self._end(call.environment), name=f"end {call.environment.environment_id}")
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
            self._execute(self._pool.withdraw(request_id, self._loop.time()))
        return True

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

    def environments(self) -> list[dict[str, object]]:
        """Every environment with its version and state."""
        rows: list[dict[str, object]] = []
        for environment_id, (key, state) in self._pool.states().items():
            environment = self._environments.get(environment_id)
            rows.append(
                {
                    "environment_id": environment.sandbox.sandbox_id if environment else environment_id,
                    "function_name": key[0],
                    "version": key[1],
                    "state": state.value,
                }
            )
        return rows

    def retire(self, name: str, keep: Iterable[Key]) -> None:
        """Environments of a function whose version is not in ``keep`` take nothing new."""
        kept = frozenset(keep)
        self._execute(self._pool.retire(name, kept, self._loop.time()))
        if not self._pool.running(name):
            for key in [k for k in self._versions if k[0] == name and k not in kept]:
                del self._versions[key]

    async def close(self) -> None:
        """Kill every environment that is left."""
        if self._ticking is not None:
            self._ticking.cancel()
        await asyncio.gather(*(e.sandbox.close() for e in list(self._environments.values())), return_exceptions=True)

    # --- one invocation

    async def _attempt(self, call: _Call, attempt: int) -> InvocationResult | None:
        """Run the invocation in one environment; None when that ended before the function saw the event."""
        invocation, version = call.invocation, call.version
        key = version.key
        self._versions[key] = version
        functions = self._store.functions
        function = functions.get(version.name)
        self._execute(
            self._pool.arrive(
                invocation.request_id,
                key,
                memory_mb=version.memory_mb,
                reserved=function.reserved_concurrency if function else None,
                total_reserved=functions.total_reserved(),
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
        outcome = await self._handle(call, environment)
        if not outcome.delivered and outcome.kind in ("exit", "oom", "system"):
            call.environment = call.assigned = None
            await self._end(environment)
            return None
        output = environment.sandbox.log_tail(invocation.request_id)
        result = self._finished(call, environment, outcome, waited_s, output, attempt)
        call.environment = None
        if outcome.reusable:
            self._execute(self._pool.ready(environment.environment_id, self._loop.time()))
        else:
            self._spawn(self._end(environment), name=f"end {environment.environment_id}")
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
        self._log(environment.log_stream, call, call.start, now_s)
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
        self._metrics.begin(version.name, now_s)
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
        self._log(failure.log_stream, call, start + failure.output, self._clock())
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
        end = end_lines(record)
        if verdict.log_line:
            end = verdict.log_line.encode() + b"\n" + end
            if not output.endswith(b"\n"):
                end = b"\n" + end
        if record.log_stream is not None:
            self._log(record.log_stream, call, end, now_s)
        tail = (output + end)[-limits.LOG_TAIL_BYTES :]
        return InvocationResult(verdict.payload, verdict.function_error, call.version.version, tail, record)

    def _log(self, stream: str, call: _Call, data: bytes, now_s: float) -> None:
        request_id, now_ms = call.invocation.request_id, int(now_s * 1000)
        self._store.logs.append(call.version.name, stream, request_id, data, now_ms, platform=True)

    # --- what the pool says

    def _execute(self, instructions: Iterable[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Assign(environment_id, request_id):
                    self._assign(environment_id, request_id)
                case Start(environment_id, key):
                    self._spawn(self._start(environment_id, self._versions[key]), name=f"start {environment_id}")
                case Stop(environment_id):
                    self._spawn(self._end(self._environments[environment_id]), name=f"end {environment_id}")
                case Throttle(request_id, reason):
                    self._refuse(request_id, TooManyRequestsException(reason=reason))
                case Fail(environment_id, request_id):
                    failure = self._failures[environment_id]
                    told = failure if isinstance(failure, LambdaError) else _InitFailed(failure)
                    self._refuse(request_id, told)
        self._schedule_tick()

    def _assign(self, environment_id: str, request_id: str) -> None:
        call = self._calls[request_id]
        call.environment = self._environments[environment_id]
        if call.assigned is not None and not call.assigned.done():  # else nobody waits, or its caller has gone
            call.assigned.set_result(call.environment)

    def _refuse(self, request_id: str, error: Exception) -> None:
        call = self._calls[request_id]
        if isinstance(error, TooManyRequestsException):
            self._store.ledger.throttle(call.version.name, self._clock())
            self._metrics.throttle(call.invocation.invoked_arn, call.version.version)
        if call.assigned is None:
            call.assigned = self._loop.create_future()
        if not call.assigned.done():
            call.assigned.set_exception(error)

    def _schedule_tick(self) -> None:
        if self._ticking is not None:
            return
        due = self._pool.next_due_s()
        if due is not None:
            # At least every five seconds, since what comes later may be due earlier; at most twice a second.
            delay_s = min(max(due - self._loop.time(), 0.5), 5.0)
            self._ticking = self._loop.call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._ticking = None
        self._execute(self._pool.tick(self._loop.time()))

    # --- environments

    async def _start(self, environment_id: str, version: FunctionVersion) -> None:
        try:
            environment = await self._create(environment_id, version)
            outcome = await self._initialize(environment)
        except LambdaError as error:
            log.warning("function %s: no environment: %s", version.name, error)
            self._lost(environment_id, error)
            return
        except Exception as error:
            log.exception("function %s: no environment", version.name)
            self._lost(environment_id, ServiceException(f"no environment could be started: {error}"))
            return
        if outcome.kind == "ready":
            environment.init_ms = outcome.init_ms
            self._execute(self._pool.ready(environment_id, self._loop.time()))
            return
        output = bytes(environment.init_output[-limits.LOG_TAIL_BYTES :])
        self._lost(
            environment_id,
            InitFailure(outcome, environment.sandbox.sandbox_id, environment.log_stream, output),
        )
        await self._discard(environment)

    async def _create(self, environment_id: str, version: FunctionVersion) -> Environment:
        spec, credential, stream = await self._specs.make(version, self._clock())
        written = bytearray()

        def sink(request_id: str | None, data: bytes) -> None:
            if request_id is None and len(written) < _INIT_OUTPUT_MAX_BYTES:
                written.extend(data)
            self._store.logs.append(version.name, stream, request_id, data, int(self._clock() * 1000))

        try:
            sandbox: Sandbox = await self._sandboxes.start(spec, sink)
        except BaseException:
            self._credentials.revoke(credential.access_key)
            raise
        environment = Environment(environment_id, version, sandbox, credential, stream, written)
        self._environments[environment_id] = environment
        self._spawn(self._watch(environment), name=f"watch {environment_id}")
        return environment

    async def _initialize(self, environment: Environment) -> InitOutcome:
        """Wait for the runtime's first ``next``.

        AWS gives initialisation ten seconds and, where that is too short, runs it again within the invocation's own
        timeout; here it goes on without being begun anew, up to both together.
        """
        self._execute(self._pool.initializing(environment.environment_id, self._loop.time()))
        return await environment.sandbox.init(limits.INIT_TIMEOUT_S + environment.version.timeout_s)

    async def _watch(self, environment: Environment) -> None:
        """Notice an environment that ends while nothing runs in it."""
        await environment.sandbox.exited
        state = self._pool.states().get(environment.environment_id)
        if state is not None and state[1] is EnvironmentState.IDLE:
            # First, so that nothing is assigned to it any more.
            self._execute(self._pool.gone(environment.environment_id, self._loop.time()))
            await self._discard(environment)

    async def _end(self, environment: Environment) -> None:
        try:
            await self._discard(environment)
        finally:
            self._execute(self._pool.gone(environment.environment_id, self._loop.time()))

    async def _discard(self, environment: Environment) -> None:
        self._credentials.revoke(environment.credential.access_key)
        try:
            await environment.sandbox.close()
        except LambdaError as error:
            log.warning("environment %s: %s", environment.sandbox.sandbox_id, error)
        finally:
            self._environments.pop(environment.environment_id, None)

    def _lost(self, environment_id: str, failure: InitFailure | LambdaError) -> None:
        self._failures[environment_id] = failure
        try:
            self._execute(self._pool.gone(environment_id, self._loop.time()))
        finally:
            del self._failures[environment_id]


class _InitFailed(Exception):
    def __init__(self, failure: InitFailure) -> None:
        super().__init__()
        self.failure = failure


class _Cancelled(Exception):
    """The invocation was stopped while it waited."""
