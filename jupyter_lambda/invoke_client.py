"""A lean client of one operation, Invoke: what boto3 needs a millisecond for, in a tenth of that, from many threads.

For the notebook's own calls and maps to an engine; AWS itself is always spoken to by boto3. Answers have the shape of
boto3's, so that whoever reads them need not know which client asked.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import select
import socket
import threading
from collections.abc import Mapping
from typing import Any

from .connection import Connection
from .model import limits
from .signing import Signer

#: Names that need no encoding in a path; anything else (ARNs) is boto3's business.
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_QUALIFIER = re.compile(r"[A-Za-z0-9_-]{1,128}")
#: Seconds: a function's time, and waiting for an environment.
_READ_TIMEOUT_S = limits.TIMEOUT_MAX_S + 120
_CONNECT_TIMEOUT_S = 5.0
_MAX_HEAD_BYTES = 256 * 1024


class InvokeRefused(Exception):
    """The engine refused; ``code`` and ``message`` are AWS's."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status, self.code, self.message = status, code, message


class NotConnected(OSError):
    """Nobody answers at the engine's address; the request was never sent."""


class InvokeClient:
    """Keeps connections and signs. Thread-safe; a request is sent once, whatever happens to it."""

    def __init__(self, connection: Connection) -> None:
        self._address = connection.host_port
        host, port = self._address
        self._signer = Signer(
            connection.access_key,
            connection.secret_key,
            connection.session_token,
            host=f"{host}:{port}",
            region=connection.region,
        )
        self._idle: list[socket.socket] = []
        self._lock = threading.Lock()

    @staticmethod
    def serves(url: str) -> bool:
        """Whether an engine at this address can be spoken to: plain HTTP without a path."""
        return re.fullmatch(r"http://[A-Za-z0-9.-]+:\d+/?", url) is not None

    @staticmethod
    def takes(name: str, qualifier: str | None) -> bool:
        """Whether this function can be named without encoding."""
        return bool(_PLAIN.fullmatch(name)) and (qualifier is None or bool(_QUALIFIER.fullmatch(qualifier)))

    def invoke(
        self, name: str, payload: bytes, *, qualifier: str | None = None, headers: Mapping[str, str]
    ) -> dict[str, Any]:
        """Run a function and wait for its answer.

        Args:
            headers: More headers, names in lower case; those that begin with ``x-amz-`` are signed.
        Returns:
            As boto3's ``invoke``: StatusCode, Payload (a stream), ExecutedVersion, FunctionError, LogResult,
            ResponseMetadata.
        Raises:
            InvokeRefused: The engine's refusal.
            NotConnected: Nobody answers; nothing was sent.
            OSError: The connection broke after the request had been sent: it may have run.
        """
        path = f"/2015-03-31/functions/{name}/invocations"
        query = f"Qualifier={qualifier}" if qualifier else ""
        amz = {key: value for key, value in headers.items() if key.startswith("x-amz-")}
        more = "".join([f"{key}: {value}\r\n" for key, value in headers.items() if key not in amz])
        head = (
            f"POST {path}{'?' if query else ''}{query} HTTP/1.1\r\n"
            f"{self._signer.headers('POST', path, query, payload, amz)}{more}"
            f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n"
        )
        stream = self._take()
        try:
            stream.sendall(head.encode("latin-1") + payload)
            status, answered, body = _receive(stream)
        except BaseException:
            stream.close()  # also when interrupted: what it still brings belongs to nobody
            raise
        if answered.get("connection") == "close":
            stream.close()
        else:
            self._give_back(stream)
        return _answer(status, answered, body)

    def close(self) -> None:
        """Close the connections that are kept."""
        with self._lock:
            idle, self._idle = self._idle, []
        for stream in idle:
            stream.close()

    def _take(self) -> socket.socket:
        while True:
            with self._lock:
                stream = self._idle.pop() if self._idle else None
            if stream is None:
                return self._connect()
            if not _readable(stream):
                return stream
            stream.close()  # readable while nothing was asked: the engine has closed it

    def _connect(self) -> socket.socket:
        try:
            stream = socket.create_connection(self._address, timeout=_CONNECT_TIMEOUT_S)
        except OSError as exc:
            raise NotConnected(*exc.args) from exc
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        stream.settimeout(_READ_TIMEOUT_S)
        return stream

    def _give_back(self, stream: socket.socket) -> None:
        with self._lock:
            self._idle.append(stream)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


def _readable(stream: socket.socket) -> bool:
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    return bool(poll.poll(0))


def _receive(stream: socket.socket) -> tuple[int, dict[str, str], bytes]:
    buffer = bytearray()
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        if len(buffer) > _MAX_HEAD_BYTES:
            raise ConnectionError("the engine's answer has no end to its headers")
        _read(stream, buffer)
    status_line, *lines = buffer[:end].decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    status, size = status_line.split(" ", 2)[1], headers.get("content-length", "0")
    if not (status.isdigit() and size.isdigit()):
        raise ConnectionError(f"the engine's answer is not HTTP: {status_line[:80]}")
    del buffer[: end + 4]
    while len(buffer) < int(size):
        _read(stream, buffer)
    return int(status), headers, bytes(buffer)


def _read(stream: socket.socket, buffer: bytearray) -> None:
    data = stream.recv(262_144)
    if not data:
        raise ConnectionError("the engine closed the connection before it answered")
    buffer += data


def _answer(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    if status >= 300:
        try:
            document = json.loads(body)
        except ValueError:
            document = {}
        if not isinstance(document, dict):
            document = {}
        message = str(document.get("message") or document.get("Message") or body.decode("utf-8", "replace")[:300])
        raise InvokeRefused(status, headers.get("x-amzn-errortype", "error"), message)
    answer: dict[str, Any] = {
        "StatusCode": status,
        "Payload": io.BytesIO(body),
        "ExecutedVersion": headers.get("x-amz-executed-version", "$LATEST"),
        "ResponseMetadata": {
            "RequestId": headers.get("x-amzn-requestid"),
            "HTTPStatusCode": status,
            "HTTPHeaders": dict(headers),
        },
    }
    if "x-amz-function-error" in headers:
        answer["FunctionError"] = headers["x-amz-function-error"]
    if "x-amz-log-result" in headers:
        answer["LogResult"] = headers["x-amz-log-result"]
    return answer
