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
            connection.executemany(
                "INSERT OR REPLACE INTO notification (id, kind, resource, body) VALUES (?,?,?,?)", rows
            )

        def then(_: None) -> None:
            known = self._all()
            for each in gone:
                known.pop(each, None)
            known.update((one.id, one) for one in fresh)

        await self._database.write(run, then=then, essential=not fresh)

    def _all(self) -> dict[str, Notification]:
        if self._known is None:
            rows = self._database.query("SELECT body FROM notification")
            found = [notification_from(json.loads(body)) for (body,) in rows]
            self._known = {one.id: one for one in found}
        return self._known
