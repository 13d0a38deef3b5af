"""From a request for S3, SQS, SNS … to the cloud and back: signature → operation → permission → (hook) → cloud."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

from jupyter_lambda.api import description
from jupyter_lambda.api.permissions import Permissions
from jupyter_lambda.engine.credentials import Credential
from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import (
    AccessDeniedException,
    LambdaError,
    RequestEntityTooLargeException,
    SerializationException,
    ServiceException,
    ServiceUnavailableException,
)
from jupyter_lambda.http1 import BrokenBody, Request, Response
from jupyter_lambda.http1.client import Reply
from jupyter_lambda.triggers.cloud.hooks import Forwarded
from jupyter_lambda.triggers.cloud.host import Cloud
from jupyter_lambda.triggers.cloud.wire import Message
from jupyter_lambda.triggers.sites.origin import SANDBOX

from .errors import s3_error
from .presigned_v2 import MARK
from .s3_signature import S3Verifier, Verified
from .services import S3, SERVICES, Found, Rpc, without_signature

log = logging.getLogger(__name__)

#: Answers up to this size are read before they are sent: one write instead of three.
_INLINE_BYTES = 64 * 1024
#: Bytes of a request that a hook is given.
_HOOKED_MAX_BYTES = 1024 * 1024
#: Seconds until the head of an answer: a long poll takes 20, an object of gigabytes may take minutes to be stored.
_ANSWER_MAX_S = 600.0
#: Seconds between two looks at whether the client still waits.
_LOOK_EVERY_S = 1.0
#: Headers of one hop, and those of the signature, which is made anew.
_NOT_SENT_ON = frozenset(
    {
        *("connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "upgrade", "expect"),
        *("transfer-encoding", "authorization", "x-amz-security-token", "content-length"),
    }
)
_NOT_SENT_BACK = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"})
_BUCKET_HOST = re.compile(r"([a-z0-9][a-z0-9.-]{1,62}?)(?:\.s3(?:[.-][a-z0-9-]+)?)?\.localhost\.?")
_S3_HOST = re.compile(r"s3(?:\.[a-z0-9-]+)?\.localhost\.?")


def bucket_of(host: str | None) -> str | None:
    """The bucket that a Host header names (``BUCKET.s3.localhost``); "" for S3 without one, None for other names."""
    if host is None or ".localhost" not in host:
        return None
    name = host.strip().lower().partition(":")[0]
    if _S3_HOST.fullmatch(name):
        return ""
    found = _BUCKET_HOST.fullmatch(name)
    return found[1] if found else None


class Forward:
    """All services that the engine doesn't serve itself."""

    def __init__(self, service: LambdaService, cloud: Cloud) -> None:
        self._service, self._cloud = service, cloud
        self._settings = service.settings
        self._verifier: S3Verifier[Credential] = S3Verifier(service.credentials, service.account.region)
        self._s3: S3 | None = None
        self._rpc: dict[str, list[Rpc]] = {}
        self._permissions: dict[str, Permissions] = {}

    # --- the two ways in

    async def rpc(self, signing_name: str, request: Request, request_id: str, caller: Credential) -> Response:
        """Answer one verified request for a service whose operations have names.

        Raises:
            LambdaError: It is refused, or the cloud does not answer.
        """
        services = self._rpc.get(signing_name)
        if services is None:
            services = self._rpc[signing_name] = await asyncio.to_thread(_read, signing_name)
        service = next((one for one in services if one.means(request)), services[0])
        found = service.find(request)
        name = service.service.name
        self._permit(name, service.service.action_prefix, service.operations, caller, found)
        forwarded = Forwarded(
            name, found.operation, request.method, request.path, request.query, found.labels, request.headers,
            request.body, caller, request_id,
        )  # fmt: skip
        answer = await self._hook(forwarded)
        if answer is not None:
            return answer
        message = Message(request.method, request.path, request.query, _kept(request), request.body)
        return await self._send(name, signing_name, message, None, request)

    async def s3(self, request: Request, request_id: str) -> Response:
        """Answer one request for S3; never raises but for cancellation."""
        try:
            return await self._answer_s3(request, request_id)
        except LambdaError as error:
            if error.http_status >= 500:
                log.warning("s3: %s %s: %s", request.method, request.path, error.message)
            return s3_error(error, request.path, request_id)
        except BrokenBody:
            return Response(400, close=True)  # nobody is there to read it
        except Exception:
            log.exception("request %s to s3 failed", request_id)
            failure = ServiceException(f"The engine failed; its log says why, under the request id {request_id}.")
            return s3_error(failure, request.path, request_id)

    async def _answer_s3(self, request: Request, request_id: str) -> Response:
        bucket = bucket_of(request.headers.get("host"))
        path = f"/{bucket}{request.path}" if bucket else request.path
        verified = self._verifier.verify_head(request, path, self._service.clock())
        if self._s3 is None:
            self._s3 = await asyncio.to_thread(lambda: S3(description.load("s3")))
        headers = request.headers
        found = self._s3.find(request.method, path, request.query, headers)
        self._permit("s3", "s3", self._s3.operations, verified.credential, found)
        self._cloud.check()
        framed = self._cloud.home == "embedded"
        source = request.stream.__aiter__() if request.stream is not None else _once(request.body)
        body = verified.body(source, framed=framed)
        query = without_signature(request.query)
        if ("s3", found.operation) in self._cloud.hooks:
            whole = await _whole(body)
            forwarded = Forwarded(
                "s3", found.operation, request.method, path, query, found.labels, headers, whole,
                verified.credential, request_id,
            )  # fmt: skip
            answer = await self._hook(forwarded)
            if answer is not None:
                return answer
            body = _once(whole)
        kept = _kept(request)
        kept.pop("X-Amz-Target", None)  # an operation of another service, to a server that looks at it first
        if bucket is not None:
            kept["Host"] = "localhost"
        has_body = request.stream is not None or bool(request.body)
        if has_body:
            for field, value in _body_headers(headers, verified, framed=framed).items():
                kept.pop(field, None)
                if value:
                    kept[field] = value
            body = _exactly(body, kept.get("Content-Length"))
        message = Message(request.method, path, query, kept, b"")
        return await self._send("s3", "s3", message, body if has_body else None, request)

    # --- permission, hook, cloud

    def _permit(self, name: str, prefix: str, operations: frozenset[str], caller: Credential, found: Found) -> None:
        permissions = self._permissions.get(name)
        if permissions is None:
            settings = self._settings
            permissions = Permissions(settings.function_permissions, operations, settings.account, prefix=prefix)
            self._permissions[name] = permissions
        permissions.check(caller, found.operation, {})
        if caller.function_name is not None and self._cloud.home == "aws" and not self._settings.aws_for_functions:
            raise AccessDeniedException(
                f"{caller.principal} may not use AWS with the owner's keys; c.LambdaEngine.aws_for_functions allows it"
            )

    async def _hook(self, forwarded: Forwarded) -> Response | None:
        hook = self._cloud.hooks.get((forwarded.service, forwarded.operation))
        return None if hook is None else await hook(forwarded)

    async def _send(
        self, name: str, signing_name: str, message: Message, body: AsyncIterator[bytes] | None, request: Request
    ) -> Response:
        sending = asyncio.ensure_future(self._cloud.send(name, signing_name, message, body, timeout_s=_ANSWER_MAX_S))
        try:
            while not (await asyncio.wait({sending}, timeout=_LOOK_EVERY_S))[0]:
                if request.connection.closed:  # what a long poll would bring would be lost
                    raise BrokenBody("the client has gone")
            reply = sending.result()
        finally:
            sending.cancel()
        headers = _sent_back(reply)
        told = reply.headers.get("content-length", "")
        length = int(told) if told.isdigit() else None
        if request.method == "HEAD" or (length is not None and length <= _INLINE_BYTES):
            try:
                return Response(reply.status, headers, await reply.read(), length=length)
            except OSError as exc:
                raise ServiceUnavailableException(f"{name} at {self._cloud.endpoint} broke off: {exc}") from exc
        return Response(reply.status, headers, _through(reply), length=length)


def _read(signing_name: str) -> list[Rpc]:
    """Descriptions of all services of a signing name; blocking."""
    return [Rpc(one, description.load(one.name)) for one in SERVICES if one.signing_name == signing_name]


def _kept(request: Request) -> dict[str, str]:
    """Headers that go on."""
    return {name.title(): value for name, value in request.headers.items() if name not in _NOT_SENT_ON}


def _sent_back(reply: Reply) -> list[tuple[str, str]]:
    """Headers of the answer. A page that somebody has put into a bucket must not act on this host."""
    headers = [(key.decode("latin-1"), value.decode("latin-1")) for key, value in reply.raw_headers]
    kept = [
        (key, value)
        for key, value in headers
        if key.lower() not in _NOT_SENT_BACK and not key.lower().startswith("access-control-")
    ]
    return [*kept, ("Content-Security-Policy", SANDBOX), ("X-Content-Type-Options", "nosniff")]


def _body_headers(headers: dict[str, str], verified: Verified[Any], *, framed: bool) -> dict[str, str]:
    """What says how long the body is that goes on."""
    decoded = headers.get("x-amz-decoded-content-length", "")
    if verified.in_chunks and not framed:
        encodings = [e.strip() for e in headers.get("content-encoding", "").split(",")]
        return {
            "Content-Length": decoded,
            "Content-Encoding": ",".join(e for e in encodings if e and e != "aws-chunked"),
            "X-Amz-Decoded-Content-Length": "",
            "X-Amz-Trailer": "",
        }
    told = headers.get("content-length")
    return {"Content-Length": told} if told is not None else {"Transfer-Encoding": "chunked"}


async def _exactly(body: AsyncIterator[bytes], told: str | None) -> AsyncIterator[bytes]:
    """The body, if it has as many bytes as its head says: what is more would be a request of its own to the server.

    Raises:
        SerializationException: It has not.
    """
    if told is not None and not (told.isascii() and told.isdigit()):
        raise SerializationException(f"{told[:32]!r} is no length of a body")
    size, held = 0, b""
    async for part in body:
        size += len(part)
        if told is not None and size > int(told):
            break
        if held:
            yield held
        held = part  # the last one stays here until all is known to be right
    if told is not None and size != int(told):
        raise SerializationException(f"the body does not have the {told[:32]} bytes that its head says")
    if held:
        yield held


async def _once(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body


async def _whole(body: AsyncIterator[bytes]) -> bytes:
    """A body that somebody here reads.

    Raises:
        RequestEntityTooLargeException: It is too large for that.
    """
    parts, size = [], 0
    async for part in body:
        size += len(part)
        if size > _HOOKED_MAX_BYTES:
            raise RequestEntityTooLargeException(f"the request is larger than {_HOOKED_MAX_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


async def _through(reply: Reply) -> AsyncIterator[bytes]:
    try:
        async for chunk in reply.chunks():
            yield chunk
    finally:
        reply.close()


def streams(method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request that has come in part is handed on before it is whole: one for S3. For ``http1.Server``."""
    if b"%2Fs3%2Faws4_request" in target or MARK.encode() in target:
        return True
    return any(b"/s3/aws4_request" in value for name, value in headers if name.lower() == b"authorization")


def is_for_s3(authorization: str | None, query: str) -> bool:
    """Whether a request that was refused before anybody knew what it is about was signed for S3."""
    return "/s3/aws4_request" in (authorization or "") or "/s3/aws4_request" in unquote(query) or MARK in query
