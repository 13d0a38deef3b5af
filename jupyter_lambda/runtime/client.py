"""The client of the Runtime API: HTTP/1.1 over a Unix socket or TCP."""

from __future__ import annotations

import _socket
import json
import os
import time

from .logs import write_log

TYPE_CHECKING = False  # `typing` is not imported: every cold start would wait for it
if TYPE_CHECKING:
    from typing import Any

    from .settings import Settings

_API = "/2018-06-01/runtime/"
#: Bytes of a response that AWS accepts.
RESPONSE_MAX_BYTES = 6_291_556
#: What the engine answers to an answer, unless something is wrong. Recognised, so that it need not be read.
_ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"status":"OK"}\n'
#: Names of headers as they come → in lower case.
_NAMES: dict[str, str] = {}
#: Times that a lost connection to the engine is made anew, and seconds before the first.
RETRIES, RETRY_DELAY_S = 5, 0.05


class RuntimeApiError(Exception):
    """The engine refused a request of this runtime: nothing can be done but to end."""


def connect(address: str) -> _socket.socket:
    """Connect to a Unix socket, however long its path is, or to ``host:port``."""
    if "/" not in address:
        host, _, port = address.rpartition(":")
        stream = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        stream.connect((host, int(port)))
        stream.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        return stream
    stream = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    if len(os.fsencode(address)) <= 103:
        stream.connect(address)
        return stream
    directory = os.open(os.path.dirname(address), os.O_RDONLY)
    try:
        if os.path.isdir("/proc/self/fd"):
            stream.connect(f"/proc/self/fd/{directory}/{os.path.basename(address)}")
        else:
            # No other thread runs yet, or none that minds: the forwarder connects by full paths only.
            before = os.getcwd()
            os.fchdir(directory)
            try:
                stream.connect(os.path.basename(address))
            finally:
                os.chdir(before)
    finally:
        os.close(directory)
    return stream


class Client:
    """HTTP/1.1 on one connection that is kept; an answer and the wish for the next event go out in one write."""

    def __init__(self, settings: Settings) -> None:
        host, _, token = settings.tcp_address.partition("/")
        self._address = settings.socket or host
        self._prefix = f"/{token}" if token else ""
        self._host = host or "localhost"
        self._stream: _socket.socket | None = None
        self._buffer = b""
        self._next = self._head("GET", "invocation/next", "", 0)
        # The engine knows these very bytes, from the first of the method to the digits of the length: see
        # sandbox/runtime_connection.py.
        self._response = self._head("POST", "invocation/%b/response", "Content-Type: application/json\r\n", 0)
        self._response = self._response.replace(b"Content-Length: 0", b"Content-Length: %d")

    def next(self, answer: bytes = b"") -> tuple[dict[str, str], bytes | bytearray]:
        """Send the answer to the last event, if there is one, and wait for the next event: its headers and its body.

        A connection that is lost is made anew: the engine refuses an answer that it has already and gives an event that
        did not arrive again.
        """
        request = answer + self._next
        delay_s = RETRY_DELAY_S
        for attempt in range(RETRIES + 1):
            try:
                self._send(request)
                if answer:
                    status, _, body = self._receive()
                    if status >= 400 and attempt == 0:
                        failure = f"LAMBDA_RUNTIME Failed to post handler response. Http response code: {status}. "
                        write_log(f"[ERROR] {failure}{bytes(body).decode('utf-8', 'replace')}\n")
                status, headers, body = self._receive()
            except OSError:
                self._drop()
                if attempt == RETRIES:
                    raise
                time.sleep(delay_s)
                delay_s *= 2
                continue
            if status != 200:
                raise RuntimeApiError(f"invocation/next answered {status}: {bytes(body).decode('utf-8', 'replace')}")
            return headers, body
        raise AssertionError("unreachable")

    def init_error(self, document: dict[str, Any]) -> None:
        """Report that the function could not be initialised."""
        body = json.dumps(document).encode()
        self._send(self._head("POST", "init/error", _kind_header(document), len(body)) + body)
        self._receive()

    def ask(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Post to one of the engine's private routes (`sandbox.adoption`): the status and the answer."""
        head = f"POST {self._prefix}{path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._send(head.encode("latin-1", "replace") + body)
        status, _, answer = self._receive()
        return status, bytes(answer)

    def report_imports(self, imports: list[str], import_ms: float) -> None:
        """Tell which modules of the host's packages importing the handler loaded."""
        self.ask("/_sandbox/imports", json.dumps({"imports": imports, "import_ms": import_ms}).encode())

    def response(self, request_id: str, content_type: str, body: bytes) -> bytes:
        """The request that answers an event. Of a body that is too large only as much as it takes to be refused."""
        if len(body) > RESPONSE_MAX_BYTES:
            body = body[: RESPONSE_MAX_BYTES + 1]
        if content_type == "application/json":
            return self._response % (request_id.encode("latin-1", "replace"), len(body)) + body
        extra = f"Content-Type: {content_type}\r\n"
        return self._head("POST", f"invocation/{request_id}/response", extra, len(body)) + body

    def error(self, request_id: str, document: dict[str, Any]) -> bytes:
        """The request that reports an error of the handler."""
        body = json.dumps(document).encode()
        return self._head("POST", f"invocation/{request_id}/error", _kind_header(document), len(body)) + body

    def _head(self, method: str, path: str, extra: str, size: int) -> bytes:
        length = f"Content-Length: {size}\r\n" if method == "POST" else ""
        head = f"{method} {self._prefix}{_API}{path} HTTP/1.1\r\nHost: {self._host}\r\n{extra}{length}\r\n"
        return head.encode("latin-1", "replace")

    def _send(self, data: bytes) -> None:
        if self._stream is None:
            self._stream = connect(self._address)
        self._stream.sendall(data)

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None
        self._buffer = b""

    def _receive(self) -> tuple[int, dict[str, str], bytes | bytearray]:
        buffer, self._buffer = self._buffer, b""
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            buffer += self._read(65_536)
        if buffer.startswith(_ACCEPTED):
            self._buffer = buffer[len(_ACCEPTED) :]
            return 202, {}, b""
        status_line, *lines = buffer[:end].decode("latin-1").split("\r\n")
        status = int(status_line.split(" ", 2)[1])
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[_NAMES.get(name) or _lower(name)] = value.strip()
        size = int(headers.get("content-length", "0"))
        begin = end + 4
        if begin + size <= len(buffer):
            self._buffer = buffer[begin + size :]
            return status, headers, buffer[begin : begin + size]
        body = bytearray(size)
        got = len(buffer) - begin
        body[:got] = buffer[begin:]
        view = memoryview(body)
        while got < size:
            assert self._stream is not None
            count = self._stream.recv_into(view[got:])
            if count == 0:
                raise ConnectionResetError("the engine closed the connection")
            got += count
        return status, headers, body

    def _read(self, size: int) -> bytes:
        assert self._stream is not None
        data = self._stream.recv(size)
        if not data:
            raise ConnectionResetError("the engine closed the connection")
        return data


def _lower(name: str) -> str:
    lower = name.lower()
    if len(_NAMES) < 64:
        _NAMES[name] = lower
    return lower


def _kind_header(document: dict[str, Any]) -> str:
    kind = "".join(c for c in str(document.get("errorType", "")) if c.isascii() and c.isprintable())
    return f"Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: {kind}\r\n"
