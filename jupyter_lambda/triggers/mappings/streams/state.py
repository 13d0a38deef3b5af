"""What is kept of one shard on disk: its position, batches that are being retried, an open window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .source import Start


@dataclass(frozen=True, slots=True)
class Segment:
    """Records of one lane, from one sequence number to another, that are to be sent as one batch."""

    first: int
    last: int
    #: Failures that count as MaximumRetryAttempts counts: splitting is none.
    attempts: int
    #: Invocations that these records were part of.
    invokes: int


@dataclass(frozen=True, slots=True)
class Window:
    """An open tumbling window. Times in seconds since the epoch."""

    start_s: float
    end_s: float
    #: What the function returned last: JSON.
    state: Any
    #: Its state has outgrown its limit: only the final invocation is left.
    terminated_early: bool = False
    #: Failed final invocations.
    attempts: int = 0


@dataclass(slots=True)
class Lane:
    """The part of a shard whose batches go one after another."""

    #: Number of the last record that is done with.
    done: int = -1
    segments: list[Segment] = field(default_factory=list)
    window: Window | None = None


@dataclass(slots=True)
class ShardState:
    """One shard."""

    start: Start
    parents: tuple[str, ...] = ()
    #: Everything up to this sequence number is done with; "": nothing yet.
    after: str = ""
    finished: bool = False
    #: Divided as ParallelizationFactor says.
    lanes: list[Lane] = field(default_factory=lambda: [Lane()])
    #: How far lanes had come when the shard was divided otherwise: records up to there are done with too.
    earlier: list[list[int]] = field(default_factory=list)

    @property
    def resume(self) -> Start:
        """Where to read from now."""
        return Start("AFTER_SEQUENCE_NUMBER", sequence=self.after) if self.after else self.start

    @property
    def after_number(self) -> int:
        """``after``, to compare; -1 for nothing."""
        return int(self.after) if self.after else -1

    def divide(self, count: int) -> None:
        """Into so many lanes. What was done stays done; retries begin anew where the number changes."""
        if count == len(self.lanes):
            return
        dones = [lane.done for lane in self.lanes]
        if any(done > self.after_number for done in dones):
            self.earlier.append(dones)
        self.lanes = [Lane() for _ in range(count)]

    def is_done(self, number: int, key_hash: int) -> bool:
        """Whether a record was done with, in this division of the shard or an earlier one."""
        if number <= self.after_number or number <= self.lanes[key_hash % len(self.lanes)].done:
            return True
        return any(number <= dones[key_hash % len(dones)] for dones in self.earlier)

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON; numbers larger than SQLite's or JavaScript's stay whole there."""
        self.earlier = [dones for dones in self.earlier if max(dones) > self.after_number]
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ShardState:
        """What ``to_json`` gave."""
        return cls(
            start=Start(**data["start"]),
            parents=tuple(data["parents"]),
            after=data["after"],
            finished=data["finished"],
            lanes=[_lane(one) for one in data["lanes"]],
            earlier=[list(one) for one in data["earlier"]],
        )


def _lane(data: Mapping[str, Any]) -> Lane:
    window = data["window"]
    return Lane(data["done"], [Segment(**one) for one in data["segments"]], Window(**window) if window else None)
