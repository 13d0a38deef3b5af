"""The engine's one face: what the AWS API, the triggers and the applications ask of it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Self

from jupyter_lambda.errors import (
    InvalidParameterValueException,
    LambdaError,
    ResourceNotFoundException,
    ServiceException,
    ServiceUnavailableException,
)
from jupyter_lambda.model.arn import LATEST, Account, FunctionName
from jupyter_lambda.model.function import FunctionVersion
from jupyter_lambda.model.invocation import AsyncEvent, Invocation, InvocationResult
from jupyter_lambda.model.stream import ResponseStream

from .allocation import Allocations
from .credentials import Credentials
from .destinations import Outlet
from .events import EventWorker
from .invoker import Invoker
from .lifecycle import Lifecycle
from .live import Live, snapshot
from .metrics import Metrics
from .observing import keep, sample_provisioned, write
from .pool import Pool, PoolLimits
from .provisioned import Allocation
from .runtimes import Runtimes
from .settings import EngineSettings
from .storage import keep_small, report

if TYPE_CHECKING:
    from jupyter_lambda.sandbox.base import Driver
    from jupyter_lambda.sandbox.sandboxes import Sandboxes
    from jupyter_lambda.store import Store

log = logging.getLogger(__name__)


class LambdaService:
    """Use as ``async with LambdaService(…) as service``: tasks live in its task group and end with it."""

    def __init__(
        self,
        settings: EngineSettings,
        store: Store,
        sandboxes: Sandboxes,
        driver: Driver,
        credentials: Credentials,
        runtimes: Runtimes,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.store = store
        self.driver = driver
        self.credentials = credentials
        self.runtimes = runtimes
        self.clock = clock
        self.draining = False
        self.started_s = clock()
        self.metrics = Metrics(clock, is_reserved=self._is_reserved)
        #: Changes of state, for whoever watches.
        self.live = Live(
            store.epoch,
            lambda: snapshot(self),
            lambda name: store.runs.job(name) is not None,
            lambda: self.metrics.in_flight,
        )
        self._sandboxes = sandboxes
        self._random = random.Random()  # noqa: S311 - shares of traffic, not secrets
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def account(self) -> Account:
        """Region, account id and partition of this engine."""
        return self.settings.account

    async def __aenter__(self) -> Self:
        pool = Pool(
            PoolLimits(
                concurrency=self.settings.concurrency_limit,
                memory_mb=self.settings.memory_budget_mb or host_memory_mb() * 3 // 4,
                keep_alive_s=self.settings.keep_alive_s,
                queue_timeout_s=self.settings.queue_timeout_s,
                scaling_per_10s=self.settings.scaling_per_10s,
                warm_memory_mb=self.settings.warm_memory_mb,
                starts_at_once=self.settings.starts_at_once,
                keep_alive_learned=self.settings.keep_alive_learned,
                keep_alive_min_s=self.settings.keep_alive_min_s,
                keep_alive_max_s=self.settings.keep_alive_max_s,
                patience=self.settings.patience,
                cold_start_worth=self.settings.cold_start_worth,
                prewarm_min_s=self.settings.prewarm_min_s,
                yield_after_s=self.settings.yield_after_s,
            )
        )
        self._pool = pool
        self._lifecycle = Lifecycle(
            self.settings,
            self.store,
            self._sandboxes,
            self.credentials,
            self.runtimes,
            pool,
            live=self.live,
            clock=self.clock,
            spawn=self._spawn,
        )
        self._invoker = Invoker(
            self.settings, self.store, self._lifecycle, self.metrics, self.live, clock=self.clock, spawn=self._spawn
        )
        self._allocations = Allocations(
            self.store.functions,
            pool,
            know=self._lifecycle.know,
            execute=self._lifecycle.execute,
            named=self._lifecycle.provisioned,
            now=asyncio.get_running_loop().time,
        )
        self._lifecycle.on_provisioned.append(self._allocations.initialised)
        self._events = EventWorker(
            self.settings,
            self.store,
            self._run_event,
            self.resolve,
            spawn=self._spawn,
            clock=self.clock,
            metrics=self.metrics,
        )
        self._spawn(self._events.work(), name="asynchronous events")
        self._spawn(keep_small(self.store, self.settings.state_cap_mb), name="collection of what nobody needs")
        self._spawn(keep(self.metrics, self.store, self.clock, self._sample), name="metrics")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.draining = True
        self.live.close()
        await self._events.stop(0.0)
        self._lifecycle.stop()
        while self._tasks:  # the end of one may be the beginning of another
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._lifecycle.close()
        write(self.metrics, self.store)

    def begin(self) -> None:
        """Start what is kept ready ahead of need: generic containers, provisioned environments. Returns at once."""
        if self.draining:
            return
        self._lifecycle.warm.begin()
        self._allocations.refresh_all()

    def _is_reserved(self, name: str) -> bool:
        function = self.store.functions.get(name)
        return function is not None and function.reserved_concurrency is not None

    def _sample(self) -> None:
        """What lasts, told to the metrics once a minute."""

        def memory_mb(name: str, qualifier: str) -> int:
            try:
                return self.resolve(FunctionName(name), qualifier).memory_mb
            except ResourceNotFoundException:
                return 0

        allocations = self.allocations()
        apart = sum(one.allocated for one in allocations if not self._is_reserved(one.config.function_name))
        self.metrics.allocated = self.store.functions.total_reserved() + apart
        sample_provisioned(self.metrics, allocations, memory_mb)

    def _spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task %s failed", task.get_name(), exc_info=error)

    # --- invocations

    def resolve(self, name: FunctionName, qualifier: str | None = None) -> FunctionVersion:
        """The version that an invocation or a look-up means; an alias with weights chooses anew each time.

        Raises:
            ResourceNotFoundException: No such function, version or alias.
            InvalidParameterValueException: The name's own qualifier and ``qualifier`` differ.
        """
        if name.qualifier and qualifier and name.qualifier != qualifier:
            raise InvalidParameterValueException(
                "The derived qualifier from the function name does not match the specified qualifier."
            )
        wanted = qualifier or name.qualifier
        functions = self.store.functions
        function = functions.get(name.name)
        if function is not None:
            if wanted is None or wanted == LATEST:
                return function.latest
            number = wanted
            if not wanted.isdigit():
                alias = functions.alias(name.name, wanted)
                number = self._weigh(alias.function_version, alias.routing) if alias else ""
            version = functions.version(name.name, number) if number else None
            if version is not None:
                return version
        raise ResourceNotFoundException(f"Function not found: {self.account.function_arn(name.name, wanted)}")

    def _weigh(self, version: str, routing: Any) -> str:
        drawn = self._random.random()
        for other, weight in routing.items():
            if drawn < weight:
                return str(other)
            drawn -= weight
        return version

    async def invoke(self, invocation: Invocation, version: FunctionVersion | None = None) -> InvocationResult:
        """Run a function and wait for its answer.

        Args:
            version: The one that ``resolve`` found just now; None: it is looked up by the invocation's names.
        Raises:
            ServiceUnavailableException: The engine is draining.
            TooManyRequestsException, ServiceException: see ``Invoker.run``.
            ResourceNotFoundException: The version is gone.
        """
        self._refuse_while_draining()
        if version is None:
            version = self.resolve(FunctionName(invocation.function_name), invocation.version)
        result = await self._invoker.run(invocation, version)
        self.store.ledger.record(result.record)
        return result

    def stream(self, invocation: Invocation, version: FunctionVersion) -> ResponseStream:
        """Run a function whose answer is read as it comes; await ``opened`` of what is returned.

        The invocation goes on whether or not anybody reads. An answer that its runtime gives whole comes in one piece.
        """
        stream = invocation.stream = ResponseStream()
        self._spawn(self._stream(invocation, version, stream), name=f"streamed {invocation.request_id}")
        return stream

    async def _stream(self, invocation: Invocation, version: FunctionVersion, stream: ResponseStream) -> None:
        outcome: InvocationResult | LambdaError = ServiceUnavailableException("the engine is shutting down")
        try:
            outcome = result = await self.invoke(invocation, version)
            if result.function_error is None and not stream.begun:
                stream.begin("application/json")
                await stream.write(result.payload)
        except LambdaError as exc:
            outcome = exc
        except Exception:
            outcome = ServiceException("the engine failed; its log says why")
            raise
        finally:
            stream.end(outcome)

    async def invoke_async(self, event: AsyncEvent) -> None:
        """Take an asynchronous invocation; returns once it is on disk."""
        self._refuse_while_draining()
        await self._events.enqueue(event)

    def entered(self, events: Sequence[AsyncEvent]) -> None:
        """Asynchronous invocations were put into the queue by ``store.events.enter``, and are committed."""
        self.store.events.entered(len(events))
        self._events.entered(events)

    async def _run_event(self, invocation: Invocation, version: FunctionVersion, attempt: int) -> InvocationResult:
        return await self._invoker.run(invocation, version, attempt=attempt)

    def bring_outlet(self, outlet: Outlet) -> None:
        """Outcomes of asynchronous events can go to queues, topics, buses and buckets from here on."""
        self._events.outlet = outlet

    def cancel(self, request_id: str) -> bool:
        """Stop a waiting or running invocation in its sandbox; False when there is none of this id."""
        return self._invoker.cancel(request_id)

    async def retire(self, function_name: str, version: str | None = None) -> None:
        """Code or configuration changed: what runs the old revision finishes and goes."""
        functions = self.store.functions
        states = self._pool.states().values()
        keep = set()
        for key, _ in states:
            if key[0] == function_name and (version is None or key[1] == version):
                current = functions.version(function_name, key[1])
                if current is not None and current.key == key:
                    keep.add(key)
            else:
                keep.add(key)
        self._lifecycle.retire(function_name, keep)

    def provision(self, function_name: str) -> None:
        """A function's provisioned concurrency, aliases or versions changed."""
        self._allocations.refresh(function_name)

    def allocations(self, function_name: str | None = None) -> Sequence[Allocation]:
        """Provisioned concurrency of one function or all, and how far it has come."""
        return self._allocations.of(function_name)

    # --- what is going on

    def running(self) -> list[dict[str, object]]:
        """Invocations that wait or run, oldest first."""
        return self._invoker.running()

    def runs(self, request_id: str) -> bool:
        """Whether an invocation of this id waits or runs."""
        return self._invoker.runs(request_id)

    def environments(self) -> list[dict[str, object]]:
        """Execution environments that are not gone."""
        return self._lifecycle.rows()

    def generic_containers(self) -> list[dict[str, object]]:
        """Generic containers that are ready, with what they have imported."""
        return self._lifecycle.warm.rows()

    def status(self) -> dict[str, object]:
        """A summary for `jupyter lambda status` and the Jupyter server."""
        states = [state.value for _, state in self._pool.states().values()]
        provisioned = self.allocations()
        return {
            "driver": self.driver.name,
            "isolated": self.driver.isolated,
            "region": self.account.region,
            "account_id": self.account.account_id,
            "state_dir": str(self.store.state_dir),
            "state": report(self.store, self.settings.state_cap_mb),
            "uptime_s": round(self.clock() - self.started_s, 1),
            "draining": self.draining,
            "prices": {"gb_s": self.settings.price_gb_s, "request": self.settings.price_request},
            "functions": self.store.functions.count(),
            "running": self._pool.running(),
            "environments": {state: states.count(state) for state in sorted(set(states))},
            "generic_containers": self._lifecycle.warm.counts(),
            "provisioned": {str(one): f"{one.allocated} of {one.config.requested} {one.status}" for one in provisioned},
            "memory_promised_mb": self._pool.promised_mb,
            "events": self.store.events.depth(),
            "runtimes": self.runtimes.available(),
            "interpreters": [str(path) for path in self.settings.interpreters],
        }

    async def drain(self, timeout_s: float) -> None:
        """Refuse new work, let what runs finish, keep the rest for the next start."""
        self.draining = True
        if self.live.tap is not None:
            self.live.engine("draining")
        self._lifecycle.warm.drain()
        await asyncio.gather(self._events.stop(timeout_s), self._quiet(timeout_s))
        self.live.close()

    async def _quiet(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._invoker.quiet.wait()
        except TimeoutError:
            log.warning("%d invocations did not finish in time and are stopped", len(self._invoker.running()))

    def _refuse_while_draining(self) -> None:
        if self.draining:
            raise ServiceUnavailableException("the engine is shutting down; try again when it is back")


def host_memory_mb() -> int:
    """Memory of this machine in MB."""
    import os

    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1024 * 1024)
