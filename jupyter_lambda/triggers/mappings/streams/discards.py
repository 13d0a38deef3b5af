"""Batches that are given up: what their destination is told, and sending it until it is accepted.

Source: AWS Lambda Developer Guide, "Retain discarded batch records for a Kinesis Data Streams event source".
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jupyter_lambda.triggers.mappings.backoff import Backoff
from jupyter_lambda.triggers.mappings.context import Context, Outcome, Stopped
from jupyter_lambda.triggers.mappings.counts import DELIVERED, DROPPED
from jupyter_lambda.triggers.mappings.delivery import Discard, deliver

from .source import Record

log = logging.getLogger(__name__)

#: Seconds between attempts to reach a destination: first, and longest.
_FIRST_S, _LONGEST_S = 1.0, 60.0
#: Conditions, as AWS names them; the last one is this project's own.
RETRIES, AGE, SIZE = "RetryAttemptsExhausted", "RecordAgeExceeded", "PayloadSizeExceeded"


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Records that are not tried again, and why."""

    records: Sequence[Record]
    condition: str
    #: Invocations that they were part of.
    invokes: int
    #: Of the last one; None where the function never got them.
    outcome: Outcome | None
    #: The event that the function got or would have got.
    event: bytes


async def give_up(context: Context, shard_id: str, batch_info: str, given_up: GivenUp) -> None:
    """Tell the mapping's destination, if it has one; returns once it accepted.

    Raises:
        Stopped: The poller is to stop; the batch counts as not given up.
    """
    count = len(given_up.records)
    destination = context.options.on_failure_arn
    if destination is None:
        log.warning("%s: %d records are dropped: %s", context.mapping.trigger, count, given_up.condition)
        context.counts.add(DROPPED, count)
        return
    now_s = context.clock()
    document = describe(context, shard_id, batch_info, given_up, now_s)
    discard = Discard(context.mapping.uuid, shard_id, document, given_up.event, now_s)
    backoff = Backoff(_FIRST_S, _LONGEST_S)
    while True:
        try:
            await deliver(context.cloud, destination, discard)
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing may be lost for it
            log.warning("%s: the destination %s did not accept: %s", context.mapping.trigger, destination, error)
            context.counts.destination_failed()
            context.tell(f"PROBLEM: the on-failure destination {destination} did not accept a discarded batch")
            await context.pause(backoff.next_s())
        else:
            context.counts.add(DELIVERED, count)
            return


def describe(context: Context, shard_id: str, batch_info: str, given_up: GivenUp, now_s: float) -> dict[str, Any]:
    """The document that a destination gets."""
    outcome = given_up.outcome
    document: dict[str, Any] = {
        "requestContext": {
            "requestId": outcome.request_id if outcome else str(uuid.uuid4()),
            "functionArn": context.function_arn,
            "condition": given_up.condition,
            "approximateInvokeCount": given_up.invokes,
        }
    }
    if outcome is not None:
        response: dict[str, Any] = {"statusCode": 200, "executedVersion": outcome.executed_version}
        if outcome.function_error:
            response["functionError"] = outcome.function_error
        document["responseContext"] = response
    document["version"] = "1.0"
    document["timestamp"] = _iso(now_s)
    info: dict[str, Any] = {"shardId": shard_id}
    if given_up.records:
        first, last = given_up.records[0], given_up.records[-1]
        info |= {
            "startSequenceNumber": first.sequence,
            "endSequenceNumber": last.sequence,
            "approximateArrivalOfFirstRecord": _iso(first.arrived_s),
            "approximateArrivalOfLastRecord": _iso(last.arrived_s),
        }
    document[batch_info] = {
        **info,
        "batchSize": len(given_up.records),
        "streamArn": context.mapping.source_arn,
    }
    return document


def _iso(at_s: float) -> str:
    moment = datetime.fromtimestamp(at_s, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
