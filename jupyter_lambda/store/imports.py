"""What functions import when they initialise, learned from earlier initialisations."""

from __future__ import annotations

import json
import logging
import sqlite3
from dataclasses import dataclass

from .cache import Cache
from .database import Database

log = logging.getLogger(__name__)

#: Functions whose imports are kept in memory.
CACHED = 4_096
#: Codes of one function that are remembered: those of $LATEST and of versions that aliases still use.
CODES_KEPT = 4


@dataclass(frozen=True, slots=True)
class LearnedImports:
    """Modules of the host's packages that a handler's import loads, in import order."""

    modules: tuple[str, ...]
    #: What they took when they were imported last.
    import_ms: float
    #: Seconds since the epoch.
    learned_s: float


class Imports:
    """By function and hash of its code: other code may import other things."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._learned: Cache[tuple[str, str], LearnedImports | None] = Cache(CACHED)

    def get(self, function_name: str, code_sha256: str) -> LearnedImports | None:
        """What is known of this code, or None."""
        return self._learned.get((function_name, code_sha256), lambda: self._load(function_name, code_sha256))

    def recent(self, since_s: float, limit: int) -> list[tuple[str, str, LearnedImports]]:
        """Function, code hash and imports, the last learned first; none learned before ``since_s``."""
        rows = self._database.query(
            "SELECT function_name, code_sha256, modules, import_ms, learned_s FROM learned_imports"
            " WHERE learned_s >= ? ORDER BY learned_s DESC LIMIT ?",
            (since_s, limit),
        )
        return [(name, sha, _learned(rest)) for name, sha, *rest in rows]

    def learn(self, function_name: str, code_sha256: str, learned: LearnedImports) -> None:
        """Remember; written with whatever is committed next. Of a function the newest ``CODES_KEPT`` are kept."""
        self._learned.put((function_name, code_sha256), learned)

        def run(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO learned_imports (function_name, code_sha256, modules, import_ms, learned_s)"
                " VALUES (?,?,?,?,?)",
                (function_name, code_sha256, json.dumps(learned.modules), learned.import_ms, learned.learned_s),
            )
            connection.execute(
                "DELETE FROM learned_imports WHERE function_name = :name AND code_sha256 NOT IN"
                " (SELECT code_sha256 FROM learned_imports WHERE function_name = :name"
                " ORDER BY learned_s DESC LIMIT :kept)",
                {"name": function_name, "kept": CODES_KEPT},
            )

        self._database.post(run, failed=_not_kept)

    def _load(self, function_name: str, code_sha256: str) -> LearnedImports | None:
        row = self._database.first(
            "SELECT modules, import_ms, learned_s FROM learned_imports WHERE function_name = ? AND code_sha256 = ?",
            (function_name, code_sha256),
        )
        return _learned(row) if row else None


def _learned(row: tuple[str, float, float] | list[object]) -> LearnedImports:
    modules, import_ms, learned_s = row
    return LearnedImports(tuple(json.loads(str(modules))), float(str(import_ms)), float(str(learned_s)))


def _not_kept(error: BaseException) -> None:
    log.warning("imports of a function could not be noted: %s", error)
