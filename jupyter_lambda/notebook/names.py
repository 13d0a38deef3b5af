"""Which names does a piece of source need from outside, and which does it bind?

An exact reading of Python's scoping rules over the syntax tree, in the order in which the statements run: a name read
before it is bound is needed even if it is bound later (``total = total + 1``), one read in a function's body only if
nothing binds it at all.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_OWN_SCOPE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@dataclass(frozen=True, slots=True)
class Need:
    """A name that is read and not bound by the source itself."""

    name: str
    #: Line of its first use, from 1.
    line: int
    #: Read while the source runs, not only when a function it defines is called.
    immediate: bool
    #: The source copes without it: an annotation that is never evaluated, or guarded by ``except NameError``.
    optional: bool = False


@dataclass(frozen=True, slots=True)
class StarImport:
    """``from module import *``: names that can't be told from the source."""

    module: str
    line: int


@dataclass(slots=True)
class Names:
    """What one piece of source needs and binds."""

    needs: dict[str, Need] = field(default_factory=dict)
    #: Names bound at the top level (or declared global and bound in a function).
    binds: set[str] = field(default_factory=set)
    star_imports: list[StarImport] = field(default_factory=list)


def analyse(tree: ast.Module, *, lazy_annotations: bool = False) -> Names:
    """Read a module.

    Args:
        lazy_annotations: Annotations are not evaluated (``from __future__ import annotations`` in force).
    """
    lazy = lazy_annotations or has_future(tree, "annotations")
    visitor = _Visitor(lazy)
    visitor.run(tree.body)
    return visitor.finish()


def has_future(tree: ast.Module, feature: str) -> bool:
    """Whether ``from __future__ import <feature>`` stands in the module."""
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == feature for alias in node.names)
        for node in tree.body
    )


def bound_by(statement: ast.stmt) -> set[str]:
    """Names that one top-level statement binds."""
    return set(_bindings([statement]))


@dataclass(slots=True)
class _Scope:
    #: "function" (its body runs later), "class", "comprehension" or "parameters" (Python 3.12's type parameters).
    kind: str
    #: Names of a function's scope: all of them, wherever they are bound. Of a class: those bound so far.
    local: set[str]
    #: Names declared global here.
    declared_global: set[str] = field(default_factory=set)


class _Visitor(ast.NodeVisitor):
    """Walks statements in the order in which they run."""

    def __init__(self, lazy_annotations: bool) -> None:
        self._lazy = lazy_annotations
        self._scopes: list[_Scope] = []
        self._bound: set[str] = set()
        self._ever_bound: set[str] = set()
        self._global_bound: set[str] = set()
        self._reads: list[Need] = []
        self._stars: list[StarImport] = []
        self._optional = 0

    def run(self, body: Iterable[ast.stmt]) -> None:
        for statement in body:
            self.visit(statement)

    def finish(self) -> Names:
        names = Names(binds=self._ever_bound | self._global_bound, star_imports=self._stars)
        for read in self._reads:
            if not read.immediate and read.name in self._ever_bound:
                continue
            if read.name in self._global_bound and not read.optional:
                # A function binds it by `global`; the notebook may hold its first value.
                read = Need(read.name, read.line, read.immediate, optional=True)
            known = names.needs.get(read.name)
            if known is None:
                names.needs[read.name] = read
                continue
            names.needs[read.name] = Need(
                read.name,
                line=min(known.line, read.line) if known.optional == read.optional else _required(known, read).line,
                immediate=known.immediate or read.immediate,
                optional=known.optional and read.optional,
            )
        return names

    # names

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._read(node.id, node.lineno)
        elif isinstance(node.ctx, ast.Store):
            self._bind(node.id)
        else:
            self._unbind(node.id, node.lineno)

    def _read(self, name: str, line: int) -> None:
        for scope in reversed(self._scopes):
            if name in scope.declared_global:
                break
            # What a class binds is seen by its own body only: not by its methods, nor by comprehensions in it.
            if name in scope.local and (scope.kind != "class" or scope is self._scopes[-1]):
                return
        if name == "__class__" and any(scope.kind == "class" for scope in self._scopes):
            return
        deferred = any(scope.kind == "function" for scope in self._scopes)
        if not deferred and name in self._bound:
            return
        self._reads.append(Need(name, line, immediate=not deferred, optional=self._optional > 0))

    def _bind(self, name: str) -> None:
        scope = self._scopes[-1] if self._scopes else None
        if scope is None:
            self._ever_bound.add(name)
            self._bound.add(name)
        elif name in scope.declared_global:
            self._global_bound.add(name)
            if not self._in_function():
                self._bound.add(name)
        elif scope.kind == "class":
            scope.local.add(name)

    def _unbind(self, name: str, line: int) -> None:
        if not self._scopes:
            self._read(name, line)
            self._bound.discard(name)
        elif self._scopes[-1].kind == "class":
            self._scopes[-1].local.discard(name)
        else:
            self._read(name, line)

    # scopes

    def _function(self, node: _Function) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        self._defaults(node.args)
        parameters = _type_parameters(node)
        if parameters:
            self._scopes.append(_Scope("parameters", set(parameters)))
        for annotation in _annotations(node):
            self._annotation(annotation)
        if parameters:
            self._scopes.pop()
        self._body(node, extra=parameters)
        self._bind(node.name)

    visit_FunctionDef = _function  # noqa: N815 - the name that ast looks up
    visit_AsyncFunctionDef = _function  # noqa: N815 - the name that ast looks up

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._defaults(node.args)
        self._scopes.append(_Scope("function", _parameters(node.args) | set(_bindings_in_expression(node.body))))
        self.visit(node.body)
        self._scopes.pop()

    def _body(self, node: _Function, extra: Iterable[str]) -> None:
        declared, nonlocals = _declarations(node.body)
        local = (_parameters(node.args) | set(_bindings(node.body)) | set(extra)) - declared - nonlocals
        self._scopes.append(_Scope("function", local, declared))
        self.run(node.body)
        self._scopes.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        parameters = set(_type_parameters(node))
        if parameters:
            self._scopes.append(_Scope("parameters", parameters))
        for base in [*node.bases, *(keyword.value for keyword in node.keywords)]:
            self.visit(base)
        declared, _ = _declarations(node.body)
        self._scopes.append(_Scope("class", {"__module__", "__qualname__", *parameters}, declared))
        self.run(node.body)
        self._scopes.pop()
        if parameters:
            self._scopes.pop()
        self._bind(node.name)

    def _comprehension(self, node: _Comprehension) -> None:
        self.visit(node.generators[0].iter)
        targets = set().union(*(set(_targets(g.target)) for g in node.generators))
        # A comprehension sees the names of the functions round it but not of a class; it runs at once.
        self._scopes.append(_Scope("comprehension", targets))
        for index, generator in enumerate(node.generators):
            if index:
                self.visit(generator.iter)
            for condition in generator.ifs:
                self.visit(condition)
        if isinstance(node, ast.DictComp):
            self.visit(node.key)
            self.visit(node.value)
        else:
            self.visit(node.elt)
        self._scopes.pop()

    visit_ListComp = _comprehension  # noqa: N815 - the name that ast looks up
    visit_SetComp = _comprehension  # noqa: N815 - the name that ast looks up
    visit_DictComp = _comprehension  # noqa: N815 - the name that ast looks up
    visit_GeneratorExp = _comprehension  # noqa: N815 - the name that ast looks up

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        outer = self._scopes
        while self._scopes and self._scopes[-1].kind == "comprehension":
            self._scopes = self._scopes[:-1]
        self.visit(node.target)
        self._scopes = outer

    # statements whose parts run in another order than they are written

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._read(node.target.id, node.target.lineno)
        self.visit(node.value)
        self.visit(node.target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if not self._in_function():
            self._annotation(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self.visit(node.target)
        elif not isinstance(node.target, ast.Name):
            self.visit(node.target)

    def _for(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self.visit(node.target)
        self.run(node.body)
        self.run(node.orelse)

    visit_For = _for  # noqa: N815 - the name that ast looks up
    visit_AsyncFor = _for  # noqa: N815 - the name that ast looks up

    def visit_Try(self, node: ast.Try) -> None:
        guarded = any(_catches_name_error(handler) for handler in node.handlers)
        self._optional += guarded
        self.run(node.body)
        self._optional -= guarded
        for handler in node.handlers:
            if handler.type is not None:
                self.visit(handler.type)
            if handler.name:
                self._bind(handler.name)
            self.run(handler.body)
        self.run(node.orelse)
        self.run(node.finalbody)

    visit_TryStar = visit_Try  # type: ignore[assignment]  # noqa: N815 - the two nodes have the same parts

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._bind(alias.asname or alias.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self._stars.append(StarImport(node.module or "", node.lineno))
            elif node.module != "__future__":
                self._bind(alias.asname or alias.name)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self.generic_visit(node)
        if node.name:
            self._bind(node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self._bind(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.generic_visit(node)
        if node.rest:
            self._bind(node.rest)

    def visit_TypeAlias(self, node: ast.AST) -> None:  # Python 3.12
        name: ast.Name = node.name  # type: ignore[attr-defined]
        self._bind(name.id)
        self._optional += 1  # evaluated only if something asks for it
        self._scopes.append(_Scope("function", set(_type_parameters(node))))
        self.visit(node.value)  # type: ignore[attr-defined]
        self._scopes.pop()
        self._optional -= 1

    # small parts

    def _in_function(self) -> bool:
        return any(scope.kind == "function" for scope in self._scopes)

    def _defaults(self, args: ast.arguments) -> None:
        for default in [*args.defaults, *args.kw_defaults]:
            if default is not None:
                self.visit(default)

    def _annotation(self, node: ast.expr) -> None:
        self._optional += self._lazy
        self.visit(node)
        self._optional -= self._lazy


def _required(one: Need, other: Need) -> Need:
    return other if one.optional else one


def _parameters(args: ast.arguments) -> set[str]:
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    return {arg.arg for arg in every if arg is not None}


def _annotations(node: _Function) -> Iterator[ast.expr]:
    args = node.args
    for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]:
        if arg is not None and arg.annotation is not None:
            yield arg.annotation
    if node.returns is not None:
        yield node.returns


def _type_parameters(node: ast.AST) -> list[str]:
    return [parameter.name for parameter in getattr(node, "type_params", [])]


def _catches_name_error(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id in {"NameError", "Exception"} for kind in kinds)


def _own(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Nodes of one scope: nested functions, classes and lambdas are yielded but not entered."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, _OWN_SCOPE):
            # Defaults, decorators and bases are evaluated in this scope and may bind by `:=`.
            stack.extend(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))
            if isinstance(node, ast.Lambda):
                stack.remove(node.body)
        elif isinstance(node, _Comprehension):
            stack.extend(_walrus_only(node))
        else:
            stack.extend(ast.iter_child_nodes(node))


def _walrus_only(node: ast.AST) -> Iterator[ast.AST]:
    """Inside a comprehension only `:=` binds in the scope round it."""
    for child in ast.walk(node):
        if isinstance(child, ast.NamedExpr):
            yield child.target


def _bindings(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in _own(nodes):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest


def _bindings_in_expression(node: ast.expr) -> Iterator[str]:
    return _bindings([node])


def _targets(node: ast.expr) -> Iterator[str]:
    for child in ast.walk(node):
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id


def _declarations(body: Iterable[ast.stmt]) -> tuple[set[str], set[str]]:
    """Names declared ``global`` and ``nonlocal`` in one scope."""
    declared: set[str] = set()
    nonlocals: set[str] = set()
    for node in _own(body):
        if isinstance(node, ast.Global):
            declared.update(node.names)
        elif isinstance(node, ast.Nonlocal):
            nonlocals.update(node.names)
    return declared, nonlocals
