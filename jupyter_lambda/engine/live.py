"""Changes of state, each published once, for whoever watches: a ring of the latest, and subscriptions that resume.

Nothing is recorded while nobody watches, nor after the last watcher has been gone for a while: what is published then
costs its publisher one look at an attribute (``Live.tap``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from jupyter_lambda.errors import ServiceUnavailableException
from jupyter_lambda.model.invocation import Invocation, InvocationRecord

if TYPE_CHECKING:
    from .service import LambdaService

#: Changes that are kept: some seconds at a thousand invocations a second, 4 MB.
RING_MAX = 8192
#: Seconds for which changes are collected before they are told together.
BATCH_S = 0.075
#: Invocations in one batch above which a batch has sums by function in place of each one.
SINGLE_MAX = 200
#: Seconds that recording goes on after the last watcher has left: one that comes back has missed nothing.
LINGER_S = 30.0
#: Seconds between signs of life where nothing changes.
HEARTBEAT_S = 10.0
#: Watchers at one time; a Jupyter server is one, however many pages it serves.
WATCHERS_MAX = 64

Kind = Literal["began", "ended", "throttled", "function", "environment", "schedules", "engine"]
Change = Literal["created", "updated", "deleted"]


class Event(NamedTuple):
    """One change of state. ``detail`` depends on the kind; it becomes JSON only when it is told."""

    kind: Kind
    function: str
    detail: Any


@dataclass(slots=True)
class Sums:
    """What happened to one function within a batch, where that was too much to tell one by one."""

    began: int = 0
    ended: int = 0
    errors: int = 0
    cold: int = 0
    throttled: int = 0
    run_ms: float = 0.0
    run_ms_max: float = 0.0


class Live:
    """The changes of one engine; all methods are for the loop's thread.

    Args:
        snapshot: What the changes change, as of now; told to who begins, or has missed something.
        is_job: Whether a function runs a notebook.
        running: Function → invocations that run now.
    """

    def __init__(
        self,
        epoch: str,
        snapshot: Callable[[], dict[str, Any]],
        is_job: Callable[[str], bool] = lambda _: False,
        running: Callable[[], Mapping[str, int]] = dict,
        *,
        ring_max: int = RING_MAX,
        batch_s: float = BATCH_S,
        linger_s: float = LINGER_S,
    ) -> None:
        self.epoch = epoch
        #: This object while changes are recorded, else None: the one thing that a publisher looks at.
        self.tap: Live | None = None
        self._snapshot = snapshot
        self._is_job = is_job
        self._running = running
        self._batch_s, self._linger_s = batch_s, linger_s
        self._ring: deque[Event] = deque(maxlen=ring_max)
        #: Number of the latest change; numbers are given without gaps while changes are recorded.
        self.seq = 0
        self._watchers: set[asyncio.Event] = set()
        self._lingering: asyncio.TimerHandle | None = None
        self._closed = False

    # --- for publishers, which look at ``tap`` first

    def began(self, invocation: Invocation, *, cold: bool, at_s: float) -> None:
        """A function begins to handle an event."""
        self._put(Event("began", invocation.function_name, (invocation.request_id, invocation.source, cold, at_s)))

    def ended(self, record: InvocationRecord) -> None:
        """An invocation has its record."""
        self._put(Event("ended", record.function_name, record))

    def throttled(self, function_name: str, request_id: str) -> None:
        """An invocation was turned away."""
        self._put(Event("throttled", function_name, request_id))

    def function(self, function_name: str, change: Change) -> None:
        """A function was created, changed or deleted."""
        self._put(Event("function", function_name, change))

    def environment(self, function_name: str, environment_id: str, state: str) -> None:
        """An execution environment: starting, ready or gone."""
        self._put(Event("environment", function_name, (environment_id, state)))

    def schedules(self) -> None:
        """A schedule was made, changed, paused or removed, or has fired."""
        self._put(Event("schedules", "", None))

    def engine(self, state: str) -> None:
        """The engine itself: ``draining``."""
        self._put(Event("engine", "", state))

    def _put(self, event: Event) -> None:
        self.seq += 1
        self._ring.append(event)
        for waiting in self._watchers:
            waiting.set()

    # --- for watchers

    @property
    def watchers(self) -> int:
        """How many there are."""
        return len(self._watchers)

    def watch(self, after: int | None = None, epoch: str | None = None) -> AsyncGenerator[dict[str, Any], None]:
        """Batches of changes as they happen.

        The first has ``reset`` and a snapshot unless the changes after ``after`` are all there still. Each has the
        number of the latest change it tells of, ``seq``: the next ``after``.

        Raises:
            ServiceUnavailableException: Too many watch already.
        """
        if len(self._watchers) >= WATCHERS_MAX:
            raise ServiceUnavailableException(f"{WATCHERS_MAX} connections watch the engine already.")
        return self._batches(after if epoch == self.epoch else None)

    def close(self) -> None:
        """The engine ends: so do all subscriptions."""
        self._closed = True
        for waiting in self._watchers:
            waiting.set()
        if self._lingering is not None:
            self._lingering.cancel()

    async def _batches(self, after: int | None) -> AsyncGenerator[dict[str, Any], None]:
        waiting = asyncio.Event()
        self._join(waiting)
        try:
            seq = after
            if seq is None or not self._has(seq):
                seq = self.seq
                yield self._reset()
            else:
                yield {"seq": seq, "epoch": self.epoch}
            while not self._closed:
                if seq == self.seq:
                    waiting.clear()
                    try:
                        async with asyncio.timeout(HEARTBEAT_S):
                            await waiting.wait()
                    except TimeoutError:
                        yield {"seq": seq}
                        continue
                    await asyncio.sleep(self._batch_s)
                if not self._has(seq):
                    seq = self.seq
                    yield self._reset()
                    continue
                missing = self.seq - seq
                seq = self.seq
                if missing:
                    yield {"seq": seq, **self._told(list(self._ring)[-missing:])}
        finally:
            self._leave(waiting)

    def _has(self, seq: int) -> bool:
        """Whether all changes after this one are there."""
        return self.seq - len(self._ring) <= seq <= self.seq

    def _told(self, events: list[Event]) -> dict[str, Any]:
        batch, running = told(events, self._is_job), self._running()
        touched = {event.function for event in events if event.kind in _INVOCATIONS}
        if touched:
            batch["running"] = {name: running.get(name, 0) for name in sorted(touched)}
        return batch

    def _reset(self) -> dict[str, Any]:
        return {"seq": self.seq, "epoch": self.epoch, "reset": self._snapshot()}

    def _join(self, waiting: asyncio.Event) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        if self.tap is None:
            # What was not recorded must look like a gap to whoever comes back.
            self._ring.clear()
            self.seq += 1
            self.tap = self
        self._watchers.add(waiting)

    def _leave(self, waiting: asyncio.Event) -> None:
        self._watchers.discard(waiting)
        if not self._watchers and not self._closed:
            self._lingering = asyncio.get_running_loop().call_later(self._linger_s, self._rest)

    def _rest(self) -> None:
        self._lingering = None
        self.tap = None
        self._ring.clear()


def snapshot(service: LambdaService) -> dict[str, Any]:
    """What the changes change, as of now: the engine, what runs, counts since the engine's start."""
    metrics = service.metrics
    metrics.fold()
    return {
        "at_s": service.clock(),
        "engine": {
            "driver": service.driver.name,
            "isolated": service.driver.isolated,
            "region": service.account.region,
            "draining": service.draining,
            "started_s": service.started_s,
        },
        "running": metrics.in_flight,
        "totals": {
            name: {"invocations": one.invocations, "errors": one.errors, "throttles": one.throttles, "cold": one.cold}
            for name, one in metrics.totals.items()
        },
    }


def told(events: Iterable[Event], is_job: Callable[[str], bool] = lambda _: False) -> dict[str, Any]:
    """A batch as JSON has it: each change, or sums by function where there are too many invocations."""
    events = list(events)
    many = sum(event.kind in _INVOCATIONS for event in events) > SINGLE_MAX
    sums: dict[str, Sums] = {}
    single: list[dict[str, Any]] = []
    for event in events:
        if many and event.kind in _INVOCATIONS:
            _add(sums.setdefault(event.function, Sums()), event)
            if event.kind != "ended" or not is_job(event.function):
                continue
        one = _one(event)
        if event.kind == "ended" and is_job(event.function):
            single.append({**one, "kind": "run"})
            if many:
                continue
        single.append(one)
    batch: dict[str, Any] = {"events": single}
    if sums:
        batch["sums"] = {
            name: {field: getattr(one, field) for field in one.__slots__ if getattr(one, field)}
            for name, one in sums.items()
        }
    return batch


_INVOCATIONS = frozenset({"began", "ended", "throttled"})


def _add(sums: Sums, event: Event) -> None:
    if event.kind == "began":
        sums.began += 1
    elif event.kind == "throttled":
        sums.throttled += 1
    else:
        record: InvocationRecord = event.detail
        sums.ended += 1
        sums.errors += record.status != "success"
        sums.cold += record.cold
        sums.run_ms += record.run_ms
        sums.run_ms_max = max(sums.run_ms_max, record.run_ms)


def _one(event: Event) -> dict[str, Any]:
    kind, function, detail = event
    one: dict[str, Any] = {"kind": kind}
    if function:
        one["function"] = function
    if kind == "began":
        one["request_id"], one["source"], one["cold"], one["at_s"] = detail
    elif kind == "ended":
        one |= {
            "request_id": detail.request_id,
            "version": detail.version,
            "source": detail.source,
            "status": detail.status,
            "error_type": detail.error_type,
            "received_s": detail.received_s,
            "started_s": detail.started_s,
            "queue_ms": detail.queue_ms,
            "init_ms": detail.init_ms,
            "run_ms": detail.run_ms,
            "billed_ms": detail.billed_ms,
            "memory_used_mb": detail.memory_used_mb,
            "cold": detail.cold,
            "environment_id": detail.environment_id,
        }
    elif kind == "throttled":
        one["request_id"] = detail
    elif kind == "function":
        one["change"] = detail
    elif kind == "environment":
        one["environment_id"], one["state"] = detail
    elif kind == "engine":
        one["state"] = detail
    return one
