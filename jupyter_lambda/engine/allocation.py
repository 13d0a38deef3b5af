"""Keeps the pool told of what is provisioned, and tells how far each configuration has come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from jupyter_lambda.errors import LambdaError
from jupyter_lambda.model.function import FunctionVersion, ProvisionedConfig

from .lifecycle import Failure
from .pool import Instruction, Key, Kind, Pool
from .provisioned import Allocation, Status, shares

if TYPE_CHECKING:
    from jupyter_lambda.store import Functions

#: StatusReason of AWS where the function fails to initialise.
INIT_FAILURE = "FUNCTION_ERROR_INIT_FAILURE"


class Allocations:
    """The provisioned environments of all functions, as numbers. Kept true by ``refresh`` after every change.

    Args:
        know: Told of each version before the pool is; answers the generic containers that it may adopt.
        execute: Carries out the pool's instructions.
        named: Kept true: versions with provisioned environments, and the number or alias by which they have them.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        functions: Functions,
        pool: Pool,
        *,
        know: Callable[[Key, FunctionVersion], tuple[Kind, ...]],
        execute: Callable[[Iterable[Instruction]], None],
        named: dict[Key, str],
        now: Callable[[], float],
    ) -> None:
        self._functions = functions
        self._pool = pool
        self._know = know
        self._execute = execute
        self._named = named
        self._now = now
        #: What the pool was told: by function, key → environments.
        self._told: dict[str, dict[Key, int]] = {}
        self._failures: dict[Key, str] = {}

    def refresh_all(self) -> None:
        """After the start of the engine."""
        for name in {config.function_name for config in self._functions.provisioned_configs()}:
            self.refresh(name)

    def refresh(self, name: str) -> None:
        """A function's configurations, aliases or versions may have changed."""
        wanted: dict[Key, tuple[FunctionVersion, int]] = {}
        named: dict[Key, str] = {}
        for config in self._functions.provisioned_configs(name):
            for number, count in self._shares(config).items():
                found = self._functions.version(name, number)
                if found is not None and count:
                    before = wanted.get(found.key)
                    wanted[found.key] = (found, count + (before[1] if before else 0))
                    named.setdefault(found.key, config.qualifier)
        told = self._told.get(name, {})
        for key in told:
            self._named.pop(key, None)
        self._named.update(named)
        for key in [key for key in told if key not in wanted]:
            self._failures.pop(key, None)
            self._execute(self._pool.provision(key, 0, memory_mb=0, kinds=(), now_s=self._now()))
        for key, (version, count) in wanted.items():
            if told.get(key) == count:
                continue
            self._failures.pop(key, None)
            kinds = self._know(key, version)
            self._execute(self._pool.provision(key, count, memory_mb=version.memory_mb, kinds=kinds, now_s=self._now()))
        if wanted:
            self._told[name] = {key: count for key, (_, count) in wanted.items()}
        else:
            self._told.pop(name, None)

    def initialised(self, key: Key, failure: Failure | None) -> None:
        """A provisioned environment did initialise, or did not: the pool tries again later."""
        if failure is None:
            self._failures.pop(key, None)
        elif isinstance(failure, LambdaError):
            self._failures[key] = failure.message
        else:
            self._failures[key] = INIT_FAILURE

    def of(self, name: str | None = None) -> Sequence[Allocation]:
        """How far each configuration of a function has come, by qualifier; of all functions where it is None."""
        spent: dict[Key, tuple[int, int]] = {}
        return [self._allocation(config, spent) for config in self._functions.provisioned_configs(name)]

    def _allocation(self, config: ProvisionedConfig, spent: dict[Key, tuple[int, int]]) -> Allocation:
        allocated = available = 0
        reason = None
        for version, count in self._shares(config).items():
            found = self._functions.version(config.function_name, version)
            if found is None:
                continue
            _, initialised, busy = self._pool.provisioned(found.key)
            # Two aliases may name one version: what one has been told of is not told again.
            before, before_idle = spent.get(found.key, (0, 0))
            mine = max(0, min(count, initialised - before))
            idle = max(0, min(mine, initialised - busy - before_idle))
            spent[found.key] = (before + mine, before_idle + idle)
            allocated += mine
            available += idle
            reason = reason or self._failures.get(found.key) or self._too_large(found, count, mine)
        status: Status = "READY" if allocated >= config.requested else ("FAILED" if reason else "IN_PROGRESS")
        return Allocation(config, allocated, available, status, reason if status == "FAILED" else None)

    def _too_large(self, version: FunctionVersion, count: int, allocated: int) -> str | None:
        budget_mb = self._pool.limits.memory_mb
        if allocated >= count or count * version.memory_mb <= budget_mb:
            return None
        return (
            f"{count} environments of {version.memory_mb} MB don't fit in this engine's memory budget of {budget_mb} "
            "MB: ask for fewer, or raise c.LambdaEngine.memory_budget_mb"
        )

    def _shares(self, config: ProvisionedConfig) -> dict[str, int]:
        alias = None
        if not config.qualifier.isdigit():
            alias = self._functions.alias(config.function_name, config.qualifier)
        return dict(shares(config, alias))
