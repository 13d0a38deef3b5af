"""Imports of the notebook as statements, and the modules beside it that have to travel along."""

from __future__ import annotations

import ast
import builtins
import importlib.machinery
import importlib.util
import site
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from .cells import CellIndex
from .errors import CaptureError
from .values import REFUSE_BYTES, human_size

#: What people call modules without having to think.
COMMON_ALIASES = {
    "alt": "import altair as alt",
    "boto3": "import boto3",
    "cv2": "import cv2",
    "dd": "import dask.dataframe as dd",
    "dt": "import datetime as dt",
    "ET": "import xml.etree.ElementTree as ET",
    "gpd": "import geopandas as gpd",
    "jnp": "import jax.numpy as jnp",
    "nn": "from torch import nn",
    "np": "import numpy as np",
    "nx": "import networkx as nx",
    "pa": "import pyarrow as pa",
    "pd": "import pandas as pd",
    "pl": "import polars as pl",
    "plt": "import matplotlib.pyplot as plt",
    "px": "import plotly.express as px",
    "sm": "import statsmodels.api as sm",
    "sns": "import seaborn as sns",
    "sp": "import scipy as sp",
    "tf": "import tensorflow as tf",
    "xr": "import xarray as xr",
    "Path": "from pathlib import Path",
    "Counter": "from collections import Counter",
    "defaultdict": "from collections import defaultdict",
    "namedtuple": "from collections import namedtuple",
    "dataclass": "from dataclasses import dataclass",
    "field": "from dataclasses import field",
    "datetime": "from datetime import datetime",
    "timedelta": "from datetime import timedelta",
    "Decimal": "from decimal import Decimal",
    "Enum": "from enum import Enum",
    "partial": "from functools import partial",
    "lru_cache": "from functools import lru_cache",
    "reduce": "from functools import reduce",
    "Any": "from typing import Any",
    "Optional": "from typing import Optional",
    "uuid4": "from uuid import uuid4",
}
#: Import name → what to ask the package index for, where the two differ.
DISTRIBUTIONS = {
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "jwt": "pyjwt",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
#: Folders never packaged with a local package.
_LEFT_OUT = frozenset({"__pycache__", ".git", ".ipynb_checkpoints", "node_modules", ".mypy_cache", ".pytest_cache"})
_PLAIN_BUILTINS = frozenset(dir(builtins)) - {"display", "get_ipython", "__IPYTHON__", "_"}
MODULE_ATTRIBUTES = frozenset({"__name__", "__file__", "__doc__", "__builtins__", "__package__", "__spec__"})


def is_builtin(name: str) -> bool:
    """Whether plain Python knows the name (IPython's own additions don't count)."""
    return name in _PLAIN_BUILTINS or name in MODULE_ATTRIBUTES


def import_statement(name: str, value: Any, cells: CellIndex) -> str | None:
    """How to import a value under a name; None when it can't be imported.

    What the notebook wrote is kept where it still gives the same object.
    """
    written = _written_import(name, value, cells)
    if written:
        return written
    if isinstance(value, types.ModuleType):
        real = value.__name__
        if sys.modules.get(real) is not value:
            return None
        lines = [f"import {real}" if real == name else f"import {real} as {name}"]
        return "\n".join([*lines, *_submodules(name, cells)]) if real == name else lines[0]
    return _importable(name, value)


def _written_import(name: str, value: Any, cells: CellIndex) -> str | None:
    for segment in cells.bindings(name):
        statement = segment.statement
        for node in ast.walk(statement):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    wanted = alias.asname or alias.name
                    if wanted == name and _attribute(node.module, alias.name) is value:
                        return f"from {node.module} import {_as(alias.name, name)}"
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.asname == name and sys.modules.get(alias.name) is value:
                        return f"import {alias.name} as {name}"
                    top = alias.name.partition(".")[0]
                    if alias.asname is None and top == name and sys.modules.get(top) is value:
                        return "\n".join(dict.fromkeys([f"import {name}", *_submodules(name, cells)]))
    return _star_import(name, value, cells)


def _star_import(name: str, value: Any, cells: CellIndex) -> str | None:
    for cell in reversed(cells.cells):
        try:
            tree = cell.tree
        except SyntaxError:
            continue
        for node in tree.body:
            if (
                isinstance(node, ast.ImportFrom)
                and node.module
                and node.names[0].name == "*"
                and _attribute(node.module, name) is value
            ):
                return f"from {node.module} import {name}"
    return None


def _submodules(name: str, cells: CellIndex) -> Iterator[str]:
    """``import xml.etree.ElementTree`` binds only ``xml``, yet the rest is meant."""
    for segment in reversed(cells.bindings(name)):
        for node in ast.walk(segment.statement):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.asname is None and alias.name.startswith(name + "."):
                        yield f"import {alias.name}"


def _importable(name: str, value: Any) -> str | None:
    module, qualified = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualified, str) or "." in qualified or module == "__main__":
        return None
    if not isinstance(value, type | types.FunctionType | types.BuiltinFunctionType) and not callable(value):
        return None
    if module == "builtins" or _attribute(module, qualified) is not value:
        return f"{name} = {qualified}" if module == "builtins" and hasattr(builtins, qualified) else None
    return f"from {module} import {_as(qualified, name)}"


def _as(name: str, wanted: str) -> str:
    return name if name == wanted else f"{name} as {wanted}"


_MISSING = object()


def _attribute(module: str, name: str) -> Any:
    loaded = sys.modules.get(module)
    if loaded is None:
        return _MISSING
    found = vars(loaded).get(name, _MISSING)
    return sys.modules.get(f"{module}.{name}", _MISSING) if found is _MISSING else found


def imported_modules(tree: ast.Module) -> dict[str, int]:
    """Modules that source imports anywhere, as dotted names, each with its line; relative imports are left out."""
    found: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.setdefault(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.setdefault(node.module, node.lineno)
    return found


def unguarded_imports(tree: ast.Module) -> dict[str, int]:
    """Top-level names of modules that the source imports while it is loaded and without a ``try`` round it."""
    found: dict[str, int] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.setdefault(alias.name.partition(".")[0], node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.setdefault(node.module.partition(".")[0], node.lineno)
    return found


@dataclass
class LocalModules:
    """Modules that belong to the notebook's project: they are found on its path, outside the Python installation."""

    #: Path in the package → content.
    files: dict[str, bytes] = field(default_factory=dict)
    #: Top-level name → bytes packaged for it.
    sizes: dict[str, int] = field(default_factory=dict)

    def add(self, top_level: str, namespace_module: types.ModuleType | None = None) -> bool:
        """Package a module if it is local, with what it imports in turn.

        Raises:
            CaptureError: Larger than a function may carry, or not readable.
        """
        if top_level in self.sizes:
            return True
        origin = local_origin(top_level, namespace_module)
        if origin is None:
            return False
        before = len(self.files)
        self.sizes[top_level] = sum(len(data) for data in self._collect(top_level, origin))
        if self.sizes[top_level] > REFUSE_BYTES:
            raise CaptureError(
                f"the local package `{top_level}` ({origin}) is {human_size(self.sizes[top_level])}; "
                f"a function may carry {human_size(REFUSE_BYTES)}: move its data elsewhere"
            )
        for path in list(self.files)[before:]:
            if path.endswith(".py"):
                self._add_imports_of(path)
        return True

    def _collect(self, top_level: str, origin: Path) -> Iterator[bytes]:
        for path, inside in _module_files(top_level, origin):
            try:
                data = path.read_bytes()
            except OSError as exc:
                raise CaptureError(f"the local module `{top_level}` can't be read: {exc}") from exc
            self.files[inside] = data
            yield data

    def _add_imports_of(self, path: str) -> None:
        try:
            tree = ast.parse(self.files[path])
        except (SyntaxError, ValueError):
            return  # it will say so itself when it is imported
        for module in imported_modules(tree):
            self.add(module.partition(".")[0])


def _module_files(top_level: str, origin: Path) -> Iterable[tuple[Path, str]]:
    if origin.is_file():
        return [(origin, origin.name)]
    found = []
    total = 0
    for path in sorted(origin.rglob("*")):
        parts = path.relative_to(origin).parts
        if path.is_file() and not _LEFT_OUT.intersection(parts) and path.suffix not in (".pyc", ".ipynb"):
            found.append((path, "/".join((top_level, *parts))))
            total += path.stat().st_size
            if total > REFUSE_BYTES:
                raise CaptureError(
                    f"the local package `{top_level}` ({origin}) is more than {human_size(REFUSE_BYTES)}, "
                    f"which is what a function may carry: move its data elsewhere ({path.name} and before)"
                )
    return found


def local_origin(top_level: str, loaded: types.ModuleType | None = None) -> Path | None:
    """The file or folder of a top-level module outside the Python installation; None for any other module."""
    if top_level in sys.stdlib_module_names or top_level == "__main__":
        return None
    spec = getattr(loaded, "__spec__", None) if loaded is not None else find_spec(top_level)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        folder = Path(next(iter(spec.submodule_search_locations)))
        return folder if _is_local(folder) else None
    if spec.origin and spec.origin.endswith(".py"):
        return Path(spec.origin) if _is_local(Path(spec.origin)) else None
    return None


def find_spec(top_level: str) -> importlib.machinery.ModuleSpec | None:
    """Find a top-level module without importing it."""
    try:
        return importlib.util.find_spec(top_level)
    except (ImportError, ValueError, AttributeError):  # a loaded module without a spec, or a broken path entry
        return None


def _is_local(path: Path) -> bool:
    path = path.resolve()
    if any(part in ("site-packages", "dist-packages") for part in path.parts):
        return False
    return not any(path.is_relative_to(folder) for folder in _installation())


@lru_cache(maxsize=1)
def _installation() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    # The whole prefix only where Python is alone there: "/usr" also holds other people's folders.
    folders = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders.update(site.getsitepackages() if hasattr(site, "getsitepackages") else ())
    folders.add(site.getusersitepackages())
    folders.add(str(Path(__file__).resolve().parents[1]))
    return tuple(Path(folder).resolve() for folder in sorted(folders))


def missing_name_hint(name: str, namespace: Mapping[str, Any], cells: CellIndex) -> str:
    """What would define a name that nothing defines."""
    if name in ("display", "get_ipython", "_"):
        return "it exists in notebooks only; return the value, or print it"
    if name in COMMON_ALIASES:
        return f"add `{COMMON_ALIASES[name]}`"
    if name in sys.stdlib_module_names or (name not in namespace and name.isidentifier() and find_spec(name)):
        return f"add `import {name}`"
    earlier = cells.bindings(name)
    if earlier:
        return f"it was defined in {earlier[0].cell.place(earlier[0].first)} but is gone: run that cell again"
    if name in ("event", "context"):
        return "only the handler gets it: `def handler(event, context):`"
    import difflib

    near = difflib.get_close_matches(name, [n for n in namespace if not n.startswith("_")] + dir(builtins), n=1)
    return f"did you mean `{near[0]}`?" if near else "define it in the cell or in an earlier one"
