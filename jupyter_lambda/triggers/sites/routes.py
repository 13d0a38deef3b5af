"""Which route of an API a request means: pure, and the same for HTTP APIs and for the resources of REST APIs.

A full match goes before one that a greedy variable makes, a longer greedy prefix before a shorter one, a literal
segment before a variable, a method before ANY; ``$default`` takes what is left.

Source: Amazon API Gateway Developer Guide, "Create routes for HTTP APIs", "Routing API requests".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import unquote

T = TypeVar("T")
DEFAULT = "$default"
ANY = "ANY"
METHODS = ("GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "DELETE")
_KEY = re.compile(rf"({'|'.join((ANY, *METHODS))}) (/\S*)")
_VARIABLE = re.compile(r"\{([a-zA-Z0-9._:-]+)(\+?)\}")


class Match(NamedTuple, Generic[T]):
    """A route that was found."""

    target: T
    #: Path variables, percent-decoded.
    variables: Mapping[str, str]


class BadRoute(ValueError):
    """What is wrong with a route's path."""


@dataclass(slots=True)
class _Node(Generic[T]):
    literal: dict[str, _Node[T]] = field(default_factory=dict)
    variable: _Node[T] | None = None
    greedy: _Node[T] | None = None
    #: Method → target and the names of its variables. Paths that differ in those names only share a node.
    ends: dict[str, tuple[T, tuple[str, ...]]] = field(default_factory=dict)

    def end(self, method: str, values: list[str]) -> Match[T] | None:
        found = self.ends.get(method) or self.ends.get(ANY)
        if found is None:
            return None
        target, names = found
        return Match(target, {name: unquote(value) for name, value in zip(names, values, strict=True)})


class Routes(Generic[T]):
    """The routes of one API or stage."""

    def __init__(self, *, slash_matters: bool) -> None:
        """
        Args:
            slash_matters: Whether /pets/ is another path than /pets: in HTTP APIs it is, in REST APIs not.
        """
        self._root: _Node[T] = _Node()
        self._slash_matters = slash_matters
        self.default: T | None = None

    def add(self, method: str, path: str, target: T) -> None:
        """Add one route.

        Args:
            method: One of ``METHODS`` or "ANY".
            path: "/pets/{id}", "/{proxy+}".
        Raises:
            BadRoute: The path is none.
        """
        node, names = self._root, []
        for segment in _segments(path):
            variable = _VARIABLE.fullmatch(segment)
            if variable is None:
                node = node.literal.setdefault(unquote(segment), _Node())
                continue
            names.append(variable[1])
            if variable[2]:
                node.greedy = node.greedy or _Node()
                node = node.greedy
            else:
                node.variable = node.variable or _Node()
                node = node.variable
        node.ends[method] = (target, tuple(names))

    def find(self, method: str, path: str) -> Match[T] | None:
        """The route for a request; None where there is none, not even ``$default``.

        Args:
            path: Percent-encoded.
        """
        text = path if self._slash_matters else path.rstrip("/")
        segments = text.lstrip("/").split("/") if text.strip("/") else []
        if self._slash_matters and path != "/" and path.endswith("/") and not segments:
            segments = [""]
        found = self._full(self._root, segments, 0, [], method) or self._greedy(self._root, segments, 0, [], method)
        if found is None and self.default is not None:
            return Match(self.default, {})
        return found

    def _full(self, node: _Node[T], segments: list[str], at: int, values: list[str], method: str) -> Match[T] | None:
        if at == len(segments):
            return node.end(method, values)
        segment = segments[at]
        following = node.literal.get(unquote(segment))
        found = self._full(following, segments, at + 1, values, method) if following else None
        if found is None and node.variable and segment:
            found = self._full(node.variable, segments, at + 1, [*values, segment], method)
        return found

    def _greedy(self, node: _Node[T], segments: list[str], at: int, values: list[str], method: str) -> Match[T] | None:
        if at == len(segments):
            return None
        segment = segments[at]
        following = node.literal.get(unquote(segment))
        found = self._greedy(following, segments, at + 1, values, method) if following else None
        if found is None and node.variable and segment:
            found = self._greedy(node.variable, segments, at + 1, [*values, segment], method)
        if found is None and node.greedy:
            rest = "/".join(segments[at:])
            found = node.greedy.end(method, [*values, rest]) if rest else None
        return found


def split_key(key: str) -> tuple[str, str] | None:
    """Method and path of a route key, "GET /pets"; None where it is no such thing."""
    found = _KEY.fullmatch(key)
    return (found[1], found[2]) if found else None


def check_path(path: str) -> None:
    """Refuse what is no path of a route.

    Raises:
        BadRoute: Says why.
    """
    _segments(path)


def variables_of(path: str) -> list[str]:
    """Names of the path's variables, in order."""
    return [name for name, _ in _VARIABLE.findall(path)]


def _segments(path: str) -> list[str]:
    if not path.startswith("/"):
        raise BadRoute("a path must begin with /")
    segments = path[1:].split("/") if path != "/" else []
    names = []
    for number, segment in enumerate(segments):
        variable = _VARIABLE.fullmatch(segment)
        if variable is None and ("{" in segment or "}" in segment):
            raise BadRoute(f"a path variable must be a whole segment, not a part of {segment!r}")
        if variable is not None and variable[2] and number != len(segments) - 1:
            raise BadRoute("a greedy path variable must be at the end of the path")
        if variable is not None:
            names.append(variable[1])
    if len(names) != len(set(names)):
        raise BadRoute("path variables must have different names")
    return segments
