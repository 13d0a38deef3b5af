"""What the project has set itself: "at least" and "reach for" of each row that has one."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """In the row's unit."""

    at_least: float
    reach_for: float


TARGETS: dict[str, Target] = {
    "warm.http.p50": Target(0.3, 0.2),
    "warm.http.p99": Target(2.5, 1.5),
    "warm.boto3.p50": Target(1.4, 1.2),
    "throughput.8": Target(9_000, 14_000),
    "throughput.32": Target(8_000, 12_000),
    "cold.ready.p50": Target(5, 2),
    "cold.ready.p99": Target(20, 8),
    "cold.pandas.p50": Target(10, 4),
    "cold.empty.p50": Target(250, 170),
    "cold.empty.p99": Target(400, 220),
    "burst.ready": Target(0.3, 0.1),
    "burst.nothing": Target(8, 4.5),
    "provisioned.p999": Target(10, 5),
    "events.enqueue": Target(10_000, 20_000),
    "footprint.environment": Target(10, 6),
    "footprint.engine.rss": Target(90, 60),
    "rest.cpu": Target(1.0, 0.5),
    "sizes.worst": Target(15, 5),
}
