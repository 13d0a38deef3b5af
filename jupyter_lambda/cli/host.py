"""The composition root: puts one engine together, announces it, and takes it apart in the reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from jupyter_lambda import __version__, http1
from jupyter_lambda.api.app import App
from jupyter_lambda.api.forward.forward import streams
from jupyter_lambda.config import LambdaEngine
from jupyter_lambda.engine.credentials import Credentials
from jupyter_lambda.engine.runtimes import Runtimes
from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.errors import DriverError, ServiceException
from jupyter_lambda.sandbox.base import Driver, SandboxSettings
from jupyter_lambda.sandbox.sandboxes import Sandboxes
from jupyter_lambda.store import Store
from jupyter_lambda.triggers.host import Triggers

from .settings import engine_settings, sandbox_settings

log = logging.getLogger(__name__)

#: Seconds for the last answers to reach their callers once all work is done.
_LAST_WORDS_S = 2.0
_OWNER_POLL_S = 1.0
#: In the state directory: the port that was free at the last start.
_PORT_FILE = "port"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Hosted:
    """An engine that is ready."""

    service: LambdaService
    triggers: Triggers
    server: http1.Server
    driver: Driver
    url: str


@asynccontextmanager
async def hosted(directory: Path, traits: LambdaEngine, say: Say, *, owner_pid: int = 0) -> AsyncIterator[Hosted]:
    """A ready engine on a state directory; ``engine.json`` exists as long as it does.

    Args:
        say: Takes warnings for people.
        owner_pid: The process with which the engine ends, as it is announced; 0: none.
    Raises:
        EngineAlreadyRunning: Another engine owns the directory.
        StoreError: The directory can't be used.
        DriverError: The driver that was asked for does not work here.
        ServiceException: The port is taken.
    """
    settings = engine_settings(traits)
    async with AsyncExitStack() as stack:
        store = await Store.open(
            directory, records_max=settings.ledger_max_records, log_cap_bytes=settings.log_cap_mb * 1024 * 1024
        )
        stack.push_async_callback(store.close)
        sandboxing = sandbox_settings(traits, directory, store.installation_id, store.epoch)
        driver = await open_driver(traits.driver, sandboxing, say)
        stack.push_async_callback(driver.close)
        sandboxes = Sandboxes(driver, directory, busy_poll_s=traits.busy_poll_us / 1_000_000)
        stack.push_async_callback(sandboxes.close)
        credentials = Credentials.load(directory, traits.access_key or None, account=settings.account)
        service = await stack.enter_async_context(
            LambdaService(settings, store, sandboxes, driver, credentials, Runtimes(settings, driver))
        )
        triggers = await stack.enter_async_context(Triggers(service))
        app = App(service, triggers)
        sandboxes.aws_handler, sandboxes.streams = app.handle, streams
        server = http1.Server(app.handle)
        server.streams = streams
        stack.push_async_callback(server.close, grace_s=_LAST_WORDS_S)
        url = await _listen(server, traits.port, directory / _PORT_FILE)
        store.announce(url)
        if driver.name == "process":
            triggers.folders.endpoint = url
        stack.callback(_retract, directory, store.epoch)
        _announce(directory, service, url, owner_pid)
        # After the ready line, which nothing of this may hold back.
        asyncio.get_running_loop().call_soon(service.begin)
        await triggers.start()
        yield Hosted(service, triggers, server, driver, url)


async def open_driver(choice: str, settings: SandboxSettings, say: Say) -> Driver:
    """The driver asked for; with "auto" Docker's if it works here, else processes and a warning.

    Raises:
        DriverError: The one asked for does not work here.
    """
    from jupyter_lambda.sandbox.process import ProcessDriver

    driver: Driver
    if choice != "process":
        from jupyter_lambda.sandbox.docker import DockerDriver

        driver = DockerDriver(settings)
        try:
            await driver.open()
        except DriverError as exc:
            await driver.close()
            if choice == "docker":
                raise
            say(f"Docker can't be used: {exc.message}")
        except BaseException:
            await driver.close()
            raise
        else:
            return driver
    driver = ProcessDriver(settings)
    await driver.open()
    say("WARNING: functions run as plain processes, not isolated from this host: run only code that you trust")
    return driver


async def _listen(server: http1.Server, port: int, memory: Path) -> str:
    """Listen; where any free port will do, on the one before if that is still free: addresses of functions last."""
    if not port and (before := _port_before(memory)):
        with contextlib.suppress(OSError):
            host, number = await server.listen_tcp("127.0.0.1", before)
            return f"http://{host}:{number}"
    try:
        host, number = await server.listen_tcp("127.0.0.1", port)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            why = f"port {port} is taken by another program; choose another with --port, or 0 for any that is free"
        elif exc.errno == errno.EACCES:
            why = f"port {port} may not be used by this user; choose one above 1023 with --port"
        else:
            why = f"the engine can't listen on 127.0.0.1:{port}: {exc.strerror}"
        raise ServiceException(why) from exc
    if not port:
        _remember_port(memory, number)
    return f"http://{host}:{number}"


def _remember_port(memory: Path, number: int) -> None:
    with contextlib.suppress(OSError):  # a full disk: the next start takes another one
        memory.write_text(str(number))


def _port_before(memory: Path) -> int:
    """The port of the engine before; 0 where none is known."""
    try:
        number = int(memory.read_text())
    except (OSError, ValueError):
        return 0
    return number if 1024 <= number <= 65535 else 0


def _announce(directory: Path, service: LambdaService, url: str, owner_pid: int) -> None:
    """Write engine.json whole: who reads it sees all of it or none."""
    data = {
        "pid": os.getpid(),
        "url": url,
        "epoch": service.store.epoch,
        "driver": service.driver.name,
        "isolated": service.driver.isolated,
        "region": service.account.region,
        "account_id": service.account.account_id,
        "started_s": time.time(),
        "version": __version__,
        "owner_pid": owner_pid,
    }
    draft = directory / "engine.json.new"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(data, file)
    draft.replace(directory / "engine.json")


def _retract(directory: Path, epoch: str) -> None:
    path = directory / "engine.json"
    with contextlib.suppress(OSError, ValueError):
        if json.loads(path.read_bytes()).get("epoch") == epoch:
            path.unlink()


class Stop:
    """Asked once, the engine drains; asked again, it ends at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()
        self.reason = ""

    def ask(self, reason: str) -> None:
        """A signal, or the owner's end."""
        if self.asked.is_set():
            self.at_once.set()
        else:
            self.reason = reason
            self.asked.set()


async def drain(engine: Hosted, stop: Stop, timeout_s: float) -> None:
    """Let work in flight finish, unless asked again to stop."""
    finishing = asyncio.ensure_future(_finish(engine, timeout_s))
    hurry = asyncio.ensure_future(stop.at_once.wait())
    try:
        await asyncio.wait({finishing, hurry}, return_when=asyncio.FIRST_COMPLETED)
        if finishing.done():
            finishing.result()
    finally:
        for task in (finishing, hurry):
            task.cancel()
        await asyncio.gather(finishing, hurry, return_exceptions=True)


async def _finish(engine: Hosted, timeout_s: float) -> None:
    await asyncio.gather(engine.service.drain(timeout_s), engine.triggers.stop(timeout_s))


async def owner_gone(pid: int) -> None:
    """Until the process has ended; where the system can't tell by itself, by looking every second."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):
        await _owner_gone_by_looking(pid)
        return
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _owner_gone_by_looking(pid: int) -> None:
    from jupyter_lambda.connection import alive

    while alive(pid):  # noqa: ASYNC110 - there is nothing that would tell
        await asyncio.sleep(_OWNER_POLL_S)
