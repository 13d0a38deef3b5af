"""Pages of lists that are short enough to be had whole: by key, so that a page after a change goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from jupyter_lambda.engine.control import read_marker, write_marker
from jupyter_lambda.errors import BadRequestException, InvalidParameterValueException

T = TypeVar("T", bound=Mapping[str, Any])


def page_of(items: Sequence[T], key: str, token: str | None, most: int) -> tuple[list[T], str | None]:
    """One page of items in the order of their keys, and the token of the next one.

    Args:
        key: The member by which they are ordered; a string, unique.
    Raises:
        BadRequestException: Not a token that was handed out here.
    """
    try:
        after = read_marker(token, str)
    except InvalidParameterValueException:
        raise BadRequestException("Invalid token specified") from None
    ordered = sorted(items, key=lambda item: str(item[key]))
    if after is not None:
        ordered = [item for item in ordered if item[key] > after[0]]
    more = len(ordered) > most
    found = ordered[:most]
    return found, write_marker(found[-1][key]) if more else None
