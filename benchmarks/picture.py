"""The picture of the main rows, on a log scale: ours against target, reference and peers. SVG, light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.small { font-size: 11.5px; fill: #57606a; }
.head { font-weight: 600; }
.ours { fill: #0969da; } .value { font-weight: 600; fill: #0969da; }
.target { fill: #2da44e; opacity: .22; }
.reference { fill: none; stroke: #24292f; stroke-width: 1.6; }
.peer { fill: #fff; stroke: #bc4c00; stroke-width: 1.6; }
.line { stroke: #d0d7de; } .row { stroke: #eaeef2; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .small { fill: #9198a1; }
  .ours { fill: #58a6ff; } .value { fill: #58a6ff; }
  .target { fill: #3fb950; opacity: .28; }
  .reference { stroke: #e6edf3; } .peer { fill: #0d1117; stroke: #f0883e; }
  .line { stroke: #30363d; } .row { stroke: #21262d; }
}
"""
_LEFT, _RIGHT, _WIDTH, _STEP = 340, 40, 960, 34
#: Shapes of the peers, in their order; drawn around 0, 0.
_SHAPES = (
    '<rect class="peer" x="-4.5" y="-4.5" width="9" height="9"/>',
    '<path class="peer" d="M0-6 6 5-6 5z"/>',
    '<path class="peer" d="M0 6 6-5-6-5z"/>',
    '<path class="peer" d="M-5-5 5 5M5-5-5 5"/>',
)
_DIAMOND = '<path class="reference" d="M0-6 6 0 0 6-6 0z"/>'
_DOT = '<circle class="ours" r="6"/>'


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a panel, everything in the panel's unit."""

    title: str
    ours: float
    shown: str
    reference: float | None = None
    target: tuple[float, float] | None = None
    #: By the peer's number.
    peers: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Panel:
    """Rows on one scale."""

    title: str
    ticks: Sequence[tuple[float, str]]
    lines: Sequence[Line]


def draw(panels: Sequence[Panel], peers: Sequence[str]) -> str:
    """The whole picture."""
    body: list[str] = []
    top = _legend(body, peers)
    for panel in panels:
        top = _panel(body, panel, top)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}" height="{top}" '
        f'role="img"><title>jupyter_lambda against its targets, references and peers, log scale</title>'
        f"<style>{_STYLE}</style>{''.join(body)}</svg>\n"
    )


def _legend(body: list[str], peers: Sequence[str]) -> int:
    entries = [(_DOT, "jupyter_lambda"), (_DIAMOND, "reference in the same run")]
    entries += [('<rect class="target" x="-9" y="-7" width="18" height="14"/>', "target: at least … reach for")]
    entries += [(_SHAPES[number % len(_SHAPES)], name) for number, name in enumerate(peers)]
    x, y = 20, 24
    for shape, text in entries:
        width = 38 + round(len(text) * 7.2)
        if x + width > _WIDTH - 10:
            x, y = 20, y + 24
        body.append(
            f'<g transform="translate({x},{y})">{shape}</g><text x="{x + 14}" y="{y + 4}">{escape(text)}</text>'
        )
        x += width
    return y + 34


def _panel(body: list[str], panel: Panel, top: int) -> int:
    low, high = panel.ticks[0][0], panel.ticks[-1][0]

    def at(value: float) -> float:
        part = math.log(min(max(value, low), high) / low) / math.log(high / low)
        return round(_LEFT + part * (_WIDTH - _LEFT - _RIGHT), 1)

    bottom = top + 30 + _STEP * len(panel.lines)
    body.append(f'<text class="head" x="20" y="{top + 6}">{escape(panel.title)}</text>')
    for value, text in panel.ticks:
        x = at(value)
        body.append(f'<line class="line" x1="{x}" y1="{top + 18}" x2="{x}" y2="{bottom}"/>')
        body.append(f'<text class="small" x="{x}" y="{top + 8}" text-anchor="middle">{escape(text)}</text>')
    for number, line in enumerate(panel.lines):
        y = top + 30 + _STEP * number + _STEP / 2 - 6
        _line(body, line, at, y)
    return bottom + 26


def _line(body: list[str], line: Line, at: object, y: float) -> None:
    assert callable(at)
    body.append(f'<line class="row" x1="20" y1="{y + 17}" x2="{_WIDTH - _RIGHT}" y2="{y + 17}"/>')
    body.append(f'<text x="20" y="{y + 4}">{escape(line.title)}</text>')
    if line.target:
        left, right = sorted(at(value) for value in line.target)
        body.append(f'<rect class="target" x="{left}" y="{y - 11}" width="{max(2.0, right - left):.1f}" height="22"/>')
    if line.reference is not None:
        body.append(f'<g transform="translate({at(line.reference)},{y})">{_DIAMOND}</g>')
    for number, value in line.peers.items():
        body.append(f'<g transform="translate({at(value)},{y})">{_SHAPES[number % len(_SHAPES)]}</g>')
    body.append(f'<g transform="translate({at(line.ours)},{y})">{_DOT}</g>')
    body.append(f'<text class="value" x="{_LEFT - 26}" y="{y + 4}" text-anchor="end">{escape(line.shown)}</text>')
