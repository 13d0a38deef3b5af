"""The notebook's source as it was run: which cell bound a name, and where a live function was written.

IPython keeps every cell that ran in ``linecache`` under the file name it was compiled with.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from .names import bound_by

#: Cell magics whose body runs in the notebook's own namespace.
_TRANSPARENT_MAGICS = frozenset({"time", "capture", "prun"})


@dataclass(frozen=True)
class Cell:
    """One piece of source: a cell that ran, the body of ``%%lambda``, or a file."""

    source: str
    #: What tracebacks and comments call it; the same whenever the same cell is deployed.
    label: str
    #: File name of its code objects; None when it never ran here.
    filename: str | None = None
    #: Execution count, None when unknown.
    number: int | None = None
    #: Added to a line of ``source`` to give the line in the cell as the user sees it.
    line_offset: int = 0

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree. Raises SyntaxError."""
        return ast.parse(self.source)

    @cached_property
    def lines(self) -> list[str]:
        """Lines without line ends."""
        return self.source.splitlines()

    def segment(self, statement: ast.stmt) -> Segment:
        """One of its top-level statements, with decorators."""
        first = min([statement.lineno, *(d.lineno for d in decorators(statement))])
        return Segment(self, first, statement.end_lineno or statement.lineno, statement)

    def place(self, line: int) -> str:
        """A line of ``source`` as the user knows it: "In [3], line 2"."""
        name = f"In [{self.number}]" if self.number else self.label
        return f"{name}, line {line + self.line_offset}"


@dataclass(frozen=True)
class Segment:
    """A top-level statement of a cell: lines ``first`` to ``last``."""

    cell: Cell
    first: int
    last: int
    statement: ast.stmt

    @cached_property
    def text(self) -> str:
        """Its source; a statement that shares its line with others is cut out by columns."""
        statement = self.statement
        alone = statement.col_offset == 0 and not self._followed()
        if alone or decorators(statement):
            return "\n".join(self.cell.lines[self.first - 1 : self.last])
        return ast.get_source_segment(self.cell.source, statement) or ast.unparse(statement)

    def _followed(self) -> bool:
        end = self.cell.lines[self.last - 1].encode()[self.statement.end_col_offset :].strip()
        return bool(end) and not end.startswith(b"#")

    @property
    def binds(self) -> set[str]:
        """Names the statement binds."""
        return bound_by(self.statement)


@dataclass
class CellIndex:
    """The cells that ran, oldest first."""

    cells: list[Cell] = field(default_factory=list)

    @classmethod
    def of_shell(cls, shell: Any) -> CellIndex:
        """Read the cells of an IPython shell in the order in which they were last run."""
        numbers: dict[str, int] = dict(getattr(shell.compile, "_filename_map", {}))
        found = []
        for position, (filename, number) in enumerate(numbers.items()):
            source = "".join(linecache.getlines(filename))
            if source:
                found.append((number, position, filename, source))
        return cls([_cell(source, filename, number) for number, _, filename, source in sorted(found)])

    def bindings(self, name: str) -> list[Segment]:
        """Top-level statements that bind a name, latest first."""
        return list(self._bindings.get(name, ()))

    @cached_property
    def _bindings(self) -> dict[str, list[Segment]]:
        table: dict[str, list[Segment]] = {}
        for cell in self.cells:
            for segment in _segments(cell):
                for name in segment.binds:
                    table.setdefault(name, []).insert(0, segment)
        return table

    def locate(self, code: types.CodeType) -> Segment | None:
        """The top-level statement in which a function's code was written."""
        cell = next((c for c in reversed(self.cells) if c.filename == code.co_filename), None)
        if cell is None:
            cell = _file_cell(code.co_filename)
        if cell is None:
            return None
        line = code.co_firstlineno
        return next((s for s in _segments(cell) if s.first <= line <= s.last), None)

    def names(self) -> Iterator[str]:
        """Every name some cell bound."""
        return iter(self._bindings)


def decorators(statement: ast.stmt) -> list[ast.expr]:
    """Decorators of a definition; none of any other statement."""
    found: list[ast.expr] = getattr(statement, "decorator_list", [])
    return found


def code_of(value: Any) -> types.CodeType | None:
    """The code of a function as it was written, below the wrappers that decorators put round it."""
    try:
        value = inspect.unwrap(value)
    except ValueError:  # a cycle of __wrapped__
        return None
    value = getattr(value, "__func__", value)
    code = getattr(value, "__code__", None)
    return code if isinstance(code, types.CodeType) else None


def class_code(cls: type) -> Iterator[types.CodeType]:
    """Code of the methods that a class itself defines."""
    for member in vars(cls).values():
        candidates: Iterable[Any] = (member,)
        if isinstance(member, property):
            candidates = (member.fget, member.fset, member.fdel)
        elif isinstance(member, staticmethod | classmethod):
            candidates = (member.__func__,)
        for candidate in candidates:
            if isinstance(candidate, types.FunctionType) and candidate.__qualname__.startswith(cls.__qualname__ + "."):
                yield candidate.__code__


def _cell(source: str, filename: str, number: int) -> Cell:
    body, offset = _body_of_transparent_magic(source)
    return Cell(body, label="", filename=filename, number=number or None, line_offset=offset)


def _body_of_transparent_magic(source: str) -> tuple[str, int]:
    """``%%time`` and the like: IPython keeps one call of ``run_cell_magic``; its body is what ran."""
    if not source.startswith("get_ipython().run_cell_magic("):
        return source, 0
    try:
        call = ast.parse(source).body[0]
    except SyntaxError:
        return source, 0
    match call:
        case ast.Expr(value=ast.Call(args=[ast.Constant(magic), ast.Constant(_), ast.Constant(body)])):
            return (str(body), 1) if magic in _TRANSPARENT_MAGICS else ("", 1)
    return source, 0


def _segments(cell: Cell) -> list[Segment]:
    try:
        return [cell.segment(statement) for statement in cell.tree.body]
    except SyntaxError:  # a cell that failed to compile bound nothing
        return []


def _file_cell(filename: str) -> Cell | None:
    """A file that was run as the main program (``%run``, ``python script.py``)."""
    lines = linecache.getlines(filename)
    if not lines:
        return None
    return Cell("".join(lines), label=filename.replace("\\", "/").rpartition("/")[2], filename=filename)


def labelled(segment: Segment, names: Iterable[str]) -> Segment:
    """The segment with its cell named after what it defines; the name doesn't change when the cell runs again."""
    if segment.cell.label:
        return segment
    label = "cell defining " + ", ".join(sorted(names))
    return replace(segment, cell=replace(segment.cell, label=label))


#: How a namespace is read: a mapping, so that module files and notebooks look alike.
Namespace = Mapping[str, Any]
Resolver = Callable[[str], Any]
