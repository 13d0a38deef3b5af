"""The subcommands of ``%lambda``."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any

from jupyter_lambda.errors import LambdaError

from . import deploy as deployment
from . import options, removal, render, triggers
from .cellmagic import deployed
from .engine import Engine, call, code_of_refusal, engines
from .errors import DeployError, MagicUsageError, NotebookError
from .function import LambdaFunction
from .values import human_size
from .words import Reader

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _list(shell: Any, arguments: argparse.Namespace) -> Any:
    engine = engines.get()
    found = [f for f in deployment.functions(engine) if not arguments.pattern or arguments.pattern in f["FunctionName"]]
    counts = _counts(engine)
    fired_by = triggers.named(engine, found) if found else {}
    rows = []
    for one in found:
        stats = counts.get(one["FunctionName"], {})
        rows.append(
            (
                str(one["FunctionName"]),
                str(one.get("State", "Active")),
                f"{one.get('MemorySize')} MB",
                f"{one.get('Timeout')} s",
                human_size(int(one.get("CodeSize", 0))),
                str(stats.get("invocations", 0)),
                str(stats.get("errors", 0)),
                fired_by.get(one["FunctionName"], ""),
                str(one.get("LastModified", ""))[:19].replace("T", " "),
            )
        )
    if not rows:
        what = f"No function's name contains {arguments.pattern}." if arguments.pattern else "No functions yet."
        return render.Shown(what, f"<p>{render.esc(what)}</p>")
    head = ("function", "state", "memory", "timeout", "package", "calls", "errors", "fired by", "changed (UTC)")
    return render.tabular(head, rows, f"{len(rows)} functions{_where(engine)}")


def _show(shell: Any, arguments: argparse.Namespace) -> Any:
    found = configuration(shell, arguments.name)
    state = str(found.get("State", "Active"))
    engine = engine_of(shell, arguments.name)
    lines, problems = triggers.shown(engine, arguments.name)
    variable = bound_as(shell, arguments.name)
    return render.FunctionCard.of_configuration(
        engine, found, state=state, bound_as=variable, triggers=lines, warnings=problems
    )


def _invoke(shell: Any, arguments: argparse.Namespace) -> Any:
    event = Reader(shell.user_ns).event(arguments.event) if arguments.event is not None else {}
    function = handle(shell, arguments.name)
    if arguments.send:
        request_id = function.send(event)
        print(f"{function.name}: queued as {request_id}; %lambda logs {function.name} --request-id {request_id}")  # noqa: T201
        return None
    found = function.invoke(event, qualifier=arguments.qualifier)
    found.raise_for_error()
    if arguments.out:
        shell.user_ns[arguments.out] = found.result
    return None if arguments.quiet else found


def _map(shell: Any, arguments: argparse.Namespace) -> Any:
    events = Reader(shell.user_ns).event(arguments.events)
    if isinstance(events, dict | str | bytes) or not hasattr(events, "__iter__"):
        raise MagicUsageError(f"%lambda map: {arguments.events} is a {type(events).__name__}; give a list of events")
    function = handle(shell, arguments.name)
    result = function.map(events, max_parallel=arguments.max_parallel, progress=not arguments.quiet)
    if arguments.out:
        shell.user_ns[arguments.out] = result
        return None if arguments.quiet else render.Shown(repr(result), render.map_html(result))
    return result


def _logs(shell: Any, arguments: argparse.Namespace) -> Any:
    function = handle(shell, arguments.name)
    found = function.logs(
        request_id=arguments.request_id, since_s=arguments.since, pattern=arguments.pattern, limit=arguments.limit
    )
    if not found and arguments.request_id and function.engine.admin is not None:
        admin = function.engine.admin
        record = _asked(lambda: admin.invocation(arguments.request_id))  # says so where no such invocation is known
        owner = record.get("function_name", arguments.name)
        if owner != arguments.name:
            raise NotebookError(f"{arguments.request_id} is an invocation of {owner}, not of {arguments.name}")
    return found


def _config(shell: Any, arguments: argparse.Namespace) -> Any:
    reader = Reader(shell.user_ns)
    configuration(shell, arguments.name)
    changes = {
        "memory": arguments.memory,
        "timeout": arguments.timeout,
        "env": dict(reader.setting(word) for word in arguments.env) if arguments.env else None,
        "network": arguments.network,
        "concurrency": arguments.concurrency,
    }
    given = {key: value for key, value in changes.items() if value is not None}
    engine = engine_of(shell, arguments.name)
    found = deployment.reconfigure(engine, arguments.name, **given) if given else configuration(shell, arguments.name)
    state = f"changed: {', '.join(given)}" if given else str(found.get("State", "Active"))
    return render.FunctionCard.of_configuration(
        engine,
        found,
        state=state,
        bound_as=bound_as(shell, arguments.name),
        more=deployment.more_settings(engine, arguments.name),
    )


def _tune(shell: Any, arguments: argparse.Namespace) -> Any:
    event = Reader(shell.user_ns).event(arguments.event) if arguments.event is not None else {}
    found = handle(shell, arguments.name).tune(
        arguments.memory,
        n=arguments.n,
        event=event,
        strategy=arguments.strategy,
        apply=arguments.apply,
        progress=not arguments.quiet,
    )
    if arguments.out:
        shell.user_ns[arguments.out] = found
    return found


def _versions(shell: Any, arguments: argparse.Namespace) -> Any:
    configuration(shell, arguments.name)
    engine = engine_of(shell, arguments.name)
    if arguments.publish:
        call(engine.client.publish_version, FunctionName=arguments.name)
    latest = call(engine.client.get_function_configuration, FunctionName=arguments.name)
    rows = []
    marked = False
    for one in deployment.versions(engine, arguments.name):
        same = not marked and deployment.is_same(one, latest)
        marked = marked or same
        rows.append(
            (
                str(one["Version"]) + (" ← in force" if same else ""),
                str(one.get("LastModified", ""))[:19].replace("T", " "),
                str(one["CodeSha256"])[:10],
                f"{one.get('MemorySize')} MB",
                f"{one.get('Timeout')} s",
                human_size(int(one.get("CodeSize", 0))),
            )
        )
    return render.tabular(
        ("version", "published (UTC)", "code", "memory", "timeout", "package"), rows, f"Versions of {arguments.name}"
    )


def _rollback(shell: Any, arguments: argparse.Namespace) -> None:
    configuration(shell, arguments.name)
    version = deployment.rollback(engine_of(shell, arguments.name), arguments.name, arguments.version)
    print(f"{arguments.name} is version {version} again; running its cell deploys the cell's code")  # noqa: T201


def _stats(shell: Any, arguments: argparse.Namespace) -> Any:
    import time

    if arguments.name:
        configuration(shell, arguments.name)
    engine = _engine_with_routes("stats")
    since = time.time() - arguments.since if arguments.since is not None else None
    found = _asked(lambda: engine.admin.stats(arguments.name, since))
    rows = [_stats_row(one) for one in found.get("functions", [])]
    if not rows:
        return render.Shown("No calls yet.", "<p>No calls yet.</p>")
    if len(rows) > 1:
        keys = ("invocations", "errors", "throttles", "cold", "billed_ms", "gb_s", "run_ms_sum", "price")
        total = {key: sum(one[key] for one in found["functions"]) for key in keys}
        rows.append(_stats_row({**total, "function_name": "all"}))
    head = ("function", "calls", "errors", "throttled", "cold", "mean", "billed", "GB-s", "price")
    return render.tabular(head, rows, "Calls, errors and what AWS would charge")


def _stats_row(one: Mapping[str, Any]) -> tuple[str, ...]:
    calls = int(one.get("invocations", 0))
    mean = float(one["run_ms_sum"]) / calls if calls else 0.0
    return (
        str(one["function_name"]),
        str(calls),
        str(one.get("errors", 0)),
        str(one.get("throttles", 0)),
        str(one.get("cold", 0)),
        f"{mean:.0f} ms",
        f"{float(one.get('billed_ms', 0)) / 1000:.1f} s",
        f"{float(one.get('gb_s', 0.0)):.3f}",
        f"${float(one['price']):.7f}",
    )


def _bill(shell: Any, arguments: argparse.Namespace) -> Any:
    import time

    from . import billing

    engine = _engine_with_routes("bill")
    return billing.shown(_asked(lambda: engine.admin.bill(since_s=time.time() - arguments.since, by=arguments.by)))


def _stop(shell: Any, arguments: argparse.Namespace) -> None:
    engine = _engine_with_routes("stop")
    if _UUID.fullmatch(arguments.name):
        stopped = int(_asked(lambda: engine.admin.stop(arguments.name)))
    else:
        configuration(shell, arguments.name)
        stopped = deployment.stop_running(engine, arguments.name)
    print(f"{stopped} stopped" if stopped else f"nothing of {arguments.name} was running")  # noqa: T201


def _doctor(shell: Any, arguments: argparse.Namespace) -> Any:
    engine = _engine_with_routes("doctor")
    findings = _asked(engine.admin.doctor)
    signs = {"ok": "✓", "info": "i", "warning": "⚠", "error": "✗"}
    rows = []
    for one in findings:
        level = str(one.get("level", ""))
        rows.append(
            (
                f"{signs.get(level, '')} {level}",
                str(one.get("subject", "")),
                str(one.get("text", "")),
                str(one.get("advice", "") or ""),
            )
        )
    return render.tabular(("", "what", "finding", "what to do"), rows, f"Engine at {engine.connection.url}")


def _notebook(shell: Any, arguments: argparse.Namespace) -> Any:
    from .jobs.job import notebook

    return notebook(shell, arguments)


def _runs(shell: Any, arguments: argparse.Namespace) -> Any:
    from .jobs.runs import runs

    return runs(shell, arguments)


def _help(shell: Any, arguments: argparse.Namespace) -> None:
    if arguments.topic is None:
        print(options.line_parser().format_help())  # noqa: T201
        print(options.cell_parser().format_help())  # noqa: T201
        return
    if arguments.topic not in options.SUBCOMMANDS:
        options.line_parser().parse_args([arguments.topic])
    print(options.subcommand_parser(arguments.topic).format_help())  # noqa: T201


COMMANDS: dict[str, Callable[[Any, argparse.Namespace], Any]] = {
    "list": _list,
    "show": _show,
    "invoke": _invoke,
    "map": _map,
    "logs": _logs,
    "config": _config,
    "tune": _tune,
    "trigger": triggers.trigger,
    "fire": triggers.fire,
    "rm": removal.rm,
    "clean": removal.clean,
    "versions": _versions,
    "rollback": _rollback,
    "stats": _stats,
    "bill": _bill,
    "stop": _stop,
    "notebook": _notebook,
    "runs": _runs,
    "doctor": _doctor,
    "help": _help,
}


def handle(shell: Any, name: str) -> LambdaFunction:
    """The notebook's handle of a function, or a new one.

    Raises:
        NotebookError: There is no such function; the nearest name is suggested.
    """
    known = deployed(shell).get(name)
    if known is not None:
        return known
    bound = shell.user_ns.get(name)
    if isinstance(bound, LambdaFunction):
        return bound
    configuration(shell, name)
    return LambdaFunction(name)


def engine_of(shell: Any, name: str) -> Engine:
    """Where this notebook deployed a function; the engine for any other."""
    known = deployed(shell).get(name)
    return known.engine if known is not None else engines.get()


def configuration(shell: Any, name: str) -> Mapping[str, Any]:
    """AWS's configuration of a function.

    Raises:
        NotebookError: There is no such function; the nearest name is suggested.
    """
    engine = engine_of(shell, name)
    try:
        found: Mapping[str, Any] = call(engine.client.get_function_configuration, FunctionName=name)
    except DeployError as exc:
        if code_of_refusal(exc) != "ResourceNotFoundException":
            raise
        raise NotebookError(f"there is no function {name}{_suggestion(engine, name)}") from None
    return found


def _suggestion(engine: Engine, name: str) -> str:
    names = [str(one["FunctionName"]) for one in deployment.functions(engine)]
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return "; there are " + ", ".join(names[:10]) if names else "; none is deployed yet"


def bound_as(shell: Any, name: str) -> str | None:
    """The variable that holds a function's handle."""
    own = [
        key
        for key, value in list(shell.user_ns.items())
        if isinstance(value, LambdaFunction) and value.name == name and not key.startswith("_")
    ]
    return own[0] if own else None


def _counts(engine: Engine) -> dict[str, Mapping[str, Any]]:
    if engine.admin is None:
        return {}
    found = _asked(lambda: engine.admin.stats())
    return {str(one["function_name"]): one for one in found.get("functions", [])}


def _where(engine: Engine) -> str:
    return f" · {engine.badge}" if engine.badge else ""


def _engine_with_routes(what: str) -> Engine:
    engine = engines.get()
    if engine.admin is None:
        raise NotebookError(f"%lambda {what} needs an engine")
    return engine


def _asked(question: Callable[[], Any]) -> Any:
    """Ask one of the engine's own routes; its errors become one line."""
    try:
        return question()
    except NotebookError:
        raise
    except LambdaError as exc:
        raise NotebookError(exc.message) from exc
