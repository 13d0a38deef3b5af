"""Power tuning: the same event at several memory sizes, and which size suits it best.

The function itself stays as it is: each size is a version that exists only while it is measured. The event is tried
once first; a size's first run is its cold start and counts apart; the fastest and the slowest fifth are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from . import deploy
from .engine import Engine, call
from .errors import DeployError, MagicUsageError, NotebookError
from .invocation import Invocation

if TYPE_CHECKING:
    from .function import LambdaFunction

Strategy = Literal["cost", "speed", "balanced"]
STRATEGIES: tuple[Strategy, ...] = ("cost", "speed", "balanced")
#: 1769 MB is where AWS gives one whole vCPU.
DEFAULT_SIZES_MB = (128, 256, 512, 1024, 1769)
DEFAULT_RUNS = 20
#: Two sizes closer than this share are as good as each other: the other measure decides.
TIE = 0.03
#: AWS's prices for x86_64 in us-east-1, US dollars: a GB-second, a request.
AWS_PRICES = (0.0000166667, 0.0000002)


@dataclass(frozen=True, slots=True)
class Size:
    """What one memory size came to. Milliseconds and US dollars for one invocation."""

    memory_mb: int
    #: Warm runs that count, and those that were left out as the fastest and the slowest.
    runs: int = 0
    left_out: int = 0
    duration_ms: float = 0.0
    shortest_ms: float = 0.0
    longest_ms: float = 0.0
    billed_ms: float = 0.0
    cost: float = 0.0
    #: The first run: initialisation and run together; None where it was warm.
    cold_ms: float | None = None
    init_ms: float | None = None
    memory_used_mb: int | None = None
    #: Why this size is no choice; "" where it is one.
    failure: str = ""

    @property
    def ok(self) -> bool:
        """Whether the function can live with this size."""
        return not self.failure


@dataclass(frozen=True)
class Tuning:
    """What a tuning found out."""

    function: LambdaFunction
    strategy: Strategy
    #: Smallest first.
    sizes: tuple[Size, ...]
    #: What the function has now.
    present_mb: int
    best: Size | None
    applied: bool = False

    def by(self, strategy: Strategy) -> Tuning:
        """The same measurements judged by another strategy."""
        return replace(self, strategy=_known(strategy), best=choose(self.sizes, strategy), applied=False)

    def apply(self) -> int:
        """Give the function the chosen memory; returns it in MB. It lasts until its cell is deployed again.

        Raises:
            NotebookError: No size was good enough to choose.
        """
        if self.best is None:
            raise NotebookError(f"{self.function.name} failed at every size: there is nothing to apply")
        self.function.config(memory=self.best.memory_mb)
        return self.best.memory_mb

    def summary(self) -> str:
        """One line: the chosen size and how it compares with the present one."""
        from .invocation import human_ms

        if self.best is None:
            return f"{self.function.name}: failed at every size"
        best = self.best
        text = (
            f"{self.function.name}: {best.memory_mb} MB is best for {self.strategy}: {human_ms(best.duration_ms)}, "
            f"{best.cost * 1e6:.2f} USD a million"
        )
        present = next((one for one in self.sizes if one.memory_mb == self.present_mb and one.ok), None)
        if present is not None and present is not best:
            text += f"; its {self.present_mb} MB now: {human_ms(present.duration_ms)}, {present.cost * 1e6:.2f} USD"
        return text

    def __repr__(self) -> str:
        from .tuning_view import text

        return text(self)

    def _ipython_display_(self) -> None:
        from .tuning_view import show

        show(self)


def summarise(memory_mb: int, cold: Invocation, warm: Sequence[Invocation], prices: tuple[float, float]) -> Size:
    """What the runs of one size come to.

    Args:
        cold: The first run.
        warm: The others, at least one.
    """
    ordered = sorted(warm, key=lambda one: one.duration_ms or 0.0)
    fifth = len(ordered) // 5
    kept = ordered[fifth : len(ordered) - fifth]
    durations = [one.duration_ms or 0.0 for one in kept]
    billed_ms = sum(one.billed_ms or 0 for one in kept) / len(kept)
    gb_s, request = prices
    return Size(
        memory_mb,
        runs=len(kept),
        left_out=2 * fifth,
        duration_ms=sum(durations) / len(durations),
        shortest_ms=durations[0],
        longest_ms=durations[-1],
        billed_ms=billed_ms,
        cost=memory_mb / 1024 * billed_ms / 1000 * gb_s + request,
        cold_ms=(cold.duration_ms or 0.0) + (cold.init_ms or 0.0) if cold.cold else None,
        init_ms=cold.init_ms if cold.cold else None,
        memory_used_mb=max((one.memory_used_mb or 0 for one in [cold, *kept]), default=0) or None,
    )


def choose(sizes: Sequence[Size], strategy: Strategy) -> Size | None:
    """The size that suits best; None when all failed.

    speed: the shortest; cost: the cheapest; where several are as good, the better one by the other measure. balanced:
    the least sum of both, each as a share of the largest.
    """
    fit = [one for one in sizes if one.ok]
    if not fit:
        return None
    if strategy == "balanced":
        slowest, dearest = max(one.duration_ms for one in fit), max(one.cost for one in fit)
        return min(fit, key=lambda one: (one.duration_ms / (slowest or 1.0)) + one.cost / (dearest or 1.0))
    if strategy == "speed":
        least = min(one.duration_ms for one in fit)
        return min((one for one in fit if one.duration_ms <= least * (1 + TIE)), key=lambda one: one.cost)
    cheapest = min(one.cost for one in fit)
    return min((one for one in fit if one.cost <= cheapest * (1 + TIE)), key=lambda one: one.duration_ms)


def tune(
    function: LambdaFunction,
    sizes_mb: Sequence[int] = DEFAULT_SIZES_MB,
    *,
    runs: int = DEFAULT_RUNS,
    event: Any = None,
    strategy: Strategy = "balanced",
    apply: bool = False,
    show: Callable[[int, int], None] = lambda done, total: None,
) -> Tuning:
    """Measure a function at each size and choose one.

    Args:
        runs: Warm runs of each size, one after another.
        show: Told how many runs are done, and of how many.
    Raises:
        FunctionError: The function fails with this event; nothing was measured.
        MagicUsageError: An unknown strategy, no size, or no run.
        DeployError: A version could not be made.
        KeyboardInterrupt: Interrupted: what was made is removed, the function is as it was.
    """
    _known(strategy)
    if not sizes_mb or runs < 1:
        raise MagicUsageError("give at least one memory size and one run")
    sizes_mb = sorted(set(sizes_mb))
    engine = function.engine
    present_mb = int(function.configuration()["MemorySize"])
    function.invoke(event).raise_for_error()
    prices = _prices(engine)
    total = len(sizes_mb) * (runs + 1)
    found: list[Size] = []
    with _versions(engine, function.name, sizes_mb, present_mb) as versions:
        for memory_mb, version in zip(sizes_mb, versions, strict=True):
            before = len(found) * (runs + 1)

            def done(number: int, before: int = before) -> None:
                show(before + number, total)

            found.append(_measure(function, memory_mb, version, event, runs, prices, done))
    tuning = Tuning(function, strategy, tuple(found), present_mb, choose(found, strategy), apply)
    if apply:
        tuning.apply()
    return tuning


def _known(strategy: Strategy) -> Strategy:
    if strategy not in STRATEGIES:
        raise MagicUsageError(f"strategy {strategy!r}: choose one of {', '.join(STRATEGIES)}")
    return strategy


def _measure(
    function: LambdaFunction,
    memory_mb: int,
    version: str,
    event: Any,
    runs: int,
    prices: tuple[float, float],
    show: Callable[[int], None],
) -> Size:
    done: list[Invocation] = []
    for number in range(runs + 1):
        one = function.invoke(event, qualifier=version)
        if not one.ok:
            why = one.hint or one.error_message
            return Size(memory_mb, failure=f"{one.error_type or one.status}: {why}", memory_used_mb=one.memory_used_mb)
        done.append(one)
        show(number + 1)
    return summarise(memory_mb, done[0], done[1:], prices)


@contextmanager
def _versions(engine: Engine, name: str, sizes_mb: Sequence[int], present_mb: int) -> Iterator[list[str]]:
    """A version of each size; afterwards those that were made are gone and the memory is the one from before."""
    newest = max((int(one["Version"]) for one in deploy.versions(engine, name)), default=0)
    made: list[str] = []
    try:
        try:
            for memory_mb in sizes_mb:
                deploy.reconfigure(engine, name, memory=memory_mb)
                made.append(str(call(engine.client.publish_version, FunctionName=name)["Version"]))
        finally:
            deploy.reconfigure(engine, name, memory=present_mb)
        yield made
    finally:
        for version in made:
            if int(version) > newest:  # else it was there before, with just this size
                call(engine.client.delete_function, FunctionName=name, Qualifier=version)


def _prices(engine: Engine) -> tuple[float, float]:
    """Of a GB-second and of a request, as the engine is configured; AWS's own elsewhere."""
    from jupyter_lambda.errors import LambdaError

    if engine.admin is None:
        return AWS_PRICES
    try:
        prices = engine.admin.status()["prices"]
    except LambdaError as exc:
        raise DeployError(exc.message) from exc
    return float(prices["gb_s"]), float(prices["request"])
