"""What an engine knows beyond AWS of what buckets and topics tell functions: paused or not, and the last result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_lambda.errors import LambdaError

from .errors import TriggerError
from .place import Function, Place


def known(place: Place, function: Function, **which: str) -> dict[str, Any]:
    """State and last result of one notification; empty at AWS, which knows neither."""
    if place.admin is None:
        return {}
    try:
        every = place.admin.notifications(function.name)
    except LambdaError as exc:
        raise TriggerError(exc.message) from exc
    return next((one for one in every if all(one.get(key) == value for key, value in which.items())), {})


def set_paused(place: Place, function: Function, *, paused: bool, **which: str) -> None:
    """Pause it, or go on; an engine keeps meanwhile what it is told.

    Raises:
        TriggerError: It is not there, or can't be paused: AWS keeps nothing.
    """
    assert place.admin is not None
    try:
        place.admin.set_notifications_paused(function.name, paused=paused, **which)
    except LambdaError as exc:
        raise TriggerError(exc.message) from exc


def result(one: Mapping[str, Any]) -> str:
    """The last result, in words."""
    return str(one.get("last_result") or "")
