"""What is on its way to targets beyond this engine (queues, topics, streams, other buses), until they have taken it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict

from jupyter_lambda.model.scheduled import Delivery, Sending

from .database import Database
from .part import Part
from .statements import insert_rows

# All of them are checked to use an index.
DUE = """
SELECT seq, attempts, body, payload FROM delivery WHERE due_ms <= ? ORDER BY due_ms LIMIT ?
"""
NEXT_DUE = """
SELECT min(due_ms) FROM delivery
"""
RETRY = """
UPDATE delivery SET due_ms = ?, attempts = ? WHERE seq = ?
"""
REMOVE = """
DELETE FROM delivery WHERE seq = ?
"""
STATEMENTS = (DUE, NEXT_DUE, RETRY, REMOVE)


class Deliveries(Part):
    """The queue of deliveries; one engine works on it, so nothing is leased."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        #: Called in the loop when there is something new.
        self.on_entered: Callable[[], None] | None = None
        self._count: int | None = None

    def enter(self, connection: sqlite3.Connection, deliveries: Sequence[Delivery]) -> None:
        """Add deliveries in somebody else's transaction; ``entered`` must follow from the job's ``then``."""
        insert_rows(connection, "delivery (due_ms, attempts, body, payload)", [_row(one) for one in deliveries])

    def entered(self, count: int) -> None:
        """So many deliveries of ``enter`` are committed."""
        if count:
            self._count = self.count() if self._count is None else self._count + count
            if self.on_entered is not None:
                self.on_entered()

    def count(self) -> int:
        """How many there are."""
        if self._count is None:
            self._count = int(self._database.query("SELECT count(*) FROM delivery")[0][0])
        return self._count

    def next_due_s(self) -> float | None:
        """When the next one may be tried; None: there is none."""
        if not self.count():
            return None
        due_ms = self._database.query(NEXT_DUE)[0][0]
        return None if due_ms is None else due_ms / 1000

    def due(self, now_s: float, limit: int) -> list[Sending]:
        """Those that may be tried, the oldest due first."""
        rows = self._database.query(DUE, (round(now_s * 1000), limit))
        return [
            Sending(seq, attempts, Delivery(payload=payload, **json.loads(body)))
            for seq, attempts, body, payload in rows
        ]

    async def retry(self, seq: int, due_s: float, attempts: int) -> None:
        """Try again later."""
        await self._database.write(
            lambda connection: connection.execute(RETRY, (round(due_s * 1000), attempts, seq)).rowcount, essential=True
        )

    async def done(self, seq: int, instead: Delivery | None = None) -> None:
        """It was taken, or is given up.

        Args:
            instead: What goes to its dead-letter queue, in the same transaction.
        """

        def run(connection: sqlite3.Connection) -> int:
            gone = connection.execute(REMOVE, (seq,)).rowcount
            if instead is not None and gone:
                self.enter(connection, [instead])
                return 0
            return gone

        def then(fewer: int) -> None:
            self._count = self.count() - fewer if self._count is not None else None

        await self._database.write(run, then=then, essential=True)


def _row(delivery: Delivery) -> tuple[object, ...]:
    body = asdict(delivery)
    payload = body.pop("payload")
    return (round(delivery.first_s * 1000), 0, json.dumps(body), payload)
