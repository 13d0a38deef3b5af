"""Layers and their versions. Numbers are never used again, even when all versions are deleted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict

from jupyter_lambda.model.function import LayerVersion

from .part import Part


class Layers(Part):
    """The part of ``Functions`` that keeps layers."""

    def layer_version(self, name: str, version: int) -> LayerVersion | None:
        """One version of a layer, or None."""
        row = self._database.first("SELECT body FROM layer_version WHERE name = ? AND version = ?", (name, version))
        return _layer(row[0]) if row else None

    def layer_versions(self, name: str, after: int | None, limit: int) -> Sequence[LayerVersion]:
        """Versions of one layer, newest first.

        Args:
            after: Number of the last one of the page before.
        """
        rows = self._database.query(
            "SELECT body FROM layer_version WHERE name = ? AND version < ? ORDER BY version DESC LIMIT ?",
            (name, 2**63 - 1 if after is None else after, limit),
        )
        return [_layer(body) for (body,) in rows]

    def layers(self, after: str | None, limit: int) -> Sequence[LayerVersion]:
        """The latest version of each layer, by name; layers without versions are left out.

        Args:
            after: Name of the last one of the page before.
        """
        rows = self._database.query(
            """
            SELECT v.body FROM layer l
            JOIN layer_version v ON v.name = l.name
                 AND v.version = (SELECT max(version) FROM layer_version WHERE name = l.name)
            WHERE l.name > ? ORDER BY l.name LIMIT ?
            """,
            (after or "", limit),
        )
        return [_layer(body) for (body,) in rows]

    async def add_layer_version(self, name: str, build: Callable[[int], LayerVersion]) -> LayerVersion:
        """Add the next version of a layer.

        Args:
            build: Given the number, returns the version. Called in the store's thread, perhaps twice.
        Raises:
            StoreError: It can't be written.
        """

        def run(connection: sqlite3.Connection) -> LayerVersion:
            (number,) = connection.execute(
                "INSERT INTO layer (name, next_version) VALUES (?, 2)"
                " ON CONFLICT (name) DO UPDATE SET next_version = next_version + 1 RETURNING next_version - 1",
                (name,),
            ).fetchone()
            layer = build(number)
            assert (layer.name, layer.version) == (name, number), layer
            connection.execute(
                "INSERT INTO layer_version (name, version, code_sha256, code_size, body) VALUES (?,?,?,?,?)",
                (name, number, layer.code_sha256, layer.code_size, json.dumps(asdict(layer))),
            )
            return layer

        return await self._database.write(run, then=lambda _: self._totals.clear())

    async def delete_layer_version(self, name: str, version: int) -> None:
        """Remove a version; nothing where there is none. Functions that use it keep working, as on AWS.

        Raises:
            StoreError: It can't be written.
        """

        def run(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM layer_version WHERE name = ? AND version = ?", (name, version))

        await self._database.write(run, then=lambda _: self._totals.clear(), essential=True)


def _layer(body: str) -> LayerVersion:
    values = json.loads(body)
    for name in ("compatible_runtimes", "compatible_architectures"):
        values[name] = tuple(values[name])
    return LayerVersion(**values)
