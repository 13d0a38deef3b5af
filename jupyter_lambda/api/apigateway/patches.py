"""Patch operations of API Gateway: ``{"op": "replace", "path": "/name", "value": "x"}``, values always strings.

Source: Amazon API Gateway API Reference, "Patch operations".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from jupyter_lambda.errors import BadRequestException
from jupyter_lambda.store.http import Document

#: "list" and "map": the path names an item below the member.
Kind = Literal["text", "boolean", "integer", "list", "map"]


def apply(document: Document, operations: Sequence[Mapping[str, Any]], members: Mapping[str, Kind]) -> Document:
    """The document as the operations make it.

    Args:
        members: Those that may be patched.
    Raises:
        BadRequestException: An operation that AWS doesn't have here, or a value that is none.
    """
    changed = dict(document)
    for operation in operations:
        _apply(changed, operation, members)
    return changed


def _apply(document: Document, operation: Mapping[str, Any], members: Mapping[str, Kind]) -> None:
    path = operation.get("path") or ""
    name, _, item = path[1:].partition("/")
    kind = members.get(name)
    if not path.startswith("/") or kind is None or bool(item) != (kind in ("list", "map")):
        shown = ", ".join(f"/{member}" for member in members)
        raise BadRequestException(f"Invalid patch path  '{path[:128]}' specified. Must be one of: [{shown}]")
    op, value = operation.get("op"), operation.get("value")
    if op not in ("add", "remove", "replace"):
        raise BadRequestException(f"Invalid patch operation specified: {op}. Must be one of: add, remove, replace")
    if kind == "list":
        _patch_list(document, name, unescape(item), op)
    elif kind == "map":
        found = dict(document.get(name) or {})
        if op == "remove":
            found.pop(unescape(item), None)
        else:
            found[unescape(item)] = value or ""
        document[name] = found
    elif op == "remove":
        document.pop(name, None)
    else:
        document[name] = read(value or "", kind, path)


def _patch_list(document: Document, name: str, item: str, op: str) -> None:
    found = [one for one in document.get(name) or () if one != item]
    document[name] = found if op == "remove" else [*found, item]


def read(value: str, kind: str, path: str) -> Any:
    """A value of its kind.

    Raises:
        BadRequestException: It is no such value.
    """
    if kind == "boolean":
        if value.lower() not in ("true", "false"):
            raise BadRequestException(f"Invalid value for {path}: must be true or false")
        return value.lower() == "true"
    if kind in ("integer", "number"):
        try:
            return int(value) if kind == "integer" else float(value)
        except ValueError:
            raise BadRequestException(f"Invalid value for {path}: must be a number") from None
    return value


def unescape(text: str) -> str:
    """A JSON pointer's segment as it is meant."""
    return text.replace("~1", "/").replace("~0", "~")
