"""Log events: of one stream, or of a group by time and pattern."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.errors import InvalidParameterException, ResourceNotFoundException, ValidationException
from jupyter_lambda.store.logsearch import EventPage, EventQuery, LogEvent, Position
from jupyter_lambda.store.logwriter import token as stream_token
from jupyter_lambda.store.pattern import Matcher, Pattern

from . import names

#: Events of a page, at most and by default.
PAGE = 10_000
WITHOUT_EFFECT = {
    "FilterLogEvents": {
        "interleaved": "as on AWS, events of several streams are always interleaved",
        "unmask": "nothing is masked",
    },
    "GetLogEvents": {"unmask": "nothing is masked"},
}
_GET_TOKEN = re.compile(r"([fb])/(\d{56})/s")
_FILTER_TOKEN = re.compile(r"([fb])-(\d{56})")
#: FilterLogEvents looks backwards only from here on. Source: its API Reference.
_BACKWARDS_FROM_MS = 1_704_067_200_000


async def get_log_events(call: Call) -> Mapping[str, Any]:
    """Source: CloudWatch Logs API Reference, "GetLogEvents"."""
    params = call.params
    function = names.asked_group(call)
    stream = params["logStreamName"]
    place = names.token_position(params.get("nextToken"), _GET_TOKEN)
    forward = place[0] == "f" if place else bool(params.get("startFromHead", False))
    until_ms = params.get("endTime")
    query = EventQuery(
        since_ms=names.retained_since_ms(call, function, params.get("startTime")),
        until_ms=None if until_ms is None else until_ms - 1,  # events at endTime are not included
        after=place[1] if place and forward else None,
        before=place[1] if place and not forward else None,
        oldest_first=forward,
        streams=frozenset((stream_token(stream),)),
        limit=params.get("limit", PAGE),
    )
    page = await _search(call, function, query)
    if not page.events and not await asyncio.to_thread(_has_stream, call, function, stream):
        raise ResourceNotFoundException("The specified log stream does not exist.")
    first, last = _ends(page, place[1] if place else None, params.get("startTime"))
    return {
        "events": [_event(event) for event in page.events],
        "nextForwardToken": f"f/{names.event_id(last)}/s",
        "nextBackwardToken": f"b/{names.event_id(first)}/s",
    }


def _ends(page: EventPage, place: Position | None, since_ms: int | None) -> tuple[Position, Position]:
    """The places that the next tokens stand for; at an end of the stream the one that was asked with."""
    if page.events:
        return page.events[0].position, page.events[-1].position
    here = place or Position(max(0, since_ms or 0), 0, 0, 0)
    return here, here


def _has_stream(call: Call, function: str, stream: str) -> bool:
    return any(found.name == stream for found in call.service.store.logs.streams(function))


async def filter_log_events(call: Call) -> Mapping[str, Any]:
    """Source: CloudWatch Logs API Reference, "FilterLogEvents"."""
    params = call.params
    chosen, prefix = params.get("logStreamNames"), params.get("logStreamNamePrefix")
    if chosen is not None and prefix is not None:
        raise InvalidParameterException("logStreamNames and logStreamNamePrefix are mutually exclusive.")
    function = names.asked_group(call)
    since_ms = params.get("startTime")
    place = names.token_position(params.get("nextToken"), _FILTER_TOKEN)
    forward = place[0] == "f" if place else bool(params.get("startFromHead", True))
    if not forward and (since_ms is None or since_ms < _BACKWARDS_FROM_MS):
        raise InvalidParameterException(
            "startFromHead false is supported only when startTime is on or after Jan 1, 2024 00:00:00 UTC."
        )
    query = EventQuery(
        since_ms=names.retained_since_ms(call, function, since_ms),
        until_ms=params.get("endTime"),
        after=place[1] if place and forward else None,
        before=place[1] if place and not forward else None,
        oldest_first=forward,
        streams=None if chosen is None else frozenset(map(stream_token, chosen)),
        stream_prefix=None if prefix is None else stream_token(prefix),
        pattern=_pattern(params.get("filterPattern")),
        limit=params.get("limit", PAGE),
    )
    page = await _search(call, function, query)
    events = [{**_event(e), "logStreamName": e.stream, "eventId": names.event_id(e.position)} for e in page.events]
    if not forward:
        events.reverse()
    token = None
    if page.more and page.events:
        edge = page.events[-1 if forward else 0].position
        token = f"{'f' if forward else 'b'}-{names.event_id(edge)}"
    return {"events": events, "searchedLogStreams": [], "nextToken": token}


def _pattern(text: str | None) -> Matcher | None:
    try:
        return Pattern.parse(text) if text and text.strip() else None
    except ValidationException as exc:
        raise InvalidParameterException(exc.message) from None


async def _search(call: Call, function: str, query: EventQuery) -> EventPage:
    """A page of the log, with all that was written until now."""
    logs = call.service.store.logs
    await logs.flush()
    floor_ms = query.after.timestamp_ms if query.after else None
    if floor_ms is not None and (query.since_ms is None or floor_ms > query.since_ms):
        query = replace(query, since_ms=floor_ms)
    return await asyncio.to_thread(logs.search, function, query)


def _event(event: LogEvent) -> dict[str, Any]:
    timestamp_ms = event.position.timestamp_ms
    # The line break that ended the line belongs to the message, as in what Lambda itself sends.
    return {"timestamp": timestamp_ms, "message": event.message + "\n", "ingestionTime": timestamp_ms}
