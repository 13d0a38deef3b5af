"""The engine of a Jupyter server: started on demand, watched, started again when it dies, stopped with the server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jupyter_lambda.connection import Connection, alive, announced, connect, elsewhere, find, log_tail
from jupyter_lambda.errors import LambdaError, ServiceUnavailableException

#: stopped: none runs, one starts when needed · failed: it died too often, or can't start; ``message`` says why ·
#: elsewhere: ``engine_url`` names it.
State = Literal["stopped", "starting", "ready", "restarting", "failed", "elsewhere"]

#: Seconds between looks at the engine's process.
WATCH_S = 1.0
#: Seconds within which deaths count towards the limit.
DEATHS_WINDOW_S = 600.0
#: Seconds before the first restart, doubled for each further one, and the longest.
BACKOFF_S, BACKOFF_MAX_S = 0.5, 30.0
#: Seconds that a stopping server waits for its engine; it finishes its work in flight by itself if that takes longer.
STOP_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    """Plain values from ``LambdaServer``."""

    state_dir: Path
    engine_url: str = ""
    #: "demand", "always" or "never".
    autostart: str = "demand"
    stop_engine: bool = True
    restart_limit: int = 5


class EngineKeeper:
    """Use as ``await keeper.open()`` … ``await keeper.close()``; ``connection()`` whenever the engine is needed."""

    def __init__(
        self,
        settings: KeeperSettings,
        log: logging.Logger | logging.LoggerAdapter[Any],
        *,
        start: Callable[..., Connection] = connect,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.state: State = "elsewhere" if settings.engine_url else "stopped"
        #: For people: why the state is what it is.
        self.message = ""
        self.restarts = 0
        self._log = log
        self._start = start
        self._clock = clock
        self._deaths: deque[float] = deque()
        self._connection: Connection | None = None
        self._starting: asyncio.Task[Connection] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        """Begin to watch; with autostart "always", begin to start an engine."""
        if self.state == "elsewhere":
            return
        self._watch = asyncio.create_task(self._keep_watch(), name="jupyter_lambda engine watch")
        if self.settings.autostart == "always":
            self._begin()

    async def close(self) -> None:
        """Stop watching; stop the engine if it belongs to this server and nobody said otherwise."""
        self._closed = True
        for task in (self._watch, self._starting):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, LambdaError):
                    await task
        if self.state != "elsewhere" and self.settings.stop_engine:
            await self._stop_own()

    async def connection(self) -> Connection:
        """The engine, started now if none runs.

        Raises:
            ServiceUnavailableException: There is none and none may be started, or it can't be; the message says why.
            StoreError: Its directory can't be used.
        """
        if self.settings.engine_url:
            return self._elsewhere()
        if self.state == "ready" and self._connection is not None:
            return self._connection
        if self.state == "failed":
            raise ServiceUnavailableException(self.message)
        if self._starting is None and self.settings.autostart == "never":
            found = await asyncio.to_thread(find, self.settings.state_dir)
            if found is None:
                raise ServiceUnavailableException(
                    f"no engine runs on {self.settings.state_dir}, and c.LambdaServer.autostart is 'never'"
                )
            return self._ready(found)
        # Shielded: one impatient caller must not end the start for all who wait for it.
        return await asyncio.shield(self._begin())

    def retry(self) -> None:
        """Forget past failures and start again, because a person asked for it."""
        if self.state != "elsewhere":
            self._deaths.clear()
            if self.state == "failed":
                self.state, self.message = "stopped", ""
            self._begin()

    def suspect(self) -> None:
        """The engine did not answer: look again before it is believed."""
        if self.state == "ready":
            self._connection, self.state = None, "stopped"

    def describe(self) -> dict[str, Any]:
        """For the interface; holds no secrets."""
        engine = self._connection
        return {
            "state": self.state,
            "message": self.message,
            "restarts": self.restarts,
            "url": self.settings.engine_url or (engine.url if engine else None),
            "driver": engine.driver if engine else None,
            "isolated": engine.isolated if engine else None,
            "version": engine.version if engine else None,
            "epoch": engine.epoch if engine else None,
        }

    # --- starting

    def _begin(self) -> asyncio.Task[Connection]:
        if self._starting is None:
            if self.state not in ("restarting", "ready"):
                self.state, self.message = "starting", "the engine is starting"
            self._starting = asyncio.create_task(self._run_start(), name="jupyter_lambda engine start")
            self._starting.add_done_callback(self._started)
        return self._starting

    async def _run_start(self) -> Connection:
        owner = os.getpid() if self.settings.stop_engine else 0
        return await asyncio.to_thread(self._start, self.settings.state_dir, owner_pid=owner, on_message=self._log.info)

    def _started(self, task: asyncio.Task[Connection]) -> None:
        self._starting = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._ready(task.result())
        else:
            self._fail(f"the engine can't be started: {error}")

    def _ready(self, connection: Connection) -> Connection:
        if self._connection is None or self._connection.epoch != connection.epoch:
            self._log.info("jupyter_lambda: engine ready at %s", connection.describe())
        self._connection, self.state, self.message = connection, "ready", ""
        return connection

    def _fail(self, why: str) -> None:
        self._connection, self.state, self.message = None, "failed", why
        self._log.error("jupyter_lambda: %s", why)

    def _elsewhere(self) -> Connection:
        environment = os.environ | {"JUPYTER_LAMBDA_ENGINE_URL": self.settings.engine_url}
        self._connection = elsewhere(environment)
        assert self._connection is not None
        return self._connection

    # --- watching

    async def _keep_watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                await self._look()
            except (LambdaError, OSError) as exc:
                self._log.warning("jupyter_lambda: the engine can't be watched: %s", exc)

    async def _look(self) -> None:
        if self._starting is not None or self.state == "failed":
            return
        data = announced(self.settings.state_dir)
        if data is None:
            if self.state == "ready":  # it took its announcement away itself: it was stopped, it did not die
                self._connection, self.state, self.message = None, "stopped", "the engine was stopped"
                self._log.info("jupyter_lambda: the engine was stopped")
            return
        pid = data.get("pid")
        if isinstance(pid, int) and not alive(pid):
            if self.settings.autostart != "never":
                await self._died(data)
            return
        if self.state == "stopped" or (self._connection and self._connection.epoch != data.get("epoch")):
            # A kernel, or a person, started one.
            found = await asyncio.to_thread(find, self.settings.state_dir)
            if found is not None:
                self._ready(found)

    async def _died(self, data: dict[str, Any]) -> None:
        """Start it again, later each time; give up when it dies too often."""
        known = self._connection is not None and self._connection.epoch == data.get("epoch")
        if not known and self.state == "stopped":
            return  # it died before this server began, and nobody has needed it since
        now = self._clock()
        self._deaths.append(now)
        while self._deaths and now - self._deaths[0] > DEATHS_WINDOW_S:
            self._deaths.popleft()
        tail = log_tail(self.settings.state_dir, size=1500)
        if len(self._deaths) > self.settings.restart_limit:
            self._fail(
                f"the engine died {len(self._deaths)} times within {DEATHS_WINDOW_S / 60:.0f} minutes and is not "
                f"started again by itself. Its log {self.settings.state_dir / 'engine.log'} ends:\n{tail}"
            )
            return
        wait_s = min(BACKOFF_S * 2 ** (len(self._deaths) - 1), BACKOFF_MAX_S)
        self._connection, self.state = None, "restarting"
        self.message = f"the engine (process {data.get('pid')}) died and is started again in {wait_s:g} s"
        self._log.warning("jupyter_lambda: %s. Its log ends:\n%s", self.message, tail)
        await asyncio.sleep(wait_s)
        self.restarts += 1
        with contextlib.suppress(LambdaError):  # said by _started
            await asyncio.shield(self._begin())

    # --- stopping

    async def _stop_own(self) -> None:
        data = announced(self.settings.state_dir)
        if data is None or data.get("owner_pid") != os.getpid():
            return
        pid = data.get("pid")
        if not isinstance(pid, int) or not alive(pid):
            return
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            return
        deadline = self._clock() + STOP_WAIT_S
        while alive(pid) and self._clock() < deadline:  # noqa: ASYNC110 - nothing would tell
            await asyncio.sleep(0.05)
        if alive(pid):
            self._log.info("jupyter_lambda: the engine finishes its work in flight and then ends")
        else:
            self._log.info("jupyter_lambda: the engine was stopped with the server")
