"""Engines for acceptance tests: started once for each driver, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jupyter_lambda.client import lambda_client

from .engine import Engine

DRIVERS = ["process", pytest.param("docker", marks=pytest.mark.docker)]


@pytest.fixture
def engines() -> Iterator[list[Engine]]:
    """Put engines in; those that still run are stopped at the end."""
    started: list[Engine] = []
    yield started
    for engine in started:
        if engine.process is not None and engine.process.poll() is None:
            engine.stop()


@pytest.fixture(scope="module", params=DRIVERS)
def engine(request, tmp_path_factory) -> Iterator[Engine]:
    """A running engine of each driver."""
    engine = Engine(tmp_path_factory.mktemp(request.param) / "state", request.param)
    engine.connection = engine.start()
    yield engine
    assert engine.stop() == 0, engine.output[-3000:]


@pytest.fixture(scope="module")
def client(engine):
    """boto3's Lambda client of the engine."""
    client = lambda_client(engine.connection)
    yield client
    client.close()
