"""The life of execution environments: carries out what the pool decides, from their start to their end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from jupyter_lambda.errors import LambdaError, ServiceException
from jupyter_lambda.model import limits
from jupyter_lambda.model.function import FunctionVersion
from jupyter_lambda.sandbox.base import InitOutcome

from .environments import Environment, Specs
from .freezer import Freezer, Frost
from .live import Live
from .pool import Assign, Discard, Fail, Instruction, Key, Kind, Pool, Prepare, Start, Stop, Throttle
from .settings import EngineSettings
from .warm import Container, Warm

if TYPE_CHECKING:
    from jupyter_lambda.sandbox.sandboxes import Sandboxes
    from jupyter_lambda.store import Store

    from .credentials import Credentials
    from .runtimes import Runtimes

log = logging.getLogger(__name__)

#: Bytes of what an environment writes outside invocations that are kept to explain a failed initialisation.
_INIT_OUTPUT_MAX_BYTES = 64 * 1024
#: Seconds between two ticks of the pool at least.
_TICK_MIN_S = 0.005


@dataclass(frozen=True, slots=True)
class InitFailure:
    """Why an environment never became ready; told to the invocation that waited for it."""

    outcome: InitOutcome
    environment_id: str
    log_stream: str
    #: What the function wrote while it was initialising.
    output: bytes


Failure = InitFailure | LambdaError


class Calls(Protocol):
    """The invocations that environments are for."""

    def assigned(self, request_id: str, environment: Environment) -> None:
        """An invocation has its environment."""

    def throttled(self, request_id: str, reason: str) -> None:
        """An invocation is refused."""

    def failed(self, request_id: str, failure: Failure) -> None:
        """The environment that an invocation waited for did not come up."""


class Lifecycle:
    """Owns the environments and the generic containers. All methods run in the event loop.

    Args:
        clock: Seconds since the epoch, for logs; durations come from the loop's monotonic clock.
        spawn: Runs a coroutine in the service's task group.
    """

    #: Set before the first invocation.
    calls: Calls

    def __init__(
        self,
        settings: EngineSettings,
        store: Store,
        sandboxes: Sandboxes,
        credentials: Credentials,
        runtimes: Runtimes,
        pool: Pool,
        *,
        live: Live,
        clock: Callable[[], float],
        spawn: Callable[..., object],
    ) -> None:
        self.pool = pool
        self._live = live
        self._store = store
        self._sandboxes = sandboxes
        self._credentials = credentials
        self._specs = Specs(settings, store, credentials, runtimes)
        self._clock = clock
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._freezer = Freezer(settings.freeze_delay_s, spawn=spawn)
        self.warm = Warm(
            settings,
            store,
            sandboxes,
            self._specs,
            pool,
            self._freezer,
            execute=self.execute,
            clock=clock,
            spawn=spawn,
        )
        #: Told of each provisioned environment's initialisation: its version's key, and None or why it failed.
        self.on_provisioned: list[Callable[[Key, Failure | None], None]] = []
        #: Versions with provisioned concurrency, and the version's number or the alias that has it.
        self.provisioned: dict[Key, str] = {}
        self._versions: dict[Key, FunctionVersion] = {}
        self._environments: dict[str, Environment] = {}
        self._failures: dict[str, Failure] = {}
        self._ticking: asyncio.TimerHandle | None = None
        self._stopped = False

    # --- for the invoker and the service

    def know(self, key: Key, version: FunctionVersion) -> tuple[Kind, ...]:
        """A version of which the pool may want environments; returns the generic containers they may adopt."""
        self._versions[key] = version
        return self.warm.kinds(key, version)

    def execute(self, instructions: Iterable[Instruction]) -> None:
        """Carry out what the pool says, and wake it when it next wants to be."""
        assigned = others = False
        for instruction in instructions:
            if isinstance(instruction, Assign):
                assigned = True
                environment = self._environments[instruction.environment_id]
                environment.idle = False
                self._freezer.busy(environment)
                self.calls.assigned(instruction.request_id, environment)
            else:
                others = True
                self._carry_out(instruction)
        if others or not assigned or self._ticking is None:  # a warm invocation makes nothing due earlier
            self._schedule_tick()

    async def thaw(self, environment: Environment) -> bool:
        """Let an environment that is to be used go on; False when it is of no use any more."""
        try:
            await self._freezer.thaw(environment)
        except LambdaError as error:
            log.warning("environment %s: %s", environment.sandbox.sandbox_id, error)
            return False
        return True

    def release(self, environment: Environment) -> None:
        """An environment's invocation is finished, and it can take another."""
        environment.idle = True
        self._freezer.idle(environment)
        instructions = self.pool.ready(environment.environment_id, self._loop.time())
        if instructions or self._ticking is None:
            self.execute(instructions)

    def end_soon(self, environment: Environment) -> None:
        """End an environment in the background."""
        self._spawn(self.end(environment), name=f"end {environment.environment_id}")

    async def end(self, environment: Environment) -> None:
        """End an environment, whatever runs in it."""
        try:
            await self._discard(environment)
        finally:
            self.execute(self.pool.gone(environment.environment_id, self._loop.time()))

    def retire(self, name: str, keep: Iterable[Key]) -> None:
        """Environments of a function whose version is not in ``keep`` take nothing new."""
        kept = frozenset(keep)
        self.execute(self.pool.retire(name, kept, self._loop.time()))
        if not self.pool.running(name):
            for key in [k for k in self._versions if k[0] == name and k not in kept]:
                del self._versions[key]

    def rows(self) -> list[dict[str, object]]:
        """Every environment with its version and state."""
        rows: list[dict[str, object]] = []
        for environment_id, (key, state) in self.pool.states().items():
            environment = self._environments.get(environment_id)
            rows.append(
                {
                    "environment_id": environment.sandbox.sandbox_id if environment else environment_id,
                    "function_name": key[0],
                    "version": key[1],
                    "state": state.value,
                    "provisioned": environment.provisioned if environment else False,
                    "frozen": environment is not None and environment.frost is Frost.FROZEN,
                }
            )
        return rows

    def stop(self) -> None:
        """The engine ends: what the pool wants started from now on is not."""
        self._stopped = True
        self.warm.drain()

    async def close(self) -> None:
        """Kill every environment and generic container that is left."""
        if self._ticking is not None:
            self._ticking.cancel()
        self._freezer.close()
        environments = list(self._environments.values())
        await asyncio.gather(self.warm.close(), *(e.sandbox.close() for e in environments), return_exceptions=True)

    # --- what the pool says

    def _carry_out(self, instruction: Instruction) -> None:
        match instruction:
            case Start() if self._stopped:
                log.debug("not started, as the engine ends: an environment of %s", instruction.key[0])
            case Start(environment_id, key):
                self._spawn(self._start(instruction, self._versions.get(key)), name=f"start {environment_id}")
            case Stop(environment_id):
                environment = self._environments[environment_id]
                environment.idle = False
                self.end_soon(environment)
            case Throttle(request_id, reason):
                self.calls.throttled(request_id, reason)
            case Fail(environment_id, request_id):
                self.calls.failed(request_id, self._failures[environment_id])
            case Prepare(container_id, kind):
                self.warm.prepare(container_id, kind)
            case Discard(container_id):
                self.warm.discard(container_id)

    def _schedule_tick(self) -> None:
        due_s = self.pool.next_due_s()
        if due_s is None:
            return
        if self._ticking is not None:
            if self._ticking.when() <= due_s:
                return
            self._ticking.cancel()
        self._ticking = self._loop.call_at(max(due_s, self._loop.time() + _TICK_MIN_S), self._tick)

    def _tick(self) -> None:
        self._ticking = None
        self.execute(self.pool.tick(self._loop.time()))

    # --- start

    async def _start(self, start: Start, version: FunctionVersion | None) -> None:
        if version is None:
            self._lost(start, ServiceException(f"function {start.key[0]} has changed or is gone"))
            return
        try:
            environment, outcome = await self._initialized(start, version)
        except LambdaError as error:
            log.warning("function %s: no environment: %s", version.name, error)
            self._lost(start, error)
            return
        except Exception as error:
            log.exception("function %s: no environment", version.name)
            self._lost(start, ServiceException(f"no environment could be started: {error}"))
            return
        if outcome.kind == "ready":
            # Nobody waits for the others: their initialisation is neither a cold start nor billed.
            environment.init_ms = None if start.provisioned or start.prewarm else outcome.init_ms
            self._told(start, None)
            if self._live.tap is not None:
                self._live.environment(version.name, environment.sandbox.sandbox_id, "ready")
            self.release(environment)
            self.warm.used(version)
            return
        output = bytes(environment.init_output[-limits.LOG_TAIL_BYTES :])
        self._lost(start, InitFailure(outcome, environment.sandbox.sandbox_id, environment.log_stream, output))
        await self._discard(environment)

    async def _initialized(self, start: Start, version: FunctionVersion) -> tuple[Environment, InitOutcome]:
        """An environment from a generic container where the pool has one, else from nothing, and how it initialised."""
        container = self.warm.take(start.container_id) if start.container_id is not None else None
        again = False
        if container is not None:
            adopted = await self._adopted(start, version, container)
            if adopted is not None and not _is_container_to_blame(adopted[1], container):
                return adopted
            if adopted is not None:
                log.info("function %s starts afresh: it failed in a generic container", version.name)
                await self._discard(adopted[0])
                again = True
        environment = await self._create(start, version)
        outcome = await self._initialize(environment, again=again)
        self.warm.learn(version, outcome, None)
        if container is not None and container.make.imports and outcome.kind == "ready":
            self.warm.distrust(version)
        return environment, outcome

    async def _adopted(
        self, start: Start, version: FunctionVersion, container: Container
    ) -> tuple[Environment, InitOutcome] | None:
        """The environment that a generic container has become; None where it could not become it."""
        try:
            environment = await self._create(start, version, container)
        except Exception as error:
            unforeseen = None if isinstance(error, LambdaError) else error
            log.info("function %s starts afresh: %s", version.name, error, exc_info=unforeseen)
            self._spawn(container.sandbox.close(), name=f"close {container.sandbox.sandbox_id}")
            return None
        except BaseException:
            self._spawn(container.sandbox.close(), name=f"close {container.sandbox.sandbox_id}")
            raise
        outcome = await self._initialize(environment)
        self.warm.learn(version, outcome, container)
        return environment, outcome

    async def _create(self, start: Start, version: FunctionVersion, container: Container | None = None) -> Environment:
        spec, credential, stream = await self._specs.make(
            version,
            self._clock(),
            sandbox_id=container.sandbox.sandbox_id if container is not None else None,
            initialization="provisioned-concurrency" if start.provisioned else "on-demand",
        )
        written = bytearray()

        def sink(request_id: str | None, data: bytes) -> None:
            if request_id is None and len(written) < _INIT_OUTPUT_MAX_BYTES:
                written.extend(data)
            self._store.logs.append(version.name, stream, request_id, data, int(self._clock() * 1000))

        try:
            if container is None:
                sandbox = await self._sandboxes.start(spec, sink)
            else:
                await self._freezer.thaw(container)
                sandbox = container.sandbox
                await sandbox.adopt(spec, sink)
        except BaseException:
            self._credentials.revoke(credential.access_key)
            raise
        environment = Environment(
            sandbox, start.environment_id, version, credential, stream, written, provisioned=start.provisioned
        )
        self._environments[start.environment_id] = environment
        if self._live.tap is not None:
            self._live.environment(version.name, sandbox.sandbox_id, "starting")
        sandbox.exited.add_done_callback(lambda _: self._exited(environment))
        return environment

    async def _initialize(self, environment: Environment, *, again: bool = False) -> InitOutcome:
        """Wait for the runtime's first ``next``.

        AWS gives initialisation ten seconds and, where that is too short, runs it again within the invocation's own
        timeout; here it goes on without being begun anew, up to both together.
        """
        if not again:
            self.execute(self.pool.initializing(environment.environment_id, self._loop.time()))
        return await environment.sandbox.init(limits.INIT_TIMEOUT_S + environment.version.timeout_s)

    # --- end

    def _exited(self, environment: Environment) -> None:
        """Notice an environment that ends while nothing runs in it."""
        if environment.idle:
            environment.idle = False
            # First, so that nothing is assigned to it any more.
            self.execute(self.pool.gone(environment.environment_id, self._loop.time()))
            self._spawn(self._discard(environment), name=f"end {environment.environment_id}")

    async def _discard(self, environment: Environment) -> None:
        self._freezer.busy(environment)
        self._credentials.revoke(environment.credential.access_key)
        try:
            await environment.sandbox.close()
        except LambdaError as error:
            log.warning("environment %s: %s", environment.sandbox.sandbox_id, error)
        finally:
            if self._environments.get(environment.environment_id) is environment:
                del self._environments[environment.environment_id]
                if self._live.tap is not None:
                    self._live.environment(environment.version.name, environment.sandbox.sandbox_id, "gone")

    def _lost(self, start: Start, failure: Failure) -> None:
        self._told(start, failure)
        self._failures[start.environment_id] = failure
        try:
            self.execute(self.pool.gone(start.environment_id, self._loop.time()))
        finally:
            del self._failures[start.environment_id]

    def _told(self, start: Start, failure: Failure | None) -> None:
        if start.provisioned:
            for listen in self.on_provisioned:
                listen(start.key, failure)


def _is_container_to_blame(outcome: InitOutcome, container: Container) -> bool:
    """Whether a fresh start may do better: with modules imported ahead, any failure may be due to them."""
    return outcome.kind == "system" or (outcome.kind != "ready" and bool(container.make.imports))
