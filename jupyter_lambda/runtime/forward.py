"""Brings the engine's Unix socket to a TCP port inside the sandbox, byte for byte.

SDKs and runtimes that speak to ``AWS_LAMBDA_RUNTIME_API`` and ``AWS_ENDPOINT_URL`` can't use a Unix socket; with no
network but the sandbox's own loopback this is how they reach the engine all the same. Run alone as
``python -I forward.py --listen 127.0.0.1:9001 --socket /run/jl/api.sock`` (a sidecar), or by ``serve`` in a thread.
"""

from __future__ import annotations

import _socket
import _thread
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Bytes moved at a time.
CHUNK_BYTES = 65_536


def serve(listener: _socket.socket, connect: Callable[[], _socket.socket], first: int | None = None) -> None:
    """Forward each connection that ``listener`` accepts; returns when it is closed.

    Args:
        connect: Opens a connection to the engine.
        first: File descriptor of a connection that was accepted already.
    """
    fd = first
    while True:
        if fd is not None:
            _start(fd, connect)
        try:
            fd, _ = listener._accept()  # type: ignore[attr-defined]
        except ConnectionAbortedError:
            fd = None
        except OSError:
            return


def _start(fd: int, connect: Callable[[], _socket.socket]) -> None:
    near = _socket.socket(fileno=fd)
    try:
        near.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        far = connect()
    except OSError:
        near.close()  # the engine is gone: so is this connection
        return
    open_ends = [2]
    _thread.start_new_thread(_pump, (near, far, open_ends))
    _thread.start_new_thread(_pump, (far, near, open_ends))


def _pump(source: _socket.socket, sink: _socket.socket, open_ends: list[int]) -> None:
    try:
        while data := source.recv(CHUNK_BYTES):
            sink.sendall(data)
        sink.shutdown(_socket.SHUT_WR)
    except OSError:
        # One side broke off: break off the other, so that its pump ends too.
        _break_off(source)
        _break_off(sink)
    open_ends[0] -= 1
    if open_ends[0] == 0:
        source.close()
        sink.close()


def _break_off(stream: _socket.socket) -> None:
    try:
        stream.shutdown(_socket.SHUT_RDWR)
    except OSError:
        return  # already shut


def listen(address: str) -> _socket.socket:
    """Listen on ``host:port``.

    Raises:
        OSError: In use, or not allowed.
    """
    host, _, port = address.rpartition(":")
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    listener.bind((host, int(port)))
    listener.listen(128)
    return listener


def main(arguments: Sequence[str]) -> None:
    """Forward until killed."""
    options = {arguments[i]: arguments[i + 1] for i in range(0, len(arguments) - 1, 2)}
    path = options.get("--socket", "/run/jl/api.sock")
    # A relative name from its own directory: a socket's whole path may be too long for an address.
    os.chdir(os.path.dirname(path) or ".")
    name = os.path.basename(path)

    def connect() -> _socket.socket:
        stream = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        stream.connect(name)
        return stream

    serve(listen(options.get("--listen", "127.0.0.1:9001")), connect)


if __name__ == "__main__":
    main(sys.argv[1:])
