"""``table:`` — changes of a DynamoDB table, by its stream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from . import samples
from .errors import Refused, TriggerError, WordError
from .mappings import STREAM, MappedSource, missing, read_start, read_stream
from .options import Options
from .place import Place

_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")


@dataclass(frozen=True)
class TableSource(MappedSource):
    """A table's stream."""

    kind: ClassVar[str] = "table"
    usage: ClassVar[str] = "table:orders"
    summary: ClassVar[str] = "changes of a DynamoDB table; its stream is switched on where it is off"
    known: ClassVar[Mapping[str, str]] = STREAM
    service: ClassVar[str] = "dynamodb"
    items: ClassVar[str] = "changes"

    @classmethod
    def read(cls, where: str, options: Options) -> Self:
        """A table's name."""
        if not _NAME.fullmatch(where):
            raise WordError(f"table:{where}: a table's name has 3 to 255 letters, digits, _, - and .")
        start = read_start("table", options, timestamps=False)
        return cls(where, params=read_stream(options), start=start, options=options.pairs())

    @classmethod
    def of_arn(cls, arn: str, options: tuple[tuple[str, str], ...]) -> Self:
        """``arn:aws:dynamodb:…:table/NAME/stream/LABEL``."""
        return cls(arn.split("/")[1], options=options)

    def in_words(self) -> str:
        """What fires it."""
        return f"changes of the table {self.where}"

    def source_arn(self, place: Place) -> tuple[str, tuple[str, ...], Mapping[str, Any]]:
        """The stream's, which is switched on where there is none."""
        try:
            table = place.call("dynamodb", "describe_table", TableName=self.where)["Table"]
        except Refused as exc:
            if exc.aws_code != "ResourceNotFoundException":
                raise
            key = 'KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}]'
            attribute = 'AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}]'
            raise missing(
                "table",
                self.where,
                place,
                f'aws("dynamodb").create_table(TableName="{self.where}", {key}, {attribute}, '
                'BillingMode="PAY_PER_REQUEST")',
                f"aws dynamodb create-table --table-name {self.where} --billing-mode PAY_PER_REQUEST "
                "--key-schema AttributeName=id,KeyType=HASH --attribute-definitions AttributeName=id,AttributeType=S",
            ) from exc
        if (table.get("StreamSpecification") or {}).get("StreamEnabled") and table.get("LatestStreamArn"):
            return str(table["LatestStreamArn"]), (), {"StartingPosition": "LATEST"}
        changed = place.call(
            "dynamodb",
            "update_table",
            TableName=self.where,
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )["TableDescription"]
        arn = changed.get("LatestStreamArn")
        if not arn:
            arn = place.call("dynamodb", "describe_table", TableName=self.where)["Table"].get("LatestStreamArn")
        if not arn:
            raise TriggerError(f"the table {self.where} has no stream, and it could not be switched on")
        note = f"the table {self.where} had no stream: it has one now (NEW_AND_OLD_IMAGES)"
        return str(arn), (note,), {"StartingPosition": "TRIM_HORIZON"}

    def try_it(self, place: Place) -> tuple[str, ...]:
        """Put an item."""
        item = '\'{"id": {"S": "1"}}\''
        return (place.command(f"aws dynamodb put-item --table-name {self.where} --item {item}"),)

    def sample(self, place: Place) -> dict[str, Any]:
        """An item that was put."""
        arn = place.arn("dynamodb", f"table/{self.where}/stream/2026-01-01T00:00:00.000")
        return samples.table(arn, place)
