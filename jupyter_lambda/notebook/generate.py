"""A capture as the files of a deployment package: a module that reads well, its data, and a small loader.

::

    lambda_function/notebook.py     the code, to be read: imports, constants, what was brought in, the cell
    lambda_function/__init__.py     runs notebook.py so that tracebacks name the notebook's cells and their lines
    lambda_function/data/NAME.pkl   data
    …                               local modules

The name ``lambda_function`` is AWS's own default for a function's module.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from importlib import resources

from .capture import Capture, Item
from .cells import Cell, Segment
from .handler import Handler
from .values import human_size

MODULE = "lambda_function"


@dataclass(frozen=True, slots=True)
class Section:
    """Lines of the generated module that were written in a cell."""

    #: First and last line in the module, from 1.
    first: int
    last: int
    label: str
    #: The first of them in the cell as the user sees it.
    cell_line: int


@dataclass(slots=True)
class Generated:
    """Files of a package, and where their lines come from."""

    #: Path → content.
    files: dict[str, bytes]
    source: str
    handler: str
    #: Label of a cell → the cell, to name its execution count in tracebacks.
    cells: dict[str, Cell] = field(default_factory=dict)


def generate(capture: Capture, handler: Handler) -> Generated:
    """Write the module of a capture.

    The result depends on the capture only: the same cell with the same surroundings gives the same bytes.
    """
    writer = _Writer()
    _future(writer, capture)
    ordered = _ordered(capture)
    _imports(writer, ordered)
    labels = _labels(ordered)
    for group in _groups([item for item in ordered if item.kind != "import"]):
        _group(writer, group, labels)
    _cell(writer, capture, handler)
    files = {f"{MODULE}/notebook.py": writer.text().encode()}
    for item in ordered:
        if item.kind == "data":
            files[f"{MODULE}/data/{item.name}.pkl"] = item.data
    files[f"{MODULE}/__init__.py"] = _loader(writer.sections).encode()
    files.update(capture.modules.files)
    name = handler.name if "." in handler.name else f"{MODULE}.{handler.name}"
    return Generated(files, writer.text(), name, writer.cells)


class _Writer:
    """Collects lines and remembers which of them come from a cell."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self.sections: list[Section] = []
        self.cells: dict[str, Cell] = {}

    def line(self, text: str = "") -> None:
        self._lines.extend(text.splitlines() or [""])

    def blank(self, count: int) -> None:
        """Exactly so many empty lines, unless at the top."""
        while self._lines and not self._lines[-1]:
            self._lines.pop()
        if self._lines:
            self._lines.extend([""] * count)

    def cell_lines(self, lines: list[str], cell: Cell, first: int) -> None:
        """Lines of a cell, the first of which is line ``first`` of its source."""
        start = len(self._lines) + 1
        self._lines.extend(lines)
        self.sections.append(Section(start, len(self._lines), cell.label, first + cell.line_offset))
        self.cells[cell.label] = cell

    def text(self) -> str:
        return "\n".join(self._lines).rstrip("\n") + "\n"


def _future(writer: _Writer, capture: Capture) -> None:
    features = {"annotations"} if capture.lazy_annotations else set()
    for node in capture.cell.tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            features.update(alias.name for alias in node.names)
    if features:
        writer.line(f"from __future__ import {', '.join(sorted(features))}")
        writer.blank(1)


def _imports(writer: _Writer, ordered: Iterable[Item]) -> None:
    lines = {line for item in ordered if item.kind == "import" for line in item.text.splitlines()}
    for line in sorted(lines, key=lambda text: (not text.startswith("import"), text)):
        writer.line(line)


def _ordered(capture: Capture) -> list[Item]:
    """Imports, constants, definitions, data; each after what it needs to be run."""
    rank = {"import": 0, "constant": 1, "definition": 2, "data": 3}
    items = sorted(capture.unique(), key=lambda item: (rank[item.kind], *_position(item), item.name))
    done: dict[int, Item] = {}

    def emit(item: Item, pending: frozenset[int]) -> None:
        if id(item) in done or id(item) in pending:
            return
        for name in sorted(item.immediate):
            needed = capture.items.get(name)
            if needed is not None and needed is not item:
                emit_with_all(needed, pending | {id(item)})
        done[id(item)] = item

    def emit_with_all(item: Item, pending: frozenset[int]) -> None:
        """What runs while the module is loaded may call it: it must be complete."""
        if id(item) in pending:
            return
        emit(item, pending)
        for name in sorted(item.deferred):
            needed = capture.items.get(name)
            if needed is not None and id(needed) not in done:
                emit_with_all(needed, pending | {id(item)})

    for item in items:
        emit(item, frozenset())
    return list(done.values())


def _position(item: Item) -> tuple[int, int]:
    if not item.segments:
        return 0, 0
    return item.segments[-1].cell.number or 0, item.segments[-1].first


def _labels(ordered: Iterable[Item]) -> dict[tuple[str | None, int | None], str]:
    """Each cell's name: after what it defines, so that it stays the same when the cell runs again."""
    names: dict[tuple[str | None, int | None], list[str]] = {}
    for item in ordered:
        for segment in item.segments:
            known = names.setdefault(_cell_key(segment), [])
            if item.name not in known:
                known.append(item.name)
    return {
        key: "cell defining " + ", ".join(found[:3]) + (", …" if len(found) > 3 else "") for key, found in names.items()
    }


def _cell_key(segment: Segment) -> tuple[str | None, int | None]:
    return segment.cell.filename, segment.cell.number


def _groups(items: Iterable[Item]) -> list[list[Item]]:
    """Neighbours of one kind and one cell stand together."""
    groups: list[list[Item]] = []
    for item in items:
        key = (item.kind, _cell_key(item.segments[0]) if item.segments else None)
        last = groups[-1][0] if groups else None
        if last is not None and (last.kind, _cell_key(last.segments[0]) if last.segments else None) == key:
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


def _group(writer: _Writer, group: list[Item], labels: dict[tuple[str | None, int | None], str]) -> None:
    if group[0].kind == "constant":
        writer.blank(1)
        for item in group:
            writer.line(item.text)
        return
    if group[0].kind == "data":
        writer.blank(1)
        for item in group:
            writer.line(f'{item.name} = _data("{item.name}")  # {item.what}, {human_size(len(item.data))}')
        return
    writer.blank(2)
    label = group[0].segments[0].cell.label or labels[_cell_key(group[0].segments[0])]
    writer.line(f"# {label}")
    for number, item in enumerate(group):
        if number:
            writer.blank(2)
        for segment in item.segments:
            cell = segment.cell
            own = cell.label or labels[_cell_key(segment)]
            writer.cell_lines(segment.text.splitlines(), replace(cell, label=own), segment.first)


def _cell(writer: _Writer, capture: Capture, handler: Handler) -> None:
    cell, tree = capture.cell, capture.cell.tree
    inside = {id(node) for node in handler.body}
    outside = [node for node in tree.body if id(node) not in inside and not _is_future(node)]
    if outside or not handler.body:
        writer.blank(2)
        writer.line(f"# {cell.label}")
        _statements(writer, cell, outside)
    if handler.body:
        writer.blank(2)
        if not outside:
            writer.line(f"# {cell.label}")
        writer.line(f"def {handler.name}(event, context):")
        _body(writer, cell, handler.body)
    if handler.wraps:
        writer.blank(2)
        writer.line("# generated: AWS calls with an event and a context, and doesn't await")
        _wrapper(writer, handler)


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _statements(writer: _Writer, cell: Cell, statements: list[ast.stmt]) -> None:
    """The cell's statements with the comments and blank lines between them."""
    previous: int | None = None
    for node in statements:
        segment = cell.segment(node)
        first = segment.first
        while first > 1 and first - 1 > (previous or 0) and _is_loose(cell.lines[first - 2]):
            first -= 1
        if previous is None:
            while first < segment.first and not cell.lines[first - 1].strip():
                first += 1
        lead = cell.lines[first - 1 : segment.first - 1]
        writer.cell_lines([*lead, *segment.text.splitlines()], cell, first)
        previous = segment.last


def _is_loose(line: str) -> bool:
    text = line.strip()
    return not text or text.startswith("#")


def _body(writer: _Writer, cell: Cell, statements: Iterable[ast.stmt]) -> None:
    statements = list(statements)
    for node in statements:
        segment = cell.segment(node)
        lines = segment.text.splitlines()
        if node is statements[-1]:
            lines = _returned(lines)
        inside_string = _string_continuations(node)
        indented = [
            line if segment.first + number in inside_string or not line.strip() else "    " + line
            for number, line in enumerate(lines)
        ]
        writer.cell_lines(indented, cell, segment.first)


def _returned(lines: list[str]) -> list[str]:
    """The last expression as a return statement; round brackets keep one that spans lines together."""
    return ["return " + lines[0], *lines[1:]]


def _string_continuations(node: ast.AST) -> set[int]:
    """Lines that begin inside a string, which indenting would change."""
    found: set[int] = set()
    for child in ast.walk(node):
        if (isinstance(child, ast.Constant) and isinstance(child.value, str | bytes)) or isinstance(
            child, ast.JoinedStr
        ):
            found.update(range(child.lineno + 1, (child.end_lineno or child.lineno) + 1))
    return found


def _wrapper(writer: _Writer, handler: Handler) -> None:
    call = f"{handler.wraps}(event)" if handler.event_only else f"{handler.wraps}(event, context)"
    writer.line(f"def {handler.name}(event, context):")
    if handler.is_async:
        writer.line("    import asyncio")
        writer.line("")
        call = f"asyncio.run({call})"
    writer.line(f"    return {call}")


def _loader(sections: Iterable[Section]) -> str:
    template = resources.files(__package__).joinpath("loader.txt").read_text(encoding="utf-8")
    table = "".join(f"    ({s.first}, {s.last}, {s.label!r}, {s.cell_line}),\n" for s in sections)
    return template.replace("SECTIONS = ()", f"SECTIONS = (\n{table})")


def digest(files: dict[str, bytes]) -> str:
    """SHA-256 in hex over paths and contents."""
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(path.encode() + b"\0" + hashlib.sha256(files[path]).digest())
    return total.hexdigest()
