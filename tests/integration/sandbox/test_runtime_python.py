"""The Python runtime inside a sandbox: what handlers see and what comes of everything they do."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

from jupyter_lambda import http1

PYENV = sorted(
    path
    for path in Path("~/.pyenv/versions").expanduser().glob("3.*/bin/python")
    if int(path.parts[-3].split(".")[1]) >= 9
)


async def test_a_handler_gets_event_and_context(kit):
    code = """
    def handler(event, context):
        left = context.get_remaining_time_in_millis()
        fields = {k: v for k, v in vars(context).items() if isinstance(v, (str, type(None)))}
        return {"event": event, "left": left, "fields": fields, "identity": context.identity.cognito_identity_id}
    """
    sandbox = await kit.ready(code)
    event = kit.event({"n": [1, "ä", None]}, timeout_s=7)
    outcome = await sandbox.invoke(event, 7)
    assert (outcome.kind, outcome.error_type, outcome.reusable) == ("response", None, True)
    answer = json.loads(outcome.payload)
    assert answer["event"] == {"n": [1, "ä", None]}
    assert 6000 < answer["left"] <= 7000
    assert answer["identity"] is None
    assert answer["fields"] == {
        "aws_request_id": event.request_id,
        "function_name": "fn",
        "function_version": "$LATEST",
        "memory_limit_in_mb": "256",
        "log_group_name": "/aws/lambda/fn",
        "log_stream_name": "stream",
        "invoked_function_arn": event.invoked_arn,
        "tenant_id": None,
        "client_context": None,
    }
    assert outcome.memory_used_mb is not None
    assert 5 < outcome.memory_used_mb < 200


async def test_client_context_and_trace_id(kit):
    code = """
    import os
    def handler(event, context):
        c, who = context.client_context, context.identity.cognito_identity_id
        return [c.custom, c.client.app_title, c.env, who, os.environ.get("_X_AMZN_TRACE_ID")]
    """
    sandbox = await kit.ready(code)
    outcome = await kit.invoke(
        sandbox,
        client_context='{"custom": {"k": "ä\\n"}, "client": {"app_title": "t"}}',
        cognito_identity='{"cognitoIdentityId": "me"}',
        trace_id="Root=1-2-3",
    )
    assert json.loads(outcome.payload) == [{"k": "ä\n"}, "t", None, "me", "Root=1-2-3"]


async def test_an_environment_of_its_own(kit, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the engine's")
    monkeypatch.setenv("SECRET_OF_THE_ENGINE", "x")
    code = "import os, tempfile\ndef handler(e, c): return [dict(os.environ), tempfile.gettempdir(), os.getcwd()]"
    sandbox = await kit.ready(code, environment={"MINE": "1"})
    environment, temporary, cwd = json.loads((await kit.invoke(sandbox)).payload)
    assert environment["MINE"] == "1"
    assert not {"AWS_ACCESS_KEY_ID", "SECRET_OF_THE_ENGINE", "PYTHONPATH"} & set(environment)
    assert not [name for name in environment if name.startswith("JUPYTER")]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", environment["AWS_ENDPOINT_URL"])
    assert environment["AWS_ENDPOINT_URL"] == "http://" + environment["AWS_LAMBDA_RUNTIME_API"]
    assert temporary.startswith(str(kit.state_dir / "sandboxes"))
    assert cwd == environment["LAMBDA_TASK_ROOT"] == str(sandbox.spec.code_dir)


async def test_an_exception_is_reported_and_logged_as_aws_does(kit):
    code = """
    def inner():
        raise ValueError("boom")
    def handler(event, context):
        print("before")
        inner()
    """
    sandbox = await kit.ready(code)
    event = kit.event()
    outcome = await sandbox.invoke(event, 5)
    app = sandbox.spec.code_dir / "app.py"
    stack = [
        f'  File "{app}", line 6, in handler\n    inner()\n',
        f'  File "{app}", line 3, in inner\n    raise ValueError("boom")\n',
    ]
    assert (outcome.kind, outcome.error_type, outcome.reusable) == ("error", "ValueError", True)
    assert json.loads(outcome.payload) == {
        "errorMessage": "boom",
        "errorType": "ValueError",
        "requestId": event.request_id,
        "stackTrace": stack,
    }
    printed = "before\n[ERROR] ValueError: boom\nTraceback (most recent call last):\n" + "".join(stack)
    assert sandbox.log_tail(event.request_id).decode() == printed
    assert (await kit.invoke(sandbox)).kind == "error"


@pytest.mark.parametrize(
    ("files", "handler", "kind", "message"),
    [
        ("", "nix.handler", "Runtime.ImportModuleError", "Unable to import module 'nix': No module named 'nix'"),
        ("import no", "app.f", "Runtime.ImportModuleError", "Unable to import module 'app': No module named 'no'"),
        ("x = 1", "app.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
        ("", "app", "Runtime.MalformedHandlerName", "Bad handler 'app': not enough values to unpack (expected"),
        ("", "sys.exit", "Runtime.BuiltInModuleConflict", "Cannot use built-in module sys as a handler module"),
        ("def f(:", "app.f", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app': "),
        ("1/0", "app.f", "ZeroDivisionError", "division by zero"),
        ("", ".f", "Runtime.ImportModuleError", "Unable to import module '': "),
    ],
)  # fmt: skip
async def test_init_errors_have_awss_types_and_messages(kit, files, handler, kind, message):
    sandbox = await kit.start(files, handler)
    outcome = await sandbox.init()
    assert (outcome.kind, outcome.error_type) == ("error", kind)
    document = json.loads(outcome.payload)
    assert document["errorType"] == kind
    assert document["errorMessage"].startswith(message)
    if kind == "ZeroDivisionError":
        assert document["stackTrace"] == [f'  File "{sandbox.spec.code_dir}/app.py", line 1, in <module>\n    1/0\n']
    assert f"[ERROR] {kind}: {message}" in kit.log
    assert (await asyncio.wait_for(asyncio.shield(sandbox.exited), 5)).code == 1


async def test_sys_exit_while_importing_is_an_exit(kit):
    sandbox = await kit.start("import sys; print('bye', end=''); sys.exit(7)")
    outcome = await sandbox.init()
    assert (outcome.kind, outcome.exit.code) == ("exit", 7)
    assert kit.log == "bye"


@pytest.mark.parametrize(
    ("body", "code", "signal"),
    [
        ("import sys; sys.exit(3)", 3, None),
        ("import sys; sys.exit()", 0, None),
        ("import os; os._exit(4)", 4, None),
        ("import ctypes; ctypes.string_at(0)", None, 11),
        ("import os; os.abort()", None, 6),
        ("raise KeyboardInterrupt", None, 2),
    ],
)
async def test_a_process_that_ends_is_an_exit(kit, body, code, signal):
    outcome = await kit.run(f"def handler(event, context):\n    {body}")
    assert (outcome.kind, outcome.reusable, outcome.delivered) == ("exit", False, True)
    assert (outcome.exit.code, outcome.exit.signal, outcome.exit.oom_killed) == (code, signal, False)


async def test_results_as_json(kit):
    code = """
    import decimal, math
    D = decimal.Decimal
    values = {
        "nan": math.nan, "inf": [math.inf, -math.inf],
        "decimal": {"a": D("1.10"), "b": [D("12345678901234567890.123456789"), D("NaN")]},
        "text": "ä\\u2028\\"", "raw": b'{"as": "is"}', "none": None, "keys": {1: 2, None: 3, True: 4}, "tuple": (1, 2),
    }
    def handler(event, context):
        return values[event]
    """
    sandbox = await kit.ready(code)

    async def result(key):
        return (await kit.invoke(sandbox, key)).payload.decode()

    assert await result("nan") == "NaN"
    assert await result("inf") == "[Infinity, -Infinity]"
    assert await result("decimal") == '{"a": 1.10, "b": [12345678901234567890.123456789, NaN]}'
    assert json.loads(await result("text")) == 'ä\u2028"'
    assert await result("raw") == '{"as": "is"}'
    assert await result("none") == "null"
    assert await result("keys") == '{"1": 4, "null": 3}'
    assert await result("tuple") == "[1, 2]"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{1, 2}", "Unable to marshal response: Object of type set is not JSON serializable"),
        ("{(1, 2): 3}", "Unable to marshal response: keys must be str, int, float, bool or None, not tuple"),
        ("co()", "Unable to marshal response: Object of type coroutine is not JSON serializable (AWS Lambda does not"),
    ],
)
async def test_results_that_are_no_json(kit, value, message):
    outcome = await kit.run(f"async def co(): return 1\ndef handler(event, context):\n    return {value}")
    assert (outcome.kind, outcome.error_type) == ("error", "Runtime.MarshalError")
    assert json.loads(outcome.payload)["errorMessage"].startswith(message)
    assert "never awaited" not in kit.log


async def test_an_event_that_is_no_json(kit):
    sandbox = await kit.ready("def handler(event, context): return event")
    outcome = await kit.invoke(sandbox, b"{nonsense")
    assert outcome.error_type == "Runtime.UnmarshalError"
    assert json.loads(outcome.payload)["errorMessage"].startswith("Unable to unmarshal input: Expecting property name")
    assert (await kit.invoke(sandbox, {})).payload == b"{}"


async def test_logging_is_set_up_as_on_aws(kit):
    code = """
    import logging
    log = logging.getLogger("mine")
    log.setLevel("INFO")
    def handler(event, context):
        log.info("number %d", 5)
        logging.getLogger("other").debug("unseen")
        logging.warning("careful")
    """
    sandbox = await kit.ready(code)
    event = kit.event()
    await sandbox.invoke(event, 5)
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    pattern = rf"\[INFO\]\t{stamp}\t{event.request_id}\tnumber 5\n\[WARNING\]\t{stamp}\t{event.request_id}\tcareful\n"
    assert re.fullmatch(pattern, kit.log)


async def test_json_logging(kit):
    code = """
    import logging
    def handler(event, context):
        logging.debug("low", extra={"k": {1}})
        try: 1/0
        except ZeroDivisionError: logging.exception("bad")
        raise KeyError("k")
    """
    sandbox = await kit.ready(code, environment={"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "DEBUG"})
    event = kit.event()
    await sandbox.invoke(event, 5)
    low, bad, error = [json.loads(line) for line in kit.log.splitlines()]
    assert (low["level"], low["message"], low["requestId"], low["k"]) == ("DEBUG", "low", event.request_id, "{1}")
    assert (bad["errorType"], bad["errorMessage"]) == ("ZeroDivisionError", "division by zero")
    assert (error["level"], error["errorType"]) == ("ERROR", "KeyError")


async def test_output_of_every_kind_reaches_the_log_in_order(kit):
    code = r"""
    import os, subprocess, sys
    print("import")
    def handler(event, context):
        print("one")
        sys.stderr.write("two\n")
        os.write(1, b"\xff\x00three\n")
        subprocess.run(["/bin/echo", "four"])
        print("surrogate \udc80 partial", end="")
        return 1
    """
    sandbox = await kit.ready(code)
    event = kit.event()
    await sandbox.invoke(event, 5)
    expected = b"one\ntwo\n\xff\x00three\nfour\nsurrogate \\udc80 partial"
    assert sandbox.log_tail(event.request_id) == expected
    assert kit.written[0] == (None, b"import\n")
    assert b"".join(data for request_id, data in kit.written if request_id == event.request_id) == expected


async def test_a_function_may_close_its_output(kit):
    code = "import sys\ndef handler(event, context):\n    sys.stdout.close()\n    sys.stderr = None\n    return event"
    sandbox = await kit.ready(code)
    assert (await kit.invoke(sandbox, 1)).payload == b"1"
    assert (await kit.invoke(sandbox, 2)).kind in ("response", "error")


async def test_large_payloads_and_the_largest_response(kit):
    sandbox = await kit.ready("def handler(n, context): return n if isinstance(n, str) else 'x' * n")
    text = "y" * (6 * 1024 * 1024 - 2)
    assert (await kit.invoke(sandbox, text)).payload == json.dumps(text).encode()
    largest = await kit.invoke(sandbox, 6_291_554)
    assert (largest.kind, len(largest.payload)) == ("response", 6_291_556)
    for size in (6_291_555, 40_000_000):
        outcome = await kit.invoke(sandbox, size)
        assert (outcome.kind, outcome.payload, outcome.reusable) == ("too_large", b"", True)
    assert "Http response code: 413" in kit.log
    assert (await kit.invoke(sandbox, 1)).payload == b'"x"'


async def test_the_import_path_is_awss(kit):
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    lower = kit.package(
        {
            "python/lower.py": "name = 'lower'",
            "python/both/__init__.py": "name = 'lower'",
            "python/both/deep.py": "name = 'deep'",
            "data.txt": "lower",
        }
    )
    upper = kit.package(
        {
            "python/both/__init__.py": "name = 'upper'",
            f"python/lib/{version}/site-packages/upper.py": "name = 'upper'",
            "python/app.py": "raise SystemExit('the package comes first')",
        }
    )
    code = """
    import os, sys, lower, upper, both, both.deep
    def handler(event, context):
        opt = os.path.dirname(sys.path[2])
        with open(opt + "/data.txt") as f: data = f.read()
        names = [lower.name, upper.name, both.name, both.deep.name]
        return [*names, data, [p.replace(opt, "/opt") for p in sys.path[1:3]]]
    """
    sandbox = await kit.ready(code, layer_dirs=(lower, upper))
    assert json.loads((await kit.invoke(sandbox)).payload) == [
        *("lower", "upper", "upper", "deep", "lower"),
        [f"/opt/python/lib/{version}/site-packages", "/opt/python"],
    ]


async def test_pythonpath_replaces_the_layers_and_pth_files_count(kit, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more/found.py").write_text("")
    files = {"app.py": "import found, nested\ndef handler(e, c): return 1", "x.pth": "inner\n", "inner/nested.py": ""}
    sandbox = await kit.ready(files, environment={"PYTHONPATH": str(tmp_path / "more")})
    assert (await kit.invoke(sandbox)).payload == b"1"


async def test_the_users_own_packages_are_found(kit, tmp_path, monkeypatch):
    """Isolated mode leaves them out, yet the notebook has them."""
    base = tmp_path / "userbase"
    interpreter = next(iter(PYENV), None)
    if interpreter is None:
        pytest.skip("needs a Python that is not a virtual environment")
    monkeypatch.setenv("PYTHONUSERBASE", str(base))
    version = "python" + ".".join(interpreter.parts[-3].split(".")[:2])
    site = base / "lib" / version / "site-packages"
    site.mkdir(parents=True)
    (site / "ours.py").write_text("")
    sandbox = await kit.ready("import ours\ndef handler(e, c): return 1", interpreter=interpreter)
    assert (await kit.invoke(sandbox)).payload == b"1"


async def test_a_wrapper_starts_the_runtime(kit):
    files = {
        "app.py": "import os\ndef handler(e, c): return os.environ['WRAPPED']",
        "wrapper": '#!/bin/sh\nexport WRAPPED=yes\nexec "$@"\n',
    }
    wrapper = kit.package(files) / "wrapper"
    sandbox = await kit.ready(files, environment={"AWS_LAMBDA_EXEC_WRAPPER": str(wrapper)})
    assert (await kit.invoke(sandbox)).payload == b'"yes"'
    sandbox = await kit.start(files, environment={"AWS_LAMBDA_EXEC_WRAPPER": "/nowhere"})
    outcome = await sandbox.init()
    assert (outcome.kind, outcome.exit.code) == ("exit", 127)
    assert "/nowhere: does not exist\n" in kit.log


async def test_other_requests_go_to_the_aws_handler(kit):
    seen = []

    async def aws(request: http1.Request) -> http1.Response:
        seen.append((request.peer, request.method, request.path, len(request.body)))
        return http1.Response(200, (), b"z" * len(request.body))

    code = """
    import os, urllib.request
    from concurrent.futures import ThreadPoolExecutor
    def call(size):
        url = os.environ["AWS_ENDPOINT_URL"] + "/2015-03-31/functions"
        with urllib.request.urlopen(urllib.request.Request(url, data=b"x" * size), timeout=10) as r:
            return len(r.read())
    def handler(event, context):
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(call, event))
    """
    sandbox = await kit.ready(code)
    refused = await kit.invoke(sandbox, [1])
    assert (refused.kind, refused.error_type) == ("error", "HTTPError")
    kit.attach(aws)
    sizes = [1, 10, 3_000_000, 2, 5, 100_000, 7, 8, 9, 10]
    assert json.loads((await kit.invoke(sandbox, sizes)).payload) == sizes
    assert {peer for peer, *_ in seen} == {f"sandbox:{sandbox.sandbox_id}"}
    assert sorted(size for *_, size in seen) == sorted(sizes)


async def test_a_lost_connection_loses_no_event_and_doubles_none(kit):
    sandbox = await kit.ready("seen = []\ndef handler(n, context):\n    seen.append(n)\n    return seen")
    for n in range(5):
        for connection in list(sandbox._server.connections):
            connection.close()
        if n % 2:
            await asyncio.sleep(0.01)
        outcome = await kit.invoke(sandbox, n)
        assert json.loads(outcome.payload) == list(range(n + 1))


async def test_threads_go_on_between_invocations(kit):
    code = """
    import threading, time
    ticks = []
    def tick():
        while True:
            ticks.append(1)
            time.sleep(0.005)
    threading.Thread(target=tick, daemon=True).start()
    def handler(event, context): return len(ticks)
    """
    sandbox = await kit.ready(code)
    before = int((await kit.invoke(sandbox)).payload)
    await asyncio.sleep(0.1)
    assert int((await kit.invoke(sandbox)).payload) > before


@pytest.mark.parametrize("interpreter", PYENV, ids=lambda path: path.parts[-3])
async def test_every_python(kit, interpreter):
    code = """
    import json, logging, sys
    def handler(event, context):
        logging.warning("w")
        if event: raise ValueError("boom")
        return [list(sys.version_info[:2]), repr(context)[:13]]
    """
    sandbox = await kit.ready(code, interpreter=interpreter)
    version = [int(part) for part in interpreter.parts[-3].split(".")[:2]]
    assert json.loads((await kit.invoke(sandbox)).payload) == [version, "LambdaContext"]
    error = await kit.invoke(sandbox, 1)
    assert json.loads(error.payload)["stackTrace"] == [
        f'  File "{sandbox.spec.code_dir}/app.py", line 5, in handler\n    if event: raise ValueError("boom")\n'
    ]
    assert kit.log.count("\tw\n") == 2
