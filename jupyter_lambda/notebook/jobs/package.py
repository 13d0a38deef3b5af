"""A job's deployment package: the notebook, the modules and data beside it, and what runs it in the sandbox."""

from __future__ import annotations

import ast
import glob
import importlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from jupyter_lambda.notebook import package
from jupyter_lambda.notebook.errors import NotebookError
from jupyter_lambda.notebook.imports import LocalModules, imported_modules

from .source import JobNotebook

#: The package's own folder, beside which everything of the user's is.
_ROOT = "jupyter_lambda_job"
HANDLER = f"{_ROOT}.handler.handler"
_FILES = f"{_ROOT}/files"
#: What runs in the sandbox; ``signing`` is the project's own module in the place of the one that names it.
_INSIDE = ("__init__", "handler", "parameters", "execute", "report", "upload")


def build(
    source: JobNotebook, parameters: Mapping[str, Any], more: Iterable[str], *, code: bool = True
) -> tuple[bytes, list[str]]:
    """The package as a zip, and the names of what travels with the notebook.

    Args:
        parameters: Values that every run has unless its event says otherwise.
        more: Files, folders or patterns, as seen from the notebook's folder.
        code: Whether the pages of its runs show the code.
    Raises:
        NotebookError: A file isn't there, or all together is too large.
    """
    import nbformat

    beside = _modules(source)
    names = sorted(beside.sizes)
    carried = dict(beside.files)
    for inside, path in _data(source.path.parent, more):
        try:
            carried[inside] = path.read_bytes()
        except OSError as exc:
            raise NotebookError(f"--with {inside}: {exc.strerror or exc}") from exc
        names.append(inside)
    described = {"notebook": source.name, "parameters": dict(parameters), "code": code}
    contents = {
        **{f"{_FILES}/{path}": data for path, data in carried.items()},
        **{f"{_ROOT}/{name}.py": _read("jobs/inside", name) for name in _INSIDE},
        f"{_ROOT}/signing.py": resources("jupyter_lambda").joinpath("signing.py").read_bytes(),
        f"{_ROOT}/job.json": json.dumps(described, sort_keys=True).encode(),
        f"{_ROOT}/notebook.ipynb": str(nbformat.writes(source.notebook)).encode(),  # type: ignore[no-untyped-call]
    }
    return package.package(contents), names


def _read(folder: str, name: str) -> bytes:
    return resources("jupyter_lambda.notebook").joinpath(*folder.split("/"), f"{name}.py").read_bytes()


def _modules(source: JobNotebook) -> LocalModules:
    """Local modules that the notebook imports, found as its own kernel would find them."""
    found = LocalModules()
    with _path(source.path.parent):
        for code in source.sources():
            try:
                tree = ast.parse(code)
            except SyntaxError:
                continue  # the run will show it, in its cell
            for module in imported_modules(tree):
                found.add(module.partition(".")[0])
    return found


@contextmanager
def _path(folder: Path) -> Iterator[None]:
    """The notebook's folder in front of where modules are looked for, as in a kernel that runs it."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _data(folder: Path, words: Iterable[str]) -> Iterator[tuple[str, Path]]:
    for word in words:
        # Not Path.glob, which takes neither ".." nor an absolute path.
        found = [Path(one) for one in sorted(glob.glob(word, root_dir=folder, recursive=True))]  # noqa: PTH207
        if not found:
            raise NotebookError(f"--with {word}: there is no such file beside {folder.name or folder}/")
        for one in found:
            yield from _files_of(folder, one)


def _files_of(folder: Path, one: Path) -> Iterator[tuple[str, Path]]:
    path = folder / one
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            resolved = file.resolve()
            inside = resolved.relative_to(folder) if resolved.is_relative_to(folder) else Path(file.name)
            yield inside.as_posix(), file
