"""Event source mappings, and the position of each in each shard of its stream."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jupyter_lambda.errors import ResourceConflictException, ResourceNotFoundException
from jupyter_lambda.model.mapping import EventSourceMapping, State, options_from

from .database import Database
from .part import Part
from .statements import insert_rows

_COLUMNS = "uuid, function_name, source_arn, state, reason, last_result, last_modified_s, body"
_SELECT = f"SELECT {_COLUMNS} FROM event_source_mapping ORDER BY uuid"  # noqa: S608 - constants


class Mappings(Part):
    """Few, so all mappings stay in memory once asked; shards are read when a poller starts."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._known: dict[str, EventSourceMapping] | None = None

    def all(self) -> Sequence[EventSourceMapping]:
        """Every mapping, by uuid."""
        found = self._all()
        return [found[uuid] for uuid in sorted(found)]

    def get(self, uuid: str) -> EventSourceMapping | None:
        """One mapping, or None."""
        return self._all().get(uuid)

    async def add(self, mapping: EventSourceMapping) -> None:
        """Keep a new mapping.

        Raises:
            ResourceConflictException: The function reads this source already.
            StoreError: It can't be written.
        """
        same = (mapping.source_arn, mapping.function_name, mapping.qualifier)

        def run(connection: sqlite3.Connection) -> None:
            query = "SELECT uuid, function_name, body FROM event_source_mapping WHERE source_arn = ?"
            for uuid, function_name, body in connection.execute(query, (mapping.source_arn,)).fetchall():
                if (mapping.source_arn, function_name, json.loads(body)["qualifier"]) == same:
                    raise _conflict(mapping, uuid)
            insert_rows(connection, f"event_source_mapping ({_COLUMNS})", [_row(mapping)])

        def then(_: None) -> None:
            self._all()[mapping.uuid] = mapping

        await self._database.write(run, then=then)

    async def put(self, mapping: EventSourceMapping) -> None:
        """Replace a mapping, all but its last result.

        Raises:
            ResourceNotFoundException: It was deleted in the meantime.
            StoreError: It can't be written.
        """
        row = _row(mapping)

        def run(connection: sqlite3.Connection) -> None:
            changed = connection.execute(
                "UPDATE event_source_mapping SET function_name = ?, source_arn = ?, state = ?, reason = ?,"
                " last_modified_s = ?, body = ? WHERE uuid = ?",
                (row[1], row[2], row[3], row[4], row[6], row[7], row[0]),
            ).rowcount
            if not changed:
                raise ResourceNotFoundException("The resource you requested does not exist.")

        def then(_: None) -> None:
            known = self._all()[mapping.uuid]
            self._all()[mapping.uuid] = replace(mapping, last_result=known.last_result)

        await self._database.write(run, then=then)

    async def retag(self, uuid: str, tags: Mapping[str, str]) -> None:
        """Replace a mapping's tags and nothing else; its state may be changing meanwhile.

        Raises:
            ResourceNotFoundException: It was deleted in the meantime.
        """

        def run(connection: sqlite3.Connection) -> None:
            row = connection.execute("SELECT body FROM event_source_mapping WHERE uuid = ?", (uuid,)).fetchone()
            if row is None:
                raise ResourceNotFoundException("The resource you requested does not exist.")
            body = json.dumps({**json.loads(row[0]), "tags": dict(tags)}, separators=(",", ":"))
            connection.execute("UPDATE event_source_mapping SET body = ? WHERE uuid = ?", (body, uuid))

        def then(_: None) -> None:
            self._all()[uuid] = replace(self._all()[uuid], tags=tags)

        await self._database.write(run, then=then)

    async def move(self, uuid: str, before: State, after: State, reason: str) -> bool:
        """Change a mapping's state where it still is in ``before``; False where something else came between."""

        def run(connection: sqlite3.Connection) -> bool:
            sql = "UPDATE event_source_mapping SET state = ?, reason = ? WHERE uuid = ? AND state = ?"
            return connection.execute(sql, (after, reason, uuid, before)).rowcount > 0

        def then(moved: bool) -> None:
            if moved:
                self._all()[uuid] = replace(self._all()[uuid], state=after, reason=reason)

        return await self._database.write(run, then=then, essential=True)

    def result(self, uuid: str, result: str) -> None:
        """Note how the last batch went; returns at once, written with whatever comes next."""
        known = self._all().get(uuid)
        if known is None or known.last_result == result:
            return
        self._all()[uuid] = replace(known, last_result=result)

        def run(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE event_source_mapping SET last_result = ? WHERE uuid = ?", (result, uuid))

        self._database.post(run, failed=lambda _: None)  # told again with the next batch

    async def remove(self, uuid: str) -> None:
        """Forget a mapping and its positions; nothing where there is none."""

        def run(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM event_source_mapping WHERE uuid = ?", (uuid,))
            connection.execute("DELETE FROM mapping_shard WHERE uuid = ?", (uuid,))

        def then(_: None) -> None:
            self._all().pop(uuid, None)

        await self._database.write(run, then=then, essential=True)

    # ── positions ────────────────────────────────────────────────────────────────────────────────────────────────────

    def shards(self, uuid: str) -> dict[str, dict[str, Any]]:
        """Shard id → what was saved of it."""
        rows = self._database.query("SELECT shard_id, body FROM mapping_shard WHERE uuid = ?", (uuid,))
        return {shard_id: json.loads(body) for shard_id, body in rows}

    async def save_shards(self, uuid: str, shards: Mapping[str, Mapping[str, Any]], forget: Iterable[str] = ()) -> None:
        """Keep the state of some shards and forget others, in one transaction.

        Raises:
            StoreError: It can't be written: nothing of it counts.
        """
        rows = [(uuid, shard_id, json.dumps(body, separators=(",", ":"))) for shard_id, body in shards.items()]
        gone = [(uuid, shard_id) for shard_id in forget]

        def run(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO mapping_shard (uuid, shard_id, body) VALUES (?,?,?)", rows)
            connection.executemany("DELETE FROM mapping_shard WHERE uuid = ? AND shard_id = ?", gone)

        # Acknowledges what was done: it may use the reserve of a full disk.
        await self._database.write(run, essential=True)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _all(self) -> dict[str, EventSourceMapping]:
        if self._known is None:
            self._known = {row[0]: _mapping(row) for row in self._database.query(_SELECT)}
        return self._known


def _conflict(mapping: EventSourceMapping, uuid: str) -> ResourceConflictException:
    """AWS's two wordings, as they were recorded."""
    arn, name = mapping.source_arn, mapping.function_name
    if mapping.kind == "sqs":
        what = f'An event source mapping with SQS arn (" {arn} ") and function (" {name} ") already exists.'
    else:
        what = f'The event source arn (" {arn} ") and function (" {name} ") provided mapping already exists.'
    return ResourceConflictException(f"{what} Please update or delete the existing mapping with UUID {uuid}")


def _row(mapping: EventSourceMapping) -> tuple[Any, ...]:
    body = json.dumps(mapping.body(), separators=(",", ":"))
    return (
        mapping.uuid,
        mapping.function_name,
        mapping.source_arn,
        mapping.state,
        mapping.reason,
        mapping.last_result,
        mapping.last_modified_s,
        body,
    )


def _mapping(row: Sequence[Any]) -> EventSourceMapping:
    uuid, function_name, source_arn, state, reason, last_result, last_modified_s, body = row
    data = json.loads(body)
    return EventSourceMapping(
        uuid=uuid,
        kind=data["kind"],
        source_arn=source_arn,
        function_name=function_name,
        qualifier=data["qualifier"],
        options=options_from(data["options"]),
        state=state,
        reason=reason,
        last_modified_s=last_modified_s,
        last_result=last_result,
        tags=data["tags"],
    )
