"""GET /_jupyter_lambda/metrics: what the engine does, for Prometheus (text exposition format 0.0.4).

Prometheus doesn't sign requests, so it says who it is by HTTP Basic: the owner's access key id and secret. How many
series there are is bounded: the first hundred functions have labels of their own, the rest share one.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math
import os
import resource
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_lambda import __version__
from jupyter_lambda.engine.counters import Totals
from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.http1 import Request, Response
from jupyter_lambda.model.statistics import bucket_middle

from .admin import PREFIX

PATH = f"{PREFIX}metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Seconds: upper bounds of the histogram of durations.
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
_COUNTERS = (
    ("invocations_total", "Invocations that ended.", "invocations", 1.0),
    ("errors_total", "Invocations that ended in an error of the function.", "errors", 1.0),
    ("throttles_total", "Invocations that were turned away.", "throttles", 1.0),
    ("cold_starts_total", "Invocations that waited for an environment to initialise.", "cold", 1.0),
    ("billed_seconds_total", "Billed duration.", "billed_ms", 0.001),
    ("gb_seconds_total", "Memory in GB times billed seconds.", "gb_s", 1.0),
)
#: Event source mappings, and notifications, that have labels of their own.
SOURCES_MAX = 100
_OF_SOURCES = (
    ("event_source_batches_total", "counter", "Invocations by event source mappings.", "batches", 1.0),
    (
        "event_source_iterator_age_seconds",
        "gauge",
        "Age of the last record that was sent, when its batch was done with.",
        "iterator_age_ms",
        0.001,
    ),
    ("event_source_queue_depth", "gauge", "Messages that wait in the mapping's queue.", "queue_depth", 1.0),
)
_OF_NOTIFICATIONS = (
    (
        "notification_invocations_total",
        "counter",
        "Events of buckets and topics that became invocations, or went to EventBridge.",
        "delivered",
    ),
    ("notification_failures_total", "counter", "Events of theirs that could not become invocations.", "dropped"),
    ("notification_queue_depth", "gauge", "Messages of theirs that wait, as far as it is known.", "queue_depth"),
)
Labels = Mapping[str, str]


def answer(service: LambdaService, request: Request) -> Response:
    """The page, for the owner; 401 for anybody else."""
    if not _is_owner(service, request.headers.get("authorization", "")):
        challenge = [("WWW-Authenticate", 'Basic realm="jupyter_lambda"'), ("Content-Type", "text/plain")]
        return Response(401, challenge, b"the owner's access key id and secret are needed, as HTTP Basic\n")
    return Response(200, [("Content-Type", CONTENT_TYPE)], page(service).encode())


def _is_owner(service: LambdaService, authorization: str) -> bool:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        given = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    owner = service.credentials.owner
    return hmac.compare_digest(given, f"{owner.access_key}:{owner.secret_key}".encode())


def page(service: LambdaService) -> str:
    """Everything, as text."""
    service.metrics.fold()
    status = service.status()
    text = _Text()
    totals = service.metrics.totals
    for name, help_, member, factor in _COUNTERS:
        values = (({"function": key}, getattr(one, member) * factor) for key, one in totals.items())
        text.add(name, "counter", help_, values)
    _durations(text, totals)
    running = service.metrics.in_flight
    text.add("running", "gauge", "Events that are being processed.", [({}, sum(running.values()))])
    environments: Any = status["environments"]
    states = [({"state": str(state).lower()}, count) for state, count in environments.items()]
    text.add("environments", "gauge", "Execution environments by state.", states)
    events: Any = status["events"]
    depths = [({"state": str(state)}, count) for state, count in events.items() if isinstance(count, (int, float))]
    text.add("events", "gauge", "Asynchronous events in the queue by state.", depths)
    age_s = service.store.events.oldest_age_s(service.clock())
    text.add("event_oldest_age_seconds", "gauge", "Age of the oldest event in the queue.", [({}, age_s or 0.0)])
    text.add("functions", "gauge", "Functions.", [({}, service.store.functions.count())])
    promised: Any = status["memory_promised_mb"]
    text.add("memory_promised_bytes", "gauge", "Memory that environments are promised.", [({}, promised * 1024 * 1024)])
    for metric, values_of in sorted(service.metrics.gauges.items()):
        gauge = [({"resource": key}, value) for key, value in sorted(values_of.items())]
        text.add(_snake(metric), "gauge", f"CloudWatch's {metric}, as it was last.", gauge)
    _sources(text, [(uuid, look()) for uuid, look in list(service.metrics.sources.items())[:SOURCES_MAX]])
    _notifications(text, [(one, look()) for one, look in list(service.metrics.notifications.items())[:SOURCES_MAX]])
    text.add("info", "gauge", "1.", [({"version": __version__, "driver": service.driver.name}, 1)])
    _process(text, service.started_s)
    return text.whole()


class _Text:
    """Collects families of metrics."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(
        self,
        name: str,
        kind: str,
        help_: str,
        values: Iterable[tuple[Labels, float]],
        *,
        prefix: str = "jupyter_lambda_",
    ) -> None:
        """One family; nothing where it has no values."""
        lines = [f"{prefix}{name}{_labels(labels)} {_number(value)}" for labels, value in values]
        if lines:
            self.head(f"{prefix}{name}", kind, help_)
            self._lines += lines

    def head(self, name: str, kind: str, help_: str) -> None:
        """HELP and TYPE."""
        self._lines += [f"# HELP {name} {help_}", f"# TYPE {name} {kind}"]

    def line(self, name: str, labels: Labels, value: float) -> None:
        """One sample of a family whose head stands already."""
        self._lines.append(f"{name}{_labels(labels)} {_number(value)}")

    def whole(self) -> str:
        """All of it."""
        return "\n".join(self._lines) + "\n"


def _durations(text: _Text, totals: Mapping[str, Totals]) -> None:
    name = "jupyter_lambda_duration_seconds"
    if not totals:
        return
    text.head(name, "histogram", "Time that functions ran; bounds are right within 1 %.")
    for function, one in totals.items():
        counts = [0.0] * len(BOUNDS_S)
        for bucket, count in (one.duration.histogram or {}).items():
            seconds = bucket_middle(bucket) / 1000
            place = next((i for i, bound in enumerate(BOUNDS_S) if seconds <= bound), None)
            if place is not None:
                counts[place] += count
        seen = 0.0
        for bound, count in zip(BOUNDS_S, counts, strict=True):
            seen += count
            text.line(f"{name}_bucket", {"function": function, "le": _number(bound)}, seen)
        text.line(f"{name}_bucket", {"function": function, "le": "+Inf"}, one.duration.samples)
        text.line(f"{name}_sum", {"function": function}, one.duration.total / 1000)
        text.line(f"{name}_count", {"function": function}, one.duration.samples)


def _sources(text: _Text, sources: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Event source mappings: how much was read and sent, how far each is behind."""
    events = [
        ({"mapping": uuid, "trigger": told["trigger"], "event": _event(name)}, count)
        for uuid, told in sources
        for name, count in told["events"].items()
    ]
    help_ = "Records of event source mappings: polled, filtered out, invoked with, failed, dropped, delivered, deleted."
    text.add("event_source_events_total", "counter", help_, events)
    for name, kind, help_, member, factor in _OF_SOURCES:
        values = [
            ({"mapping": uuid, "trigger": told["trigger"]}, told[member] * factor)
            for uuid, told in sources
            if told[member] is not None
        ]
        text.add(name, kind, help_, values)


def _notifications(text: _Text, notifications: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """What buckets and topics tell functions."""
    labelled = [
        ({"notification": one, "trigger": told["trigger"], "function": told["function"]}, told)
        for one, told in notifications
    ]
    for name, kind, help_, member in _OF_NOTIFICATIONS:
        values = [(labels, told[member]) for labels, told in labelled if told[member] is not None]
        text.add(name, kind, help_, values)
    paused = [(labels, int(told["state"] == "paused")) for labels, told in labelled]
    text.add("notification_paused", "gauge", "1: what it tells waits.", paused)


def _event(metric: str) -> str:
    """PolledEventCount → polled."""
    return _snake(metric.removesuffix("EventCount"))


def _process(text: _Text, started_s: float) -> None:
    """The engine's own process, under the names that Prometheus' client libraries use."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    values = [
        ("cpu_seconds_total", "counter", "User and system CPU time.", used.ru_utime + used.ru_stime),
        ("start_time_seconds", "gauge", "When it started, since the epoch.", started_s),
    ]
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        values.append(("resident_memory_bytes", "gauge", "Memory.", pages * os.sysconf("SC_PAGE_SIZE")))
        values.append(("open_fds", "gauge", "Open files.", len(list(Path("/proc/self/fd").iterdir()))))
    except OSError:  # no /proc on this system
        values.append(("resident_memory_bytes", "gauge", "Memory, at its most.", used.ru_maxrss))
    for name, kind, help_, value in values:
        text.add(name, kind, help_, [({}, value)], prefix="process_")


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    whole = float(value)
    return str(int(whole)) if whole.is_integer() and abs(whole) < 1e15 else repr(whole)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
