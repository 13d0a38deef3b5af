"""What a stream is asked for, whichever service it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

#: Error codes that say: the iterator is too old, ask for a new one.
EXPIRED = frozenset({"ExpiredIteratorException"})
#: … what was to be read is gone: go on with the oldest there is.
TRIMMED = frozenset({"TrimmedDataAccessException"})
#: … too much was asked within a second.
THROTTLED = frozenset({"ProvisionedThroughputExceededException", "LimitExceededException", "ThrottlingException"})
#: … there is no such stream or shard.
ABSENT = frozenset({"ResourceNotFoundException"})


@dataclass(frozen=True, slots=True)
class Start:
    """Where reading a shard begins."""

    at: Literal["TRIM_HORIZON", "AT_TIMESTAMP", "AFTER_SEQUENCE_NUMBER"]
    sequence: str = ""
    #: Seconds since the epoch.
    timestamp_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Record:
    """One record on its way to a function."""

    #: As the service writes it.
    sequence: str
    #: Seconds since the epoch.
    arrived_s: float
    #: The record as the function gets it: JSON.
    text: bytes

    @property
    def number(self) -> int:
        """The sequence number, to compare."""
        return int(self.sequence)


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as the stream lists it."""

    shard_id: str
    parents: tuple[str, ...]
    #: Nothing is added any more.
    closed: bool


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream as it describes itself."""

    #: Tells a stream from an earlier one of the same name.
    incarnation: str
    #: Seconds for which records are kept.
    retention_s: float


@dataclass(frozen=True, slots=True)
class Page:
    """What one read of a shard gave."""

    #: The service's own records: filters look at them before they are made into text.
    records: Sequence[dict[str, Any]]
    #: None: the shard is closed and was read to its end.
    next_iterator: str | None
    #: Whether the service says that there is nothing more to read now.
    at_tip: bool


class Source(Protocol):
    """One stream; every method raises what ``Cloud.call`` raises."""

    #: Member of a discarded batch's document.
    batch_info: str
    #: Records of one read.
    page_max: int
    #: Seconds between reads of a shard that has nothing new: first, and longest.
    idle_s: tuple[float, float]

    async def describe(self) -> Stream:
        """Whether it is there, and since when."""

    async def shards(self) -> list[Shard]:
        """All shards, closed ones with records included."""

    async def iterator(self, shard_id: str, start: Start) -> str:
        """A place to read from."""

    async def read(self, iterator: str, limit: int) -> Page:
        """Read on."""

    async def tip(self, shard_id: str) -> Start:
        """A start, good for days, after all that is in a shard now and before all that comes."""

    def sequence(self, raw: dict[str, Any]) -> str:
        """A record's sequence number."""

    def key(self, raw: dict[str, Any]) -> str:
        """A record's partition key, or a table item's key."""

    def arrived_s(self, raw: dict[str, Any]) -> float:
        """When a record came; seconds since the epoch."""

    def event(self, shard_id: str, raw: dict[str, Any], role: str) -> dict[str, Any]:
        """A record as the function gets it."""


def seconds(moment: Any) -> float:
    """A time as clients give it, as seconds since the epoch."""
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)


def listed_shard(listed: Mapping[str, Any]) -> Shard:
    """A shard as both services list it."""
    parents = (listed.get("ParentShardId"), listed.get("AdjacentParentShardId"))
    closed = bool(listed.get("SequenceNumberRange", {}).get("EndingSequenceNumber"))
    return Shard(listed["ShardId"], tuple(one for one in parents if one), closed)


def code_of(error: BaseException) -> str:
    """The code of botocore's ClientError; "" for any other error."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
