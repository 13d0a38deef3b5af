"""Log streams: one for each execution environment."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.engine.control import read_marker, write_marker
from jupyter_lambda.errors import InvalidParameterException, InvalidParameterValueException
from jupyter_lambda.store.logs import LogStream

from . import names

#: Streams of a page, at most and by default.
PAGE = 50


async def describe_log_streams(call: Call) -> Mapping[str, Any]:
    """Source: CloudWatch Logs API Reference, "DescribeLogStreams"."""
    params = call.params
    prefix, by_time = params.get("logStreamNamePrefix"), params.get("orderBy") == "LastEventTime"
    if prefix is not None and by_time:
        raise InvalidParameterException("Cannot order by LastEventTime with a logStreamNamePrefix.")
    function = names.asked_group(call)
    logs = call.service.store.logs
    await logs.flush()
    found = await asyncio.to_thread(logs.streams, function)
    kept_ms = names.retained_since_ms(call, function, None)
    rows = [
        (stream.last_ms if by_time else 0, stream.name, stream)
        for stream in found
        if stream.name.startswith(prefix or "") and (kept_ms is None or stream.last_ms >= kept_ms)
    ]
    descending = bool(params.get("descending", False))
    rows.sort(key=lambda row: row[:2], reverse=descending)
    after = _marker(params.get("nextToken"))
    if after is not None:
        rows = [row for row in rows if (row[:2] < after if descending else row[:2] > after)]
    size = params.get("limit", PAGE)
    arn = names.group_arn(call.plane.account, function)
    token = write_marker(*rows[size - 1][:2]) if len(rows) > size else None
    return {"logStreams": [_stream(arn, row[2]) for row in rows[:size]], "nextToken": token}


def _marker(token: str | None) -> tuple[Any, ...] | None:
    try:
        return read_marker(token, int, str)
    except InvalidParameterValueException:
        raise InvalidParameterException("The specified nextToken is invalid.") from None


def _stream(group_arn: str, stream: LogStream) -> dict[str, Any]:
    return {
        "logStreamName": stream.name,
        "creationTime": stream.first_ms,
        "firstEventTimestamp": stream.first_ms,
        "lastEventTimestamp": stream.last_ms,
        "lastIngestionTime": stream.last_ms,
        "uploadSequenceToken": "1",
        "arn": f"{group_arn}:log-stream:{stream.name}",
        "storedBytes": 0,
    }
