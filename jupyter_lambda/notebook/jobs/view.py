"""How jobs and their runs are shown: cards and tables in the notebook's own colours, and as plain text."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jupyter_lambda.notebook import render
from jupyter_lambda.notebook.invocation import human_ms
from jupyter_lambda.notebook.values import human_size

_SIGNS = {"success": "✓ success", "failed": "✗ failed", "running": "… running"}
_COLOURS = {"success": render._GOOD, "failed": render._BAD, "running": render._WARN}
#: Characters of a reason in a table.
_REASON_CHARS = 90
#: What a run of a source that isn't a trigger's is called.
_BY_HAND = {"async": "by hand", "sdk": "by hand"}
_PAGE_HEIGHT = "32em"
HEAD = ("run", "job", "status", "began", "took", "fired by", "parameters", "what happened")


@dataclass(frozen=True)
class JobCard:
    """A notebook job, just deployed."""

    name: str
    state: str
    notebook: str
    facts: tuple[tuple[str, str], ...]
    #: Name → value as Python shows it, and whether it is the notebook's own.
    parameters: tuple[tuple[str, str, bool], ...] = ()
    #: When it runs: words, and the next times.
    schedules: tuple[tuple[str, str], ...] = ()
    carries: tuple[str, ...] = ()
    badge: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def try_line(self) -> str:
        """What to do next."""
        return f"%lambda runs {self.name}"

    def __repr__(self) -> str:
        badge = f" [{self.badge}]" if self.badge else ""
        lines = [
            f"λ {self.name}: {self.state}{badge} · runs {self.notebook} · " + " · ".join(map(" ".join, self.facts))
        ]
        if self.parameters:
            lines.append("  parameters " + ", ".join(_parameter(*one) for one in self.parameters))
        if self.carries:
            lines.append("  carries " + ", ".join(self.carries))
        for words, times in self.schedules:
            lines += [f"  runs {words}", f"    {times}"]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join([*lines, f"  what came of it: {self.try_line}"])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self.html()}

    def html(self) -> str:
        """A card."""
        badges = render._badge(self.state, render._GOOD) + (
            render._badge(self.badge, render._WARN) if self.badge else ""
        )
        title = f'<strong style="font-size:110%">λ {render.esc(self.name)}</strong>'
        parts = [
            f"<div>{title}{badges}</div>",
            f"<div>{_dim('runs')} {render._code(self.notebook)}</div>",
            render._facts(self.facts),
        ]
        if self.parameters:
            shown = " ".join(render._code(_parameter(*one)) for one in self.parameters)
            parts.append(f"<div>{_dim('parameters')} {shown}</div>")
        if self.carries:
            parts.append(f"<div>{_dim('carries')} {' '.join(render._code(one) for one in self.carries)}</div>")
        for words, times in self.schedules:
            when = f"<strong>runs {render.esc(words)}</strong><br>{_dim(render.esc(times))}"
            parts.append(f'<div style="margin-top:4px">{when}</div>')
        parts += [f'<div style="color:{render._WARN}">⚠ {_with_code(note)}</div>' for note in self.notes]
        parts.append(f"<div>{_dim('what came of it:')} {render._code(self.try_line)}</div>")
        return _section(f"Notebook job {self.name}", parts)


@dataclass(frozen=True)
class RunCard:
    """One run."""

    run: Mapping[str, Any]
    #: Its page stands below.
    opened: bool = False

    def __repr__(self) -> str:
        run = self.run
        lines = [f"{_SIGNS[run['status']]}: {run['notebook']} · " + " · ".join(" ".join(fact) for fact in self._facts)]
        if run["reason"]:
            lines.append(f"  {run['reason']}")
        return "\n".join([*lines, *(f"  {line} {what}" for line, what in self._lines)])

    @property
    def _facts(self) -> list[tuple[str, str]]:
        run = self.run
        facts = [("took", took(run))]
        if run.get("parameters"):
            facts.append(("parameters", parameters(run["parameters"])))
        if run.get("memory_used_mb"):
            facts.append(("memory", f"{run['memory_used_mb']} MB"))
        kept = [f"{name} ({human_size(size)})" for name, size in run["files"].items() if name in _SHOWN_FILES]
        if kept:
            facts.append(("kept", ", ".join(kept)))
        return facts

    @property
    def _lines(self) -> list[tuple[str, str]]:
        """What to do next, and what that does."""
        if self.opened:
            return []
        name = self.run["function_name"]
        if "report.html" in self.run["files"]:
            return [(f"%lambda runs {name} --open 1", "shows it as a page")]
        return [(f"%lambda runs {name} --log 1", "shows its log")]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        run = self.run
        badge = render._badge(run["status"], _COLOURS[run["status"]])
        parts = [f"<div><strong>{render.esc(run['notebook'])}</strong>{badge}</div>"]
        if run["reason"]:
            parts.append(f'<div style="color:{render._BAD}">{render.esc(run["reason"])}</div>')
        parts.append(render._facts(self._facts))
        parts += [f"<div>{render._code(line)} {_dim(what)}</div>" for line, what in self._lines]
        return {"text/plain": repr(self), "text/html": _section(f"Run of {run['notebook']}", parts)}


_SHOWN_FILES = ("notebook.ipynb", "report.html")


def table(runs: Sequence[Mapping[str, Any]], words: Mapping[str, str]) -> render.Shown:
    """The runs, newest first.

    Args:
        words: Source of a run → how the notebook wrote it.
    """
    rows = [_row(number, run, words) for number, run in enumerate(runs, 1)]
    failed = sum(run["status"] == "failed" for run in runs)
    count = f"{len(runs)} run{'' if len(runs) == 1 else 's'}" + (f", {failed} failed" if failed else "")
    caption = f"{count} · %lambda runs --open N shows one as a page, --save N FOLDER keeps all it left"
    shown = render.tabular(HEAD, rows, caption)
    return render.Shown(f"{shown.text}\n{caption}", shown.html)


def _row(number: int, run: Mapping[str, Any], words: Mapping[str, str]) -> tuple[str, ...]:
    reason = str(run["reason"])
    source = str(run["source"])
    return (
        str(number),
        str(run["function_name"]),
        _SIGNS[run["status"]],
        clock(float(run["started_s"])),
        took(run),
        words.get(source) or _BY_HAND.get(source, source),
        parameters(run["parameters"] or {}),
        reason if len(reason) <= _REASON_CHARS else reason[: _REASON_CHARS - 1] + "…",
    )


def page(run: Mapping[str, Any], content: str) -> render.Shown:
    """A run's page in the notebook: apart from it, without scripts."""
    title = f"{run['notebook']}, {clock(float(run['started_s']))}"
    frame = (
        f'<iframe sandbox title="{render.esc(title)}" srcdoc="{html.escape(content, quote=True)}" '
        f'style="width:100%;height:{_PAGE_HEIGHT};border:1px solid {render._RULE};border-radius:6px;background:#fff">'
        "</iframe>"
    )
    card = RunCard(run, opened=True)
    return render.Shown(repr(card), f"{card._repr_mimebundle_()['text/html']}{frame}")


def clock(seconds: float) -> str:
    """A time for people: with the date where it isn't today's."""
    then, now = time.localtime(seconds), time.localtime()
    return time.strftime("%H:%M:%S" if then[:3] == now[:3] else "%Y-%m-%d %H:%M", then)


def took(run: Mapping[str, Any]) -> str:
    """How long a run took, or has taken so far."""
    ended_s = run["ended_s"] if run["ended_s"] is not None else time.time()
    return human_ms(max(0.0, (float(ended_s) - float(run["started_s"])) * 1000))


def parameters(values: Mapping[str, Any]) -> str:
    """``region=EU, days=7``."""
    return ", ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in values.items()
    )


def _parameter(name: str, value: str, own: bool) -> str:
    return f"{name} = {value}" + (" (the notebook's own)" if own else "")


def _with_code(text: str) -> str:
    """Text for HTML in which what stands between backticks is code."""
    pieces = text.split("`")
    return "".join(render._code(piece) if at % 2 else render.esc(piece) for at, piece in enumerate(pieces))


def _dim(text: str) -> str:
    return f'<span style="color:{render._DIM}">{text}</span>'


def _section(label: str, parts: Sequence[str]) -> str:
    return f'<section aria-label="{render.esc(label)}" style="{render._CARD}">{"".join(parts)}</section>'
