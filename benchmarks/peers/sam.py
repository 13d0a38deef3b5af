"""AWS SAM CLI: ``sam local start-lambda`` with an image built here and warm containers."""

from __future__ import annotations

import platform
import signal

from benchmarks.bench import Bench
from benchmarks.engine import ECHO, RUNTIME
from benchmarks.peers import common
from benchmarks.peers.image import image
from benchmarks.results import Outcome

_TEMPLATE = f"""AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  echo:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: echo
      Runtime: {RUNTIME}
      Handler: app.handler
      CodeUri: ./code
      MemorySize: 1769
      Timeout: 60
"""
_IMAGE = "jupyter-lambda-bench-sam:base"


def run(bench: Bench, outcome: Outcome) -> None:
    """Warm containers for the warm rows; none for the cold ones, which start one for each invocation."""
    programs = common.install(bench, "sam", "aws-sam-cli")
    outcome.extra["product"] = f"AWS SAM CLI {common.version(programs, 'aws-sam-cli')}"
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    emulator = next(programs.parent.glob(f"lib/python*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"))
    work = bench.scratch / "sam"
    (work / "code").mkdir(parents=True)
    (work / "code" / "app.py").write_text(ECHO)
    (work / "template.yaml").write_text(_TEMPLATE)
    settings = {"SAM_CLI_TELEMETRY": "0", "HOME": str(work)}
    with image(_IMAGE, entrypoint='["/lambda-entrypoint.sh"]', emulator=emulator) as name:
        port = common.free_port()
        command = [str(programs / "sam"), "local", "start-lambda", "--template", str(work / "template.yaml")]
        command += ["--host", "127.0.0.1", "--skip-pull-image", "--invoke-image", name, "--port", str(port)]
        with common.server(bench, [*command, "--warm-containers", "EAGER"], settings, port, how=signal.SIGINT) as peer:
            common.once(peer)
            common.ask(bench, outcome, peer)
        with common.server(bench, command, settings, port, how=signal.SIGINT) as peer:
            common.once(peer)
            took = common.starts(peer, bench.count(8, 1), lambda number: None)
            common.cold(outcome, took, "without --warm-containers, which is its default")
    outcome.extra["how"] = (
        "`sam local start-lambda --warm-containers EAGER` with an image of this host's interpreter and AWS's emulator "
        "out of its own package; one container for the function, signatures not checked"
    )
