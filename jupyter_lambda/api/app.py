"""The engine's endpoint: from an HTTP request to the function that answers it.

Host header → signature → (admin route | operation → permission → parameters → function → response). Whatever goes wrong
on the way leaves as AWS's error with a request id; what was not foreseen is logged and leaves as ServiceException.
What functions serve themselves (Function URLs, APIs of API Gateway) goes to ``triggers.sites`` before all that.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from typing import Any, NamedTuple

from jupyter_lambda import __version__
from jupyter_lambda.engine.control import ControlPlane
from jupyter_lambda.engine.credentials import Credential
from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import (
    AccessDeniedException,
    LambdaError,
    NotImplementedException,
    RequestEntityTooLargeException,
    ServiceException,
    ServiceUnavailableException,
)
from jupyter_lambda.http1 import Request, Response
from jupyter_lambda.triggers.host import Triggers
from jupyter_lambda.triggers.sites import address

from . import description, prometheus
from .admin import PREFIX, Admin
from .awslambda import registry
from .call import Call, Handler
from .canonical import normal_path
from .forward import services as forwarded
from .forward.errors import s3_error
from .forward.forward import Forward, bucket_of, is_for_s3
from .hosts import Hosts
from .ids import request_ids
from .permissions import Permissions
from .rest_json import Operation, RestJson
from .runs import RunRoutes
from .services import SIGNING_NAMES, Services
from .sigv4 import EMPTY_SHA256, OtherWay, Verifier

log = logging.getLogger(__name__)

HEALTH_PATH = f"{PREFIX}health"
#: Bytes of a request that carries a package. Source: recorded answers of AWS.
BODY_MAX_BYTES = 70_167_211
#: Bodies above this are hashed and parsed in a thread: 1 MB takes some 10 ms.
_INLINE_BYTES = 128 * 1024
#: Addresses that are kept, all dropped when there are more; characters of one.
_ROUTES_MAX, _ROUTE_MAX_CHARS = 1024, 512


class _Route(NamedTuple):
    """What an address means, found once: nothing of it depends on who asks."""

    #: Without dot segments and double slashes.
    path: str
    operation: Operation
    labels: dict[str, str]
    handler: Handler | None
    #: For ``Input.parse``.
    known: dict[Any, dict[str, Any]]


class App:
    """Answers every request to the engine. Other AWS services join by their signing name."""

    def __init__(self, service: LambdaService, triggers: Triggers) -> None:
        self._service = service
        self._triggers = triggers
        self._plane = ControlPlane(service)
        self._hosts = Hosts(service.settings.allowed_hosts)
        self._lambda = RestJson(description.load("lambda"))
        self._handlers = registry.handlers(self._lambda.operations)
        self._routes: dict[tuple[str, str, str], _Route] = {}
        self._next_id = request_ids().__next__
        self._permissions = Permissions(
            service.settings.function_permissions, self._lambda.operations, service.settings.account
        )
        self._verifier: Verifier[Credential] = Verifier(
            service.credentials,
            service.settings.account.region,
            SIGNING_NAMES | {self._lambda.signing_name} | forwarded.SIGNING_NAMES,
            frozenset({"s3"}),
        )
        self._forward = Forward(service, triggers.cloud)
        self._admin = Admin(service, triggers)
        self._runs = RunRoutes(service)
        self._services = Services(self._plane, triggers)
        #: Signing name of a kind of site → what verifies the requests to it.
        self._site_verifiers: dict[str, Verifier[Credential]] = {}
        triggers.sites.identify = self._identify

    async def handle(self, request: Request) -> Response:
        """Answer one request; never raises but for cancellation."""
        request_id = self._next_id()
        try:
            return await self._answer(request, request_id)
        except LambdaError as error:
            if error.http_status >= 500:
                log.warning("%s %s: %s: %s", request.method, request.path, error.code, error.message)
            if is_for_s3(request.headers.get("authorization"), request.query):
                return s3_error(error, request.path, request_id)
            return self._services.refuse(request, error, request_id) or self._lambda.refuse(error, _headers(request_id))
        except Exception:
            log.exception("request %s failed: %s %s", request_id, request.method, request.path)
            failure = ServiceException(f"The engine failed; its log says why, under the request id {request_id}.")
            return self._lambda.refuse(failure, _headers(request_id))

    async def _answer(self, request: Request, request_id: str) -> Response:
        host = request.headers.get("host")
        if host not in self._hosts.seen:
            site = address.by_name(host, request.path, self._service.account.region)
            if site is not None:
                return await self._triggers.sites.answer(site, request, request_id)
            if bucket_of(host) is not None:
                return await self._forward.s3(request, request_id)
            self._hosts.check(host)
        if request.stream is not None and not request.path.startswith(address.PATH_PREFIX):
            return await self._forward.s3(request, request_id)
        if request.path.startswith("/_"):
            answer = await self._answer_unsigned(request, request_id)
            if answer is not None:
                return answer
        return await self._answer_signed(request, request_id)

    async def _answer_signed(self, request: Request, request_id: str) -> Response:
        body = request.body
        if len(body) > _INLINE_BYTES:
            body_sha256 = await asyncio.to_thread(_sha256, body)
        else:
            body_sha256 = _sha256(body) if body else EMPTY_SHA256
        try:
            caller, service = self._verifier.verify(request, body_sha256, self._service.clock())
        except OtherWay:
            return await self._forward.s3(request, request_id)
        if service != self._lambda.signing_name:
            if service in forwarded.SIGNING_NAMES:
                return await self._forward.rpc(service, request, request_id, caller)
            return await self._services.handle(service, request, request_id, caller)
        route = self._routes.get((request.method, request.path, request.query))
        if route is not None:
            request.path = route.path
            return await self._call(request, request_id, caller, route)
        request.path, sent = normal_path(request.path), request.path
        if request.path.startswith(PREFIX):
            if caller.function_name is not None:
                if not RunRoutes.serves(request.path):
                    raise AccessDeniedException(f"{caller.principal} may not use the engine's own routes.")
                return await self._runs.take(request, caller.function_name, _headers(request_id))
            if RunRoutes.serves(request.path):
                return await self._runs.handle(request, _headers(request_id))
            return await self._admin.handle(request, _headers(request_id))
        return await self._call(request, request_id, caller, self._route(request, sent))

    async def _answer_unsigned(self, request: Request, request_id: str) -> Response | None:
        """The answer to what needs no signature, or is verified by whoever answers it; None for all else."""
        if request.path.startswith(address.PATH_PREFIX):
            site = address.by_path(request.path)
            return await self._triggers.sites.answer(site, request, request_id) if site else None
        if request.method == "GET":
            if request.path == HEALTH_PATH:
                return self._health()
            if request.path == prometheus.PATH:
                return prometheus.answer(self._service, request)
        return None

    async def _identify(self, request: Request, service: str) -> Credential:
        """Who has signed a request to a site.

        Raises:
            SignatureError: Nobody that is known here.
        """
        verifier = self._site_verifiers.get(service)
        if verifier is None:
            region = self._service.account.region
            verifier = Verifier(self._service.credentials, region, frozenset({service}))
            self._site_verifiers[service] = verifier
        body_sha256 = await asyncio.to_thread(_sha256, request.body)
        return verifier.verify(request, body_sha256, self._service.clock())[0]

    def _route(self, request: Request, sent: str) -> _Route:
        operation, labels = self._lambda.find(request)
        route = _Route(request.path, operation, labels, self._handlers.get(operation.name), {})
        if len(sent) + len(request.query) <= _ROUTE_MAX_CHARS:
            if len(self._routes) >= _ROUTES_MAX:
                self._routes.clear()
            self._routes[request.method, sent, request.query] = route
        return route

    async def _call(self, request: Request, request_id: str, caller: Credential, route: _Route) -> Response:
        _, operation, labels, handler, known = route
        self._permissions.check(caller, operation.name, labels)
        if handler is None:
            raise NotImplementedException(
                f"{self._lambda.title}'s operation {operation.name} is not built. docs/api-coverage.md lists what is."
            )
        read_here = operation.input.payload is not None or len(request.body) <= _INLINE_BYTES
        if not read_here and len(request.body) > BODY_MAX_BYTES:
            raise RequestEntityTooLargeException(
                f"Request must be smaller than {BODY_MAX_BYTES} bytes for the {operation.name} operation"
            )
        if self._service.draining and not operation.readonly:
            raise ServiceUnavailableException("The engine is shutting down; try again when it is back.")
        if read_here:
            params = operation.input.parse(request, labels, known)
        else:
            params = await asyncio.to_thread(operation.input.parse, request, labels)
        call = Call(self._service, self._plane, self._triggers, params, request, request_id, caller)
        result = await handler(call)
        headers = _headers(call.request_id)
        headers += call.headers
        return operation.output.write(result, headers)

    def _health(self) -> Response:
        state = "draining" if self._service.draining else "ready"
        body = json.dumps({"status": state, "version": __version__}).encode()
        return Response(200, [("Content-Type", "application/json")], body)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _headers(request_id: str) -> list[tuple[str, str]]:
    return [("x-amzn-RequestId", request_id)]
