"""Parameters as papermill gives them: a cell tagged ``injected-parameters`` after the one tagged ``parameters``.

Source: papermill's documentation, "Parameterize".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

TAG, INJECTED_TAG = "parameters", "injected-parameters"


def inject(notebook: Any, parameters: Mapping[str, Any]) -> int | None:
    """Put the cell that sets the parameters into a notebook; returns where, None where there is nothing to set.

    A cell that an earlier run injected is replaced. Without a cell tagged ``parameters`` it comes first.
    """
    from nbformat.v4 import new_code_cell

    cells = [cell for cell in notebook.cells if INJECTED_TAG not in tags(cell)]
    at = None
    if parameters:
        at = next((index + 1 for index, cell in enumerate(cells) if TAG in tags(cell)), 0)
        cells.insert(at, new_code_cell(source(parameters), metadata={"tags": [INJECTED_TAG]}))  # type: ignore[no-untyped-call]
    notebook.cells = cells
    return at


def tags(cell: Any) -> list[str]:
    """A cell's tags."""
    return list(cell.get("metadata", {}).get("tags", ()))


def source(parameters: Mapping[str, Any]) -> str:
    """Python that sets them.

    Raises:
        ValueError: A name that Python can't assign to.
    """
    for name in parameters:
        if not name.isidentifier():
            raise ValueError(f"the parameter {name!r} can't be a variable's name")
    return "\n".join(["# Parameters", *(f"{name} = {literal(value)}" for name, value in parameters.items())])


def literal(value: Any) -> str:
    """A JSON value as Python writes it; numbers that have no literal by ``float``."""
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {literal(item)}" for key, item in value.items()) + "}"
    return repr(value)
