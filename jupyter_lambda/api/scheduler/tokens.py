"""ClientToken: a request that is sent again gets the answer that it got the first time, and changes nothing.

Source: EventBridge Scheduler API Reference, "CreateSchedule".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.call import Call
from jupyter_lambda.errors import ConflictException
from jupyter_lambda.store.schedules import Token

#: Held while groups and schedules are read, decided about and written.
LOCK = "EventBridge Scheduler"


def answered(call: Call, operation: str) -> Mapping[str, Any] | None:
    """The answer to a request that was answered before; None: it is new.

    Raises:
        ConflictException: Its token was sent with other parameters.
    """
    token = call.params.get("ClientToken")
    found = call.triggers.schedules.scheduler.rows.answered(operation, token) if token else None
    if found is None:
        return None
    if found[0] != _hash(call.params):
        raise ConflictException(f"The ClientToken {token} was used with other parameters.")
    return found[1]


def remember(call: Call, operation: str, answer: dict[str, Any]) -> Token | None:
    """What is kept of this request; None where it has no token."""
    token = call.params.get("ClientToken")
    if not token:
        return None
    return Token(operation, token, _hash(call.params), answer, call.service.clock())


def _hash(params: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()
