"""The routes below ``base_url`` + ``lambda/``: each asks who it is, what they may, and for the XSRF token."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import httputil, web
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from jupyter_lambda.client import sign
from jupyter_lambda.connection import Connection
from jupyter_lambda.errors import LambdaError
from jupyter_lambda.model import limits

from .keeper import EngineKeeper

#: Name under which an authorizer of the server sees all of these.
RESOURCE = "jupyter_lambda"
#: Request headers that reach the engine, besides those that begin with one of the prefixes. Cookies and the server's
#: own authorization never do.
_PASSED = frozenset({"content-type", "accept"})
_PASSED_PREFIXES = ("x-amz-", "x-jupyter-lambda-")
#: Of these, what a signature is made of: the proxy signs anew.
_SIGNING = frozenset({"x-amz-date", "x-amz-content-sha256", "x-amz-security-token"})
#: Response headers that do not reach the browser: about the connection, or able to touch the server's own origin.
_DROPPED = frozenset(
    {
        "connection",
        "content-length",
        "content-security-policy",
        "date",
        "keep-alive",
        "server",
        "set-cookie",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class _LambdaHandler(APIHandler):
    auth_resource = RESOURCE

    @property
    def keeper(self) -> EngineKeeper:
        """The engine of this server."""
        keeper: EngineKeeper = self.settings["jupyter_lambda_keeper"]
        return keeper

    def refuse(self, exc: LambdaError) -> None:
        """AWS's shape of an error, which boto3's and our own clients read."""
        self.set_status(exc.http_status)
        self.set_header("x-amzn-ErrorType", exc.code)
        self.finish(json.dumps({"Type": exc.fault, "message": exc.message}))


class EngineHandler(_LambdaHandler):
    """``lambda/api/engine``: GET its state; POST starts it, also after it was given up."""

    _track_activity = False  # a panel that looks every few seconds must not keep an idle server alive

    @web.authenticated
    @authorized
    def get(self) -> None:
        """State, message, driver, isolation; never a secret."""
        self.finish(json.dumps(self.keeper.describe()))

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Start, and wait until it is ready."""
        self.keeper.retry()
        try:
            await self.keeper.connection()
        except LambdaError as exc:
            self.refuse(exc)
        else:
            self.finish(json.dumps(self.keeper.describe()))


class ProxyHandler(_LambdaHandler):
    """``lambda/engine/…``: anything of the engine, signed here with its credentials, which no browser ever sees."""

    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

    @property
    def content_security_policy(self) -> str:
        """What a function answers is a guest on the server's origin: it may not run as a page of it."""
        return super().content_security_policy + "; sandbox"

    @web.authenticated
    @authorized
    async def get(self, _path: str) -> None:
        """Pass on and stream back."""
        await self._proxy()

    @web.authenticated
    @authorized
    async def head(self, _path: str) -> None:
        """As get."""
        await self._proxy()

    @web.authenticated
    @authorized
    async def post(self, _path: str) -> None:
        """As get."""
        await self._proxy()

    @web.authenticated
    @authorized
    async def put(self, _path: str) -> None:
        """As get."""
        await self._proxy()

    @web.authenticated
    @authorized
    async def patch(self, _path: str) -> None:
        """As get."""
        await self._proxy()

    @web.authenticated
    @authorized
    async def delete(self, _path: str) -> None:
        """As get."""
        await self._proxy()

    async def _proxy(self) -> None:
        most = self.settings["jupyter_lambda_max_body_mb"] * 1024 * 1024
        if len(self.request.body) > most:
            raise web.HTTPError(413, f"the request is larger than {most} bytes (c.LambdaServer.max_body_mb)")
        try:
            connection = await self.keeper.connection()
        except LambdaError as exc:
            self.refuse(exc)
            return
        client: AsyncHTTPClient = self.settings["jupyter_lambda_client"]
        answer = _Answer(self)
        try:
            await client.fetch(
                proxied(connection, self.request, self.target, answer.header, answer.chunk), raise_error=False
            )
        except (HTTPClientError, OSError) as exc:
            self.keeper.suspect()
            if answer.begun:  # too late for an error: a body that ends short tells the client
                self.request.connection.close()  # type: ignore[union-attr]
                return
            raise web.HTTPError(502, f"the engine did not answer: {exc}") from exc
        await answer.end()

    @property
    def target(self) -> str:
        """Path and query for the engine, percent-encoded as they came."""
        prefix = self.base_url + "lambda/engine"
        uri = self.request.uri or ""
        return uri[len(prefix) :] if uri.startswith(prefix) else "/"

    def finish(self, *args: Any, **kwargs: Any) -> Any:
        """Leave the engine's content type as it is; errors are JSON."""
        kwargs.setdefault("set_content_type", self._headers.get("Content-Type", "application/json"))
        return super().finish(*args, **kwargs)


def proxied(
    connection: Connection,
    request: httputil.HTTPServerRequest,
    target: str,
    on_header: Callable[[str], None],
    on_chunk: Callable[[bytes], Awaitable[None]],
) -> HTTPRequest:
    """The engine's request for a browser's, signed."""
    headers = {
        name: value
        for name, value in request.headers.get_all()
        if (name.lower() in _PASSED or name.lower().startswith(_PASSED_PREFIXES)) and name.lower() not in _SIGNING
    }
    method = request.method or "GET"
    url = connection.url.rstrip("/") + target
    body = request.body
    return HTTPRequest(
        url,
        method=method,
        headers=sign(connection, method, url, headers, body),
        body=body if body or method in ("POST", "PUT", "PATCH") else None,
        allow_nonstandard_methods=True,
        follow_redirects=False,
        decompress_response=False,
        connect_timeout=5.0,
        request_timeout=limits.TIMEOUT_MAX_S + 120.0,
        header_callback=on_header,
        streaming_callback=on_chunk,
    )


class _Answer:
    """Sends the engine's answer on as it comes; waits when the browser is slow."""

    def __init__(self, handler: ProxyHandler) -> None:
        self._handler = handler
        self._lines = httputil.HTTPHeaders()
        self.begun = False

    def header(self, line: str) -> None:
        """One line of the head, the status line first."""
        if line.startswith("HTTP/"):
            start = httputil.parse_response_start_line(line.rstrip("\r\n"))
            self._lines = httputil.HTTPHeaders()
            self._handler.set_status(start.code, start.reason or None)
        elif line.strip():
            self._lines.parse_line(line.rstrip("\r\n"))

    async def chunk(self, data: bytes) -> None:
        """One piece of the body."""
        self._begin()
        self._handler.write(data)
        await self._handler.flush()

    async def end(self) -> None:
        """The body is complete."""
        self._begin()
        await self._handler.finish()

    def _begin(self) -> None:
        if self.begun:
            return
        self.begun = True
        for name, value in self._lines.get_all():
            if name.lower() not in _DROPPED:
                self._handler.set_header(name, value)
        self._handler.set_header("X-Content-Type-Options", "nosniff")


def routes(base: str) -> list[tuple[str, type[_LambdaHandler]]]:
    """Path patterns; ``base`` is "" for an ExtensionApp, which adds the server's own."""
    return [(base + r"/lambda/api/engine", EngineHandler), (base + r"/lambda/engine(/.*)", ProxyHandler)]
