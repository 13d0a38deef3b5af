"""How asynchronous invocations of a function's qualifiers are retried and where their results go."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict

from jupyter_lambda.errors import ResourceNotFoundException
from jupyter_lambda.model.function import EventInvokeConfig

from .cache import Cache
from .database import Database
from .part import Part

#: Configurations kept in memory, and as many notes that a qualifier has none.
CACHED = 8_192


class InvokeConfigs(Part):
    """The part of ``Functions`` that keeps invoke configurations."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._configs: Cache[tuple[str, str], EventInvokeConfig | None] = Cache(CACHED)

    def invoke_config(self, function_name: str, qualifier: str) -> EventInvokeConfig | None:
        """The configuration of one qualifier, or None."""
        key = (function_name, qualifier)
        return self._configs.get(key, lambda: self._load_config(function_name, qualifier))

    def invoke_configs(self, function_name: str) -> Sequence[EventInvokeConfig]:
        """All configurations of one function, by qualifier."""
        rows = self._database.query(
            "SELECT body FROM invoke_config WHERE function_name = ? ORDER BY qualifier", (function_name,)
        )
        return [EventInvokeConfig(**json.loads(body)) for (body,) in rows]

    async def put_invoke_config(self, config: EventInvokeConfig) -> None:
        """Add or replace a configuration.

        Raises:
            ResourceNotFoundException: The function was deleted in the meantime.
            StoreError: It can't be written.
        """

        def run(connection: sqlite3.Connection) -> None:
            if not connection.execute("SELECT 1 FROM function WHERE name = ?", (config.function_name,)).fetchone():
                raise ResourceNotFoundException(f"Function not found: {config.function_name}")
            connection.execute(
                "INSERT OR REPLACE INTO invoke_config (function_name, qualifier, body) VALUES (?,?,?)",
                (config.function_name, config.qualifier, json.dumps(asdict(config))),
            )

        key = (config.function_name, config.qualifier)
        await self._database.write(run, then=lambda _: self._configs.put(key, config))

    async def delete_invoke_config(self, function_name: str, qualifier: str) -> None:
        """Remove a configuration; nothing where there is none.

        Raises:
            StoreError: It can't be written.
        """
        key = (function_name, qualifier)

        def run(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM invoke_config WHERE function_name = ? AND qualifier = ?", key)

        await self._database.write(run, then=lambda _: self._configs.put(key, None), essential=True)

    def _load_config(self, function_name: str, qualifier: str) -> EventInvokeConfig | None:
        row = self._database.first(
            "SELECT body FROM invoke_config WHERE function_name = ? AND qualifier = ?", (function_name, qualifier)
        )
        return EventInvokeConfig(**json.loads(row[0])) if row else None

    def _forget_invoke_configs(self, function_name: str) -> None:
        self._configs.forget_where(lambda key: key[0] == function_name)
