"""API Gateway's APIs and what they are made of, each as the document that its control plane keeps.

An API is a row; routes, integrations, stages, deployments, resources … are its parts, found by kind and id. Changes
that belong together are one transaction.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .part import Part

log = logging.getLogger(__name__)

#: "http": an HTTP API (apigatewayv2); "rest": a REST API (apigateway).
ApiKind = Literal["http", "rest"]
Document = dict[str, Any]
#: In place of an API's id: what belongs to the account.
ACCOUNT = ""


@dataclass(frozen=True, slots=True)
class PartChange:
    """One part of an API as it shall be from now on."""

    #: "route", "integration", "stage", …
    kind: str
    part_id: str
    #: None: the part goes.
    body: Document | None


class HttpApis(Part):
    """APIs by id, and their parts."""

    def api(self, kind: ApiKind, api_id: str) -> Document | None:
        """One API; None where there is none of this kind and id."""
        row = self._database.first("SELECT body FROM http_api WHERE api_id = ? AND kind = ?", (api_id, kind))
        found: Document | None = json.loads(row[0]) if row else None
        return found

    def kind_of(self, api_id: str) -> ApiKind | None:
        """Which kind of API has this id."""
        row = self._database.first("SELECT kind FROM http_api WHERE api_id = ?", (api_id,))
        kind: ApiKind | None = row[0] if row else None
        return kind

    def apis(self, kind: ApiKind) -> Sequence[Document]:
        """All APIs of a kind, by id."""
        rows = self._database.query("SELECT body FROM http_api WHERE kind = ? ORDER BY api_id", (kind,))
        return [json.loads(body) for (body,) in rows]

    def part(self, api_id: str, kind: str, part_id: str) -> Document | None:
        """One part, or None."""
        row = self._database.first(
            "SELECT body FROM http_api_part WHERE api_id = ? AND kind = ? AND part_id = ?", (api_id, kind, part_id)
        )
        found: Document | None = json.loads(row[0]) if row else None
        return found

    def parts(self, api_id: str, kind: str) -> Sequence[Document]:
        """All parts of a kind, in the order in which they were made."""
        rows = self._database.query(
            "SELECT body FROM http_api_part WHERE api_id = ? AND kind = ? ORDER BY number", (api_id, kind)
        )
        return [json.loads(body) for (body,) in rows]

    async def put(
        self, kind: ApiKind, api_id: str, body: Document | None = None, changes: Iterable[PartChange] = ()
    ) -> None:
        """Add or replace an API, and change its parts.

        Args:
            body: None: the API itself stays as it is.
        Raises:
            StoreError: It can't be written.
        """
        changed = list(changes)

        def run(connection: sqlite3.Connection) -> None:
            if body is not None:
                connection.execute(
                    "INSERT INTO http_api (api_id, kind, body) VALUES (?,?,?)"
                    " ON CONFLICT (api_id) DO UPDATE SET body = excluded.body",
                    (api_id, kind, json.dumps(body)),
                )
            for change in changed:
                _apply(connection, api_id, change)

        await self._database.write(run)

    async def delete(self, api_id: str) -> None:
        """Take an API away with all its parts.

        Raises:
            StoreError: It can't be written.
        """

        def run(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM http_api_part WHERE api_id = ?", (api_id,))
            connection.execute("DELETE FROM http_api WHERE api_id = ?", (api_id,))

        await self._database.write(run, essential=True)

    # --- requests with API keys

    def used(self, plan_id: str, key_id: str, since_day: str) -> int:
        """How many requests a key has made under a plan since a day ("2026-11-25"), it included."""
        row = self._database.first(
            "SELECT coalesce(sum(used), 0) FROM http_usage WHERE plan_id = ? AND key_id = ? AND day >= ?",
            (plan_id, key_id, since_day),
        )
        return int(row[0]) if row else 0

    async def usage(self, plan_id: str, from_day: str, to_day: str) -> Sequence[tuple[str, str, int]]:
        """Key, day and requests of a plan, days included, all that were counted until now."""
        await self._database.write(lambda connection: None)  # what was posted is committed with it
        rows = self._database.query(
            "SELECT key_id, day, used FROM http_usage WHERE plan_id = ? AND day BETWEEN ? AND ? ORDER BY key_id, day",
            (plan_id, from_day, to_day),
        )
        return [(str(key_id), str(day), int(used)) for key_id, day, used in rows]

    def count(self, plan_id: str, key_id: str, day: str) -> None:
        """Count one request; written with what is committed next."""

        def run(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO http_usage (plan_id, key_id, day, used) VALUES (?,?,?,1)"
                " ON CONFLICT (plan_id, key_id, day) DO UPDATE SET used = used + 1",
                (plan_id, key_id, day),
            )

        self._database.post(run, failed=_not_counted)


def _not_counted(error: BaseException) -> None:
    log.warning("a request with an API key was not counted: %s", error)


def _apply(connection: sqlite3.Connection, api_id: str, change: PartChange) -> None:
    if change.body is None:
        connection.execute(
            "DELETE FROM http_api_part WHERE api_id = ? AND kind = ? AND part_id = ?",
            (api_id, change.kind, change.part_id),
        )
        return
    connection.execute(
        "INSERT INTO http_api_part (api_id, kind, part_id, number, body)"
        " VALUES (?, ?, ?, (SELECT coalesce(max(number), 0) + 1 FROM http_api_part WHERE api_id = ?), ?)"
        " ON CONFLICT (api_id, kind, part_id) DO UPDATE SET body = excluded.body",
        (api_id, change.kind, change.part_id, api_id, json.dumps(change.body)),
    )
