"""The routes of notebook jobs: their runs for the owner, and where a running job leaves what it made.

========================================== ==========================================================================
PUT    runs/{request id}/{name}            a function's: a piece of an artefact of its own running invocation
GET    runs?function=&limit=&failed_since= the runs, newest first; with ``failed_since`` the scheduled ones that failed
GET    runs/{run id}                       one of them
GET    runs/{run id}/{name}                one artefact
POST   runs/seen                           the failures so far have been seen
GET    jobs                                functions that run notebooks
PUT    jobs/{function}?notebook=&kept=     make one
DELETE jobs/{function}                     forget one, and its runs
========================================== ==========================================================================
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl

from jupyter_lambda.engine.runs import RunBook
from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    ResourceNotFoundException,
    UnknownOperationException,
)
from jupyter_lambda.http1 import Request, Response
from jupyter_lambda.store.runs import KEPT, Job

from .routing import Router

PREFIX = "/_jupyter_lambda/"
_PREFIXES = (f"{PREFIX}runs", f"{PREFIX}jobs")
#: Most runs in one answer, and of one job that are kept.
_RUNS_MAX, _KEPT_MAX = 1_000, 1_000
_TYPES = {
    "ipynb": "application/x-ipynb+json",
    "html": "text/html; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "json": "application/json",
}
#: A report is whatever a notebook made: a page of no origin, without scripts, that fetches nothing.
_CSP = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"

Route = Callable[["RunRoutes", dict[str, str], dict[str, str]], Awaitable[dict[str, Any]]]


class RunRoutes:
    """Answers what begins with ``runs`` or ``jobs`` below the engine's own prefix."""

    def __init__(self, service: LambdaService) -> None:
        self._service = service
        self._book = RunBook(service)
        self._router: Router[Route] = Router()
        for method, template, route in _ROUTES:
            self._router.add(method, PREFIX + template, route)

    @staticmethod
    def serves(path: str) -> bool:
        """Whether an address is one of these."""
        return path.startswith(_PREFIXES)

    async def take(self, request: Request, caller: str, headers: list[tuple[str, str]]) -> Response:
        """A function's request: it may leave artefacts of its own running invocation, nothing else.

        Raises:
            LambdaError: see ``RunBook.take``
        """
        parts = request.path.removeprefix(PREFIX).split("/")
        if request.method != "PUT" or len(parts) != 3 or parts[0] != "runs":
            raise AccessDeniedException(f"The function {caller} may not use the engine's own routes.")
        query = _query(request)
        last = "end" in query
        at = _count(query, "end" if last else "at", 0, least=0, most=2**40)
        run = await self._book.take(caller, parts[1], parts[2], at, request.body, last=last)
        return _json({"run": run.run_id}, headers)

    async def handle(self, request: Request, headers: list[tuple[str, str]]) -> Response:
        """The owner's request.

        Raises:
            LambdaError: Unknown route, bad parameter, or nothing there.
        """
        parts = request.path.removeprefix(PREFIX).split("/")
        if request.method == "GET" and parts[0] == "runs" and len(parts) == 3:
            data = await self._book.artefact(parts[1], parts[2])
            kind = _TYPES.get(parts[2].rpartition(".")[2], "application/octet-stream")
            about = [("Content-Type", kind), ("X-Content-Type-Options", "nosniff"), ("Content-Security-Policy", _CSP)]
            return Response(200, [*headers, *about], data)
        found = self._router.find(request.method, request.path, request.query)
        if found is None:
            raise UnknownOperationException(f"There is no admin route {request.method} {request.path[:256]}.")
        route, labels = found
        return _json(await route(self, _query(request), labels), headers)

    async def _list(self, query: dict[str, str], labels: dict[str, str]) -> dict[str, Any]:
        if (since := query.get("failed_since")) is not None:
            since_s = self._service.store.runs.seen_s if since == "seen" else _number(since)
            runs = await self._book.failed(since_s)
            return {"runs": [run.to_dict() for run in runs], "since_s": since_s}
        limit = _count(query, "limit", 50, least=1, most=_RUNS_MAX)
        return {"runs": [run.to_dict() for run in await self._book.all(query.get("function"), limit)]}

    async def _get(self, query: dict[str, str], labels: dict[str, str]) -> dict[str, Any]:
        return (await self._book.get(labels["RunId"])).to_dict()

    async def _seen(self, query: dict[str, str], labels: dict[str, str]) -> dict[str, Any]:
        now_s = self._service.clock()
        await self._service.store.runs.saw(now_s)
        return {"seen_s": now_s}

    async def _jobs(self, query: dict[str, str], labels: dict[str, str]) -> dict[str, Any]:
        return {"jobs": [asdict(job) for job in self._service.store.runs.jobs()]}

    async def _put_job(self, query: dict[str, str], labels: dict[str, str]) -> dict[str, Any]:
        name = labels["Function"]
        if self._service.store.functions.get(name) is None:
            raise ResourceNotFoundException(f"There is no function {name[:64]}.")
        kept = _count(query, "kept", KEPT, least=1, most=_KEPT_MAX)
        job = Job(name, query.get("notebook", name)[:256], kept, self._service.clock())
        await self._service.store.runs.put_job(job)
        return asdict(job)

    async def _forget(self, query: dict[str, str], labels: dict[str, str]) -> dict[str, Any]:
        await self._service.store.runs.forget_job(labels["Function"])
        return {}


_ROUTES: tuple[tuple[str, str, Route], ...] = (
    ("GET", "runs", RunRoutes._list),
    ("GET", "runs/{RunId}", RunRoutes._get),
    ("POST", "runs/seen", RunRoutes._seen),
    ("GET", "jobs", RunRoutes._jobs),
    ("PUT", "jobs/{Function}", RunRoutes._put_job),
    ("DELETE", "jobs/{Function}", RunRoutes._forget),
)


def _query(request: Request) -> dict[str, str]:
    try:
        return dict(parse_qsl(request.query, keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise InvalidParameterValueException("The query has too many parameters.") from None


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e12:
        raise InvalidParameterValueException(f"{text[:64]!r} is no time in seconds since the epoch.")
    return value


def _count(query: dict[str, str], name: str, default: int, *, least: int, most: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or len(text) > 15 or not least <= int(text) <= most:
        raise InvalidParameterValueException(f"The parameter {name} must be a whole number from {least} to {most}.")
    return int(text)


def _json(answer: dict[str, Any], headers: list[tuple[str, str]]) -> Response:
    body = json.dumps(answer, separators=(",", ":"), default=str).encode()
    return Response(200, [*headers, ("Content-Type", "application/json")], body)
