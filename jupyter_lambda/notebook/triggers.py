"""``--trigger``, ``%lambda trigger`` and ``%lambda fire``: the notebook's side of event sources."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jupyter_lambda.eventsources import acts
from jupyter_lambda.eventsources.base import Source
from jupyter_lambda.eventsources.place import Function, Place
from jupyter_lambda.eventsources.words import parse

from .errors import MagicUsageError, NotebookError
from .errors import one_line as one_line
from .trigger_view import AllTriggers, TriggerLine, TriggerTable

if TYPE_CHECKING:
    from .engine import Engine
    from .function import LambdaFunction

#: Functions whose triggers `%lambda list` names; with more, it would take too long.
LISTED_MAX = 60


def place_of(engine: Engine) -> Place:
    """Where the engine's triggers are made.

    Raises:
        NotebookError: A profile that can't be used.
    """
    key = (engine.profile, engine.connection.url, engine.connection.epoch) if engine.connection else (engine.profile,)
    if engine.place is None or engine.place_key != key:
        with one_line():
            if engine.connection is not None:
                engine.place = Place.of_connection(engine.connection)
            else:
                engine.place = Place.of_profile(engine.profile or "default")
        engine.place_key = key
    place: Place = engine.place
    return place


def read(words: Iterable[str]) -> list[Source]:
    """The triggers that a line names, each at most once.

    Raises:
        NotebookError: One can't be read, or is named twice.
    """
    found: dict[str, Source] = {}
    for word in words:
        with one_line():
            source = parse(word)
        if source.identity in found:
            raise NotebookError(f"--trigger {source.identity} is given twice")
        found[source.identity] = source
    return list(found.values())


def apply(
    engine: Engine, name: str, sources: Sequence[Source], *, is_new: bool
) -> tuple[list[TriggerLine], str | None]:
    """Bring a function's triggers to what its cell says; the lines for its card, and why the rest failed."""
    if is_new and not sources:
        return [], None
    with one_line():
        applied = acts.apply(place_of(engine), name, sources)
    lines = [TriggerLine.of_made(made) for made in applied.made]
    lines += [TriggerLine(word, "no longer", "removed") for word in applied.removed]
    return lines, applied.problem


def plan(name: str, sources: Sequence[Source]) -> list[str]:
    """What `--trigger` would make."""
    return [line for source in sources for line in source.plan(_NOWHERE, name)]


def shown(engine: Engine, name: str) -> tuple[list[TriggerLine], list[str]]:
    """The triggers of a function for its card, and what could not be asked."""
    place = place_of(engine)
    with one_line():
        found = acts.listed(place, place.function(name))
    return [TriggerLine.of(one) for one in found.triggers], list(found.problems)


def view(engine: Engine, name: str) -> TriggerTable:
    """The triggers of a function, as a table."""
    place = place_of(engine)
    with one_line():
        found = acts.listed(place, place.function(name))
    return TriggerTable(name, found.triggers, found.problems)


def view_all() -> AllTriggers:
    """The triggers of all functions of the engine, as a table."""
    from .engine import engines

    with one_line():
        found = acts.every(place_of(engines.get()))
    return AllTriggers(found.triggers, found.problems)


def named(engine: Engine, functions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Function → its triggers' words, for a list; empty where there are too many functions to ask for."""
    if len(functions) > LISTED_MAX:
        return {}
    place = place_of(engine)
    found: dict[str, str] = {}
    with place.remembering():
        for one in functions:
            name = str(one["FunctionName"])
            listed = acts.listed(place, Function(name, str(one["FunctionArn"])))
            found[name] = ", ".join(trigger.word for trigger in listed.triggers)
    return found


def remove_all(engine: Engine, name: str, arn: str) -> tuple[list[str], list[str]]:
    """Take a function's triggers away before it is deleted: their words, and what went wrong."""
    removed, problems = acts.remove_all(place_of(engine), Function(name, arn))
    return [source.word for source in removed], problems


# --- the magics


def trigger(shell: Any, arguments: argparse.Namespace) -> Any:
    """``%lambda trigger add|rm|list|pause|resume NAME [TRIGGER]``; list without NAME: of all functions."""
    from .linemagic import configuration, engine_of
    from .words import Reader

    name = arguments.name
    if name is None:
        if arguments.act != "list":
            raise MagicUsageError(f"%lambda trigger {arguments.act}: the function's name is missing")
        return view_all()
    configuration(shell, name)  # says which name may be meant
    place = place_of(engine_of(shell, name))
    words = Reader(shell.user_ns).texts(arguments.triggers)
    if arguments.act in ("add", "rm") and not words:
        raise NotebookError(f"%lambda trigger {arguments.act} {name}: which one? For example http:/{name}")
    if arguments.act == "list" and words:
        raise NotebookError(f"%lambda trigger list {name}: {words[0]} is one word too many")
    with one_line():
        match arguments.act:
            case "list":
                found = acts.listed(place, place.function(name))
                return TriggerTable(name, found.triggers, found.problems)
            case "add":
                return _added(place, name, read(words))
            case "rm":
                gone = [source.word for word in words for source in acts.remove(place, name, word)]
                print(f"removed {', '.join(gone)}")  # noqa: T201
            case _:
                paused = arguments.act == "pause"
                each: list[str | None] = list(words) or [None]
                done = [source.word for word in each for source in acts.set_paused(place, name, word, paused=paused)]
                print(f"{'paused' if paused else 'resumed'} {', '.join(done)}")  # noqa: T201
    return None


def _added(place: Place, name: str, sources: Sequence[Source]) -> Any:
    from . import render

    function = place.function(name)
    lines = [TriggerLine.of_made(source.make(place, function)) for source in sources]
    text = "\n".join([f"λ {name}", *(part for line in lines for part in line.text())])
    inner = f"<strong>λ {render.esc(name)}</strong>{''.join(line.html() for line in lines)}"
    label = render.esc(f"Triggers of {name}")
    return render.Shown(text, f'<section aria-label="{label}" style="{render._CARD}">{inner}</section>')


def fire(shell: Any, arguments: argparse.Namespace) -> Any:
    """``%lambda fire NAME TRIGGER``: send the event that such a trigger would send."""
    from .linemagic import handle
    from .words import Reader

    function = handle(shell, arguments.name)
    event = Reader(shell.user_ns).event(arguments.event) if arguments.event is not None else None
    found = fire_function(function, arguments.trigger, event, show=arguments.show)
    if arguments.show:
        from . import render

        text = json.dumps(found, indent=2, ensure_ascii=False)
        return render.Shown(text, render._pre(text, f"sample event of {arguments.trigger}"))
    found.raise_for_error()
    if arguments.out:
        shell.user_ns[arguments.out] = found.result
    return None if arguments.quiet else found


def fire_function(function: LambdaFunction, word: str, event: Any = None, *, show: bool = False) -> Any:
    """Invoke a function with a sample event of a trigger; ``show``: only give the event."""
    place = place_of(function.engine)
    with one_line():
        own = acts.listed(place, place.function(function.name)).triggers if ":" not in word else ()
        sample = acts.sample(place, word, own)
    if show:
        return sample
    return function.invoke(sample if event is None else event)


def _nobody(service: str) -> Any:
    raise NotebookError(f"nobody is asked for {service}")


#: Plans are made without asking anybody.
_NOWHERE = Place(_nobody, region="us-east-1", account_id="000000000000", url="http://engine")
