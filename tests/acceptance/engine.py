"""An engine in a process of its own, for acceptance tests."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

from jupyter_lambda.connection import Connection, find

ROLE = "arn:aws:iam::000000000000:role/r"
RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"


def package(files: Mapping[str, str] | str) -> bytes:
    """A deployment package; a string is the source of app.py."""
    if isinstance(files, str):
        files = {"app.py": files}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100755 if name == "bootstrap" else 0o100644) << 16
            archive.writestr(entry, text)
    return buffer.getvalue()


class Engine:
    """Runs ``serve`` on a state directory that outlives it."""

    def __init__(self, state_dir: Path, driver: str, *options: str) -> None:
        self.state_dir, self.driver, self.options = state_dir, driver, options
        #: What Python runs: the command line as users have it, unless a test needs it changed.
        self.program: tuple[str, ...] = ("-m", "jupyter_lambda.cli")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        """What it printed."""
        return (self.state_dir.parent / "engine.out").read_text()

    def start(self) -> Connection:
        """Start it and wait until it is ready."""
        self.state_dir.mkdir(mode=0o700, exist_ok=True)
        command = [sys.executable, "-P", *self.program, "serve", "--state-dir", str(self.state_dir)]
        command += ["--driver", self.driver, *self.options]
        with (self.state_dir.parent / "engine.out").open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.output[-3000:]
            found = find(self.state_dir)
            if found is not None and found.pid == self.process.pid:
                return found
            time.sleep(0.02)
        raise AssertionError("the engine did not become ready")

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)
