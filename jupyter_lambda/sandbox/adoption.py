"""How a generic sandbox becomes one function's: who may adopt it, and what its runtime and the engine say about it.

The private routes below ``PREFIX`` are on the sandbox's own socket and no part of AWS's Runtime API. They give nothing
away that the asker doesn't have: the assignment goes out once, to the runtime that waits for it before any code of the
function's runs, and asking again is refused.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

from jupyter_lambda import http1
from jupyter_lambda.errors import DriverError

from .base import Assignment, GenericSpec, SandboxSpec
from .runtime_api import error_response

log = logging.getLogger(__name__)

PREFIX = "/_sandbox/"
_ASSIGNMENT, _IMPORTS = PREFIX + "assignment", PREFIX + "imports"
#: What a generic sandbox's first process is started with; a function that wants it otherwise starts afresh.
VARIABLES = {"LANG": "en_US.UTF-8", "TZ": ":UTC"}
#: Variables that act when a process starts (the dynamic linker, the interpreter, the allocator, the locale).
_AT_START = re.compile(r"LD_|PYTHON|MALLOC_|GLIBC_|LC_|LOCPATH$|GCONV_PATH$|AWS_LAMBDA_EXEC_WRAPPER$")
#: Variables that act when a module of the host's packages is imported: numbers of threads, back ends, caches.
_AT_IMPORT = re.compile(
    r"[KG]?OMP_|OPENBLAS|GOTO_|MKL_|BLIS_|VECLIB_|NUMEXPR_|NUMBA_|NPY_|MPL|TF_|XLA_|TORCH_|PYTORCH_|CUDA_|JAX_|RAY_|"
    r"ARROW_|POLARS_|TOKENIZERS_|HF_|KERAS_|DASK_|JOBLIB_|LOKY_|SETUPTOOLS_|XDG_|TQDM_|REQUESTS_|SSL_|OPENSSL_"
)
#: What a report of imports may hold: bytes, names.
_REPORT_MAX_BYTES, IMPORTS_MAX = 65_536, 128
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_JSON = ("Content-Type", "application/json")


def can_adopt(spec: SandboxSpec, imports: tuple[str, ...]) -> bool:
    """Whether a function would find in a generic sandbox what it would in a fresh one.

    Args:
        imports: What the generic sandbox has imported ahead.
    """
    if spec.kind != "host" or spec.interpreter is None or spec.code_dir is None or spec.working_directory is not None:
        return False
    variables = spec.environment
    if any(_AT_START.match(name) for name in variables) or variables.get("LANG") != VARIABLES["LANG"]:
        return False
    if not imports:
        return True
    own = tuple(f"{name.partition('.')[0].upper()}_" for name in imports)
    if any(_AT_IMPORT.match(name) or name.startswith(own) for name in variables):
        return False
    return variables.get("TZ") == VARIABLES["TZ"] and not shadows(spec, (name.partition(".")[0] for name in imports))


def covers(preloaded: Iterable[str], learned: Iterable[str]) -> bool:
    """Whether a sandbox with these modules holds none that the function would not have imported itself.

    Args:
        preloaded: `GenericSpec.imports`.
        learned: `InitOutcome.imports` of an earlier initialisation of the same version.
    """
    known: set[str] = set()
    for name in learned:
        while name:
            known.add(name)
            name = name.rpartition(".")[0]
    return known.issuperset(preloaded)


def shadows(spec: SandboxSpec, modules: Iterable[str]) -> bool:
    """Whether the function's package or a layer has a top-level module of one of these names: in a fresh sandbox that
    one would have been imported, also by the host's packages. Reads directories; they don't change, so only once."""
    places = [layer / "python" for layer in spec.layer_dirs] + ([spec.code_dir] if spec.code_dir is not None else [])
    names = set(modules)
    return any(not names.isdisjoint(_module_names(place)) for place in places)


@lru_cache(maxsize=4096)
def _module_names(place: Path) -> frozenset[str]:
    try:
        entries = [entry.name.partition(".")[0] for entry in place.iterdir()]
    except OSError:
        return frozenset()
    lower = place / "lib"
    for packages in lower.glob("python*/site-packages") if place.name == "python" else ():
        entries += [entry.name.partition(".")[0] for entry in packages.iterdir()]
    return frozenset(entries)


def check_match(generic: GenericSpec, spec: SandboxSpec, adoption: Adoption) -> None:
    """Check that a sandbox was prepared for functions like this one.

    Raises:
        DriverError: It was not, or it can't be adopted at all any more.
    """
    adoption.check()
    wanted = (spec.sandbox_id, spec.interpreter, spec.network, spec.ephemeral_storage_mb)
    given = (generic.sandbox_id, generic.interpreter, generic.network, generic.ephemeral_storage_mb)
    if wanted != given:
        raise DriverError(f"function {spec.function_name} needs another kind of sandbox: {wanted}, not {given}")
    if not can_adopt(spec, generic.imports) or shadows(spec, adoption.waiting.result()):
        raise DriverError(f"function {spec.function_name} can't adopt a sandbox that is up already; start it afresh")


class AdoptionState(Enum):
    """How far a sandbox's adoption is."""

    #: Started for its function: nothing to adopt.
    NONE = "none"
    STARTING = "starting"
    #: The runtime waits for its assignment.
    WAITING = "waiting"
    ADOPTED = "adopted"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What importing the handler loaded from the host's own packages."""

    imports: tuple[str, ...] = ()
    import_ms: float = 0.0


class Adoption:
    """The private routes of one sandbox."""

    def __init__(self, *, generic: bool) -> None:
        self.state = AdoptionState.STARTING if generic else AdoptionState.NONE
        #: Done when the runtime waits for its assignment, with the names of the top-level modules it has imported
        #: ahead; fails with DriverError when it ends before.
        self.waiting: asyncio.Future[frozenset[str]] = asyncio.get_running_loop().create_future()
        self.waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
        #: None until the runtime has reported, once, before its first ``next``.
        self.report: ImportReport | None = None
        self._given: asyncio.Future[Assignment | None] | None = None
        self._connection: http1.Connection | None = None

    # --- the engine's side

    def check(self) -> None:
        """
        Raises:
            DriverError: It is not waiting to be adopted.
        """
        if self.state is not AdoptionState.WAITING:
            raise DriverError(f"the sandbox can't be adopted: it is {self.state.value}; start another")
        assert self._connection is not None
        if self._connection.closed:
            raise DriverError("the sandbox can't be adopted: its runtime has gone; start another")

    def take(self) -> None:
        """From now on it is one function's: nobody else can adopt it.

        Raises:
            DriverError: It is not waiting to be adopted.
        """
        self.check()
        self.state = AdoptionState.ADOPTED

    def assign(self, assignment: Assignment) -> None:
        """Tell the runtime. Once, after ``take``."""
        assert self.state is AdoptionState.ADOPTED
        if self._given is not None and not self._given.done():
            self._given.set_result(assignment)

    def end(self) -> None:
        """The sandbox has ended."""
        if self.state is AdoptionState.STARTING:
            self.waiting.set_exception(DriverError("the generic sandbox ended before it was ready"))
        if self.state is not AdoptionState.NONE:
            self.state = AdoptionState.ENDED
        if self._given is not None and not self._given.done():
            self._given.set_result(None)

    # --- the runtime's side

    @staticmethod
    def serves(path: str) -> bool:
        """True for the private routes."""
        return path.startswith(PREFIX)

    async def handle(self, request: http1.Request, *, started: bool) -> http1.Response:
        """Answer one request.

        Args:
            started: Whether the function has asked for its first event: nothing is served any more.
        """
        if request.method != "POST" or request.path not in (_ASSIGNMENT, _IMPORTS):
            return error_response(404, "NotFound", f"there is no {request.path}")
        if len(request.body) > _REPORT_MAX_BYTES:
            return error_response(413, "RequestEntityTooLarge", f"more than {_REPORT_MAX_BYTES} bytes")
        try:
            body = json.loads(request.body)
        except ValueError:
            return error_response(400, "InvalidRequest", "the body is not JSON")
        if request.path == _IMPORTS:
            return self._imports(body, started=started)
        return await self._assignment(request, body)

    def _imports(self, body: Any, *, started: bool) -> http1.Response:
        if self.report is not None or started:
            return _refused("imports are reported once, before the first event")
        try:
            self.report = ImportReport(_names(body["imports"]), float(body["import_ms"]))
        except (KeyError, TypeError, ValueError):
            return error_response(400, "InvalidRequest", "imports and import_ms are wanted")
        return http1.Response(202, (_JSON,), b"{}")

    async def _assignment(self, request: http1.Request, body: Any) -> http1.Response:
        if self.state is not AdoptionState.STARTING:
            return _refused(f"nothing is assigned to this sandbox: it is {self.state.value}")
        try:
            modules = frozenset(str(name) for name in body["modules"])
            for text in body["failed"]:
                log.debug("not imported ahead: %s", text)
        except (KeyError, TypeError):
            return error_response(400, "InvalidRequest", "modules and failed are wanted")
        self.state = AdoptionState.WAITING
        self._connection = request.connection
        self._given = asyncio.get_running_loop().create_future()
        self.waiting.set_result(modules)
        given = await self._given
        if given is None:
            return _refused("the sandbox has ended")
        document = {"environment": dict(given.environment), "directory": given.directory}
        return http1.Response(200, (_JSON,), json.dumps(document).encode())


def _names(value: Any) -> tuple[str, ...]:
    """Names of modules; what doesn't look like one is left out."""
    if not isinstance(value, list):
        raise TypeError
    names = [name for name in value if isinstance(name, str) and len(name) <= 200 and _MODULE.fullmatch(name)]
    return tuple(dict.fromkeys(names))[:IMPORTS_MAX]


def _refused(text: str) -> http1.Response:
    return error_response(403, "Forbidden", text)
