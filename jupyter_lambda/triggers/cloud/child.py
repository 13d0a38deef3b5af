"""Runs inside the embedded cloud's process: one of the servers, on a Unix socket, for as long as the engine lives.

``python -m jupyter_lambda.triggers.cloud.child ministack SOCKET`` in the folder of its data: its settings are
environment variables of the server's own, its standard input is a pipe from the engine. When that ends, however the
engine ended, so does the server, and it saves first what it can. Nothing listens on a port, so nobody reaches the
server but through the engine.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

log = logging.getLogger("jupyter_lambda.cloud")

#: Seconds between two looks at whether there is something to save, and the share of time that saving may take.
_LOOK_EVERY_S, _SAVING_SHARE = 2.0, 0.05
#: Seconds that a stop may take; then the process ends as it is.
_STOP_MAX_S = 20.0
#: Seconds that one request of moto may compute before another gets its turn.
_MOTO_TURN_S = 0.05
#: Requests that change nothing; every other one may.
_READING = ("GET", "HEAD", "OPTIONS")
_READING_TARGETS = (b".Get", b".List", b".Describe", b".Query", b".Scan", b".BatchGet")

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class Saver:
    """Passes requests on to ministack and saves its state soon after it has changed.

    By itself ministack saves when it is stopped only: what a SIGKILL would cost is bounded here.
    """

    def __init__(self, app: Asgi, save: Callable[[], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._save, self._clock = app, save, clock
        self._changed = False
        self._last_s, self._took_s = clock(), 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        try:
            await self._app(scope, receive, send)
        finally:
            if scope["type"] == "http" and _changes(scope):
                self._changed = True

    def look(self) -> None:
        """Save if something has changed and the last time is long enough ago for what it took."""
        now_s = self._clock()
        if not self._changed or now_s - self._last_s < self._took_s / _SAVING_SHARE:
            return
        self._changed = False
        self._save()
        self._last_s = self._clock()
        self._took_s = self._last_s - now_s


def _changes(scope: Any) -> bool:
    if scope["method"] in _READING:
        return False
    target = next((value for name, value in scope["headers"] if name == b"x-amz-target"), b"")
    return not any(word in target for word in _READING_TARGETS)


def ministack(socket_path: str) -> None:
    """Until the engine has gone."""
    asyncio.run(_ministack(socket_path))


async def _ministack(socket_path: str) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack import app as server
    from ministack.core.persistence import save_all

    saver = Saver(server.app, lambda: save_all(server._build_persistence_save_dict()))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    _when_over(lambda: loop.call_soon_threadsafe(stop.set))
    config = Config()
    config.bind = [f"unix:{socket_path}"]
    config.umask = 0o077
    config.keep_alive_timeout = 600
    config.graceful_timeout = 1.0
    config.accesslog = None

    async def look() -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            saver.look()

    looking = loop.create_task(look())
    try:
        await serve(saver, config, shutdown_trigger=stop.wait)
    finally:
        looking.cancel()


def moto(socket_path: str) -> None:
    """Until the engine has gone; it forgets everything then."""
    from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Handler(MotoRequestHandler):  # type: ignore[misc]  # untyped
        protocol_version = "HTTP/1.1"  # connections are used again

        def log_request(self, *args: Any) -> None:
            """Not every request."""

    # Its threads change lists that they share (a message that is sent while another is deleted can be lost): turns of
    # Python's usual 5 ms would let them do that in the middle of one.
    sys.setswitchinterval(_MOTO_TURN_S)
    application = DomainDispatcherApplication(create_backend_app)
    os.umask(0o077)
    server = make_server(f"unix://{socket_path}", 0, application, threaded=True, request_handler=Handler)
    server.daemon_threads = True
    _when_over(lambda: os._exit(0))  # nothing to save, and threads that may hang in a long poll
    server.serve_forever()


SERVERS: dict[str, Callable[[str], None]] = {"ministack": ministack, "moto": moto}


def _when_over(stop: Callable[[], object]) -> None:
    """Call ``stop`` when the engine has closed the pipe or died; end the process if that takes too long."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        begin()

    def begin(*_: object) -> None:
        timer = threading.Timer(_STOP_MAX_S, os._exit, (1,))
        timer.daemon = True
        timer.start()
        stop()

    signal.signal(signal.SIGTERM, begin)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C in the engine's terminal is the engine's to handle
    threading.Thread(target=watch, name="engine", daemon=True).start()


def main() -> None:
    """Serve until the engine has gone. The server of an engine that was killed may still be saving: wait for it."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    name, socket_path = sys.argv[1:3]
    with Path("lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in Path().glob("*.sock"):
            left.unlink(missing_ok=True)
        SERVERS[name](socket_path)


if __name__ == "__main__":
    main()
