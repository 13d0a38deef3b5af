"""moto's server: a container for each invocation, with an image built here."""

from __future__ import annotations

import json

from benchmarks.bench import Bench
from benchmarks.engine import ECHO, RUNTIME
from benchmarks.peers import common
from benchmarks.peers.image import image
from benchmarks.results import Outcome
from jupyter_lambda import client as engine_client

_IMAGE = "jupyter-lambda-bench-moto:base"
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def run(bench: Bench, outcome: Outcome) -> None:
    """It keeps nothing warm: warm rows and cold rows are the same thing."""
    programs = common.install(bench, "moto", "moto[server,awslambda]")
    outcome.extra["product"] = f"moto {common.version(programs, 'moto')}"
    # It copies code into volumes by way of a container of busybox, which is at hand under that name or made here.
    with (
        image(_IMAGE, entrypoint='["/python/bin/python3", "/once.py"]') as name,
        image("busybox:latest", entrypoint="[]"),
    ):
        port = common.free_port()
        settings = {"MOTO_DOCKER_LAMBDA_IMAGE": name, "MOTO_DOCKER_NETWORK_MODE": "bridge", "MOTO_PORT": str(port)}
        with common.server(
            bench, [programs / "moto_server", "-H", "127.0.0.1", "-p", str(port)], settings, port
        ) as peer:
            deploy(peer)
            common.once(peer)
            common.ask(bench, outcome, peer, most=100)
            common.cold(outcome, common.starts(peer, bench.count(6, 1), lambda number: None), "as every invocation")
    outcome.extra["how"] = (
        "`moto_server` with Docker; the image runs the handler once and ends, as those it is made for do; every "
        "invocation is a new container, signatures not checked"
    )


def deploy(peer: common.Peer) -> None:
    """The function, and the role that it must have."""
    iam = engine_client.aws_client(peer.connection, "iam")
    role = iam.create_role(RoleName="benchmark", AssumeRolePolicyDocument=json.dumps(_TRUST))["Role"]["Arn"]
    create(peer, role)


def create(peer: common.Peer, role: str) -> None:
    """A function that echoes."""
    import io
    import zipfile

    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("app.py", ECHO)
    client = engine_client.lambda_client(peer.connection)
    client.create_function(
        FunctionName="echo",
        Runtime=RUNTIME,
        Role=role,
        Handler="app.handler",
        Code={"ZipFile": data.getvalue()},
        MemorySize=1769,
        Timeout=60,
    )
    client.close()
