"""What the notebook shows, as HTML in JupyterLab's own colours and as plain text.

Colours are JupyterLab's CSS variables with fallbacks, so it follows light and dark; elsewhere ``light-dark()`` of the
page's colour scheme. Nothing is told by colour alone.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .invocation import Invocation, human_ms
from .values import human_size

if TYPE_CHECKING:
    from .build import Build
    from .engine import Engine
    from .mapping import MapResult
    from .trigger_view import TriggerLine

_INK = "var(--jp-content-font-color1, inherit)"
_DIM = "var(--jp-content-font-color2, #767676)"
_RULE = "var(--jp-border-color2, #bdbdbd80)"
_SOFT = "var(--jp-layout-color2, #8881)"
_GOOD = "var(--jp-success-color1, #2e7d32)"
_BAD = "var(--jp-error-color1, #c62828)"
_WARN = "var(--jp-warn-color1, #b26a00)"
_MONO = "var(--jp-code-font-family, monospace)"
_CARD = (
    f"color:{_INK};border:1px solid {_RULE};border-radius:6px;padding:8px 12px;margin:4px 0;max-width:62em;"
    "font-size:var(--jp-ui-font-size1, 13px);line-height:1.5"
)
#: Lines of a log shown at once; the rest scrolls.
_LOG_HEIGHT = "16em"
_ROWS_MAX, _PREVIEW = 50, 10
_RED, _BOLD, _FAINT, _OFF = "\x1b[31m", "\x1b[1m", "\x1b[2m", "\x1b[0m"


def esc(value: Any) -> str:
    """Text for HTML."""
    return html.escape(str(value), quote=True)


def _badge(text: str, colour: str) -> str:
    return (
        f'<span style="border:1px solid {colour};color:{colour};border-radius:9px;padding:0 7px;margin-left:6px;'
        f'font-size:85%;white-space:nowrap">{esc(text)}</span>'
    )


def _code(text: str) -> str:
    return f'<code style="font-family:{_MONO};background:{_SOFT};padding:1px 4px;border-radius:3px">{esc(text)}</code>'


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    """Label and value pairs in a row that wraps."""
    cells = "".join(
        f'<span style="white-space:nowrap"><span style="color:{_DIM}">{esc(label)}</span> {esc(value)}</span>'
        for label, value in facts
    )
    return f'<div style="display:flex;flex-wrap:wrap;column-gap:1.4em">{cells}</div>'


def _pre(text: str, label: str) -> str:
    return (
        f'<pre tabindex="0" aria-label="{esc(label)}" style="margin:6px 0 0;padding:6px 8px;max-height:{_LOG_HEIGHT};'
        f"overflow:auto;white-space:pre-wrap;background:{_SOFT};border-radius:4px;font-family:{_MONO};"
        f'font-size:92%;color:{_INK}">{esc(text)}</pre>'
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """An accessible table."""
    cell = f"text-align:left;padding:2px 14px 2px 0;border-bottom:1px solid {_RULE}"
    top = "".join(f'<th scope="col" style="{cell};color:{_DIM};font-weight:normal">{esc(h)}</th>' for h in head)
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row" style="{cell};font-weight:600">{esc(v)}</th>'
            if not i
            else f'<td style="{cell}">{esc(v)}</td>'
            for i, v in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<table style="border-collapse:collapse;color:{_INK}"><caption style="text-align:left;color:{_DIM};'
        f'padding-bottom:4px">{esc(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'
    )


def text_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The same in plain text."""
    every = [list(head), *[[str(value) for value in row] for row in rows]]
    widths = [max(len(row[i]) for row in every) for i in range(len(head))]
    return "\n".join("  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip() for row in every)


@dataclass(frozen=True)
class Shown:
    """Something to display in both forms."""

    text: str
    html: str

    def bundle(self) -> dict[str, str]:
        """For Jupyter."""
        return {"text/plain": self.text, "text/html": self.html}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return self.bundle()

    def __repr__(self) -> str:
        return self.text


def tabular(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> Shown:
    """A table in both forms."""
    rows = list(rows)
    return Shown(text_table(head, rows), f'<div style="overflow:auto">{table(head, rows, caption)}</div>')


@dataclass(frozen=True)
class FunctionCard:
    """One function at a glance."""

    name: str
    #: "created", "updated: code, memory", "unchanged", or AWS's state.
    state: str
    memory_mb: int
    timeout_s: int
    size_bytes: int
    runtime: str = ""
    handler: str = ""
    #: What was brought in: name, what it is, bytes.
    captured: tuple[tuple[str, str, int], ...] = ()
    #: Such as where it runs, when that must be known.
    badge: str = ""
    version: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    layers: int = 0
    warnings: tuple[str, ...] = ()
    #: The name it has in the notebook.
    bound_as: str | None = None
    #: More facts: label and value.
    more: tuple[tuple[str, str], ...] = ()
    #: What fires it.
    triggers: tuple[TriggerLine, ...] = ()

    @classmethod
    def of(cls, engine: Engine, name: str, triggers: Iterable[TriggerLine] = ()) -> FunctionCard:
        """Of a function that exists. Raises DeployError if it doesn't."""
        from .engine import call

        found = call(engine.client.get_function_configuration, FunctionName=name)
        return cls.of_configuration(engine, found, state=str(found.get("State", "Active")), triggers=triggers)

    @classmethod
    def of_configuration(
        cls,
        engine: Engine,
        found: Mapping[str, Any],
        *,
        state: str,
        build: Build | None = None,
        version: str | None = None,
        bound_as: str | None = None,
        warnings: Iterable[str] = (),
        more: Iterable[tuple[str, str]] = (),
        triggers: Iterable[TriggerLine] = (),
    ) -> FunctionCard:
        """Of AWS's FunctionConfiguration and, just deployed, its build."""
        return cls(
            name=str(found["FunctionName"]),
            state=state,
            memory_mb=int(found.get("MemorySize", 0)),
            timeout_s=int(found.get("Timeout", 0)),
            size_bytes=int(found.get("CodeSize", 0)),
            runtime=str(found.get("Runtime", "")),
            handler=str(found.get("Handler", "")),
            captured=captured(build) if build else (),
            badge=engine.badge,
            version=version,
            environment=found.get("Environment", {}).get("Variables", {}),
            layers=len(found.get("Layers", ())),
            warnings=tuple(warnings),
            bound_as=bound_as,
            more=tuple(more),
            triggers=tuple(triggers),
        )

    @property
    def _facts(self) -> list[tuple[str, str]]:
        facts = [
            ("memory", f"{self.memory_mb} MB"),
            ("timeout", f"{self.timeout_s} s"),
            ("package", human_size(self.size_bytes)),
            ("runtime", self.runtime),
        ]
        if self.version:
            facts.append(("version", self.version))
        if self.layers:
            facts.append(("layers", str(self.layers)))
        if self.environment:
            facts.append(("environment", ", ".join(self.environment)))
        return [*facts, *self.more]

    @property
    def call_line(self) -> str:
        """How to call it."""
        return f'{self.bound_as}({{"key": "value"}})' if self.bound_as else f"%lambda invoke {self.name} '{{…}}'"

    def bundle(self) -> dict[str, str]:
        """For Jupyter."""
        return {"text/plain": self.text(), "text/html": self.html()}

    def text(self) -> str:
        """Two or three lines."""
        badge = f" [{self.badge}]" if self.badge else ""
        lines = [f"λ {self.name}: {self.state}{badge} · " + " · ".join(f"{k} {v}" for k, v in self._facts)]
        if self.captured:
            lines.append(
                "  carries " + ", ".join(f"{n} ({what}, {human_size(size)})" for n, what, size in self.captured)
            )
        lines += [line for one in self.triggers for line in one.text()]
        lines += [f"  warning: {text}" for text in self.warnings]
        lines.append(f"  call it: {self.call_line}")
        return "\n".join(lines)

    def html(self) -> str:
        """A card."""
        badges = _badge(self.state, _GOOD)
        if self.badge:
            badges += _badge(self.badge, _WARN)
        parts = [f'<div><strong style="font-size:110%">λ {esc(self.name)}</strong>{badges}</div>', _facts(self._facts)]
        if self.captured:
            names = ", ".join(
                f'{_code(name)} <span style="color:{_DIM}">{esc(what)}, {esc(human_size(size))}</span>'
                for name, what, size in self.captured
            )
            parts.append(f'<div><span style="color:{_DIM}">carries</span> {names}</div>')
        parts += [one.html() for one in self.triggers]
        parts += [f'<div style="color:{_WARN}">⚠ {esc(text)}</div>' for text in self.warnings]
        parts.append(f'<div><span style="color:{_DIM}">call it:</span> {_code(self.call_line)}</div>')
        return f'<section aria-label="Lambda function {esc(self.name)}" style="{_CARD}">{"".join(parts)}</section>'

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return self.bundle()


def captured(build: Build) -> tuple[tuple[str, str, int], ...]:
    """What a package carries from the notebook; plain imports don't count."""
    items = [(item.name, item.what, item.size_bytes) for item in build.capture.unique() if item.kind != "import"]
    modules = [(name, "local module", size) for name, size in build.capture.modules.sizes.items()]
    return tuple(sorted(items, key=lambda item: -item[2]) + modules)


def _invocation_facts(found: Invocation) -> list[tuple[str, str]]:
    facts = []
    if found.duration_ms is not None:
        facts.append(("duration", human_ms(found.duration_ms)))
    if found.billed_ms is not None:
        facts.append(("billed", human_ms(found.billed_ms)))
    if found.memory_mb is not None:
        used = "?" if found.memory_used_mb is None else found.memory_used_mb
        facts.append(("memory", f"{used} of {found.memory_mb} MB"))
    if found.cold is not None:
        start = (
            f"cold ({human_ms(found.init_ms)})" if found.cold and found.init_ms else "cold" if found.cold else "warm"
        )
        facts.append(("start", start))
    facts.append(("request", found.request_id))
    return facts


def _own_log(found: Invocation) -> str:
    """The function's own lines: without START, END and REPORT, which the facts tell."""
    lines = [
        line for line in found.log.splitlines() if not line.startswith(("START RequestId", "END RequestId", "REPORT "))
    ]
    return "\n".join(lines).strip("\n")


def _json(value: Any) -> str:
    import json

    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    flat = json.dumps(value, ensure_ascii=False, default=str)
    return flat if len(flat) <= 80 else text


def invocation_text(found: Invocation) -> str:
    """An invocation in plain text: result or failure first, then what it took, then its log."""
    lines = []
    if found.ok:
        lines.append(_json(found.result))
    else:
        lines.append(f"{found.error_type}: {found.error_message}")
        lines += [f"  {line}" for frame in shown_frames(found) for line in str(frame).splitlines()]
        if found.hint:
            lines.append(f"  → {found.hint}")
    lines.append(found.summary())
    log = _own_log(found)
    if log:
        lines += ["log:", *(f"  {line}" for line in log.splitlines())]
    return "\n".join(lines)


def invocation_html(found: Invocation) -> str:
    """An invocation as a card."""
    badge = _badge(found.status, _GOOD if found.ok else _BAD)
    parts = [f"<div><strong>λ {esc(found.function)}</strong>{badge}</div>"]
    if found.ok:
        parts.append(_pre(_json(found.result), "result"))
    else:
        parts.append(
            f'<div style="color:{_BAD}"><strong>{esc(found.error_type)}</strong>: {esc(found.error_message)}</div>'
        )
        frames = "\n".join(str(frame) for frame in shown_frames(found))
        if frames:
            parts.append(_pre(frames, "traceback"))
        if found.hint:
            parts.append(f"<div>→ {esc(found.hint)}</div>")
    parts.append(_facts(_invocation_facts(found)))
    log = _own_log(found)
    if log:
        parts.append(f"<details{' open' if not found.ok else ''}><summary>log</summary>{_pre(log, 'log')}</details>")
    return f'<section aria-label="Invocation of {esc(found.function)}" style="{_CARD}">{"".join(parts)}</section>'


def shown_frames(found: Invocation) -> list[Any]:
    """The user's own frames; all where none is the user's."""
    frames = found.frames
    return [frame for frame in frames if frame.own] or frames


def failure_ansi(found: Invocation) -> list[str]:
    """A failed invocation as IPython shows exceptions: the user's lines, the error, where to look further."""
    title = found.error_type or found.status
    lines = [f"{_RED}{_BOLD}{title}{_OFF}: {found.error_message}"]
    for frame in shown_frames(found):
        lines.append(f"  {_BOLD}{frame.where}, line {frame.line}{_OFF}, in {frame.name}")
        if frame.code:
            lines.append(f"      {frame.code}")
    if found.hint:
        lines.append(f"  → {found.hint}")
    lines.append(f"{_FAINT}{found.summary()}{_OFF}")
    log = [line for line in _own_log(found).splitlines() if found.request_id not in line]
    own = [
        line
        for line in log
        if line.strip() and title not in line and not line.startswith(("Traceback", "  File", "    "))
    ]
    if own:
        lines.append(f"{_FAINT}log:{_OFF}")
        lines += [f"{_FAINT}  {line}{_OFF}" for line in own[-10:]]
    return lines


def map_html(result: MapResult) -> str:
    """A map as a card: the line that sums it up, then the failures."""
    errors = result.errors
    badge = _badge(f"{len(errors)} failed" if errors else "all answered", _BAD if errors else _GOOD)
    parts = [f"<div><strong>λ {esc(result.function.name)}</strong>{badge}</div>", f"<div>{esc(result.summary())}</div>"]
    answers = [
        (str(i), _json(e)[:60], _json(r)[:100])
        for i, (e, r) in enumerate(zip(result.events, result.results, strict=True))
        if i not in errors
    ]
    if answers:
        more = f" (the first {_PREVIEW} of {len(answers)})" if len(answers) > _PREVIEW else ""
        shown = table(("item", "event", "result"), answers[:_PREVIEW], f"Results{more}")
        parts.append(f"<details><summary>results</summary>{shown}</details>")
    if errors:
        rows = [(str(i), _json(result.events[i])[:80], str(e)[:200]) for i, e in list(errors.items())[:_ROWS_MAX]]
        parts.append(table(("item", "event", "error"), rows, "Failures; .retry() runs them again"))
    return f'<section aria-label="Map of {esc(result.function.name)}" style="{_CARD}">{"".join(parts)}</section>'


def source_view(source: str, title: str) -> Shown:
    """Generated code, highlighted."""
    from pygments import highlight  # type: ignore[import-untyped]
    from pygments.formatters.html import HtmlFormatter  # type: ignore[import-untyped]
    from pygments.lexers.python import PythonLexer  # type: ignore[import-untyped]

    body = highlight(source, PythonLexer(), HtmlFormatter(cssclass="highlight", wrapcode=True))
    head = f'<div style="color:{_DIM}">{esc(title)}</div>'
    return Shown(
        f"# {title}\n{source}",
        f'<section aria-label="{esc(title)}" style="{_CARD}">{head}{body}</section>',
    )
