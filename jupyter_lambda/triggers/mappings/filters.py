"""FilterCriteria: which records of a source reach the function.

A pattern is about a record as AWS documents it, its data decoded: ``data`` of Kinesis (JSON in base64), ``dynamodb`` of
DynamoDB Streams, ``body`` of SQS (JSON or plain text, as the pattern has it). A record passes that one pattern accepts.

Source: AWS Lambda Developer Guide, "Control which events Lambda sends to your function", with its two tables of what
happens where record and pattern are of different forms.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jupyter_lambda.errors import InvalidEventPatternException, InvalidParameterValueException
from jupyter_lambda.model.mapping import Kind
from jupyter_lambda.triggers.patterns import EventPattern

#: The member of a record that holds what its producer wrote.
DATA: dict[Kind, str] = {"kinesis": "data", "dynamodb": "dynamodb", "sqs": "body"}
#: How a pattern takes that member: not at all, as JSON, as plain text.
Form = Literal["none", "json", "text"]
_INVALID = "Invalid filter pattern definition."


@dataclass(frozen=True, slots=True)
class _Filter:
    pattern: EventPattern
    form: Form


class Filters:
    """Compiled patterns of one mapping."""

    def __init__(self, kind: Kind, patterns: Sequence[str]) -> None:
        """
        Raises:
            InvalidParameterValueException: AWS's answer to a pattern that is none.
        """
        self._kind = kind
        self._filters = [_compile(kind, text) for text in patterns]

    def __bool__(self) -> bool:
        return bool(self._filters)

    def accepts(self, record: Mapping[str, Any]) -> bool:
        """Whether a record, as the function would get it, passes."""
        if not self._filters:
            return True
        view, is_json = _view(self._kind, record)
        return any(
            one.pattern.matches(view) for one in self._filters if one.form == "none" or (one.form == "json") == is_json
        )


def check_filters(kind: Kind, patterns: Sequence[str]) -> None:
    """Raises InvalidParameterValueException where one can't be a filter of such a source."""
    Filters(kind, patterns)


def _compile(kind: Kind, text: str) -> _Filter:
    try:
        pattern = EventPattern.parse(text)
        forms = {_form(value) for value in _members(json.loads(text), DATA[kind])}
    except (InvalidEventPatternException, ValueError) as exc:
        raise InvalidParameterValueException(_INVALID) from exc
    if len(forms) > 1 or (kind != "sqs" and "text" in forms):
        raise InvalidParameterValueException(_INVALID)
    return _Filter(pattern, forms.pop() if forms else "none")


def _members(pattern: Any, name: str) -> Iterator[Any]:
    """What a pattern asks of a member, in each of its alternatives."""
    if isinstance(pattern, Mapping):
        if name in pattern:
            yield pattern[name]
        for choice in pattern.get("$or", ()):
            yield from _members(choice, name)


def _form(value: Any) -> Form:
    return "json" if isinstance(value, Mapping) else "text"


def _view(kind: Kind, record: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The record as patterns see it, and whether its data are JSON."""
    if kind == "dynamodb":
        return dict(record), True
    if kind == "kinesis":
        inner = record["kinesis"]
        data, is_json = _decode(base64.b64decode(inner["data"]))
        return {**record, **inner, "data": data}, is_json
    data, is_json = _decode(record["body"])
    return {**record, "body": data}, is_json


def _decode(data: bytes | str) -> tuple[Any, bool]:
    """JSON objects and lists decoded; anything else, numbers and quoted words too, is text."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, (dict, list)):
        return found, True
    return data if isinstance(data, str) else data.decode("utf-8", "replace"), False
