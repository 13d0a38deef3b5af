"""Provisioned concurrency: how many environments of which version or alias are to be kept initialised."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from jupyter_lambda.errors import ResourceNotFoundException
from jupyter_lambda.model.function import ProvisionedConfig

from .database import Database
from .part import Part

#: Columns in the order of ProvisionedConfig's fields.
_COLUMNS = "function_name, qualifier, requested, last_modified"
_SELECT = f"SELECT {_COLUMNS} FROM provisioned"  # noqa: S608 - constants


class Provisioned(Part):
    """The part of ``Functions`` that keeps provisioned concurrency; few, so all of them stay in memory once asked."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._provisioned: dict[tuple[str, str], ProvisionedConfig] | None = None

    def provisioned(self, function_name: str, qualifier: str) -> ProvisionedConfig | None:
        """The configuration of one version or alias, or None."""
        return self._all_provisioned().get((function_name, qualifier))

    def provisioned_configs(self, function_name: str | None = None) -> Sequence[ProvisionedConfig]:
        """All configurations, of one function or of all, by name and qualifier."""
        found = self._all_provisioned()
        return [found[key] for key in sorted(found) if function_name is None or key[0] == function_name]

    async def put_provisioned(self, config: ProvisionedConfig) -> None:
        """Add or replace a configuration.

        Raises:
            ResourceNotFoundException: The function was deleted in the meantime.
            StoreError: It can't be written.
        """
        known = self._all_provisioned()

        def run(connection: sqlite3.Connection) -> None:
            if not connection.execute("SELECT 1 FROM function WHERE name = ?", (config.function_name,)).fetchone():
                raise ResourceNotFoundException(f"Function not found: {config.function_name}")
            connection.execute(
                f"INSERT OR REPLACE INTO provisioned ({_COLUMNS}) VALUES (?,?,?,?)",  # noqa: S608 - constants
                (config.function_name, config.qualifier, config.requested, config.last_modified),
            )

        def then(_: None) -> None:
            known[config.function_name, config.qualifier] = config

        await self._database.write(run, then=then)

    async def delete_provisioned(self, function_name: str, qualifier: str) -> None:
        """Remove a configuration; nothing where there is none.

        Raises:
            StoreError: It can't be written.
        """

        def run(connection: sqlite3.Connection) -> None:
            connection.execute(
                "DELETE FROM provisioned WHERE function_name = ? AND qualifier = ?", (function_name, qualifier)
            )

        def then(_: None) -> None:
            self._forget_provisioned(lambda key: key == (function_name, qualifier))

        await self._database.write(run, then=then, essential=True)

    def _all_provisioned(self) -> dict[tuple[str, str], ProvisionedConfig]:
        if self._provisioned is None:
            rows = self._database.query(_SELECT)
            self._provisioned = {(row[0], row[1]): ProvisionedConfig(*row) for row in rows}
        return self._provisioned

    def _forget_provisioned(self, belongs: Callable[[tuple[str, str]], bool]) -> None:
        known = self._all_provisioned()
        for key in [k for k in known if belongs(k)]:
            del known[key]
