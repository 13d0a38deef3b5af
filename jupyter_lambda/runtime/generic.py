"""A runtime that is started before its function is known: it waits, is told, and goes on as any other.

What it needs of the standard library, and modules of the host's packages that were asked for, are loaded by then. Its
output goes nowhere until it has a function.
"""

from __future__ import annotations

import json
import os
import sys
import time

from . import logs, python
from .client import Client
from .context import Environment
from .encoder import Encoder
from .imports import preload
from .settings import Settings

TYPE_CHECKING = False  # `typing` is not imported: every cold start would wait for it
if TYPE_CHECKING:
    from typing import Any

#: Variables that the container engine and the interpreter put into the environment by themselves.
_KEPT = ("HOSTNAME", "LC_CTYPE")
#: Times that the first event is rehearsed: enough for the interpreter to specialise the code (from Python 3.11 on).
_REHEARSALS = 8


def main(settings: Settings, program: str) -> None:
    """Wait for an assignment, then be that function's runtime; ends when the engine goes before that."""
    outputs = _mute()
    python.open_streams()
    client = Client(settings)
    listener = python.start_forwarder(settings)
    modules: list[str] = []
    failed: list[str] = []
    if names := json.loads(settings.generic):
        logs.install()
        modules, failed = preload(names)
    _rehearse(client)
    body = json.dumps({"modules": modules, "failed": failed}).encode()
    try:
        status, answer = client.ask("/_sandbox/assignment", body)
    except OSError:
        sys.exit(0)  # the engine has ended
    if status != 200:
        sys.exit(0)
    assignment = json.loads(answer)
    _take(assignment["environment"])
    os.chdir(assignment["directory"])
    settings = Settings()
    _unmute(outputs)
    settings.redirect_output()
    logs.forget()
    python.announce(listener)
    python.run(settings, client)


def _rehearse(client: Client) -> None:
    """Do what the function's start and its first event will ask for, so that they find the interpreter warmed up."""
    headers = {"lambda-runtime-aws-request-id": "rehearsal", "lambda-runtime-deadline-ms": "0"}
    for _ in range(_REHEARSALS):
        space: dict[str, Any] = {}
        exec(compile("import json\ndef handler(event, context):\n    return event\n", "rehearsal", "exec"), space)  # noqa: S102
        python.handle(client, space["handler"], Encoder(), Environment(), headers, b'{"rehearsal": [1, 2.5, null]}')


def _mute() -> tuple[int, int]:
    """Let descriptors 1 and 2 lead nowhere; returns where they led."""
    outputs = os.dup(1), os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)
    return outputs


def _unmute(outputs: tuple[int, int]) -> None:
    python.flush_output()
    for number, fd in enumerate(outputs, 1):
        os.dup2(fd, number)
        os.close(fd)


def _take(variables: dict[str, str]) -> None:
    """Make the environment what a fresh start would have been given."""
    environ = os.environ
    zone = environ.get("TZ")
    for name in [name for name in environ if name not in variables and name not in _KEPT]:
        del environ[name]
    for name, value in variables.items():
        if environ.get(name) != value:
            environ[name] = value
    if environ.get("TZ") != zone:
        time.tzset()
