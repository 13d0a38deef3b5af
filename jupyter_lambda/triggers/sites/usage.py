"""API keys and usage plans of REST APIs: who may ask, how fast, and how often in a day, week or month.

Source: Amazon API Gateway Developer Guide, "Usage plans and API keys for REST APIs".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from jupyter_lambda.store.http import ACCOUNT, HttpApis

from .authorizers import Forbidden
from .throttle import Throttle


class Exceeded(Exception):
    """More than the plan gives: 429. The message is what the client is told."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A key that may be used, and the plans that it is in."""

    key_id: str
    plans: tuple[Mapping[str, Any], ...]


class Usage:
    """All keys and plans of an engine."""

    def __init__(self, store: HttpApis, throttle: Throttle, clock: Callable[[], float]) -> None:
        self._store = store
        self._throttle = throttle
        self._clock = clock
        #: Value of a key → what is known of it; None: not read since the last change.
        self._keys: dict[str, _Known] | None = None
        #: Plan, key and first day of the period → requests.
        self._counts: dict[tuple[str, str, str], int] = {}

    def forget(self) -> None:
        """Keys or plans have changed."""
        self._keys = None

    def admit(self, value: str | None, api_id: str, stage: str, method: str) -> str:
        """Count a request; the id of its key.

        Args:
            value: The key as it came.
            method: "/pets/GET": whose own limits a plan may have.
        Raises:
            Forbidden: No key, none that is known and enabled, or none whose plan has this stage.
            Exceeded: More than its plan gives.
        """
        known = self._read().get(value) if value else None
        if known is None:
            raise Forbidden
        for plan in known.plans:
            for one in plan.get("apiStages") or ():
                if (one.get("apiId"), one.get("stage")) == (api_id, stage):
                    self._take(plan, one, known.key_id, method)
                    return known.key_id
        raise Forbidden

    def _take(self, plan: Mapping[str, Any], stage: Mapping[str, Any], key_id: str, method: str) -> None:
        own = (stage.get("throttle") or {}).get(method)
        limits = own or plan.get("throttle") or {}
        where = (stage["apiId"], stage["stage"], method) if own else ()
        if not self._throttle.allows((plan["id"], key_id, *where), limits.get("rateLimit"), limits.get("burstLimit")):
            raise Exceeded("Too Many Requests")
        quota, today = plan.get("quota"), datetime.fromtimestamp(self._clock(), UTC).date()
        if quota:
            since = period_start(today, quota["period"]).isoformat()
            counted = (plan["id"], key_id, since)
            used = self._counts.get(counted)
            if used is None:
                self._counts = {one: count for one, count in self._counts.items() if one[2] >= since}
                used = self._store.used(*counted)
            if used >= quota["limit"]:
                raise Exceeded("Limit Exceeded")
            self._counts[counted] = used + 1
        self._store.count(plan["id"], key_id, today.isoformat())

    def _read(self) -> dict[str, _Known]:
        if self._keys is None:
            plans = self._store.parts(ACCOUNT, "usage_plan")
            self._keys = {
                key["value"]: _Known(key["id"], tuple(plan for plan in plans if key["id"] in plan.get("Keys", ())))
                for key in self._store.parts(ACCOUNT, "api_key")
                if key["enabled"]
            }
        return self._keys


def period_start(today: date, period: str) -> date:
    """The first day of the period that a day is in; weeks begin on Sundays."""
    if period == "MONTH":
        return today.replace(day=1)
    if period == "WEEK":
        return today - timedelta(days=(today.weekday() + 1) % 7)
    return today
