# ruff: noqa: N803 - the names of arguments are boto3's
"""AWS Lambda in memory: the operations the notebook uses, running packages in this process."""

from __future__ import annotations

import base64
import importlib.util
import io
import itertools
import json
import sys
import threading
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from jupyter_lambda.connection import Connection
from jupyter_lambda.errors import ResourceNotFoundException
from jupyter_lambda.notebook.engine import Engine
from jupyter_lambda.notebook.package import code_sha256

_spec = importlib.util.spec_from_file_location(
    "eventsources_fake_aws", Path(__file__).parents[1] / "eventsources" / "fake_aws.py"
)
assert _spec
assert _spec.loader
fake_aws = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake_aws)


def refuse(code: str, message: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Operation"
    )


class FakeLambda:
    """A boto3 client's stand-in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.functions: dict[str, dict[str, Any]] = {}
        self.zips: dict[str, bytes] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.published: dict[str, list[dict[str, Any]]] = {}
        self.provisioned: dict[str, list[dict[str, Any]]] = {}
        self.layers: dict[str, list[dict[str, Any]]] = {}
        self.calls: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.sent: list[bytes] = []
        #: Raised by the next invocations, one each.
        self.trouble: list[BaseException] = []
        self.running = 0
        self.most_running = 0
        self.gate: threading.Event | None = None
        #: Memory in MB → how long a run takes, or a failure's status.
        self.run_ms: Callable[[int], float | str] = lambda _: 1.5
        self.warm: set[str] = set()
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def _get(self, name: str) -> dict[str, Any]:
        if name not in self.functions:
            raise refuse("ResourceNotFoundException", f"Function not found: {name}", 404)
        return self.functions[name]

    def create_function(self, **params: Any) -> dict[str, Any]:
        self.calls.append("create_function")
        self.headers.append(params.pop("_Headers", None) or {})
        name, data = params["FunctionName"], params.pop("Code")["ZipFile"]
        self.tags[name] = params.pop("Tags")
        params.pop("Publish")
        self.zips[name] = data
        self.functions[name] = self._configuration(name, data, params)
        return self.publish_version(FunctionName=name)

    def _configuration(self, name: str, data: bytes, params: dict[str, Any]) -> dict[str, Any]:
        layers = [{"Arn": arn} for arn in params.pop("Layers", [])]
        return {
            **params,
            "FunctionArn": f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
            "CodeSha256": code_sha256(data),
            "CodeSize": len(data),
            "State": "Active",
            "Version": "$LATEST",
            "Layers": layers,
            "LastModified": "2026-01-02T03:04:05.000+0000",
        }

    def update_function_code(self, FunctionName: str, ZipFile: bytes) -> dict[str, Any]:
        self.calls.append("update_function_code")
        self.zips[FunctionName] = ZipFile
        found = self._get(FunctionName)
        found.update(CodeSha256=code_sha256(ZipFile), CodeSize=len(ZipFile))
        return found

    def update_function_configuration(self, FunctionName: str, **params: Any) -> dict[str, Any]:
        self.calls.append("update_function_configuration")
        self.headers.append(params.pop("_Headers", None) or {})
        if "Layers" in params:
            params["Layers"] = [{"Arn": arn} for arn in params["Layers"]]
        self._get(FunctionName).update(params)
        return self._get(FunctionName)

    def publish_version(self, FunctionName: str) -> dict[str, Any]:
        versions = self.published.setdefault(FunctionName, [])
        made = {**self._get(FunctionName), "Version": str(len(versions) + 1), "_zip": self.zips[FunctionName]}
        versions.append(made)
        return made

    def list_versions_by_function(self, FunctionName: str) -> dict[str, Any]:
        return {"Versions": [self._get(FunctionName), *self.published[FunctionName]]}

    def get_function_configuration(self, FunctionName: str) -> dict[str, Any]:
        return self._get(FunctionName)

    def get_function(self, FunctionName: str, Qualifier: str | None = None) -> dict[str, Any]:
        found = self._get(FunctionName)
        if Qualifier:
            found = next((v for v in self.published[FunctionName] if v["Version"] == Qualifier), None)
            if found is None:
                raise refuse("ResourceNotFoundException", f"Function not found: {FunctionName}:{Qualifier}", 404)
        return {"Configuration": found, "Tags": self.tags[FunctionName], "Code": {"Location": "file:///nowhere"}}

    def tag_resource(self, Resource: str, Tags: dict[str, str]) -> None:
        self.tags[Resource.rpartition(":")[2]].update(Tags)

    def list_functions(self, **_: Any) -> dict[str, Any]:
        return {"Functions": list(self.functions.values())}

    def delete_function(self, FunctionName: str, Qualifier: str | None = None) -> None:
        self._get(FunctionName)
        if Qualifier:
            self.published[FunctionName] = [v for v in self.published[FunctionName] if v["Version"] != Qualifier]
            return
        del self.functions[FunctionName]
        self.published.pop(FunctionName, None)

    def put_function_concurrency(self, **params: Any) -> None:
        self.calls.append(f"concurrency {params['ReservedConcurrentExecutions']}")

    def delete_function_concurrency(self, **_: Any) -> None:
        self.calls.append("concurrency none")

    def list_provisioned_concurrency_configs(self, FunctionName: str) -> dict[str, Any]:
        return {"ProvisionedConcurrencyConfigs": self.provisioned.get(FunctionName, [])}

    def list_layer_versions(self, LayerName: str) -> dict[str, Any]:
        return {"LayerVersions": self.layers.get(LayerName, [])}

    def publish_layer_version(self, LayerName: str, **_: Any) -> dict[str, Any]:
        self.calls.append("publish_layer_version")
        made = {"LayerVersionArn": f"arn:aws:lambda:us-east-1:000000000000:layer:{LayerName}:1", "Version": 1}
        self.layers.setdefault(LayerName, []).insert(0, made)
        return made

    def get_waiter(self, name: str) -> Any:
        class Waiter:
            def wait(self, **_: Any) -> None:
                pass

        return Waiter()

    def invoke(self, FunctionName: str, Payload: bytes, **params: Any) -> dict[str, Any]:
        headers = params.get("_Headers") or {}
        request_id = headers.get("x-jupyter-lambda-request-id", "generated")
        configuration = self._get(FunctionName)
        if qualifier := params.get("Qualifier"):
            configuration = next(v for v in self.published[FunctionName] if v["Version"] == qualifier)
        with self._lock:
            self.sent.append(Payload)
            if self.trouble:
                raise self.trouble.pop(0)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            if self.gate is not None:
                self.gate.wait(5)
            if params.get("InvocationType") == "Event":
                return {"StatusCode": 202, "ResponseMetadata": {"RequestId": request_id}}
            return self._run(configuration, FunctionName, Payload, request_id)
        finally:
            with self._lock:
                self.running -= 1

    def _run(self, configuration: dict[str, Any], name: str, payload: bytes, request_id: str) -> dict[str, Any]:
        error = None
        try:
            with self._lock:
                handler = self._handler(configuration, self.zips[name])
            answer = json.dumps(handler(json.loads(payload), None))
        except Exception as exc:
            error = "Unhandled"
            trace = traceback.format_list(traceback.extract_tb(exc.__traceback__)[1:])
            answer = json.dumps({"errorType": type(exc).__name__, "errorMessage": str(exc), "stackTrace": trace})
        run_ms, status = self.run_ms(configuration["MemorySize"]), "error" if error else "success"
        if isinstance(run_ms, str):
            error, status, run_ms, answer = "Unhandled", run_ms, 9.0, '{"errorType": "Runtime.OutOfMemory"}'
        record = {"status": status, "run_ms": run_ms, "billed_ms": -(-int(run_ms) // 100) * 100 or 100}
        place = configuration["Version"]
        cold = place != "$LATEST" and place not in self.warm
        self.warm.add(place)
        record |= {"memory_mb": configuration["MemorySize"], "cold": cold, "init_ms": 40.0 if cold else None}
        record["memory_used_mb"] = 30
        log = f"START RequestId: {request_id}\nhello\nEND RequestId: {request_id}\n"
        return {
            "Payload": io.BytesIO(answer.encode()),
            "LogResult": base64.b64encode(log.encode()).decode(),
            "ExecutedVersion": "$LATEST",
            **({"FunctionError": error} if error else {}),
            "ResponseMetadata": {
                "RequestId": request_id,
                "HTTPHeaders": {"x-jupyter-lambda-record": json.dumps(record)},
            },
        }

    def _handler(self, configuration: dict[str, Any], data: bytes) -> Any:
        folder = self.folder / str(next(self._numbers))
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            archive.extractall(folder)
        spec = importlib.util.spec_from_file_location("lambda_function", folder / "lambda_function" / "__init__.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["lambda_function"] = module
        spec.loader.exec_module(module)
        return getattr(module, configuration["Handler"].rpartition(".")[2])


class FakeAdmin:
    """The engine's own routes."""

    def __init__(self) -> None:
        self.stopped: list[str] = []
        self.now_running: list[dict[str, Any]] = []
        self.failed: list[dict[str, Any]] = []
        self.known_jobs: dict[str, dict[str, Any]] = {}
        self.known_runs: list[dict[str, Any]] = []
        self.artefacts: dict[tuple[str, str], bytes] = {}

    def stop(self, request_id: str) -> bool:
        self.stopped.append(request_id)
        return True

    def status(self) -> dict[str, Any]:
        return {"interpreters": [sys.executable], "prices": {"gb_s": 0.0000166667, "request": 0.0000002}}

    def stats(self, function: str | None = None, since_s: float | None = None) -> dict[str, Any]:
        one = {"function_name": function or "clean", "invocations": 4, "errors": 1, "throttles": 0, "cold": 1}
        return {"functions": [{**one, "billed_ms": 400, "gb_s": 0.2, "run_ms_sum": 40.0, "price": 0.000004}]}

    def bill(self, *, since_s: float, by: str = "function") -> dict[str, Any]:
        line = {"requests": 4, "errors": 1, "billed_ms": 400, "gb_s": 0.2, "provisioned_gb_s": 0.0, "price": 0.000004}
        prices = {"gb_s": 0.0000166667, "request": 0.0000002, "provisioned_gb_s": 0.0000041667}
        lines = [{**line, "function": "clean", "day": "2026-11-24"}]
        return {"lines": lines, "total": line, "by": by, "increment_ms": 100, "prices": prices}

    def invocation(self, request_id: str) -> dict[str, Any]:
        if request_id != "r":
            raise ResourceNotFoundException(f"No invocation {request_id} is known.")
        return {"function_name": "other"}

    def logs(self, function: str, *, request_id: str | None = None, **_: Any) -> list[dict[str, Any]]:
        if request_id is not None:
            return []
        return [{"timestamp_ms": 1_700_000_000_123, "stream": "s", "request_id": "r", "message": "hello"}]

    def invocations(self, function: str | None = None, *, limit: int = 100) -> dict[str, Any]:
        return {"invocations": [], "running": self.now_running}

    def failed_runs(self, since_s: float | None = None) -> dict[str, Any]:
        return {"runs": self.failed, "since_s": 0.0}

    def put_job(self, function: str, *, notebook: str, kept: int) -> None:
        self.known_jobs[function] = {"function_name": function, "notebook": notebook, "runs_kept": kept}

    def jobs(self) -> list[dict[str, Any]]:
        return list(self.known_jobs.values())

    def forget_job(self, function: str) -> None:
        del self.known_jobs[function]

    def runs(self, function: str | None = None, *, limit: int = 50) -> list[dict[str, Any]]:
        return [one for one in self.known_runs if function in (None, one["function_name"])][:limit]

    def run(self, run_id: str) -> dict[str, Any]:
        return next(one for one in self.known_runs if one["run_id"] == run_id)

    def artefact(self, run_id: str, name: str) -> bytes:
        return self.artefacts[run_id, name]

    def saw_runs(self) -> None:
        self.failed = []

    def doctor(self) -> list[dict[str, str]]:
        return [{"level": "ok", "subject": "Docker", "text": "answers", "advice": ""}]


def fake_engine(folder: Path) -> Engine:
    connection = Connection("http://127.0.0.1:1", "us-east-1", "AK", "SK", driver="process", isolated=False)
    client = FakeLambda(folder)
    engine = Engine(client, FakeAdmin(), connection)
    #: What triggers are made of.
    engine.aws = fake_aws.Aws(client.functions)  # type: ignore[attr-defined]
    engine.place, engine.place_key = engine.aws.place, (None, connection.url, connection.epoch)  # type: ignore[attr-defined]
    return engine
