"""What happens to a batch that failed, or failed in part: pure.

A batch is a list of records of one lane; a ``Segment`` remembers which of them go together and how often they failed.
Source: AWS Lambda Developer Guide, "How Lambda handles errors with Kinesis": splitting a batch does not count as a
retry; with ReportBatchItemFailures only what begins with the first failed record is sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jupyter_lambda.model.mapping import Options

from .state import Segment


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a batch after its invocation."""

    #: Records at its beginning that are done with.
    done: int
    #: Records after those that are to be given up.
    discarded: int = 0
    #: Batches that the rest is to be sent as.
    segments: tuple[Segment, ...] = ()
    #: Whether they are to be sent at once: splitting makes progress by itself.
    at_once: bool = False


def judge(numbers: Sequence[int], before: Segment, failed_at: int | None, options: Options) -> Verdict:
    """Decide about a batch.

    Args:
        numbers: Of the batch's records, in order.
        before: Its segment, with failures and invocations before this one.
        failed_at: Index of the first record that failed; None: all succeeded. A failure of the whole is 0.
    """
    count = len(numbers)
    if failed_at is None:
        return Verdict(count)
    invokes = before.invokes + 1
    left = numbers[failed_at:]
    if options.bisect_on_error and failed_at > 0:
        # "The batch is bisected at the returned sequence number and Lambda retries only the remaining records."
        return Verdict(failed_at, 0, (Segment(left[0], left[-1], before.attempts, invokes),), at_once=True)
    if options.bisect_on_error and count > 1:
        middle = (count + 1) // 2
        first = Segment(left[0], left[middle - 1], before.attempts, invokes)
        second = Segment(left[middle], left[-1], before.attempts, invokes)
        return Verdict(0, 0, (first, second), at_once=True)
    # Records that were behind others so far have failed once now.
    attempts = before.attempts + 1 if failed_at == 0 else 1
    if 0 <= options.maximum_retry_attempts < attempts:
        return Verdict(failed_at, len(left))
    return Verdict(failed_at, 0, (Segment(left[0], left[-1], attempts, invokes),))


def expired(arrivals_s: Sequence[float], now_s: float, options: Options, retention_s: float) -> int:
    """How many records at the beginning of a batch are too old to be sent.

    Args:
        arrivals_s: When they came.
        retention_s: For how long the stream keeps records: without an age of the mapping's own, that is the end.
    """
    limit_s = float(options.maximum_record_age_s) if options.maximum_record_age_s >= 0 else retention_s
    count = 0
    while count < len(arrivals_s) and now_s - arrivals_s[count] > limit_s:
        count += 1
    return count
