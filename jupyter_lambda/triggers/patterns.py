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
        try:
            return any(_met(fields, event) for fields in self._alternatives)
        except RecursionError:  # nested deeper than anything that a pattern can name
            return False


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


def _met(fields: tuple[tuple[Path, _Field], ...], event: Any) -> bool:
    """Whether all fields are met by values that lie in the same elements of the same lists."""
    places: list[list[_Membership]] = []
    for path, field in fields:
        found = False
        fitting: dict[_Membership, None] = {}
        for value, where in _values(event, path, ()):
            found = True
            if where not in fitting and field.accepts(value):
                fitting[where] = None
        if fitting:
            places.append(list(fitting))
        elif found or not field.absent:
            return False
    return _Join(places).possible(0, {})


class _Join:
    """Looks for one place of each field so that no two lie in different elements of one list.

    Events are strangers': what was tried in vain is not tried again, and of what was chosen so far only lists count
    that fields still to come lie in. Else a few fields with long lists would take time without end.
    """

    def __init__(self, places: list[list[_Membership]]) -> None:
        self._places = places
        self._vain: set[tuple[int, _Membership]] = set()
        #: Lists that this field or a later one lies in.
        self._lists: list[set[int]] = []
        #: Outermost list → its element → the places there; list 0: those in no list.
        self._within: list[dict[int, dict[int, list[_Membership]]]] = []
        later: set[int] = set()
        for places_of in reversed(places):
            later = later | {array for where in places_of for array, _ in where}
            self._lists.insert(0, later)
            within: dict[int, dict[int, list[_Membership]]] = {}
            for where in places_of:
                array, index = where[0] if where else (0, 0)
                within.setdefault(array, {}).setdefault(index, []).append(where)
            self._within.insert(0, within)

    def possible(self, at: int, chosen: dict[int, int]) -> bool:
        """Whether the fields from one on go with the elements that were chosen."""
        if at == len(self._places):
            return True
        lists = self._lists[at]
        chosen = {array: index for array, index in chosen.items() if array in lists}
        key = (at, tuple(sorted(chosen.items())))
        if key in self._vain:
            return False
        for array, elements in self._within[at].items():
            near = [elements.get(chosen[array], [])] if array in chosen else elements.values()
            for where in (one for several in near for one in several):
                if all(chosen.get(one, index) == index for one, index in where) and self.possible(
                    at + 1, {**chosen, **dict(where)}
                ):
                    return True
        self._vain.add(key)
        return False


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
