"""What a function's answer says of its batch: ReportBatchItemFailures.

Source: AWS Lambda Developer Guide, "Configuring partial batch response with Kinesis Data Streams and Lambda".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def answer_of(payload: bytes) -> Any:
    """The function's answer; None where it is empty or not JSON."""
    try:
        return json.loads(payload) if payload else None
    except (ValueError, RecursionError):
        return None


def first_failure(answer: Any, sequences: Sequence[str]) -> int | None:
    """Index of the first record that failed; None where all of them succeeded.

    "If the batchItemFailures array contains multiple items, Lambda uses the record with the lowest sequence number as
    the checkpoint." Success: an empty or null list, an empty or null answer. Complete failure (index 0): an item whose
    identifier is empty, null, under another key, or not one of this batch.

    Args:
        sequences: Sequence numbers of the batch, in its order.
    """
    if not isinstance(answer, Mapping):
        return None
    failures = answer.get("batchItemFailures")
    if failures is None or failures == []:
        return None
    if not isinstance(failures, list):
        return 0
    places = {sequence: index for index, sequence in enumerate(sequences)}
    found = [places.get(_identifier(one), 0) for one in failures]
    return min(found)


def _identifier(item: Any) -> str:
    identifier = item.get("itemIdentifier") if isinstance(item, Mapping) else None
    return identifier if isinstance(identifier, str) else ""
