"""``%lambda notebook``: from a notebook's file to a function that runs it, on its schedules."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from jupyter_lambda.connection import stays_or_ends
from jupyter_lambda.errors import ClientError
from jupyter_lambda.eventsources.schedules import ScheduleSource
from jupyter_lambda.eventsources.words import parse
from jupyter_lambda.notebook import deploy as deployment
from jupyter_lambda.notebook.cellmagic import python_runtime
from jupyter_lambda.notebook.dependencies import Layers, requirements
from jupyter_lambda.notebook.dependencies import build as build_layers
from jupyter_lambda.notebook.engine import Engine, call, code_of_refusal, engines
from jupyter_lambda.notebook.errors import DeployError, MagicUsageError, NotebookError
from jupyter_lambda.notebook.triggers import one_line, place_of
from jupyter_lambda.notebook.values import human_size
from jupyter_lambda.notebook.words import Reader

from .follow import follow, start
from .options import MEMORY_MB, TIMEOUT_S
from .package import HANDLER, build
from .source import JobNotebook, read
from .view import JobCard

#: Tag that marks a function as a job, with the notebook's name.
TAG = "notebook-job"
#: What the sandbox's Python must have, and nobody asks for by --pip.
_NEEDED = ("nbformat", "nbclient", "ipykernel")
_SCHEDULES = ("rate", "cron", "at")

Say = Callable[[str], None]


def notebook(shell: Any, arguments: argparse.Namespace) -> Any:
    """Deploy a notebook as a job.

    Raises:
        NotebookError: Anything the user can mend; everything is read before anything is made.
    """
    from IPython.display import display

    source = read(arguments.file)
    reader = Reader(shell.user_ns)
    given = dict(parameter(reader, word) for word in arguments.parameter or ())
    source.check(given)
    schedules = [schedule(word) for word in reader.texts(arguments.schedule)]
    environment = dict(reader.setting(word) for word in arguments.env or ())
    name = arguments.name or _name_of(source)
    wanted = requirements(
        "", reader.texts(arguments.pip), arguments.requirements, python=".".join(map(str, sys.version_info[:2]))
    )
    if wanted is None:
        _check_packages(source)
    data, carries = build(source, given, reader.texts(arguments.more), code=not arguments.no_code)
    engine = _engine()
    _check_name(engine, name)
    told = _told(engine, arguments.on_failure)
    layers = build_layers(wanted, print) if wanted else None
    result = _deploy(engine, arguments, name, source, data, layers, environment)
    call(
        engine.client.put_function_event_invoke_config,
        FunctionName=name,
        MaximumRetryAttempts=arguments.retries,
        DestinationConfig={"OnFailure": {"Destination": told}} if told else {},
    )
    with one_line():
        engine.admin.put_job(name, notebook=source.name, kept=arguments.keep)
    times, notes = _make(engine, name, schedules)
    facts = [
        ("memory", f"{result.configuration['MemorySize']} MB"),
        ("at most", _minutes(int(result.configuration["Timeout"]))),
        ("package", human_size(len(data))),
        ("keeps", f"{arguments.keep} runs"),
    ]
    if told:
        facts.append(("failures to", told.rpartition(":")[2]))
    card = JobCard(
        name,
        f"updated: {', '.join(result.changes)}" if result.changes else result.action,
        source.name,
        tuple(facts),
        _parameters(source, given),
        times,
        tuple(carries),
        engine.badge,
        (*source.notes, *_about_interpreter(engine), *notes),
    )
    display(card)  # type: ignore[no-untyped-call]
    return follow(engine, name, start(engine, name)) if arguments.run else None


def parameter(reader: Reader, word: str) -> tuple[str, Any]:
    """``NAME=VALUE``: JSON where it is some, ``$name`` for a variable, else text.

    Raises:
        MagicUsageError: It isn't written so, or the value has no form in JSON.
    """
    name, equals, text = word.partition("=")
    if not equals or not name.isidentifier():
        raise MagicUsageError(f"-p {word}: write it as NAME=VALUE, the name as a variable's")
    if text.startswith("$") and not text.startswith("$$"):
        value = reader.event(text)
    else:
        try:
            value = json.loads(text)
        except ValueError:
            value = {"True": True, "False": False, "None": None}.get(text, reader.text(text))
    try:
        return name, json.loads(json.dumps(value))
    except (TypeError, ValueError) as exc:
        raise MagicUsageError(f"-p {name}: {type(value).__name__} has no form in JSON ({exc})") from None


def schedule(word: str) -> ScheduleSource:
    """A schedule in words.

    Raises:
        MagicUsageError: It can't be read, or is no schedule.
    """
    try:
        found = parse(word)
    except ClientError as exc:
        raise MagicUsageError(f"--schedule {exc.message}") from None
    if not isinstance(found, ScheduleSource):
        kinds = ", ".join(f"{kind}:" for kind in _SCHEDULES)
        raise MagicUsageError(f"--schedule {word}: a notebook runs by {kinds}; `%lambda trigger add` takes the others")
    return found


def _name_of(source: JobNotebook) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", source.path.stem).strip("-")[:64]
    if not name:
        raise MagicUsageError(f"{source.name} makes no name for a function: --name NAME")
    return name


def _check_packages(source: JobNotebook) -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        names = " ".join(missing)
        raise NotebookError(f"to run {source.name} this Python needs {names}: %pip install {names}, or --pip {names}")


def _engine() -> Engine:
    engine = engines.get()
    if engine.admin is None:
        raise NotebookError("%lambda notebook needs an engine")
    return engine


def _check_name(engine: Engine, name: str) -> None:
    """A job doesn't take the place of a function that is none."""
    present = deployment.existing(engine, name)
    if present is not None and f"{deployment.TAG}{TAG}" not in present.get("Tags", {}):
        raise NotebookError(f"{name} is a function that runs no notebook: give the job another name with --name")


def _told(engine: Engine, word: str | None) -> str | None:
    """ARN of what is told of failures."""
    if word is None or word.startswith("arn:"):
        return word
    try:
        return str(call(engine.client.get_function_configuration, FunctionName=word)["FunctionArn"])
    except DeployError as exc:
        if code_of_refusal(exc) == "ResourceNotFoundException":
            raise NotebookError(f"--on-failure {word}: there is no function of that name") from None
        raise


def _make(
    engine: Engine, name: str, schedules: Sequence[ScheduleSource]
) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """Make the schedules, and say when each runs next."""
    if not schedules:
        return (), []
    place = place_of(engine)
    shown = []
    with one_line():
        function = place.function(name)
        for one in schedules:
            made = one.make(place, function).trigger
            shown.append((made.words, made.try_it[0] if made.try_it else ""))
    note = stays_or_ends(engine.connection)
    return tuple(shown), [note] if note else []


def _deploy(
    engine: Engine,
    arguments: argparse.Namespace,
    name: str,
    source: JobNotebook,
    data: bytes,
    layers: Layers | None,
    environment: dict[str, str],
) -> deployment.Deployed:
    return deployment.deploy(
        engine,
        deployment.Wanted(
            name=name,
            zip_bytes=data,
            handler=HANDLER,
            runtime=python_runtime(),
            memory_mb=arguments.memory or MEMORY_MB,
            timeout_s=arguments.timeout or TIMEOUT_S,
            environment=environment,
            layers=deployment.layer_arns(engine, layers, python_runtime()) if layers else (),
            network=arguments.network,
            interpreter=engine.interpreter(sys.executable),
            tags={"notebook": "yes", TAG: _tag_value(source.name)},
        ),
    )


def _about_interpreter(engine: Engine) -> list[str]:
    if engine.interpreter(sys.executable) is not None:
        return []
    note = (
        f"the engine doesn't know this notebook's Python ({sys.executable}) and uses its own, whose packages may "
        "differ; add it to c.LambdaEngine.interpreters"
    )
    return [note]


def _parameters(source: JobNotebook, given: Mapping[str, Any]) -> tuple[tuple[str, str, bool], ...]:
    own = {name: text for name, text in (source.declared or {}).items() if name not in given}
    return (*((name, repr(value), False) for name, value in given.items()), *((n, t, True) for n, t in own.items()))


def _tag_value(name: str) -> str:
    """A file's name in the characters that AWS allows in a tag."""
    return re.sub(r"[^\w .:/=+@-]", "_", name)[:256]


def _minutes(seconds: int) -> str:
    return f"{seconds} s" if seconds % 60 else f"{seconds // 60} min"
