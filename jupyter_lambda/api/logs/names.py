"""Log groups and streams by name, events by place: how they are written on the wire and read from it."""

from __future__ import annotations

import re
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.errors import InvalidParameterException, ResourceNotFoundException
from jupyter_lambda.model.arn import Account
from jupyter_lambda.store.logsearch import Position

#: What a function's group is called: this and the function's name.
GROUP_PREFIX = "/aws/lambda/"
_ARN = re.compile(r"arn:aws[a-zA-Z-]*:logs:[a-z0-9-]+:\d{12}:log-group:([^:*]+)(?::\*)?")
#: Digits of an event's id, as many as AWS's ids have: time, segment, its number, byte, and zeros.
_ID = re.compile(r"(\d{14})(\d{14})(\d{6})(\d{12})0{10}")


def group_name(function_name: str) -> str:
    """/aws/lambda/NAME."""
    return GROUP_PREFIX + function_name


def group_arn(account: Account, function_name: str) -> str:
    """The group's ARN, without the ``:*`` that some operations add."""
    return f"arn:{account.partition}:logs:{account.region}:{account.account_id}:log-group:{group_name(function_name)}"


def asked_group(call: Call) -> str:
    """The function whose group a request names, by name or ARN.

    Raises:
        InvalidParameterException: None is named, or two.
        ResourceNotFoundException: There is no such group.
    """
    name, identifier = call.params.get("logGroupName"), call.params.get("logGroupIdentifier")
    if (name is None) == (identifier is None):
        raise InvalidParameterException("Exactly one of logGroupName and logGroupIdentifier must be given.")
    text = str(name if name is not None else identifier)
    found = _ARN.fullmatch(text)
    return known_group(call, found[1] if found else text)


def known_group(call: Call, group: str) -> str:
    """The function of a group; it needn't exist any more as long as its log is kept.

    Raises:
        ResourceNotFoundException: There is no such group.
    """
    function = group.removeprefix(GROUP_PREFIX)
    store = call.service.store
    known = function != group and (store.functions.get(function) is not None or store.logs.known(function))
    if not known:
        raise ResourceNotFoundException("The specified log group does not exist.")
    return function


def event_id(position: Position) -> str:
    """An event's id: unique in its group, the same at every look, growing with time."""
    timestamp_ms, segment_ms, number, offset = position
    return f"{timestamp_ms:014d}{segment_ms:014d}{number:06d}{offset:012d}{'0' * 10}"


def position_of(text: str) -> Position | None:
    """The reverse; None for what was not handed out here."""
    found = _ID.fullmatch(text)
    return Position(*map(int, found.groups())) if found else None


def token_position(token: str | None, pattern: re.Pattern[str]) -> tuple[str, Position] | None:
    """Direction and place that a token stands for; None without a token.

    Args:
        pattern: With the groups direction and id.
    Raises:
        InvalidParameterException: Not a token of ours.
    """
    if token is None:
        return None
    found = pattern.fullmatch(token)
    position = position_of(found[2]) if found else None
    if found is None or position is None:
        raise InvalidParameterException("The specified nextToken is invalid.")
    return found[1], position


def retained_since_ms(call: Call, function: str, since_ms: int | None) -> int | None:
    """The beginning of what may be shown: not before the group's retention, which deletes lazily."""
    days = call.service.store.retention.days(function)
    if days is None:
        return since_ms
    kept_ms = int((call.service.clock() - days * 86_400) * 1000)
    return kept_ms if since_ms is None else max(since_ms, kept_ms)


def optional(**members: Any) -> dict[str, Any]:
    """The members that have a value."""
    return {name: value for name, value in members.items() if value is not None}
