"""The operators of event patterns: what stands in a field's list, compiled to a test of one value.

Source: Amazon EventBridge User Guide, "Comparison operators for use in event patterns"; texts of mistakes as in AWS's
open source Event Ruler, which EventBridge and Lambda's filters use.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

from .pattern_text import Mistake, Node

#: A test of one leaf value of an event.
Test = Callable[[Any], bool]

#: Largest magnitude in a numeric comparison. Source: the same page, "Numeric matching".
NUMBER_MAX = 5e9

_ONE_KEY = "Only one key allowed in match expression"


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def literal(node: Node) -> Test:
    """A text, number, true, false or null that must be equal."""
    wanted = node.value
    if node.kind == "number":
        return lambda value: is_number(value) and value == wanted
    if node.kind == "text":
        return lambda value: isinstance(value, str) and value == wanted
    return lambda value: value is wanted


def operator(node: Node) -> Test:
    """An object such as {"prefix": "a"}; not "exists", which isn't about one value.

    Raises:
        Mistake: It is not one.
    """
    name, argument = single(node, "Match expression name not found")
    match name:
        case "exactly":
            return _exactly(argument)
        case "prefix" | "suffix":
            return _end(name, argument)
        case "equals-ignore-case":
            wanted = _string(argument, "equals-ignore-case match pattern must be a string").lower()
            return lambda value: isinstance(value, str) and value.lower() == wanted
        case "wildcard":
            return _wildcard(_string(argument, "wildcard match pattern must be a string"), argument.end)
        case "numeric":
            return _numeric(argument)
        case "cidr":
            return _cidr(argument)
        case "anything-but":
            return _anything_but(argument)
    raise Mistake(f"Unrecognized match type {name}", argument.at)


def single(node: Node, missing: str) -> tuple[str, Node]:
    """The only member of an object.

    Raises:
        Mistake: There is none, or a second one.
    """
    if not node.value:
        raise Mistake(missing, node.end)
    if len(node.value) > 1:
        raise Mistake(_ONE_KEY, node.value[1][1].at)
    name, argument = node.value[0]
    return str(name), argument


def _string(node: Node, complaint: str, *, twice: bool = False) -> str:
    if node.kind != "text":
        raise Mistake(complaint, node.at, twice=twice)
    return str(node.value)


def _exactly(argument: Node) -> Test:
    wanted = _string(argument, "exact match pattern must be a string")
    return lambda value: isinstance(value, str) and value == wanted


def _end(name: str, argument: Node) -> Test:
    if argument.kind == "object":
        inner, wanted_node = single(argument, f"{name} match pattern must be a string")
        if inner != "equals-ignore-case":
            raise Mistake(f"Unsupported {name} pattern: {inner}", wanted_node.at)
        folded = _string(wanted_node, f"equals-ignore-case {name} match pattern must be a string").lower()
        if name == "prefix":
            return lambda value: isinstance(value, str) and value.lower().startswith(folded)
        return lambda value: isinstance(value, str) and value.lower().endswith(folded)
    wanted = _string(argument, f"{name} match pattern must be a string")
    if name == "prefix":
        return lambda value: isinstance(value, str) and value.startswith(wanted)
    return lambda value: isinstance(value, str) and value.endswith(wanted)


def _wildcard(text: str, at: int) -> Test:
    """A star stands for any characters; a backslash makes a star or a backslash stand for itself."""
    parts: list[str] = []
    here, star = 0, False
    while here < len(text):
        sign = text[here]
        if sign == "*":
            if star:
                raise Mistake(f"Consecutive wildcard characters at pos {here}", at)
            parts.append("*")
            star = True
        else:
            if sign == "\\":
                here += 1
                sign = text[here : here + 1]
                if sign not in ("*", "\\"):
                    raise Mistake(f"Invalid escape character at pos {here}", at)
            parts.append(f"={sign}")
            star = False
        here += 1
    return _WildcardTest(parts)


class _WildcardTest:
    """Matches in time that grows with text times pattern, whatever the pattern; a regular expression would not."""

    def __init__(self, parts: list[str]) -> None:
        pieces = [""]
        for part in parts:
            if part == "*":
                pieces.append("")
            else:
                pieces[-1] += part[1:]
        self._first, self._rest = pieces[0], pieces[1:]

    def __call__(self, value: Any) -> bool:
        if not isinstance(value, str) or not value.startswith(self._first):
            return False
        if not self._rest:
            return value == self._first
        here = len(self._first)
        *middle, last = self._rest
        for piece in middle:
            found = value.find(piece, here)
            if found < 0:
                return False
            here = found + len(piece)
        return len(value) - len(last) >= here and value.endswith(last)


_COMPARE: dict[str, Callable[[Any, float], bool]] = {
    "=": lambda value, bound: bool(value == bound),
    "<": lambda value, bound: bool(value < bound),
    "<=": lambda value, bound: bool(value <= bound),
    ">": lambda value, bound: bool(value > bound),
    ">=": lambda value, bound: bool(value >= bound),
}


def _numeric(argument: Node) -> Test:
    if argument.kind != "list":
        raise Mistake("Value of numeric must be an array.", argument.at)
    items: list[Node] = argument.value
    if not items or items[0].kind != "text":
        shown = items[0].value if items and items[0].kind in ("number", "word") else "]" if not items else "["
        raise Mistake(f"Invalid member in numeric match: {shown}", items[0].at if items else argument.end)
    sign = items[0].value
    if sign not in _COMPARE:
        raise Mistake(f"Unrecognized numeric range operator: {sign}", items[1].at if items[1:] else argument.end)
    bound = _bound(items, 1, "equals" if sign == "=" else sign, argument)
    compare = _COMPARE[sign]
    if len(items) == 2:
        return lambda value: is_number(value) and compare(value, bound)
    if sign not in (">", ">="):
        raise Mistake("Too many elements in numeric expression", items[2].at)
    return _range(items, compare, bound, argument)


def _range(items: list[Node], above: Callable[[Any, float], bool], bottom: float, argument: Node) -> Test:
    if items[2].kind != "text":
        raise Mistake(f"Bad value in numeric range: {items[2].value}", items[2].at)
    sign = items[2].value
    if sign not in ("<", "<="):
        raise Mistake(f"Bad numeric range operator: {sign}", items[2].end)
    top = _bound(items, 3, sign, argument)
    if len(items) > 4:
        raise Mistake("Too many terms in numeric range expression", items[4].at)
    if bottom >= top:
        raise Mistake("Bottom must be less than top", argument.end)
    below = _COMPARE[sign]
    return lambda value: is_number(value) and above(value, bottom) and below(value, top)


def _bound(items: list[Node], index: int, sign: str, argument: Node) -> float:
    if len(items) <= index or items[index].kind != "number":
        at = items[index].at if len(items) > index else argument.end
        raise Mistake(f"Value of {sign} must be numeric", at)
    value: float = items[index].value
    if abs(value) > NUMBER_MAX:
        raise Mistake("Value must be between -5.0E9 and 5.0E9, inclusive", items[index].at)
    return value


def _cidr(argument: Node) -> Test:
    """From the address before the slash to the last one of its network."""
    text = _string(argument, "prefix match pattern must be a string")
    first, slash, bits = text.partition("/")
    if not slash or "/" in bits:
        raise Mistake("Malformed CIDR, one '/' required", None)
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", bits):
        raise Mistake("Malformed CIDR, mask bits must be an integer", None)
    if int(bits) < 0:
        raise Mistake("Malformed CIDR, mask bits must not be negative", None)
    bottom = _address(first)
    if bottom is None:
        raise Mistake(f"Nonstandard IP address: {first}", None)
    if int(bits) >= bottom.max_prefixlen:
        raise Mistake(f"IPv{bottom.version} mask bits must be < {bottom.max_prefixlen}", None)
    top = int(bottom) | ((1 << (bottom.max_prefixlen - int(bits))) - 1)

    def test(value: Any) -> bool:
        found = _address(value) if isinstance(value, str) else None
        return found is not None and found.version == bottom.version and int(bottom) <= int(found) <= top

    return test


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _anything_but(argument: Node) -> Test:
    if argument.kind == "object":
        return _anything_but_operator(argument)
    items = argument.value if argument.kind == "list" else [argument]
    if argument.kind == "word":
        raise Mistake("Value of anything-but must be an array or single string/number value.", argument.at)
    for item in items:
        if item.kind not in ("text", "number"):
            raise Mistake("Inside anything but list, start|null|boolean is not supported.", item.at, twice=True)
    if len({item.kind for item in items}) != 1:
        raise Mistake(
            "Inside anything but list, either all values are number or string, mixed type is not supported",
            argument.end,
        )
    return _none_of([literal(item) for item in items])


#: What AWS says of an argument that is no text.
_BUT_COMPLAINTS = {
    "prefix": "prefix/suffix match pattern must be a string",
    "suffix": "prefix/suffix match pattern must be a string",
    "wildcard": "wildcard match pattern must be a string",
    "equals-ignore-case": "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.",
}


def _anything_but_operator(argument: Node) -> Test:
    name, inner = single(argument, "Anything-But expression name not found")
    if name not in _BUT_COMPLAINTS:
        raise Mistake(f"Unsupported anything-but pattern: {name}", inner.at)
    if inner.kind in ("object", "word"):
        raise Mistake("Value of anything-but must be an array or single string/number value.", inner.at)
    items: list[Node] = inner.value if inner.kind == "list" else [inner]
    if not items:
        raise Mistake("Empty arrays are not allowed", inner.end)
    for item in items:
        if not _string(item, _BUT_COMPLAINTS[name], twice=inner.kind == "list") and name in ("prefix", "suffix"):
            raise Mistake("Null prefix/suffix not allowed", item.at)
    return _none_of([operator(Node("object", [(name, item)], item.at, item.end)) for item in items])


def _none_of(tests: list[Test]) -> Test:
    return lambda value: not any(test(value) for test in tests)
