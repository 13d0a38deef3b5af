"""Watched folders, and in which state each of their files was told of last."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence

from jupyter_lambda.errors import ResourceNotFoundException
from jupyter_lambda.model.folder import File, Folder
from jupyter_lambda.model.invocation import AsyncEvent

from .database import Database
from .events import EventQueue
from .part import Part
from .statements import each, insert_rows

# All of them are checked to use an index.
FILES = """
SELECT name, size_bytes, mtime_ns, inode, sha256 FROM folder_file WHERE folder = ?
"""
FORGET = """
DELETE FROM folder_file WHERE folder = ? AND name IN (?)
"""
STATEMENTS = (FILES, FORGET)


class Folders(Part):
    """What folder triggers remember. Writes raise StoreError when they can't be done; nothing is changed then."""

    def __init__(self, database: Database, events: EventQueue) -> None:
        super().__init__(database)
        self._events = events

    def all(self) -> list[Folder]:
        """Every folder, oldest first."""
        rows = self._database.query(
            "SELECT id, function_name, path, pattern, settings, paused, created_s FROM folder ORDER BY created_s, id"
        )
        return [
            Folder(key, function, path, pattern, paused=bool(paused), created_s=created_s, **json.loads(settings))
            for key, function, path, pattern, settings, paused, created_s in rows
        ]

    def files(self, folder_id: str) -> dict[str, File]:
        """Name → state of each file that was told of, or was there when the watch began."""
        return {row[0]: File(*row[1:]) for row in self._database.query(FILES, (folder_id,))}

    async def add(self, folder: Folder, seen: Mapping[str, File]) -> None:
        """Begin to watch.

        Args:
            seen: Files that count as told of.
        """

        def run(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO folder (id, function_name, path, pattern, settings, paused, created_s)"
                " VALUES (?,?,?,?,?,?,?)",
                _row(folder),
            )
            _remember(connection, folder.folder_id, seen)

        await self._database.write(run)

    async def change(self, folder: Folder) -> None:
        """Change settings or whether it is paused.

        Raises:
            ResourceNotFoundException: It is gone.
        """
        _, _, _, _, settings, paused, _ = _row(folder)

        def run(connection: sqlite3.Connection) -> int:
            return connection.execute(
                "UPDATE folder SET settings = ?, paused = ? WHERE id = ?", (settings, paused, folder.folder_id)
            ).rowcount

        if not await self._database.write(run):
            raise ResourceNotFoundException(f"The folder {folder.path} is not watched for {folder.function_name}.")

    async def remove(self, folder_id: str) -> None:
        """Watch no more, and forget its files."""

        def run(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM folder_file WHERE folder = ?", (folder_id,))
            connection.execute("DELETE FROM folder WHERE id = ?", (folder_id,))

        await self._database.write(run, essential=True)

    async def tell(
        self,
        folder_id: str,
        events: Sequence[AsyncEvent],
        *,
        seen: Mapping[str, File],
        gone: Collection[str] = (),
        then: Callable[[Sequence[AsyncEvent]], None],
    ) -> bool:
        """Put events into the queue and remember what they tell of, in one transaction.

        Args:
            seen: The files' states from now on.
            gone: Names to forget.
            then: Called with the events that are in the queue now.
        Returns:
            False when the folder is no longer watched: nothing was done.
        """

        def run(connection: sqlite3.Connection) -> bool:
            if connection.execute("SELECT 1 FROM folder WHERE id = ?", (folder_id,)).fetchone() is None:
                return False
            self._events.enter(connection, events)
            _remember(connection, folder_id, seen)
            each(connection, FORGET, list(gone), folder_id)
            return True

        def committed(done: bool) -> None:
            if done:
                then(events)

        return await self._database.write(run, then=committed)


def _row(folder: Folder) -> tuple[object, ...]:
    settings = json.dumps({"deleted": folder.deleted, "content": folder.content, "settle_s": folder.settle_s})
    return (
        folder.folder_id,
        folder.function_name,
        folder.path,
        folder.pattern,
        settings,
        int(folder.paused),
        folder.created_s,
    )


def _remember(connection: sqlite3.Connection, folder_id: str, seen: Mapping[str, File]) -> None:
    each(connection, FORGET, list(seen), folder_id)
    rows = [(folder_id, name, file.size_bytes, file.mtime_ns, file.inode, file.sha256) for name, file in seen.items()]
    insert_rows(connection, "folder_file (folder, name, size_bytes, mtime_ns, inode, sha256)", rows)
