"""How many days each function's log is kept; where nothing is said, as long as its cap allows."""

from __future__ import annotations

import sqlite3

from .part import Part


class LogRetention(Part):
    """Retention of log groups in days."""

    _days: dict[str, int] | None = None

    def days(self, function_name: str) -> int | None:
        """Days; None: not limited."""
        return self.all().get(function_name)

    def all(self) -> dict[str, int]:
        """Function → days, where they are limited."""
        if self._days is None:
            self._days = dict(self._database.query("SELECT function_name, days FROM log_retention"))
        return self._days

    async def put(self, function_name: str, days: int | None) -> None:
        """Keep so many days; None: not limited any more.

        Raises:
            StoreError: It can't be written.
        """
        known = self.all()

        def run(connection: sqlite3.Connection) -> None:
            if days is None:
                connection.execute("DELETE FROM log_retention WHERE function_name = ?", (function_name,))
            else:
                connection.execute("INSERT OR REPLACE INTO log_retention VALUES (?, ?)", (function_name, days))

        def then(_: None) -> None:
            known.pop(function_name, None)
            if days is not None:
                known[function_name] = days

        await self._database.write(run, then=then)
