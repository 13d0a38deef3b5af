"""The Python runtime: takes events, calls the handler, sends back what it returns."""

from __future__ import annotations

import _socket
import _thread
import json
import os
import sys

from . import logs
from .client import Client, connect
from .context import Environment, LambdaContext
from .encoder import Encoder
from .errors import Fault, error_document, fault_document, log_error
from .handler import load_handler, set_paths
from .imports import ImportWatch
from .logs import write_log

TYPE_CHECKING = False  # `typing` is not imported: every cold start would wait for it
if TYPE_CHECKING:
    from typing import Any, TextIO

    from .settings import Settings


def handle(
    client: Client,
    handler: Any,
    encoder: Encoder,
    environment: Environment,
    headers: dict[str, str],
    body: bytes | bytearray,
) -> bytes:
    """Run one event; returns the request that answers it. SystemExit and its like end the process, as on AWS."""
    request_id = headers.get("lambda-runtime-aws-request-id", "")
    try:
        context = LambdaContext(headers, environment)
        event: Any = body
        if headers.get("content-type", "application/json") == "application/json":
            try:
                event = json.loads(body)
            except ValueError as exc:
                raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {exc}") from exc
        result = handler(event, context)
        if isinstance(result, bytes):
            answer = client.response(request_id, "application/unknown", result)
        else:
            answer = client.response(request_id, "application/json", encoder.encode(result))
    except Fault as fault:
        document = fault_document(fault, request_id)
    except Exception as exc:
        document = error_document(exc, request_id)
    else:
        flush_output()
        return answer
    log_error(document)
    flush_output()
    return client.error(request_id, document)


def flush_output() -> None:
    """Send what was printed on its way before the answer. The function may have closed or replaced the streams."""
    _flush(sys.stdout)
    _flush(sys.stderr)


def _output(fd: int) -> TextIO:
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _flush(stream: Any) -> None:
    try:
        stream.flush()
    except (AttributeError, OSError, ValueError):
        return  # closed by the function: there is nothing to send


def start_forwarder(settings: Settings) -> _socket.socket | None:
    """Listen where SDKs in this sandbox find the engine, and forward what comes; None where they need not. The code
    that forwards is loaded when somebody connects."""
    if not settings.forward or not settings.socket:
        return None
    host, _, port = settings.forward.rpartition(":")
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen(128)
    except OSError as exc:
        write_log(f"[WARNING] no AWS endpoint in this sandbox: {settings.forward} can't be listened on: {exc}\n")
        return None
    _thread.start_new_thread(_forward, (listener, settings.socket))
    return listener


def announce(listener: _socket.socket | None) -> None:
    """Tell the function's code, by AWS's own variables, where the engine answers."""
    if listener is None:
        return
    host, port = listener.getsockname()
    os.environ["AWS_LAMBDA_RUNTIME_API"] = f"{host}:{port}"
    os.environ.setdefault("AWS_ENDPOINT_URL", f"http://{host}:{port}")


def _forward(listener: _socket.socket, address: str) -> None:
    try:
        fd, _ = listener._accept()  # type: ignore[attr-defined]
        from .forward import serve as serve_forwarder

        serve_forwarder(listener, lambda: connect(address), first=fd)
    except Exception as exc:
        write_log(f"[WARNING] the AWS endpoint of this sandbox has failed: {exc!r}\n")


def run_wrapper(settings: Settings, program: str) -> None:
    """Start the program of AWS_LAMBDA_EXEC_WRAPPER, if there is one, with this runtime as its arguments."""
    wrapper = os.environ.get("AWS_LAMBDA_EXEC_WRAPPER")
    if not wrapper or settings.wrapped:
        return
    if not os.path.isfile(wrapper):
        write_log(f"{wrapper}: does not exist\n")
        sys.exit(127)
    if not os.access(wrapper, os.X_OK):
        write_log(f"{wrapper}: is not an executable\n")
        sys.exit(126)
    os.execve(wrapper, [wrapper, sys.executable, "-I", program], settings.restore())


def serve(client: Client, handler: Any) -> None:
    """Take events and answer them until the sandbox ends."""
    encoder, environment = Encoder(), Environment()
    answer = b""
    traced = True
    while True:
        headers, body = client.next(answer)
        logs.request_id = headers.get("lambda-runtime-aws-request-id", "")
        trace_id = headers.get("lambda-runtime-trace-id")
        if trace_id is not None:
            os.environ["_X_AMZN_TRACE_ID"] = trace_id
            traced = True
        elif traced:
            os.environ.pop("_X_AMZN_TRACE_ID", None)
            traced = False
        answer = handle(client, handler, encoder, environment, headers, body)


def open_streams() -> None:
    """Make stdout and stderr anew: what Python made was for whatever descriptors 1 and 2 were then."""
    sys.stdout = sys.__stdout__ = _output(1)  # type: ignore[assignment,misc]
    sys.stderr = sys.__stderr__ = _output(2)  # type: ignore[assignment,misc]


def main(settings: Settings, program: str) -> None:
    """Start the runtime; ``program`` is the file that a wrapper starts it by."""
    run_wrapper(settings, program)
    open_streams()
    client = Client(settings)
    announce(start_forwarder(settings))
    run(settings, client)


def run(settings: Settings, client: Client) -> None:
    """Import the handler and serve it; where that fails, report it and exit."""
    set_paths(settings)
    logs.install()
    watch = ImportWatch(settings)
    try:
        handler = load_handler(os.environ.get("_HANDLER", ""))
    except Fault as fault:
        document = fault_document(fault)
    except Exception as exc:
        document = error_document(exc)
    else:
        imports, import_ms = watch.end()
        if imports:
            client.report_imports(imports, import_ms)
        serve(client, handler)
    log_error(document)
    flush_output()
    client.init_error(document)
    sys.exit(1)
