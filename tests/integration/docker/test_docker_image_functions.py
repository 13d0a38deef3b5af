"""Image functions: the official awslambdaric, unchanged, as the entry point of an image built here."""

from __future__ import annotations

import json
from typing import Any

import docker
import pytest

from jupyter_lambda.errors import DriverError

pytestmark = pytest.mark.docker


async def start(bench: Any, image: str, **changes: Any) -> Any:
    values = {"kind": "image", "image": image, "code_dir": None, "interpreter": None, "handler": "", **changes}
    return await bench.start(**values)


async def test_awslambdaric_unchanged(bench: Any, function_image: str, api: docker.APIClient) -> None:
    environment = {
        "AWS_LAMBDA_FUNCTION_NAME": "shop",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_LOG_GROUP_NAME": "g",
        "AWS_LAMBDA_LOG_STREAM_NAME": "s",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
    }
    sandbox = await start(bench, function_image, environment=environment)
    outcome = await bench.invoke(sandbox, {"value": "früh"})
    answer = json.loads(outcome.payload)
    assert outcome.kind == "response"
    assert answer["value"] == "früh"
    assert answer["name"] == "shop"
    assert answer["uid"] >= bench.settings.uid_base

    failure = await bench.invoke(sandbox, {"action": "fail"})
    assert failure.kind == "error"
    assert json.loads(failure.payload)["errorType"] == "ValueError"

    lines = 5_000
    assert (await bench.invoke(sandbox, {"action": "write", "lines": lines})).kind == "response"
    containers = api.containers(all=True, filters={"label": f"jupyter-lambda.sandbox={sandbox.sandbox_id}"})
    assert len(containers) == 2, "the function and its forwarder"
    await sandbox.close()
    written = b"".join(bench.output)
    assert b"echo fr\xc3\xbch" in written
    assert all(b"line %d x" % number in written for number in range(lines))
    assert not api.containers(all=True, filters={"label": f"jupyter-lambda.sandbox={sandbox.sandbox_id}"})


async def test_the_same_hardening(bench: Any, function_image: str, api: docker.APIClient) -> None:
    sandbox = await start(bench, function_image)
    host = api.inspect_container(f"jl-{sandbox.sandbox_id}")["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["LogConfig"]["Type"] == "none"
    assert host["NetworkMode"].startswith("container:")
    outcome = await bench.invoke(
        sandbox, {"action": "evaluate", "expression": "[os.path.exists('/run/jl'), os.listdir('/var/task'), "
                  "os.access('/var/task', os.W_OK), os.access('/tmp', os.W_OK), os.environ['HOME']]"}
    )  # fmt: skip
    assert json.loads(outcome.payload) == [False, ["app.py"], False, True, "/tmp"]


async def test_last_words_before_an_exit_are_not_lost(bench: Any, function_image: str) -> None:
    sandbox = await start(bench, function_image)
    outcome = await bench.invoke(sandbox, {"action": "exit", "code": 3, "times": 2_000})
    assert outcome.kind == "exit"
    assert outcome.exit is not None
    assert outcome.exit.code == 3
    assert b"".join(bench.output).count(b"last words\n") == 2_000


async def test_overrides(bench: Any, function_image: str) -> None:
    """AWS keeps an image's command where only the entry point is overridden."""
    sandbox = await start(
        bench, function_image, entry_point=("/python/bin/python3", "-X", "utf8", "-m", "awslambdaric"),
        working_directory="/packages", environment={"PYTHONPATH": "/packages:/var/task"},
    )  # fmt: skip
    outcome = await bench.invoke(sandbox, {"action": "evaluate", "expression": "[os.getcwd(), sys.flags.utf8_mode]"})
    assert json.loads(outcome.payload) == ["/packages", 1]


async def test_the_network_of_the_forwarder_is_the_functions(bench: Any, function_image: str) -> None:
    sandbox = await start(bench, function_image, network="none")
    outcome = await bench.invoke(sandbox, {"action": "evaluate", "expression": "sorted(os.listdir('/sys/class/net'))"})
    assert json.loads(outcome.payload) == ["lo"]


async def test_without_its_forwarder_it_ends_as_a_system_error(
    bench: Any, function_image: str, api: docker.APIClient
) -> None:
    sandbox = await start(bench, function_image)
    api.remove_container(f"jl-{sandbox.sandbox_id}-net", force=True)
    end = await bench.process(sandbox).wait()
    assert end.system


async def test_an_image_that_is_not_here(bench: Any) -> None:
    assert await bench.driver.image_exists("no-such-image:latest") is None
    with pytest.raises(DriverError, match="not on this host"):
        await start(bench, "no-such-image:latest")
    assert not list((bench.state_dir / "sandboxes").iterdir())


async def test_image_exists(bench: Any, function_image: str) -> None:
    assert (await bench.driver.image_exists(function_image) or "").startswith("sha256:")
