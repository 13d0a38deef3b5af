"""All sandboxes of one driver: started, prepared ahead of need, and closed."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from jupyter_lambda import http1
from jupyter_lambda.errors import DriverError
from jupyter_lambda.model.limits import TIMEOUT_MAX_S

from .adoption import can_adopt, shadows
from .base import Driver, GenericSpec, LogSink, SandboxSpec
from .busy_poll import BusyPoll
from .directory import SandboxDirectory
from .runtime_api import error_response
from .sandbox import MAX_BODY_BYTES, Sandbox
from .streamed import Wanted, streamed_or

log = logging.getLogger(__name__)

#: Seconds that a generic sandbox may take to be ready: its start, and importing what it is to have imported.
PREPARE_TIMEOUT_S = 60.0
#: Seconds: longer than a short invocation takes in a sandbox, and shorter than anybody would notice.
BUSY_POLL_S = 0.0002


class Sandboxes:
    """Starts sandboxes with one driver and closes what is left of them."""

    def __init__(
        self,
        driver: Driver,
        state_dir: Path,
        *,
        aws_handler: http1.Handler | None = None,
        transport: Literal["unix", "tcp"] = "unix",
        clock: Callable[[], float] = time.monotonic,
        busy_poll_s: float = BUSY_POLL_S,
    ) -> None:
        """
        Args:
            busy_poll_s: See `busy_poll`.
            transport: "tcp" where sockets can't cross into sandboxes: the Runtime API is then at 127.0.0.1 too, below a
                first path segment that only the one sandbox knows; see `directory.ENDPOINT`.
        """
        self.driver = driver
        #: Answers what a sandbox asks on its socket beyond the Runtime API, with ``request.peer`` = "sandbox:<id>".
        self.aws_handler = aws_handler
        #: Which of these requests are handed on before they are whole, see ``http1.Server.streams``.
        self.streams: Wanted | None = None
        self._state_dir = state_dir
        self._clock = clock
        self._busy_poll = BusyPoll(busy_poll_s)
        self._live: set[Sandbox] = set()
        self._transport = transport
        self._tcp: http1.Server | None = None
        self._tcp_port = 0
        self._by_token: dict[str, Sandbox] = {}
        #: Interpreter and modules asked for → top-level modules that a generic sandbox then had loaded.
        self._preloaded: dict[tuple[Path, tuple[str, ...]], frozenset[str]] = {}

    async def start(self, spec: SandboxSpec, log_sink: LogSink) -> Sandbox:
        """Start one sandbox: directory, Runtime API, log, process. Go on with `Sandbox.init`.

        Args:
            log_sink: Takes what the function writes; never called again after the sandbox is closed.
        Raises:
            DriverError: It could not be started; nothing of it is left.
        """
        return await self._make(spec, log_sink)

    async def prepare(self, spec: GenericSpec) -> Sandbox:
        """Start a generic sandbox ahead of need: up, with its modules imported, and waiting for `Sandbox.adopt`.

        Raises:
            DriverError: It could not be started, or did not come so far in time; nothing of it is left.
        """
        if not self.driver.can_prepare:
            raise DriverError(f"the {self.driver.name} driver has no generic sandboxes")
        sandbox = await self._make(spec, lambda request_id, data: log.debug("%s: %r", spec.sandbox_id, data))
        try:
            modules = await asyncio.wait_for(sandbox.generic(), PREPARE_TIMEOUT_S)
        except TimeoutError as exc:
            await sandbox.close()
            raise DriverError(f"generic sandbox {spec.sandbox_id} was not ready in {PREPARE_TIMEOUT_S:.0f} s") from exc
        except BaseException:
            await sandbox.close()
            raise
        self._preloaded[spec.interpreter, spec.imports] = modules
        return sandbox

    def can_adopt(self, spec: SandboxSpec, imports: tuple[str, ...]) -> bool:
        """Whether a generic sandbox with these modules would do for this function as well as a fresh one."""
        if spec.interpreter is None or not (can_adopt(spec, imports) and self.driver.can_adopt(spec)):
            return False
        return not imports or not shadows(spec, self._preloaded.get((spec.interpreter, imports), ()))

    async def _make(self, spec: SandboxSpec | GenericSpec, log_sink: LogSink) -> Sandbox:
        directory = SandboxDirectory(self._state_dir, spec.sandbox_id)
        sandbox = Sandbox(
            spec,
            directory,
            log_sink,
            aws_handler=lambda: self.aws_handler,
            clock=self._clock,
            busy_poll=self._busy_poll,
        )
        sandbox.streams(self.streams)
        self._live.add(sandbox)
        sandbox.closed.add_done_callback(lambda _: self._live.discard(sandbox))
        try:
            directory.create()
            if self._transport == "tcp":
                await self._offer_tcp(sandbox, directory)
            await sandbox.start(self.driver)
        except OSError as exc:
            await sandbox.close()
            raise DriverError(
                f"the directory {directory.path} of a sandbox could not be made: {os.strerror(exc.errno or 0)}; "
                "check free space and open-file limits"
            ) from exc
        except BaseException:
            await sandbox.close()
            raise
        return sandbox

    async def close(self) -> None:
        """Kill every sandbox that is left."""
        await asyncio.gather(*(sandbox.close() for sandbox in list(self._live)))
        if self._tcp is not None:
            await self._tcp.close()

    async def _offer_tcp(self, sandbox: Sandbox, directory: SandboxDirectory) -> None:
        if self._tcp is None:
            self._tcp = http1.Server(self._handle_tcp, max_body_bytes=MAX_BODY_BYTES, stall_timeout_s=TIMEOUT_MAX_S)
            self._tcp.streams = streamed_or(None)
            _, self._tcp_port = await self._tcp.listen_tcp("127.0.0.1", 0)
        token = secrets.token_hex(16)
        self._by_token[token] = sandbox
        sandbox.exited.add_done_callback(lambda _: self._by_token.pop(token, None))
        directory.write_endpoint(f"{self._tcp_port}/{token}")

    async def _handle_tcp(self, request: http1.Request) -> http1.Response:
        token, slash, path = request.path[1:].partition("/")
        sandbox = self._by_token.get(token)
        if sandbox is None:
            return error_response(403, "Forbidden", "no sandbox has this token")
        request.path = slash + path
        return await sandbox.handle(request)
