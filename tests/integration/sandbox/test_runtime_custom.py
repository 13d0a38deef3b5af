"""Other runtimes than ours: a shell script's bootstrap, and AWS's own runtime interface client, unchanged."""

from __future__ import annotations

import json
import sys

import pytest

#: A runtime in bash alone: HTTP over /dev/tcp.
SHELL = r"""#!/bin/bash
host=${AWS_LAMBDA_RUNTIME_API%:*} port=${AWS_LAMBDA_RUNTIME_API#*:}
base=/2018-06-01/runtime
call() {  # method path body
    exec 3<>/dev/tcp/$host/$port
    printf '%s %s%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n' "$1" $base "$2" >&3
    printf 'Content-Length: %d\r\n\r\n%s' ${#3} "$3" >&3
    answer=$(cat <&3)
    exec 3>&-
}
echo "starts with $_HANDLER"
while true; do
    call GET /invocation/next ''
    id=$(printf '%s' "$answer" | tr -d '\r' | sed -n 's/^Lambda-Runtime-Aws-Request-Id: //p')
    body=${answer##*$'\r\n\r\n'}
    echo "got $body"
    case $body in
        '"fail"') call POST "/invocation/$id/error" '{"errorMessage":"no","errorType":"Function.Failed"}' ;;
        '"twice"') call POST "/invocation/$id/response" 1; call POST "/invocation/$id/response" 2; echo "$answer" ;;
        '"other"') call POST "/invocation/nobody/response" 1; echo "$answer"; call POST "/invocation/$id/response" 1 ;;
        '"exit"') exit 42 ;;
        *) call POST "/invocation/$id/response" "{\"echo\": $body}" ;;
    esac
done
"""


async def test_a_bootstrap_written_in_shell(kit):
    sandbox = await kit.ready({"bootstrap": SHELL}, interpreter=None)
    outcome = await kit.invoke(sandbox, {"n": 1})
    assert (outcome.kind, json.loads(outcome.payload)) == ("response", {"echo": {"n": 1}})
    outcome = await kit.invoke(sandbox, "fail")
    assert (outcome.kind, outcome.error_type) == ("error", "Function.Failed")
    assert (await kit.invoke(sandbox, "twice")).payload == b"1"
    assert (await kit.invoke(sandbox, "other")).payload == b"1"
    assert "HTTP/1.1 403 Forbidden" in kit.log
    assert '"errorType": "InvalidStateTransition"' in kit.log
    assert "HTTP/1.1 400 Bad Request" in kit.log
    assert '"errorType": "InvalidRequestID"' in kit.log
    outcome = await kit.invoke(sandbox, "exit")
    assert (outcome.kind, outcome.exit.code) == ("exit", 42)
    assert kit.log.startswith('starts with app.handler\ngot {"n": 1}\n')


async def test_a_bootstrap_from_a_layer(kit):
    layer = kit.package({"bootstrap": SHELL})
    sandbox = await kit.ready("", interpreter=None, layer_dirs=(layer,))
    assert (await kit.invoke(sandbox, 1)).payload == b'{"echo": 1}'


@pytest.mark.parametrize(
    ("files", "mode", "message"),
    [
        ({"other": ""}, 0o755, "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"),
        ({"bootstrap": "echo"}, 0o644, "fork/exec /var/task/bootstrap: permission denied"),
        ({"bootstrap": "\x7fELFnonsense"}, 0o755, "fork/exec /var/task/bootstrap: exec format error"),
        ({"bootstrap": "#!/no/such/interpreter\n"}, 0o755, "fork/exec /var/task/bootstrap: no such file or directory"),
    ],
)
async def test_a_bootstrap_that_cannot_be_started(kit, files, mode, message):
    spec = kit.spec(files, interpreter=None)
    for path in spec.code_dir.iterdir():
        path.chmod(mode)
    sandbox = await kit.sandboxes.start(spec, lambda *_: None)
    outcome = await sandbox.init()
    assert (outcome.kind, outcome.error_type) == ("error", "Runtime.InvalidEntrypoint")
    assert json.loads(outcome.payload) == {"errorType": "Runtime.InvalidEntrypoint", "errorMessage": message}


async def test_apis_that_are_not_built_say_so(kit):
    code = """
    import json, os, urllib.request, urllib.error
    def ask(method, path):
        url = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + path
        request = urllib.request.Request(url, method=method, data=b"{}" if method == "POST" else None)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer: return [answer.status, None, None]
        except urllib.error.HTTPError as exc:
            document = json.loads(exc.read())
            return [exc.code, document["errorType"], document["errorMessage"]]
    def handler(event, context): return [ask(*one) for one in event]
    """
    sandbox = await kit.ready(code)
    base = "/2018-06-01/runtime"
    questions = [
        ("POST", "/2020-01-01/extension/register"),
        ("PUT", "/2020-08-15/logs"),
        ("PUT", "/2022-07-01/telemetry"),
        ("GET", base + "/restore/next"),
        ("GET", base + "/nothing"),
        ("POST", base + "/invocation/next"),
        ("GET", base + "/init/error"),
        ("GET", base + "/invocation/x/response"),
        ("POST", base + "/invocation/x/response"),
        ("POST", base + "/init/error"),
        ("GET", base + "/invocation/next"),
    ]
    answers = json.loads((await kit.invoke(sandbox, questions)).payload)
    assert [answer[:2] for answer in answers] == [
        *[[501, "NotImplemented"]] * 4,
        [404, "NotFound"],
        *[[405, "MethodNotAllowed"]] * 3,
        [400, "InvalidRequestID"],
        *[[403, "InvalidStateTransition"]] * 2,
    ]
    assert "Lambda Extensions API" in answers[0][2]
    assert answers[-1][2] == (
        "State transition from Running to Ready failed for runtime. Error: State transition is not allowed"
    )


RIC = f"#!/bin/sh\nexec {sys.executable} -m awslambdaric $_HANDLER\n"


async def test_awslambdaric_runs_unchanged(kit):
    code = """
    import sys
    print("loads")
    def handler(event, context):
        print("got", event)
        if event == "boom": raise ValueError("boom")
        if event == "set": return {1}
        if event == "exit": sys.exit(3)
        if event == "size": return "x" * 7_000_000
        return {"event": event, "id": context.aws_request_id, "left": context.get_remaining_time_in_millis() > 0,
                "custom": context.client_context and context.client_context.custom}
    """
    environment = {"PYTHONPATH": "."}
    sandbox = await kit.ready({"bootstrap": RIC, "app.py": code}, interpreter=None, environment=environment)
    event = kit.event({"n": "ä"}, client_context='{"custom": {"k": "v"}}')
    outcome = await sandbox.invoke(event, 5)
    assert json.loads(outcome.payload) == {
        "event": {"n": "ä"}, "id": event.request_id, "left": True, "custom": {"k": "v"},
    }  # fmt: skip
    for payload, kind in (("boom", "ValueError"), ("set", "Runtime.MarshalError")):
        outcome = await kit.invoke(sandbox, payload)
        assert (outcome.kind, outcome.error_type) == ("error", kind)
        assert json.loads(outcome.payload)["errorType"] == kind
    large = "y" * 6_000_000
    assert json.loads((await kit.invoke(sandbox, large)).payload)["event"] == large
    assert (await kit.invoke(sandbox, "size")).kind == "too_large"
    # The client raises on the 413 that it gets and ends, as it does on AWS.
    await sandbox.exited
    assert "loads\ngot {'n': 'ä'}\n" in kit.log
    sandbox = await kit.ready({"bootstrap": RIC, "app.py": code}, interpreter=None, environment=environment)
    outcome = await kit.invoke(sandbox, "exit")
    assert (outcome.kind, outcome.exit.code) == ("exit", 3)


async def test_awslambdaric_reports_init_errors(kit):
    files = {"bootstrap": RIC, "app.py": "import nothere"}
    sandbox = await kit.start(files, interpreter=None, environment={"PYTHONPATH": "."})
    outcome = await sandbox.init(20)
    assert (outcome.kind, outcome.error_type) == ("error", "Runtime.ImportModuleError")
    assert json.loads(outcome.payload)["errorMessage"] == "Unable to import module 'app': No module named 'nothere'"
