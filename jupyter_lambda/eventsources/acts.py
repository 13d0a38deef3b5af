"""What is done with the triggers of a function: add, list, find, remove, pause, and bring to what a cell says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .base import MARK, Made, Source, Trigger
from .errors import Refused, TriggerError, WordError
from .options import nearest
from .place import Function, Place
from .words import KINDS, parse

#: Tag that remembers which triggers a function's cell made: their marks, with blanks between.
TAG = f"{MARK}:triggers"
#: As many marks as a tag's 256 characters hold.
CELL_MAX = 22


@dataclass(frozen=True, slots=True)
class Listed:
    """The triggers of a function."""

    triggers: tuple[Trigger, ...]
    #: Kinds that could not be asked for, and why.
    problems: tuple[str, ...] = ()


def add(place: Place, function_name: str, word: str) -> Made:
    """Make one trigger.

    Raises:
        WordError, TriggerError: It can't be read, or can't work.
    """
    source = parse(word)
    return source.make(place, place.function(function_name))


def listed(place: Place, function: Function) -> Listed:
    """All triggers of a function, whoever made them; a service that can't be asked hides no other."""
    found: list[Trigger] = []
    problems: dict[str, None] = {}
    with place.remembering():
        for kind in KINDS.values():
            try:
                found += kind.found(place, function)
            except TriggerError as exc:
                problems.setdefault(exc.message)
    return Listed(tuple(found), tuple(problems))


@dataclass(frozen=True, slots=True)
class Every:
    """The triggers of all functions."""

    #: The function's name and its trigger, by name.
    triggers: tuple[tuple[str, Trigger], ...]
    #: As of ``Listed``.
    problems: tuple[str, ...] = ()


def every(place: Place) -> Every:
    """All triggers of all functions, whoever made them."""
    with place.remembering():
        pages = place.pages("lambda", "list_functions", "Functions", token=("NextMarker", "Marker"))
        functions = sorted((Function(str(one["FunctionName"]), str(one["FunctionArn"])) for one in pages), key=_by_name)
        found = [(function.name, listed(place, function)) for function in functions]
    problems = dict.fromkeys(problem for _, one in found for problem in one.problems)
    return Every(tuple((name, trigger) for name, one in found for trigger in one.triggers), tuple(problems))


def _by_name(function: Function) -> str:
    return function.name


def chosen(
    place: Place, function: Function, text: str | None, *, can: Callable[[Source], bool] | None = None
) -> list[Source]:
    """The triggers that a word, a kind or nothing (all) means.

    Raises:
        TriggerError: The function has none such; those that it has are named.
    """
    found = listed(place, function)
    sources = [parse(one.word) for one in found.triggers]
    if text is None:
        picked = [source for source in sources if can is None or can(source)]
    elif ":" in text:
        identity = parse(text).identity
        picked = [source for source in sources if source.identity == identity]
    else:
        if text not in KINDS:
            raise WordError(f"there is no kind of trigger {text}{nearest(text, list(KINDS))}")
        picked = [source for source in sources if source.kind == text]
    if picked:
        return picked
    if found.problems and not sources:
        raise TriggerError(found.problems[0])
    has = f"it has {', '.join(source.word for source in sources)}" if sources else "it has none"
    what = "trigger" if text is None else f"trigger {text}"
    raise TriggerError(
        f"{function.name} has no {what}{' that can be paused' if text is None and sources else ''}; {has}"
    )


def remove(place: Place, function_name: str, text: str) -> list[Source]:
    """Take away the triggers that a word or kind means."""
    function = place.function(function_name)
    sources = chosen(place, function, text)
    for source in sources:
        source.remove(place, function)
    return sources


def remove_all(place: Place, function: Function) -> tuple[list[Source], list[str]]:
    """Take away all triggers, as before the function is deleted; what could not be taken away, and why."""
    removed, problems = [], []
    for one in listed(place, function).triggers:
        source = parse(one.word)
        try:
            source.remove(place, function)
            removed.append(source)
        except TriggerError as exc:
            problems.append(f"{source.word} could not be removed: {exc.message}")
    return removed, problems


def set_paused(place: Place, function_name: str, text: str | None, *, paused: bool) -> list[Source]:
    """Pause or resume the triggers that a word or kind means; without either, all that can be."""
    function = place.function(function_name)
    sources = chosen(place, function, text, can=lambda source: source.can_pause(place))
    for source in sources:
        source.set_paused(place, function, paused=paused)
    return sources


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of bringing a function's triggers to what its cell says."""

    made: tuple[Made, ...] = ()
    #: Words of those that the cell said before and no longer says.
    removed: tuple[str, ...] = ()
    #: Why the rest could not be made.
    problem: str | None = None


def apply(place: Place, function_name: str, sources: Sequence[Source]) -> Applied:
    """Make what a cell says; take away what it said before. Those that were added otherwise stay.

    Raises:
        TriggerError: There is no such function, or the cell says too much.
    """
    if len(sources) > CELL_MAX:
        raise TriggerError(f"a cell may have {CELL_MAX} triggers; add the others with %lambda trigger add")
    function = place.function(function_name)
    tags = place.call("lambda", "list_tags", Resource=function.arn).get("Tags", {})
    before = set(str(tags.get(TAG, "")).split())
    if not before and not sources:
        return Applied()
    wanted = {_short(source, function): source for source in sources}
    removed = _remove_marked(place, function, before - set(wanted)) if before - set(wanted) else []
    made: list[Made] = []
    done = {mark for mark in wanted if mark in before}
    problem = None
    for mark, source in wanted.items():
        try:
            made.append(source.make(place, function))
        except TriggerError as exc:
            problem = exc.message
            break
        done.add(mark)
    _remember(place, function, before, done)
    return Applied(tuple(made), tuple(removed), problem)


def _remove_marked(place: Place, function: Function, marks: Iterable[str]) -> list[str]:
    gone = set(marks)
    removed = []
    for one in listed(place, function).triggers:
        source = parse(one.word)
        if _short(source, function) in gone:
            source.remove(place, function)
            removed.append(source.word)
    return removed


def _remember(place: Place, function: Function, before: set[str], now: set[str]) -> None:
    if now == before:
        return
    if now:
        place.call("lambda", "tag_resource", Resource=function.arn, Tags={TAG: " ".join(sorted(now))})
    else:
        place.call("lambda", "untag_resource", Resource=function.arn, TagKeys=[TAG])


def _short(source: Source, function: Function) -> str:
    return source.mark(function).rpartition("-")[2]


def sample(place: Place, word: str, triggers: Iterable[Trigger] = ()) -> dict[str, Any]:
    """The sample event of a word, or of a kind: then the function's own trigger of that kind gives the names.

    Raises:
        WordError: There is no such kind.
    """
    from .words import sampled

    own = next((one.word for one in triggers if one.kind == word), None)
    return sampled(own or word).sample(place)


__all__ = [
    "Applied",
    "Every",
    "Listed",
    "Refused",
    "add",
    "apply",
    "chosen",
    "every",
    "listed",
    "parse",
    "remove",
    "remove_all",
    "sample",
    "set_paused",
]
