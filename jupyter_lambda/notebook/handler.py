"""Which function of a cell does AWS call?

``--handler``, else ``handler`` or ``lambda_handler``, else the only function, else the value of the last expression
with ``event`` and ``context`` in scope. A handler that takes the event alone, or is a coroutine, gets a small generated
one round it, because AWS calls with two arguments and does not await.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from .cells import Cell
from .errors import CaptureError
from .names import analyse, bound_by

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_STAYS_OUTSIDE = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
#: Name of a generated handler: AWS's own default.
GENERATED = "lambda_handler"


@dataclass(frozen=True, slots=True)
class Handler:
    """How the function is entered."""

    #: Name that AWS calls, in the generated module; or "module.function" of a local module.
    name: str
    #: The cell's function that a generated handler calls; None: AWS calls it directly.
    wraps: str | None = None
    #: The wrapped function takes the event only; it is a coroutine function.
    event_only: bool = False
    is_async: bool = False
    #: Value of the last expression: the statements that run at every call.
    body: tuple[ast.stmt, ...] = ()

    @property
    def is_expression(self) -> bool:
        """Whether the cell itself is the handler's body."""
        return bool(self.body)


def choose(cell: Cell, tree: ast.Module, wanted: str | None, available: Iterable[str] = ()) -> Handler:
    """Find the handler of a cell.

    Args:
        wanted: ``--handler``.
        available: Names of the notebook that could be brought in.
    Raises:
        CaptureError: There is none, or several could be meant.
    """
    functions = {node.name: node for node in tree.body if isinstance(node, _Function)}
    if wanted:
        return _wanted(cell, tree, functions, wanted, available)
    for name in ("handler", "lambda_handler"):
        if name in functions:
            return _around(functions[name])
        if any(name in bound_by(node) for node in tree.body):
            return Handler(name)
    last = tree.body[-1] if tree.body else None
    if len(functions) == 1:
        only = next(iter(functions.values()))
        if _accepts(only, 2) or not isinstance(last, ast.Expr):
            return _around(only)
    if isinstance(last, ast.Expr):
        return Handler(_free_name(tree), body=_per_call(tree))
    raise _no_handler(cell, functions)


def _wanted(
    cell: Cell, tree: ast.Module, functions: dict[str, _Function], wanted: str, available: Iterable[str]
) -> Handler:
    if wanted in functions:
        return _around(functions[wanted])
    if "." in wanted or any(wanted in bound_by(node) for node in tree.body) or wanted in set(available):
        return Handler(wanted)
    near = difflib.get_close_matches(wanted, [*functions, *available], n=1)
    hint = f"did you mean `{near[0]}`?" if near else "the cell defines " + (", ".join(functions) or "no function")
    raise CaptureError(f"--handler {wanted}: no such function: {hint}")


def _around(node: _Function) -> Handler:
    is_async = isinstance(node, ast.AsyncFunctionDef)
    if _accepts(node, 2):
        return (
            Handler(GENERATED if node.name != GENERATED else "_" + GENERATED, wraps=node.name, is_async=True)
            if (is_async)
            else Handler(node.name)
        )
    if _accepts(node, 1) or _accepts(node, 0):
        if not _accepts(node, 1):
            raise CaptureError(
                f"`{node.name}()` takes no arguments; a handler takes the event: `def {node.name}(event):`"
            )
        name = GENERATED if node.name != GENERATED else "_" + GENERATED
        return Handler(name, wraps=node.name, event_only=True, is_async=is_async)
    raise CaptureError(
        f"`{node.name}` takes more than `event` and `context`: add a `def handler(event, context):` that calls it"
    )


def _accepts(node: _Function, count: int) -> bool:
    """Whether a function can be called with so many positional arguments."""
    if node.decorator_list:
        return True  # the decorator decides
    args = node.args
    positional = len(args.posonlyargs) + len(args.args)
    required_keywords = sum(default is None for default in args.kw_defaults)
    return (
        positional - len(args.defaults) <= count
        and (positional >= count or args.vararg is not None)
        and (not required_keywords)
    )


def _free_name(tree: ast.Module) -> str:
    bound = set().union(*(bound_by(node) for node in tree.body))
    return GENERATED if GENERATED not in bound else "_" + GENERATED


def _per_call(tree: ast.Module) -> tuple[ast.stmt, ...]:
    """The statements that run at every call: all but imports, and definitions that don't depend on those that do."""
    inside = {id(node) for node in tree.body if not isinstance(node, _STAYS_OUTSIDE)}
    moved = True
    while moved:
        moved = False
        bound = {"event", "context"}.union(*(bound_by(node) for node in tree.body if id(node) in inside))
        for node in tree.body:
            if id(node) in inside or isinstance(node, ast.Import | ast.ImportFrom):
                continue
            if bound & set(analyse(ast.Module(body=[node], type_ignores=[])).needs):
                inside.add(id(node))
                moved = True
    return tuple(node for node in tree.body if id(node) in inside)


def _no_handler(cell: Cell, functions: dict[str, _Function]) -> CaptureError:
    if not functions:
        return CaptureError(
            "the cell has nothing to call: define `def handler(event, context):`, or end with an expression of `event`"
        )
    names = ", ".join(functions)
    return CaptureError(
        f"the cell defines {names}: name one `handler`, or say which with `--handler {next(iter(functions))}`"
    )
