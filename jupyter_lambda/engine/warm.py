"""Generic containers: which kinds a version may adopt, which are kept in stock, and those that are ready.

A generic container is up before anyone needs it: interpreter started, perhaps with modules imported that functions were
seen to import. How many there are and when they start is the pool's decision; what they are is decided here.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jupyter_lambda.errors import LambdaError
from jupyter_lambda.model.function import FunctionVersion
from jupyter_lambda.sandbox.adoption import covers
from jupyter_lambda.sandbox.base import GenericSpec, InitOutcome, SandboxSpec
from jupyter_lambda.store import LearnedImports

from .environments import Specs, new_sandbox_id
from .freezer import Freezable, Freezer
from .pool import Instruction, Key, Kind, Pool
from .settings import EngineSettings

if TYPE_CHECKING:
    from jupyter_lambda.sandbox.sandboxes import Sandboxes
    from jupyter_lambda.store import Store

log = logging.getLogger(__name__)

#: MB that a waiting container is counted with: an interpreter; one that has imported large packages.
BARE_MB, PRELOADED_MB = 16, 96
#: MB a container may use until a function with its own limit adopts it.
_LIMIT_MB, _PRELOADED_LIMIT_MB = 128, 1_024
#: A container is started once nothing has been adopted for the first of these, in seconds, but not later than after the
#: second: its start would take the CPU from the very burst that the stock is for.
_QUIET_S, _QUIET_MAX_S = 0.5, 5.0
#: Versions whose kinds are remembered.
_KNOWN_MAX = 16_384
#: Different kinds with variables that are remembered.
_ALIKE_MAX = 1_024
#: Seconds after which a use of learned imports is noted again: what a restart goes by.
_NOTE_EVERY_S = 600.0


@dataclass(frozen=True, slots=True)
class Make:
    """What makes a kind."""

    interpreter: Path
    network: Literal["none", "egress"]
    ephemeral_storage_mb: int
    imports: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """As the pool knows it."""
        name = f"{self.interpreter}/{self.network}/{self.ephemeral_storage_mb}"
        if not self.imports:
            return Kind(name, BARE_MB)
        digest = hashlib.sha256("\n".join(self.imports).encode()).hexdigest()[:8]
        tops = ",".join(dict.fromkeys(module.partition(".")[0] for module in self.imports))
        return Kind(f"{name}+{tops[:80]}#{digest}", PRELOADED_MB)


@dataclass(slots=True, eq=False)
class Container(Freezable):
    """A generic container that is ready."""

    make: Make


class Warm:
    """The stock of generic containers.

    Args:
        execute: Carries out the pool's instructions.
        clock: Seconds since the epoch.
        spawn: Runs a coroutine in the service's task group.
    """

    def __init__(
        self,
        settings: EngineSettings,
        store: Store,
        sandboxes: Sandboxes,
        specs: Specs,
        pool: Pool,
        freezer: Freezer,
        *,
        execute: Callable[[Iterable[Instruction]], None],
        clock: Callable[[], float],
        spawn: Callable[..., object],
    ) -> None:
        self._settings = settings
        self._store = store
        self._sandboxes = sandboxes
        self._specs = specs
        self._pool = pool
        self._freezer = freezer
        self._execute = execute
        self._clock = clock
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._enabled = sandboxes.driver.can_prepare
        self._makes: dict[Kind, Make] = {}
        self._ready: dict[str, Container] = {}
        self._kinds: dict[Key, tuple[Kind, ...]] = {}
        #: Kinds with imports that are in stock, the longest unused first, and when each was used (monotonic seconds).
        self._preloaded: dict[Kind, float] = {}
        #: Versions that must not find modules imported already.
        self._plain: set[Key] = set()
        #: Kind and variables → whether a version with them may adopt at all.
        self._adoptable: dict[tuple[Make, tuple[tuple[str, str], ...]], bool] = {}
        self._expiry: asyncio.TimerHandle | None = None
        self._draining = False
        self._adopted_s = -_QUIET_S

    # --- kinds

    def kinds(self, key: Key, version: FunctionVersion) -> tuple[Kind, ...]:
        """What an environment of a version may adopt, best first. A look-up, but for the first time."""
        found = self._kinds.get(key)
        if found is None:
            if len(self._kinds) >= _KNOWN_MAX:
                self._kinds.clear()
            found = self._kinds[key] = self._find_kinds(version) if self._enabled else ()
        return found

    def _find_kinds(self, version: FunctionVersion) -> tuple[Kind, ...]:
        outline = self._specs.outline(version)
        if outline is None:
            return ()
        bare = _make(outline)
        # Looks at files, and most versions are alike in what it depends on.
        alike = bare, tuple(sorted(version.environment.items()))
        if alike not in self._adoptable:
            if len(self._adoptable) >= _ALIKE_MAX:
                self._adoptable.clear()
            self._adoptable[alike] = self._sandboxes.can_adopt(outline, ())
        makes = [bare] if self._adoptable[alike] else []
        learned = self._store.imports.get(version.name, version.code_sha256)
        if makes and learned is not None and version.key not in self._plain:
            own = _make(outline, learned.modules)
            others = [self._makes[kind] for kind in self._preloaded]
            fitting = [m for m in others if _make(outline, m.imports) == m and covers(m.imports, learned.modules)]
            fitting.sort(key=lambda make: -len(make.imports))
            preloaded = [make for make in (own, *fitting) if self._sandboxes.can_adopt(outline, make.imports)]
            makes = list(dict.fromkeys([*preloaded, bare]))
        for make in makes:
            self._makes.setdefault(make.kind, make)
        return tuple(make.kind for make in makes)

    # --- stock

    def begin(self) -> None:
        """Ask for the stock: the default kind, and what functions in recent use import."""
        outline = self._specs.default_outline()
        if not self._enabled or outline is None:
            return
        if self._settings.warm_containers:
            make = _make(outline)
            self._makes[make.kind] = make
            self._execute(self._pool.stock(make.kind, self._settings.warm_containers, self._loop.time()))
        since_s = self._clock() - self._settings.warm_imports_s
        for name, code_sha256, _ in reversed(self._store.imports.recent(since_s, self._preloaded_max())):
            function = self._store.functions.get(name)
            if function is not None and function.latest.code_sha256 == code_sha256:
                self._keep(function.latest)

    def used(self, version: FunctionVersion) -> None:
        """An environment of a version was needed; more may be."""
        if not self._enabled:
            return
        learned = self._store.imports.get(version.name, version.code_sha256)
        if learned is not None:
            if self._clock() - learned.learned_s > _NOTE_EVERY_S:
                self._learn(version, learned.modules, learned.import_ms)
            self._keep(version)

    def learn(self, version: FunctionVersion, outcome: InitOutcome, container: Container | None) -> None:
        """An initialisation has told what it imported, beyond what its container had imported already."""
        if not self._enabled or not outcome.imports:
            return
        before = container.make.imports if container is not None else ()
        modules = tuple(dict.fromkeys((*before, *outcome.imports)))
        known = self._store.imports.get(version.name, version.code_sha256)
        if known is None or known.modules != modules:
            self._learn(version, modules, outcome.import_ms)
            log.info("function %s imports %s in %.0f ms", version.name, ", ".join(modules[:8]), outcome.import_ms)
            self._kinds.clear()
        self._keep(version)

    def distrust(self, version: FunctionVersion) -> None:
        """A version did not initialise with modules imported ahead, and does without."""
        self._plain.add(version.key)
        self._kinds.pop(version.key, None)

    def _learn(self, version: FunctionVersion, modules: tuple[str, ...], import_ms: float) -> None:
        learned = LearnedImports(modules, import_ms, self._clock())
        self._store.imports.learn(version.name, version.code_sha256, learned)

    def _keep(self, version: FunctionVersion) -> None:
        """Have one container ready with a version's imports, as long as it is in use and there is room."""
        kind = next(iter(self.kinds(version.key, version)), None)
        if kind is None or not self._makes[kind].imports:
            return
        new = self._preloaded.pop(kind, None) is None
        self._preloaded[kind] = self._loop.time()
        if new:
            self._kinds.clear()
            self._execute(self._pool.stock(kind, 1, self._loop.time()))
            while len(self._preloaded) > self._preloaded_max():
                self._drop(next(iter(self._preloaded)))
        self._expire_later()

    def _preloaded_max(self) -> int:
        left_mb = self._settings.warm_memory_mb - self._settings.warm_containers * BARE_MB
        return max(0, left_mb // PRELOADED_MB)

    def _drop(self, kind: Kind) -> None:
        del self._preloaded[kind]
        self._kinds.clear()
        self._execute(self._pool.stock(kind, 0, self._loop.time()))

    def _expire_later(self) -> None:
        if self._expiry is None and self._preloaded:
            oldest_s = next(iter(self._preloaded.values()))
            delay_s = max(1.0, oldest_s + self._settings.warm_imports_s - self._loop.time())
            self._expiry = self._loop.call_later(delay_s, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        before_s = self._loop.time() - self._settings.warm_imports_s
        for kind in [kind for kind, used_s in self._preloaded.items() if used_s <= before_s]:
            self._drop(kind)
        self._expire_later()

    # --- what the pool says

    def prepare(self, container_id: str, kind: Kind) -> None:
        """Start a generic container; not any more once the engine drains, and the pool then waits for it in vain."""
        if not self._draining:
            self._spawn(self._prepare(container_id, self._makes[kind]), name=f"prepare {container_id}")

    def drain(self) -> None:
        """The engine is about to end: start no more."""
        self._draining = True

    def discard(self, container_id: str) -> None:
        """End one that is ready."""
        container = self.take(container_id)
        if container is not None:
            self._spawn(self._discard(container_id, container), name=f"discard {container_id}")

    def take(self, container_id: str) -> Container | None:
        """Give one that is ready away; None: it has ended by itself."""
        container = self._ready.pop(container_id, None)
        if container is not None:
            self._adopted_s = self._loop.time()
            self._freezer.busy(container)
        return container

    async def close(self) -> None:
        """End all that are ready."""
        if self._expiry is not None:
            self._expiry.cancel()
        containers, self._ready = list(self._ready.values()), {}
        await asyncio.gather(*(container.sandbox.close() for container in containers), return_exceptions=True)

    def counts(self) -> dict[str, str]:
        """Kinds with how many are ready and how many there should be, for people."""
        return {
            kind.name: f"{ready} ready of {target}"
            for kind, (ready, preparing, target) in self._pool.warm().items()
            if ready or preparing or target
        }

    def rows(self) -> list[dict[str, object]]:
        """Those that are ready, for people."""
        return [
            {"environment_id": c.sandbox.sandbox_id, "imports": list(c.make.imports), "state": c.frost.value}
            for c in self._ready.values()
        ]

    async def _prepare(self, container_id: str, make: Make) -> None:
        spec = GenericSpec(
            sandbox_id=new_sandbox_id(),
            interpreter=make.interpreter,
            network=make.network,
            memory_mb=_PRELOADED_LIMIT_MB if make.imports else _LIMIT_MB,
            ephemeral_storage_mb=make.ephemeral_storage_mb,
            imports=make.imports,
        )
        await self._quiet()
        try:
            sandbox = await self._sandboxes.prepare(spec)
        except LambdaError as error:
            log.warning("no generic container: %s", error)
            self._execute(self._pool.unprepared(container_id, self._loop.time()))
            return
        except Exception:
            log.exception("no generic container")
            self._execute(self._pool.unprepared(container_id, self._loop.time()))
            return
        container = self._ready[container_id] = Container(sandbox, make)
        sandbox.exited.add_done_callback(lambda _: self._exited(container_id))
        self._freezer.idle(container)
        self._execute(self._pool.prepared(container_id, self._loop.time()))

    async def _quiet(self) -> None:
        latest_s = self._loop.time() + _QUIET_MAX_S
        while (left_s := min(self._adopted_s + _QUIET_S, latest_s) - self._loop.time()) > 0:  # noqa: ASYNC110 - of adoptions
            await asyncio.sleep(left_s)

    def _exited(self, container_id: str) -> None:
        """One that waited has ended by itself; of those given away nothing is known here."""
        container = self.take(container_id)
        if container is not None:
            self._spawn(self._discard(container_id, container), name=f"discard {container_id}")

    async def _discard(self, container_id: str, container: Container) -> None:
        try:
            await container.sandbox.close()
        except LambdaError as error:
            log.warning("generic container %s: %s", container.sandbox.sandbox_id, error)
        finally:
            self._execute(self._pool.unprepared(container_id, self._loop.time()))


def _make(outline: SandboxSpec, imports: tuple[str, ...] = ()) -> Make:
    assert outline.interpreter is not None
    return Make(outline.interpreter, outline.network, outline.ephemeral_storage_mb, imports)
