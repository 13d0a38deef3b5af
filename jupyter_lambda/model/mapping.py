"""An event source mapping: which source is read for which function, and how.

Source: AWS Lambda API Reference, "EventSourceMappingConfiguration".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

#: What is read: a Kinesis data stream, a DynamoDB stream, an SQS queue.
Kind = Literal["kinesis", "dynamodb", "sqs"]
#: AWS's states. The ones in -ing last until the poller has followed.
State = Literal["Creating", "Enabling", "Enabled", "Disabling", "Disabled", "Updating", "Deleting"]

#: LastProcessingResult, as AWS words it.
NOTHING_YET = "No records processed"
OK = "OK"
CALL_FAILED = "PROBLEM: Function call failed"


@dataclass(frozen=True, slots=True)
class Options:
    """How a source is read. Times in seconds; -1 is AWS's infinite."""

    batch_size: int
    batching_window_s: int = 0
    parallelization_factor: int = 1
    #: TRIM_HORIZON, LATEST or AT_TIMESTAMP; None for a queue.
    starting_position: str | None = None
    #: Seconds since the epoch.
    starting_timestamp_s: float | None = None
    #: Where batches go that are given up.
    on_failure_arn: str | None = None
    maximum_record_age_s: int = -1
    maximum_retry_attempts: int = -1
    bisect_on_error: bool = False
    tumbling_window_s: int = 0
    #: FunctionResponseTypes holds ReportBatchItemFailures.
    reports_failures: bool = False
    #: Patterns of FilterCriteria, as they were given.
    filters: tuple[str, ...] = ()
    #: ScalingConfig's, of a queue.
    maximum_concurrency: int | None = None
    #: Groups of metrics that are published; "EventCount" is the only one of these sources.
    metrics: tuple[str, ...] = ()

    @property
    def lanes(self) -> int:
        """Batches of one shard that may run at once. A window's state goes from batch to batch: one."""
        return 1 if self.tumbling_window_s else self.parallelization_factor


@dataclass(frozen=True, slots=True)
class EventSourceMapping:
    """One mapping."""

    uuid: str
    kind: Kind
    source_arn: str
    function_name: str
    #: Version or alias; None: $LATEST by the unqualified ARN.
    qualifier: str | None
    options: Options
    state: State
    #: StateTransitionReason.
    reason: str
    last_modified_s: float
    #: LastProcessingResult.
    last_result: str = NOTHING_YET
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def source_name(self) -> str:
        """Name of the stream, table or queue."""
        resource = self.source_arn.split(":", 5)[-1]
        return resource.split("/")[1] if "/" in resource else resource

    @property
    def trigger(self) -> str:
        """The name of this trigger in invocation records: "kinesis:STREAM", "dynamodb:TABLE", "sqs:QUEUE"."""
        return f"{self.kind}:{self.source_name}"

    def body(self) -> dict[str, Any]:
        """What is kept as JSON."""
        return {
            "kind": self.kind,
            "qualifier": self.qualifier,
            "options": asdict(self.options),
            "tags": dict(self.tags),
        }


def options_from(data: Mapping[str, Any]) -> Options:
    """Options as ``body`` wrote them; what a newer release added is passed over."""
    known = {name: data[name] for name in Options.__slots__ if name in data}
    for name in ("filters", "metrics"):
        known[name] = tuple(known.get(name, ()))
    return Options(**known)
