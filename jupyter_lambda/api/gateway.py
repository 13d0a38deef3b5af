"""What both control planes of API Gateway share: ids, and documents as they are kept and told."""

from __future__ import annotations

import secrets
import string

from jupyter_lambda.store.http import Document

from .call import Call

_LETTERS = string.ascii_lowercase + string.digits


def new_id(chars: int) -> str:
    """A fresh id as AWS makes them; the first character is a letter, so that it is a host name's label."""
    return secrets.choice(string.ascii_lowercase) + "".join(secrets.choice(_LETTERS) for _ in range(chars - 1))


def public(part: Document) -> Document:
    """A part of an API without what only the engine needs."""
    return {name: value for name, value in part.items() if name != "Snapshot"}


def given(call: Call, *names: str) -> Document:
    """Those of the members that the call has."""
    return {name: call.params[name] for name in names if call.params.get(name) is not None}
