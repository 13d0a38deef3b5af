"""The engine's own routes under /_jupyter_lambda/: what people and the notebook want to know that AWS has no API for.

Signed by the owner like AWS's operations (service "lambda"); times in queries are seconds since the epoch.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, cast, get_args
from urllib.parse import parse_qs

from jupyter_lambda.engine.bill import By, bill
from jupyter_lambda.engine.metering import Price
from jupyter_lambda.engine.observing import write
from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import (
    InvalidParameterValueException,
    ResourceNotFoundException,
    UnknownOperationException,
)
from jupyter_lambda.http1 import Request, Response
from jupyter_lambda.model.invocation import Status
from jupyter_lambda.triggers.folders import files
from jupyter_lambda.triggers.folders.telling import FILES_PATH
from jupyter_lambda.triggers.host import Triggers

from . import folders, live, notifications, site_urls
from .downloads import PREFIX as PACKAGES_PREFIX
from .downloads import file_url, package_bytes
from .routing import Router
from .schedules_told import NEXT, schedules

PREFIX = "/_jupyter_lambda/"
#: Most items in one answer.
_ITEMS_MAX = 10_000
_STATUSES = frozenset(get_args(Status))
#: Seconds for the container engine to be examined.
_DOCTOR_TIMEOUT_S = 60.0


class Query:
    """The parameters of an admin request, each used at most once."""

    def __init__(self, text: str, host: str = "", body: bytes = b"") -> None:
        """
        Args:
            host: The request's Host header.
            body: What it brought besides, for routes that take a document.
        """
        self.host, self.body = host, body
        try:
            self._given = parse_qs(text, max_num_fields=100)
        except ValueError:
            raise InvalidParameterValueException("The query has too many parameters.") from None

    def text(self, name: str) -> str | None:
        """A parameter; None where it is missing."""
        values = self._given.get(name)
        return values[-1] if values else None

    def number(self, name: str) -> float | None:
        """A parameter that is a number."""
        text = self.text(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or abs(value) > 1e12:
            raise InvalidParameterValueException(f"The parameter {name} must be a number, not {text[:64]!r}.")
        return value

    def count(self, name: str, default: int) -> int:
        """A parameter that says how many."""
        value = self.number(name)
        return default if value is None else max(1, min(int(value), _ITEMS_MAX))

    def milliseconds(self, name: str) -> int | None:
        """A time given in seconds."""
        value = self.number(name)
        return None if value is None else int(value * 1000)


Route = Callable[["Admin", Query, dict[str, str]], Awaitable[dict[str, Any]]]


class Admin:
    """Answers the admin routes."""

    def __init__(self, service: LambdaService, triggers: Triggers) -> None:
        self._service = service
        self._triggers = triggers
        self._router: Router[Route] = Router()
        for method, template, route in _ROUTES:
            self._router.add(method, PREFIX + template, route)
        triggers.folders.sign = lambda path: file_url(service, triggers.folders.endpoint, path)

    async def handle(self, request: Request, headers: list[tuple[str, str]]) -> Response:
        """Answer a request of the owner.

        Raises:
            LambdaError: Unknown route, bad parameter, or nothing there.
        """
        if request.path.startswith(PACKAGES_PREFIX) and request.method == "GET":
            data = await asyncio.to_thread(package_bytes, self._service, request.path)
            return Response(200, [*headers, ("Content-Type", "application/zip")], data)
        if request.path.startswith(FILES_PATH) and request.method == "GET":
            return await files.answer(self._triggers.folders, request, headers)
        if request.path == live.PATH and request.method == "GET":
            return live.answer(self._service.live, request, headers)
        found = self._router.find(request.method, request.path, request.query)
        if found is None:
            raise UnknownOperationException(f"There is no admin route {request.method} {request.path[:256]}.")
        route, labels = found
        answer = await route(self, Query(request.query, request.headers.get("host", ""), request.body), labels)
        body = json.dumps(answer, separators=(",", ":"), default=str).encode()
        return Response(200, [*headers, ("Content-Type", "application/json")], body)

    async def _status(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        return {**self._service.status(), "triggers": self._triggers.status()}

    async def _stats(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        settings = self._service.settings
        price = Price(settings.price_gb_s, settings.price_request)
        await self._service.store.ledger.flush()
        rows = self._service.store.ledger.stats(query.text("function"), query.number("since"))
        functions = [{**asdict(row), "price": price.of(gb_s=row.gb_s, requests=row.invocations)} for row in rows]
        for row in functions:
            if not math.isfinite(row["first_s"]):
                row["first_s"] = None
        return {"functions": functions}

    async def _bill(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        by = query.text("by") or "function"
        if by not in get_args(By):
            raise InvalidParameterValueException(f"by must be one of {', '.join(get_args(By))}.")
        write(self._service.metrics, self._service.store)
        await self._service.store.ledger.flush()
        return bill(
            self._service.settings, self._service.store, since_s=query.number("since") or 0.0, by=cast("By", by)
        )

    async def _invocations(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        status = query.text("status")
        if status is not None and status not in _STATUSES:
            raise InvalidParameterValueException(f"status must be one of {', '.join(sorted(_STATUSES))}.")
        ledger = self._service.store.ledger
        await ledger.flush()
        records = ledger.recent(
            query.text("function"),
            before_s=query.number("before"),
            limit=query.count("limit", 100),
            status=status,
            since_s=query.number("since"),
        )
        return {"invocations": [asdict(r) for r in records], "running": self._service.running()}

    async def _invocation(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        request_id = labels["RequestId"]
        for running in self._service.running():
            if running["request_id"] == request_id:
                return running
        await self._service.store.ledger.flush()
        record = self._service.store.ledger.get(request_id)
        if record is None:
            raise ResourceNotFoundException(f"No invocation {request_id[:64]} is known.")
        return asdict(record)

    async def _stop(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        return {"stopped": self._service.cancel(labels["RequestId"])}

    async def _logs(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        function = query.text("function")
        if function is None:
            raise InvalidParameterValueException("The parameter function is missing: whose log?")
        logs = self._service.store.logs
        await logs.flush()
        lines = await asyncio.to_thread(
            logs.read,
            function,
            stream=query.text("stream"),
            request_id=query.text("request_id"),
            since_ms=query.milliseconds("since"),
            until_ms=query.milliseconds("until"),
            pattern=query.text("pattern"),
            limit=query.count("limit", 1000),
        )
        return {"lines": [asdict(line) for line in lines]}

    async def _doctor(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        async with asyncio.timeout(_DOCTOR_TIMEOUT_S):
            findings = await self._service.driver.probe()
        return {"findings": [asdict(finding) for finding in findings]}

    async def _environments(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        service = self._service
        return {"environments": service.environments(), "generic_containers": service.generic_containers()}

    async def _events(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        events = self._service.store.events
        return {
            "depth": events.depth(),
            "oldest_age_s": events.oldest_age_s(self._service.clock()),
            "next_due_s": events.next_due_s(),
            "dead": events.dead(query.count("limit", 100)),
        }

    async def _folders(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        return {"folders": self._triggers.folders.described(query.text("function"))}

    async def _put_folder(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        return await folders.put(self._triggers.folders, query)

    async def _delete_folder(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        return await folders.remove(self._triggers.folders, query)

    async def _notifications(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        return {"notifications": await self._triggers.notifications.described(query.text("function"))}

    async def _pause_notifications(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        return await notifications.set_paused(self._triggers.notifications, query.body, paused=True)

    async def _resume_notifications(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        return await notifications.set_paused(self._triggers.notifications, query.body, paused=False)

    async def _apis(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        account = self._service.account
        return {"routes": site_urls.routes(self._triggers.apis, account, query.host, query.text("function"))}

    async def _schedules(self, query: Query, labels: dict[str, str]) -> dict[str, Any]:
        return schedules(self._service, self._triggers, query.text("function"), query.count("next", NEXT))


_ROUTES: tuple[tuple[str, str, Route], ...] = (
    ("GET", "status", Admin._status),
    ("GET", "stats", Admin._stats),
    ("GET", "bill", Admin._bill),
    ("GET", "invocations", Admin._invocations),
    ("GET", "invocations/{RequestId}", Admin._invocation),
    ("DELETE", "invocations/{RequestId}", Admin._stop),
    ("GET", "logs", Admin._logs),
    ("GET", "doctor", Admin._doctor),
    ("GET", "environments", Admin._environments),
    ("GET", "events", Admin._events),
    ("GET", "schedules", Admin._schedules),
    ("GET", "apis", Admin._apis),
    ("GET", "folders", Admin._folders),
    ("PUT", "folders", Admin._put_folder),
    ("DELETE", "folders", Admin._delete_folder),
    ("GET", "notifications", Admin._notifications),
    ("POST", "notifications/pause", Admin._pause_notifications),
    ("POST", "notifications/resume", Admin._resume_notifications),
)
