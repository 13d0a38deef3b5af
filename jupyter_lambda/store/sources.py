"""What buckets and topics tell functions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence

from jupyter_lambda.model.notification import Kind, Notification, notification_from

from .database import Database
from .part import Part


class Sources(Part):
    """Few, so all stay in memory once asked."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._known: dict[str, Notification] | None = None
        self._paused: set[str] | None = None

    def notifications(self, kind: Kind | None = None, resource: str | None = None) -> Sequence[Notification]:
        """Those of one kind and resource, or all, in the order of their making."""
        found = [
            one
            for one in self._all().values()
            if (kind is None or one.kind == kind) and (resource is None or one.resource == resource)
        ]
        return sorted(found, key=lambda one: (one.created_s, one.id))

    def notification(self, notification_id: str) -> Notification | None:
        """One of them, or None."""
        return self._all().get(notification_id)

    async def change_notifications(self, put: Iterable[Notification] = (), remove: Iterable[str] = ()) -> None:
        """Add or replace some and forget others, in one transaction.

        Raises:
            StoreError: It can't be written: nothing of it counts.
        """
        fresh, gone = list(put), list(remove)
        rows = [(one.id, one.kind, one.resource, json.dumps(one.body(), separators=(",", ":"))) for one in fresh]

        def run(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM notification WHERE id = ?", [(each,) for each in gone])
            connection.executemany("DELETE FROM notification_paused WHERE id = ?", [(each,) for each in gone])
            connection.executemany(
                "INSERT OR REPLACE INTO notification (id, kind, resource, body) VALUES (?,?,?,?)", rows
            )

        def then(_: None) -> None:
            known = self._all()
            for each in gone:
                known.pop(each, None)
            self._held().difference_update(gone)
            known.update((one.id, one) for one in fresh)

        await self._database.write(run, then=then, essential=not fresh)

    def is_paused(self, notification_id: str) -> bool:
        """Whether its function is not fired for now."""
        return notification_id in self._held()

    async def set_paused(self, notification_ids: Iterable[str], *, paused: bool) -> None:
        """Pause some, or go on with them; it stays so, whatever else of them changes.

        Raises:
            StoreError: It can't be written: nothing of it counts.
        """
        some = list(notification_ids)
        rows = [(each, each) for each in some]

        def run(connection: sqlite3.Connection) -> None:
            if paused:
                # One that is gone by now must leave nothing behind.
                connection.executemany(
                    "INSERT OR IGNORE INTO notification_paused (id) SELECT ? WHERE EXISTS"
                    " (SELECT 1 FROM notification WHERE id = ?)",
                    rows,
                )
            else:
                connection.executemany("DELETE FROM notification_paused WHERE id = ?", [(each,) for each in some])

        def then(_: None) -> None:
            held = self._held()
            if paused:
                held.update(each for each in some if each in self._all())
            else:
                held.difference_update(some)

        await self._database.write(run, then=then, essential=not paused)

    def _held(self) -> set[str]:
        if self._paused is None:
            self._paused = {str(each) for (each,) in self._database.query("SELECT id FROM notification_paused")}
        return self._paused

    def _all(self) -> dict[str, Notification]:
        if self._known is None:
            rows = self._database.query("SELECT body FROM notification")
            found = [notification_from(json.loads(body)) for (body,) in rows]
            self._known = {one.id: one for one in found}
        return self._known
