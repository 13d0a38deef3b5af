"""Asynchronous events that ran, on their way out of the queue: those that end together leave together."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter

from jupyter_lambda.model.invocation import InvocationRecord

from .ledger import Ledger
from .statements import each

REMOVE_RUN = """
DELETE FROM event WHERE request_id IN (?) RETURNING state, leased
"""

#: How the depth of the queue changes: state → difference.
Change = dict[str, int]


def kind(state: str, leased: int) -> str:
    """The word of ``EventQueue.depth`` for a row."""
    return "leased" if state == "waiting" and leased else state


class Successes:
    """Those of one transaction; filled in the loop until the writer's thread takes them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sealed = False
        self._request_ids: list[str] = []
        self._records: list[InvocationRecord] = []
        #: Done with the transaction that they share.
        self.written: asyncio.Future[Change]

    def add(self, request_id: str, record: InvocationRecord | None) -> bool:
        """False when it is too late for this transaction."""
        with self._lock:
            if self._sealed:
                return False
            self._request_ids.append(request_id)
            if record is not None:
                self._records.append(record)
            return True

    def write(self, ledger: Ledger, connection: sqlite3.Connection) -> Change:
        """The writer's job. Returns how the depth changes."""
        with self._lock:
            self._sealed = True
        if self._records:
            ledger.write(connection, self._records)
        change: Change = Counter()
        for row in each(connection, REMOVE_RUN, self._request_ids):
            change[kind(*row)] -= 1
        return change
