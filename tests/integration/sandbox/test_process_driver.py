"""The process driver: limits, kills, and that nothing outlives its sandbox."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox import process_tree
from jupyter_lambda.sandbox.base import SandboxSettings
from jupyter_lambda.sandbox.process import ProcessDriver
from jupyter_lambda.sandbox.sandboxes import Sandboxes

#: Starts a child of a child in a session of its own, which outlives a kill of the group.
STRAY = """
import os, subprocess, sys, time
def stray():
    code = "import os, time; os.setsid(); os.fork() and os._exit(0); print('away', flush=True); time.sleep(300)"
    subprocess.Popen([sys.executable, "-c", code]).wait()
"""


async def until(condition, timeout_s=5.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        await asyncio.sleep(0.01)


async def test_a_timeout_kills_the_sandbox_whole(kit):
    code = (
        STRAY
        + "def handler(event, context):\n    stray()\n    print('waits', end='', flush=True)\n    time.sleep(60)\n"
    )
    sandbox = await kit.ready(code)
    event = kit.event()
    outcome = await sandbox.invoke(event, 0.5)
    assert (outcome.kind, outcome.payload, outcome.reusable, outcome.delivered) == ("timeout", b"", False, True)
    assert 500 <= outcome.run_ms < 1500
    assert outcome.exit.signal == signal.SIGKILL
    assert b"waits" in sandbox.log_tail(event.request_id)
    assert "away" in kit.log
    assert kit.leftovers() == []
    assert not (kit.state_dir / "sandboxes" / sandbox.sandbox_id).exists()
    dead = await kit.invoke(sandbox)
    assert (dead.kind, dead.delivered) == ("exit", False)


async def test_what_an_ended_runtime_left_behind_goes_with_it(kit):
    code = STRAY + (
        "import threading\n"
        "def handler(event, context):\n"
        "    stray(); subprocess.Popen(['sleep', '300'])\n"
        "    threading.Timer(0.05, os._exit, [9]).start()\n"
    )
    sandbox = await kit.ready(code)
    assert (await kit.invoke(sandbox)).kind == "response"
    assert (await asyncio.wait_for(asyncio.shield(sandbox.exited), 5)).code == 9
    await sandbox.close()
    assert kit.leftovers() == []


async def test_too_much_memory_is_a_kill_and_said_to_be_one(kit):
    code = """
    import time
    def handler(event, context):
        keep = []
        for _ in range(60):
            keep.append(bytearray(b"x") * 10_000_000)
            time.sleep(0.02)
    """
    sandbox = await kit.ready(code, memory_mb=128)
    outcome = await kit.invoke(sandbox)
    assert (outcome.kind, outcome.exit.oom_killed, outcome.reusable) == ("oom", True, False)
    assert outcome.memory_used_mb == 128


async def test_memory_of_children_counts_but_shared_pages_only_once(kit):
    code = """
    import multiprocessing, os, time
    ballast = bytearray(b"x") * 60_000_000
    def idle(_): time.sleep(0.3)
    def eat(_):
        more = bytearray(b"y") * 60_000_000
        time.sleep(5)
    def handler(event, context):
        with multiprocessing.get_context("fork").Pool(4) as pool:
            pool.map(eat if event == "eat" else idle, range(4))
        return "fine"
    """
    sandbox = await kit.ready(code, memory_mb=160)
    assert (await kit.invoke(sandbox, "idle")).payload == b'"fine"'
    assert (await kit.invoke(sandbox, "eat")).kind == "oom"


async def test_a_flood_of_output_is_taken_and_the_other_sandboxes_go_on(kit):
    flood = """
    import os
    def handler(event, context):
        block = b"x" * 999 + b"\\n"
        for _ in range(50_000): os.write(1, block)
        print("last line")
    """
    quiet = await kit.ready("def handler(event, context): return 1")
    loud = await kit.ready(flood)
    event = kit.event()
    task = asyncio.create_task(loud.invoke(event, 60))
    slowest = 0.0
    while not task.done():
        slowest = max(slowest, (await kit.invoke(quiet)).run_ms)
    assert (await task).kind == "response"
    assert sum(len(data) for _, data in kit.written) == 50_000_000 + len("last line\n")
    assert loud.log_tail(event.request_id).endswith(b"x\nlast line\n")
    assert len(loud.log_tail(event.request_id)) == 4096
    assert slowest < 1000


async def test_cancel_ends_the_invocation(kit):
    sandbox = await kit.ready("import time\ndef handler(event, context): time.sleep(60)")
    task = asyncio.create_task(kit.invoke(sandbox, timeout_s=60))
    await asyncio.sleep(0.1)
    await sandbox.cancel()
    outcome = await asyncio.wait_for(task, 1)
    assert (outcome.kind, outcome.reusable) == ("cancelled", False)
    await sandbox.cancel()  # nothing runs: nothing happens


async def test_cancelling_the_task_kills_the_sandbox(kit):
    sandbox = await kit.ready("import time\ndef handler(event, context): time.sleep(60)")
    task = asyncio.create_task(kit.invoke(sandbox, timeout_s=60))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await asyncio.wait_for(asyncio.shield(sandbox.exited), 5)).signal == signal.SIGKILL


async def test_closing_while_busy_ends_the_invocation(kit):
    sandbox = await kit.ready("import time\ndef handler(event, context): time.sleep(60)")
    task = asyncio.create_task(kit.invoke(sandbox, timeout_s=60))
    await asyncio.sleep(0.05)
    await asyncio.gather(sandbox.close(), sandbox.close())
    assert (await asyncio.wait_for(task, 5)).kind == "exit"


async def test_freeze_and_thaw(kit):
    code = """
    import threading, time
    ticks = []
    def tick():
        while True:
            ticks.append(1); time.sleep(0.005)
    threading.Thread(target=tick, daemon=True).start()
    def handler(event, context): return len(ticks)
    """
    sandbox = await kit.ready(code)
    await sandbox.freeze()
    first = asyncio.create_task(kit.invoke(sandbox))
    await asyncio.sleep(0.2)
    assert not first.done()
    await sandbox.thaw()
    assert int((await first).payload) < 30
    await sandbox.freeze()
    await asyncio.wait_for(sandbox.close(), 5)


async def test_an_exit_while_idle_is_seen(kit):
    code = "import os, threading\ndef handler(event, context): threading.Timer(0.05, os._exit, [5]).start()"
    sandbox = await kit.ready(code)
    assert (await kit.invoke(sandbox)).kind == "response"
    end = await asyncio.wait_for(asyncio.shield(sandbox.exited), 5)
    assert (end.code, end.system) == (5, False)
    late = await kit.invoke(sandbox)
    assert (late.kind, late.delivered, late.exit.code) == ("exit", False, 5)


async def test_init_can_time_out_and_be_waited_for_again(kit):
    sandbox = await kit.start("import time; time.sleep(0.5)\ndef handler(event, context): return 1")
    assert (await sandbox.init(0.1)).kind == "timeout"
    assert (await sandbox.init(10)).kind == "ready"
    assert (await kit.invoke(sandbox)).payload == b"1"


async def test_many_at_once(kit):
    code = "import os\ndef handler(event, context):\n    print(event)\n    return [event, os.getpid()]"
    boxes = await asyncio.gather(*(kit.ready(code) for _ in range(12)))
    pids = set()
    for turn in range(20):
        outcomes = await asyncio.gather(*(kit.invoke(box, [turn, n]) for n, box in enumerate(boxes)))
        answers = [json.loads(outcome.payload) for outcome in outcomes]
        assert [answer[0] for answer in answers] == [[turn, n] for n in range(12)]
        pids |= {answer[1] for answer in answers}
    assert len(pids) == 12
    assert sorted(kit.log.split("\n")) == sorted(["", *(f"[{t}, {n}]" for t in range(20) for n in range(12))])


async def test_a_long_state_directory(tmp_path):
    state = tmp_path / ("long" * 20) / ("er" * 40)
    state.mkdir(parents=True)
    (state / "code").mkdir()
    (state / "code/app.py").write_text(
        "import os, urllib.request\n"
        "def handler(e, c):\n"
        "    try: urllib.request.urlopen(os.environ['AWS_ENDPOINT_URL'], timeout=5)\n"
        "    except urllib.error.HTTPError as exc: return exc.code\n"
    )
    driver = ProcessDriver(SandboxSettings(state, "i", "e"))
    await driver.open()
    boxes = Sandboxes(driver, state)
    from jupyter_lambda.sandbox.base import RuntimeEvent, SandboxSpec

    spec = SandboxSpec(
        "ab" * 8, "f", "1", 256, 512, "app.handler", {"_HANDLER": "app.handler"}, state / "code", (), "host",
        Path(sys.executable),
    )  # fmt: skip
    sandbox = await boxes.start(spec, lambda _, data: None)
    assert (await sandbox.init()).kind == "ready"
    assert (await sandbox.invoke(RuntimeEvent("r", b"1", "arn", 0), 5)).payload == b"404"
    with pytest.raises(DriverError, match="File exists"):
        await boxes.start(spec, lambda _, data: None)
    assert (await sandbox.invoke(RuntimeEvent("s", b"1", "arn", 0), 5)).payload == b"404"
    await boxes.close()
    await driver.close()


async def test_what_cannot_be_started_says_why(kit, tmp_path):
    with pytest.raises(DriverError, match="needs Docker"):
        await kit.start("", kind="image", image="mine")
    with pytest.raises(DriverError, match="no/python: No such file"):
        await kit.start("", interpreter=tmp_path / "no/python")
    assert list((kit.state_dir / "sandboxes").iterdir()) == []


async def test_cancelling_a_start_leaves_nothing(kit):
    for delay_s in (0, 0.001, 0.004, 0.02):
        start = asyncio.create_task(kit.start("import time; time.sleep(60)"))
        await asyncio.sleep(delay_s)
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
    await kit.sandboxes.close()
    assert kit.leftovers() == []


async def test_limits_of_a_process(kit):
    code = """
    import resource
    def handler(event, context):
        names = ("RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_FSIZE")
        own = [resource.getrlimit(getattr(resource, name))[0] for name in names]
        with open("/proc/self/oom_score_adj") as f: own.append(int(f.read()))
        try:
            with open(event, "wb") as f: f.truncate(600 << 20)
        except OSError as exc: own.append(exc.strerror)
        return own
    """
    sandbox = await kit.ready(code)
    path = kit.state_dir / "sandboxes" / sandbox.sandbox_id / "tmp/big"
    answer = json.loads((await kit.invoke(sandbox, str(path))).payload)
    assert answer == [0, 1024, 512 << 20, 500, "File too large"]


async def test_probe_says_what_is_not_isolated(kit):
    findings = await kit.driver.probe()
    assert [f.subject for f in findings if f.level == "warning"] == ["isolation", "ephemeral storage"]
    assert await kit.driver.image_exists("any") is None
    assert kit.driver.isolated is False


ENGINE = """
import asyncio, sys
from pathlib import Path
from jupyter_lambda.sandbox.base import RuntimeEvent, SandboxSettings, SandboxSpec
from jupyter_lambda.sandbox.process import ProcessDriver
from jupyter_lambda.sandbox.sandboxes import Sandboxes

async def main():
    state = Path(sys.argv[1])
    driver = ProcessDriver(SandboxSettings(state, "i", "e"))
    await driver.open()
    boxes = Sandboxes(driver, state)
    for n in range(3):
        spec = SandboxSpec(f"{n:016x}", "f", "1", 256, 512, "app.handler", {"_HANDLER": "app.handler"}, state / "code",
                           interpreter=Path(sys.executable))
        sandbox = await boxes.start(spec, lambda _, data: None)
        assert (await sandbox.init()).kind == "ready"
        assert (await sandbox.invoke(RuntimeEvent("r", b"1", "arn", 0), 5)).kind == "response"
        if n == 1:
            await sandbox.freeze()
    print("up", flush=True)
    await asyncio.sleep(300)

asyncio.run(main())
"""


async def test_a_killed_engine_leaves_no_process_and_its_successor_no_directory(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code/app.py").write_text(textwrap.dedent(STRAY) + "def handler(e, c): stray()\n")
    marker = process_tree.marker_of(str(tmp_path / "sandboxes"))
    root = Path(process_tree.__file__).parents[2]
    engine = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", ENGINE, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    with engine:
        assert await asyncio.to_thread(engine.stdout.readline) == b"up\n"
        assert len(list(process_tree.marked(marker))) >= 6
        engine.kill()
        await until(lambda: not list(process_tree.marked(marker)))
    assert len(list((tmp_path / "sandboxes").iterdir())) == 3
    foreign = tmp_path / "sandboxes/of-another-driver"
    (foreign / "mounted").mkdir(parents=True)
    # Killed between making the directory and starting the process.
    (tmp_path / "sandboxes/empty").mkdir()
    (tmp_path / "sandboxes/early/run").mkdir(parents=True)
    stray = await asyncio.to_thread(subprocess.Popen, ["sleep", "300"], env={"TMPDIR": f"{tmp_path}/sandboxes/x/tmp/"})
    driver = ProcessDriver(SandboxSettings(tmp_path, "i", "e2"))
    await driver.open()
    assert stray.wait(5) == -signal.SIGKILL
    assert list((tmp_path / "sandboxes").iterdir()) == [foreign]
    await driver.close()


async def test_the_tcp_transport(tmp_path):
    """What a container gets where sockets can't cross: the runtime over TCP, with the sandbox's token in the path."""

    class TcpDriver(ProcessDriver):
        def _environment(self, *args):
            environment = super()._environment(*args)
            port, _, token = (args[2] / "endpoint").read_text().partition("/")
            return {**environment, "JUPYTER_LAMBDA_SOCKET": "", "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}/{token}"}

    from jupyter_lambda.sandbox.base import RuntimeEvent, SandboxSpec

    (tmp_path / "app.py").write_text("def handler(event, context): return event")
    driver = TcpDriver(SandboxSettings(tmp_path, "i", "e"))
    await driver.open()
    boxes = Sandboxes(driver, tmp_path, transport="tcp")
    spec = SandboxSpec(
        "0" * 16, "f", "1", 256, 512, "", {"_HANDLER": "app.handler"}, tmp_path, interpreter=Path(sys.executable)
    )
    sandbox = await boxes.start(spec, lambda _, data: None)
    assert (await sandbox.init()).kind == "ready"
    assert (await sandbox.invoke(RuntimeEvent("r", b"[1]", "arn", 0), 5)).payload == b"[1]"
    port = (tmp_path / "sandboxes" / ("0" * 16) / "endpoint").read_text().partition("/")[0]
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    writer.write(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 403")
    writer.close()
    await boxes.close()
    await driver.close()
