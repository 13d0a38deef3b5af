"""The embedded cloud's process: started when it is first needed, watched, started again, stopped with the engine."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_lambda.errors import ServiceUnavailableException
from jupyter_lambda.http1.client import Client
from jupyter_lambda.model.arn import Account
from jupyter_lambda.sandbox.directory import short_path

log = logging.getLogger(__name__)

#: What of each server the engine offers: what it has, less what the engine serves itself and what starts programs.
SERVICES = ("s3", "sqs", "sns", "kinesis", "dynamodb", "dynamodbstreams", "secretsmanager", "ssm", "kms", "sts", "iam")
#: The modules that a server consists of, in the order of preference; docs/dependencies.md says why.
MODULES: Mapping[str, tuple[str, ...]] = {"ministack": ("ministack", "hypercorn"), "moto": ("moto", "flask")}
#: Seconds that a start may take, between two looks at it, and after a death before the next start: first and longest.
_START_MAX_S, _LOOK_EVERY_S, _PAUSES_S = 60.0, 0.02, (0.2, 30.0)
#: A server that has lived as long as this has got over what killed the one before.
_STEADY_S = 60.0
#: Seconds for a connection where many are made at once.
_CONNECT_MAX_S = 10.0
#: Seconds that a stop may take, saving included.
_STOP_MAX_S = 20.0
#: Of the engine's environment.
_KEPT_VARIABLES = frozenset({"PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV"})
#: Bytes of the log after which it is set aside at the next start.
_LOG_MAX_BYTES = 8 * 1024 * 1024


def installed(name: str = "auto") -> str | None:
    """The server of that name, or with "auto" the preferred one, if it is installed; else None."""
    for server, modules in MODULES.items():
        if name in ("auto", server) and all(importlib.util.find_spec(module) for module in modules):
            return server
    return None


@dataclass(frozen=True, slots=True)
class _Running:
    process: asyncio.subprocess.Process
    since_s: float


class Embedded:
    """One server. Its data is below ``directory``, which nobody else uses."""

    def __init__(self, directory: Path, server: str, account: Account) -> None:
        """
        Args:
            server: A key of ``MODULES``, installed.
        """
        self.directory, self.server = directory, server
        self._account = account
        self._running: _Running | None = None
        #: Another one for each start: the server of an engine that was killed answers at its own while it saves.
        self._socket = ""
        self._ready = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = False
        self._problem = ""
        self._starts = 0
        self.start_s: float | None = None
        self.client = Client(self._connect)

    @property
    def log_path(self) -> Path:
        """What the server says."""
        return self.directory / "server.log"

    async def ready(self, timeout_s: float = _START_MAX_S) -> None:
        """Return once the server answers; the first call starts it.

        Raises:
            ServiceUnavailableException: It does not come up, or the engine is stopping.
        """
        if self._ready.is_set():
            return
        if self._stopping:
            raise ServiceUnavailableException("The engine is shutting down; try again when it is back.")
        if self._keeper is None:
            self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="embedded cloud")
        try:
            async with asyncio.timeout(timeout_s):
                await self._ready.wait()
        except TimeoutError:
            raise ServiceUnavailableException(
                f"the embedded cloud ({self.server}) did not start: {self._problem or 'it does not answer'}; its log "
                f"is {self.log_path}"
            ) from None

    async def stop(self) -> None:
        """End the server; it saves what it can. Safe to call twice."""
        self._stopping = True
        self._ready.clear()
        self.client.close()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        running, self._running = self._running, None
        if running is not None:
            await _end(running.process, _STOP_MAX_S)

    def status(self) -> dict[str, Any]:
        """For `jupyter lambda status`."""
        running = self._running
        if running is None:
            return {"server": self.server, "state": self._problem or "not started: nothing has needed it yet"}
        state = "ready" if self._ready.is_set() else "starting"
        return {
            "server": self.server,
            "state": state,
            "process": running.process.pid,
            "uptime_s": round(time.monotonic() - running.since_s, 1),
            "restarts": self._starts - 1,
            "data": "kept" if self.server == "ministack" else "forgotten when the engine stops",
        }

    async def _keep(self) -> None:
        """Start it, wait for its end, start it again after a pause that grows."""
        pause_s, longest_s = _PAUSES_S
        while True:
            began_s = time.monotonic()
            try:
                code = await self._live()
                self._problem = f"it ended with code {code}"
            except OSError as exc:
                self._problem = str(exc)
            finally:
                self._ready.clear()
            if time.monotonic() - began_s > _STEADY_S:
                pause_s = _PAUSES_S[0]
            log.error(
                "the embedded cloud (%s) has stopped: %s. It starts again in %.1f s; its log is %s",
                self.server, self._problem, pause_s, self.log_path,
            )  # fmt: skip
            await asyncio.sleep(pause_s)
            pause_s = min(longest_s, pause_s * 2)

    async def _live(self) -> int:
        """One life of the server; its exit code."""
        began_s = time.monotonic()
        process = await self._spawn()
        self._running = _Running(process, began_s)
        self._starts += 1
        ending = asyncio.ensure_future(process.wait())
        try:
            while not ending.done():
                if await self._answers():
                    self.start_s = time.monotonic() - began_s
                    log.info("the embedded cloud (%s) is ready after %.2f s", self.server, self.start_s)
                    self._problem = ""
                    self._ready.set()
                    break
                await asyncio.wait({ending}, timeout=_LOOK_EVERY_S)
            code = await asyncio.shield(ending)
        finally:
            if ending.done():
                self._running = None
            else:
                ending.cancel()
        return code

    async def _spawn(self) -> asyncio.subprocess.Process:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.log_path.exists() and self.log_path.stat().st_size > _LOG_MAX_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        self._socket = f"{secrets.token_hex(4)}.sock"
        with self.log_path.open("ab") as output:
            # The pipe is how it learns that the engine is gone, whatever ended it.
            return await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "jupyter_lambda.triggers.cloud.child", self.server, self._socket,
                stdin=asyncio.subprocess.PIPE, stdout=output, stderr=output, cwd=self.directory,
                env=environment(self.directory, self._account), start_new_session=True,
            )  # fmt: skip

    async def _answers(self) -> bool:
        path = "/_ministack/health" if self.server == "ministack" else "/moto-api/data.json"
        try:
            reply = await self.client.request("GET", path, [("Host", "localhost")], timeout_s=5.0)
            await reply.read()
        except (OSError, TimeoutError):
            return False
        return reply.status == 200

    async def _connect(self, protocol: Any) -> Any:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + _CONNECT_MAX_S
        while True:
            try:
                with short_path(self.directory / self._socket) as path:
                    return await loop.create_unix_connection(protocol, str(path))
            except BlockingIOError:  # as many wait to be accepted as the server allows
                if loop.time() > until_s:
                    raise
                await asyncio.sleep(_LOOK_EVERY_S)


def environment(directory: Path, account: Account) -> dict[str, str]:
    """The server's variables: what Python needs, nothing of the user's, nothing that leads beyond its folder."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT_VARIABLES or name.startswith(("LC_", "PYTHON", "COVERAGE_"))
    }
    return kept | {
        "HOME": str(directory),
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_ACCESS_KEY_ID": account.account_id,
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": account.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "MOTO_ACCOUNT_ID": account.account_id,
        "MINISTACK_ACCOUNT_ID": account.account_id,
        "MINISTACK_REGION": account.region,
        "SERVICES": ",".join(SERVICES),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(directory / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(directory / "s3"),
        "TMPDIR": str(directory),
        "LOG_LEVEL": "WARNING",
        # It would else open ports of its own, and look for containers to remove.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": f"unix://{directory}/no-docker.sock",
    }


async def _end(process: asyncio.subprocess.Process, timeout_s: float) -> None:
    """Close its pipe and wait; kill it after that."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(timeout_s):
            await process.wait()
    except TimeoutError:
        log.warning("the embedded cloud did not end within %.0f s and is killed", timeout_s)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
