"""From a cell to a deployment package: capture, handler, generated module, zip."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import package
from .capture import Capture, capture, parse
from .cells import Cell, CellIndex
from .generate import Generated, generate
from .handler import Handler, choose


@dataclass(frozen=True, slots=True)
class Build:
    """A package and how it came about."""

    capture: Capture
    handler: Handler
    generated: Generated
    zip_bytes: bytes

    @property
    def places(self) -> dict[str, str]:
        """Label of a cell in remote tracebacks → how the reader knows it."""
        return {label: f"In [{cell.number}]" for label, cell in self.generated.cells.items() if cell.number is not None}

    @property
    def code_sha256(self) -> str:
        """AWS's CodeSha256 of the package."""
        return package.code_sha256(self.zip_bytes)


def build(
    cell: Cell,
    namespace: Mapping[str, Any],
    cells: CellIndex,
    *,
    handler: str | None = None,
    use: Iterable[str] = (),
    lazy_annotations: bool = False,
    strict_imports: bool = True,
) -> Build:
    """Make the package of a cell.

    Args:
        handler: Name of the function to call; None: found by the rules of ``handler.choose``.
        use: Names to bring in although the cell doesn't mention them.
        lazy_annotations: ``from __future__ import annotations`` is in force in the notebook.
        strict_imports: Refuse imports of what isn't installed here.
    Raises:
        CaptureError: The cell can't become a function as it stands.
    """
    chosen = choose(cell, parse(cell), handler, available=namespace)
    use = list(use)
    if handler and chosen.wraps is None and "." not in handler:
        use.append(handler)
    found = capture(
        cell,
        namespace,
        cells,
        use=use,
        given=("event", "context") if chosen.is_expression else (),
        lazy_annotations=lazy_annotations,
        strict_imports=strict_imports,
    )
    if handler and "." in handler:
        found.modules.add(handler.partition(".")[0])
    generated = generate(found, chosen)
    return Build(found, chosen, generated, package.package(generated.files))


def foreign_packages(found: Capture) -> list[str]:
    """Packages of this Python that a function at AWS would have to bring along, as pip names them."""
    from .imports import DISTRIBUTIONS

    given = {"boto3", "botocore", "s3transfer", "jmespath", "__main__", "builtins", "lambda_function"}
    names = set(found.imported) - given - sys.stdlib_module_names - set(found.modules.sizes)
    return sorted(DISTRIBUTIONS.get(name, name) for name in names if not name.startswith("_"))
