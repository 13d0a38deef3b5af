"""Metrics: statistics per metric and period, one minute at first and coarser with age, as CloudWatch keeps them.

What the engine counted in a minute arrives as statistics of that minute and is added to what is there, so that it does
not matter in how many pieces it comes. Source of ages: CloudWatch API Reference, "GetMetricData".
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jupyter_lambda.model.statistics import StatisticSet, decode_histogram

from .part import Part

log = logging.getLogger(__name__)

#: Seconds of a period, and how many seconds after it rows of that period are made coarser or, the last ones, deleted.
TIERS = ((60, 15 * 86_400), (300, 63 * 86_400), (3600, 455 * 86_400))
#: Metrics whose old rows are looked after in one transaction.
_ROLL_CHUNK = 200
#: Seconds by which a metric's ``last_s`` may lag: listing needs it to the hour only.
_LAST_STEP_S = 600
#: Namespace of the engine's own metrics.
LAMBDA = "AWS/Lambda"
#: Namespace of what AWS has no metric of, and its one metric: memory of provisioned environments times time.
OWN, PROVISIONED_GB_S = "jupyter_lambda", "ProvisionedGBSeconds"
FUNCTION, RESOURCE, EXECUTED = "FunctionName", "Resource", "ExecutedVersion"

Dimensions = Mapping[str, str]


class MetricKey(NamedTuple):
    """What a metric is known by. ``dimensions``: (name, value) pairs, sorted."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    unit: str = "None"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as it is listed."""

    id: int
    namespace: str
    name: str
    dimensions: dict[str, str]
    unit: str
    last_s: int


@dataclass(frozen=True, slots=True)
class MetricFilter:
    """Which metrics are listed; None: all."""

    namespace: str | None = None
    name: str | None = None
    #: Dimension → value, None for any.
    dimensions: Mapping[str, str | None] = field(default_factory=dict)
    #: Only those that had data since then.
    since_s: float = 0.0


class Metrics(Part):
    """All metrics of the engine and those that functions and notebooks publish."""

    def post(self, rows: Sequence[tuple[MetricKey, int, StatisticSet]]) -> None:
        """Add statistics of minutes to what is kept; returns at once, a failure to write is logged.

        Args:
            rows: Metric, the minute's first second, what was counted in it.
        Raises:
            StoreError: The store is closed.
        """

        def failed(error: BaseException) -> None:
            log.error("%d minutes of metrics are lost: %s", len(rows), error)

        self._database.post(lambda connection: _add(connection, rows), failed=failed)

    async def flush(self) -> None:
        """Return once everything posted so far can be read."""
        await self._database.write(lambda _: None)

    def read(
        self, namespace: str, name: str, dimensions: Dimensions, start_s: int, end_s: int, *, unit: str | None = None
    ) -> list[tuple[int, int, StatisticSet]]:
        """Period in seconds, its start and its statistics, of periods that begin in [start_s, end_s), in no order."""
        found: list[tuple[int, int, StatisticSet]] = []
        for metric in self._sources(namespace, name, dimensions, unit):
            rows = self._database.query(
                "SELECT period_s, start_s, samples, total, smallest, largest, histogram FROM metric_period "
                "WHERE metric = ? AND period_s IN (60, 300, 3600) AND start_s >= ? AND start_s < ?",
                (metric, start_s, end_s),
            )
            found += [(row[0], row[1], _set(row[2:])) for row in rows]
        return found

    def unit(self, namespace: str, name: str, dimensions: Dimensions) -> str:
        """The unit of a metric; "None" where there is none, or no such metric."""
        row = self._database.first(
            "SELECT unit FROM metric WHERE namespace = ? AND name = ? AND dimensions = ?",
            (namespace, name, _text(dimensions)),
        )
        return str(row[0]) if row else "None"

    def listed(self, wanted: MetricFilter, after: int, limit: int) -> list[Metric]:
        """Metrics in the order in which they appeared.

        Args:
            after: Id of the last one of the page before; 0 at the beginning.
        """
        terms, parameters = ["id > ?", "last_s >= ?"], [after, wanted.since_s]
        for column, value in (("namespace", wanted.namespace), ("name", wanted.name)):
            if value is not None:
                terms.append(f"{column} = ?")
                parameters.append(value)  # type: ignore[arg-type]
        for dimension, chosen in wanted.dimensions.items():
            # A path of json_extract can't be a parameter with every name: the pair is looked for in the text itself.
            pair = json.dumps({dimension: chosen or ""}, separators=(",", ":"))[1:-1]
            terms.append("instr(dimensions, ?) > 0")
            parameters.append(pair if chosen is not None else pair[:-1])  # type: ignore[arg-type]
        rows = self._database.query(
            f"SELECT id, namespace, name, dimensions, unit, last_s FROM metric WHERE {' AND '.join(terms)} "  # noqa: S608
            "ORDER BY id LIMIT ?",
            [*parameters, limit],
        )
        return [Metric(row[0], row[1], row[2], json.loads(row[3]), row[4], row[5]) for row in rows]

    def daily_totals(self, namespace: str, name: str, since_s: float) -> list[tuple[str, int, float]]:
        """Function, day since the epoch (UTC) and sum of a metric with the dimension FunctionName alone."""
        rows = self._database.query(
            "SELECT m.dimensions, p.start_s / 86400, sum(p.total) FROM metric m "
            "JOIN metric_period p ON p.metric = m.id "
            "WHERE m.namespace = ? AND m.name = ? AND p.start_s >= ? GROUP BY 1, 2",
            (namespace, name, since_s),
        )
        return [(json.loads(row[0])[FUNCTION], row[1], row[2]) for row in rows]

    def count(self) -> int:
        """How many metrics were ever kept; at least as many as there are."""
        row = self._database.first("SELECT max(id) FROM metric")
        return int(row[0] or 0) if row else 0

    async def roll(self, now_s: float) -> int:
        """Make old rows coarser and delete the oldest; returns how many went."""
        gone, after = 0, 0
        while True:
            rows = self._database.query("SELECT id FROM metric WHERE id > ? ORDER BY id LIMIT ?", (after, _ROLL_CHUNK))
            if not rows:
                return gone
            ids = [row[0] for row in rows]
            after = ids[-1]
            gone += await self._database.write(lambda connection, ids=ids: _roll(connection, ids, now_s))  # type: ignore[misc]

    def _sources(self, namespace: str, name: str, dimensions: Dimensions, unit: str | None) -> list[int]:
        """The metrics whose rows make up the one that is asked for."""
        row = self._database.first(
            "SELECT id, derived, unit FROM metric WHERE namespace = ? AND name = ? AND dimensions = ?",
            (namespace, name, _text(dimensions)),
        )
        if row is None or (unit is not None and unit != row[2]):
            return []
        if not row[1]:
            return [row[0]]
        resource = dimensions.get(RESOURCE)
        sources = self._database.query(
            "SELECT id FROM metric WHERE derived = 0 AND function_name = ? AND name = ? AND namespace = ? "
            "AND (? IS NULL OR resource = ?)",
            (dimensions[FUNCTION], name, namespace, resource, resource),
        )
        return [source[0] for source in sources]


def _text(dimensions: Dimensions) -> str:
    return json.dumps(dict(sorted(dimensions.items())), separators=(",", ":"))


def _set(row: Sequence[Any]) -> StatisticSet:
    samples, total, smallest, largest, histogram = row
    return StatisticSet(samples, total, smallest, largest, decode_histogram(histogram))


def _add(connection: sqlite3.Connection, rows: Iterable[tuple[MetricKey, int, StatisticSet]]) -> None:
    known: dict[MetricKey, tuple[int, int]] = {}
    for key, start_s, counted in rows:
        metric, last_s = known.get(key) or _metric(connection, key)
        if start_s >= last_s + _LAST_STEP_S:
            last_s = start_s
            for dimensions in (dict(key.dimensions), *_wider(key)):
                connection.execute(
                    "UPDATE metric SET last_s = max(last_s, ?) WHERE namespace = ? AND name = ? AND dimensions = ?",
                    (start_s, key.namespace, key.name, _text(dimensions)),
                )
        known[key] = metric, last_s
        _put(connection, metric, 60, start_s, [counted])


def _put(
    connection: sqlite3.Connection, metric: int, period_s: int, start_s: int, counted: Iterable[StatisticSet]
) -> None:
    """Add statistics to a period's row."""
    row = connection.execute(
        "SELECT samples, total, smallest, largest, histogram FROM metric_period "
        "WHERE metric = ? AND period_s = ? AND start_s = ?",
        (metric, period_s, start_s),
    ).fetchone()
    whole = _set(row) if row else StatisticSet()
    for one in counted:
        whole.add(one)
    connection.execute(
        "INSERT OR REPLACE INTO metric_period VALUES (?,?,?,?,?,?,?,?)",
        (
            metric,
            period_s,
            start_s,
            whole.samples,
            whole.total,
            whole.minimum,
            whole.maximum,
            whole.encode_histogram(),
        ),
    )


def _wider(key: MetricKey) -> list[dict[str, str]]:
    """The wider dimensions under which a metric of the engine can be read too."""
    if key.namespace != LAMBDA or len(key.dimensions) != 3:
        return []
    given = dict(key.dimensions)
    return [{FUNCTION: given[FUNCTION]}, {FUNCTION: given[FUNCTION], RESOURCE: given[RESOURCE]}]


def _metric(connection: sqlite3.Connection, key: MetricKey) -> tuple[int, int]:
    """Id of a metric and its ``last_s``; made where it is new."""
    text = _text(dict(key.dimensions))
    row = connection.execute(
        "SELECT id, last_s FROM metric WHERE namespace = ? AND name = ? AND dimensions = ?",
        (key.namespace, key.name, text),
    ).fetchone()
    if row:
        return int(row[0]), int(row[1])
    insert = (
        "INSERT OR IGNORE INTO metric (namespace, name, dimensions, function_name, resource, unit, derived, last_s) "
        "VALUES (?,?,?,?,?,?,?,0)"
    )
    wider = _wider(key)
    for dimensions in wider:
        connection.execute(insert, (key.namespace, key.name, _text(dimensions), "", "", key.unit, 1))
    given = dict(key.dimensions) if wider else {}
    function, resource = given.get(FUNCTION, ""), given.get(RESOURCE, "")
    made = connection.execute(insert, (key.namespace, key.name, text, function, resource, key.unit, 0)).lastrowid
    assert made is not None
    return made, -_LAST_STEP_S


def _roll(connection: sqlite3.Connection, metrics: Iterable[int], now_s: float) -> int:
    gone = 0
    for metric in metrics:
        for tier, (period_s, age_s) in enumerate(TIERS):
            coarser_s = TIERS[tier + 1][0] if tier + 1 < len(TIERS) else None
            until_s = int(now_s - age_s) // (coarser_s or period_s) * (coarser_s or period_s)
            gone += _roll_tier(connection, metric, period_s, coarser_s, until_s)
    return gone


def _roll_tier(connection: sqlite3.Connection, metric: int, period_s: int, coarser_s: int | None, until_s: int) -> int:
    where = "WHERE metric = ? AND period_s = ? AND start_s < ?"
    if coarser_s is not None:
        rows = connection.execute(
            f"SELECT start_s, samples, total, smallest, largest, histogram FROM metric_period {where}",  # noqa: S608
            (metric, period_s, until_s),
        ).fetchall()
        groups: dict[int, list[StatisticSet]] = {}
        for row in rows:
            groups.setdefault(row[0] // coarser_s * coarser_s, []).append(_set(row[1:]))
        for start_s, counted in groups.items():
            _put(connection, metric, coarser_s, start_s, counted)
    return connection.execute(f"DELETE FROM metric_period {where}", (metric, period_s, until_s)).rowcount  # noqa: S608
