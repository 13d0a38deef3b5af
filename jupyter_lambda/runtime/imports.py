"""Which modules of the host's packages importing the handler loads, and importing them ahead in a generic sandbox."""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False  # `typing` is not imported: every cold start would wait for it
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .settings import Settings

#: Importing a handler that takes no longer than this is not worth a report, in ms.
REPORT_MS = 20.0
#: A module of the standard library whose import took no longer than this is not worth importing ahead, in ms.
_CHEAP_MS = 2.0


class ImportWatch:
    """Notes while the handler is imported which modules its own code asked for, and when.

    It stands first on ``sys.meta_path``, finds nothing itself, and is asked only for what is not loaded yet.
    """

    def __init__(self, settings: Settings) -> None:
        self._own = (f"{settings.task_root}/", f"{settings.opt}/")
        self._host = (*_PREFIXES, *(f"{place}/" for place in settings.site.split(os.pathsep) if place))
        self._before = set(sys.modules)
        #: Module that code of the function's asked for → when.
        self._asked: dict[str, float] = {}
        self._began = time.perf_counter()
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Part of the import system's protocol."""
        if name.startswith("_lambda_runtime"):
            return
        frame: Any = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
            frame = frame.f_back
        if frame is not None and frame.f_code.co_filename.startswith(self._own):
            self._asked[name] = time.perf_counter()

    def end(self) -> tuple[list[str], float]:
        """Stop watching: what is worth importing ahead, in order of import, and how long the import took in ms."""
        ended = time.perf_counter()
        try:
            sys.meta_path.remove(self)
        except ValueError:
            return [], 0.0  # the function has its own idea of the import system
        took_ms = (ended - self._began) * 1000.0
        if took_ms <= REPORT_MS:
            return [], took_ms
        times = [*self._asked.values(), ended]
        cost_ms = {name: (times[i + 1] - times[i]) * 1000.0 for i, name in enumerate(self._asked)}
        return [name for name in self._loaded() if self._worth(name, cost_ms)], took_ms

    def _loaded(self) -> list[str]:
        return [name for name in list(sys.modules) if name not in self._before and self._of_host(name)]

    def _of_host(self, name: str) -> bool:
        """Whether a module lies in the interpreter's own directories, not in the function's or a layer's."""
        spec = getattr(sys.modules[name], "__spec__", None)
        places = [getattr(spec, "origin", None), *(getattr(spec, "submodule_search_locations", None) or ())]
        paths = [place for place in places if isinstance(place, str) and "/" in place]
        return bool(paths) and all(p.startswith(self._host) and not p.startswith(self._own) for p in paths)

    def _worth(self, name: str, cost_ms: dict[str, float]) -> bool:
        """Of packages that were installed the top-level ones and what the function asked for; of the standard library
        what it asked for and took its time. What comes with another that is named need not be."""
        installed = "-packages" in _origin(name)
        if installed and "." not in name:
            return True
        if any(other.startswith(f"{name}.") for other in cost_ms):
            return False
        return name in cost_ms and (installed or cost_ms[name] > _CHEAP_MS)


def _origin(name: str) -> str:
    return str(getattr(getattr(sys.modules[name], "__spec__", None), "origin", None))


def _prefixes() -> tuple[str, ...]:
    places = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    return tuple(f"{place}/" for place in places if place not in ("", "/"))


_PREFIXES = _prefixes()


def preload(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Import modules ahead. What can't be imported is no error: the function that wants it will hear of it itself.

    Returns:
        Names of the top-level modules that this loaded; what failed, in words.
    """
    before = set(sys.modules)
    failed = []
    for name in names:
        try:
            __import__(name)
        except BaseException as exc:  # noqa: PERF203  # a module may even exit: that is no reason to lose the others
            failed.append(f"{name}: {type(exc).__name__}: {exc}"[:200])
    return sorted({name.partition(".")[0] for name in sys.modules if name not in before}), failed
