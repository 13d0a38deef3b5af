"""The directory of one sandbox on the host: ``<state>/sandboxes/<id>/run/{api.sock,log}``."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

#: Bytes a Unix socket's path may have (``sun_path`` without its final NUL; macOS has 103).
SOCKET_PATH_MAX = 103
DIRECTORIES = "sandboxes"
#: File of a sandbox's directory with "PORT/TOKEN", where the Runtime API is offered by TCP too: the sandbox's
#: AWS_LAMBDA_RUNTIME_API is then HOST:PORT/TOKEN, and JUPYTER_LAMBDA_SOCKET is empty.
ENDPOINT = "endpoint"
#: What a sandbox's directory may hold before its driver has touched it.
BEFORE_START = frozenset({"run", ENDPOINT})


class SandboxDirectory:
    """Paths, and who may use them."""

    def __init__(self, state_dir: Path, sandbox_id: str) -> None:
        self.path = state_dir.resolve() / DIRECTORIES / sandbox_id
        self.run = self.path / "run"
        self.socket = self.run / "api.sock"
        self.log = self.run / "log"
        self._made = False

    def create(self) -> None:
        """Make ``run/`` and the FIFO, for the owner alone.

        Raises:
            OSError: The state directory is full, read-only or another's; or the id is in use.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700)
        self._made = True
        self.run.mkdir(mode=0o755)
        os.mkfifo(self.log, 0o600)

    def write_endpoint(self, text: str) -> None:
        """Leave ``ENDPOINT`` for the driver; readable by the owner alone."""
        path = self.path / ENDPOINT
        path.touch(mode=0o600)
        path.write_text(text)

    def grant(self, uid: int) -> None:
        """Let the sandbox's uid use the socket and the FIFO.

        By ownership where the engine is root; else by mode, which is safe because the directory above is the owner's
        alone and only ``run/`` is mounted into the container.
        """
        grant(self.run, uid)

    def remove(self) -> None:
        """Remove it with all that is in it; what can't be removed stays for the next sweep."""
        if self._made:
            shutil.rmtree(self.path, ignore_errors=True)


def grant(run: Path, uid: int) -> None:
    """``SandboxDirectory.grant`` for drivers, which know the directory by path only."""
    for path in (run / "api.sock", run / "log"):
        if os.geteuid() == 0:
            os.chown(path, uid, uid)
        elif uid != os.geteuid():
            path.chmod(0o666)


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[Path]:
    """``path`` by another name that fits a Unix socket's address, good while the context lasts."""
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        yield path
    elif sys.platform == "linux":
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield Path(f"/proc/self/fd/{directory}") / path.name
        finally:
            os.close(directory)
    else:
        with tempfile.TemporaryDirectory(prefix="jl-", dir="/tmp") as short:  # $TMPDIR is long on macOS
            link = Path(short) / "d"
            link.symlink_to(path.parent, target_is_directory=True)
            yield link / path.name
