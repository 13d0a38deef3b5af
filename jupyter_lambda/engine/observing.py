"""Keeps what the engine observed: metrics to the store once a minute, old rows coarser, old log lines deleted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from jupyter_lambda.errors import LambdaError

from .metrics import Metrics

if TYPE_CHECKING:
    from jupyter_lambda.store import Store

    from .provisioned import Allocation

log = logging.getLogger(__name__)

#: Seconds after a minute's end at which its metrics are written, and before it at which what lasts is sampled.
_AFTER_S, _BEFORE_S = 1.0, 1.0
#: Rows written at once, about ten milliseconds of the writer's time, and seconds until the next so many.
_PIECE_ROWS, _PIECE_PAUSE_S = 500, 0.1
#: Seconds between two looks for rows and log lines that are too old.
_ROLL_EVERY_S = 3600.0


def write(metrics: Metrics, store: Store) -> None:
    """Hand what was counted to the store; returns at once."""
    if not metrics.dirty:
        return
    rows = metrics.take()
    try:
        store.metrics.post(rows)
    except LambdaError as error:
        metrics.give_back(rows)
        log.warning("metrics are not written: %s", error)


async def _write_gently(metrics: Metrics, store: Store) -> None:
    """The same in pieces, so that other writes needn't wait for the metrics of thousands of functions."""
    rows = metrics.take()
    while rows:
        piece, rows = rows[:_PIECE_ROWS], rows[_PIECE_ROWS:]
        try:
            store.metrics.post(piece)
        except LambdaError as error:
            metrics.give_back(piece + rows)
            log.warning("metrics are not written: %s", error)
            return
        try:
            await asyncio.sleep(_PIECE_PAUSE_S if rows else 0.0)
        except asyncio.CancelledError:
            metrics.give_back(rows)  # the engine stops, and writes the rest at once
            raise


async def keep(metrics: Metrics, store: Store, clock: Callable[[], float], sample: Callable[[], None]) -> None:
    """Until cancelled: write each minute after its end, and once an hour look after what is old.

    Args:
        sample: Tells ``metrics`` of what lasts; called shortly before each minute's end.
    """
    rolled_s = 0.0
    while True:
        if clock() - rolled_s >= _ROLL_EVERY_S:
            rolled_s = clock()
            await _forget(store, rolled_s)
        await asyncio.sleep(60.0 - (clock() + _BEFORE_S) % 60.0)
        sample()
        await asyncio.sleep(_BEFORE_S + _AFTER_S)
        await _write_gently(metrics, store)


def sample_provisioned(
    metrics: Metrics, allocations: Iterable[Allocation], memory_mb: Callable[[str, str], int]
) -> None:
    """Tell the metrics of the environments that are kept initialised, as of one minute.

    Args:
        memory_mb: Of a function's qualifier.
    """
    for one in allocations:
        name, qualifier = one.config.function_name, one.config.qualifier
        if not one.allocated:
            continue
        metrics.provisioned(name, qualifier, in_use=one.allocated - one.available, initialized=one.allocated)
        metrics.provisioned_gb_s(name, one.allocated * memory_mb(name, qualifier) / 1024 * 60)


async def _forget(store: Store, now_s: float) -> None:
    try:
        gone = await store.metrics.roll(now_s)
        for name, days in list(store.retention.all().items()):
            await store.logs.trim(name, int((now_s - days * 86_400) * 1000))
    except LambdaError as error:
        log.warning("old metrics and logs can't be removed: %s", error)
    else:
        if gone:
            log.info("%d old rows of metrics were summed up or removed", gone)
