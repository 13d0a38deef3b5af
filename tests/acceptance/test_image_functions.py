"""Functions from container images over the AWS API: awslambdaric, unchanged, in an image built on the spot."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import docker
import pytest
from botocore.exceptions import ClientError

from jupyter_lambda.client import lambda_client

from .engine import ROLE, RUNTIME, Engine, package

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def image() -> str:
    """A local image with awslambdaric as its entry point."""
    script = Path(__file__).parents[1] / "docker_image" / "build.py"
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True).stdout.strip()


def test_image_function(tmp_path, engines, image):
    engine = Engine(tmp_path / "state", "docker")
    engines.append(engine)
    client = lambda_client(engine.start())
    created = client.create_function(
        FunctionName="shop", PackageType="Image", Code={"ImageUri": image}, Role=ROLE, MemorySize=256, Timeout=20
    )
    assert created["PackageType"] == "Image"
    found = client.get_function(FunctionName="shop")
    assert found["Code"]["RepositoryType"] == "ECR"
    assert found["Code"]["ImageUri"] == image

    answer = client.invoke(FunctionName="shop", Payload=json.dumps({"value": "früh"}), LogType="Tail")
    payload = json.loads(answer["Payload"].read())
    assert (payload["value"], payload["name"]) == ("früh", "shop")
    assert payload["uid"] >= 200_000
    log = base64.b64decode(answer["LogResult"]).decode()
    assert log.startswith("START RequestId")
    assert "REPORT RequestId" in log

    failed = client.invoke(FunctionName="shop", Payload=json.dumps({"action": "fail"}))
    assert failed["FunctionError"] == "Unhandled"
    assert json.loads(failed["Payload"].read())["errorType"] == "ValueError"

    with pytest.raises(ClientError, match="does not exist"):
        client.create_function(FunctionName="none", PackageType="Image", Code={"ImageUri": "nowhere:latest"}, Role=ROLE)
    client.close()
    assert engine.stop() == 0


def test_cpu_share_is_proportional_to_memory(tmp_path, engines):
    """A function of a seventh of 1,769 MB has a seventh of a vCPU."""
    engine = Engine(tmp_path / "state", "docker")
    engines.append(engine)
    client = lambda_client(engine.start())
    # Time on a wall clock for a fixed amount of CPU: with a seventh of the CPU it takes about seven times as long.
    source = (
        "import time\n"
        "def handler(event, context):\n"
        "    begun, done = time.monotonic(), time.process_time() + 0.2\n"
        "    while time.process_time() < done: pass\n"
        "    return time.monotonic() - begun\n"
    )
    took = {}
    for memory_mb in (253, 1769):
        name = f"burn-{memory_mb}"
        code = {"ZipFile": package(source)}
        client.create_function(
            FunctionName=name,
            Runtime=RUNTIME,
            Handler="app.handler",
            Role=ROLE,
            Code=code,
            MemorySize=memory_mb,
            Timeout=30,
        )
        took[memory_mb] = json.loads(client.invoke(FunctionName=name, Payload=b"{}")["Payload"].read())
    api = docker.from_env()
    # The limits in force: a generic container was created before it was known whose it would be.
    sizes = sorted(
        container.stats(stream=False)["memory_stats"]["limit"] // 2**20
        for container in api.containers.list(filters={"label": "jupyter-lambda.sandbox"})
    )
    api.close()
    client.close()
    assert {253, 1769} <= set(sizes)
    assert took[253] > 3 * took[1769], took
    assert engine.stop() == 0
