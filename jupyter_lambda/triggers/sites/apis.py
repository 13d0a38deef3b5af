"""API Gateway's APIs as one part of the engine: kept in the store, served from memory, changed in one place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.http1 import Response
from jupyter_lambda.store.http import ACCOUNT, ApiKind, Document, PartChange

from . import http_api, http_stages, rest_api, rest_stages
from .authorizers import Authorizers
from .http_authorization import Authorization
from .http_stages import HttpApi
from .integration import Functions
from .jwt import Fetch, Tokens, fetch
from .listing import deployed
from .rest_stages import RestApi
from .throttle import Throttle
from .usage import Usage
from .visit import Visit

#: APIs that are kept ready to serve; all are dropped when there are more.
_READY_MAX = 1_024


class Apis:
    """All APIs of one engine."""

    def __init__(
        self, service: LambdaService, *, monotonic: Callable[[], float] = time.monotonic, read_url: Fetch = fetch
    ) -> None:
        self._service = service
        self.store = service.store.http_apis
        self._functions = Functions(service)
        self.authorizers = Authorizers(self._functions, monotonic)
        account = service.account
        self.tools = http_api.Tools(
            self._functions,
            Throttle(monotonic),
            Authorization(self.authorizers, Tokens(service.clock, read_url), service.settings),
            service.clock,
            account,
        )
        self._usage = Usage(self.store, self.tools.throttle, service.clock)
        self._rest_tools = rest_api.Tools(
            self._functions,
            self.tools.throttle,
            self.authorizers,
            service.clock,
            service.settings,
            self.tools.problems,
            self._usage,
        )
        self._ready: dict[str, HttpApi | RestApi] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # --- a part of the triggers

    async def start(self) -> None:
        """Nothing to do: APIs are read when they are asked for."""

    async def stop(self, timeout_s: float) -> None:
        """Answers that are under way are given that long."""
        await self._functions.close(timeout_s)

    def status(self) -> Mapping[str, Any]:
        """How many there are."""
        counts = {"http": len(self.store.apis("http")), "rest": len(self.store.apis("rest"))}
        return {kind: count for kind, count in counts.items() if count}

    # --- changes

    def lock(self, api_id: str) -> asyncio.Lock:
        """Held while an API is read, decided about and changed."""
        lock = self._locks.get(api_id)
        if lock is None:
            lock = self._locks[api_id] = asyncio.Lock()
        return lock

    async def put(
        self, kind: ApiKind, api_id: str, body: Document | None = None, changes: Iterable[PartChange] = ()
    ) -> None:
        """See ``HttpApis.put``; requests that come after it has returned are served by what it wrote."""
        await self.store.put(kind, api_id, body, changes)
        self._forget(api_id)

    async def delete(self, api_id: str) -> None:
        """See ``HttpApis.delete``."""
        await self.store.delete(api_id)
        self._forget(api_id)

    def _forget(self, api_id: str) -> None:
        if api_id == ACCOUNT:
            self._usage.forget()
            return
        self._ready.pop(api_id, None)
        for key in [key for key in self.tools.problems if key.startswith(f"{api_id} ")]:
            del self.tools.problems[key]
        self.authorizers.forget(api_id)

    # --- requests

    async def answer(self, visit: Visit) -> Response:
        """Answer a request for an API; see ``sites.visit.Answerer``."""
        api = self._ready.get(visit.id) or self._read(visit.id)
        if isinstance(api, HttpApi):
            return await http_api.answer(api, visit, self.tools)
        if isinstance(api, RestApi):
            return await rest_api.answer(api, visit, self._rest_tools)
        return http_api.message(404, "Not Found")

    async def test(
        self, api: Mapping[str, Any], stage: Mapping[str, Any], snapshot: Mapping[str, Any], visit: Visit
    ) -> Response | None:
        """Answer a request by a stage of a REST API that nobody has deployed; None where it has no such method."""
        name = stage["stageName"]
        served = rest_stages.compiled(api, {name: (stage, snapshot)})
        path = visit.path.removeprefix(f"/{name}")
        match = served.stages[name].routes.find(visit.method, path)
        if match is None:
            return None
        return await rest_api.RestRequest(served, served.stages[name], match, path, visit, self._rest_tools).answer()

    def problem(self, api_id: str, route: str) -> str | None:
        """Why the last request of a route that failed did, since the engine's start."""
        return self.tools.problems.get(f"{api_id} {route}")

    def _read(self, api_id: str) -> HttpApi | RestApi | None:
        kind = self.store.kind_of(api_id)
        document = self.store.api(kind, api_id) if kind else None
        if kind is None or document is None:
            return None
        name = "StageName" if kind == "http" else "stageName"
        stages = {stage[name]: (stage, snapshot) for stage, snapshot in deployed(self.store, kind, api_id)}
        api = http_stages.compiled(document, stages) if kind == "http" else rest_stages.compiled(document, stages)
        if len(self._ready) >= _READY_MAX:
            self._ready.clear()
        self._ready[api_id] = api
        return api
