"""The Runtime API of one sandbox, over HTTP.

Source: AWS Lambda Developer Guide, "Lambda runtime API"; statuses, error types and messages as AWS's emulator sends
them.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from jupyter_lambda import http1
from jupyter_lambda.model.limits import RESPONSE_MAX_BYTES

from .base import RuntimeEvent
from .session import Answer, Poll, Refusal, Session
from .streamed import MODE_HEADER, receive, streamed_error

PREFIX = "/2018-06-01/runtime/"
NEXT_PATH = PREFIX + "invocation/next"
_INIT_ERROR = PREFIX + "init/error"
_INVOCATION = PREFIX + "invocation/"
#: With the request id in place of %b.
RESPONSE_PATH = _INVOCATION + "%b/response"
#: Paths of AWS's other APIs on the same endpoint, which are not built: first segments → name.
NOT_BUILT = {
    "/2020-01-01/extension/": "the Lambda Extensions API",
    "/2020-08-15/logs": "the Lambda Logs API",
    "/2022-07-01/telemetry": "the Lambda Telemetry API",
    "/2021-04-23/credentials": "the Lambda credentials API of SnapStart",
    PREFIX + "restore/": "the restore phase of the Runtime API (SnapStart)",
}
JSON = ("Content-Type", "application/json")
ACCEPTED_BODY = b'{"status":"OK"}\n'
_ACCEPTED = http1.Response(202, (JSON,), ACCEPTED_BODY)


class RuntimeApi:
    """Serves a session over HTTP. Paths of other APIs are not its business: see ``serves``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @staticmethod
    def serves(path: str) -> bool:
        """True for the Runtime API and its not-built neighbours."""
        return path.startswith("/20") and (path.startswith(PREFIX) or any(path.startswith(p) for p in NOT_BUILT))

    async def handle(self, request: http1.Request) -> http1.Response:
        """Answer one request."""
        try:
            return await self._route(request)
        except Refusal as refusal:
            return error_response(refusal.status, refusal.error_type, refusal.message)

    def refused(self, method: str, path: str, status: int) -> None:
        """The server refused a request because of its size before it came to ``handle``."""
        if status == 413 and method == "POST" and path.startswith(_INVOCATION) and path.endswith("/response"):
            request_id = path[len(_INVOCATION) : -len("/response")]
            try:
                self._session.answer(request_id, Answer("too_large"))
            except Refusal:
                return  # nobody waits for it

    async def _route(self, request: http1.Request) -> http1.Response:
        path, method = request.path, request.method
        if path == NEXT_PATH:
            return await self._next(request) if method == "GET" else _not_allowed("GET")
        if path == _INIT_ERROR:
            return self._init_error(request) if method == "POST" else _not_allowed("POST")
        if path.startswith(_INVOCATION):
            request_id, _, verb = path[len(_INVOCATION) :].partition("/")
            if verb in ("response", "error"):
                if method != "POST":
                    return _not_allowed("POST")
                if verb == "error":
                    return self._error(request, request_id)
                mode = request.headers.get(MODE_HEADER)
                if mode:
                    return await self._streamed(request, request_id, mode)
                return self._response(request, request_id)
        for prefix, name in NOT_BUILT.items():
            if path.startswith(prefix):
                text = f"{name} is not built in this Lambda: {method} {path}"
                return error_response(501, "NotImplemented", text)
        return error_response(404, "NotFound", f"the Runtime API has no {path}")

    async def _next(self, request: http1.Request) -> http1.Response:
        connection = request.connection
        given: asyncio.Future[RuntimeEvent | Refusal] = asyncio.get_running_loop().create_future()

        def deliver(event: RuntimeEvent | Refusal) -> None:
            if not given.done():
                given.set_result(event)

        poll = Poll(deliver, lambda: not connection.closed)
        self._session.next(poll)
        event = await given
        if isinstance(event, Refusal):
            raise event
        if connection.closed:
            self._session.undelivered(poll)
        # From here to the write nothing else runs, so what is returned goes out.
        return http1.Response(200, event_headers(event), event.payload)

    def _response(self, request: http1.Request, request_id: str) -> http1.Response:
        if len(request.body) > RESPONSE_MAX_BYTES:
            self._session.answer(request_id, Answer("too_large"))
            text = f"Exceeded maximum allowed payload size ({RESPONSE_MAX_BYTES} bytes)."
            return error_response(413, "RequestEntityTooLarge", text)
        self._session.answer(request_id, streamed_error(request.trailers) or Answer("response", request.body))
        return _ACCEPTED

    async def _streamed(self, request: http1.Request, request_id: str, mode: str) -> http1.Response:
        if mode.lower() != "streaming":
            error = {"errorType": "Runtime.InvalidResponseModeHeader", "errorMessage": f"Response mode {mode!r}"}
            self._session.answer(request_id, Answer("error", json.dumps(error).encode(), error["errorType"]))
            return error_response(400, "InvalidFunctionResponseMode", "Invalid function response mode")
        await receive(request, self._session, request_id)
        return _ACCEPTED

    def _error(self, request: http1.Request, request_id: str) -> http1.Response:
        payload = request.body[:RESPONSE_MAX_BYTES]
        header = request.headers.get("lambda-runtime-function-error-type")
        self._session.answer(request_id, Answer("error", payload, error_type(payload, header)))
        return _ACCEPTED

    def _init_error(self, request: http1.Request) -> http1.Response:
        payload = request.body[:RESPONSE_MAX_BYTES]
        header = request.headers.get("lambda-runtime-function-error-type")
        self._session.init_error(payload, error_type(payload, header))
        return _ACCEPTED


def event_headers(event: RuntimeEvent) -> list[tuple[str, str]]:
    """The headers of ``next``."""
    headers = [
        JSON,
        ("Lambda-Runtime-Aws-Request-Id", event.request_id),
        ("Lambda-Runtime-Deadline-Ms", str(event.deadline_ms)),
        ("Lambda-Runtime-Invoked-Function-Arn", event.invoked_arn),
    ]
    if event.trace_id:
        headers.append(("Lambda-Runtime-Trace-Id", _header_text(event.trace_id)))
    if event.client_context:
        headers.append(("Lambda-Runtime-Client-Context", _header_text(event.client_context)))
    if event.cognito_identity:
        headers.append(("Lambda-Runtime-Cognito-Identity", _header_text(event.cognito_identity)))
    return headers


def _header_text(text: str) -> str:
    """Text as a header can carry it: JSON with other than printable ASCII is written anew with escapes."""
    if text.isascii() and text.isprintable():
        return text
    try:
        return json.dumps(json.loads(text), separators=(",", ":"))
    except ValueError:
        return "".join(c for c in text if c.isascii() and c.isprintable())


def error_type(payload: bytes, header: str | None) -> str:
    """The errorType of an error document, else the one of the header, else AWS's "Runtime.Unknown"."""
    try:
        document: Any = json.loads(payload)
    except ValueError:
        document = None
    named = document.get("errorType") if isinstance(document, dict) else None
    return named if isinstance(named, str) and named else header or "Runtime.Unknown"


def error_response(status: int, kind: str, message: str) -> http1.Response:
    """An error as the Runtime API writes it."""
    body = json.dumps({"errorMessage": message, "errorType": kind}).encode()
    return http1.Response(status, (JSON,), body)


def _not_allowed(method: str) -> http1.Response:
    body = json.dumps({"errorMessage": f"only {method} is served here", "errorType": "MethodNotAllowed"}).encode()
    return http1.Response(405, (JSON, ("Allow", method)), body)
