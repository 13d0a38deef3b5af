"""Function URLs: by function and alias for the control plane, by id for requests."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from jupyter_lambda.errors import ResourceNotFoundException
from jupyter_lambda.model.function_url import FunctionUrl

from .part import Part

#: Columns in the order of FunctionUrl's fields.
_COLUMNS = "function_name, qualifier, url_id, auth_type, created, modified, invoke_mode, cors"
_SELECT = f"SELECT {_COLUMNS} FROM function_url"  # noqa: S608 - constants


class Urls(Part):
    """A function's or alias's URL goes with it: triggers of the schema see to that."""

    def get(self, function_name: str, qualifier: str) -> FunctionUrl | None:
        """The URL of a function ("$LATEST") or alias, or None."""
        row = self._database.first(f"{_SELECT} WHERE function_name = ? AND qualifier = ?", (function_name, qualifier))
        return _url(row) if row else None

    def by_id(self, url_id: str) -> FunctionUrl | None:
        """The URL of this id, or None."""
        row = self._database.first(f"{_SELECT} WHERE url_id = ?", (url_id,))
        return _url(row) if row else None

    def of(self, function_name: str, after: str | None, limit: int) -> Sequence[FunctionUrl]:
        """A function's URLs by qualifier.

        Args:
            after: Qualifier of the last one of the page before.
        """
        rows = self._database.query(
            f"{_SELECT} WHERE function_name = ? AND qualifier > ? ORDER BY qualifier LIMIT ?",
            (function_name, after or "", limit),
        )
        return [_url(row) for row in rows]

    async def put(self, url: FunctionUrl) -> None:
        """Add or replace a URL.

        Raises:
            ResourceNotFoundException: The function or alias was deleted in the meantime.
            StoreError: It can't be written.
        """
        cors = json.dumps(dict(url.cors)) if url.cors is not None else None
        row = (
            *(url.function_name, url.qualifier, url.url_id, url.auth_type),
            *(url.created, url.modified, url.invoke_mode, cors),
        )

        def run(connection: sqlite3.Connection) -> None:
            found = connection.execute(
                "SELECT 1 FROM function WHERE name = :name AND (:qualifier = '$LATEST' OR EXISTS "
                "(SELECT 1 FROM alias WHERE function_name = :name AND alias.name = :qualifier))",
                {"name": url.function_name, "qualifier": url.qualifier},
            )
            if not found.fetchone():
                raise ResourceNotFoundException("Function does not exist")
            connection.execute(
                f"INSERT OR REPLACE INTO function_url ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?)",  # noqa: S608 - constants
                row,
            )

        await self._database.write(run)

    async def delete(self, function_name: str, qualifier: str) -> None:
        """Remove a URL; nothing where there is none.

        Raises:
            StoreError: It can't be written.
        """

        def run(connection: sqlite3.Connection) -> None:
            connection.execute(
                "DELETE FROM function_url WHERE function_name = ? AND qualifier = ?", (function_name, qualifier)
            )

        await self._database.write(run, essential=True)


def _url(row: tuple[Any, ...]) -> FunctionUrl:
    values = (*row[:-1], json.loads(row[-1]) if row[-1] is not None else None)
    return FunctionUrl(*values)
