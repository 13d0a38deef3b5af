"""What the engine's owner sees of notifications, and which ones are meant when some are to be paused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from jupyter_lambda.errors import LambdaError, ResourceNotFoundException
from jupyter_lambda.model.arn import Account, FunctionName
from jupyter_lambda.model.notification import Kind, Notification
from jupyter_lambda.store.sources import Sources

from .pump import Pump

log = logging.getLogger(__name__)

#: Seconds that a queue has to say how many messages wait in it.
DEPTH_MAX_S = 3.0
#: Seconds that a pause waits for what was received before: the longest poll that is heard to its end, and some.
QUIET_MAX_S = 8.0


def of_function(rows: Sources, account: Account, function: str | None) -> list[Notification]:
    """Those that fire one function, whichever version; all of them where none is named.

    Raises:
        InvalidParameterValueException: That is no function's name or ARN.
    """
    if function is None:
        return list(rows.notifications())
    wanted = FunctionName.parse(function, account)
    return [
        one
        for one in rows.notifications()
        if _name(one, account) == wanted.name and (wanted.qualifier is None or one.function_arn == function)
    ]


def chosen(
    rows: Sources, account: Account, function: str, kind: Kind | None, resource: str | None, name: str | None
) -> list[Notification]:
    """Those that are meant.

    Args:
        resource: Of ``kind``: a bucket's name, a topic's name or ARN.
        name: The Id of a bucket's configuration, a subscription's ARN, or the notification's own id.
    Raises:
        ResourceNotFoundException: None is.
    """
    found = [
        one
        for one in of_function(rows, account, function)
        if (kind is None or one.kind == kind)
        and (resource is None or resource in (one.resource, one.resource.rpartition(":")[2]))
        and (name is None or name in (one.id, one.name, one.subscription_arn))
    ]
    if not found:
        source = "no bucket or topic"
        if resource is not None:
            source = f"no configuration of the bucket {resource}" if kind == "s3" else f"no subscription to {resource}"
        by = f" by the name of {name[:256]}" if name else ""
        raise ResourceNotFoundException(f"There is {source} that fires {function}{by}.")
    return found


def described(one: Notification, pump: Pump | None, account: Account, *, paused: bool) -> dict[str, Any]:
    """One notification as the engine's owner sees it."""
    own = (
        {
            "bucket": one.resource,
            "configuration": one.name,
            "events": one.events,
            "prefix": one.prefix,
            "suffix": one.suffix,
        }
        if one.kind == "s3"
        else {"topic": one.resource, "subscription": one.subscription_arn}
    )
    problem = pump.problem if pump is not None else ""
    return {
        "id": one.id,
        "trigger": one.trigger,
        "function": _name(one, account),
        "function_arn": one.function_arn,
        **own,
        **({"bus": "default"} if one.to_bus else {}),
        "state": "paused" if paused else "on",
        "queue_depth": pump.depth if pump is not None else None,
        "delivered": pump.delivered if pump is not None else 0,
        "dropped": pump.dropped if pump is not None else 0,
        "problem": problem,
        "last_result": f"PROBLEM: {problem}" if problem else (pump.last_result if pump is not None else ""),
    }


async def measure(pumps: Sequence[Pump]) -> None:
    """Ask the queues how many messages wait; of one that doesn't answer it isn't known."""

    async def one(pump: Pump) -> None:
        if pump.queue is None:
            return
        try:
            async with asyncio.timeout(DEPTH_MAX_S):
                pump.depth = (await pump.queue.attributes()).depth
        except Exception as error:  # noqa: BLE001 - the pump's own attempts say what is wrong
            log.info("notification %s: its queue's depth is not known: %s", pump.id, error)
            pump.depth = None

    await asyncio.gather(*(one(pump) for pump in pumps))


async def quiet(pumps: Sequence[Pump]) -> None:
    """Until what paused pumps had received before is worked off or back in its queue."""
    waits = [asyncio.ensure_future(pump.quiet()) for pump in pumps]
    if not waits:
        return
    _, late = await asyncio.wait(waits, timeout=QUIET_MAX_S)
    for wait in late:
        wait.cancel()
    if late:
        log.warning("%d notifications that were paused still work off what they had received", len(late))


def _name(one: Notification, account: Account) -> str:
    try:
        return FunctionName.parse(one.function_arn, account).name
    except LambdaError:
        return one.function_arn.partition(":function:")[2].partition(":")[0]
