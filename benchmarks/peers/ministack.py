"""ministack: as it comes (functions in plain processes, not isolated), and with Docker."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.engine import ROLE, RUNTIME, Unavailable
from benchmarks.peers import common
from benchmarks.peers.image import image
from benchmarks.peers.moto import create
from benchmarks.results import Outcome
from jupyter_lambda import client as engine_client

_PREFIX = "jupyter-lambda-bench"


def run(bench: Bench, outcome: Outcome) -> None:
    """As ``pip install ministack`` gives it."""
    _run(bench, outcome, {"LAMBDA_EXECUTOR": "local"})
    outcome.extra["how"] = "`ministack` as it comes: functions in plain processes, NOT isolated; signatures not checked"


def run_docker(bench: Bench, outcome: Outcome) -> None:
    """LAMBDA_EXECUTOR=docker, no falling back to processes."""
    emulator = next(
        bench.scratch.glob("peer-sam/lib/python*/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64"), None
    )
    if emulator is None:
        raise Unavailable("needs AWS's Runtime Interface Emulator, which comes with SAM: run peer-sam before it")
    runtime = RUNTIME.removeprefix("python")
    name = f"{_PREFIX}/public.ecr.aws/lambda/python:{runtime}"
    with image(name, entrypoint='["/lambda-entrypoint.sh"]', emulator=emulator):
        settings = {"LAMBDA_EXECUTOR": "docker", "LAMBDA_STRICT": "1", "MINISTACK_IMAGE_PREFIX": _PREFIX}
        _run(bench, outcome, settings)
    outcome.extra["how"] = (
        "`ministack` with LAMBDA_EXECUTOR=docker, LAMBDA_STRICT=1 and an image of this host's interpreter with AWS's "
        "emulator; signatures not checked"
    )


def _run(bench: Bench, outcome: Outcome, settings: dict[str, str]) -> None:
    programs = common.install(bench, "ministack", "ministack", "docker")
    outcome.extra["product"] = f"ministack {common.version(programs, 'ministack')}"
    port = common.free_port()
    settings = {**settings, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    with common.server(bench, [programs / "ministack"], settings, port) as peer:
        create(peer, ROLE)
        common.once(peer)
        common.ask(bench, outcome, peer)
        client = engine_client.lambda_client(peer.connection)

        def renew(number: int) -> None:
            client.update_function_configuration(FunctionName="echo", Environment={"Variables": {"N": str(number)}})

        common.cold(outcome, common.starts(peer, bench.count(8, 1), renew), "after a change of its configuration")
        client.close()
