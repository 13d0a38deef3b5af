"""``bill``: what functions would have cost on AWS."""

from __future__ import annotations

import csv
import json
import sys
import time
from typing import Any

from traitlets import Bool, CaselessStrEnum, Unicode

from jupyter_lambda.client import Admin

from .command import LambdaCommand, table
from .functions import duration_s

_COLUMNS = ("day", "function", "requests", "errors", "billed_ms", "gb_s", "provisioned_gb_s", "price")


class BillCommand(LambdaCommand):
    """What functions would have cost on AWS."""

    name = "jupyter-lambda-bill"
    description = (
        "jupyter lambda bill [--since 7d] [--by function|day|both] [--csv|--json]: requests, GB-seconds and price in "
        "US dollars, by function or day (UTC). Waiting environments cost nothing; provisioned ones do."
    )
    examples = """
    jupyter lambda bill
    jupyter lambda bill --since 30d --by day
    jupyter lambda bill --by both --csv > bill.csv
    """
    since = Unicode("7d", help="From this long ago on: 45s, 10m, 24h, 7d; whole hours. Default 7d.").tag(config=True)
    by = CaselessStrEnum(
        ["function", "day", "both"], default_value="function", help="What lines are for. Default function."
    ).tag(config=True)
    as_csv = Bool(False, help="Print CSV.").tag(config=True)
    as_json = Bool(False, help="Print JSON.").tag(config=True)
    aliases = {"since": "BillCommand.since", "by": "BillCommand.by"}
    flags = {
        "csv": ({"BillCommand": {"as_csv": True}}, "Print CSV."),
        "json": ({"BillCommand": {"as_json": True}}, "Print JSON."),
    }

    def run(self) -> int:
        """A table with its total, or what programs read."""
        found = Admin(self.connection()).bill(since_s=time.time() - duration_s(self.since), by=self.by)
        if self.as_json:
            print(json.dumps(found, indent=2))
        elif self.as_csv:
            writer = csv.DictWriter(sys.stdout, self._columns(), extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(found["lines"])
        elif not found["lines"]:
            print(f"nothing was charged in the last {self.since}")
        else:
            print(self._table(found))
            print(prices_text(found))
        return 0

    def _columns(self) -> list[str]:
        without = {"function": "day", "day": "function"}.get(self.by)
        return [name for name in _COLUMNS if name != without]

    def _table(self, found: dict[str, Any]) -> str:
        columns = self._columns()
        words = len([name for name in columns if name in ("day", "function")])
        lines = [[*columns[:words], "requests", "errors", "billed s", "GB-s", "provisioned GB-s", "price USD"]]
        total = {**found["total"], columns[0]: "total"}
        shown = [*found["lines"], total] if len(found["lines"]) > 1 else found["lines"]
        lines += [[str(line[name] or "") for name in columns[:words]] + _numbers(line) for line in shown]
        return table(lines, right=frozenset(range(words, len(lines[0]))))


def _numbers(line: dict[str, Any]) -> list[str]:
    return [
        f"{line['requests']:,}",
        f"{line['errors']:,}",
        f"{line['billed_ms'] / 1000:,.1f}",
        f"{line['gb_s']:,.3f}",
        f"{line['provisioned_gb_s']:,.3f}",
        f"{line['price']:.8f}",
    ]


def prices_text(found: dict[str, Any]) -> str:
    """What a bill was computed with."""
    prices = found["prices"]
    return (
        f"at {prices['gb_s']:.10f} USD a GB-second, {prices['request']:.7f} a request, "
        f"{prices['provisioned_gb_s']:.10f} a provisioned GB-second; duration rounded up to {found['increment_ms']} ms;"
        " without AWS's free tier and without storage"
    )
