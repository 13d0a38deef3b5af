"""Find the engine of a state directory, or start one: standard library only, so that a notebook's start stays quick.

An engine announces itself by ``engine.json`` in its state directory and is believed when its health address answers.
Environment variables, set for kernels by the Jupyter server: JUPYTER_LAMBDA_STATE_DIR; JUPYTER_LAMBDA_OWNER_PID (the
process with which a started engine ends); JUPYTER_LAMBDA_ENGINE_URL (an engine elsewhere: none is started, and the
credentials are JUPYTER_LAMBDA_ACCESS_KEY_ID and JUPYTER_LAMBDA_SECRET_ACCESS_KEY, or else AWS's own variables).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import ServiceUnavailableException, StoreError

HEALTH_PATH = "/_jupyter_lambda/health"
#: Seconds an engine may take to answer its health address.
HEALTH_TIMEOUT_S = 3.0
#: Seconds a new engine may take until it is ready: Docker may have to sweep and to answer first.
START_TIMEOUT_S = 60.0
#: Exit code of ``serve`` when another engine owns the state directory.
EXIT_ALREADY_RUNNING = 3
#: Bytes of engine.log after which it is set aside as engine.log.1 at the next start.
LOG_MAX_BYTES = 8 * 1024 * 1024
_POLL_S = 0.05

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Connection:
    """Where an engine answers and how to sign for it."""

    url: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    account_id: str = "000000000000"
    #: "docker", "process", or "" where an engine elsewhere has not been asked.
    driver: str = ""
    #: False only where functions are known to run unisolated.
    isolated: bool = True
    #: None: an engine elsewhere.
    state_dir: Path | None = None
    pid: int | None = None
    #: Differs for each start of an engine on the same state directory.
    epoch: str = ""
    version: str = ""
    started_s: float = 0.0

    @property
    def host_port(self) -> tuple[str, int]:
        """For http.client."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or (443 if parts.scheme == "https" else 80)

    def environment(self) -> dict[str, str]:
        """The variables that make any AWS tool use this engine."""
        values = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
        }
        return values | ({"AWS_SESSION_TOKEN": self.session_token} if self.session_token else {})

    def describe(self) -> str:
        """One line for people: address, driver, isolation."""
        if not self.driver:
            return self.url
        return f"{self.url} ({self.driver} driver{'' if self.isolated else ', functions are NOT isolated'})"


def default_state_dir() -> Path:
    """JUPYTER_LAMBDA_STATE_DIR, else ``lambda`` in Jupyter's data directory."""
    if chosen := os.environ.get("JUPYTER_LAMBDA_STATE_DIR"):
        return Path(chosen).expanduser().absolute()
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()).absolute() / "lambda"


def announced(state_dir: Path) -> dict[str, Any] | None:
    """What engine.json says; None where there is none (or a broken one: an engine writes it whole)."""
    try:
        data = json.loads((state_dir / "engine.json").read_bytes())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) and "url" in data else None


def ends_with(connection: Connection) -> int | None:
    """The process with which an engine ends; None where it stays until it is stopped, or is elsewhere."""
    data = announced(connection.state_dir) if connection.state_dir is not None else None
    owner = data.get("owner_pid") if data and data.get("epoch") == connection.epoch else None
    return owner if isinstance(owner, int) and owner else None


def stays_or_ends(connection: Connection) -> str:
    """One line for whoever relies on an engine that ends with Jupyter, and how to leave it running; "" for all else."""
    owner = ends_with(connection)
    if owner is None:
        return ""
    return (
        f"schedules fire while the engine runs, and it ends with process {owner} (Jupyter's): in a terminal, "
        "`jupyter lambda service install` leaves one running, `jupyter lambda start` this one until you log out"
    )


def disown(state_dir: Path) -> int | None:
    """Let the engine of a state directory stay when the process ends that it belongs to; that process, or None.

    Raises:
        StoreError: engine.json can't be written.
    """
    data = announced(state_dir)
    owner = data.get("owner_pid") if data else None
    if not data or not isinstance(owner, int) or not owner:
        return None
    draft = state_dir / "engine.json.disown"
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({**data, "owner_pid": 0}, file)
        draft.replace(state_dir / "engine.json")
    except OSError as exc:
        raise StoreError(f"{state_dir / 'engine.json'} can't be written: {exc}") from exc
    return owner


def health(url: str, timeout_s: float = HEALTH_TIMEOUT_S) -> str | None:
    """ "ready" or "draining"; None when no engine answers there."""
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path.rstrip("/") + HEALTH_PATH)
        status = json.loads(connection.getresponse().read(65536)).get("status")
    except (OSError, HTTPException, ValueError, AttributeError):
        return None
    finally:
        connection.close()
    return status if status in ("ready", "draining") else None


def find(state_dir: Path | str | None = None) -> Connection | None:
    """The engine that is ready on a state directory, or None; quick, starts nothing."""
    directory = default_state_dir() if state_dir is None else Path(state_dir).expanduser().absolute()
    data = announced(directory)
    if data is None or health(data["url"]) != "ready":
        return None
    access_key, secret_key = _credentials(directory)
    return Connection(
        url=data["url"],
        region=data.get("region", "us-east-1"),
        access_key=access_key,
        secret_key=secret_key,
        account_id=data.get("account_id", "000000000000"),
        driver=data.get("driver", ""),
        isolated=bool(data.get("isolated", False)),
        state_dir=directory,
        pid=data.get("pid"),
        epoch=data.get("epoch", ""),
        version=data.get("version", ""),
        started_s=float(data.get("started_s", 0.0)),
    )


def connect(
    state_dir: Path | str | None = None,
    *,
    start: bool = True,
    on_message: Say = print,
    owner_pid: int | None = None,
    timeout_s: float = START_TIMEOUT_S,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
) -> Connection:
    """Find the engine, or start one and wait until it is ready.

    Args:
        state_dir: None: an engine elsewhere if JUPYTER_LAMBDA_ENGINE_URL names one, else the default directory.
        start: False: don't start one.
        on_message: Takes one line for people when an engine is started.
        owner_pid: The process with which a started engine ends. None: JUPYTER_LAMBDA_OWNER_PID if that process lives,
            else this one; 0: nobody.
        timeout_s: Seconds to wait for a new engine.
        environment: Variables for a new engine; None: this process's.
        arguments: More of them for a new engine's ``serve``.
    Raises:
        ServiceUnavailableException: None is ready and none could be started; the message says why and what to do.
        StoreError: The state directory can't be used.
    """
    if state_dir is None and (remote := elsewhere()):
        return remote
    directory = default_state_dir() if state_dir is None else Path(state_dir).expanduser().absolute()
    if ready := find(directory):
        return ready
    if not start and _stopping(directory):
        raise ServiceUnavailableException(
            f"the engine on {directory} is stopping and takes no new work; what is in flight finishes first"
        )
    if not start:
        raise ServiceUnavailableException(
            f"no engine is running on {directory}; start one: jupyter lambda start --state-dir {directory}"
        )
    owner = _owner(owner_pid)
    command = [sys.executable, "-P", "-m", "jupyter_lambda.cli", "serve", "--state-dir", str(directory), *arguments]
    if owner:
        command += ["--owner-pid", str(owner)]
    return _start(directory, on_message, command, timeout_s, environment)


def elsewhere(environment: Mapping[str, str] | None = None) -> Connection | None:
    """The engine that JUPYTER_LAMBDA_ENGINE_URL names; None when it is not set.

    Raises:
        ServiceUnavailableException: It is set, but no credentials for it are.
    """
    env = os.environ if environment is None else environment
    url = env.get("JUPYTER_LAMBDA_ENGINE_URL", "").rstrip("/")
    if not url:
        return None
    own = "JUPYTER_LAMBDA_" if env.get("JUPYTER_LAMBDA_ACCESS_KEY_ID") else "AWS_"
    access_key, secret_key = env.get(f"{own}ACCESS_KEY_ID"), env.get(f"{own}SECRET_ACCESS_KEY")
    if not access_key or not secret_key:
        raise ServiceUnavailableException(
            f"JUPYTER_LAMBDA_ENGINE_URL is {url}, but there are no credentials for it: set "
            "JUPYTER_LAMBDA_ACCESS_KEY_ID and JUPYTER_LAMBDA_SECRET_ACCESS_KEY"
        )
    region = env.get("AWS_DEFAULT_REGION") or env.get("AWS_REGION") or "us-east-1"
    return Connection(url, region, access_key, secret_key, env.get(f"{own}SESSION_TOKEN") or None)


def alive(pid: int) -> bool:
    """True while a process of this number runs; one that has ended and waits to be collected does not."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True  # no /proc here
    return state not in "ZX"


def log_tail(state_dir: Path, *, start: int = 0, size: int = 2000) -> str:
    """The end of engine.log, at most ``size`` bytes and nothing before byte ``start``."""
    try:
        with (state_dir / "engine.log").open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - size))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _credentials(state_dir: Path) -> tuple[str, str]:
    path = state_dir / "credentials"
    parser = ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        section = parser["default"]
        return section["aws_access_key_id"], section["aws_secret_access_key"]
    except (OSError, ConfigParserError, KeyError, UnicodeDecodeError) as exc:
        raise StoreError(
            f"the engine's credentials in {path} can't be read ({exc}); stop the engine, remove the file "
            "and start again: a new key is then made"
        ) from exc


def _owner(owner_pid: int | None) -> int:
    if owner_pid is not None:
        return owner_pid
    told = os.environ.get("JUPYTER_LAMBDA_OWNER_PID", "")
    return int(told) if told.isdigit() and alive(int(told)) else os.getpid()


def _start(
    directory: Path, say: Say, command: list[str], timeout_s: float, environment: Mapping[str, str] | None
) -> Connection:
    """One of all who try at once starts the engine; the others wait for it."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise StoreError(f"the state directory {directory} can't be made: {exc}") from exc
    began = time.monotonic()
    said = waits = False
    while time.monotonic() - began < timeout_s:
        if ready := find(directory):
            return ready
        with _start_lock(directory) as mine:
            if mine and not (ready := find(directory)) and not _stopping(directory):
                if not said:
                    say(f"jupyter_lambda: starting the engine on {directory}")
                    said = True
                ready = _spawn(directory, command, timeout_s - (time.monotonic() - began), environment)
            if ready:
                if said:
                    say(f"jupyter_lambda: engine ready at {ready.describe()} after {time.monotonic() - began:.1f} s")
                return ready
            if mine and not waits and _stopping(directory):
                say(f"jupyter_lambda: the engine on {directory} is stopping; waiting until its work is done")
                waits = True
        time.sleep(_POLL_S * 4)
    raise ServiceUnavailableException(_too_slow(directory, timeout_s))


def _stopping(directory: Path) -> bool:
    """True while an engine finishes its last work: another one could not take the directory yet."""
    data = announced(directory)
    return data is not None and health(data["url"]) == "draining"


@contextlib.contextmanager
def _start_lock(directory: Path) -> Iterator[bool]:
    """True while this process is the one that may start the engine."""
    import fcntl

    try:
        file = (directory / "start.lock").open("a")
    except OSError as exc:
        raise StoreError(f"the state directory {directory} can't be written: {exc}") from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _spawn(
    directory: Path, command: list[str], timeout_s: float, environment: Mapping[str, str] | None
) -> Connection | None:
    """Start ``serve`` in a session of its own; None when an engine holds the directory that is not ready (yet)."""
    log = directory / "engine.log"
    if log.exists() and log.stat().st_size > LOG_MAX_BYTES:
        log.replace(directory / "engine.log.1")
    with log.open("ab") as output:
        mark = output.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,  # not the notebook's folder, whose files could stand in the way of modules
            env=None if environment is None else dict(environment),
            start_new_session=True,  # an interrupted cell must not interrupt the engine
        )
    # Collects the exit code, however long the engine lives.
    threading.Thread(target=process.wait, name="jupyter-lambda-engine", daemon=True).start()
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if announced(directory) and (ready := find(directory)):
            return ready
        if process.returncode == EXIT_ALREADY_RUNNING:
            return None
        if process.returncode is not None:
            said = log_tail(directory, start=mark) or "(nothing)"
            raise ServiceUnavailableException(
                f"the engine ended with exit code {process.returncode} before it was ready. It said:\n{said}\n"
                f"Try in a terminal: jupyter lambda doctor --state-dir {directory}"
            )
        time.sleep(_POLL_S)
    raise ServiceUnavailableException(_too_slow(directory, timeout_s))


def _too_slow(directory: Path, timeout_s: float) -> str:
    said = log_tail(directory)
    return f"no engine became ready on {directory} within {timeout_s:.0f} s; its log is {directory / 'engine.log'}" + (
        f", which ends:\n{said}" if said else ""
    )
