"""``queue:`` — messages of an SQS queue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from . import samples
from .errors import Refused, WordError
from .mappings import COMMON, MappedSource, missing, read_common
from .options import Options
from .place import Place

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo")
_MISSING = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


@dataclass(frozen=True)
class QueueSource(MappedSource):
    """A queue."""

    kind: ClassVar[str] = "queue"
    usage: ClassVar[str] = "queue:jobs"
    summary: ClassVar[str] = "messages of an SQS queue; NAME.fifo keeps the order of each group"
    known: ClassVar[Mapping[str, str]] = {
        **COMMON,
        "concurrency": "most calls at one time, 2 to 1000 (MaximumConcurrency)",
    }
    service: ClassVar[str] = "sqs"
    items: ClassVar[str] = "messages"

    @classmethod
    def read(cls, where: str, options: Options) -> Self:
        """A queue's name."""
        if not _NAME.fullmatch(where):
            raise WordError(
                f"queue:{where}: a queue's name has 1 to 80 letters, digits, _ and -, a FIFO queue's ends .fifo"
            )
        params = read_common(options, batch_max=10 if where.endswith(".fifo") else 10_000)
        concurrency = options.number("concurrency", 2, 1000)
        if concurrency is not None:
            params["ScalingConfig"] = {"MaximumConcurrency": concurrency}
        if params.get("BatchSize", 10) > 10 and not params.get("MaximumBatchingWindowInSeconds"):
            # AWS: "If you set BatchSize to a value greater than 10, you must set the window to at least 1".
            params["MaximumBatchingWindowInSeconds"] = 1
        return cls(where, params=params, options=options.pairs())

    @classmethod
    def of_arn(cls, arn: str, options: tuple[tuple[str, str], ...]) -> Self:
        """``arn:aws:sqs:…:NAME``."""
        return cls(arn.rpartition(":")[2], options=options)

    def in_words(self) -> str:
        """What fires it."""
        return f"messages of the queue {self.where}"

    def source_arn(self, place: Place) -> tuple[str, tuple[str, ...], Mapping[str, Any]]:
        """The queue's."""
        try:
            url = place.call("sqs", "get_queue_url", QueueName=self.where)["QueueUrl"]
        except Refused as exc:
            if not any(code in exc.aws_code for code in _MISSING):
                raise
            fifo = ', Attributes={"FifoQueue": "true"}' if self.where.endswith(".fifo") else ""
            more = " --attributes FifoQueue=true" if fifo else ""
            raise missing(
                "queue",
                self.where,
                place,
                f'aws("sqs").create_queue(QueueName="{self.where}"{fifo})',
                f"aws sqs create-queue --queue-name {self.where}{more}",
            ) from exc
        found = place.call("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["QueueArn"])
        return str(found["Attributes"]["QueueArn"]), (), {}

    def try_it(self, place: Place) -> tuple[str, ...]:
        """Send a message."""
        group = " --message-group-id 1 --message-deduplication-id 1" if self.where.endswith(".fifo") else ""
        url = f"$(aws sqs get-queue-url --queue-name {self.where} --query QueueUrl --output text)"
        if place.url:
            url = f"{place.url}/{place.account_id}/{self.where}"
        return (place.command(f"aws sqs send-message --queue-url {url} --message-body '{{\"n\": 3}}'{group}"),)

    def sample(self, place: Place) -> dict[str, Any]:
        """One message."""
        return samples.queue(place.arn("sqs", self.where), place)
