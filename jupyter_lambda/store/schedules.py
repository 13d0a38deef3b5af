"""EventBridge Scheduler's groups and schedules, and the answers that are given again to the same ClientToken."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from jupyter_lambda.model.scheduled import DEFAULT_GROUP, ScheduledTarget, ScheduleGroup, Timer

from . import timers
from .part import Part

# All of them are checked to use an index.
GET = """
SELECT body FROM schedule WHERE group_name = ? AND name = ?
"""
PAGE = """
SELECT body FROM schedule WHERE (group_name, name) > (?, ?) ORDER BY group_name, name LIMIT ?
"""
PAGE_OF_GROUP = """
SELECT body FROM schedule WHERE group_name = ? AND name > ? ORDER BY name LIMIT ?
"""
BY_TARGET = """
SELECT body FROM schedule WHERE target_arn >= ? AND target_arn < ? ORDER BY target_arn, group_name, name
"""
ANSWERED = """
SELECT params_sha256, answer FROM client_token WHERE operation = ? AND token = ?
"""
FORGET_TOKENS = """
DELETE FROM client_token WHERE created_s < ?
"""
STATEMENTS = (GET, PAGE, PAGE_OF_GROUP, BY_TARGET, ANSWERED, FORGET_TOKENS)

#: Seconds for which a ClientToken is remembered. Assumed: AWS does not document it.
TOKEN_S = 8 * 3600.0


@dataclass(frozen=True, slots=True)
class Token:
    """A request's ClientToken, what it asked for, and what it is answered."""

    operation: str
    token: str
    params_sha256: str
    answer: dict[str, Any]
    now_s: float


class Schedules(Part):
    """What EventBridge Scheduler remembers. Writes raise StoreError when they fail; nothing is changed then."""

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, group: str, name: str) -> ScheduledTarget | None:
        """One schedule, or None."""
        row = self._database.first(GET, (group, name))
        return ScheduledTarget(**json.loads(row[0])) if row else None

    def page(self, after: tuple[str, str], limit: int, group: str | None = None) -> list[ScheduledTarget]:
        """Schedules by group and name.

        Args:
            after: Group and name of the last one before.
            group: Only of this group.
        """
        if group is None:
            rows = self._database.query(PAGE, (*after, limit))
        else:
            rows = self._database.query(PAGE_OF_GROUP, (group, after[1] if after[0] == group else "", limit))
        return [ScheduledTarget(**json.loads(body)) for (body,) in rows]

    def of_target(self, arn: str) -> list[ScheduledTarget]:
        """Schedules whose target is this, or a version or alias of it."""
        rows = self._database.query(BY_TARGET, (arn, f"{arn};"))
        found = [ScheduledTarget(**json.loads(body)) for (body,) in rows]
        return [one for one in found if one.target["Arn"] == arn or one.target["Arn"].startswith(f"{arn}:")]

    def groups(self) -> dict[str, ScheduleGroup]:
        """Every group by its name."""
        found = {DEFAULT_GROUP: ScheduleGroup(DEFAULT_GROUP, 0.0, 0.0)}
        for (body,) in self._database.query("SELECT body FROM schedule_group ORDER BY name"):
            group = ScheduleGroup(**json.loads(body))
            found[group.name] = group
        return found

    def answered(self, operation: str, token: str) -> tuple[str, dict[str, Any]] | None:
        """Hash of the parameters and answer of a request with this ClientToken; None: there was none."""
        row = self._database.first(ANSWERED, (operation, token))
        return (row[0], json.loads(row[1])) if row else None

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def put(self, schedule: ScheduledTarget, timer: Timer | None, token: Token | None) -> None:
        """Add or change a schedule.

        Args:
            timer: When it is due; None: that stays as it is.
        """
        row = (schedule.group, schedule.name, schedule.target["Arn"], json.dumps(asdict(schedule)))

        def run(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO schedule (group_name, name, target_arn, body) VALUES (?,?,?,?)"
                " ON CONFLICT DO UPDATE SET target_arn = excluded.target_arn, body = excluded.body",
                row,
            )
            if timer is not None:
                timers.put(connection, timer)
            _remember(connection, token)

        await self._database.write(run)

    async def delete(self, group: str, name: str, token: Token | None) -> None:
        """A schedule."""

        def run(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM schedule WHERE group_name = ? AND name = ?", (group, name))
            timers.forget(connection, "schedule", group, name)
            _remember(connection, token)

        await self._database.write(run, essential=True)

    async def put_group(self, group: ScheduleGroup, token: Token | None) -> None:
        """Add or change a group."""
        body = json.dumps(asdict(group))

        def run(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO schedule_group (name, body) VALUES (?,?) ON CONFLICT DO UPDATE SET body = excluded.body",
                (group.name, body),
            )
            _remember(connection, token)

        await self._database.write(run)

    async def delete_group(self, name: str, token: Token | None) -> None:
        """A group, with its schedules."""

        def run(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM schedule_group WHERE name = ?", (name,))
            connection.execute("DELETE FROM schedule WHERE group_name = ?", (name,))
            connection.execute("DELETE FROM timer WHERE kind = 'schedule' AND place = ?", (name,))
            _remember(connection, token)

        await self._database.write(run, essential=True)


def _remember(connection: sqlite3.Connection, token: Token | None) -> None:
    if token is None:
        return
    connection.execute(FORGET_TOKENS, (token.now_s - TOKEN_S,))
    row: Iterable[object] = (
        token.operation, token.token, token.params_sha256, json.dumps(token.answer), token.now_s,
    )  # fmt: skip
    connection.execute(
        "INSERT INTO client_token (operation, token, params_sha256, answer, created_s) VALUES (?,?,?,?,?)"
        " ON CONFLICT DO NOTHING",
        tuple(row),
    )
