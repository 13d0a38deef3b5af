"""Many calls at once: order kept, each failure kept in its place, throttles answered with patience."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Protocol, Self

from .errors import Interrupted, NotebookError
from .invocation import FunctionError, Invocation, Throttled, human_ms

if TYPE_CHECKING:
    from .function import LambdaFunction

#: Seconds between two looks at how far it is.
_TICK_S = 0.1
#: How often one event is tried again while throttled; each try is itself patient.
_THROTTLE_RETRIES = 30


class Cancelled(NotebookError):
    """The map was interrupted before this event was done."""


class MapResult(Sequence[Any]):
    """What came of a map, in the order of the events; a failed one has its exception in its place."""

    def __init__(
        self, function: LambdaFunction, events: Sequence[Any], outcomes: Sequence[Invocation | Exception], took_s: float
    ) -> None:
        self.function = function
        self.events = list(events)
        #: Per event: its Invocation (failed or not), or the exception that kept it from being called.
        self.outcomes = list(outcomes)
        self.took_s = took_s

    @property
    def results(self) -> list[Any]:
        """The answers; None where one failed."""
        return [o.result if isinstance(o, Invocation) else None for o in self.outcomes]

    @property
    def errors(self) -> dict[int, NotebookError | Exception]:
        """Position → exception, for those that failed."""
        found: dict[int, NotebookError | Exception] = {}
        for index, outcome in enumerate(self.outcomes):
            if isinstance(outcome, Exception):
                found[index] = outcome
            elif not outcome.ok:
                found[index] = FunctionError(outcome)
        return found

    @property
    def invocations(self) -> list[Invocation]:
        """Everything about each call that was made."""
        return [o for o in self.outcomes if isinstance(o, Invocation)]

    @property
    def ok(self) -> bool:
        """Whether all answered."""
        return not self.errors

    def retry(self, *, max_parallel: int = 50, progress: bool = True) -> MapResult:
        """Run the failed ones again; a result with the new outcomes in their places."""
        failed = list(self.errors)
        if not failed:
            return self
        again = run_map(
            self.function, [self.events[index] for index in failed], max_parallel=max_parallel, progress=progress
        )
        outcomes = list(self.outcomes)
        for index, outcome in zip(failed, again.outcomes, strict=True):
            outcomes[index] = outcome
        return MapResult(self.function, self.events, outcomes, self.took_s + again.took_s)

    def raise_for_errors(self) -> MapResult:
        """Raise the first failure, if there is one; else itself."""
        for error in self.errors.values():
            raise error
        return self

    def summary(self) -> str:
        """One line: how many, how many failed, how long, how much."""
        errors = self.errors
        billed = sum(i.billed_ms or 0 for i in self.invocations)
        cold = sum(bool(i.cold) for i in self.invocations)
        parts = [f"{self.function.name}: {len(self.outcomes)} events in {human_ms(self.took_s * 1000)}"]
        parts.append(f"{len(errors)} failed" if errors else "none failed")
        parts.append(f"billed {human_ms(billed)}")
        parts.append(f"{cold} cold starts" if cold != 1 else "1 cold start")
        return " · ".join(parts)

    def __len__(self) -> int:
        return len(self.outcomes)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        outcome = self.outcomes[index]
        if isinstance(outcome, Exception):
            return outcome
        return outcome.result if outcome.ok else FunctionError(outcome)

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        lines = [f"<MapResult {self.summary()}>"]
        lines += [f"  [{index}] {error}" for index, error in list(self.errors.items())[:5]]
        return "\n".join(lines)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from .render import map_html

        return {"text/plain": repr(self), "text/html": map_html(self)}


class _Limit:
    """How many run at one time: halved by a throttle, growing again by one with each success."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._now = float(most)
        self._running = 0
        self._changed = threading.Condition()
        self.cancelled = False

    def __enter__(self) -> Self:
        with self._changed:
            while self._running >= max(1, int(self._now)) and not self.cancelled:
                self._changed.wait()
            self._running += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def throttled(self) -> None:
        with self._changed:
            self._now = max(1.0, self._now / 2)

    def succeeded(self) -> None:
        with self._changed:
            self._now = min(float(self._most), self._now + 1.0)
            self._changed.notify_all()

    def cancel(self) -> None:
        with self._changed:
            self.cancelled = True
            self._changed.notify_all()


def run_map(function: LambdaFunction, events: list[Any], *, max_parallel: int, progress: bool) -> MapResult:
    """Run a function with each event.

    Raises:
        KeyboardInterrupt: Interrupted; what ran was stopped. The partial result is in ``function.last_map``.
    """
    started = time.monotonic()
    limit = _Limit(max_parallel)
    running: dict[str, None] = {}
    engine = function.engine  # connected once, before the threads
    bar = progress_bar(function.name, len(events), wanted=progress and len(events) > 1)
    outcomes: list[Invocation | Exception] = [Cancelled("not run: the map was interrupted") for _ in events]

    def one(event: Any) -> Invocation | Exception:
        with limit:
            return _try(function, event, limit, running)

    threads = ThreadPoolExecutor(max(1, min(max_parallel, len(events) or 1)), thread_name_prefix="lambda-map")
    futures = {threads.submit(one, event): index for index, event in enumerate(events)}
    try:
        _collect(futures, outcomes, bar)
    except KeyboardInterrupt:
        limit.cancel()
        threads.shutdown(wait=False, cancel_futures=True)
        stopped = sum(engine.stop(request_id) for request_id in list(running))
        done = sum(isinstance(outcome, Invocation) for outcome in outcomes)
        function.last_map = MapResult(function, events, outcomes, time.monotonic() - started)
        raise Interrupted(
            f"{function.name} interrupted; {stopped} running stopped, {done} of {len(events)} done, "
            f"kept in {function.name}.last_map"
        ) from None
    finally:
        bar.close()
        threads.shutdown(wait=False, cancel_futures=True)
    result = MapResult(function, events, outcomes, time.monotonic() - started)
    function.last_map = result
    return result


def _collect(
    futures: dict[Future[Invocation | Exception], int], outcomes: list[Invocation | Exception], bar: Bar
) -> None:
    pending = set(futures)
    failed = 0
    while pending:
        done, pending = wait(pending, timeout=_TICK_S, return_when=FIRST_COMPLETED)
        for future in done:
            outcome = future.result()
            outcomes[futures[future]] = outcome
            failed += isinstance(outcome, Exception) or not outcome.ok
        bar.show(len(futures) - len(pending), failed)


def _try(function: LambdaFunction, event: Any, limit: _Limit, running: dict[str, None]) -> Invocation | Exception:
    for _ in range(_THROTTLE_RETRIES):
        if limit.cancelled:
            return Cancelled("not run: the map was interrupted")
        request_id = str(uuid.uuid4())
        running[request_id] = None
        try:
            found = function.invoke(event, request_id=request_id)
        except Throttled:
            limit.throttled()
            continue
        except Exception as exc:  # noqa: BLE001 - one event's failure stays in its place
            return exc
        finally:
            running.pop(request_id, None)
        limit.succeeded()
        return found
    return Throttled(f"{function.name} stayed throttled")


class Bar(Protocol):
    """Shows how far something is."""

    def show(self, done: int, failed: int) -> None:
        """So many are done, and so many of these failed."""

    def close(self) -> None:
        """It is over, or was interrupted."""


class _NoBar:
    def show(self, done: int, failed: int) -> None:
        pass

    def close(self) -> None:
        pass


class _TextBar:
    """For terminals."""

    def __init__(self, name: str, total: int) -> None:
        self._name, self._total = name, total

    def show(self, done: int, failed: int) -> None:
        filled = 30 * done // self._total
        more = f", {failed} failed" if failed else ""
        sys.stderr.write(f"\r{self._name} [{'█' * filled}{'·' * (30 - filled)}] {done}/{self._total}{more}")
        sys.stderr.flush()

    def close(self) -> None:
        sys.stderr.write("\n")


class _WidgetBar:
    """For notebooks; it goes away when the result is there."""

    def __init__(self, name: str, total: int) -> None:
        import ipywidgets
        from IPython.display import display

        self._total = total
        self._display = display
        self._display_id = str(uuid.uuid4())
        self._bar = ipywidgets.IntProgress(value=0, max=total, description=name)
        self._text = ipywidgets.Label(f"0 of {total}")
        self._box = ipywidgets.HBox([self._bar, self._text])
        display(self._box, display_id=self._display_id)  # type: ignore[no-untyped-call]

    def show(self, done: int, failed: int) -> None:
        self._bar.value = done
        self._bar.bar_style = "danger" if failed else ""
        self._text.value = f"{done} of {self._total}" + (f", {failed} failed" if failed else "")

    def close(self) -> None:
        # A closed widget left in a saved notebook would show as an error.
        nothing = {"text/html": "", "text/plain": ""}
        self._display(nothing, raw=True, display_id=self._display_id, update=True)  # type: ignore[no-untyped-call]
        for widget in (self._box, self._bar, self._text):
            widget.close()


def progress_bar(name: str, total: int, *, wanted: bool = True) -> Bar:
    """A bar for where this runs: a widget in a notebook, text in a terminal, nothing elsewhere or where not wanted."""
    from IPython.core.getipython import get_ipython

    if not wanted:
        return _NoBar()
    shell = get_ipython()
    if shell is not None and hasattr(shell, "kernel"):
        try:
            return _WidgetBar(name, total)
        except Exception:  # noqa: BLE001 - a front end without widgets must not stop the work
            return _NoBar()
    return _TextBar(name, total) if sys.stderr.isatty() else _NoBar()
