"""The executed notebook as a page, where nbconvert is installed."""

from __future__ import annotations

from typing import Any


def page(notebook: Any, title: str, *, code: bool = True) -> tuple[str | None, str]:
    """HTML and ""; or None and why there is none.

    Args:
        code: Whether the code is shown too.
    """
    try:
        from nbconvert import HTMLExporter
    except ImportError as exc:
        return None, f"no HTML: this Python has no nbconvert ({exc})"
    try:
        exporter = HTMLExporter(embed_images=True, exclude_input=not code, exclude_output_prompt=not code)  # type: ignore[no-untyped-call]
        html, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}})
    except Exception as exc:  # noqa: BLE001 - whatever a template or an output of the notebook makes it raise
        return None, f"no HTML: nbconvert failed: {type(exc).__name__}: {exc}"
    return str(html), ""
