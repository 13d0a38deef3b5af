"""What the parts of the control plane's memory share."""

from __future__ import annotations

from .database import Database


class Part:
    """Base of the parts that make up ``Functions``: each keeps one kind of thing in the same database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        #: Totals as the table has them, read when first asked for; cleared by whatever changes them.
        self._totals: dict[str, int] = {}
