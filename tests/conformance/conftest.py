"""An engine on loopback with the real store and service, on sandboxes made of coroutines; boto3 speaks to it."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
import threading
import zipfile
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as Keys

from jupyter_lambda import http1
from jupyter_lambda.api.app import App
from jupyter_lambda.api.forward.forward import streams
from jupyter_lambda.engine.credentials import Credential, Credentials
from jupyter_lambda.engine.runtimes import Runtimes
from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.engine.settings import EngineSettings
from jupyter_lambda.sandbox.base import Exit, Finding, InitOutcome, RuntimeEvent, SandboxOutcome, SandboxSpec
from jupyter_lambda.store import Store
from jupyter_lambda.triggers.host import Triggers

ROLE = "arn:aws:iam::000000000000:role/lambda"
REGION = "us-east-1"
RUNTIME = f"python3.{sys.version_info.minor}"


def zipped(**files: str) -> bytes:
    """A deployment package; ``__`` in a name is a dot."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in (files or {"app__py": "def handler(event, context): return event"}).items():
            archive.writestr(zipfile.ZipInfo(name.replace("__", "."), (2026, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()


def ordered_answer(event: Any) -> str | None:
    """The answer that an HTTP request orders: X-Answer of functions, X-Verdict or the token itself of authorizers.

    "echo" is a response whose body is the event; "fail:MESSAGE" a function error.
    """
    if not isinstance(event, dict) or not {"requestContext", "authorizationToken"} & event.keys():
        return None
    if event.get("type") == "TOKEN":
        return str(event["authorizationToken"])
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    ordered = headers.get("x-verdict" if "type" in event else "x-answer")
    if ordered == "echo":
        return json.dumps({"statusCode": 200, "body": json.dumps(event)})
    return ordered


class Sandbox:
    """Answers with what it was given; an event may ask for a failure."""

    def __init__(self, spec: SandboxSpec) -> None:
        self.spec, self.sandbox_id = spec, spec.sandbox_id
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    async def init(self, timeout_s: float) -> InitOutcome:
        return InitOutcome("ready", 5.0)

    async def invoke(self, event: RuntimeEvent, timeout_s: float) -> SandboxOutcome:
        data = json.loads(event.payload)
        if isinstance(data, dict) and "fail" in data:
            document = {"errorMessage": data["fail"], "errorType": "ValueError", "stackTrace": []}
            return SandboxOutcome("error", json.dumps(document).encode(), 1.0, error_type="ValueError")
        ordered = ordered_answer(data)
        if ordered is not None:
            if ordered.startswith("fail:"):
                document = {"errorMessage": ordered.removeprefix("fail:"), "errorType": "Exception"}
                return SandboxOutcome("error", json.dumps(document).encode(), 1.0, error_type="Exception")
            if ordered == "slow":
                await asyncio.sleep(0.3)
            return SandboxOutcome("response", ordered.encode(), 1.0)
        answer = {
            "event": data,
            "arn": event.invoked_arn,
            "version": self.spec.version,
            "context": json.loads(event.client_context) if event.client_context else None,
        }
        return SandboxOutcome("response", json.dumps(answer).encode(), 1.0)

    async def cancel(self) -> None:
        return None

    async def freeze(self) -> None:
        return None

    async def thaw(self) -> None:
        return None

    async def close(self) -> None:
        if not self.exited.done():
            self.exited.set_result(Exit(None, 9))

    def log_tail(self, request_id: str) -> bytes:
        return b"hello from the function\n"


class Driver:
    name, isolated = "docker", True
    can_prepare = False

    async def image_exists(self, image: str) -> str | None:
        return "sha256:" + "ab" * 32 if image == "local/image:1" else None

    async def probe(self) -> list[Finding]:
        return [Finding("ok", "driver", "made of coroutines")]


class Sandboxes:
    driver = Driver()

    async def start(self, spec: SandboxSpec, sink: Callable[..., None]) -> Sandbox:
        return Sandbox(spec)


@dataclass
class Engine:
    """A running engine as tests see it."""

    url: str
    service: LambdaService
    loop: asyncio.AbstractEventLoop
    triggers: Triggers

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def client(self, credential: Credential | None = None, **config: Any) -> Any:
        keys = credential or self.service.credentials.owner
        return boto3.client(
            "lambda",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            aws_session_token=keys.token,
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False, proxies={}, **config),
        )

    def signed(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One signed request, sent as it stands."""
        keys = self.service.credentials.owner
        request = AWSRequest(method, self.url + path, data=body, headers=headers or {})
        SigV4Auth(Keys(keys.access_key, keys.secret_key), "lambda", REGION).add_auth(request)
        return self.raw(method, path, body, dict(request.headers.items()))

    def raw(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request as it stands: status, headers in lower case, body."""
        from http.client import HTTPConnection

        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    ready: list[Engine] = []
    started, stop = threading.Event(), asyncio.Event()
    failure: list[BaseException] = []

    async def serve(directory: Path) -> None:
        settings = EngineSettings(memory_budget_mb=100_000, interpreters=(Path(sys.executable),))
        store = await Store.open(directory)
        driver: Any = Driver()
        credentials = Credentials.load(directory, account=settings.account)
        sandboxes: Any = Sandboxes()
        runtimes = Runtimes(settings, driver)
        async with (
            LambdaService(settings, store, sandboxes, driver, credentials, runtimes) as service,
            Triggers(service) as triggers,
        ):
            server = http1.Server(App(service, triggers).handle)
            server.streams = streams
            host, port = await server.listen_tcp("127.0.0.1", 0)
            await triggers.start()
            ready.append(Engine(f"http://{host}:{port}", service, asyncio.get_running_loop(), triggers))
            started.set()
            await stop.wait()
            await server.close(grace_s=1.0)
        await store.close()

    def main() -> None:
        try:
            asyncio.run(serve(tmp_path_factory.mktemp("state")))
        except BaseException as error:
            failure.append(error)
            started.set()

    thread = threading.Thread(target=main)
    thread.start()
    started.wait(20)
    if failure:
        raise failure[0]
    yield ready[0]
    ready[0].loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    assert not failure


@pytest.fixture
def client(engine: Engine) -> Any:
    return engine.client()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A function name of this test's own."""
    module = request.node.path.stem.removeprefix("test_")
    return re.sub(r"[^A-Za-z0-9_]+", "-", f"{module}-{request.node.name}")[:64]


@pytest.fixture
def make(client: Any, name: str) -> Callable[..., dict[str, Any]]:
    """Create the test's function with what is given."""

    def create(**changes: Any) -> dict[str, Any]:
        request = {
            "FunctionName": name,
            "Role": ROLE,
            "Runtime": RUNTIME,
            "Handler": "app.handler",
            "Code": {"ZipFile": zipped()},
        }
        given = {k: v for k, v in (request | changes).items() if v is not None}
        return client.create_function(**given)

    return create


@pytest.fixture
def refused(client: Any) -> Callable[..., tuple[str, int, str]]:
    """Call an operation that must fail: code, HTTP status and message as boto3 reads them."""

    def call(operation: str, **params: Any) -> tuple[str, int, str]:
        with pytest.raises(client.exceptions.ClientError) as caught:
            getattr(client, operation)(**params)
        response = caught.value.response
        return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]

    return call


@pytest.fixture
def ask(engine: Engine) -> Callable[..., tuple[int, dict[str, str], Any]]:
    """One request to an API by its own name: status, headers, and the body, of JSON its document."""

    def send(api_id: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["Host"] = f"{api_id}.execute-api.{REGION}.localhost:{engine.url.rpartition(':')[2]}"
        status, answered, data = engine.raw(method, path, body, named)
        try:
            return status, answered, json.loads(data)
        except ValueError:
            return status, answered, data

    return send


@pytest.fixture
def permitted(make: Callable[..., dict[str, Any]], client: Any) -> str:
    """ARN of the test's function, which API Gateway may invoke."""
    made = make()
    client.add_permission(
        FunctionName=made["FunctionName"],
        StatementId="api",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )
    arn: str = made["FunctionArn"]
    return arn
