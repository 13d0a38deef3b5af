"""Functions and their versions; with aliases, layers, invoke configurations and policies: what the control plane keeps.

Reads are served from bounded caches kept by write-through, else by one indexed lookup. Nothing is loaded at start.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jupyter_lambda.errors import ResourceConflictException, ResourceNotFoundException
from jupyter_lambda.model.arn import LATEST
from jupyter_lambda.model.function import Function, FunctionVersion

from .aliases import Aliases
from .cache import Cache
from .database import Database
from .layers import Layers
from .policies import Policies

#: Functions and versions kept in memory; a few KB each.
CACHED = 4_096
_FUNCTION = "SELECT f.name, f.reserved, f.next_version, f.tags, v.body FROM function f JOIN version v"
# Not INSERT OR REPLACE: the totals' triggers don't see what that deletes.
_FUNCTION_ROW = """
INSERT INTO function (name, reserved, next_version, tags) VALUES (?,?,?,?)
ON CONFLICT (name) DO UPDATE SET
    reserved = excluded.reserved, next_version = excluded.next_version, tags = excluded.tags
"""
_VERSION_ROW = """
INSERT INTO version (function_name, number, code_sha256, code_size, body) VALUES (?,?,?,?,?)
ON CONFLICT (function_name, number) DO UPDATE SET
    code_sha256 = excluded.code_sha256, code_size = excluded.code_size, body = excluded.body
"""
USED = """
SELECT 1 FROM version WHERE code_sha256 = :code
UNION ALL SELECT 1 FROM layer_version WHERE code_sha256 = :code
UNION ALL SELECT 1 FROM version_layer WHERE code_sha256 = :code LIMIT 1
"""
NAMES = "SELECT name FROM function WHERE name >= ? ORDER BY name LIMIT ?"
TOTAL = "SELECT value FROM total WHERE name = ?"


class Functions(Aliases, Layers, Policies):
    """The control plane's memory. Writes return once they are on disk, and raise StoreError when they can't be."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._functions: Cache[str, Function | None] = Cache(CACHED)
        self._versions: Cache[tuple[str, int], FunctionVersion | None] = Cache(CACHED)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, name: str) -> Function | None:
        """A function with its $LATEST version, or None."""
        return self._functions.get(name, lambda: self._load(name))

    def version(self, name: str, version: str) -> FunctionVersion | None:
        """One version, "$LATEST" or a decimal number; None where there is none (or the text is neither)."""
        if version == LATEST:
            function = self.get(name)
            return function.latest if function else None
        number = _number(version)
        if number is None:
            return None
        return self._versions.get((name, number), lambda: self._load_version(name, number))

    def list(self, after: str | None, limit: int) -> Sequence[Function]:
        """Functions by name.

        Args:
            after: Name of the last one of the page before.
        """
        rows = self._database.query(
            f"{_FUNCTION} ON v.function_name = f.name AND v.number = 0 WHERE f.name > ? ORDER BY f.name LIMIT ?",
            (after or "", limit),
        )
        return [_function(row) for row in rows]

    def names(self, start: str, limit: int) -> Sequence[str]:
        """Names of functions in order.

        Args:
            start: The first one that may be among them.
        """
        return [name for (name,) in self._database.query(NAMES, (start, limit))]

    def list_all_versions(self, after: tuple[str, str] | None, limit: int) -> Sequence[FunctionVersion]:
        """Versions of all functions by name, then $LATEST, then by number.

        Args:
            after: Name and version of the last one of the page before.
        """
        name, version = after or ("", "0")
        rows = self._database.query(
            "SELECT body FROM version WHERE (function_name, number) > (?, ?) ORDER BY function_name, number LIMIT ?",
            (name, _number(version) or 0, limit),
        )
        return [_version(body) for (body,) in rows]

    def versions(self, name: str, after: str | None, limit: int) -> Sequence[FunctionVersion]:
        """Versions of one function: $LATEST, then by number.

        Args:
            after: The last version of the page before.
        """
        start = -1 if after is None else (_number(after) or 0)
        rows = self._database.query(
            "SELECT body FROM version WHERE function_name = ? AND number > ? ORDER BY number LIMIT ?",
            (name, start, limit),
        )
        return [_version(body) for (body,) in rows]

    def count(self) -> int:
        """How many functions there are."""
        return self._total("functions")

    def total_reserved(self) -> int:
        """Reserved concurrency of all functions together."""
        return self._total("reserved")

    def code_storage_bytes(self) -> int:
        """Bytes of all packages as AWS counts them: each version of each function and layer."""
        return self._total("code_bytes")

    def package_users(self, code_sha256: str) -> bool:
        """Whether any version of a function or layer needs the package (SHA-256 in base64).

        A version that names a layer needs the layer's package, even when the layer itself is deleted.
        """
        return bool(self._database.query(USED, {"code": code_sha256}))

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def create(self, function: Function) -> None:
        """Add a function.

        Raises:
            ResourceConflictException: One of that name exists.
        """

        def run(connection: sqlite3.Connection) -> None:
            if connection.execute("SELECT 1 FROM function WHERE name = ?", (function.name,)).fetchone():
                raise ResourceConflictException(f"Function already exist: {function.name}")
            _put_function(connection, function)

        await self._database.write(run, then=lambda _: self._remember(function))

    async def put(self, function: Function) -> None:
        """Replace $LATEST, tags, reserved concurrency and next version number.

        Raises:
            ResourceNotFoundException: It was deleted in the meantime.
        """

        def run(connection: sqlite3.Connection) -> None:
            _must_exist(connection, function.name)
            _put_function(connection, function)

        await self._database.write(run, then=lambda _: self._remember(function))

    async def publish(self, function: Function, version: FunctionVersion) -> None:
        """Add a version and replace the function, in one transaction.

        Raises:
            ResourceConflictException: The number is taken.
            ResourceNotFoundException: The function was deleted in the meantime.
        """

        def run(connection: sqlite3.Connection) -> None:
            _must_exist(connection, function.name)
            key = (version.name, int(version.version))
            if connection.execute("SELECT 1 FROM version WHERE function_name = ? AND number = ?", key).fetchone():
                raise ResourceConflictException(f"Version {version.version} of {version.name} exists already")
            _put_function(connection, function)
            connection.execute(_VERSION_ROW, _version_row(version))

        def then(_: None) -> None:
            self._remember(function)
            self._versions.put((version.name, int(version.version)), version)

        await self._database.write(run, then=then)

    async def put_version(self, version: FunctionVersion) -> None:
        """Replace one version (its state, say); $LATEST too.

        Raises:
            ResourceNotFoundException: The function was deleted in the meantime.
        """

        def run(connection: sqlite3.Connection) -> None:
            _must_exist(connection, version.name)
            connection.execute(_VERSION_ROW, _version_row(version))

        def then(_: None) -> None:
            self._totals.clear()
            if version.version != LATEST:
                self._versions.put((version.name, int(version.version)), version)
                return
            function = self.get(version.name)
            if function is not None:
                self._functions.put(version.name, replace(function, latest=version))

        await self._database.write(run, then=then)

    async def delete(self, name: str) -> None:
        """Remove a function with all that the tables know of it, if there is one."""

        def run(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM function WHERE name = ?", (name,))
            for table in ("version", "alias", "invoke_config", "provisioned", "learned_imports"):
                connection.execute(f"DELETE FROM {table} WHERE function_name = ?", (name,))  # noqa: S608
            connection.execute("DELETE FROM policy WHERE owner = ?", (f"function:{name}",))

        def then(_: None) -> None:
            self._totals.clear()
            self._functions.put(name, None)
            self._versions.forget_where(lambda key: key[0] == name)
            self._forget_aliases(name)
            self._forget_invoke_configs(name)
            self._forget_provisioned(lambda key: key[0] == name)

        await self._database.write(run, then=then, essential=True)

    async def delete_version(self, name: str, version: str) -> None:
        """Remove one numbered version with its invoke configuration and provisioned concurrency; none: nothing."""
        number = _number(version)
        if not number:
            raise ResourceNotFoundException(f"Function not found: {name}:{version}")

        def run(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM version WHERE function_name = ? AND number = ?", (name, number))
            for table in ("invoke_config", "provisioned"):
                connection.execute(f"DELETE FROM {table} WHERE function_name = ? AND qualifier = ?", (name, version))  # noqa: S608

        def then(_: None) -> None:
            self._totals.clear()
            self._versions.put((name, number), None)
            self._forget_invoke_configs(name)
            self._forget_provisioned(lambda key: key == (name, version))

        await self._database.write(run, then=then, essential=True)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _load(self, name: str) -> Function | None:
        row = self._database.first(
            f"{_FUNCTION} ON v.function_name = f.name AND v.number = 0 WHERE f.name = ?", (name,)
        )
        return _function(row) if row else None

    def _load_version(self, name: str, number: int) -> FunctionVersion | None:
        row = self._database.first("SELECT body FROM version WHERE function_name = ? AND number = ?", (name, number))
        return _version(row[0]) if row else None

    def _remember(self, function: Function) -> None:
        self._totals.clear()
        self._functions.put(function.name, function)

    def _total(self, name: str) -> int:
        if name not in self._totals:
            self._totals[name] = int(self._database.query(TOTAL, (name,))[0][0])
        return self._totals[name]


def _number(version: str) -> int | None:
    """The number by which a version is stored: 0 for $LATEST; None for what is no version."""
    if version == LATEST:
        return 0
    # Longer ones don't fit SQLite's integers, and AWS never gives them out.
    return int(version) if version.isascii() and version.isdigit() and len(version) <= 18 else None


def _function(row: tuple[Any, ...]) -> Function:
    name, reserved, next_version, tags, body = row
    return Function(name, _version(body), reserved, json.loads(tags), next_version)


def _version(body: str) -> FunctionVersion:
    return FunctionVersion.from_json(json.loads(body))


def _version_row(version: FunctionVersion) -> tuple[Any, ...]:
    number = _number(version.version)
    body = json.dumps(version.to_json(), separators=(",", ":"))
    return version.name, number, version.code_sha256, version.code_size, body


def _must_exist(connection: sqlite3.Connection, name: str) -> None:
    if not connection.execute("SELECT 1 FROM function WHERE name = ?", (name,)).fetchone():
        raise ResourceNotFoundException(f"Function not found: {name}")


def _put_function(connection: sqlite3.Connection, function: Function) -> None:
    connection.execute(
        _FUNCTION_ROW,
        (function.name, function.reserved_concurrency, function.next_version, json.dumps(dict(function.tags))),
    )
    connection.execute(_VERSION_ROW, _version_row(function.latest))
