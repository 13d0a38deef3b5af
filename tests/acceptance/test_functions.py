"""What a function sees and what its caller gets, on a real engine with each driver, through boto3."""

from __future__ import annotations

import base64
import json
import os
import re
import threading
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from jupyter_lambda.client import Admin

from .engine import ROLE, RUNTIME, package


@pytest.fixture
def deploy(client):
    """Deploy source under a fresh name; gone at the end."""
    names: list[str] = []

    def make(files, **options) -> str:
        name = f"f-{uuid.uuid4().hex[:8]}"
        values = {"Runtime": RUNTIME, "Handler": "app.handler", "Role": ROLE, "Code": {"ZipFile": package(files)}}
        client.create_function(FunctionName=name, **(values | options))
        names.append(name)
        return name

    yield make
    for name in names:
        client.delete_function(FunctionName=name)


def call(client, name: str, event: object = None, **options):
    """(payload, function error, log) of one synchronous invocation."""
    answer = client.invoke(FunctionName=name, Payload=json.dumps(event or {}), LogType="Tail", **options)
    log = base64.b64decode(answer["LogResult"]).decode()
    return json.loads(answer["Payload"].read()), answer.get("FunctionError"), log


def test_result_log_and_report(client, deploy):
    name = deploy(
        "print('at init')\ndef handler(event, context):\n    print('hello')\n    return {'sum': sum(event['n'])}\n"
    )
    payload, error, log = call(client, name, {"n": [1, 2]})
    assert (payload, error) == ({"sum": 3}, None)
    assert re.fullmatch(
        r"START RequestId: (\S+) Version: \$LATEST\nhello\nEND RequestId: \1\nREPORT RequestId: \1\t"
        r"Duration: [\d.]+ ms\tBilled Duration: \d+00 ms\tMemory Size: 128 MB\tMax Memory Used: \d+ MB\t"
        r"Init Duration: [\d.]+ ms\t\n",
        log,
    )
    _, _, log = call(client, name, {"n": []})
    assert "Init Duration" not in log, "the second one is warm"


def test_what_the_function_sees(client, deploy, engine):
    source = """
import os, pathlib
def handler(event, context):
    seen = {k: v for k, v in os.environ.items()}
    attempts = {}
    for where in ("/var/task", "/opt", "/usr", "/"):
        root = os.environ["LAMBDA_TASK_ROOT"] if where == "/var/task" else where
        try:
            pathlib.Path(root, "x").write_text("x")
            attempts[where] = "written"
        except OSError as exc:
            attempts[where] = exc.__class__.__name__
    import tempfile
    pathlib.Path(tempfile.gettempdir(), "x").write_text("x")
    c = context
    return dict(env=seen, attempts=attempts, uid=os.getuid(), cwd=os.getcwd(), tmp=tempfile.gettempdir(),
        context=[c.function_name, c.function_version, c.invoked_function_arn, c.memory_limit_in_mb, c.aws_request_id,
                 c.log_group_name, c.log_stream_name], left=c.get_remaining_time_in_millis(),
        client=c.client_context.custom if c.client_context else None)
"""
    name = deploy(source, Environment={"Variables": {"MINE": "1"}}, Timeout=20)
    context = base64.b64encode(b'{"custom": {"a": "b"}}').decode()
    answer = client.invoke(FunctionName=name, Payload="{}", ClientContext=context)
    seen = json.loads(answer["Payload"].read())
    env = seen["env"]
    for key, value in {
        "MINE": "1",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_REGION": "us-east-1",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{RUNTIME}",
        "_HANDLER": "app.handler",
        "TZ": ":UTC",
    }.items():
        assert env[key] == value
    assert "JUPYTER" not in " ".join(env), "nothing of the engine's own environment"
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert seen["context"][:6] == [name, "$LATEST", arn, "128", request_id, f"/aws/lambda/{name}"]
    assert 15_000 < seen["left"] <= 20_000
    assert seen["client"] == {"a": "b"}
    if engine.driver == "docker":
        assert set(seen["attempts"].values()) == {"OSError"}, seen["attempts"]
        assert (env["LAMBDA_TASK_ROOT"], seen["cwd"], seen["tmp"]) == ("/var/task", "/var/task", "/tmp")
        assert seen["uid"] >= 200_000
    assert seen["attempts"]["/var/task"] != "written" or os.getuid() == 0


def test_layers_stand_in_opt_and_the_later_one_wins(client, deploy):
    for number, text in enumerate(("one", "two"), 1):
        client.publish_layer_version(
            LayerName=f"layer{number}",
            Content={"ZipFile": package({"python/shared.py": f"NAME = {text!r}\n", f"only{number}.txt": text})},
        )
    arns = [client.list_layer_versions(LayerName=f"layer{n}")["LayerVersions"][0]["LayerVersionArn"] for n in (1, 2)]
    source = "import shared\ndef handler(event, context):\n    return [shared.NAME, shared.__file__]\n"
    name = deploy(source, Layers=arns)
    payload, error, _ = call(client, name)
    assert error is None, payload
    assert payload[0] == "two"


def test_error_is_awss_document_with_the_functions_own_lines(client, deploy):
    name = deploy("def inner(x):\n    raise ValueError('boom')\ndef handler(event, context):\n    inner(1)\n")
    payload, error, log = call(client, name)
    assert error == "Unhandled"
    assert (payload["errorMessage"], payload["errorType"]) == ("boom", "ValueError")
    assert re.fullmatch(r"[0-9a-f-]{36}", payload["requestId"])
    assert [line.split(",")[1:] for line in payload["stackTrace"]] == [
        [" line 4", " in handler\n    inner(1)\n"],
        [" line 2", " in inner\n    raise ValueError('boom')\n"],
    ]
    assert "[ERROR] ValueError: boom" in log


@pytest.mark.parametrize(
    ("source", "error_type", "message"),
    [
        ("import nowhere_to_be_found\n", "Runtime.ImportModuleError", "No module named 'nowhere_to_be_found'"),
        ("def handler(event context):\n", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app'"),
        ("x = 1\n", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
        ("raise KeyError('k')\n", "KeyError", "'k'"),
        ("import sys\nsys.exit(3)\n", "Runtime.ExitError", "exit status 3"),
    ],
)
def test_initialisation_errors(client, deploy, source, error_type, message):
    payload, error, log = call(client, deploy(source))
    assert error == "Unhandled"
    assert payload["errorType"] == error_type
    assert message in payload["errorMessage"]
    assert log.startswith("START RequestId")


def test_sys_exit_is_an_exit_error_and_the_next_one_starts_afresh(client, deploy):
    name = deploy(
        "import sys\ndef handler(event, context):\n    if event: sys.exit(event['code'])\n    return 'fine'\n"
    )
    payload, error, log = call(client, name, {"code": 7})
    assert error == "Unhandled"
    assert payload["errorType"] == "Runtime.ExitError"
    assert payload["errorMessage"].endswith("Error: Runtime exited with error: exit status 7")
    assert "Status: error\tError Type: Runtime.ExitError" in log
    assert call(client, name)[0] == "fine"


def test_timeout_kills_everything_the_function_started(client, deploy, engine):
    marker = uuid.uuid4().hex
    source = f"""
import subprocess, time
def handler(event, context):
    subprocess.Popen(["sh", "-c", "exec -a {marker} sleep 300 || sleep 300"], start_new_session=True)
    print("before")
    time.sleep(60)
"""
    name = deploy(source, Timeout=1)
    begun = time.monotonic()
    payload, error, log = call(client, name)
    assert error == "Unhandled"
    assert payload["errorType"] == "Sandbox.Timedout"
    assert payload["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")
    assert "before" in log
    assert "Status: timeout" in log
    assert time.monotonic() - begun < 10
    alive = [p for p in os.listdir("/proc") if p.isdigit() and marker.encode() in _command(p)]  # noqa: PTH208
    assert not alive


def _command(pid: str) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return b""


def test_out_of_memory(client, deploy):
    name = deploy("def handler(event, context):\n    return len(bytearray(400 * 1024 * 1024))\n", Timeout=30)
    payload, error, log = call(client, name)
    assert error == "Unhandled"
    assert payload["errorMessage"].endswith("Error: Runtime exited with error: signal: killed")
    assert "Max Memory Used: 128 MB\t" in log
    assert "Status: error\tError Type: Runtime.OutOfMemory" in log


def test_response_too_large(client, deploy):
    name = deploy("def handler(event, context):\n    return 'x' * event['n']\n", MemorySize=512, Timeout=20)
    payload, error, _ = call(client, name, {"n": 6_291_557})
    assert error == "Unhandled"
    assert payload["errorType"] == "Function.ResponseSizeTooLarge"
    assert "6291556 bytes" in payload["errorMessage"]
    payload, error, _ = call(client, name, {"n": 6_291_000})
    assert (len(payload), error) == (6_291_000, None)


def test_result_that_is_no_json(client, deploy):
    payload, error, _ = call(client, deploy("def handler(event, context):\n    return object()\n"))
    assert error == "Unhandled"
    assert payload["errorType"] == "Runtime.MarshalError"


def test_log_is_the_last_4_kb_and_a_flood_harms_nothing(client, deploy):
    source = "def handler(event, context):\n    for i in range(event['n']): print('x' * 99)\n    return 'done'\n"
    name = deploy(source, Timeout=60)
    payload, error, log = call(client, name, {"n": 200_000})
    assert (payload, error) == ("done", None)
    assert len(log.encode()) == 4096
    assert log.rstrip("\n").splitlines()[-1].startswith("REPORT")
    assert call(client, name, {"n": 1})[0] == "done"


def test_tmp_survives_between_warm_invocations(client, deploy):
    source = (
        "import pathlib, tempfile\n"
        "def handler(event, context):\n"
        "    f = pathlib.Path(tempfile.gettempdir(), 'count')\n"
        "    n = int(f.read_text()) + 1 if f.exists() else 1\n"
        "    f.write_text(str(n))\n"
        "    return n\n"
    )
    name = deploy(source)
    assert [call(client, name)[0] for _ in range(3)] == [1, 2, 3]


@pytest.mark.docker
def test_tmp_has_the_size_asked_for_and_can_hold_programs(client, deploy, engine):
    if engine.driver != "docker":
        return  # the process driver has the host's own disk
    source = """
import os, pathlib, shutil, subprocess
def handler(event, context):
    program = pathlib.Path("/tmp/program")
    program.write_text("#!/bin/sh\\necho ran\\n")
    program.chmod(0o755)
    ran = subprocess.run([str(program)], capture_output=True, text=True).stdout
    written = 0
    try:
        with open("/tmp/big", "wb") as file:
            while True:
                written += file.write(b"x" * (1 << 20))
    except OSError as exc:
        return {"ran": ran, "written_mb": written >> 20, "error": exc.errno}
"""
    payload, error, _ = call(client, deploy(source, Timeout=60))
    assert error is None, payload
    assert payload["ran"] == "ran\n"
    assert payload["error"] == 28
    assert 505 <= payload["written_mb"] <= 520


@pytest.mark.parametrize("network", ["none", "egress"])
def test_boto3_in_a_function_reaches_the_engine_as_itself(client, deploy, engine, network):
    other = deploy("def handler(event, context):\n    return event['n'] + 1\n")
    source = """
import boto3, json
def handler(event, context):
    client = boto3.client("lambda")
    answer = client.invoke(FunctionName=event["other"], Payload=json.dumps({"n": 41}))
    try:
        client.delete_function(FunctionName=event["other"])
        denied = None
    except Exception as exc:
        denied = str(exc)
    return [json.load(answer["Payload"]), denied]
"""

    def ask_for_network(request, **_):
        request.headers["X-Jupyter-Lambda-Network"] = network

    client.meta.events.register("before-sign.lambda.CreateFunction", ask_for_network)
    try:
        name = deploy(source, MemorySize=512, Timeout=30)
    finally:
        client.meta.events.unregister("before-sign.lambda.CreateFunction", ask_for_network)
    payload, error, _ = call(client, name, {"other": other})
    assert error is None, payload
    assert payload[0] == 42
    assert "AccessDenied" in payload[1]
    assert "is not authorized to perform: lambda:DeleteFunction" in payload[1]


def test_custom_runtime_in_a_shell_script(client, deploy):
    bootstrap = """#!/bin/bash
set -eu
while true; do
  exec 3<>/dev/tcp/${AWS_LAMBDA_RUNTIME_API%:*}/${AWS_LAMBDA_RUNTIME_API#*:}
  printf 'GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: r\\r\\n\\r\\n' >&3
  length=0
  while IFS= read -r line <&3; do
    line=${line%$'\\r'}
    [ -z "$line" ] && break
    case "${line,,}" in
      lambda-runtime-aws-request-id:*) id=${line#*: } ;;
      content-length:*) length=${line#*: } ;;
    esac
  done
  IFS= read -r -N "$length" event <&3 || true
  echo "shell saw $event"
  body="{\\"shell\\": $event}"
  printf 'POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\\r\\nHost: r\\r\\n' "$id" >&3
  printf 'Content-Length: %s\\r\\n\\r\\n%s' "${#body}" "$body" >&3
  while IFS= read -r line <&3; do [ -z "${line%$'\\r'}" ] && break; done
  exec 3>&-
done
"""
    name = deploy({"bootstrap": bootstrap}, Runtime="provided.al2023", Handler="whatever")
    payload, error, log = call(client, name, {"n": 1})
    assert (payload, error) == ({"shell": {"n": 1}}, None)
    assert 'shell saw {"n": 1}' in log
    assert call(client, name, {"n": 2})[0] == {"shell": {"n": 2}}


def test_concurrent_invocations_run_side_by_side(client, deploy):
    name = deploy("import time\ndef handler(event, context):\n    time.sleep(1)\n    return context.log_stream_name\n")
    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(call(client, name)[0])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(results)) == 3


def test_reserved_concurrency(client, deploy):
    name = deploy("def handler(event, context):\n    return 1\n")
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    with pytest.raises(ClientError) as caught:
        call(client, name)
    assert caught.value.response["Error"]["Code"] == "TooManyRequestsException"
    assert caught.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    client.delete_function_concurrency(FunctionName=name)
    assert call(client, name)[0] == 1


def test_new_code_and_versions(client, deploy):
    name = deploy("def handler(event, context):\n    return 1\n")
    assert call(client, name)[0] == 1
    assert client.publish_version(FunctionName=name)["Version"] == "1"
    client.update_function_code(FunctionName=name, ZipFile=package("def handler(event, context):\n    return 2\n"))
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert call(client, name)[0] == 2
    assert call(client, name, Qualifier="1")[0] == 1
    answer = client.invoke(FunctionName=f"{name}:live", Payload="{}")
    assert (answer["ExecutedVersion"], answer["Payload"].read()) == ("1", b"1")


def test_stopping_an_invocation(client, deploy, engine):
    name = deploy("import time\ndef handler(event, context):\n    time.sleep(30)\n", Timeout=60)
    admin = Admin(engine.connection)
    request_id = str(uuid.uuid4())

    def choose(request, **_):
        request.headers["X-Jupyter-Lambda-Request-Id"] = request_id

    client.meta.events.register("before-sign.lambda.Invoke", choose)
    try:
        results = []
        thread = threading.Thread(target=lambda: results.append(call(client, name)))
        thread.start()
        deadline = time.monotonic() + 20
        while not admin.stop(request_id) and time.monotonic() < deadline:
            time.sleep(0.05)
        thread.join(20)
    finally:
        client.meta.events.unregister("before-sign.lambda.Invoke", choose)
    payload, error, _ = results[0]
    assert error == "Unhandled"
    assert payload["errorType"] == "Sandbox.Cancelled"
    assert admin.invocation(request_id)["status"] == "cancelled"


def test_every_invocation_is_recorded_and_its_log_found_by_request_id(client, deploy, engine):
    name = deploy("def handler(event, context):\n    print('needle', event['n'])\n    return event['n']\n")
    ids = [
        client.invoke(FunctionName=name, Payload=json.dumps({"n": n}))["ResponseMetadata"]["RequestId"] for n in (1, 2)
    ]
    admin = Admin(engine.connection)
    time.sleep(0.2)
    records = [admin.invocation(request_id) for request_id in ids]
    assert [r["cold"] for r in records] == [True, False]
    assert all(r["status"] == "success" and r["billed_ms"] >= 100 and r["memory_used_mb"] for r in records)
    lines = admin.logs(name, request_id=ids[1])
    assert [line["message"] for line in lines][1] == "needle 2"
    assert len(lines) == 4
    assert [line["message"] for line in admin.logs(name, pattern="needle")] == ["needle 1", "needle 2"]
