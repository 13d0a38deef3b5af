"""The notebook's file as a job takes it: read, checked, without outputs, with the parameters it declares."""

from __future__ import annotations

import ast
import difflib
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_lambda.notebook.errors import NotebookError

from .inside.parameters import TAG, tags

#: Cells that hold nothing but these are about the job, not of it.
_OWN = re.compile(r"%lambda\s+(notebook|runs)\b")
_COMMENT = re.compile(r"\s*(#.*)?$")
#: Tag of cells that nbclient leaves out.
SKIP_TAG = "skip-execution"
#: Of the whole cell's code, which follows.
_TRANSPARENT = ("%%time", "%%capture", "%%timeit", "%%prun")


@dataclass(frozen=True)
class JobNotebook:
    """A notebook that can be a job."""

    path: Path
    #: nbformat's, of version 4.
    notebook: Any
    #: Name → source of its value in the cell tagged ``parameters``; None where there is no such cell.
    declared: Mapping[str, str] | None
    #: What the reader should know.
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its file's name."""
        return self.path.name

    def check(self, given: Mapping[str, Any]) -> None:
        """Refuse parameters that the notebook doesn't have.

        Raises:
            NotebookError: The first one that isn't there; the nearest is suggested.
        """
        if self.declared is None:
            return
        for name in given:
            if name not in self.declared:
                near = difflib.get_close_matches(name, self.declared, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                there = ", ".join(self.declared) or "nothing"
                raise NotebookError(f"{self.name} has no parameter {name}{hint} Its parameters cell sets {there}")

    def sources(self) -> Iterator[str]:
        """The Python of its code cells that are run; cells in other languages are left out."""
        for cell in self.notebook.cells:
            if cell.cell_type == "code" and SKIP_TAG not in tags(cell):
                first, _, rest = cell.source.partition("\n")
                source = rest if first.startswith(_TRANSPARENT) else cell.source
                yield _python(source)


def read(word: str) -> JobNotebook:
    """Read a notebook.

    Raises:
        NotebookError: There is none, it isn't one, or it isn't Python's; one line.
    """
    path = _find(word)
    notebook = _parse(path)
    _check_language(path, notebook)
    skipped = _without_outputs(notebook)
    if not any(cell.cell_type == "code" and cell.source.strip() for cell in notebook.cells):
        raise NotebookError(f"{path.name} has no code to run")
    notes = []
    if _is_own(path):
        saved = time.strftime("%H:%M:%S", time.localtime(path.stat().st_mtime))
        notes.append(f"this notebook as it was saved at {saved}: save it first for what came later")
    if skipped:
        notes.append(f"{skipped} cell(s) about the job itself are not run in it")
    return JobNotebook(path, notebook, _declared(notebook), tuple(notes))


def _find(word: str) -> Path:
    path = Path(word).expanduser()
    if path.suffix != ".ipynb" and not path.exists():
        path = path.with_name(path.name + ".ipynb")
    if path.is_file():
        return path.resolve()
    if path.is_dir():
        raise NotebookError(f"{word} is a folder; name the notebook in it")
    if _is_own(path):
        raise NotebookError(f"{path.name} has not been saved yet: save it (Ctrl-S), then run this again")
    beside = [one.name for one in path.parent.glob("*.ipynb")] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=1)
    there = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(beside)[:8])}" if beside else ""
    raise NotebookError(f"there is no notebook {path}{there}")


def _is_own(path: Path) -> bool:
    """Whether this kernel's notebook is of that name: Jupyter tells a kernel no more than that."""
    own = os.environ.get("JPY_SESSION_NAME", "")
    return bool(own) and Path(own).name == path.name


def _parse(path: Path) -> Any:
    import warnings

    import nbformat

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about ids that a valid older notebook lacks
            notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
            nbformat.validate(notebook)
    except OSError as exc:
        raise NotebookError(f"{path.name} can't be read: {exc.strerror or exc}") from exc
    except (ValueError, nbformat.ValidationError, AttributeError, KeyError, TypeError) as exc:
        why = str(exc).strip().splitlines()[0][:160] if str(exc).strip() else type(exc).__name__
        raise NotebookError(f"{path.name} is no valid notebook: {why}") from exc
    return notebook


def _check_language(path: Path, notebook: Any) -> None:
    kernel = notebook.metadata.get("kernelspec", {})
    language = notebook.metadata.get("language_info", {}).get("name") or kernel.get("language") or ""
    if language and language.lower() not in ("python", "ipython"):
        name = kernel.get("display_name") or kernel.get("name") or language
        raise NotebookError(f"{path.name} is for {name} ({language}); jobs run Python notebooks only")


def _without_outputs(notebook: Any) -> int:
    """Take away what running leaves in a file, so that the package changes with the code only; tag what isn't run.

    Returns:
        How many cells are left out of the job because they are about it.
    """
    skipped = 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs, cell.execution_count = [], None
        cell.metadata.pop("execution", None)
        lines = [line.strip() for line in cell.source.splitlines() if not _COMMENT.match(line)]
        if lines and all(_OWN.match(line) for line in lines):
            cell.metadata["tags"] = [*tags(cell), SKIP_TAG]
            skipped += 1
    return skipped


def _declared(notebook: Any) -> dict[str, str] | None:
    cell = next((one for one in notebook.cells if one.cell_type == "code" and TAG in tags(one)), None)
    if cell is None:
        return None
    try:
        tree = ast.parse(_python(cell.source))
    except SyntaxError:
        return None
    found: dict[str, str] = {}
    for node in tree.body:
        value = getattr(node, "value", None)
        if isinstance(node, ast.Assign):
            found |= {one.id: ast.unparse(node.value) for one in node.targets if isinstance(one, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = ast.unparse(value) if isinstance(value, ast.expr) else ""
    return found


def _python(source: str) -> str:
    """A cell's source with its magics as the calls that they stand for."""
    from IPython.core.inputtransformer2 import TransformerManager

    return str(TransformerManager().transform_cell(source))  # type: ignore[no-untyped-call]
