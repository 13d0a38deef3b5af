"""Scheduled runs that failed, told to whoever has a page open: an event of the Jupyter server for each, once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jupyter_lambda.client import Admin
from jupyter_lambda.errors import LambdaError

if TYPE_CHECKING:
    from jupyter_events import EventLogger

    from .keeper import EngineKeeper

#: Of ``run_failed.yaml``.
SCHEMA_ID = "https://schema.jupyter.org/jupyter_lambda/run_failed/v1"
#: Seconds between two looks while somebody listens.
LOOK_EVERY_S = 4.0


class FailureNotices:
    """Use as ``notices.open()`` … ``await notices.close()``."""

    def __init__(
        self,
        keeper: EngineKeeper,
        events: EventLogger,
        log: logging.Logger | logging.LoggerAdapter[Any],
        *,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._keeper = keeper
        self._events = events
        self._log = log
        self._look_every_s = look_every_s
        self._task: asyncio.Task[None] | None = None
        #: When the last run ended that was told of; None: what the engine's reader has not seen yet is told.
        self._since_s: float | None = None
        self._told: set[str] = set()

    def open(self) -> None:
        """Begin to look."""
        self._events.register_event_schema(files(__package__).joinpath("run_failed.yaml").read_text(encoding="utf-8"))
        self._task = asyncio.create_task(self._watch(), name="jupyter_lambda failure notices")

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._look_every_s)
            try:
                await self._look()
            except LambdaError as exc:  # the engine ends, or begins: its keeper says so
                self._log.debug("jupyter_lambda: runs can't be looked at: %s", exc)
            except Exception:  # noqa: BLE001 - logged; the next look may go well
                self._log.exception("jupyter_lambda: failures of scheduled runs can't be told")

    async def _look(self) -> None:
        """Ask the engine, where one runs and somebody would hear of it; never starts one."""
        if not self._heard() or self._keeper.state not in ("ready", "elsewhere"):
            return
        admin = Admin(await self._keeper.connection())
        found = await asyncio.to_thread(admin.failed_runs, self._since_s)
        runs = [run for run in found["runs"] if run["run_id"] not in self._told]
        for run in reversed(runs):
            self._emit(run)
        self._told |= {run["run_id"] for run in runs}
        if self._since_s is None:
            self._since_s = float(found["since_s"])
        self._since_s = max([self._since_s, *(float(run["ended_s"]) for run in runs)])

    def _heard(self) -> bool:
        """Whether anybody listens: a page of JupyterLab does as long as it is open. The logger keeps that to itself."""
        kinds = [getattr(self._events, f"_{kind}_listeners", None) for kind in ("modified", "unmodified")]
        known = [listeners for listeners in kinds if listeners is not None]
        return not known or bool(self._events.handlers) or any(listeners.get(SCHEMA_ID) for listeners in known)

    def _emit(self, run: dict[str, Any]) -> None:
        self._events.emit(
            schema_id=SCHEMA_ID,
            data={
                "run_id": run["run_id"],
                "job": run["function_name"],
                "notebook": run["notebook"],
                "reason": run["reason"],
                "source": run["source"],
                "started_s": run["started_s"],
                "ended_s": run["ended_s"],
                "files": sorted(run["files"]),
            },
        )
