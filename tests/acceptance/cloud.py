"""An engine with its embedded cloud, for tests that run against both implementations.

    from .cloud import cloud  # noqa: F401 - a fixture

    def test_something(cloud):
        cloud.client("s3").create_bucket(Bucket="pictures")
        cloud.deploy("thumb", "def handler(event, context): return event")
        …
        cloud.kill(); cloud.start()  # the engine comes back, and its cloud with it

The clients speak to the ENGINE's endpoint and are signed with the engine's own key, as a notebook's are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
from botocore.config import Config

from jupyter_lambda.connection import Connection

from .engine import ROLE, RUNTIME, Engine, package

T = TypeVar("T")
SERVERS = ("ministack", "moto")


class Cloud:
    """One engine (process driver unless said otherwise) with an embedded cloud."""

    def __init__(
        self, directory: Path, server: str, *options: str, driver: str = "process", home: str = "embedded"
    ) -> None:
        self.server = server
        #: False where the server forgets all when it stops, and so with every kill of the engine.
        self.persists = server == "ministack"
        self.engine = Engine(
            directory / "state", driver, f"--LambdaEngine.cloud={home}", f"--LambdaEngine.cloud_server={server}",
            "--LambdaEngine.event_retry_delays_s=(0.1, 0.1)", *options,
        )  # fmt: skip
        self.connection: Connection = self.engine.start()
        self._clients: dict[str, Any] = {}

    def start(self) -> None:
        """After ``kill`` or ``stop``: on the same state directory, at another port."""
        self._clients.clear()
        self.connection = self.engine.start()

    def kill(self) -> None:
        """SIGKILL the engine; the cloud's process ends by itself."""
        self.engine.kill()

    def stop(self) -> int:
        """SIGTERM the engine; its exit code."""
        return self.engine.stop()

    def client(self, service: str, **config: Any) -> Any:
        """boto3's client of a service at the engine's endpoint."""
        if config or service not in self._clients:
            connection = self.connection
            made = boto3.client(
                service,
                endpoint_url=connection.url,
                region_name=connection.region,
                aws_access_key_id=connection.access_key,
                aws_secret_access_key=connection.secret_key,
                config=Config(proxies={}, retries={"total_max_attempts": 2}, **config),
            )
            if config:
                return made
            self._clients[service] = made
        return self._clients[service]

    def deploy(self, name: str, source: str, **changes: Any) -> str:
        """Create a function from the source of ``app.py`` (its handler is ``handler``); its ARN."""
        request = {"FunctionName": name, "Role": ROLE, "Runtime": RUNTIME, "Handler": "app.handler", "Timeout": 30}
        request |= {"Code": {"ZipFile": package(source)}} | changes
        return str(self.client("lambda").create_function(**request)["FunctionArn"])

    def until(self, look: Callable[[], T], timeout_s: float = 30.0) -> T:
        """The first true answer of ``look``."""
        deadline = time.monotonic() + timeout_s
        while not (found := look()):
            assert time.monotonic() < deadline, f"it did not come true\n{self.engine.output[-3000:]}"
            time.sleep(0.05)
        return found


@pytest.fixture(scope="module", params=SERVERS)
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A running engine with each implementation of the embedded cloud; one for all tests of a module."""
    cloud = Cloud(tmp_path_factory.mktemp(request.param), request.param)
    yield cloud
    if cloud.engine.process is not None and cloud.engine.process.poll() is None:
        assert cloud.stop() == 0, cloud.engine.output[-3000:]
