"""Asynchronous invocations: leases durable events, runs them, retries them, hands on what came of them.

An event leaves the queue in one transaction with the record of its success, or once its destination has accepted it.
Whatever happens in between (SIGKILL included) it is still there at the next start and runs again: at least once, as
AWS promises.

Source: AWS Lambda Developer Guide, "How Lambda handles errors and retries with asynchronous invocation".
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jupyter_lambda.errors import LambdaError, ResourceNotFoundException
from jupyter_lambda.model import limits
from jupyter_lambda.model.arn import LATEST, FunctionName
from jupyter_lambda.model.function import EventInvokeConfig, FunctionVersion
from jupyter_lambda.model.invocation import AsyncEvent, Invocation, InvocationRecord, InvocationResult

from .destinations import Delivery, Done, Outlet, UndeliverableError, destination_record
from .metrics import Metrics
from .pacing import LOOK_EVERY_S, Pace
from .settings import EngineSettings

if TYPE_CHECKING:
    from jupyter_lambda.store import Store

log = logging.getLogger(__name__)

#: Seconds a lease lasts: longer than any invocation can take, queueing and initialisation included. One engine owns the
#: queue, so a lease only ever outlives its holder when the engine dies, and then the next start takes it back.
LEASE_S = limits.TIMEOUT_MAX_S + limits.INIT_TIMEOUT_S + 300.0

#: Seconds after its event came for which an outcome is offered to a destination that doesn't take it; then it is kept
#: as dead, with why.
OUTCOME_AGE_MAX_S = 86_400.0

Run = Callable[[Invocation, FunctionVersion, int], Awaitable[InvocationResult]]
Resolve = Callable[[FunctionName, str | None], FunctionVersion]


class EventWorker:
    """Takes due events while it runs; ``stop`` lets those in flight finish."""

    def __init__(
        self,
        settings: EngineSettings,
        store: Store,
        run: Run,
        resolve: Resolve,
        *,
        spawn: Callable[..., object],
        clock: Callable[[], float] = time.time,
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics = metrics if metrics is not None else Metrics(clock)
        #: Takes outcomes to queues, topics, buses and buckets; None: nobody does.
        self.outlet: Outlet | None = None
        self._settings = settings
        self._store = store
        self._run = run
        self._resolve = resolve
        self._spawn = spawn
        self._clock = clock
        self._pace = Pace()
        self._now_s = asyncio.get_running_loop().time
        self._wake = asyncio.Event()
        self._stopping = False
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def enqueue(self, event: AsyncEvent) -> None:
        """Returns once the event is committed to disk."""
        self._pace.comes()
        try:
            await self._store.events.enqueue(event)
        finally:
            self._pace.came()
        self._metrics.event_received(event.function_name, event.enqueued_s)
        self._wake.set()

    def entered(self, events: Sequence[AsyncEvent]) -> None:
        """Events were committed together with what belongs to them (see ``EventQueue.enter``)."""
        for event in events:
            self._metrics.event_received(event.function_name, event.enqueued_s)
        self._wake.set()

    async def stop(self, timeout_s: float) -> None:
        """Take nothing new; wait for what runs. What doesn't finish stays in the queue."""
        self._stopping = True
        self._wake.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            log.warning(
                "%d asynchronous events did not finish in time; they run again at the next start", self._in_flight
            )

    async def work(self) -> None:
        """Until ``stop``."""
        taken = await self._store.events.reclaim()
        if taken:
            log.info("%d asynchronous events of an earlier engine go on", taken)
        while not self._stopping:
            self._wake.clear()
            flooded = self._pace.flooded(self._now_s())
            taken = await self._take()
            if flooded:
                await asyncio.sleep(LOOK_EVERY_S)
            elif not taken:
                await self._sleep()

    async def _sleep(self) -> None:
        """Until something is enqueued or finishes, or the next event is due."""
        due_s = self._store.events.next_due_s() if any(self._to_look_for()) else None
        delay_s = None
        if due_s is not None and self._in_flight < self._settings.event_concurrency:
            delay_s = max(0.001, due_s - self._clock())
        try:
            async with asyncio.timeout(delay_s):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _take(self) -> int:
        """Lease as many due events as may run, and begin them; returns how many."""
        room = self._pace.allowance(self._now_s(), self._settings.event_concurrency - self._in_flight)
        if room <= 0:
            return 0
        self._idle.clear()  # what is being leased is in flight: ``stop`` must wait for it
        taken = 0
        try:
            waiting, outcomes = self._to_look_for()
            if waiting:
                for event in await self._store.events.lease(self._clock(), room, LEASE_S):
                    taken += 1
                    self._begin(self._process(event), event.request_id)
            if outcomes and taken < room:
                for event in await self._store.events.lease_outcomes(self._clock(), room - taken, LEASE_S):
                    taken += 1
                    self._begin(self._deliver(event), event.request_id)
        except LambdaError as error:
            log.error("the event queue can't be read: %s", error)  # noqa: TRY400 - the message says it all
            await asyncio.sleep(1.0)
        finally:
            if not self._in_flight:
                self._idle.set()
        return taken

    def _to_look_for(self) -> tuple[bool, bool]:
        """Whether the queue holds events that wait for their function, and outcomes that are owed; told from memory."""
        depth = self._store.events.depth()
        # This engine alone takes leases: those beyond what is in flight were left, and may have run out.
        return depth["waiting"] > 0 or depth["leased"] > self._in_flight, depth["outcome"] > 0

    def _begin(self, work: Awaitable[None], request_id: str) -> None:
        self._in_flight += 1
        self._idle.clear()
        self._spawn(self._guard(work, request_id), name=f"event {request_id}")

    async def _guard(self, work: Awaitable[None], request_id: str) -> None:
        try:
            await work
        except LambdaError as error:
            # The queue itself failed (full disk): the lease runs out, or the next start takes it back.
            log.error("event %s: %s", request_id, error)  # noqa: TRY400 - the message says it all
        except Exception:
            log.exception("event %s failed in the engine", request_id)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
            self._wake.set()

    # --- one event

    async def _process(self, event: AsyncEvent) -> None:
        config = self._config(event)
        if self._clock() - event.enqueued_s >= config.maximum_event_age_s:
            await self._finish(event, config, Done("EventAgeExceeded"))
            return
        try:
            version = self._resolve(FunctionName(event.function_name), event.qualifier)
        except ResourceNotFoundException as error:
            await self._store.events.bury(event.request_id, f"function or qualifier deleted: {error}")
            return
        invocation = Invocation(
            request_id=event.request_id,
            function_name=event.function_name,
            version=version.version,
            invoked_arn=self._settings.account.function_arn(
                event.function_name, None if event.qualifier == LATEST else event.qualifier
            ),
            payload=event.payload,
            source=event.source,
            client_context=event.client_context,
            trace_id=event.trace_id,
            received_s=event.enqueued_s,
        )
        now_s = self._clock()
        self._metrics.event_age(event.function_name, (now_s - event.enqueued_s) * 1000, now_s)
        try:
            result = await self._run(invocation, version, event.attempts + 1)
        except LambdaError as error:
            await self._defer(event, config, error)
            return
        await self._settle(event, config, result)

    async def _defer(self, event: AsyncEvent, config: EventInvokeConfig, error: LambdaError) -> None:
        """After a throttle or a system error: back off from one second to five minutes; it doesn't count as a retry."""
        first_s, longest_s = self._settings.event_backoff_s
        due_s = self._clock() + min(longest_s, first_s * 2**event.deferrals)
        log.info("event %s is put off: %s", event.request_id, error)
        if due_s - event.enqueued_s > config.maximum_event_age_s:
            await self._finish(event, config, Done("EventAgeExceeded"))
            return
        await self._store.events.retry(event.request_id, due_s, attempts=event.attempts, deferrals=event.deferrals + 1)

    async def _settle(self, event: AsyncEvent, config: EventInvokeConfig, result: InvocationResult) -> None:
        if result.function_error is None:
            await self._finish(event, config, Done("Success", result))
            return
        if event.attempts >= config.maximum_retry_attempts or result.record.status == "cancelled":
            await self._finish(event, config, Done("RetriesExhausted", result))
            return
        delays_s = self._settings.event_retry_delays_s
        due_s = self._clock() + delays_s[min(event.attempts, len(delays_s) - 1)]
        if due_s - event.enqueued_s > config.maximum_event_age_s:
            await self._finish(event, config, Done("EventAgeExceeded", result))
            return
        self._store.ledger.record(result.record)
        await self._store.events.retry(event.request_id, due_s, attempts=event.attempts + 1, deferrals=event.deferrals)

    async def _finish(self, event: AsyncEvent, config: EventInvokeConfig, done: Done) -> None:
        """The function is done with the event: to its destination, or out of the queue."""
        record = done.result.record if done.result else None
        success = done.condition == "Success"
        if not success:
            self._metrics.event_dropped(event.function_name)
        destination = config.on_success_arn if success else config.on_failure_arn
        if destination:
            body = destination_record(event, done, self._settings.account.function_arn(event.function_name))
            await self._owe(event, {"destination": destination, "body": body}, record)
            return
        dead_letter = None if success else self._dead_letter(event)
        if dead_letter:
            body = json.loads(event.payload or b"{}")
            owed = {"destination": dead_letter, "body": body, "raw": True, "error": done.error_message}
            await self._owe(event, owed, record)
        elif record is not None:
            await self._store.events.succeed(event.request_id, record)
        else:
            await self._store.events.bury(event.request_id, done.condition)

    async def _owe(self, event: AsyncEvent, outcome: dict[str, Any], record: InvocationRecord | None) -> None:
        await self._store.events.settle(event.request_id, outcome, record)
        self._wake.set()

    async def _deliver(self, event: AsyncEvent) -> None:
        """Hand an outcome to its destination; the event goes only after it was accepted."""
        assert event.outcome is not None
        destination = event.outcome["destination"]
        target = self._target(destination)
        if target is None:
            await self._deliver_elsewhere(event, event.outcome)
            return
        await self._store.events.hand_over(
            event.request_id,
            AsyncEvent(
                request_id=str(uuid.uuid4()),
                function_name=target.name,
                qualifier=target.qualifier or LATEST,
                payload=json.dumps(event.outcome["body"], separators=(",", ":")).encode(),
                source="destination",
                enqueued_s=self._clock(),
            ),
        )
        self._wake.set()

    async def _deliver_elsewhere(self, event: AsyncEvent, outcome: dict[str, Any]) -> None:
        """To what is no function of this engine: again and again until it is accepted, or the outcome is too old."""
        destination, raw = outcome["destination"], bool(outcome.get("raw"))
        body = event.payload or b"{}" if raw else json.dumps(outcome["body"], separators=(",", ":")).encode()
        condition = None if raw else outcome["body"]["requestContext"]["condition"]
        try:
            if self.outlet is None or ":lambda:" in destination:
                raise UndeliverableError("no such function, and nothing else takes it")
            await self.outlet.deliver(
                Delivery(
                    destination,
                    event.function_name,
                    f"{self._settings.account.function_arn(event.function_name)}:{event.qualifier}",
                    event.request_id,
                    body.decode("utf-8", "replace"),
                    None if raw else condition == "Success",
                    outcome.get("error", ""),
                )
            )
        except LambdaError as error:
            failed = self._metrics.dead_letter_error if raw else self._metrics.destination_failure
            failed(event.function_name)
            await self._put_off_outcome(event, destination, error)
            return
        await self._store.events.delivered(event.request_id)

    async def _put_off_outcome(self, event: AsyncEvent, destination: str, error: LambdaError) -> None:
        now_s = self._clock()
        if isinstance(error, UndeliverableError) or now_s - event.enqueued_s > OUTCOME_AGE_MAX_S:
            await self._store.events.bury(event.request_id, f"destination {destination}: {error.message}")
            return
        first_s, longest_s = self._settings.event_backoff_s
        due_s = now_s + min(longest_s, first_s * 2 ** min(event.deferrals, 30))
        log.warning("event %s: destination %s: %s; tried again", event.request_id, destination, error.message)
        await self._store.events.defer_outcome(event.request_id, due_s, deferrals=event.deferrals + 1)

    # --- look-ups

    def _config(self, event: AsyncEvent) -> EventInvokeConfig:
        found: EventInvokeConfig | None = self._store.functions.invoke_config(event.function_name, event.qualifier)
        return found or EventInvokeConfig(event.function_name, event.qualifier, 0.0)

    def _dead_letter(self, event: AsyncEvent) -> str | None:
        try:
            return self._resolve(FunctionName(event.function_name), event.qualifier).dead_letter_arn
        except ResourceNotFoundException:
            return None

    def _target(self, arn: str) -> FunctionName | None:
        """The function an ARN names, if it is one of this engine's."""
        if ":lambda:" not in arn:
            return None
        try:
            name = FunctionName.parse(arn, self._settings.account)
            self._resolve(replace(name, qualifier=None), name.qualifier)
        except LambdaError:
            return None
        return name
