"""APIs of API Gateway on a real engine: asked by curl and by a browser, the same after the engine was killed."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from jupyter_lambda.client import aws_client, lambda_client
from jupyter_lambda.connection import Connection

from .browser import browser
from .engine import ROLE, RUNTIME, Engine, package

__all__ = ["browser"]

FUNCTION = """
import json

def handler(event, context):
    name = event["pathParameters"]["name"]
    if event.get("version") == "2.0":
        body = json.loads(event.get("body") or "{}")
        return {"hello": name, "times": body.get("times", 1), "stage": event["requestContext"]["stage"]}
    return {"statusCode": 418, "headers": {"X-Resource": event["resource"]}, "body": f"hello {name}"}
"""


def curl(*arguments: str) -> tuple[int, str]:
    """Status and body."""
    command = ["curl", "-sS", "--max-time", "20", "-w", "\\n%{http_code}", *arguments]
    answered = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    body, _, status = answered.rpartition("\n")
    return int(status), body


def deploy(connection: Connection) -> tuple[str, str]:
    """A function behind an HTTP API's POST /hello/{name} and a REST API's ANY /{name}; the ids of both."""
    functions = lambda_client(connection)
    code = {"ZipFile": package(FUNCTION)}
    made = functions.create_function(FunctionName="f", Role=ROLE, Runtime=RUNTIME, Handler="app.handler", Code=code)
    who = {"Action": "lambda:InvokeFunction", "Principal": "apigateway.amazonaws.com"}
    functions.add_permission(FunctionName="f", StatementId="api", **who)
    v2, v1 = aws_client(connection, "apigatewayv2"), aws_client(connection, "apigateway")
    cors = {"AllowOrigins": ["http://placeholder.example"], "AllowMethods": ["POST"], "AllowHeaders": ["content-type"]}
    http = v2.create_api(Name="h", ProtocolType="HTTP", CorsConfiguration=cors)
    integration = v2.create_integration(
        ApiId=http["ApiId"],
        IntegrationType="AWS_PROXY",
        IntegrationUri=made["FunctionArn"],
        PayloadFormatVersion="2.0",
    )
    target = f"integrations/{integration['IntegrationId']}"
    v2.create_route(ApiId=http["ApiId"], RouteKey="POST /hello/{name}", Target=target)
    v2.create_stage(ApiId=http["ApiId"], StageName="$default", AutoDeploy=True)

    rest = v1.create_rest_api(name="r")
    child = v1.create_resource(restApiId=rest["id"], parentId=rest["rootResourceId"], pathPart="{name}")
    at = {"restApiId": rest["id"], "resourceId": child["id"], "httpMethod": "ANY"}
    v1.put_method(**at, authorizationType="NONE")
    uri = f"arn:aws:apigateway:{connection.region}:lambda:path/2015-03-31/functions/{made['FunctionArn']}/invocations"
    v1.put_integration(**at, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
    v1.create_deployment(restApiId=rest["id"], stageName="prod")
    for client in (functions, v1, v2):
        client.close()
    return http["ApiId"], rest["id"]


@pytest.fixture
def engine(tmp_path: Path, engines: list[Engine]) -> Engine:
    engine = Engine(tmp_path / "state", "process")
    engines.append(engine)
    return engine


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_curl_before_and_after_a_kill(engine: Engine):
    connection = engine.start()
    http, rest = deploy(connection)
    for connection in (connection, None):  # noqa: B020 - the second engine is found in the loop
        if connection is None:
            engine.kill()
            connection = engine.start()
        port = urlsplit(connection.url).port
        own = f"http://{http}.execute-api.us-east-1.localhost:{port}"
        status, body = curl(*("-H", "Content-Type: application/json", "-d", '{"times": 3}'), f"{own}/hello/you%20there")
        assert (status, json.loads(body)) == (200, {"hello": "you there", "times": 3, "stage": "$default"})
        assert curl(f"{own}/hello/you") == (404, '{"message":"Not Found"}')
        status, body = curl("-X", "POST", f"{connection.url}/_aws/execute-api/{http}/hello/you")
        assert json.loads(body)["hello"] == "you"
        by_name = f"http://{rest}.execute-api.us-east-1.localhost:{port}/prod/you"
        assert curl(by_name) == (418, "hello you")
        assert curl(f"{connection.url}/_aws/execute-api/{rest}/prod/you") == (418, "hello you")
        assert curl(f"{by_name}/more") == (403, '{"message":"Missing Authentication Token"}')

    functions = lambda_client(connection)
    functions.delete_function(FunctionName="f")
    functions.close()
    assert curl("-X", "POST", f"{own}/hello/you") == (500, '{"message":"Internal Server Error"}')
    assert curl(by_name) == (500, '{"message": "Internal server error"}')


PAGE = b"""<!doctype html><title>page</title><script>
async function post(url, times) {
  try {
    const answer = await fetch(url, {
      method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({times}),
    });
    return [answer.status, await answer.json()];
  } catch (error) { return ["refused", error.name]; }
}
</script>"""


@pytest.fixture
def page_origin() -> Iterator[str]:
    """A page on an origin of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
@pytest.mark.browser
def test_a_page_of_another_origin_calls_the_api(engine: Engine, browser: Any, page_origin: str):
    connection = engine.start()
    http, _ = deploy(connection)
    port = urlsplit(connection.url).port
    addresses = [
        f"http://{http}.execute-api.us-east-1.localhost:{port}/hello/browser",
        f"http://localhost:{port}/_aws/execute-api/{http}/hello/browser",
    ]
    gateway = aws_client(connection, "apigatewayv2")
    page = browser.new_page()
    page.goto(page_origin)
    for address in addresses:
        refused = page.evaluate("([url]) => post(url, 2)", [address])
        assert refused == ["refused", "TypeError"], "the origin is not in the configuration: the browser forbids"
    cors = {"AllowOrigins": [page_origin], "AllowMethods": ["POST"], "AllowHeaders": ["content-type"]}
    gateway.update_api(ApiId=http, CorsConfiguration=cors)
    for address in addresses:
        answered = page.evaluate("([url]) => post(url, 2)", [address])
        assert answered == [200, {"hello": "browser", "times": 2, "stage": "$default"}]
    gateway.close()
