"""``@lambda_function``: the cell magic's twin for code that linters read, in notebooks and in modules."""

from __future__ import annotations

import inspect
import linecache
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .function import LambdaFunction


class DecoratedFunction(LambdaFunction):
    """A function that runs as a Lambda function when called, and here with ``.local(event)``.

    It is deployed at its first remote call, and again when what it refers to has changed since.
    """

    def __init__(self, local: Callable[..., Any], options: Mapping[str, Any]) -> None:
        super().__init__(str(options.get("name") or local.__name__), profile=options.get("profile"))
        self._function = local
        self._options = dict(options)
        self._deployed = False
        self._deploying = threading.Lock()
        self.__wrapped__ = local
        self.__doc__ = local.__doc__

    @property
    def is_local_too(self) -> bool:
        """It can run in this process."""
        return True

    def forget(self) -> None:
        """It was deleted: the next call deploys it again."""
        super().forget()
        self._deployed = False

    def local(self, event: Any = None, context: Any = None) -> Any:
        """Run it here, in this process."""
        arguments = (event, context) if _takes_context(self._function) else (event,)
        result = self._function(*arguments)
        if inspect.iscoroutine(result):
            import asyncio

            return asyncio.run(result)
        return result

    def deploy(self) -> LambdaFunction:
        """Deploy it now; does nothing when nothing has changed."""
        from . import deploy as deployment
        from . import triggers
        from .build import build
        from .cellmagic import python_runtime
        from .cells import Cell, CellIndex
        from .dependencies import build as build_layers
        from .dependencies import requirements
        from .errors import NotebookError

        cell, namespace, cells = _surroundings(self._function, self.name, Cell, CellIndex)
        options = self._options
        sources = triggers.read(options["triggers"])
        runtime = python_runtime()
        wanted = requirements(
            cell.source,
            options["pip"],
            options["requirements"],
            python=runtime.removeprefix("python"),
            for_aws=bool(self.profile),
        )
        made = build(cell, namespace, cells, handler=self._function.__name__, use=options["use"])
        engine = self.engine
        layers = build_layers(wanted, print) if wanted else None
        done = deployment.deploy(
            engine,
            deployment.Wanted(
                name=self.name,
                zip_bytes=made.zip_bytes,
                handler=made.generated.handler,
                runtime=runtime,
                memory_mb=options["memory_mb"],
                timeout_s=options["timeout_s"],
                environment=options["env"],
                layers=deployment.layer_arns(engine, layers, runtime) if layers else (),
                role=options["role"],
                network=options["network"],
                interpreter=engine.interpreter(sys.executable),
            ),
        )
        self._places.update(made.places)
        self._deployed = True
        _remember(self)
        _, problem = triggers.apply(engine, self.name, sources, is_new=done.action == "created")
        if problem:
            raise NotebookError(f"{self.name} is deployed, but not all of its triggers could be made: {problem}")
        return self

    def invoke(self, event: Any = None, *, qualifier: str | None = None, request_id: str | None = None) -> Any:
        """Run it remotely and tell everything about the call; deploys it first if need be."""
        with self._deploying:
            if not self._deployed:
                self.deploy()
        return super().invoke(event, qualifier=qualifier, request_id=request_id)

    def send(self, event: Any = None, /, **fields: Any) -> str:
        """Queue the event; deploys first if need be."""
        with self._deploying:
            if not self._deployed:
                self.deploy()
        return super().send(event, **fields)

    def __repr__(self) -> str:
        return f"<LambdaFunction {self.name}{'' if self._deployed else ', not deployed yet'}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return super()._repr_mimebundle_() if self._deployed else {"text/plain": repr(self)}


def lambda_function(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    memory_mb: int = 512,
    timeout_s: int = 30,
    env: Mapping[str, str] | None = None,
    network: str | None = None,
    pip: Iterable[str] = (),
    requirements: str | None = None,
    use: Iterable[str] = (),
    profile: str | None = None,
    role: str | None = None,
    triggers: Iterable[str] = (),
) -> Any:
    """Make a function a Lambda function.

    ::

        @lambda_function(memory_mb=512)
        def clean(event, context):
            return {"n": event["n"]}

        clean({"n": 3})          runs remotely; deployed at the first call
        clean.local({"n": 3})    runs here

    Args:
        name: The function's name; None: its own.
        memory_mb, timeout_s, env, network, pip, requirements, use, profile, role: As the options of ``%%lambda``.
        triggers: What fires it, each as after ``--trigger``; made when it is deployed.
    """
    options = {
        "name": name,
        "memory_mb": memory_mb,
        "timeout_s": timeout_s,
        "env": dict(env or {}),
        "network": network,
        "pip": tuple(pip),
        "requirements": requirements,
        "use": tuple(use),
        "profile": profile,
        "role": role,
        "triggers": (triggers,) if isinstance(triggers, str) else tuple(triggers),
    }
    if function is not None:
        return DecoratedFunction(function, options)
    return lambda found: DecoratedFunction(found, options)


def _remember(function: LambdaFunction) -> None:
    """In a notebook, `%lambda clean` knows it too."""
    from .cellmagic import deployed

    shell = _shell()
    if shell is not None:
        deployed(shell)[function.name] = function


def _shell() -> Any:
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    return get_ipython()


def _takes_context(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return False
    return True


def _surroundings(function: Callable[..., Any], name: str, cell_type: Any, index_type: Any) -> tuple[Any, Any, Any]:
    """The function's definition without this decorator, as a cell of its own; its namespace; the source around it."""
    import ast

    from .errors import CaptureError

    code = function.__code__
    namespace: Mapping[str, Any] = function.__globals__
    index = _index(code.co_filename, index_type, cell_type)
    segment = index.locate(code)
    if segment is None or not isinstance(segment.statement, ast.FunctionDef | ast.AsyncFunctionDef):
        raise CaptureError(
            f"`{function.__name__}` must be defined at the top of a cell or module: @lambda_function needs its source"
        )
    statement = segment.statement
    kept = [d for d in statement.decorator_list if not _is_ours(d)]
    lines = segment.cell.lines
    first = statement.lineno if not kept else min(d.lineno for d in kept)
    source = "\n".join(lines[first - 1 : segment.last]) + "\n"
    label = f"@lambda_function {name}"
    cell = cell_type(source, label, number=segment.cell.number, line_offset=first - 1 + segment.cell.line_offset)
    return cell, namespace, index


def _index(filename: str, index_type: Any, cell_type: Any) -> Any:
    shell = _shell()
    cells = index_type.of_shell(shell) if shell is not None else index_type([])
    if not any(cell.filename == filename for cell in cells.cells):
        source = "".join(linecache.getlines(filename))
        cells.cells.append(cell_type(source, label=filename.rpartition("/")[2], filename=filename))
    return cells


def _is_ours(decorator: Any) -> bool:
    import ast

    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
    return name == "lambda_function"
