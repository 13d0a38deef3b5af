"""Event patterns: which events a rule, or an event source mapping's filter, is about.

``EventPattern.parse(text).matches(event)``. Pure: text and JSON values in, an answer out. An event matches where every
field of the pattern has a value that one of its tests accepts; several fields inside a list of objects must be met by
the same object, as in AWS's Event Ruler.

Source: Amazon EventBridge User Guide, "Amazon EventBridge event patterns"; the same language filters Lambda's event
source mappings (AWS Lambda Developer Guide, "Control which events Lambda sends to your function").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_lambda.errors import InvalidEventPatternException

from . import pattern_text
from .pattern_operators import Test, literal, operator, single
from .pattern_text import Mistake, Node

#: Combinations that all ``$or`` of a pattern may have together. Source: "Comparison operators …", "Or".
COMBINATIONS_MAX = 1_000
#: Names that make an object inside ``$or`` a test and no part of a pattern. Source: Event Ruler, Constants.java.
_RESERVED = frozenset(
    ("exactly", "prefix", "suffix", "anything-but", "numeric", "exists", "cidr", "equals-ignore-case", "wildcard")
)

#: Names from the event down to a field, joined by dots: a name with a dot in it is as good as two, as in Event Ruler.
Path = str
#: Which element of which lists a value was found in.
_Membership = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class _Field:
    """What is asked of one field: any of the tests, or merely whether it is there."""

    tests: tuple[Test, ...]
    present: bool = False
    absent: bool = False

    def accepts(self, value: Any) -> bool:
        return self.present or any(test(value) for test in self.tests)


#: Fields that must all be met.
_Conjunction = dict[Path, _Field]


class EventPattern:
    """A compiled pattern."""

    def __init__(self, text: str, alternatives: list[_Conjunction]) -> None:
        #: The pattern as it was given.
        self.text = text
        self._alternatives = [tuple(one.items()) for one in alternatives]

    @classmethod
    def parse(cls, text: str) -> EventPattern:
        """Compile a pattern.

        Raises:
            InvalidEventPatternException: AWS's sentence: what is wrong, line and column.
        """
        try:
            return cls(text, _root(pattern_text.parse(text)))
        except Mistake as mistake:
            raise InvalidEventPatternException(f"Event pattern is not valid. Reason: {mistake.told(text)}") from None

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether an event (JSON values) is of this pattern."""
        return any(_met(fields, 0, event, ()) for fields in self._alternatives)


# ── compiling ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _root(node: Node) -> list[_Conjunction]:
    if node.kind != "object":
        raise Mistake("Filter is not an object", node.at)
    return _object(node, "", [{}])


def _object(node: Node, prefix: str, alternatives: list[_Conjunction]) -> list[_Conjunction]:
    """Every alternative so far, with the fields of one more object."""
    if not node.value:
        raise Mistake("Empty objects are not allowed", node.end)
    for name, value in node.value:
        if name == "$or" and _is_or(value):
            alternatives = [
                one for choice in value.value for one in _object(choice, prefix, [dict(each) for each in alternatives])
            ]
            if len(alternatives) > COMBINATIONS_MAX:
                raise Mistake(f"$or has more than {COMBINATIONS_MAX} rule combinations", value.end)
        elif value.kind == "object":
            alternatives = _object(value, f"{prefix}{name}.", alternatives)
        elif value.kind == "list":
            field = _field(value)
            for one in alternatives:
                one[prefix + name] = field
        else:
            raise Mistake(f'"{name}" must be an object or an array', value.at)
    return alternatives


def _is_or(node: Node) -> bool:
    """Two objects or more in a list, none of them a test; anything else is a field that happens to be called $or."""
    return (
        node.kind == "list"
        and len(node.value) >= 2
        and all(item.kind == "object" for item in node.value)
        and not any(name in _RESERVED for item in node.value for name, _ in item.value)
    )


def _field(node: Node) -> _Field:
    if not node.value:
        raise Mistake("Empty arrays are not allowed", node.end)
    tests: list[Test] = []
    present = absent = False
    for item in node.value:
        if item.kind == "list":
            raise Mistake("Match value must be String, number, true, false, or null", item.at)
        if item.kind != "object":
            tests.append(literal(item))
        elif item.value and item.value[0][0] == "exists":
            _, wanted = single(item, "")
            if not isinstance(wanted.value, bool):
                raise Mistake("exists match pattern must be either true or false.", wanted.at)
            present, absent = present or wanted.value, absent or not wanted.value
        else:
            tests.append(operator(item))
    return _Field(tuple(tests), present, absent)


# ── matching ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _met(fields: tuple[tuple[Path, _Field], ...], at: int, event: Any, membership: _Membership) -> bool:
    """Whether the fields from one on are met by values that lie in the same elements of the same lists."""
    if at == len(fields):
        return True
    path, field = fields[at]
    found = False
    for value, where in _values(event, path, ()):
        found = True
        if field.accepts(value):
            merged = _merge(membership, where)
            if merged is not None and _met(fields, at + 1, event, merged):
                return True
    return not found and field.absent and _met(fields, at + 1, event, membership)


def _values(node: Any, path: Path, membership: _Membership) -> Iterator[tuple[Any, _Membership]]:
    """The leaf values at a path ("" where the node is at its end); each element of a list is one."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _values(item, path, (*membership, (id(node), index)) if path else membership)
    elif isinstance(node, dict):
        if path in node and path:
            yield from _values(node[path], "", membership)
        dot = path.find(".")
        while dot >= 0:
            name = path[:dot]
            if name in node:
                yield from _values(node[name], path[dot + 1 :], membership)
            dot = path.find(".", dot + 1)
    elif not path:
        yield node, membership


def _merge(known: _Membership, more: _Membership) -> _Membership | None:
    """Both together; None where they are in different elements of one list."""
    if not more or not known:
        return known or more
    places = dict(known)
    for array, index in more:
        if places.setdefault(array, index) != index:
            return None
    return tuple(places.items())
