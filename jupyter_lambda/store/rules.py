"""EventBridge's buses, rules and targets. Few, so all of them stay in memory once asked."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from jupyter_lambda.model.invocation import AsyncEvent
from jupyter_lambda.model.rule import DEFAULT_BUS, EventBus, Rule, RuleTarget
from jupyter_lambda.model.scheduled import Delivery, Timer

from . import timers
from .database import Database
from .deliveries import Deliveries
from .events import EventQueue
from .part import Part


class Rules(Part):
    """What EventBridge remembers. Writes raise StoreError when they can't be done; nothing is changed then."""

    def __init__(self, database: Database, events: EventQueue, deliveries: Deliveries) -> None:
        super().__init__(database)
        self._events = events
        self._deliveries = deliveries
        self._buses: dict[str, EventBus] | None = None
        #: Bus → name → rule.
        self._rules: dict[str, dict[str, Rule]] = {}
        #: (bus, rule) → id → target.
        self._targets: dict[tuple[str, str], dict[str, RuleTarget]] = {}

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def buses(self) -> Mapping[str, EventBus]:
        """Every bus by its name."""
        return self._load()

    def rules(self, bus: str) -> Mapping[str, Rule]:
        """The rules of a bus by their names."""
        self._load()
        return self._rules.get(bus, {})

    def targets(self, bus: str, rule: str) -> Mapping[str, RuleTarget]:
        """The targets of a rule by their ids."""
        self._load()
        return self._targets.get((bus, rule), {})

    def _load(self) -> dict[str, EventBus]:
        if self._buses is None:
            self._buses = {DEFAULT_BUS: EventBus(DEFAULT_BUS, 0.0, 0.0)}
            for (body,) in self._database.query("SELECT body FROM event_bus"):
                bus = EventBus(**json.loads(body))
                self._buses[bus.name] = bus
            for (body,) in self._database.query("SELECT body FROM event_rule"):
                rule = Rule(**json.loads(body))
                self._rules.setdefault(rule.bus, {})[rule.name] = rule
            rows = self._database.query("SELECT bus, rule, id, arn, settings FROM event_target")
            for bus_name, rule_name, target_id, arn, settings in rows:
                target = RuleTarget(target_id, arn, json.loads(settings))
                self._targets.setdefault((bus_name, rule_name), {})[target_id] = target
        return self._buses

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def put_bus(self, bus: EventBus) -> None:
        """Add or change a bus."""
        body = json.dumps(asdict(bus))

        def run(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO event_bus (name, body) VALUES (?,?) ON CONFLICT DO UPDATE SET body = excluded.body",
                (bus.name, body),
            )

        def then(_: None) -> None:
            self._load()[bus.name] = bus

        await self._database.write(run, then=then)

    async def delete_bus(self, name: str) -> None:
        """A bus, with its rules and their targets."""

        def run(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM event_bus WHERE name = ?", (name,))
            connection.execute("DELETE FROM event_rule WHERE bus = ?", (name,))
            connection.execute("DELETE FROM event_target WHERE bus = ?", (name,))
            connection.execute("DELETE FROM timer WHERE kind = 'rule' AND place = ?", (name,))

        def then(_: None) -> None:
            self._load().pop(name, None)
            for rule in self._rules.pop(name, {}):
                self._targets.pop((name, rule), None)

        await self._database.write(run, then=then, essential=True)

    async def put_rule(self, rule: Rule, timer: Timer | None = None) -> None:
        """Add or change a rule.

        Args:
            timer: When it is due; None: that stays as it is.
        """
        body = json.dumps(asdict(rule))

        def run(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO event_rule (bus, name, body) VALUES (?,?,?)"
                " ON CONFLICT DO UPDATE SET body = excluded.body",
                (rule.bus, rule.name, body),
            )
            if rule.schedule is None:
                timers.forget(connection, "rule", rule.bus, rule.name)
            elif timer is not None:
                timers.put(connection, timer)

        def then(_: None) -> None:
            self._load()
            self._rules.setdefault(rule.bus, {})[rule.name] = rule

        await self._database.write(run, then=then)

    async def delete_rule(self, bus: str, name: str) -> None:
        """A rule, with its targets."""

        def run(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM event_rule WHERE bus = ? AND name = ?", (bus, name))
            connection.execute("DELETE FROM event_target WHERE bus = ? AND rule = ?", (bus, name))
            timers.forget(connection, "rule", bus, name)

        def then(_: None) -> None:
            self._load()
            self._rules.get(bus, {}).pop(name, None)
            self._targets.pop((bus, name), None)

        await self._database.write(run, then=then, essential=True)

    async def change_targets(
        self, bus: str, rule: str, *, put: Sequence[RuleTarget] = (), remove: Sequence[str] = ()
    ) -> None:
        """Add, change and remove targets of a rule."""
        rows = [(bus, rule, one.target_id, one.arn, json.dumps(one.settings)) for one in put]
        gone = [(bus, rule, target_id) for target_id in remove]

        def run(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM event_target WHERE bus = ? AND rule = ? AND id = ?", gone)
            connection.executemany(
                "INSERT INTO event_target (bus, rule, id, arn, settings) VALUES (?,?,?,?,?)"
                " ON CONFLICT DO UPDATE SET arn = excluded.arn, settings = excluded.settings",
                rows,
            )

        def then(_: None) -> None:
            self._load()
            known = self._targets.setdefault((bus, rule), {})
            for target_id in remove:
                known.pop(target_id, None)
            known.update({one.target_id: one for one in put})

        await self._database.write(run, then=then)

    # ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def accept(
        self,
        events: Sequence[AsyncEvent],
        deliveries: Sequence[Delivery],
        entered: Callable[[Sequence[AsyncEvent]], None],
    ) -> None:
        """Put what events on a bus lead to into the queues, in one transaction; returns once it is on disk."""

        def run(connection: sqlite3.Connection) -> None:
            self._events.enter(connection, events)
            self._deliveries.enter(connection, deliveries)

        def then(_: None) -> None:
            entered(events)
            self._deliveries.entered(len(deliveries))

        await self._database.write(run, then=then)
