"""``start``, ``stop``, ``status`` and ``env``: the engine as a whole."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import time
from typing import Any

from traitlets import Bool, Float

from jupyter_lambda.client import Admin
from jupyter_lambda.connection import alive, announced, connect, disown, find, health

from .command import ENGINE_ALIASES, EXIT_FAILURE, LambdaCommand

#: Variables that ``env`` exports; the session token only where an engine elsewhere gave one.
VARIABLES = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")


def _tell(line: str) -> None:
    """Progress, apart from the result on standard output."""
    print(line, file=sys.stderr, flush=True)


class StartCommand(LambdaCommand):
    """Start an engine in the background and wait until it is ready."""

    name = "jupyter-lambda-start"
    description = (
        "jupyter lambda start [--state-dir D] [--port P] [--driver auto|docker|process]: start an engine in the "
        "background and wait until it is ready. It takes the options of serve."
    )
    examples = """
    jupyter lambda start
    jupyter lambda start --state-dir /tmp/try --driver process
    """
    aliases = ENGINE_ALIASES

    def run(self) -> int:
        """Prints the address; an engine that runs already is a success too."""
        if running := find(self.directory):
            owner = disown(self.directory)
            stays = f"; it stays now when process {owner} (Jupyter's) ends" if owner else ""
            print(f"already running: {running.describe()}, process {running.pid}{stays}")
            return 0
        ready = connect(self.directory, owner_pid=0, on_message=_tell, arguments=self.passed_on())
        print(f"ready: {ready.describe()}, process {ready.pid}")
        return 0


class StopCommand(LambdaCommand):
    """Stop the engine: work in flight finishes, the rest is kept."""

    name = "jupyter-lambda-stop"
    description = "jupyter lambda stop [--state-dir D]: stop the engine; work in flight finishes, the rest is kept."
    examples = """
    jupyter lambda stop
    jupyter lambda stop --wait 5     # then end it at once
    """
    wait_s = Float(60.0, min=0, help="Seconds to wait for work in flight; then the engine is ended at once.").tag(
        config=True
    )
    aliases = {"wait": "StopCommand.wait_s"}

    def run(self) -> int:
        """SIGTERM, wait; after ``wait_s`` a second one, which ends it at once."""
        data = announced(self.directory)
        pid = data.get("pid") if data else None
        if not isinstance(pid, int) or not alive(pid) or not find_any(data):
            print(f"no engine is running on {self.directory}")
            return 0
        # A second signal ends an engine at once, so one that is stopping already gets none before ``wait_s`` is over.
        stopping = data is not None and health(data["url"]) == "draining"
        for patience_s in (self.wait_s, 10.0):
            try:
                with contextlib.suppress(ProcessLookupError):  # gone in the meantime: that is what was wanted
                    if not stopping:
                        os.kill(pid, signal.SIGTERM)
                    stopping = False
            except PermissionError:
                self.fail(f"the engine (process {pid}) belongs to another user; stop it as that user")
            if self._gone(pid, patience_s):
                print(f"stopped (process {pid})")
                return 0
            print(f"process {pid} is still at work after {patience_s:.0f} s")
        print(f"it did not end; look into {self.directory / 'engine.log'}, or: kill -KILL {pid}")
        return EXIT_FAILURE

    def _gone(self, pid: int, patience_s: float) -> bool:
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if not alive(pid):
                return True
            time.sleep(0.05)
        return False


class StatusCommand(LambdaCommand):
    """Show the engine and what it does."""

    name = "jupyter-lambda-status"
    description = "jupyter lambda status [--state-dir D]: show the engine and what it does; exit code 1 if none runs."
    examples = """
    jupyter lambda status
    jupyter lambda status --json
    """
    as_json = Bool(False, help="Print JSON.").tag(config=True)
    flags = {"json": ({"StatusCommand": {"as_json": True}}, "Print JSON.")}

    def run(self) -> int:
        """A table of two columns."""
        connection = self.connection()
        status = {"url": connection.url, "process": connection.pid} | Admin(connection).status()
        if self.as_json:
            import json

            print(json.dumps(status, indent=2, default=str))
            return 0
        width = max(len(name) for name in status)
        for name, value in status.items():
            print(f"{name.replace('_', ' '):{width}}  {_words(value)}")
        if not status.get("isolated", True):
            print("\n! functions are not isolated from this host (process driver)")
        return 0


class EnvCommand(LambdaCommand):
    """Print shell exports that make any AWS tool use the engine."""

    name = "jupyter-lambda-env"
    description = (
        "jupyter lambda env [--state-dir D] [--unset]: print shell exports that make any AWS tool use the engine."
    )
    examples = """
    eval "$(jupyter lambda env)"
    aws lambda list-functions
    eval "$(jupyter lambda env --unset)"      # back to AWS itself
    """
    unset = Bool(False, help="Print the lines that take the variables away again.").tag(config=True)
    flags = {"unset": ({"EnvCommand": {"unset": True}}, "Print the lines that take the variables away again.")}

    def run(self) -> int:
        """Nothing but shell code on stdout; an error goes to stderr, so that ``eval`` of it is harmless."""
        if self.unset:
            print("unset " + " ".join((*VARIABLES, "AWS_SESSION_TOKEN")))
            return 0
        values = self.connection().environment()
        if "AWS_SESSION_TOKEN" not in values:
            print("unset AWS_SESSION_TOKEN")  # one of another account would spoil the signature
        for name, value in values.items():
            print(f"export {name}={shlex.quote(value)}")
        return 0


def find_any(data: dict[str, Any] | None) -> bool:
    """True when an engine, ready or draining, answers at the announced address."""
    return data is not None and health(data["url"]) is not None


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(_words(item) for item in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
