"""``%%lambda NAME``: from the cell to a function that can be called."""

from __future__ import annotations

import argparse
import platform
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from . import deploy as deployment
from . import triggers
from .build import Build, build, foreign_packages
from .cells import Cell, CellIndex
from .dependencies import Layers, requirements
from .dependencies import build as build_layers
from .engine import Engine, engines
from .errors import CaptureError, NotebookError
from .function import LambdaFunction
from .options import identifier
from .render import FunctionCard, Shown, captured, source_view, tabular
from .trigger_view import TriggerLine
from .values import human_size
from .words import Reader

_RUNTIME = re.compile(r"python(\d\.\d+)")
_FIRST_LINE = re.compile(r"^[ \t]*%%lambda\b", re.MULTILINE)


def deploy_cell(shell: Any, arguments: argparse.Namespace, body: str) -> Any:
    """Run one ``%%lambda`` cell.

    Raises:
        NotebookError: Anything the user can mend.
    """
    reader = Reader(shell.user_ns)
    # Everything on the line is read before anything is built or changed.
    event = (reader.event(arguments.test),) if arguments.test is not None else None
    sources = triggers.read(reader.texts(arguments.trigger))
    environment = dict(reader.setting(word) for word in arguments.env or ())
    runtime = reader.text(arguments.runtime) if arguments.runtime else python_runtime()
    bind = arguments.bind or identifier_of(arguments.name)
    say = _quiet if arguments.quiet else _say
    cell = cell_of(shell, arguments.name, body)
    wanted = requirements(
        body,
        reader.texts(arguments.pip),
        arguments.requirements,
        python=_python_version(runtime),
        for_aws=bool(arguments.profile),
    )
    made = build(
        cell,
        shell.user_ns,
        CellIndex.of_shell(shell),
        handler=arguments.handler,
        use=[name for word in reader.texts(arguments.use) for name in word.split(",") if name],
        lazy_annotations=_lazy_annotations(shell),
        strict_imports=wanted is None and runtime == python_runtime(),
    )
    if arguments.dry_run:
        return _show_plan(
            arguments.name, made, wanted.packages if wanted else (), triggers.plan(arguments.name, sources)
        )
    if arguments.profile and wanted is None:
        _refuse_foreign(made)
    layers = build_layers(wanted, say) if wanted else None
    if arguments.no_deploy:
        return _write_zip(arguments.name, made, layers)
    engine = engines.get(arguments.profile)
    interpreter = engine.interpreter(sys.executable) if runtime == python_runtime() else None
    result = _deploy(engine, arguments, made, layers, runtime, interpreter, environment)
    function = LambdaFunction(arguments.name, profile=arguments.profile, places=made.places)
    shell.user_ns[bind] = function
    _remember(shell, function)
    lines, problem = triggers.apply(engine, arguments.name, sources, is_new=result.action == "created")
    if not arguments.quiet:
        notes = [
            deployment.check_size(engine, layers, made.zip_bytes),
            _about_interpreter(engine, runtime) if interpreter is None else None,
        ]
        _display(_card(engine, result, made, bind, [note for note in notes if note], lines))
    if problem:
        raise NotebookError(f"{arguments.name} is deployed, but not all of its triggers could be made: {problem}")
    if event is not None:
        _test(shell, function, event[0], arguments.out, quiet=arguments.quiet)
    return None


def _deploy(
    engine: Engine,
    arguments: argparse.Namespace,
    made: Build,
    layers: Layers | None,
    runtime: str,
    interpreter: str | None,
    environment: dict[str, str],
) -> deployment.Deployed:
    return deployment.deploy(
        engine,
        deployment.Wanted(
            name=arguments.name,
            zip_bytes=made.zip_bytes,
            handler=made.generated.handler,
            runtime=runtime,
            memory_mb=arguments.memory or deployment.DEFAULT_MEMORY_MB,
            timeout_s=arguments.timeout or deployment.DEFAULT_TIMEOUT_S,
            environment=environment,
            layers=deployment.layer_arns(engine, layers, runtime) if layers else (),
            role=arguments.role,
            network=arguments.network,
            interpreter=interpreter,
            tags={"notebook": "yes"},
        ),
    )


def _about_interpreter(engine: Engine, runtime: str) -> str | None:
    """What to know where the engine does not have this notebook's Python."""
    if engine.is_aws or runtime != python_runtime():
        return None
    return (
        f"the engine doesn't know this notebook's Python ({sys.executable}) and uses its own {runtime}, whose "
        "packages may differ; add it to c.LambdaEngine.interpreters"
    )


def python_runtime() -> str:
    """AWS's name of this notebook's Python."""
    return f"python{sys.version_info[0]}.{sys.version_info[1]}"


def identifier_of(name: str) -> str:
    """The variable a function is bound to.

    Raises:
        MagicUsageError: The name makes no variable; ``--as`` gives one.
    """
    import keyword

    chosen = re.sub(r"\W", "_", name)
    if not chosen.isidentifier() or keyword.iskeyword(chosen):
        from .errors import MagicUsageError

        raise MagicUsageError(f"{name} can't be a variable's name: add `--as {identifier('f_' + chosen)}`")
    return chosen


def cell_of(shell: Any, name: str, body: str) -> Cell:
    """The body as a cell, with the place its lines have in what the user sees."""
    raw = shell.history_manager.input_hist_raw if shell.history_manager is not None else [""]
    latest = raw[-1] if raw else ""
    first = _FIRST_LINE.search(latest)
    if not (first and body.strip() in latest):  # run by other code, not as a cell of its own
        return Cell(body, label=f"%%lambda {name}", line_offset=1)
    # The history's length, and not execution_count, which some releases of IPython count up before the cell runs.
    offset = latest.count("\n", 0, first.start()) + 1
    return Cell(body, label=f"%%lambda {name}", number=len(raw) - 1, line_offset=offset)


def _python_version(runtime: str) -> str:
    found = _RUNTIME.fullmatch(runtime)
    return found[1] if found else platform.python_version().rpartition(".")[0]


def _lazy_annotations(shell: Any) -> bool:
    import __future__

    return bool(getattr(shell.compile, "flags", 0) & __future__.annotations.compiler_flag)


def _say(line: str) -> None:
    if line.strip():
        print(line)  # noqa: T201 - a build's output, live in the cell


def _quiet(line: str) -> None:
    del line


def _display(shown: Any) -> None:
    from IPython.display import display

    display(shown)  # type: ignore[no-untyped-call]


def _card(
    engine: Engine,
    result: deployment.Deployed,
    made: Build,
    bind: str,
    notes: Iterable[str],
    lines: Iterable[TriggerLine],
) -> FunctionCard:
    state = f"updated: {', '.join(result.changes)}" if result.changes else result.action
    warnings = [*made.capture.warnings, *notes]
    return FunctionCard.of_configuration(
        engine,
        result.configuration,
        state=state,
        build=made,
        version=result.version,
        bound_as=bind,
        warnings=warnings,
        triggers=lines,
    )


def _test(shell: Any, function: LambdaFunction, event: Any, out: str | None, *, quiet: bool) -> None:
    found = function.invoke(event)
    if not found.ok:
        found.raise_for_error()
    if out:
        shell.user_ns[out] = found.result
    if not quiet:
        _display(found)


def _remember(shell: Any, function: LambdaFunction) -> None:
    """Keep which functions this notebook deployed."""
    deployed(shell)[function.name] = function


def deployed(shell: Any) -> dict[str, LambdaFunction]:
    """Functions this notebook deployed, by name."""
    found: dict[str, LambdaFunction] = shell.__dict__.setdefault("_jupyter_lambda_functions", {})
    return found


def _refuse_foreign(made: Build) -> None:
    missing = foreign_packages(made.capture)
    if missing:
        raise CaptureError(f"AWS's Python has no {', '.join(missing)}: add `--pip {' '.join(missing)}`")


def _show_plan(name: str, made: Build, packages: Iterable[str], plan: Iterable[str]) -> Shown:
    facts = [f"handler {made.generated.handler}", f"package {human_size(len(made.zip_bytes))}"]
    if packages:
        facts.append("packages " + ", ".join(packages))
    _display(source_view(made.generated.source, f"{name}: what would be deployed · " + " · ".join(facts)))
    rows = [(one, what, human_size(size)) for one, what, size in captured(made)]
    for warning in made.capture.warnings:
        print(f"warning: {warning}")  # noqa: T201
    for line in plan:
        print(f"would make {line}")  # noqa: T201
    return tabular(("name", "what", "size"), rows, "Brought in from the notebook")


def _write_zip(name: str, made: Build, layers: Layers | None) -> None:
    path = Path(f"{name}.zip")
    try:
        path.write_bytes(made.zip_bytes)
        for number, zipped in enumerate(layers.zips if layers else ()):
            Path(f"{name}-layer{number or ''}.zip").write_bytes(zipped.read_bytes())
    except OSError as exc:
        raise NotebookError(f"{path}: {exc.strerror or exc}") from exc
    more = f" and {len(layers.zips)} layer(s)" if layers else ""
    print(f"{path} ({human_size(len(made.zip_bytes))}){more}, handler {made.generated.handler}; nothing deployed")  # noqa: T201


Say = Callable[[str], None]
