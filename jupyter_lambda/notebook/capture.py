"""What a cell needs from its notebook, found and turned into things that can travel.

Source rather than pickles: Python versions need not match, it reads well and it diffs. Only data is pickled.
"""

from __future__ import annotations

import ast
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from . import imports, values
from .cells import Cell, CellIndex, Segment, class_code, code_of
from .errors import CaptureError
from .names import Names, analyse, has_future

Kind = Literal["import", "constant", "definition", "data"]
_TYPING_FORMS = (typing.TypeVar, typing.NewType, types.GenericAlias, types.UnionType)


@dataclass(eq=False)
class Item:
    """One thing that is brought in from the notebook."""

    name: str
    kind: Kind
    #: Source in the generated module; of a definition, ``segments`` holds it.
    text: str = ""
    segments: tuple[Segment, ...] = ()
    #: Names that must be there when its source runs, and those it needs only when called.
    immediate: frozenset[str] = frozenset()
    deferred: frozenset[str] = frozenset()
    #: Pickled bytes of data.
    data: bytes = b""
    #: What it is, for people: "DataFrame".
    what: str = ""

    @property
    def size_bytes(self) -> int:
        """Bytes it adds to the package."""
        return len(self.data) or sum(len(s.text.encode()) for s in self.segments) or len(self.text.encode())


@dataclass
class Capture:
    """A cell and everything it needs."""

    cell: Cell
    names: Names
    #: By name; a statement that binds several names stands under each.
    items: dict[str, Item] = field(default_factory=dict)
    modules: imports.LocalModules = field(default_factory=imports.LocalModules)
    warnings: list[str] = field(default_factory=list)
    #: Annotations of the notebook's cells are not evaluated.
    lazy_annotations: bool = False
    #: Top-level modules that are imported anywhere: name → where, for people.
    imported: dict[str, str] = field(default_factory=dict)

    def unique(self) -> list[Item]:
        """The items, each once, in the order in which they were found."""
        return list({id(item): item for item in self.items.values()}.values())


def capture(
    cell: Cell,
    namespace: Mapping[str, Any],
    cells: CellIndex,
    *,
    use: Iterable[str] = (),
    given: Iterable[str] = (),
    lazy_annotations: bool = False,
    strict_imports: bool = True,
) -> Capture:
    """Find everything a cell needs.

    Args:
        namespace: The notebook's live names; what is live wins over what was written.
        cells: The notebook's source.
        use: Names to bring in although the cell doesn't mention them.
        given: Names the cell gets from elsewhere (``event``, ``context``).
        strict_imports: Refuse a cell that imports what isn't installed here.
    Raises:
        CaptureError: Something it needs can't be found or can't travel.
    """
    tree = parse(cell)
    lazy = lazy_annotations or has_future(tree, "annotations")
    names = analyse(tree, lazy_annotations=lazy)
    work = _Capturer(Capture(cell, names, lazy_annotations=lazy), namespace, cells, frozenset(given))
    work.imports_of(tree, cell, strict=strict_imports)
    for need in names.needs.values():
        work.need(need.name, cell, need.line, optional=need.optional or bool(names.star_imports))
    for name in use:
        if name not in names.binds:
            work.need(name, cell, None, optional=False)
    work.finish()
    return work.result


def parse(cell: Cell) -> ast.Module:
    """The cell's syntax tree.

    Raises:
        CaptureError: It isn't Python, e.g. because it holds a magic.
    """
    try:
        tree = cell.tree
        compile(tree, cell.label, "exec", dont_inherit=True)
    except SyntaxError as exc:
        raise _not_python(cell, exc) from None
    return tree


def _not_python(cell: Cell, exc: SyntaxError) -> CaptureError:
    for number, written in enumerate(cell.lines, 1):
        text = written.strip()
        if text.startswith(("%", "!")) or text.partition("=")[2].strip().startswith(("!", "%")):
            advice = "it works in notebooks only; remove it"
            if "pip install" in text:
                advice = f"use `%%lambda … --pip {text.partition('pip install')[2].strip() or 'PACKAGE'}` instead"
            return CaptureError(f"{cell.place(number)}: `{text}` can't run in a function: {advice}")
    line = exc.lineno or 1
    shown = cell.lines[line - 1].strip() if 0 < line <= len(cell.lines) else ""
    return CaptureError(f"{cell.place(line)}: {exc.msg}: `{shown}`" if shown else f"{cell.place(line)}: {exc.msg}")


class _Capturer:
    """Follows names from the cell through the notebook."""

    def __init__(self, result: Capture, namespace: Mapping[str, Any], cells: CellIndex, given: frozenset[str]) -> None:
        self.result = result
        self._namespace = namespace
        self._cells = cells
        self._given = given
        #: Names that nothing defines, and what is told of each; all are told at once.
        self._lost: dict[str, str] = {}

    def need(self, name: str, where: Cell, line: int | None, *, optional: bool) -> None:
        """Bring in one name and, in turn, what it needs."""
        if name in self.result.items or name in self._given:
            return
        if name not in self._namespace or (imports.is_builtin(name) and not self._redefined(name)):
            if optional or imports.is_builtin(name):
                return
            self._missing(name, where, line)
            return
        for found in (name, *self._add(name, self._namespace[name])):
            self._follow(self.result.items[found])

    def _redefined(self, name: str) -> bool:
        import builtins

        return name not in imports.MODULE_ATTRIBUTES and self._namespace[name] is not getattr(builtins, name, None)

    def _missing(self, name: str, where: Cell, line: int | None) -> None:
        hint = imports.missing_name_hint(name, self._namespace, self._cells)
        place = f"{where.place(line)}: " if line else ""
        self._lost.setdefault(name, f"{place}`{name}` is not defined: {hint}")

    def _add(self, name: str, value: Any) -> tuple[str, ...]:
        item = self._item(name, value)
        self.result.items[name] = item
        others = []
        for segment in item.segments:
            for other in sorted(segment.binds & self._namespace.keys()):
                latest = self._cells.bindings(other)[:1]
                taken = other in self.result.items or other in self.result.names.binds
                if not taken and latest and latest[0].statement is segment.statement:
                    self.result.items[other] = item
                    others.append(other)
        return tuple(others)

    def _item(self, name: str, value: Any) -> Item:
        statement = imports.import_statement(name, value, self._cells)
        if statement and not self._is_own(value):
            return self._import(name, value, statement)
        if self._is_own(value) or self._written_as_definition(name, value):
            item = self._definition(name, value)
            if item is not None:
                return item
        if isinstance(value, type) and self._is_own(value):
            raise CaptureError(
                f"the source of the class `{name}` isn't known any more: run the cell that defines it again"
            )
        return self._value(name, value)

    def _is_own(self, value: Any) -> bool:
        """Whether a class, function or wrapper was made in the notebook itself."""
        module = getattr(value, "__module__", None)
        own = isinstance(value, type | types.FunctionType) or hasattr(value, "__wrapped__")
        return own and module in ("__main__", self._namespace.get("__name__"))

    def _written_as_definition(self, name: str, value: Any) -> bool:
        """A decorator may have made anything of a function; a typing form has no other source than its statement."""
        written = self._cells.bindings(name)
        if not written:
            return False
        statement = written[0].statement
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            values.refuse_unshippable(name, value)
            return True
        return isinstance(value, _TYPING_FORMS) or type(value).__module__ == "typing"

    # imports

    def _import(self, name: str, value: Any, statement: str) -> Item:
        for module in imports.imported_modules(ast.parse(statement)):
            top = module.partition(".")[0]
            self.result.imported.setdefault(top, f"`{statement.splitlines()[0]}`")
            self.result.modules.add(top)
        return Item(name, "import", text=statement, what="module" if isinstance(value, types.ModuleType) else "import")

    def imports_of(self, tree: ast.Module, cell: Cell, *, strict: bool) -> None:
        """Note what source imports itself; package what is local."""
        required = imports.unguarded_imports(tree)
        for module, line in imports.imported_modules(tree).items():
            top = module.partition(".")[0]
            self.result.imported.setdefault(top, cell.place(line))
            if self.result.modules.add(top) or not strict or top not in required:
                continue
            if imports.find_spec(top) is None:
                package = imports.DISTRIBUTIONS.get(top, top)
                raise CaptureError(f"{cell.place(line)}: `{top}` is not installed here: add `--pip {package}`")

    # definitions

    def _definition(self, name: str, value: Any) -> Item | None:
        segments = self._source_of(name, value)
        if not segments:
            return None
        merged = Item(name, "definition", segments=segments, what="class" if isinstance(value, type) else "function")
        immediate: set[str] = set()
        deferred: set[str] = set()
        bound: set[str] = set()
        for segment in segments:
            needs = self._needs_of(segment)
            immediate |= {n for n, need in needs.needs.items() if need.immediate and n not in bound}
            deferred |= {n for n, need in needs.needs.items() if not need.immediate}
            bound |= needs.binds
        merged.immediate, merged.deferred = frozenset(immediate), frozenset(deferred - bound)
        return merged

    def _needs_of(self, segment: Segment) -> Names:
        return analyse(
            ast.Module(body=[segment.statement], type_ignores=[]), lazy_annotations=self.result.lazy_annotations
        )

    def _source_of(self, name: str, value: Any) -> tuple[Segment, ...]:
        """The statements that make a class or function: usually one; ``f = wrap(f)`` needs those before it too."""
        exact = self._located(value)
        if exact is not None and name in exact.binds and not self._wrapped_later(value, exact):
            return (exact,)
        chain = self._chain(name)
        if not chain or self._is_definition(chain[-1]) or len(chain) > 1 or not isinstance(value, types.FunctionType):
            return chain
        if exact is not None and value.__name__ in exact.binds:
            return self._renamed(name, value, exact)
        # Made by a factory: its statement may depend on values that have changed since, so it travels as it is.
        return ()

    def _chain(self, name: str) -> tuple[Segment, ...]:
        chain: list[Segment] = []
        for segment in self._cells.bindings(name):
            if isinstance(segment.statement, ast.Import | ast.ImportFrom):
                break
            chain.insert(0, segment)
            if name not in self._needs_of(segment).needs:
                break
        return tuple(chain)

    @staticmethod
    def _is_definition(segment: Segment) -> bool:
        return isinstance(segment.statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)

    @staticmethod
    def _wrapped_later(value: Any, exact: Segment) -> bool:
        """``f = cache(f)`` after the definition of ``f``."""
        return hasattr(value, "__wrapped__") and not getattr(exact.statement, "decorator_list", ())

    def _renamed(self, name: str, value: types.FunctionType, segment: Segment) -> tuple[Segment, ...]:
        """``g = f``: the definition of ``f``, then the second name."""
        alias = Cell(f"{name} = {value.__name__}", label=segment.cell.label, number=segment.cell.number)
        return segment, alias.segment(alias.tree.body[0])

    def _located(self, value: Any) -> Segment | None:
        if isinstance(value, type):
            segments = (self._cells.locate(code) for code in class_code(value))
            return next(
                (s for s in segments if s is not None and isinstance(s.statement, ast.ClassDef | ast.If | ast.Try)),
                None,
            )
        code = code_of(value)
        return self._cells.locate(code) if code is not None else None

    # values

    def _value(self, name: str, value: Any) -> Item:
        text = values.literal(value)
        if text is not None:
            return Item(name, "constant", text=f"{name} = {text}", what=type(value).__name__)
        if isinstance(value, types.ModuleType):
            raise CaptureError(f"`{name}` is a module made in this notebook, which can't travel: put it into a file")
        found = values.pickled(name, value, self._namespace)
        for module in found.modules:
            self.result.imported.setdefault(module, f"the data of `{name}`")
            self.result.modules.add(module)
        if len(found.data) > values.WARN_BYTES:
            size = values.human_size(len(found.data))
            what = type(value).__name__
            self.result.warnings.append(
                f"`{name}` ({what}) adds {size} to every deployment; an event or a file may suit it better"
            )
        return Item(name, "data", immediate=frozenset(found.refers_to), data=found.data, what=type(value).__name__)

    def _follow(self, item: Item) -> None:
        for segment in item.segments:
            needs = self._needs_of(segment)
            for need in needs.needs.values():
                own = need.name in self.result.names.binds and not need.immediate
                if need.name not in segment.binds and not own:
                    self.need(need.name, segment.cell, need.line, optional=need.optional)
            self.imports_of(ast.Module(body=[segment.statement], type_ignores=[]), segment.cell, strict=False)
        for name in item.immediate:
            if not item.segments and name not in self.result.names.binds:
                self.need(name, self.result.cell, None, optional=False)

    def finish(self) -> None:
        """Check what only the whole can break."""
        if self._lost:
            raise CaptureError("; ".join(self._lost.values()))
        total = sum(len(item.data) for item in self.result.unique())
        total += sum(self.result.modules.sizes.values())
        if total > values.REFUSE_BYTES:
            largest = max(self.result.unique(), key=lambda item: len(item.data))
            raise CaptureError(
                f"what the cell needs is {values.human_size(total)}; a function may carry "
                f"{values.human_size(values.REFUSE_BYTES)}. The largest is `{largest.name}` "
                f"({values.human_size(len(largest.data))}): pass what it needs of it in the event"
            )
