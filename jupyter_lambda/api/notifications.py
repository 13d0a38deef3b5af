"""Admin routes of what buckets and topics tell functions: AWS can't pause that. Only the engine's owner gets here."""

from __future__ import annotations

import json
from typing import Any

from jupyter_lambda.errors import InvalidParameterValueException
from jupyter_lambda.model.notification import Kind
from jupyter_lambda.triggers.notifications.host import Notifications

#: Members of a request's body.
_MEMBERS = ("function", "bucket", "topic", "configuration")


async def set_paused(notifications: Notifications, body: bytes, *, paused: bool) -> dict[str, Any]:
    """``POST /notifications/pause`` and ``/resume`` with ``{"function": …, "bucket": …}``; or ``"topic"``.

    ``"configuration"`` names one by its Id, its subscription's ARN or the id that GET tells. A pause answers when
    nothing that was received before is on its way any more.
    """
    given = _read(body)
    function, bucket, topic = given.get("function"), given.get("bucket"), given.get("topic")
    if not function or (bucket and topic) or len(given) < 2:
        raise InvalidParameterValueException(
            'The body names "function" and one of "bucket" and "topic", or "configuration".'
        )
    kind: Kind | None = "s3" if bucket else "sns" if topic else None
    found = await notifications.set_paused(function, kind, bucket or topic, given.get("configuration"), paused=paused)
    return {"notifications": found}


def _read(body: bytes) -> dict[str, str]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise InvalidParameterValueException("The body must be a JSON object.")
    for name, value in given.items():
        if name not in _MEMBERS or not isinstance(value, str) or not value:
            raise InvalidParameterValueException(
                f"{name[:64]!r} of the body: it has {', '.join(_MEMBERS)}, each a text."
            )
    return given
