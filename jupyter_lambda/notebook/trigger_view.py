"""How triggers are shown: a line on a function's card, a table of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jupyter_lambda.eventsources.base import Made, Trigger

from . import render


@dataclass(frozen=True, slots=True)
class TriggerLine:
    """One trigger on a card."""

    word: str
    words: str
    #: "made", "changed", "unchanged", "removed", "paused", …; "" where there is nothing to say.
    state: str = ""
    try_it: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of_made(cls, made: Made) -> TriggerLine:
        """One that was just made."""
        one = made.trigger
        result = (one.result,) if one.result.startswith("PROBLEM") else ()
        return cls(one.word, one.words, made.action, one.try_it, (*result, *made.notes))

    @classmethod
    def of(cls, one: Trigger) -> TriggerLine:
        """One that is there."""
        state = "" if one.state == "on" else one.state
        return cls(one.word, one.words, state, one.try_it, (one.result,) if one.result.startswith("PROBLEM") else ())

    def text(self) -> list[str]:
        """Plain lines."""
        state = f" ({self.state})" if self.state else ""
        lines = [f"  fired by {self.word} — {self.words}{state}"]
        lines += [f"    {line}" for line in self.try_it]
        return lines + [f"    note: {note}" for note in self.notes]

    def html(self) -> str:
        """An item of a card."""
        parts = [
            f'<div style="margin-top:4px"><span style="color:{render._DIM}">fired by</span> {render._code(self.word)}'
        ]
        parts.append(f" {render.esc(self.words)}")
        if self.state:
            parts.append(render._badge(self.state, render._WARN if self.state == "paused" else render._GOOD))
        parts.append("</div>")
        parts += [f'<div style="padding-left:1.4em">{_line(line)}</div>' for line in self.try_it]
        parts += [
            f'<div style="padding-left:1.4em;color:{render._DIM}">{render.esc(note)}</div>' for note in self.notes
        ]
        return "".join(parts)


def _line(line: str) -> str:
    """An address is a link, a command is code, the rest is text."""
    if line.startswith(("http://", "https://")) and " " not in line:
        safe = render.esc(line)
        return f'<a href="{safe}" target="_blank" rel="noopener noreferrer">{safe}</a>'
    if line.split(" ", 1)[0] in ("curl", "aws", "cp"):
        return render._code(line)
    return render.esc(line)


#: Of the columns that tell of one trigger.
_HEAD = ("trigger", "fires on", "state", "last result", "try it")


class _Table(ABC):
    """Triggers as a table."""

    def __init__(self, triggers: Sequence[Trigger], problems: Iterable[str]) -> None:
        #: The single ones: ``.word``, ``.words``, ``.state``, ``.try_it``, ``.result``.
        self.triggers = tuple(triggers)
        #: Kinds that could not be asked for, and why.
        self.problems = tuple(problems)

    def __iter__(self) -> Iterator[Trigger]:
        return iter(self.triggers)

    def __len__(self) -> int:
        return len(self.triggers)

    @abstractmethod
    def _shown(self) -> render.Shown:
        """Text and HTML."""

    def _none(self, line: str) -> render.Shown:
        lines = [line, *self.problems]
        return render.Shown("\n".join(lines), "".join(f"<p>{render.esc(line)}</p>" for line in lines))

    def _with_problems(self, shown: render.Shown) -> render.Shown:
        more = "".join(f'<p style="color:{render._WARN}">⚠ {render.esc(line)}</p>' for line in self.problems)
        return render.Shown("\n".join([shown.text, *self.problems]), shown.html + more)

    def __repr__(self) -> str:
        return self._shown().text

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return self._shown().bundle()


class TriggerTable(_Table):
    """The triggers of a function, as a table."""

    def __init__(self, name: str, triggers: Sequence[Trigger], problems: Iterable[str] = ()) -> None:
        super().__init__(triggers, problems)
        self.name = name

    def _shown(self) -> render.Shown:
        if not self.triggers:
            return self._none(f"{self.name} has no triggers; %lambda trigger add {self.name} http:/{self.name}")
        return self._with_problems(render.tabular(_HEAD, map(_cells, self.triggers), f"Triggers of {self.name}"))


class AllTriggers(_Table):
    """The triggers of all functions, as a table."""

    def __init__(self, triggers: Sequence[tuple[str, Trigger]], problems: Iterable[str] = ()) -> None:
        super().__init__([one for _, one in triggers], problems)
        #: The functions' names, one for each of ``triggers``.
        self.functions = tuple(name for name, _ in triggers)

    def _shown(self) -> render.Shown:
        if not self.triggers:
            return self._none("No function has triggers; %lambda trigger add NAME TRIGGER makes one.")
        rows = [(name, *_cells(one)) for name, one in zip(self.functions, self.triggers, strict=True)]
        return self._with_problems(render.tabular(("function", *_HEAD), rows, f"{len(rows)} triggers"))


def _cells(one: Trigger) -> tuple[str, str, str, str, str]:
    return one.word, one.words, one.state, one.result, one.try_it[-1] if one.try_it else ""
