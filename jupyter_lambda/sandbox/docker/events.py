"""Who ended and why, from one event stream for the whole engine.

Docker's own account is put together from two signals, for neither is enough: the ``oom`` event (which may come 0.1 s
after the end, or for a child alone) and the container's state (which knows the exit code). A container that Docker
itself killed, or that died while Docker was away, has ended through no fault of the function.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.base import Exit
from jupyter_lambda.sandbox.docker.client import DockerClient, EngineFacts, Missing, knock, translated

log = logging.getLogger(__name__)

#: Seconds to wait for a late ``oom`` event of a container that was killed by who knows whom.
OOM_GRACE_S = 0.3
#: Seconds between attempts to get the event stream back: first, and longest.
_RETRY_FIRST_S, _RETRY_MAX_S = 0.2, 5.0
#: 128 + SIGKILL: what the kernel's memory killer leaves, and Docker's own kill.
_KILLED = 137
_TERMINATED = 143
#: What Docker writes for containers it lost sight of.
_LOST = 255
#: Highest signal number.
_SIGNALS = 64


@dataclass(slots=True)
class _Watched:
    end: asyncio.Future[Exit]
    oom: asyncio.Event = field(default_factory=asyncio.Event)
    #: Docker killed it at somebody's request (ours aside), or in stopping.
    killed: bool = False
    #: We are killing it: the end is told by ``removed``.
    ours: bool = False
    settling: asyncio.Task[None] | None = None


def exit_of(code: int, *, oom: bool, system: bool) -> Exit:
    """Docker tells signals as 128 + number; a program that itself exits so can't be told apart."""
    if 128 < code <= 128 + _SIGNALS:
        return Exit(None, signal=code - 128, oom_killed=oom, system=system)
    return Exit(code, oom_killed=oom, system=system)


class ExitWatch:
    """Tells of each watched container how it ended. Belongs to the event loop; a thread of its own reads the stream."""

    def __init__(self, client: DockerClient, facts: EngineFacts, label: str) -> None:
        self._client = client
        self._facts = facts
        self._label = label
        self._loop = asyncio.get_running_loop()
        self._watched: dict[str, _Watched] = {}
        self._connected = asyncio.Event()
        self._closing = threading.Event()
        self._stream: Any = None
        self._thread = threading.Thread(target=self._run, name="jupyter-lambda-docker-events", daemon=True)
        #: Called in the event loop after Docker has been away.
        self.on_return: list[Callable[[], None]] = []

    async def open(self, timeout_s: float = 10.0) -> None:
        """Start listening.

        Raises:
            DriverError: No event stream within the time.
        """
        self._thread.start()
        try:
            await asyncio.wait_for(self._connected.wait(), timeout_s)
        except TimeoutError as exc:
            raise DriverError(
                f"Docker gave no event stream within {timeout_s:.0f} s; look at the log of dockerd, and restart it"
            ) from exc

    def watch(self, container_id: str) -> asyncio.Future[Exit]:
        """From before the container's start; the future is done when it has ended. Never fails."""
        watched = _Watched(self._loop.create_future())
        self._watched[container_id] = watched
        return watched.end

    def killing(self, container_id: str) -> None:
        """We are about to kill it: what Docker tells of it from now on says nothing about the function."""
        watched = self._watched.get(container_id)
        if watched is not None and watched.settling is None:
            watched.ours = True

    def removed(self, container_id: str) -> None:
        """It was killed and removed by us: whoever still waits hears so."""
        watched = self._watched.pop(container_id, None)
        if watched is None:
            return
        if watched.settling is not None:
            watched.settling.cancel()
        if not watched.end.done():
            watched.end.set_result(Exit(None, signal=9, oom_killed=watched.oom.is_set()))

    def oom_seen(self, container_id: str) -> bool:
        """Whether the memory killer has struck in it so far."""
        watched = self._watched.get(container_id)
        return watched is not None and watched.oom.is_set()

    async def close(self) -> None:
        """Stop listening; the futures of what is still watched stay open."""
        self._closing.set()
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.close()
        for watched in self._watched.values():
            if watched.settling is not None:
                watched.settling.cancel()
        await asyncio.to_thread(self._thread.join, 2.0)

    # --- in the thread

    def _run(self) -> None:
        delay = _RETRY_FIRST_S
        since: int | None = None
        while not self._closing.is_set():
            api = self._client.another(self._facts.api_version)
            try:
                with translated("send its events"):
                    knock(self._client.url)
                    self._stream = api.events(
                        decode=True, since=since,
                        filters={"type": "container", "event": ["die", "oom", "kill"], "label": self._label},
                    )  # fmt: skip
                    since = int(time.time())
                    self._post(self._on_connected)
                    delay = _RETRY_FIRST_S
                    for event in self._stream:
                        since = int(event.get("time") or since)
                        self._post(self._on_event, event)
            except (DriverError, ValueError, AttributeError) as exc:
                # AttributeError: urllib3 reading from a response that close() took away under it.
                if not self._closing.is_set():
                    log.warning("Docker's event stream broke: %s", exc)
            finally:
                api.close()
            if not self._closing.is_set():
                self._post(self._connected.clear)
            self._closing.wait(delay)
            delay = min(delay * 2, _RETRY_MAX_S)

    def _post(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to hear
            self._loop.call_soon_threadsafe(function, *arguments)

    # --- in the loop

    def _on_connected(self) -> None:
        self._connected.set()
        for container_id, watched in self._watched.items():
            self._settle(container_id, watched, away=True)
        for callback in self.on_return:
            callback()

    def _on_event(self, event: Mapping[str, Any]) -> None:
        container_id = str(event.get("id") or (event.get("Actor") or {}).get("ID") or "")
        watched = self._watched.get(container_id)
        if watched is None:
            return
        action = event.get("Action") or event.get("status")
        if action == "oom":
            watched.oom.set()
        elif action == "kill":
            watched.killed = True
        elif action == "die":
            self._settle(container_id, watched, away=False)

    def _settle(self, container_id: str, watched: _Watched, *, away: bool) -> None:
        if watched.settling is None and not watched.ours and not watched.end.done():
            watched.settling = self._loop.create_task(self._classify(container_id, watched, away=away))

    async def _classify(self, container_id: str, watched: _Watched, *, away: bool) -> None:
        try:
            end = await self._account(container_id, watched, away=away)
        except DriverError as exc:
            log.warning("how container %s ended is not known: %s", container_id[:12], exc)
            end = Exit(None, system=True)
        watched.settling = None
        if end is not None and not watched.end.done():
            watched.end.set_result(end)

    async def _account(self, container_id: str, watched: _Watched, *, away: bool) -> Exit | None:
        """How it ended; None when it still runs (asked for after Docker was away)."""
        try:
            answer = await self._client.call(
                f"tell how container {container_id[:12]} ended", lambda api: api.inspect_container(container_id)
            )
        except Missing:
            return Exit(None, signal=9, oom_killed=watched.oom.is_set(), system=True)
        state = answer["State"]
        if state.get("Running") or state.get("Status") == "created":
            return None
        code = int(state.get("ExitCode", 0))
        oom = bool(state.get("OOMKilled")) or watched.oom.is_set()
        if not oom and code == _KILLED and not watched.killed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(watched.oom.wait(), OOM_GRACE_S)
            oom = watched.oom.is_set()
        lost = away and code in (_KILLED, _TERMINATED, _LOST)
        return exit_of(code, oom=oom, system=not oom and (watched.killed or lost))
