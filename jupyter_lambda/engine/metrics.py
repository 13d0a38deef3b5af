"""CloudWatch's Lambda metrics, counted as things happen and handed to the store minute by minute.

What runs for each invocation is a few additions (about a microsecond); everything else, above all the account's sums
and the histograms' encoding, happens once a minute, or when somebody asks. A minute that was not written yet is lost
with a SIGKILL; the ledger's records are not.

Source: AWS Lambda Developer Guide, "Types of metrics for Lambda functions".
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from jupyter_lambda.model.invocation import InvocationRecord
from jupyter_lambda.model.statistics import BUCKETS_PER_E, ZERO_BUCKET, StatisticSet
from jupyter_lambda.store.metrics import EXECUTED, FUNCTION, LAMBDA, OWN, PROVISIONED_GB_S, RESOURCE, MetricKey

from .counters import Flights, Runs, Samples, Totals, duration, shares

#: Metric → its unit. Every name that AWS documents and that is counted here.
UNITS = {
    "Invocations": "Count",
    "Errors": "Count",
    "Throttles": "Count",
    "Duration": "Milliseconds",
    "ConcurrentExecutions": "Count",
    "UnreservedConcurrentExecutions": "Count",
    "ClaimedAccountConcurrency": "Count",
    "ProvisionedConcurrentExecutions": "Count",
    "ProvisionedConcurrencyUtilization": "None",
    "ProvisionedConcurrencyInvocations": "Count",
    "ProvisionedConcurrencySpilloverInvocations": "Count",
    "AsyncEventsReceived": "Count",
    "AsyncEventAge": "Milliseconds",
    "AsyncEventsDropped": "Count",
    "DeadLetterErrors": "Count",
    "DestinationDeliveryFailures": "Count",
    "IteratorAge": "Milliseconds",
    "UrlRequestCount": "Count",
    "Url4xxCount": "Count",
    "Url5xxCount": "Count",
    "UrlRequestLatency": "Milliseconds",
}
#: Dimension of event source mapping metrics.
MAPPING = "EventSourceMappingUUID"
#: Functions that have totals of their own; the others share those of ``OTHER``, which is no function's name.
TOTALS_MAX = 100
OTHER = "*other*"
_log = math.log
_floor = math.floor


#: A resource's dimensions: function name, resource, executed version.
_Place = tuple[str, str, str]
#: Metric and minute.
_Slot = tuple[MetricKey, int]


class Metrics:
    """Counts; all methods are for the loop's thread.

    Args:
        clock: Seconds since the epoch.
        is_reserved: Whether a function has concurrency reserved for it.
    """

    def __init__(
        self, clock: Callable[[], float] = time.time, *, is_reserved: Callable[[str], bool] = lambda _: False
    ) -> None:
        self._clock = clock
        self._is_reserved = is_reserved
        #: Concurrency of the account that is set aside: reserved, and provisioned where nothing is reserved.
        self.allocated = 0
        self._runs: dict[tuple[str, str], Runs] = {}
        self._places: dict[tuple[str, str], _Place] = {}
        self._past: list[tuple[tuple[str, str], Runs]] = []
        self._flights: dict[str, Flights] = {}
        self._every = Flights()
        #: Those without a reservation; counted apart once there are others.
        self._unreserved: Flights | None = None
        self._samples: dict[tuple[str, str, str], Samples] = {}
        self._waiting: dict[_Slot, StatisticSet] = {}
        self._cold: dict[str, tuple[int, int, float]] = {}
        #: Function → totals since the start.
        self.totals: dict[str, Totals] = {}
        #: Event source mapping's uuid → what it tells of itself since the start.
        self.sources: dict[str, Callable[[], Mapping[str, Any]]] = {}
        #: The same of what buckets and topics tell functions, by the notification's id.
        self.notifications: dict[str, Callable[[], Mapping[str, Any]]] = {}
        #: The latest values of gauges: metric → function (and qualifier) → value.
        self.gauges: dict[str, dict[str, float]] = {}

    # --- told by the invoker, for every invocation

    def begin(self, function_name: str, now_s: float) -> None:
        """An environment begins to process an event."""
        minute = int(now_s) // 60
        every = self._every
        flights = self._flights.get(function_name)
        if flights is None:
            flights = self._flights[function_name] = Flights(reserved=self._is_reserved(function_name))
            if flights.reserved and self._unreserved is None:
                self._part_unreserved(minute)
        if flights.minute != minute:
            self._fold_flights(function_name, flights, minute)
        if every.minute != minute:
            self._fold_flights(None, every, minute)
        flights.begin()
        every.begin()
        if self._unreserved is not None and not flights.reserved:
            self._unreserved.begin()

    def end(self, function_name: str) -> None:
        """It has finished, one way or the other."""
        flights = self._flights[function_name]
        flights.running -= 1
        self._every.running -= 1
        if self._unreserved is not None and not flights.reserved:
            self._unreserved.running -= 1

    def invocation(self, record: InvocationRecord, invoked_arn: str) -> None:
        """An invocation has ended; one that the engine itself failed is none, as on AWS.

        Args:
            invoked_arn: As the caller named the function, with its qualifier.
        """
        status = record.status
        if status == "system":
            return
        key = (invoked_arn, record.version)
        runs = self._at(key, int(record.received_s) // 60)
        run_ms = record.run_ms
        runs.invocations += 1
        if status != "success":
            runs.errors += 1
        runs.total_ms += run_ms
        if run_ms < runs.minimum:
            runs.minimum = run_ms
        if run_ms > runs.maximum:
            runs.maximum = run_ms
        bucket = _floor(_log(run_ms) * BUCKETS_PER_E) if run_ms > 0.0 else ZERO_BUCKET
        histogram = runs.histogram
        histogram[bucket] = histogram.get(bucket, 0.0) + 1.0
        name = record.function_name
        cold, billed_ms, gb_s = self._cold.get(name, (0, 0, 0.0))
        self._cold[name] = (cold + record.cold, billed_ms + record.billed_ms, gb_s + record.gb_s)

    def event_received(self, function_name: str, now_s: float) -> None:
        """An asynchronous event was taken."""
        self._quick("AsyncEventsReceived", function_name, 1.0, now_s)

    def event_age(self, function_name: str, age_ms: float, now_s: float) -> None:
        """An asynchronous event reaches its function so long after it was taken."""
        self._quick("AsyncEventAge", function_name, max(0.0, age_ms), now_s)

    def provisioned_invocation(
        self, function_name: str, qualifier: str, *, spillover: bool, now_s: float = 0.0
    ) -> None:
        """An invocation of a qualifier with provisioned concurrency ran on it, or beside it."""
        name = "ProvisionedConcurrencySpilloverInvocations" if spillover else "ProvisionedConcurrencyInvocations"
        self._quick(name, function_name, 1.0, self._clock(), qualifier)

    def url_request(self, function_name: str, qualifier: str, status: int, latency_ms: float) -> None:
        """A Function URL has begun to answer a request.

        Args:
            qualifier: The alias, or "" for the function's own URL.
        """
        now_s = self._clock()
        self._quick("UrlRequestCount", function_name, 1.0, now_s, qualifier)
        self._quick("UrlRequestLatency", function_name, latency_ms, now_s, qualifier)
        if status >= 400:
            self._quick("Url5xxCount" if status >= 500 else "Url4xxCount", function_name, 1.0, now_s, qualifier)

    # --- told when it happens

    def throttle(self, invoked_arn: str, version: str) -> None:
        """An invocation was turned away."""
        self._at((invoked_arn, version), int(self._clock()) // 60).throttles += 1

    def event_dropped(self, function_name: str) -> None:
        """An asynchronous event was given up without having been processed."""
        self.sample("AsyncEventsDropped", function_name, 1.0)

    def dead_letter_error(self, function_name: str) -> None:
        """An event could not be sent to its dead-letter queue."""
        self.sample("DeadLetterErrors", function_name, 1.0)

    def destination_failure(self, function_name: str) -> None:
        """An event could not be sent to its destination."""
        self.sample("DestinationDeliveryFailures", function_name, 1.0)

    def provisioned(self, function_name: str, qualifier: str, *, in_use: int, initialized: int) -> None:
        """How much of a qualifier's provisioned concurrency is in use."""
        resource = f"{function_name}:{qualifier}"
        self.sample("ProvisionedConcurrentExecutions", function_name, float(in_use), resource=resource)
        share = in_use / initialized if initialized else 0.0
        self.sample("ProvisionedConcurrencyUtilization", function_name, share, resource=resource)

    def provisioned_gb_s(self, function_name: str, gb_s: float) -> None:
        """What provisioned environments took, used or not; charged apart."""
        key = MetricKey(OWN, PROVISIONED_GB_S, ((FUNCTION, function_name),), "None")
        self._put(key, int(self._clock()) // 60, StatisticSet.of(gb_s))

    def mapping(self, name: str, mapping_uuid: str, value: float) -> None:
        """So many events of an event source mapping."""
        key = MetricKey(LAMBDA, name, ((MAPPING, mapping_uuid),), "Count")
        self._put(key, int(self._clock()) // 60, StatisticSet.of(value))

    def sample(self, name: str, function_name: str, value: float, *, resource: str | None = None) -> None:
        """One value of a metric: of the function, of its version or alias where one is named, and of the account."""
        one, minute, unit = StatisticSet.of(value), int(self._clock()) // 60, UNITS[name]
        self._put(MetricKey(LAMBDA, name, ((FUNCTION, function_name),), unit), minute, one)
        if resource is not None:
            pairs = ((FUNCTION, function_name), (RESOURCE, resource))
            self._put(MetricKey(LAMBDA, name, pairs, unit), minute, one)
            self.gauges.setdefault(name, {})[resource] = value
        self._put(MetricKey(LAMBDA, name, (), unit), minute, one)

    # --- asked by whoever writes or shows it

    @property
    def in_flight(self) -> dict[str, int]:
        """Function → events that are being processed now."""
        return {name: flights.running for name, flights in self._flights.items() if flights.running}

    @property
    def dirty(self) -> bool:
        """Whether ``take`` would find something."""
        return bool(self._runs or self._past or self._waiting or self._samples or self._every.samples)

    def take(self) -> list[tuple[MetricKey, int, StatisticSet]]:
        """What was counted since the last time: metric, first second of the minute, statistics; now the caller's."""
        self._fold()
        waiting, self._waiting = self._waiting, {}
        return [(key, minute * 60, counted) for (key, minute), counted in waiting.items()]

    def give_back(self, rows: list[tuple[MetricKey, int, StatisticSet]]) -> None:
        """What was taken and could not be written."""
        for key, start_s, counted in rows:
            self._put(key, start_s // 60, counted)

    def fold(self) -> None:
        """Bring ``totals`` up to date."""
        self._fold()

    # --- inside

    def _at(self, key: tuple[str, str], minute: int) -> Runs:
        runs = self._runs.get(key)
        if runs is not None and runs.minute == minute:
            return runs
        if runs is not None:
            self._past.append((key, runs))
        runs = self._runs[key] = Runs(minute)
        return runs

    def _quick(self, name: str, function_name: str, value: float, now_s: float, qualifier: str = "") -> None:
        key, minute = (name, function_name, qualifier), int(now_s) // 60
        samples = self._samples.get(key)
        if samples is None or samples.minute != minute:
            if samples is not None:
                self._fold_samples(key, samples)
            samples = self._samples[key] = Samples(minute)
        samples.add(value)

    def _fold_samples(self, key: tuple[str, str, str], samples: Samples) -> None:
        name, function_name, qualifier = key
        places: list[tuple[tuple[str, str], ...]] = [((FUNCTION, function_name),), ()]
        if qualifier:
            places.append(((FUNCTION, function_name), (RESOURCE, f"{function_name}:{qualifier}")))
        for dimensions in places:
            self._put(MetricKey(LAMBDA, name, dimensions, UNITS[name]), samples.minute, samples.counted)

    def _part_unreserved(self, minute: int) -> None:
        """From now on a function with a reservation is among those that run."""
        self._fold_flights(None, self._every, minute)
        self._unreserved = Flights()
        self._unreserved.reset(minute)
        self._unreserved.running = sum(one.running for one in self._flights.values() if not one.reserved)

    def _fold_unreserved(self, counted: StatisticSet, minute: int) -> None:
        """The account's metrics of what runs without a reservation, and of what nobody else can have."""
        claimed, more = StatisticSet(), self.allocated
        claimed.add(counted)
        claimed.total += claimed.samples * more
        claimed.minimum += more
        claimed.maximum += more
        for name, one in (("UnreservedConcurrentExecutions", counted), ("ClaimedAccountConcurrency", claimed)):
            self._put(MetricKey(LAMBDA, name, (), UNITS[name]), minute, one)

    def _fold_flights(self, function_name: str | None, flights: Flights, minute: int) -> None:
        if flights.samples:
            dimensions = () if function_name is None else ((FUNCTION, function_name),)
            key = MetricKey(LAMBDA, "ConcurrentExecutions", dimensions, "Count")
            self._put(key, flights.minute, flights.counted())
            if function_name is None:
                apart = self._unreserved
                counted = flights.counted() if apart is None else apart.counted()
                if counted.samples:
                    self._fold_unreserved(counted, flights.minute)
                if apart is not None:
                    apart.reset(minute)
        flights.reset(minute)

    def _put(self, key: MetricKey, minute: int, counted: StatisticSet) -> None:
        found = self._waiting.get((key, minute))
        if found is None:
            found = self._waiting[key, minute] = StatisticSet()
        found.add(counted)

    def _fold(self) -> None:
        """From counters to statistics of metrics."""
        for place, samples in self._samples.items():
            self._fold_samples(place, samples)
        self._samples = {}
        self._fold_flights(None, self._every, self._every.minute)
        for name, flights in list(self._flights.items()):
            self._fold_flights(name, flights, flights.minute)
            if not flights.running:
                del self._flights[name]
        if self._unreserved is not None and not any(flights.reserved for flights in self._flights.values()):
            self._unreserved = None
        runs = self._past + list(self._runs.items())
        self._past, self._runs = [], {}
        for key, counted in runs:
            name, resource, version = _place(*key)
            dimensions = ((EXECUTED, version), (FUNCTION, name), (RESOURCE, resource))
            self._fold_into(dimensions, counted)
            self._fold_into((), counted)
            totals = self._totals_of(name)
            totals.invocations += counted.invocations
            totals.errors += counted.errors
            totals.throttles += counted.throttles
            totals.duration.add(duration(counted))
        for name, (cold, billed_ms, gb_s) in self._cold.items():
            totals = self._totals_of(name)
            totals.cold += cold
            totals.billed_ms += billed_ms
            totals.gb_s += gb_s
        self._cold = {}

    def _totals_of(self, function_name: str) -> Totals:
        found = self.totals.get(function_name)
        if found is None:
            name = function_name if len(self.totals) < TOTALS_MAX else OTHER
            found = self.totals.setdefault(name, Totals())
        return found

    def _fold_into(self, dimensions: tuple[tuple[str, str], ...], runs: Runs) -> None:
        attempts = float(runs.invocations + runs.throttles)
        found = {
            "Throttles": shares(runs.throttles, attempts),
            "Invocations": shares(runs.invocations, float(runs.invocations)),
            "Errors": shares(runs.errors, float(runs.invocations)),
            "Duration": duration(runs),
        }
        for name, counted in found.items():
            if counted.samples:
                self._put(MetricKey(LAMBDA, name, dimensions, UNITS[name]), runs.minute, counted)


def _place(invoked_arn: str, version: str) -> _Place:
    """Function, resource and executed version of arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]."""
    parts = invoked_arn.split(":")
    name = parts[6] if len(parts) > 6 else invoked_arn
    resource = f"{name}:{parts[7]}" if len(parts) > 7 else name
    return name, resource, version
