"""docker-py behind threads and time limits. Its errors become ``DriverError`` here and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_lambda.errors import DriverError

if TYPE_CHECKING:
    from docker import APIClient

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Seconds the engine may take to answer the first request. docker-py's own 60 would be a frozen start.
CONNECT_TIMEOUT_S = 10
#: Seconds any other call may take; create and start take 0.3 s, under heavy load several.
CALL_TIMEOUT_S = 30
#: Stands for the version until it is known; the request that asks for it carries none.
_ANY_VERSION = "1.41"
#: Calls in flight at once, and as many pooled connections; docker-py pools 10.
CALLS_MAX = 32


class Missing(DriverError, code="ServiceException"):
    """The container, network or image is not there (any more)."""


class Conflict(DriverError, code="ServiceException"):
    """The name is taken, or what was asked is under way already."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the container engine says of itself."""

    version: str
    api_version: str
    architecture: str
    rootless: bool
    cgroup_version: int
    seccomp: bool
    #: False where the engine has no docker-init (or says it hasn't).
    init: bool
    live_restore: bool
    root_dir: Path
    storage_driver: str
    warnings: tuple[str, ...] = ()

    @classmethod
    def read(cls, version: Mapping[str, Any], info: Mapping[str, Any]) -> EngineFacts:
        """From the answers of /version and /info; Podman leaves many members out."""
        options = [str(option) for option in info.get("SecurityOptions") or ()]
        return cls(
            version=str(version.get("Version", "?")),
            api_version=str(version.get("ApiVersion", "?")),
            architecture=str(info.get("Architecture", "")),
            rootless=any("rootless" in option for option in options),
            cgroup_version=2 if str(info.get("CgroupVersion", "1")) == "2" else 1,
            seccomp=any("seccomp" in option for option in options),
            init=bool(info.get("InitBinary")) and (info.get("InitCommit") or {}).get("ID", "") != "N/A",
            live_restore=bool(info.get("LiveRestoreEnabled")),
            root_dir=Path(str(info.get("DockerRootDir") or "/var/lib/docker")),
            storage_driver=str(info.get("Driver", "?")),
            warnings=tuple(str(w) for w in info.get("Warnings") or ()),
        )


def find_url(configured: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """The engine's address: as configured, DOCKER_HOST, the system's socket, the user's own (rootless) socket."""
    if configured or environ.get("DOCKER_HOST"):
        return configured or environ["DOCKER_HOST"]
    candidates = [Path("/var/run/docker.sock")]
    if runtime_dir := environ.get("XDG_RUNTIME_DIR"):
        candidates.append(Path(runtime_dir) / "docker.sock")
    if home := environ.get("HOME"):
        candidates.append(Path(home) / ".docker/run/docker.sock")
    for candidate in candidates:
        if candidate.is_socket():
            return f"unix://{candidate}"
    return f"unix://{candidates[0]}"


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn whatever docker-py or its transport raises into a DriverError that says what was being done."""
    import docker.errors
    import requests
    import urllib3

    try:
        yield
    except docker.errors.NotFound as exc:
        raise Missing(f"Docker could not {doing}: {exc.explanation or exc}") from exc
    except docker.errors.APIError as exc:
        kind = Conflict if exc.status_code == 409 else DriverError
        raise kind(f"Docker could not {doing}: {exc.explanation or exc}") from exc
    except (requests.exceptions.ReadTimeout, TimeoutError) as exc:
        raise DriverError(
            f"Docker did not answer in time while asked to {doing}. It is overloaded or hangs: look at "
            "`docker ps` and at the log of dockerd, and restart it if need be."
        ) from exc
    except (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as exc:
        raise DriverError(
            f"Docker can't be reached (trying to {doing}): {exc}. Start it (`systemctl start docker`), check that "
            "you may use its socket (group docker), or set DOCKER_HOST."
        ) from exc


def knock(url: str) -> None:
    """Try a Unix socket (0.05 ms) before docker-py does, which leaves sockets open that it can't connect.

    Raises:
        OSError: It is not there, not ours to use, or nobody listens.
    """
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
            knock.settimeout(CONNECT_TIMEOUT_S)
            knock.connect(url.removeprefix("unix://"))


class DockerClient:
    """One engine. Every method is awaited; the blocking work is done by a few threads of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._api: APIClient | None = None
        self._threads = ThreadPoolExecutor(CALLS_MAX, thread_name_prefix="jupyter-lambda-docker")

    async def connect(self) -> EngineFacts:
        """Connect and negotiate the API's version.

        Raises:
            DriverError: Nothing answers there.
        """
        return await self._in_thread(self._connect)

    def _connect(self) -> EngineFacts:
        from docker import APIClient

        with translated(f"connect to {self.url}"):
            knock(self.url)
            # Not version="auto": that wraps a time-out into an error without a kind of its own.
            with closing(APIClient(self.url, version=_ANY_VERSION, timeout=CONNECT_TIMEOUT_S)) as unversioned:
                version = unversioned.version(api_version=False)
            api_version = str(version["ApiVersion"])
            with closing(self.another(api_version, CONNECT_TIMEOUT_S)) as quick:
                facts = EngineFacts.read(version, quick.info())
            self._api = self.another(api_version)
        return facts

    def another(self, api_version: str, timeout_s: int = CALL_TIMEOUT_S) -> APIClient:
        """A connection pool of its own (the event stream keeps one busy for ever). Sends nothing."""
        from docker import APIClient
        from docker.constants import DEFAULT_DOCKER_API_VERSION

        version = min(api_version, DEFAULT_DOCKER_API_VERSION, key=lambda v: tuple(map(int, v.split("."))))
        return APIClient(self.url, version=version, timeout=timeout_s, max_pool_size=CALLS_MAX)

    async def call(self, doing: str, function: Callable[[APIClient], T]) -> T:
        """Run ``function`` with docker-py's low-level client in a thread.

        Args:
            doing: What this is for, as it completes "Docker could not …".
        Raises:
            DriverError: As ``Missing`` and ``Conflict`` where that is the reason.
        """
        api = self._api
        if api is None:
            raise DriverError("the Docker driver is not open")

        def run() -> T:
            with translated(doing):
                knock(self.url)
                return function(api)

        return await self._in_thread(run)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def close(self) -> None:
        """Give the connections back; calls still under way are left to their time limit."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._api is not None:
            self._api.close()
            self._api = None
