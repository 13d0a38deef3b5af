"""The simulator's picture: one SVG that follows the reader's light or dark theme, written by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from .simulate import Outcome
from .simulate_traces import Trace

#: Of the whole picture.
WIDTH, HEIGHT = 1180, 880
THEMES = ("auto", "light", "dark")

_LIGHT = "--bg:#ffffff;--panel:#f7f8fa;--ink:#1c2330;--dim:#667085;--line:#e3e7ee;--learned:#e8590c;--fixed:#3b6fd4;"
_LIGHT += "--busy:#12957d;--soft:#3b6fd41f;--glow:#e8590c1f"
_DARK = "--bg:#12151c;--panel:#191d26;--ink:#eceff5;--dim:#98a2b3;--line:#2b3140;--learned:#ff9248;--fixed:#7ba7ff;"
_DARK += "--busy:#3fd0b4;--soft:#7ba7ff22;--glow:#ff924826"
_STYLE = """
svg{background:var(--bg)} text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;
fill:var(--ink)}
.h1{font-size:25px;font-weight:650} .h2{font-size:15.5px;font-weight:600} .dim{fill:var(--dim);font-size:12.5px}
.tick{fill:var(--dim);font-size:11.5px} .big{font-size:27px;font-weight:650} .label{font-size:12.5px}
.panel{fill:var(--panel);stroke:var(--line)} .grid{stroke:var(--line);stroke-width:1}
.learned{stroke:var(--learned);fill:none;stroke-width:2.4} .fixed{stroke:var(--fixed);fill:none;stroke-width:2}
.busy{fill:var(--busy);opacity:.75} .lt{fill:var(--learned);font-weight:650}
.ft{fill:var(--fixed)} .bt{fill:var(--busy)}
.dot{fill:var(--fixed);stroke:var(--panel);stroke-width:2} .star{fill:var(--learned);stroke:var(--panel);stroke-width:2}
.soft{fill:var(--soft)} .glow{fill:var(--glow)} .end{text-anchor:end} .mid{text-anchor:middle}
"""


def draw(trace: Trace, outcomes: Sequence[Outcome], *, theme: str = "auto") -> str:
    """The SVG.

    Args:
        outcomes: The learned policy first, then fixed ones.
        theme: "light", "dark", or "auto": as the reader's browser prefers.
    """
    learned, fixed = outcomes[0], _reference(outcomes)
    subtitle = f"{trace.title} · {learned.invocations:,} invocations in {_span(trace.duration_s)} of simulated time"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
        "<title>Simulated keep-alive policies: cold starts against idle memory</title>",
        f"<style>{_variables(theme)}{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="var(--bg)"/>',
        _text(36, 48, "Cold starts against memory that waits", "h1"),
        _text(36, 72, subtitle, "dim"),
        *_figures(learned, fixed),
        *_front(_Panel(36, 190, 620, 350), outcomes, fixed),
        *_functions(_Panel(676, 190, 468, 350), learned, fixed),
        *_over_time(_Panel(36, 560, 1108, 290), trace, learned, fixed),
        "</svg>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _reference(outcomes: Sequence[Outcome]) -> Outcome:
    """Ten minutes where it was run, else the first fixed one."""
    return next((o for o in outcomes if o.policy == "fixed 10 min"), outcomes[min(1, len(outcomes) - 1)])


def _variables(theme: str) -> str:
    if theme == "auto":
        return f":root{{{_LIGHT}}}@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}"
    return f":root{{{_DARK if theme == 'dark' else _LIGHT}}}"


def _text(x: float, y: float, text: str, css: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css}">{escape(text)}</text>'


def _span(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit or (seconds == unit and unit == 3600):
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 3600:.3g} h" if seconds >= 7200 else f"{seconds:.3g} s"


def _change(new: float, old: float) -> str:
    if old <= 0:
        return "–"
    return f"{'−' if new <= old else '+'}{abs(1 - new / old):.0%}"


def _figures(learned: Outcome, fixed: Outcome) -> list[str]:
    """Four numbers and what they were with the fixed keep-alive."""
    gb_h = 1024 * 3600
    figures = [
        ("cold starts", f"{learned.cold_rate:.1%}", _change(learned.cold_rate, fixed.cold_rate),
         f"{fixed.cold_rate:.1%}"),
        ("idle memory", f"{learned.wasted_mb_s / gb_h:,.0f} GB·h", _change(learned.wasted_mb_s, fixed.wasted_mb_s),
         f"{fixed.wasted_mb_s / gb_h:,.0f} GB·h"),
        ("p99 wait", f"{learned.wait_s(0.99) * 1000:,.0f} ms", _change(learned.wait_s(0.99), fixed.wait_s(0.99)),
         f"{fixed.wait_s(0.99) * 1000:,.0f} ms"),
        ("environments at most", f"{learned.environments_max:,}",
         _change(learned.environments_max, fixed.environments_max), f"{fixed.environments_max:,}"),
    ]  # fmt: skip
    parts = []
    for i, (name, value, change, before) in enumerate(figures):
        x = 36 + i * 280
        parts += [
            f'<rect class="panel" x="{x}" y="92" width="268" height="82" rx="10"/>',
            _text(x + 18, 115, name, "dim"),
            _text(x + 18, 145, value, "big"),
            _text(x + 250, 144, change, "h2 lt end"),
            _text(x + 18, 164, f"{fixed.policy}: {before}", "tick"),
        ]
    return parts


class _Panel:
    """A framed chart: its place, and the place of the data within it."""

    def __init__(self, x: int, y: int, width: int, height: int) -> None:
        self.x, self.y, self.width, self.height = x, y, width, height
        self.left, self.right = x + 62, x + width - 24
        self.top, self.bottom = y + 62, y + height - 46

    def frame(self, title: str, subtitle: str) -> list[str]:
        """Background and headings."""
        return [
            f'<rect class="panel" x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="10"/>',
            _text(self.x + 18, self.y + 27, title, "h2"),
            _text(self.x + 18, self.y + 45, subtitle, "dim"),
        ]

    def at_x(self, part: float) -> float:
        """0 left, 1 right."""
        return self.left + part * (self.right - self.left)

    def at_y(self, part: float) -> float:
        """0 at the bottom, 1 at the top."""
        return self.bottom - part * (self.bottom - self.top)

    def rows(self, marks: Sequence[tuple[float, str]]) -> list[str]:
        """Horizontal grid lines with what they mean."""
        parts = []
        for part, label in marks:
            y = self.at_y(part)
            parts.append(f'<line class="grid" x1="{self.left}" x2="{self.right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(_text(self.left - 9, y + 4, label, "tick end"))
        return parts

    def columns(self, marks: Sequence[tuple[float, str]]) -> list[str]:
        """What the horizontal axis means."""
        return [_text(self.at_x(part), self.bottom + 18, label, "tick mid") for part, label in marks]


def _steps(most: float, count: int = 4) -> tuple[float, list[float]]:
    """A round number not below ``most``, and round numbers up to it."""
    raw = max(most, 1e-9) / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    top = math.ceil(most / step - 1e-9) * step or step
    return top, [step * i for i in range(round(top / step) + 1)]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _front(panel: _Panel, outcomes: Sequence[Outcome], reference: Outcome) -> list[str]:
    """Each policy a point: down is fewer cold starts, left is less memory."""
    unit = reference.wasted_mb_s or 1.0
    x_top, x_marks = _steps(max(o.wasted_mb_s for o in outcomes) / unit * 1.08)
    y_top, y_marks = _steps(max(o.cold_rate for o in outcomes) * 1.1)
    parts = panel.frame("Keep-alive policies compared", "Lower is fewer cold starts, further left is less idle memory")
    parts += panel.rows([(mark / y_top, f"{mark:.3g}" if mark >= 1 else f"{mark * 100:.3g} %") for mark in y_marks])
    parts += panel.columns([(mark / x_top, f"{mark * 100:.0f} %") for mark in x_marks])
    parts.append(_text(panel.right, panel.bottom + 36, f"idle memory, {reference.policy} = 100 %", "tick end"))

    def place(outcome: Outcome) -> tuple[float, float]:
        return panel.at_x(outcome.wasted_mb_s / unit / x_top), panel.at_y(outcome.cold_rate / y_top)

    fixed = sorted(outcomes[1:], key=lambda o: o.wasted_mb_s)
    # What is better than the reference in both.
    x, y = place(reference)
    parts.append(
        f'<rect class="glow" x="{panel.left}" y="{y:.1f}" width="{x - panel.left:.1f}" '
        f'height="{panel.bottom - y:.1f}"/>'
    )
    parts.append(_text(panel.left + 10, panel.bottom - 10, "better in both", "tick"))
    if fixed:
        parts.append(f'<path class="fixed" stroke-dasharray="5 5" d="{_path([place(o) for o in fixed])}"/>')
    for outcome in fixed:
        x, y = place(outcome)
        parts += [
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="6"/>',
            _text(x + 11, y - 8, outcome.policy, "label ft"),
        ]
    x, y = place(outcomes[0])
    label = f"learned: {outcomes[0].cold_rate:.1%}"
    parts += [f'<circle class="star" cx="{x:.1f}" cy="{y:.1f}" r="9"/>', _text(x - 15, y + 5, label, "label lt end")]
    return parts


def _functions(panel: _Panel, learned: Outcome, fixed: Outcome) -> list[str]:
    """How many functions have at most so many cold starts."""
    parts = panel.frame("For how many functions", "Share of functions whose cold-start rate is at most …")
    parts += panel.rows([(n / 4, f"{n * 25} %") for n in range(5)])
    parts += panel.columns([(n / 4, f"{n * 25} %") for n in range(5)])
    parts.append(_text(panel.right, panel.bottom + 36, "cold starts of the function's invocations", "tick end"))
    for outcome, css in ((fixed, "fixed"), (learned, "learned")):
        rates = sorted(cold / count for count, cold in outcome.by_function if count)
        points = [(panel.at_x(0.0), panel.at_y(0.0))]
        for i, rate in enumerate(rates):
            x, y = panel.at_x(min(1.0, rate)), panel.at_y((i + 1) / len(rates))
            points += [(x, points[-1][1]), (x, y)]
        parts.append(f'<path class="{css}" d="{_path([*points, (panel.right, points[-1][1])])}"/>')
    for i, (name, css) in enumerate(((learned.policy, "label lt end"), (fixed.policy, "label ft end"))):
        parts.append(_text(panel.right - 8, panel.bottom - 32 + i * 18, name, css))
    return parts


def _over_time(panel: _Panel, trace: Trace, learned: Outcome, fixed: Outcome) -> list[str]:
    """Environments of both policies, and the invocations that run."""
    parts = panel.frame(
        "Environments over time", "and, filled at the bottom, the invocations that run in them at that moment"
    )
    top, marks = _steps(max(s[2] for o in (learned, fixed) for s in o.samples))
    parts += panel.rows([(mark / top, f"{mark:,.0f}") for mark in marks])
    parts += panel.columns([(n / 8, _span(trace.duration_s * n / 8) if n else "0") for n in range(9)])

    def place(at_s: float, value: float) -> tuple[float, float]:
        return panel.at_x(at_s / trace.duration_s), panel.at_y(value / top)

    area = [place(s[0], s[1]) for s in learned.samples]
    closed = [(panel.left, panel.bottom), *area, (area[-1][0], panel.bottom)]
    under = [place(s[0], s[2]) for s in fixed.samples]
    parts.append(
        f'<path class="soft" d="{_path([(panel.left, panel.bottom), *under, (under[-1][0], panel.bottom)])}Z"/>'
    )
    parts.append(f'<path class="fixed" d="{_path(under)}"/>')
    parts.append(f'<path class="learned" d="{_path([place(s[0], s[2]) for s in learned.samples])}"/>')
    parts.append(f'<path class="busy" d="{_path(closed)}Z"/>')
    for i, (name, css) in enumerate(
        (("running", "label bt end"), (fixed.policy, "label ft end"), (learned.policy, "label lt end"))
    ):
        parts.append(_text(panel.right - i * 110, panel.y + 28, name, css))
    return parts
