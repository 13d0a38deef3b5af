"""SQLite connections to ``lambda.db``: settings, schema, and SQLite's errors in this project's words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from jupyter_lambda.errors import StoreError

#: Migrations in order; the n-th takes a database from schema n to n + 1. Forward only.
MIGRATIONS = (
    "schema.sql",
    "schema_provisioned.sql",
    "schema_metrics.sql",
    "schema_growth.sql",
    "schema_schedules.sql",
    "schema_http.sql",
    "schema_mappings.sql",
    "schema_sources.sql",
    "schema_pauses.sql",
)
#: Milliseconds to wait for another process that reads the file (a backup, the sqlite3 shell).
BUSY_TIMEOUT_MS = 5_000
#: KiB of pages each connection keeps.
CACHE_KIB = 32 * 1024
#: Pages of write-ahead log after which it is copied back into the database; 8 MiB.
CHECKPOINT_PAGES = 2_000
#: Bytes to which the write-ahead log shrinks again after a burst; overwriting it is faster than growing it.
LOG_KEPT_BYTES = 64 * 1024 * 1024

#: Primary result codes that say the disk or the file failed, not the statement.
_STORAGE_FAILURES = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOMEM,
    }
)
_ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space; what was acknowledged before is kept",
    sqlite3.SQLITE_IOERR: "the disk reports an error: check the disk and the kernel's log",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: stop the engine and restore it from a backup, or move it away",
    sqlite3.SQLITE_NOTADB: "the file is not a database: move it away, or choose another --state-dir",
    sqlite3.SQLITE_READONLY: "the file or its directory is read-only: check owner and permissions",
    sqlite3.SQLITE_CANTOPEN: "the file can't be opened: check owner and permissions of its directory",
    sqlite3.SQLITE_PROTOCOL: "its locks don't work: the state directory must be on a local disk, not on NFS",
    sqlite3.SQLITE_BUSY: "another program holds the file: close it and try again",
}


def primary_code(exc: sqlite3.Error) -> int | None:
    """SQLite's primary result code; None for an error of the Python module itself."""
    code: int | None = getattr(exc, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def is_storage_failure(exc: BaseException) -> bool:
    """Whether the disk or file failed, so that the whole transaction is lost."""
    return isinstance(exc, sqlite3.Error) and primary_code(exc) in _STORAGE_FAILURES


def translate(exc: sqlite3.Error, path: Path) -> StoreError:
    """SQLite's error as ours: what was wrong, where, and what to do."""
    code = primary_code(exc)
    advice = _ADVICE.get(code, "please report this") if code is not None else "please report this"
    return StoreError(f"{path}: {exc} ({getattr(exc, 'sqlite_errorname', type(exc).__name__)}); {advice}")


def open_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes, its schema brought up to date.

    Raises:
        StoreError: The file can't be opened, is no database, or was written by a newer release.
    """
    _keep_private(path)
    try:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=BUSY_TIMEOUT_MS / 1000
        )
    except sqlite3.Error as exc:
        raise translate(exc, path) from exc
    try:
        _use_write_ahead_log(connection, path)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_KEPT_BYTES}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        # Debian's SQLite overwrites what it deletes with zeros; that protects nothing here and doubles the writing.
        connection.execute("PRAGMA secure_delete = OFF")
        _migrate(connection, path)
    except sqlite3.Error as exc:
        connection.close()
        raise translate(exc, path) from exc
    except StoreError:
        connection.close()
        raise
    return connection


def _keep_private(path: Path) -> None:
    """Functions' variables are in it. The directory may be one that somebody made, with the usual permissions.

    SQLite gives its other files the permissions of this one. What can't be opened or changed it complains of itself.
    """
    with contextlib.suppress(OSError):
        if not path.exists():  # one that is in use must not be opened and closed: SQLite's locks would go
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        for one in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            if one.exists():
                one.chmod(0o600)


def _use_write_ahead_log(connection: sqlite3.Connection, path: Path) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(
            f"{path}: the file system can't share memory between processes, as SQLite's write-ahead log needs; "
            "choose a directory on a local disk with --state-dir"
        )


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that can't write.

    Raises:
        StoreError: The file can't be opened.
    """
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
            timeout=BUSY_TIMEOUT_MS / 1000,
        )
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as exc:
        raise translate(exc, path) from exc
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > len(MIGRATIONS):
        raise StoreError(
            f"{path} was written by a newer release of jupyter_lambda (schema {found}; this one knows "
            f"{len(MIGRATIONS)}); upgrade jupyter_lambda, or choose another --state-dir"
        )
    for version, name in enumerate(MIGRATIONS[found:], start=found + 1):
        sql = (Path(__file__).parent / name).read_text(encoding="utf-8")
        connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {version};\nCOMMIT;")
