"""Starts the ``bootstrap`` of a ``provided`` runtime: /var/task/bootstrap, else /opt/bootstrap.

Output goes to the log already. The forwarder becomes a process of its own first, because this one is replaced.
"""

from __future__ import annotations

import errno
import os
import signal
import sys

from . import forward
from .client import Client, connect
from .python import announce

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .settings import Settings

#: As AWS words them.
_REASONS = {
    errno.ENOEXEC: "exec format error",
    errno.ENOENT: "no such file or directory",
    errno.EACCES: "permission denied",
}


def start(settings: Settings) -> None:
    """Replace this process by the package's bootstrap; where that can't be, report init/error and exit."""
    client = Client(settings)
    candidates = [f"{settings.task_root}/bootstrap", f"{settings.opt}/bootstrap"]
    program = next((path for path in candidates if os.path.isfile(path)), None)
    if program is None:
        _fail(client, "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")
    if not os.access(program, os.X_OK):
        _fail(client, f"fork/exec {_shown(program, candidates)}: permission denied")
    if settings.forward and settings.socket:
        _start_forwarder(settings)
    # Python ignores these; a program that is started expects them as they were.
    for name in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(name, signal.SIG_DFL)
    try:
        os.execv(program, [program])
    except OSError as exc:
        reason = _REASONS.get(exc.errno or 0, exc.strerror)
        _fail(client, f"fork/exec {_shown(program, candidates)}: {reason}")


def _shown(program: str, candidates: list[str]) -> str:
    # AWS's message names its own paths, wherever the sandbox has them.
    return "/var/task/bootstrap" if program == candidates[0] else "/opt/bootstrap"


def _start_forwarder(settings: Settings) -> None:
    try:
        listener = forward.listen(settings.forward)
    except OSError as exc:
        os.write(2, f"no Runtime API in this sandbox: {settings.forward} can't be listened on: {exc}\n".encode())
        sys.exit(1)
    announce(listener)
    first = os.fork()
    if first > 0:
        os.waitpid(first, 0)
        return
    # The grandchild forwards: no child that its bootstrap might wait for.
    if os.fork() > 0:
        os._exit(0)
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        forward.serve(listener, lambda: connect(settings.socket))
    finally:
        os._exit(0)


def _fail(client: Client, message: str) -> NoReturn:
    document = {"errorType": "Runtime.InvalidEntrypoint", "errorMessage": message}
    os.write(1, f"[ERROR] Runtime.InvalidEntrypoint: {message}\n".encode())
    client.init_error(document)
    sys.exit(1)
