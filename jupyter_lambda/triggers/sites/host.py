"""Where requests for sites go in: each is handed to what answers its kind, and its answer made safe for browsers."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.engine.credentials import Credential
from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import LambdaError, MissingAuthenticationTokenException
from jupyter_lambda.http1 import BrokenBody, Request, Response

from . import origin
from .address import Address, Kind, name_of
from .events import TRACE_HEADER, new_trace
from .urls import FunctionUrls
from .visit import Answerer, Identify, Visit

log = logging.getLogger(__name__)

#: Bytes of a request to any site. Source: API Gateway Developer Guide, "Quotas": 10 MB; Function URLs have 6 MB.
BODY_MAX_BYTES = 10 * 1024 * 1024


class Sites:
    """All sites of one engine. Whoever answers a kind puts itself into ``answerers``."""

    def __init__(self, service: LambdaService) -> None:
        self._service = service
        self.answerers: dict[Kind, Answerer] = {"url": FunctionUrls(service).answer}
        #: Verifies signatures; the API layer puts it here.
        self.identify: Identify = _nobody

    async def start(self) -> None:
        """Nothing to do: answers are given from the first request on."""

    async def stop(self, timeout_s: float) -> None:
        """Nothing to do: the service drains what runs."""

    def status(self) -> Mapping[str, Any]:
        """Nothing to say."""
        return {}

    async def answer(self, address: Address, request: Request, request_id: str) -> Response:
        """Answer one request for a site; never raises but for cancellation.

        Args:
            address: What `address.by_name` or `address.by_path` made of it.
        """
        kind, site_id, path, prefix = address
        try:
            if request.stream is not None and not await _read_whole(request):
                return _message(413, "Request Entity Too Large")
        except BrokenBody:
            return Response(400, close=True)  # nobody is there to read it
        raw_headers = origin.unsigned(request.raw_headers)
        visit = Visit(
            kind=kind,
            id=site_id,
            method=request.method,
            path=path,
            query=request.query,
            raw_headers=origin.own_cookies(raw_headers, site_id) if prefix else raw_headers,
            body=request.body,
            peer=request.peer,
            prefix=prefix,
            request_id=request_id,
            trace_id=request.headers.get(TRACE_HEADER) or new_trace(self._service.clock()),
            domain_name=name_of(kind, site_id, self._service.account.region),
            _request=request,
            _identify=self.identify,
        )
        answerer = self.answerers.get(kind)
        try:
            if answerer is None:
                response = _message(404, "Not Found")
            else:
                response = await answerer(visit)
        except LambdaError as error:
            if error.http_status >= 500:
                log.warning("%s %s: %s: %s", visit.domain_name, path, error.code, error.message)
            response = _message(error.http_status, error.message)
        except Exception:
            log.exception("request %s to %s%s failed", request_id, visit.domain_name, path)
            response = _message(500, "Internal Server Error")
        return origin.guarded(response, visit)


async def _read_whole(request: Request) -> bool:
    """The body of a request that was handed on before it was whole, as it was taken for one of another service.

    Returns:
        False when it is larger than any site's may be.
    """
    assert request.stream is not None
    parts: list[bytes] = []
    size_bytes = 0
    async for part in request.stream:
        size_bytes += len(part)
        if size_bytes > BODY_MAX_BYTES:
            return False
        parts.append(part)
    request.body = b"".join(parts)
    return True


async def _nobody(request: Request, service: str) -> Credential:
    raise MissingAuthenticationTokenException("Missing Authentication Token")


def _message(status: int, text: str) -> Response:
    return Response(status, [("Content-Type", "application/json")], json.dumps({"message": text}).encode())
