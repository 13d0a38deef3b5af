"""SIGTERM: new work gets a 503, work in flight finishes, and ``stop`` doesn't cut it short."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
from botocore.exceptions import ClientError

from jupyter_lambda.client import lambda_client
from jupyter_lambda.connection import health

from .engine import ROLE, RUNTIME, Engine, package

SLOW = "import time\ndef handler(event, context):\n    time.sleep(4)\n    return 'finished'\n"


def test_work_in_flight_finishes_and_new_work_is_refused(tmp_path, engines):
    engine = Engine(tmp_path / "state", "process")
    engines.append(engine)
    connection = engine.start()
    client = lambda_client(connection)
    code = {"ZipFile": package(SLOW)}
    client.create_function(
        FunctionName="slow", Runtime=RUNTIME, Handler="app.handler", Role=ROLE, Code=code, Timeout=20
    )
    answers = []
    caller = threading.Thread(target=lambda: answers.append(client.invoke(FunctionName="slow", Payload=b"{}")))
    caller.start()
    time.sleep(1.0)
    assert engine.process is not None
    engine.process.terminate()
    deadline = time.monotonic() + 3
    while health(connection.url) != "draining":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(ClientError) as refused:
        lambda_client(connection).invoke(FunctionName="slow", Payload=b"{}")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    command = [sys.executable, "-P", "-m", "jupyter_lambda.cli"]
    state = ["--state-dir", str(engine.state_dir)]
    status = subprocess.run([*command, "status", *state], capture_output=True, text=True)
    assert "is stopping" in status.stderr
    stopped = subprocess.run([*command, "stop", *state], capture_output=True, text=True)
    caller.join(20)
    assert stopped.returncode == 0, stopped.stderr
    assert stopped.stdout.startswith("stopped")
    assert answers[0]["Payload"].read() == b'"finished"'
    assert engine.process.wait(10) == 0
    client.close()
