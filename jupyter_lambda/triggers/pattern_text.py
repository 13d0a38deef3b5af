"""JSON as a tree that knows where each value stands, so that a mistake in an event pattern can be shown.

Positions are those that AWS's parser reports: for a text just behind its opening quote, for an object or a list behind
its bracket, for anything else behind its last character.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined]  # typeshed lacks it
from typing import Any, Literal

#: Lists and objects inside one another, at most. Source: AWS's parser gives up at 1,000; Python's would before.
DEPTH_MAX = 200
#: Characters of a pattern that are repeated in a message. Source: recorded answers of AWS.
_SHOWN_MAX_CHARS = 500

Kind = Literal["object", "list", "text", "number", "word"]

_BLANK = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}
_WORD = re.compile(r"[A-Za-z0-9_$.-]*")


class Mistake(Exception):
    """Something is wrong at a place of the text; for some mistakes AWS names none, for others it says it twice."""

    def __init__(self, why: str, at: int | None, *, twice: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.at = at
        self.twice = twice

    def told(self, text: str) -> str:
        """What is wrong, and where in the text."""
        if self.at is None:
            return self.why
        return self.why + f"\n at {place(text, self.at)}" * (2 if self.twice else 1)


@dataclass(slots=True)
class Node:
    """One value. Of an object ``value`` is a list of (name, node), of a list a list of nodes."""

    kind: Kind
    value: Any
    #: Offset of the character after what the parser has read when it meets the value.
    at: int
    #: Offset after the whole value.
    end: int


def parse(text: str) -> Node:
    """The tree of a JSON text.

    Raises:
        Mistake: It is not JSON.
    """
    node = _value(text, _skip(text, 0), 0)
    end = _skip(text, node.end)
    if end < len(text):
        raise _unexpected(text, end, "the end of the pattern")
    return node


def place(text: str, at: int) -> str:
    """AWS's way to say where: the text, line and column."""
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    shown = f'"{text[:_SHOWN_MAX_CHARS]}"'
    if len(text) > _SHOWN_MAX_CHARS:
        shown += f"[truncated {len(text) - _SHOWN_MAX_CHARS} chars]"
    return f"[Source: (String){shown}; line: {line}, column: {column}]"


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _value(text: str, at: int, depth: int) -> Node:
    if at >= len(text):
        raise Mistake("Unexpected end-of-input", at)
    if depth > DEPTH_MAX:
        raise Mistake(f"Document nesting depth exceeds the maximum allowed ({DEPTH_MAX})", at)
    sign = text[at]
    if sign == "{":
        return _object(text, at, depth)
    if sign == "[":
        return _list(text, at, depth)
    if sign == '"':
        value, end = _text(text, at)
        return Node("text", value, at + 1, end)
    number = _NUMBER.match(text, at)
    if number:
        written = number.group()
        return Node("number", float(written) if number[1] or number[2] else int(written), number.end(), number.end())
    return _word(text, at)


def _word(text: str, at: int) -> Node:
    found = _WORD.match(text, at)
    word = found.group() if found else ""
    if word in _WORDS:
        return Node("word", _WORDS[word], at + len(word), at + len(word))
    if not word:
        raise Mistake(
            f"Unexpected character ('{text[at]}' (code {ord(text[at])})): expected a valid value (JSON String, Number, "
            "Array, Object or token 'null', 'true' or 'false')",
            at,
        )
    raise Mistake(
        f"Unrecognized token '{word[:64]}': was expecting (JSON String, Number, Array, Object or token 'null', 'true' "
        "or 'false')",
        at + len(word),
    )


def _text(text: str, at: int) -> tuple[str, int]:
    try:
        value, end = scanstring(text, at + 1, True)
    except JSONDecodeError as exc:
        raise Mistake(exc.msg, exc.pos) from None
    return str(value), int(end)


def _object(text: str, at: int, depth: int) -> Node:
    members: list[tuple[str, Node]] = []
    here = _skip(text, at + 1)
    while text[here : here + 1] != "}":
        if members:
            here = _expect(text, here, ",", "a comma to separate Object entries")
        if text[here : here + 1] != '"':
            raise _unexpected(text, here, "double-quote to start field name")
        name, here = _text(text, here)
        here = _expect(text, _skip(text, here), ":", "a colon to separate field name and value")
        node = _value(text, here, depth + 1)
        members.append((name, node))
        here = _skip(text, node.end)
    return Node("object", members, at + 1, here + 1)


def _list(text: str, at: int, depth: int) -> Node:
    items: list[Node] = []
    here = _skip(text, at + 1)
    while text[here : here + 1] != "]":
        if items:
            here = _expect(text, here, ",", "a comma to separate Array entries")
        node = _value(text, here, depth + 1)
        items.append(node)
        here = _skip(text, node.end)
    return Node("list", items, at + 1, here + 1)


def _expect(text: str, at: int, sign: str, what: str) -> int:
    if text[at : at + 1] == sign:
        return _skip(text, at + 1)
    raise _unexpected(text, at, what)


def _unexpected(text: str, at: int, what: str) -> Mistake:
    if at >= len(text):
        return Mistake("Unexpected end-of-input", at)
    return Mistake(f"Unexpected character ('{text[at]}' (code {ord(text[at])})): was expecting {what}", at)
