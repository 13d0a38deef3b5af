"""``serve``: one engine in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from traitlets import Bool, Int

from jupyter_lambda.config import LambdaEngine
from jupyter_lambda.connection import EXIT_ALREADY_RUNNING, alive, announced
from jupyter_lambda.errors import EngineAlreadyRunning

from .command import ENGINE_ALIASES, LambdaCommand

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Seconds between looks at an engine whose end is waited for.
_WAIT_POLL_S = 2.0
#: New objects between two collections of the young ones: an invocation leaves no cycles, so there is little to find.
_YOUNG_OBJECTS = 10_000
#: Seconds after which a thread that wants the interpreter asks for it. The loop waits as long as that for a writer that
#: is busy in Python: with the default of 5 ms, a commit could hold up every invocation.
_SWITCH_INTERVAL_S = 0.001


class ServeCommand(LambdaCommand):
    """Run an engine in the foreground until SIGTERM or Ctrl-C."""

    name = "jupyter-lambda-serve"
    description = (
        "jupyter lambda serve [--port P] [--state-dir D] [--driver auto|docker|process]: run an engine on 127.0.0.1 in "
        "the foreground. SIGTERM or Ctrl-C: new work gets a 503, work in flight finishes, the rest is kept; a second "
        "one ends it at once. Exit code 3: another engine owns the state directory."
    )
    examples = """
    jupyter lambda serve
    jupyter lambda serve --port 9000 --state-dir ./state --driver docker
    jupyter lambda serve --LambdaEngine.account_id=123456789012
    """
    owner_pid = Int(
        0, min=0, help="Stop as on SIGTERM when this process has ended. Default 0: nobody owns the engine."
    ).tag(config=True)
    wait = Bool(
        False,
        help="Where another engine owns the state directory, wait until it has ended, and take over. Default False: "
        "say so and end with exit code 3.",
    ).tag(config=True)
    aliases = {**ENGINE_ALIASES, "owner-pid": "ServeCommand.owner_pid"}
    flags = {"wait": ({"ServeCommand": {"wait": True}}, "Wait for an engine that owns the state directory to end.")}

    def run(self) -> int:
        """On uvloop where there is one."""
        traits = LambdaEngine(parent=self)
        faulthandler.enable()
        logging.basicConfig(
            level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        logging.getLogger("jupyter_lambda").setLevel(int(str(self.log_level)))
        _many_files()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        said = False
        while True:
            try:
                with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                    runner.run(self._serve(traits))
                return 0
            except EngineAlreadyRunning as exc:
                if not self.wait:
                    self.fail(exc.message, EXIT_ALREADY_RUNNING)
                if not said:
                    self._say(f"waiting: {exc.message}")
                    said = True
            self._until_free()

    def _until_free(self) -> None:
        """While the engine that owns the directory lives; a signal meanwhile ends this process."""
        time.sleep(_WAIT_POLL_S)
        while (data := announced(self.directory)) and isinstance(data.get("pid"), int) and alive(data["pid"]):
            time.sleep(_WAIT_POLL_S)

    async def _serve(self, traits: LambdaEngine) -> None:
        from .host import Stop, drain, hosted, owner_gone

        stop = Stop()
        with _signals(stop.ask):
            watch = asyncio.ensure_future(owner_gone(self.owner_pid)) if self.owner_pid else None
            if watch:
                watch.add_done_callback(lambda done: None if done.cancelled() else self._owner_ended(stop.ask))
            try:
                async with hosted(self.directory, traits, self._warn, owner_pid=self.owner_pid) as engine:
                    isolated = "isolated" if engine.driver.isolated else "NOT isolated"
                    self._say(f"ready at {engine.url} ({engine.driver.name} driver, {isolated}), process {os.getpid()}")
                    asyncio.get_running_loop().call_soon(_settle)
                    await stop.asked.wait()
                    self._say(f"stopping: {stop.reason}")
                    await drain(engine, stop, traits.drain_timeout_s)
            finally:
                if watch:
                    watch.cancel()

    def _owner_ended(self, ask: Callable[[str], None]) -> None:
        """Stop, unless somebody has said meanwhile that this engine is to stay (``jupyter lambda start``)."""
        data = announced(self.directory)
        if data is not None and data.get("pid") == os.getpid() and not data.get("owner_pid"):
            self._say(f"process {self.owner_pid}, which it belonged to, has ended; it stays, as it was told")
        else:
            ask(f"process {self.owner_pid}, its owner, has ended")

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError):  # a terminal that has gone must not keep the engine from draining
            print(f"jupyter_lambda: {line}", flush=True)

    def _warn(self, line: str) -> None:
        with contextlib.suppress(OSError):
            print(f"jupyter_lambda: {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _signals(ask: Callable[[str], None]) -> Any:
    """Turn signals into requests to stop."""
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, ask, signal.Signals(number).name)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _settle() -> None:
    """What the start has made stays until the end: no collection need look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 10, 10)


def _many_files() -> None:
    """Each environment takes a socket, a FIFO and connections: use all the files that the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
