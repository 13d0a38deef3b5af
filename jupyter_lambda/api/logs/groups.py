"""Log groups: listed, kept for so many days, deleted."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from heapq import merge
from itertools import islice
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine.control import read_marker, write_marker
from jupyter_lambda.errors import (
    InvalidParameterException,
    InvalidParameterValueException,
    NotImplementedException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)

from . import names

#: Groups of a page, at most and by default.
PAGE = 50
#: Names of functions that are read at once.
_NAMES = 200
#: Days that AWS's API takes. Source: CloudWatch Logs API Reference, "PutRetentionPolicy".
RETENTION_DAYS = frozenset(
    (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
)
WITHOUT_EFFECT = {
    "DescribeLogGroups": {
        "accountIdentifiers": "there is one account",
        "includeLinkedAccounts": "there is one account",
    }
}


async def describe_log_groups(call: Call) -> Mapping[str, Any]:
    """Source: CloudWatch Logs API Reference, "DescribeLogGroups"."""
    params = call.params
    if params.get("logGroupNamePrefix") is not None and params.get("logGroupNamePattern") is not None:
        raise InvalidParameterException("logGroupNamePrefix and logGroupNamePattern are mutually exclusive.")
    marker = _marker(params.get("nextToken"))
    if params.get("logGroupClass", "STANDARD") != "STANDARD":
        return {"logGroups": []}
    size = params.get("limit", PAGE)
    await call.service.store.logs.flush()
    functions = await asyncio.to_thread(call.service.store.logs.functions)
    found = list(islice(_matching(call, functions, marker), size + 1))
    groups = await asyncio.to_thread(lambda: [_group(call, name) for name in found[:size]])
    token = write_marker(found[size - 1]) if len(found) > size else None
    return {"logGroups": groups, "nextToken": token}


def _matching(call: Call, logged: list[str], marker: str) -> Iterator[str]:
    """Functions whose groups are asked for, by name: those that have a log, and those that may get one."""
    params = call.params
    chosen = params.get("logGroupIdentifiers")
    if chosen is not None:
        wanted = {text.rpartition(":log-group:")[2].removesuffix(":*") for text in chosen}
        for group in sorted(wanted):
            function = group.removeprefix(names.GROUP_PREFIX)
            if function > marker and (function in logged or call.service.store.functions.get(function) is not None):
                yield function
        return
    prefix, pattern = params.get("logGroupNamePrefix", ""), params.get("logGroupNamePattern", "")
    if not (prefix.startswith(names.GROUP_PREFIX) or names.GROUP_PREFIX.startswith(prefix)):
        return
    # The next text after the marker is the marker and the smallest character there is.
    start = max(prefix[len(names.GROUP_PREFIX) :], f"{marker}\0" if marker else "")
    for function in _merged(call, logged, start):
        group = names.group_name(function)
        if not group.startswith(prefix):
            return
        if pattern in group:
            yield function


def _merged(call: Call, logged: list[str], start: str) -> Iterator[str]:
    """Names of functions and of logs from one on, each once, in order; no more of them are read than are asked for."""
    waiting = islice(logged, bisect_left(logged, start), None)
    last = None
    for name in merge(waiting, _functions(call, start)):
        if name != last:
            yield name
        last = name


def _functions(call: Call, start: str) -> Iterator[str]:
    while page := call.service.store.functions.names(start, _NAMES):
        yield from page
        start = f"{page[-1]}\0"


def _marker(token: str | None) -> str:
    try:
        marker = read_marker(token, str)
    except InvalidParameterValueException:
        raise InvalidParameterException("The specified nextToken is invalid.") from None
    return str(marker[0]) if marker else ""


def _group(call: Call, function: str) -> dict[str, Any]:
    created_ms, size_bytes = call.service.store.logs.span(function)
    arn = names.group_arn(call.plane.account, function)
    return names.optional(
        logGroupName=names.group_name(function),
        creationTime=created_ms or 0,
        retentionInDays=call.service.store.retention.days(function),
        metricFilterCount=0,
        arn=f"{arn}:*",
        storedBytes=size_bytes,
        logGroupClass="STANDARD",
        logGroupArn=arn,
        deletionProtectionEnabled=False,
    )


async def put_retention_policy(call: Call) -> Mapping[str, Any]:
    """Source: CloudWatch Logs API Reference, "PutRetentionPolicy"."""
    days = call.params["retentionInDays"]
    if days not in RETENTION_DAYS:
        allowed = ", ".join(map(str, sorted(RETENTION_DAYS)))
        raise InvalidParameterException(
            f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{allowed}]"
        )
    function = names.known_group(call, call.params["logGroupName"])
    await call.service.store.retention.put(function, days)
    return {}


async def delete_retention_policy(call: Call) -> Mapping[str, Any]:
    """Source: CloudWatch Logs API Reference, "DeleteRetentionPolicy"."""
    await call.service.store.retention.put(names.known_group(call, call.params["logGroupName"]), None)
    return {}


async def delete_log_group(call: Call) -> Mapping[str, Any]:
    """Source: CloudWatch Logs API Reference, "DeleteLogGroup"."""
    function = names.known_group(call, call.params["logGroupName"])
    await call.service.store.retention.put(function, None)
    await call.service.store.logs.delete(function)
    return {}


async def create_log_group(call: Call) -> Mapping[str, Any]:
    """A function's group is there with the function; others are not built.

    Source: CloudWatch Logs API Reference, "CreateLogGroup".
    """
    group = call.params["logGroupName"]
    try:
        names.known_group(call, group)
    except ResourceNotFoundException:
        raise NotImplementedException(
            f"CreateLogGroup is built for functions' groups only, which are there with their functions; not {group}."
        ) from None
    raise ResourceAlreadyExistsException("The specified log group already exists")
