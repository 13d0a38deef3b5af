"""Keeps the state directory small: removes packages that nothing uses, and what goes when the cap is reached."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from jupyter_lambda.errors import LambdaError

if TYPE_CHECKING:
    from jupyter_lambda.store import Store

log = logging.getLogger(__name__)

#: Seconds between two looks at all of the directory.
EVERY_S = 3600.0
#: Seconds between two questions whether logs have grown enough for an earlier look.
ASK_EVERY_S = 10.0
#: Share of the cap by which logs may grow between two looks.
GROWTH = 1 / 64
#: Seconds after the start before the first look: whoever started the engine wants something of it first.
SETTLE_S = 5.0
_MB = 1024 * 1024


async def collect(store: Store) -> int:
    """Remove packages that nothing uses; to be called at start and now and then.

    A layer version that was deleted keeps its package as long as a function version names it.

    Returns:
        Bytes that were freed.
    Raises:
        StoreError: The packages can't be read or removed.
    """
    return await store.packages.collect(store.functions.package_users)


async def keep_small(store: Store, cap_mb: int) -> None:
    """Until cancelled: look after the directory at start, every hour, and whenever logs have grown much.

    Args:
        cap_mb: Most that the directory may hold; 0: whatever its parts' own limits allow.
    """
    await asyncio.sleep(SETTLE_S)
    while True:
        written = store.logs.written_bytes
        await tidy(store, cap_mb)
        again_s = time.monotonic() + EVERY_S
        while time.monotonic() < again_s:
            await asyncio.sleep(ASK_EVERY_S)
            if cap_mb and store.logs.written_bytes - written > cap_mb * _MB * GROWTH:
                break


async def tidy(store: Store, cap_mb: int) -> None:
    """One look at all of the directory; what fails is logged, and tried again with the next one."""
    try:
        freed = await collect(store)
        if freed:
            log.info("removed %d bytes of packages that nothing used", freed)
        usage = await store.disk.fit(cap_mb * _MB)
    except (LambdaError, OSError) as error:
        log.warning("the state directory can't be looked after: %s", error)
        return
    if usage.excess_bytes:
        log.warning("%s: %s", store.state_dir, problem(store, cap_mb))


def problem(store: Store, cap_mb: int) -> str:
    """Why the directory is larger than it may be, and what to do; "" when it isn't."""
    usage = store.disk.usage
    if usage is None or not usage.excess_bytes:
        return ""
    waiting = sum(count for state, count in store.events.depth().items() if state != "dead")
    return (
        f"{usage.total // _MB} MB in use, {cap_mb} MB allowed (state_cap_mb), and what is left can't be removed: "
        f"{usage.packages // _MB} MB of packages, {usage.database // _MB} MB of database with {waiting} events "
        "that have yet to run; delete functions or versions, or allow more"
    )


def report(store: Store, cap_mb: int) -> dict[str, object]:
    """What the directory holds, as of the last look, for `jupyter lambda status`; sizes in MB."""
    usage = store.disk.usage
    if usage is None:
        return {"cap_mb": cap_mb}
    return {
        "cap_mb": cap_mb,
        "used_mb": round(usage.total / _MB, 1),
        "logs_mb": round(usage.logs / _MB, 1),
        "packages_mb": round(usage.packages / _MB, 1),
        "database_mb": round(usage.database / _MB, 1),
        "runs_mb": round(usage.runs / _MB, 1),
        "problem": problem(store, cap_mb),
    }
