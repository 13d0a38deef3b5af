"""``%lambda bill``: what functions would have cost on AWS, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import render


def shown(found: Mapping[str, Any]) -> render.Shown:
    """The bill in both forms, with its total and what it was computed with."""
    lines = found["lines"]
    if not lines:
        text = "Nothing was charged in this time."
        return render.Shown(text, f"<p>{text}</p>")
    words = {"function": ("function",), "day": ("day",)}.get(str(found["by"]), ("day", "function"))
    rows = [_row(line, words) for line in lines]
    if len(rows) > 1:
        rows.append(("total", *[""] * (len(words) - 1), *_row(found["total"], ())))
    head = (*words, "requests", "errors", "billed", "GB-s", "provisioned GB-s", "price")
    whole = render.tabular(head, rows, "What AWS would charge")
    note = _note(found)
    return render.Shown(f"{whole.text}\n{note}", f"{whole.html}<p><small>{render.esc(note)}</small></p>")


def _row(line: Mapping[str, Any], words: tuple[str, ...]) -> tuple[str, ...]:
    return (
        *(str(line[word]) for word in words),
        f"{line['requests']:,}",
        f"{line['errors']:,}",
        f"{line['billed_ms'] / 1000:,.1f} s",
        f"{line['gb_s']:,.3f}",
        f"{line['provisioned_gb_s']:,.3f}",
        f"${line['price']:.7f}",
    )


def _note(found: Mapping[str, Any]) -> str:
    prices = found["prices"]
    return (
        f"${prices['gb_s']:.10f} a GB-second, ${prices['request']:.7f} a request, ${prices['provisioned_gb_s']:.10f} a "
        f"provisioned GB-second; duration rounded up to {found['increment_ms']} ms; days are UTC's; without AWS's free "
        "tier and without storage"
    )
