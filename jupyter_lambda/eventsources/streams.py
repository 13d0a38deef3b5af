"""``stream:`` — records of a Kinesis stream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from . import samples
from .errors import Refused, WordError
from .mappings import STREAM, MappedSource, missing, read_start, read_stream
from .options import Options
from .place import Place

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


@dataclass(frozen=True)
class StreamSource(MappedSource):
    """A stream's shards."""

    kind: ClassVar[str] = "stream"
    usage: ClassVar[str] = "stream:clicks?batch=100"
    summary: ClassVar[str] = "records of a Kinesis stream, in order for each shard"
    known: ClassVar[Mapping[str, str]] = STREAM
    service: ClassVar[str] = "kinesis"

    @classmethod
    def read(cls, where: str, options: Options) -> Self:
        """A stream's name."""
        if not _NAME.fullmatch(where):
            raise WordError(f"stream:{where}: a stream's name has 1 to 128 letters, digits, _, - and .")
        start = read_start("stream", options, timestamps=True)
        return cls(where, params=read_stream(options), start=start, options=options.pairs())

    @classmethod
    def of_arn(cls, arn: str, options: tuple[tuple[str, str], ...]) -> Self:
        """``arn:aws:kinesis:…:stream/NAME``, or a consumer of it."""
        return cls(arn.split("/")[1], options=options)

    def in_words(self) -> str:
        """What fires it."""
        return f"records of the stream {self.where}"

    def source_arn(self, place: Place) -> tuple[str, tuple[str, ...], Mapping[str, Any]]:
        """The stream's; from now on, to the record: what is put while the mapping is being made counts."""
        now = datetime.now(UTC).replace(microsecond=0)
        try:
            found = place.call("kinesis", "describe_stream_summary", StreamName=self.where)
        except Refused as exc:
            if exc.aws_code != "ResourceNotFoundException":
                raise
            raise missing(
                "stream",
                self.where,
                place,
                f'aws("kinesis").create_stream(StreamName="{self.where}", ShardCount=1)',
                f"aws kinesis create-stream --stream-name {self.where} --shard-count 1",
            ) from exc
        start = {} if "StartingPosition" in self.start else {
            "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": now
        }  # fmt: skip
        return str(found["StreamDescriptionSummary"]["StreamARN"]), (), start

    def try_it(self, place: Place) -> tuple[str, ...]:
        """Put a record."""
        # In base64, as the AWS CLI's second version takes it; the first sends the letters as they are.
        return (
            place.command(f"aws kinesis put-record --stream-name {self.where} --partition-key 1 --data eyJuIjogM30="),
        )

    def sample(self, place: Place) -> dict[str, Any]:
        """One record."""
        role = f"arn:{place.partition}:iam::{place.account_id}:role/jupyter-lambda"
        return samples.stream(place.arn("kinesis", f"stream/{self.where}"), place, role)
