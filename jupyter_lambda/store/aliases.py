"""Aliases: names for versions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict

from jupyter_lambda.errors import ResourceNotFoundException
from jupyter_lambda.model.function import Alias

from .cache import Cache
from .database import Database
from .invoke_configs import InvokeConfigs
from .provisioned import Provisioned

#: Aliases kept in memory.
CACHED = 4_096


class Aliases(InvokeConfigs, Provisioned):
    """The part of ``Functions`` that keeps aliases."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._aliases: Cache[tuple[str, str], Alias | None] = Cache(CACHED)

    def alias(self, function_name: str, name: str) -> Alias | None:
        """One alias, or None."""
        return self._aliases.get((function_name, name), lambda: self._load_alias(function_name, name))

    def aliases(self, function_name: str, version: str | None, after: str | None, limit: int) -> Sequence[Alias]:
        """Aliases of one function by name.

        Args:
            version: Only those that send invocations to this version, by their weights too.
            after: Name of the last one of the page before.
        """
        rows = self._database.query(
            """
            SELECT body FROM alias
            WHERE function_name = :function AND name > :after
              AND (:version IS NULL OR function_version = :version
                   OR EXISTS (SELECT 1 FROM json_each(body, '$.routing') WHERE key = :version))
            ORDER BY name LIMIT :limit
            """,
            {"function": function_name, "after": after or "", "version": version, "limit": limit},
        )
        return [Alias(**json.loads(body)) for (body,) in rows]

    async def put_alias(self, alias: Alias) -> None:
        """Add or replace an alias.

        Raises:
            ResourceNotFoundException: The function was deleted in the meantime.
            StoreError: It can't be written.
        """

        def run(connection: sqlite3.Connection) -> None:
            if not connection.execute("SELECT 1 FROM function WHERE name = ?", (alias.function_name,)).fetchone():
                raise ResourceNotFoundException(f"Function not found: {alias.function_name}")
            connection.execute(
                "INSERT OR REPLACE INTO alias (function_name, name, function_version, body) VALUES (?,?,?,?)",
                (alias.function_name, alias.name, alias.function_version, json.dumps(asdict(alias))),
            )

        await self._database.write(run, then=lambda _: self._aliases.put((alias.function_name, alias.name), alias))

    async def delete_alias(self, function_name: str, name: str) -> None:
        """Remove an alias with its invoke configuration and provisioned concurrency; nothing where there is none.

        Raises:
            StoreError: It can't be written.
        """

        def run(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM alias WHERE function_name = ? AND name = ?", (function_name, name))
            for table in ("invoke_config", "provisioned"):
                connection.execute(
                    f"DELETE FROM {table} WHERE function_name = ? AND qualifier = ?",  # noqa: S608
                    (function_name, name),
                )

        def then(_: None) -> None:
            self._aliases.put((function_name, name), None)
            self._forget_invoke_configs(function_name)
            self._forget_provisioned(lambda key: key == (function_name, name))

        await self._database.write(run, then=then, essential=True)

    def _load_alias(self, function_name: str, name: str) -> Alias | None:
        row = self._database.first("SELECT body FROM alias WHERE function_name = ? AND name = ?", (function_name, name))
        return Alias(**json.loads(row[0])) if row else None

    def _forget_aliases(self, function_name: str) -> None:
        self._aliases.forget_where(lambda key: key[0] == function_name)
