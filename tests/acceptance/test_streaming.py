"""Responses that are read while their function still runs: a custom runtime of each driver, boto3 and curl."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from jupyter_lambda.client import Admin

from .engine import ROLE, RUNTIME, package

#: A runtime in bash alone that streams what the event names.
BOOTSTRAP = r"""#!/bin/bash
host=${AWS_LAMBDA_RUNTIME_API%:*} port=${AWS_LAMBDA_RUNTIME_API#*:}
base=/2018-06-01/runtime/invocation
begin() {  # content type
    exec 3<>/dev/tcp/$host/$port
    printf 'POST %s/%s/response HTTP/1.1\r\nHost: x\r\nConnection: close\r\n' $base "$id" >&3
    printf 'Content-Type: %s\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n' "$1" >&3
    printf 'Transfer-Encoding: chunked\r\n\r\n' >&3
}
chunk() { printf '%x\r\n%s\r\n' ${#1} "$1" >&3; }
end() { printf '0\r\n%s\r\n' "$1" >&3; cat <&3 > /tmp/answer; exec 3>&-; }
while true; do
    exec 3<>/dev/tcp/$host/$port
    printf 'GET %s/next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' $base >&3
    event=$(cat <&3)
    exec 3>&-
    id=$(printf '%s' "$event" | tr -d '\r' | sed -n 's/^Lambda-Runtime-Aws-Request-Id: //p')
    case $event in
        *ticks*)
            begin text/plain
            for i in 1 2 3; do chunk "tick $i"; sleep 0.4; done
            echo "all ticks written"
            end ;;
        *page*)
            begin application/vnd.awslambda.http-integration-response
            chunk '{"statusCode": 201, "headers": {"Content-Type": "text/html"}, "cookies": ["a=1"]}'
            printf '8\r\n\0\0\0\0\0\0\0\0\r\n' >&3
            chunk '<p>first'; sleep 0.4; chunk '<p>last'
            end ;;
        *breaks*)
            begin text/plain
            chunk 'so far'
            error=$(printf '{"errorType":"Own.Error","errorMessage":"no more"}' | base64 -w0)
            trailers=$(printf 'Type: Own.Error\r\nLambda-Runtime-Function-Error-Body: %s' "$error")
            end "Lambda-Runtime-Function-Error-$trailers"$'\r\n' ;;
        *dies*) begin text/plain; chunk 'last words'; sleep 0.1; exit 3 ;;
        *large*)
            begin application/octet-stream
            for i in $(seq 48); do printf '10000\r\n' >&3; head -c 65536 /dev/zero >&3; printf '\r\n' >&3; done
            end ;;
        *) exit 4 ;;
    esac
done
"""


@pytest.fixture(scope="module")
def streaming(client: Any) -> Iterator[str]:
    """A function of that runtime with a streaming URL for everybody; its name."""
    name = f"s-{uuid.uuid4().hex[:8]}"
    code = {"ZipFile": package({"bootstrap": BOOTSTRAP})}
    client.create_function(FunctionName=name, Role=ROLE, Runtime="provided.al2023", Handler="x", Code=code, Timeout=20)
    client.create_function_url_config(FunctionName=name, AuthType="NONE", InvokeMode="RESPONSE_STREAM")
    allowed = {"FunctionName": name, "Principal": "*"}
    client.add_permission(**allowed, StatementId="url", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE")
    client.add_permission(**allowed, StatementId="via", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True)
    stream(client, name, "large")  # warm from here on
    yield name
    client.delete_function(FunctionName=name)


def stream(client: Any, name: str, what: str, **options: Any) -> list[tuple[float, dict[str, Any]]]:
    """The events of one invocation, and when they came."""
    answer = client.invoke_with_response_stream(FunctionName=name, Payload=json.dumps({"do": what}), **options)
    assert answer["StatusCode"] == 200
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    return [(time.monotonic(), event) for event in answer["EventStream"]]


def body_of(events: list[tuple[float, dict[str, Any]]]) -> bytes:
    return b"".join(event["PayloadChunk"]["Payload"] for _, event in events if "PayloadChunk" in event)


@pytest.fixture
def curl(client: Any, streaming: str) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """curl of the function's URL, by its name."""
    url = client.get_function_url_config(FunctionName=streaming)["FunctionUrl"]

    def run(path: str, *options: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["curl", "-sS", "--max-time", "20", *options, url + path], capture_output=True)

    return run


def test_chunks_come_while_the_function_runs(client, streaming):
    events = stream(client, streaming, "ticks", LogType="Tail")
    assert body_of(events) == b"tick 1tick 2tick 3"
    times = [at for at, _ in events]
    assert times[-1] - times[0] > 0.9, "the first chunk came as long before the end as it was written"
    complete = events[-1][1]["InvokeComplete"]
    assert "ErrorCode" not in complete
    log = base64.b64decode(complete["LogResult"]).decode()
    assert "all ticks written" in log
    assert "REPORT RequestId" in log


def test_an_error_on_the_way(client, streaming):
    events = stream(client, streaming, "breaks")
    assert body_of(events) == b"so far"
    complete = events[-1][1]["InvokeComplete"]
    assert complete["ErrorCode"] == "Unhandled"
    assert json.loads(complete["ErrorDetails"]) == {"errorType": "Own.Error", "errorMessage": "no more"}


def test_a_runtime_that_ends_on_the_way(client, streaming):
    events = stream(client, streaming, "dies")
    assert body_of(events) == b"last words"
    details = json.loads(events[-1][1]["InvokeComplete"]["ErrorDetails"])
    assert details["errorType"] == "Runtime.ExitError"
    assert details["errorMessage"].endswith("exit status 3")


def test_more_than_a_buffered_response_may_have_at_once(client, streaming):
    assert body_of(stream(client, streaming, "large")) == bytes(48 * 65536)


def test_an_ordinary_invocation_gets_it_whole(client, streaming):
    answer = client.invoke(FunctionName=streaming, Payload=json.dumps({"do": "ticks"}))
    assert answer["Payload"].read() == b"tick 1tick 2tick 3"


def test_pythons_own_runtime_answers_in_one_piece(client):
    """Source: "Lambda supports response streaming on Node.js managed runtimes"."""
    name = f"p-{uuid.uuid4().hex[:8]}"
    source = "def handler(event, context):\n    assert event['do'] != 'fail'\n    return event\n"
    client.create_function(
        FunctionName=name, Role=ROLE, Runtime=RUNTIME, Handler="app.handler", Code={"ZipFile": package(source)}
    )
    try:
        events = [event for _, event in stream(client, name, "it")]
        assert events == [{"PayloadChunk": {"Payload": b'{"do": "it"}'}}, {"InvokeComplete": {}}]
        (failed,) = [event for _, event in stream(client, name, "fail")]
        assert failed["InvokeComplete"]["ErrorCode"] == "Unhandled"
        assert json.loads(failed["InvokeComplete"]["ErrorDetails"])["errorType"] == "AssertionError"
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        with pytest.raises(ClientError) as caught:
            stream(client, name, "it")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    finally:
        client.delete_function(FunctionName=name)


def test_a_url_that_streams(curl):
    begun = time.monotonic()
    answer = curl("page", "-N", "-i", "-w", "\n%{time_starttransfer} %{time_total}")
    head, _, rest = answer.stdout.decode().partition("\r\n\r\n")
    body, _, times = rest.rpartition("\n")
    assert head.startswith("HTTP/1.1 201"), (answer, time.monotonic() - begun)
    headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head.split("\r\n")[1:]}
    assert (headers["content-type"], headers["set-cookie"]) == ("text/html", "a=1")
    assert headers["transfer-encoding"] == "chunked"
    assert body == "<p>first<p>last"
    first_s, total_s = map(float, times.split())
    assert total_s - first_s > 0.3


def test_without_a_prelude_the_answer_is_the_body(curl):
    answer = curl("ticks", "-i")
    assert answer.stdout.startswith(b"HTTP/1.1 200")
    assert b"\r\nContent-Type: text/plain\r\n" in answer.stdout
    assert answer.stdout.endswith(b"\r\n\r\ntick 1tick 2tick 3")
    assert curl("ticks", "-I").returncode == 0, "HEAD has the head alone"


def test_a_body_that_breaks_off_shows_it(curl):
    answer = curl("breaks")
    assert answer.stdout == b"so far"
    assert answer.returncode == 18  # "partial file"
    assert curl("none", "-i").stdout.startswith(b"HTTP/1.1 502"), "it ended before it answered"


def test_a_client_that_goes_stops_nothing(engine, curl, streaming):
    assert curl("ticks", "--max-time", "0.3").returncode == 28
    admin = Admin(engine.connection)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        records = admin.invocations(function=streaming, limit=1)["invocations"]
        if records and records[0]["source"] == "url:" and records[0]["run_ms"] > 1000:
            break
        time.sleep(0.1)
    assert (records[0]["status"], records[0]["source"]) == ("success", "url:")
