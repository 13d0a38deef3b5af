"""One AWS service beside Lambda: its description read, its requests answered by functions named like its operations.

Two kinds, by how a request says which operation it means: RPC protocols name it, REST has a method and path for each.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from jupyter_lambda.engine.control import ControlPlane
from jupyter_lambda.engine.credentials import Credential
from jupyter_lambda.errors import (
    LambdaError,
    NotImplementedException,
    RequestEntityTooLargeException,
    SerializationException,
    ServiceException,
    ServiceUnavailableException,
    UnknownOperationException,
)
from jupyter_lambda.http1 import Request, Response
from jupyter_lambda.triggers.host import Triggers

from .awslambda.registry import handlers as find_handlers
from .call import Call, Handler
from .canonical import normal_path
from .permissions import Permissions
from .protocols.aws_json import AwsJson
from .protocols.query import Query
from .protocols.rpc import RpcOperation, RpcProtocol, Wordings
from .protocols.rpc_v2_cbor import RpcV2Cbor
from .rest_json import RestJson, sentences
from .shapes import Shapes

log = logging.getLogger(__name__)

#: Bytes of one request, unpacked. Source: CloudWatch API Reference, "PutLogEvents" and "PutMetricData": 1 MiB each.
BODY_MAX_BYTES = 2 * 1024 * 1024
#: Bodies above this are parsed in a thread.
_INLINE_BYTES = 64 * 1024
#: RPC operations that leave everything as it was begin so; they are answered while the engine drains.
_READING = ("Get", "List", "Describe", "Filter", "Test")


@dataclass(frozen=True, slots=True)
class Offer:
    """A service that is offered."""

    #: botocore's name of it.
    name: str
    #: In a credential's scope. Two services may share one: then ``path_prefix`` tells them apart.
    signing_name: str
    #: What its IAM actions begin with.
    action_prefix: str
    #: Where the functions of its operations are.
    modules: tuple[ModuleType, ...]
    #: What its servers answer where a constraint of the description is broken.
    broken_constraint: type[LambdaError]
    #: What the paths of its requests begin with.
    path_prefix: str = "/"
    #: True where its IAM actions are HTTP methods, apigateway:GET, and not operations.
    actions_are_methods: bool = False


class AwsService(ABC):
    """What services have in common, whatever their protocol."""

    def __init__(
        self, offer: Offer, plane: ControlPlane, triggers: Triggers, title: str, actions: Mapping[str, str | None]
    ) -> None:
        """
        Args:
            title: As people know it.
            actions: Operation → name of its IAM action where that is another.
        """
        self.offer = offer
        self.plane = plane
        self.triggers = triggers
        self.title = title
        self.handlers: dict[str, Handler] = find_handlers(actions, offer.modules)
        settings = plane.service.settings
        self.permissions = Permissions(
            settings.function_permissions,
            actions,
            settings.account,
            prefix=offer.action_prefix,
            actions={name: action for name, action in actions.items() if action},
        )

    @abstractmethod
    async def answer(self, request: Request, request_id: str, caller: Credential) -> Response:
        """Answer one verified request; never raises but for cancellation."""

    def handler(self, operation: str, caller: Credential, *, readonly: bool) -> Handler:
        """The function that answers an operation.

        Raises:
            AccessDeniedException: The caller may not call it.
            NotImplementedException: It is not built.
            ServiceUnavailableException: It would change something, and the engine drains.
        """
        self.permissions.check(caller, operation, {})
        handler = self.handlers.get(operation)
        if handler is None:
            raise NotImplementedException(
                f"{self.title}'s operation {operation} is not built. docs/api-coverage.md lists what is."
            )
        if self.plane.service.draining and not readonly:
            raise ServiceUnavailableException("The engine is shutting down; try again when it is back.")
        return handler

    def call(self, params: dict[str, Any], request: Request, request_id: str, caller: Credential) -> Call:
        """What the function is given."""
        return Call(self.plane.service, self.plane, self.triggers, params, request, request_id, caller)

    async def guard(
        self, work: Callable[[], Any], refuse: Callable[[LambdaError], Response], request_id: str
    ) -> Response:
        """Run what answers; whatever goes wrong leaves as the protocol's error."""
        try:
            answered: Response = await work()
        except LambdaError as error:
            if error.http_status >= 500:
                log.warning("%s: %s: %s", self.offer.name, error.code, error.message)
            return refuse(error)
        except Exception:
            log.exception("request %s to %s failed", request_id, self.offer.name)
            return refuse(ServiceException(f"The engine failed; its log says why, under the request id {request_id}."))
        return answered


class RpcService(AwsService):
    """A service of one or more RPC protocols."""

    def __init__(self, offer: Offer, plane: ControlPlane, triggers: Triggers, described: Mapping[str, Any]) -> None:
        metadata = described["metadata"]
        shapes = Shapes(described)
        self.operations = {n: RpcOperation(n, spec, shapes) for n, spec in described["operations"].items()}
        super().__init__(offer, plane, triggers, metadata["serviceFullName"], dict.fromkeys(self.operations))
        wordings = Wordings(described)
        self.protocols = tuple(_protocol(name, metadata, wordings) for name in protocols(metadata))

    async def answer(self, request: Request, request_id: str, caller: Credential) -> Response:
        """See ``AwsService.answer``."""
        protocol = next((p for p in self.protocols if p.means(request)), self.protocols[-1])
        return await self.guard(
            lambda: self._answer(request, protocol, request_id, caller),
            lambda error: protocol.refuse(error, request_id),
            request_id,
        )

    async def _answer(self, request: Request, protocol: RpcProtocol, request_id: str, caller: Credential) -> Response:
        unpack(request)
        named = protocol.operation(request)
        operation = self.operations.get(named)
        if operation is None:
            raise UnknownOperationException(f"{self.title} has no operation {named[:128]!r}")
        handler = self.handler(named, caller, readonly=named.startswith(_READING))
        if len(request.body) > _INLINE_BYTES:
            params = await asyncio.to_thread(self._parse, operation, protocol, request)
        else:
            params = self._parse(operation, protocol, request)
        result = await handler(self.call(params, request, request_id, caller))
        return protocol.respond(operation, result, request_id)

    def _parse(self, operation: RpcOperation, protocol: RpcProtocol, request: Request) -> dict[str, Any]:
        params = protocol.parse(operation, request)
        if operation.input is not None:
            found: list[str] = []
            operation.input.check(params, "", found)
            if found:
                raise self.offer.broken_constraint(sentences(found))
        return params


class RestService(AwsService):
    """A service that speaks rest-json."""

    def __init__(self, offer: Offer, plane: ControlPlane, triggers: Triggers, described: Mapping[str, Any]) -> None:
        self.api = RestJson(described, offer.broken_constraint)
        operations = self.api.operations
        methods = {
            name: operation.method if offer.actions_are_methods else None for name, operation in operations.items()
        }
        super().__init__(offer, plane, triggers, self.api.title, methods)

    async def answer(self, request: Request, request_id: str, caller: Credential) -> Response:
        """See ``AwsService.answer``."""
        return await self.guard(
            lambda: self._answer(request, request_id, caller),
            lambda error: self.api.refuse(error, _headers(request_id)),
            request_id,
        )

    async def _answer(self, request: Request, request_id: str, caller: Credential) -> Response:
        unpack(request)
        request.path = normal_path(request.path)
        operation, labels = self.api.find(request)
        handler = self.handler(operation.name, caller, readonly=operation.readonly)
        if len(request.body) > _INLINE_BYTES:
            params = await asyncio.to_thread(operation.input.parse, request, labels)
        else:
            params = operation.input.parse(request, labels)
        call = self.call(params, request, request_id, caller)
        result = await handler(call)
        return operation.output.write(result, _headers(request_id) + call.headers)


def open_service(offer: Offer, plane: ControlPlane, triggers: Triggers, described: Mapping[str, Any]) -> AwsService:
    """The service that an offer means."""
    kind = RestService if "rest-json" in protocols(described["metadata"]) else RpcService
    return kind(offer, plane, triggers, described)


def protocols(metadata: Mapping[str, Any]) -> Iterable[str]:
    """The protocols of a service by their names in descriptions; older ones have a single name only."""
    found: Iterable[str] = metadata.get("protocols") or [metadata["protocol"]]
    return found


def _headers(request_id: str) -> list[tuple[str, str]]:
    return [("x-amzn-RequestId", request_id)]


def _protocol(name: str, metadata: Mapping[str, Any], wordings: Wordings) -> RpcProtocol:
    match name:
        case "json":
            return AwsJson(metadata["targetPrefix"], metadata["jsonVersion"], wordings)
        case "smithy-rpc-v2-cbor":
            return RpcV2Cbor(metadata["targetPrefix"], wordings)
        case "query":
            return Query(wordings)
    raise AssertionError(f"the protocol {name} is not built")


def unpack(request: Request) -> None:
    """Undo ``Content-Encoding: gzip``, which SDKs use for large PutMetricData requests.

    Raises:
        RequestEntityTooLargeException: More than ``BODY_MAX_BYTES`` come out.
        SerializationException: It is not gzip.
    """
    if len(request.body) > BODY_MAX_BYTES:
        raise RequestEntityTooLargeException(f"Request must be smaller than {BODY_MAX_BYTES} bytes")
    if request.headers.get("content-encoding", "").strip().lower() != "gzip":
        return
    unpacker = zlib.decompressobj(wbits=31)
    try:
        body = unpacker.decompress(request.body, BODY_MAX_BYTES + 1)
    except zlib.error as exc:
        raise SerializationException(f"the body is not gzip, as its Content-Encoding says: {exc}") from None
    if len(body) > BODY_MAX_BYTES:
        raise RequestEntityTooLargeException(f"Request must be smaller than {BODY_MAX_BYTES} bytes, unpacked")
    if not unpacker.eof:
        raise SerializationException("the body's gzip is cut short")
    request.body = body
