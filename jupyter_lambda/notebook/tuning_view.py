"""A tuning as the notebook shows it: the picture (Vega-Lite, drawn by JupyterLab itself) and the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import render
from .invocation import human_ms

if TYPE_CHECKING:
    from .tuning import Size, Tuning

VEGA_LITE = "application/vnd.vegalite.v5+json"
_HEAD = ("memory", "duration", "from – to", "billed", "USD a million", "cold start", "memory used", "")
_LEGEND = "line: mean of the warm runs · band: their range · ▲ cold start"
#: Blue and orange that hold on white and on black, also for colour-blind eyes.
_DURATION, _COST, _COLD = "#3b82c4", "#d97706", "#8b9bb0"


def text(tuning: Tuning) -> str:
    """The table and its conclusion in plain text."""
    return f"{render.text_table(_HEAD, _rows(tuning))}\n{tuning.summary()}{_note(tuning)}"


def show(tuning: Tuning) -> None:
    """Display picture and table in the running cell."""
    from IPython.display import display

    if any(one.ok for one in tuning.sizes):
        data = {VEGA_LITE: chart(tuning), "text/plain": tuning.summary()}
        display(data, raw=True)  # type: ignore[no-untyped-call]
    display(_card(tuning))  # type: ignore[no-untyped-call]


def chart(tuning: Tuning) -> dict[str, Any]:
    """Duration and cost against memory, cold starts apart, the chosen size marked.

    Two panels share the memory axis: two scales in one panel would suggest crossings that mean nothing.
    """
    fit = [one for one in tuning.sizes if one.ok]
    values = [
        {
            "memory": one.memory_mb,
            "duration": round(one.duration_ms, 3),
            "shortest": round(one.shortest_ms, 3),
            "longest": round(one.longest_ms, 3),
            "cost": round(one.cost * 1e6, 4),
            "cold": round(one.cold_ms, 3) if one.cold_ms is not None else None,
            "chosen": one is tuning.best,
        }
        for one in fit
    ]
    memory = {
        "field": "memory",
        "type": "quantitative",
        "scale": {"type": "log", "base": 2, "nice": False, "padding": 14},
        "axis": {"values": [one.memory_mb for one in fit], "grid": False, "format": "d", "title": "memory (MB)"},
    }
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "description": tuning.summary(),
        "title": {
            "text": f"{tuning.function.name}: duration and cost by memory",
            "subtitle": [tuning.summary(), _LEGEND],
        },
        "data": {"values": values},
        "vconcat": [_duration_panel(memory), _cost_panel(memory)],
        "resolve": {"scale": {"color": "independent"}},
        "config": {"view": {"stroke": None}, "background": None, "title": {"anchor": "start"}},
    }


def _duration_panel(memory: dict[str, Any]) -> dict[str, Any]:
    hidden = {**memory, "axis": {**memory["axis"], "title": None}}
    y = {"field": "duration", "type": "quantitative", "title": "duration (ms)", "scale": {"zero": True}}
    tooltip = [
        {"field": "memory", "title": "memory (MB)"},
        {"field": "duration", "title": "duration (ms)"},
        {"field": "cold", "title": "cold start (ms)"},
        {"field": "cost", "title": "USD a million"},
    ]
    return {
        "width": 520,
        "height": 190,
        "encoding": {"x": hidden},
        "layer": [
            {
                "mark": {"type": "area", "opacity": 0.18, "color": _DURATION},
                "encoding": {
                    "y": {"field": "shortest", "type": "quantitative", "title": "duration (ms)"},
                    "y2": {"field": "longest"},
                },
            },
            {"mark": {"type": "line", "color": _DURATION, "strokeWidth": 2}, "encoding": {"y": y}},
            {
                "mark": {"type": "point", "color": _COLD, "shape": "triangle-up", "size": 60, "filled": True},
                "transform": [{"filter": "datum.cold !== null"}],
                "encoding": {"y": {"field": "cold", "type": "quantitative"}, "tooltip": tooltip},
            },
            *_points(_DURATION, y, tooltip),
        ],
    }


def _cost_panel(memory: dict[str, Any]) -> dict[str, Any]:
    y = {"field": "cost", "type": "quantitative", "title": "USD a million", "scale": {"zero": True}}
    tooltip = [{"field": "memory", "title": "memory (MB)"}, {"field": "cost", "title": "USD a million"}]
    return {
        "width": 520,
        "height": 120,
        "encoding": {"x": memory},
        "layer": [
            {"mark": {"type": "line", "color": _COST, "strokeWidth": 2}, "encoding": {"y": y}},
            *_points(_COST, y, tooltip),
        ],
    }


def _points(colour: str, y: dict[str, Any], tooltip: list[dict[str, str]]) -> list[dict[str, Any]]:
    """A dot for each size; the chosen one larger, ringed and named."""
    chosen = [{"filter": "datum.chosen"}]
    return [
        {
            "mark": {"type": "point", "filled": True, "color": colour, "size": 55},
            "encoding": {"y": y, "tooltip": tooltip},
        },
        {
            "transform": chosen,
            "mark": {"type": "point", "color": colour, "size": 260, "strokeWidth": 2},
            "encoding": {"y": y},
        },
        {
            "transform": chosen,
            "mark": {"type": "text", "dy": -18, "fontWeight": "bold", "color": colour},
            "encoding": {"y": y, "text": {"value": "chosen"}},
        },
    ]


def _card(tuning: Tuning) -> render.Shown:
    shown = render.tabular(_HEAD, _rows(tuning), f"Power tuning for {tuning.strategy}")
    line = render.esc(tuning.summary() + _note(tuning))
    return render.Shown(text(tuning), f"{shown.html}<p>{line}</p>")


def _note(tuning: Tuning) -> str:
    if tuning.best is None or tuning.best.memory_mb == tuning.present_mb:
        return ""
    if tuning.applied:
        return f" — applied; write --memory {tuning.best.memory_mb} into the cell to keep it"
    return f" — not applied; --apply or .apply() does, --memory {tuning.best.memory_mb} in the cell keeps it"


def _rows(tuning: Tuning) -> list[tuple[str, ...]]:
    return [_row(tuning, one) for one in tuning.sizes]


def _row(tuning: Tuning, one: Size) -> tuple[str, ...]:
    signs = []
    if one is tuning.best:
        signs.append("← best")
    if one.memory_mb == tuning.present_mb:
        signs.append("now")
    used = f"{one.memory_used_mb} MB" if one.memory_used_mb else ""
    if not one.ok:
        return f"{one.memory_mb} MB", "–", "", "", "", "", used, one.failure
    cold = f"{human_ms(one.cold_ms)}" if one.cold_ms is not None else "warm"
    return (
        f"{one.memory_mb} MB",
        human_ms(one.duration_ms),
        f"{human_ms(one.shortest_ms)} – {human_ms(one.longest_ms)}",
        human_ms(one.billed_ms),
        f"{one.cost * 1e6:.2f}",
        cold,
        used,
        ", ".join(signs),
    )
