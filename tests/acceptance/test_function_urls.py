"""Function URLs of a real engine: curl by name and by path, over a SIGKILL."""

from __future__ import annotations

import json
import subprocess
from typing import Any
from urllib.parse import urlsplit

from jupyter_lambda.client import lambda_client

from .engine import ROLE, RUNTIME, Engine, package

FUNCTION = """
def handler(event, context):
    body = event["requestContext"]["http"]["method"] + " " + event["rawPath"] + " " + event.get("body", "")
    return {"statusCode": 200, "body": body}
"""


def curl(url: str, *options: str) -> str:
    return subprocess.run(
        ["curl", "-sS", "--max-time", "20", *options, url], capture_output=True, check=True
    ).stdout.decode()


def test_a_url_answers_curl_by_name_and_by_path_and_outlives_a_kill(engines: list[Engine], tmp_path: Any):
    engine = Engine(tmp_path / "state", "process")
    engines.append(engine)
    client = lambda_client(engine.start())
    code = {"ZipFile": package(FUNCTION)}
    client.create_function(FunctionName="page", Role=ROLE, Runtime=RUNTIME, Handler="app.handler", Code=code)
    made = client.create_function_url_config(FunctionName="page", AuthType="NONE")["FunctionUrl"]
    assert json.loads(curl(made))["Message"].startswith("Forbidden. For troubleshooting")
    everybody = {"FunctionName": "page", "Principal": "*"}
    client.add_permission(**everybody, StatementId="url", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE")
    client.add_permission(**everybody, StatementId="via", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True)
    assert curl(f"{made}a/b", "-H", "Content-Type: text/plain", "-d", "hello") == "POST /a/b hello"
    client.close()

    engine.kill()
    client = lambda_client(engine.start())
    address = urlsplit(client.get_function_url_config(FunctionName="page")["FunctionUrl"])
    client.close()
    assert address.hostname == urlsplit(made).hostname
    assert curl(f"{address.geturl()}again") == "GET /again "
    url_id = address.hostname.partition(".")[0]
    assert curl(f"http://localhost:{address.port}/_aws/lambda-url/{url_id}/x?y") == "GET /x "
    assert curl(f"http://127.0.0.1:{address.port}/x", "-H", f"Host: {address.hostname}") == "GET /x "
