"""CloudWatch's event source mapping metrics, and what Prometheus and the status are told of a mapping.

EventCount's metrics are published where the mapping's MetricsConfig asks for them, as on AWS; IteratorAge always.
Source: AWS Lambda Developer Guide, "Types of metrics for Lambda functions": event source mapping metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jupyter_lambda.model.mapping import EventSourceMapping

if TYPE_CHECKING:
    from jupyter_lambda.engine.metrics import Metrics

POLLED = "PolledEventCount"
FILTERED = "FilteredOutEventCount"
INVOKED = "InvokedEventCount"
FAILED = "FailedInvokeEventCount"
DROPPED = "DroppedEventCount"
DELIVERED = "OnFailureDestinationDeliveredEventCount"
#: Of queues.
DELETED = "DeletedEventCount"


class Counts:
    """Counts of one mapping since the engine's start; published minute by minute."""

    def __init__(
        self, metrics: Metrics, current: Callable[[], EventSourceMapping | None], uuid: str, trigger: str
    ) -> None:
        self._metrics = metrics
        self._current = current
        self._uuid = uuid
        self._trigger = trigger
        metrics.sources[uuid] = self.summary
        self.totals: Counter[str] = Counter()
        #: Invocations, and records that they held.
        self.batches = 0
        self.largest_batch = 0
        self.iterator_age_ms: float | None = None
        #: Messages that wait in the queue, as it says itself.
        self.queue_depth: int | None = None

    def add(self, name: str, count: int) -> None:
        """So many more events of one metric."""
        if not count:
            return
        self.totals[name] += count
        mapping = self._current()
        if mapping is not None and "EventCount" in mapping.options.metrics:
            self._metrics.mapping(name, self._uuid, float(count))

    def batch(self, size: int) -> None:
        """The function was invoked with so many records."""
        self.batches += 1
        self.largest_batch = max(self.largest_batch, size)
        self.add(INVOKED, size)

    def age(self, age_s: float) -> None:
        """How old the last record of a batch was when the batch was done with."""
        self.iterator_age_ms = max(0.0, age_s * 1000)
        mapping = self._current()
        if mapping is not None:
            self._metrics.sample("IteratorAge", mapping.function_name, self.iterator_age_ms)

    def destination_failed(self) -> None:
        """A destination didn't take a batch that was given up."""
        mapping = self._current()
        if mapping is not None:
            self._metrics.destination_failure(mapping.function_name)

    def forget(self) -> None:
        """The mapping is gone."""
        self._metrics.sources.pop(self._uuid, None)

    def summary(self) -> dict[str, Any]:
        """For the status and Prometheus."""
        return {
            "trigger": self._trigger,
            "events": dict(self.totals),
            "batches": self.batches,
            "largest_batch": self.largest_batch,
            "iterator_age_ms": self.iterator_age_ms,
            "queue_depth": self.queue_depth,
        }
