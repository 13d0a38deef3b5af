"""Which messages of a batch a function has not dealt with.

Source: AWS Lambda Developer Guide, "Implementing partial batch responses" for Amazon SQS: an empty list, null, an empty
object and no object mean complete success; whatever can't be understood, an empty or unknown identifier included, means
complete failure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from .sqs_records import Message


def failed(answer: bytes, batch: Sequence[Message]) -> list[Message]:
    """The messages that the function's answer says have failed; all of them where it can't be understood."""
    everything = list(batch)
    try:
        document = json.loads(answer) if answer.strip() else None
    except (ValueError, RecursionError):
        return everything
    if document is None or document == {}:
        return []
    if not isinstance(document, dict):
        return everything
    items = document.get("batchItemFailures")
    if items is None:
        return []
    if not isinstance(items, list):
        return everything
    known = {message.message_id for message in batch}
    told = set()
    for item in items:
        identifier = item.get("itemIdentifier") if isinstance(item, dict) else None
        if not isinstance(identifier, str) or identifier not in known:
            return everything
        told.add(identifier)
    return in_order([message for message in batch if message.message_id in told], batch)


def in_order(told: Sequence[Message], batch: Sequence[Message]) -> list[Message]:
    """What failed, and what stands behind it in its group: what follows a failure must not count as done before it.

    AWS asks functions to stop at the first failure of a FIFO queue and to name all that follows; one that names the
    failure alone loses nothing here.
    """
    broken = set()
    found = []
    failures = {message.message_id for message in told}
    for message in batch:
        if message.message_id in failures or message.group_id in broken:
            found.append(message)
            if message.group_id is not None:
                broken.add(message.group_id)
    return found
