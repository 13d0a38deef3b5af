"""Keeps what the engine observed: metrics to the store once a minute, old rows coarser, old log lines deleted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from jupyter_lambda.errors import LambdaError

from .metrics import Metrics

if TYPE_CHECKING:
    from jupyter_lambda.store import Store

log = logging.getLogger(__name__)

#: Seconds after a minute's end at which its metrics are written.
_AFTER_S = 1.0
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


async def keep(metrics: Metrics, store: Store, clock: Callable[[], float]) -> None:
    """Until cancelled: write each minute after its end, and once an hour look after what is old."""
    rolled_s = 0.0
    while True:
        if clock() - rolled_s >= _ROLL_EVERY_S:
            rolled_s = clock()
            await _forget(store, rolled_s)
        await asyncio.sleep(60.0 - clock() % 60.0 + _AFTER_S)
        write(metrics, store)


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
