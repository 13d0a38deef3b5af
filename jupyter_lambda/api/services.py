"""The AWS services beside Lambda that the endpoint speaks, found by the name a request is signed for.

Each is described by botocore, which is read when the service is first used, and answered by functions that bear the
names of its operations: a package of modules each, like ``awslambda``.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Mapping
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

from . import description
from .awslambda.registry import handlers as find_handlers
from .call import Call, Handler
from .cloudwatch import registry as cloudwatch
from .logs import registry as logs
from .permissions import Permissions
from .protocols.aws_json import AwsJson
from .protocols.query import Query
from .protocols.rpc import RpcOperation, RpcProtocol, Wordings
from .protocols.rpc_v2_cbor import RpcV2Cbor
from .rest_json import sentences
from .shapes import Shapes

log = logging.getLogger(__name__)

#: Bytes of one request, unpacked. Source: CloudWatch API Reference, "PutLogEvents" and "PutMetricData": 1 MiB each.
BODY_MAX_BYTES = 2 * 1024 * 1024
#: Bodies above this are parsed in a thread.
_INLINE_BYTES = 64 * 1024
#: Operations that leave everything as it was begin so; they are answered while the engine drains.
_READING = ("Get", "List", "Describe", "Filter", "Test")


@dataclass(frozen=True, slots=True)
class Offer:
    """A service that is offered."""

    #: botocore's name of it.
    name: str
    #: In a credential's scope.
    signing_name: str
    #: What its IAM actions begin with.
    action_prefix: str
    #: Where the functions of its operations are.
    modules: tuple[ModuleType, ...]
    #: What its servers answer where a constraint of the description is broken.
    broken_constraint: type[LambdaError]


OFFERS = (
    Offer("logs", "logs", "logs", logs.MODULES, logs.BROKEN_CONSTRAINT),
    Offer("cloudwatch", "monitoring", "cloudwatch", cloudwatch.MODULES, cloudwatch.BROKEN_CONSTRAINT),
)
SIGNING_NAMES = frozenset(offer.signing_name for offer in OFFERS)


class AwsService:
    """One service, its description read."""

    def __init__(self, offer: Offer, plane: ControlPlane, triggers: Triggers) -> None:
        self.offer = offer
        self.plane = plane
        self.triggers = triggers
        described = description.load(offer.name)
        metadata = described["metadata"]
        self.title: str = metadata["serviceFullName"]
        shapes = Shapes(described)
        self.operations = {n: RpcOperation(n, spec, shapes) for n, spec in described["operations"].items()}
        self.handlers: dict[str, Handler] = find_handlers(self.operations, offer.modules)
        settings = plane.service.settings
        self.permissions = Permissions(
            settings.function_permissions, self.operations, settings.account, prefix=offer.action_prefix
        )
        wordings = Wordings(described)
        self.protocols = tuple(_protocol(name, metadata, wordings) for name in metadata["protocols"])

    async def answer(self, request: Request, protocol: RpcProtocol, request_id: str, caller: Credential) -> Response:
        """Answer one request.

        Raises:
            LambdaError: Whatever is wrong with it.
        """
        _unpack(request)
        named = protocol.operation(request)
        operation = self.operations.get(named)
        if operation is None:
            raise UnknownOperationException(f"{self.title} has no operation {named[:128]!r}")
        self.permissions.check(caller, named, {})
        handler = self.handlers.get(named)
        if handler is None:
            raise NotImplementedException(
                f"{self.title}'s operation {named} is not built. docs/api-coverage.md lists what is."
            )
        if self.plane.service.draining and not named.startswith(_READING):
            raise ServiceUnavailableException("The engine is shutting down; try again when it is back.")
        if len(request.body) > _INLINE_BYTES:
            params = await asyncio.to_thread(self._parse, operation, protocol, request)
        else:
            params = self._parse(operation, protocol, request)
        call = Call(self.plane.service, self.plane, self.triggers, params, request, request_id, caller)
        result = await handler(call)
        return protocol.respond(operation, result, request_id)

    def _parse(self, operation: RpcOperation, protocol: RpcProtocol, request: Request) -> dict[str, Any]:
        params = protocol.parse(operation, request)
        if operation.input is not None:
            found: list[str] = []
            operation.input.check(params, "", found)
            if found:
                raise self.offer.broken_constraint(sentences(found))
        return params


class Services:
    """All services but Lambda itself."""

    def __init__(self, plane: ControlPlane, triggers: Triggers) -> None:
        self._plane = plane
        self._triggers = triggers
        self._offers = {offer.signing_name: offer for offer in OFFERS}
        self._services: dict[str, AwsService] = {}
        unknown = Wordings(None)
        #: For requests that are refused before anybody knows what they are about.
        self._strangers: tuple[RpcProtocol, ...] = (AwsJson("", "1.0", unknown), RpcV2Cbor("", unknown), Query(unknown))

    async def handle(self, name: str, request: Request, request_id: str, caller: Credential) -> Response:
        """Answer one verified request; never raises but for cancellation.

        Args:
            name: The service it is signed for.
        """
        service = self._services.get(name)
        if service is None:
            service = await asyncio.to_thread(AwsService, self._offers[name], self._plane, self._triggers)
            self._services[name] = service
        protocol = next((p for p in service.protocols if p.means(request)), service.protocols[-1])
        try:
            return await service.answer(request, protocol, request_id, caller)
        except LambdaError as error:
            if error.http_status >= 500:
                log.warning("%s: %s: %s", service.offer.name, error.code, error.message)
            return protocol.refuse(error, request_id)
        except Exception:
            log.exception("request %s to %s failed", request_id, service.offer.name)
            failure = ServiceException(f"The engine failed; its log says why, under the request id {request_id}.")
            return protocol.refuse(failure, request_id)

    def refuse(self, request: Request, error: LambdaError, request_id: str) -> Response | None:
        """An error as the client of an RPC protocol reads it; None for a request in no such protocol."""
        protocol = next((p for p in self._strangers if p.means(request)), None)
        return protocol.refuse(error, request_id) if protocol else None


def _protocol(name: str, metadata: Mapping[str, Any], wordings: Wordings) -> RpcProtocol:
    match name:
        case "json":
            return AwsJson(metadata["targetPrefix"], metadata["jsonVersion"], wordings)
        case "smithy-rpc-v2-cbor":
            return RpcV2Cbor(metadata["targetPrefix"], wordings)
        case "query":
            return Query(wordings)
    raise AssertionError(f"the protocol {name} is not built")


def _unpack(request: Request) -> None:
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
