"""Which operation a method and path mean: a tree of path segments, compiled from URI templates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import parse_qsl, unquote

T = TypeVar("T")


@dataclass(slots=True)
class _Node(Generic[T]):
    literal: dict[str, _Node[T]] = field(default_factory=dict)
    #: The node after any one segment, and after any rest (``{Key+}``).
    label: _Node[T] | None = None
    rest: _Node[T] | None = None
    #: Method → routes that end here; those with query literals come first.
    ends: dict[str, list[_Route[T]]] = field(default_factory=dict)


@dataclass(slots=True)
class _Route(Generic[T]):
    target: T
    labels: tuple[str, ...]
    #: Query parameters that belong to the address, as in ``?find=LayerVersion``.
    query: dict[str, str]


class Router(Generic[T]):
    """Finds the target of a request in time that grows with the path's segments only."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, method: str, template: str, target: T) -> None:
        """Add one route.

        Args:
            template: As in AWS's descriptions: /a/{Label}/b, /{Bucket}/{Key+}, /a?find=b
        """
        path, _, query = template.partition("?")
        node = self._root
        labels = []
        for segment in path.strip("/").split("/"):
            if segment.startswith("{") and segment.endswith("+}"):
                labels.append(segment[1:-2])
                node.rest = node.rest or _Node()
                node = node.rest
            elif segment.startswith("{"):
                labels.append(segment[1:-1])
                node.label = node.label or _Node()
                node = node.label
            else:
                node = node.literal.setdefault(segment, _Node())
        literals = dict(parse_qsl(query, keep_blank_values=True))
        routes = node.ends.setdefault(method, [])
        routes.append(_Route(target, tuple(labels), literals))
        routes.sort(key=lambda route: -len(route.query))

    def find(self, method: str, path: str, query: str) -> tuple[T, dict[str, str]] | None:
        """The target and its labels, percent-decoded; None when nothing has this address.

        A slash at the end makes no difference. A literal segment goes before a label, a label before a rest.
        """
        segments = path.strip("/").split("/")
        return self._walk(self._root, segments, 0, [], method, query)

    def _walk(
        self, node: _Node[T], segments: list[str], at: int, values: list[str], method: str, query: str
    ) -> tuple[T, dict[str, str]] | None:
        if at == len(segments):
            return _end(node, values, method, query)
        segment = segments[at]
        following = node.literal.get(segment)
        found = self._walk(following, segments, at + 1, values, method, query) if following else None
        if found is None and node.label:
            found = self._walk(node.label, segments, at + 1, [*values, segment], method, query)
        if found is None and node.rest:
            found = _end(node.rest, [*values, "/".join(segments[at:])], method, query)
        return found


def _end(node: _Node[T], values: list[str], method: str, query: str) -> tuple[T, dict[str, str]] | None:
    for route in node.ends.get(method, ()):
        if route.query:
            given = dict(parse_qsl(query, keep_blank_values=True))
            if any(given.get(name) != value for name, value in route.query.items()):
                continue
        texts = (unquote(value) if "%" in value else value for value in values)
        return route.target, dict(zip(route.labels, texts, strict=True))
    return None
