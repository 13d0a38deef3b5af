"""What functions would have cost on AWS: by function, by day, or both.

Charged are requests, and memory times billed duration; environments that merely wait cost nothing, but provisioned ones
do from when they are allocated. Storage is not charged here. Days are UTC's, as on AWS's bill.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal

from jupyter_lambda.store.metrics import OWN, PROVISIONED_GB_S

from .settings import EngineSettings

if TYPE_CHECKING:
    from jupyter_lambda.store import Store

By = Literal["function", "day", "both"]
_EPOCH = date(1970, 1, 1)


@dataclass(slots=True)
class Line:
    """One line of a bill; prices in US dollars."""

    #: None where all functions, or all days, are summed.
    function: str | None = None
    #: 2026-11-24
    day: str | None = None
    requests: int = 0
    errors: int = 0
    billed_ms: int = 0
    gb_s: float = 0.0
    provisioned_gb_s: float = 0.0
    price: float = 0.0

    def add(self, other: Line) -> None:
        """Sum up."""
        self.requests += other.requests
        self.errors += other.errors
        self.billed_ms += other.billed_ms
        self.gb_s += other.gb_s
        self.provisioned_gb_s += other.provisioned_gb_s
        self.price += other.price


def bill(settings: EngineSettings, store: Store, *, since_s: float, by: By) -> dict[str, object]:
    """Lines, their total, and what they were computed with.

    Args:
        since_s: Counted from the beginning of the hour this falls into.
    """
    hour_s = int(since_s // 3600) * 3600
    lines: dict[tuple[str | None, str | None], Line] = {}
    for one in _daily(settings, store, hour_s):
        function, day = (None if by == "day" else one.function), (None if by == "function" else one.day)
        lines.setdefault((day, function), Line(function, day)).add(one)
    total = Line()
    ordered = [line for _, line in sorted(lines.items(), key=lambda item: (item[0][0] or "", item[0][1] or ""))]
    for line in ordered:
        total.add(line)
    return {
        "lines": [asdict(line) for line in ordered],
        "total": asdict(total),
        "since_s": hour_s,
        "by": by,
        "increment_ms": settings.billing_increment_ms,
        "prices": {
            "gb_s": settings.price_gb_s,
            "request": settings.price_request,
            "provisioned_gb_s": settings.price_provisioned_gb_s,
        },
    }


def _daily(settings: EngineSettings, store: Store, since_s: int) -> Iterable[Line]:
    for name, day, requests, errors, billed_ms, gb_s in store.ledger.daily(since_s):
        price = gb_s * settings.price_gb_s + requests * settings.price_request
        yield Line(name, _day(day), requests, errors, billed_ms, gb_s, price=price)
    for name, day, gb_s in store.metrics.daily_totals(OWN, PROVISIONED_GB_S, since_s):
        price = gb_s * settings.price_provisioned_gb_s
        yield Line(name, _day(day), provisioned_gb_s=gb_s, price=price)


def _day(number: int) -> str:
    return (_EPOCH + timedelta(days=number)).isoformat()
