"""See to it that a Docker engine answers, for the container tests.

As root on Debian it installs docker.io where it is missing and starts dockerd where none answers. Elsewhere it says
what is missing and what to do. Exit code 1 only where JUPYTER_LAMBDA_REQUIRE_DOCKER=1: the other tests run without.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent))
import debian

SOCKET = Path("/var/run/docker.sock")
LOG = Path("/var/log/jupyter-lambda-dockerd.log")
#: Process id files that dockerd takes for a running engine even when the number belongs to another program by now.
PID_FILES = {Path("/var/run/docker.pid"): "dockerd", Path("/var/run/docker/containerd/containerd.pid"): "containerd"}
#: Seconds a new dockerd may take until it answers.
START_S = 90


class Missing(Exception):
    """No engine can be had here; the message says what to do."""


def main() -> int:
    """Install and start as needed; prints one line."""
    try:
        how = ensure()
    except Missing as exc:
        required = os.environ.get("JUPYTER_LAMBDA_REQUIRE_DOCKER") == "1"
        print(f"Docker: {exc}", file=sys.stderr)
        print("Docker: the container tests " + ("can't run: giving up" if required else "are skipped"), file=sys.stderr)
        return int(required)
    print(f"Docker: {how}")
    return 0


def ensure() -> str:
    """Returns how the engine came to answer.

    Raises:
        Missing: None answers and none can be started.
    """
    if answers():
        return "an engine answers"
    if os.environ.get("DOCKER_HOST"):
        raise Missing(f"no engine answers at DOCKER_HOST={os.environ['DOCKER_HOST']}; start it, or unset DOCKER_HOST")
    if os.geteuid() != 0:
        raise Missing(
            f"no engine answers at {SOCKET}. Install one (Debian: sudo apt-get install docker.io), start it "
            "(sudo systemctl start docker) and let yourself use it (sudo usermod -aG docker $USER; log in again)."
        )
    if not shutil.which("dockerd"):
        try:
            debian.install("docker.io", "iptables")
        except debian.NotInstalled as exc:
            raise Missing(f"no dockerd here: {exc}") from exc
    return start()


def answers(timeout_s: float = 5.0) -> bool:
    """True when an engine answers a ping."""
    url = urlsplit(os.environ.get("DOCKER_HOST") or f"unix://{SOCKET}")
    unix = url.scheme == "unix"
    try:
        with socket.socket(socket.AF_UNIX if unix else socket.AF_INET, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(url.path if unix else (url.hostname or "127.0.0.1", url.port or 2375))
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


def start() -> str:
    """Start dockerd, by systemd where that runs the host, and wait until it answers."""
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "start", "docker"], stdin=subprocess.DEVNULL, check=False)
        if wait():
            return "started by systemd"
    for file, program in PID_FILES.items():
        if _runs(file, program):  # its package's installation started it, or it hangs
            if program == "dockerd" and wait():
                return "an engine that was starting answers now"
        else:
            file.unlink(missing_ok=True)
    with LOG.open("ab") as log:
        mark = log.tell()
        daemon = subprocess.Popen(
            ["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    if wait(daemon):
        return f"dockerd started (process {daemon.pid}, log {LOG})"
    ended = f"ended with {daemon.returncode}" if daemon.poll() is not None else f"did not answer within {START_S} s"
    raise Missing(f"dockerd {ended}; the end of {LOG}:\n{LOG.read_bytes()[mark:][-3000:].decode(errors='replace')}")


def wait(daemon: subprocess.Popen[bytes] | None = None) -> bool:
    """Until an engine answers; False when it ends or takes too long."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if answers():
            return True
        if daemon is not None and daemon.poll() is not None:
            return False
        time.sleep(0.25)
    return False


def _runs(pid_file: Path, program: str) -> bool:
    try:
        pid = int(pid_file.read_text())
        return Path(f"/proc/{pid}/comm").read_text().strip() == program
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    sys.exit(main())
