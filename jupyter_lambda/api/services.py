"""The AWS services beside Lambda that the endpoint speaks, found by the name a request is signed for.

Each is described by botocore, which is read when the service is first used, and answered by functions that bear the
names of its operations: a package of modules each, like ``awslambda``.
"""

from __future__ import annotations

import asyncio

from jupyter_lambda.engine.control import ControlPlane
from jupyter_lambda.engine.credentials import Credential
from jupyter_lambda.errors import LambdaError
from jupyter_lambda.http1 import Request, Response
from jupyter_lambda.triggers.host import Triggers

from . import description
from .apigateway import registry as apigateway
from .apigatewayv2 import registry as apigatewayv2
from .aws_service import AwsService, Offer, open_service
from .cloudwatch import registry as cloudwatch
from .eventbridge import registry as eventbridge
from .logs import registry as logs
from .protocols.aws_json import AwsJson
from .protocols.query import Query
from .protocols.rpc import RpcProtocol, Wordings
from .protocols.rpc_v2_cbor import RpcV2Cbor
from .scheduler import registry as scheduler

#: Where two share a signing name, the one with the longer path prefix comes first.
OFFERS = (
    Offer("logs", "logs", "logs", logs.MODULES, logs.BROKEN_CONSTRAINT),
    Offer("cloudwatch", "monitoring", "cloudwatch", cloudwatch.MODULES, cloudwatch.BROKEN_CONSTRAINT),
    Offer("events", "events", "events", eventbridge.MODULES, eventbridge.BROKEN_CONSTRAINT),
    Offer("scheduler", "scheduler", "scheduler", scheduler.MODULES, scheduler.BROKEN_CONSTRAINT),
    Offer(
        "apigatewayv2",
        "apigateway",
        "apigateway",
        apigatewayv2.MODULES,
        apigatewayv2.BROKEN_CONSTRAINT,
        path_prefix="/v2/",
        actions_are_methods=True,
    ),
    Offer(
        "apigateway",
        "apigateway",
        "apigateway",
        apigateway.MODULES,
        apigateway.BROKEN_CONSTRAINT,
        actions_are_methods=True,
    ),
)
SIGNING_NAMES = frozenset(offer.signing_name for offer in OFFERS)


class Services:
    """All services but Lambda itself."""

    def __init__(self, plane: ControlPlane, triggers: Triggers) -> None:
        self._plane = plane
        self._triggers = triggers
        self._offers: dict[str, list[Offer]] = {}
        for offer in OFFERS:
            self._offers.setdefault(offer.signing_name, []).append(offer)
        self._services: dict[str, AwsService] = {}
        unknown = Wordings(None)
        #: For requests that are refused before anybody knows what they are about.
        self._strangers: tuple[RpcProtocol, ...] = (AwsJson("", "1.0", unknown), RpcV2Cbor("", unknown), Query(unknown))

    async def handle(self, name: str, request: Request, request_id: str, caller: Credential) -> Response:
        """Answer one verified request; never raises but for cancellation.

        Args:
            name: The service it is signed for.
        """
        offers = self._offers[name]
        offer = next((one for one in offers if request.path.startswith(one.path_prefix)), offers[-1])
        service = self._services.get(offer.name)
        if service is None:
            service = await asyncio.to_thread(self._open, offer)
            self._services[offer.name] = service
        return await service.answer(request, request_id, caller)

    def _open(self, offer: Offer) -> AwsService:
        return open_service(offer, self._plane, self._triggers, description.load(offer.name))

    def refuse(self, request: Request, error: LambdaError, request_id: str) -> Response | None:
        """An error as the client of an RPC protocol reads it; None for a request in no such protocol."""
        protocol = next((p for p in self._strangers if p.means(request)), None)
        return protocol.refuse(error, request_id) if protocol else None
