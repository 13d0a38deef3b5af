"""How sandboxes end, stand still, and go; what is left of a killed engine; and that nobody touches another's."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import docker
import pytest

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.docker.profile import cpus

pytestmark = pytest.mark.docker
needs_root = pytest.mark.skipif("os.geteuid() != 0", reason="control groups, mounts and firewalls need root")


def ours(api: docker.APIClient, bench: Any) -> list[str]:
    label = f"jupyter-lambda.installation={bench.settings.installation_id}"
    return [container["Id"] for container in api.containers(all=True, filters={"label": label})]


def output_of(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("code", "expected"), [("os._exit(0)", 0), ("os._exit(7)", 7), ("sys.exit(3)", 3), ("os._exit(255)", 255)]
)
async def test_exit_codes(bench: Any, code: str, expected: int) -> None:
    sandbox = await bench.start()
    outcome = await bench.invoke(sandbox, {"source": code})
    assert outcome.kind in ("exit", "error"), "sys.exit is caught by the runtime, which reports it first"
    end = await asyncio.wait_for(bench.process(sandbox).wait(), 5) if outcome.kind == "exit" else None
    if end is not None:
        assert (end.code, end.signal, end.oom_killed, end.system) == (expected, None, False, False)


async def test_signals(bench: Any) -> None:
    sandbox = await bench.start()
    outcome = await bench.invoke(sandbox, {"source": "os.kill(os.getpid(), 11)"})
    assert outcome.kind == "exit"
    assert (outcome.exit.code, outcome.exit.signal) == (None, signal.SIGSEGV)


async def test_out_of_memory(bench: Any) -> None:
    sandbox = await bench.start(memory_mb=128)
    outcome = await bench.invoke(sandbox, {"source": "x = bytearray(300 << 20)"})
    assert outcome.kind == "oom"
    assert outcome.exit.oom_killed
    assert not outcome.exit.system
    assert outcome.memory_used_mb == 128


async def test_a_child_alone_out_of_memory(bench: Any) -> None:
    """The function goes on, and ends by itself: its exit code is its own, and the kill is told beside it."""
    sandbox = await bench.start(memory_mb=128)
    answer = await bench.run(sandbox, textwrap.dedent("""
        done = subprocess.run([sys.executable, "-c", "x = bytearray(300 << 20)"], capture_output=True)
        result = done.returncode
    """))  # fmt: skip
    assert answer == -9
    outcome = await bench.invoke(sandbox, {"source": "os._exit(0)"})
    assert (outcome.exit.code, outcome.exit.oom_killed, outcome.exit.system) == (0, True, False)


async def test_killed_from_outside_is_no_fault_of_the_function(bench: Any, api: docker.APIClient) -> None:
    sandbox = await bench.start()
    api.kill(f"jl-{sandbox.sandbox_id}")
    end = await asyncio.wait_for(bench.process(sandbox).wait(), 5)
    assert end.system
    assert not end.oom_killed


async def test_freeze_stops_and_thaw_goes_on(bench: Any) -> None:
    sandbox = await bench.start()
    await bench.run(sandbox, textwrap.dedent("""
        import threading
        def tick():
            while True:
                with open("/tmp/ticks", "a") as file:
                    file.write(".")
                time.sleep(0.005)
        threading.Thread(target=tick, daemon=True).start()
    """))  # fmt: skip
    count = "result = os.path.getsize('/tmp/ticks')"
    while await bench.run(sandbox, count) < 3:
        await asyncio.sleep(0.01)
    await sandbox.freeze()
    before = time.perf_counter()
    await asyncio.sleep(0.3)
    await sandbox.thaw()
    frozen_s = time.perf_counter() - before
    ticks = await bench.run(sandbox, count)
    assert ticks < frozen_s / 0.005 / 2 + 60, "it did not tick on while frozen"


async def test_a_frozen_sandbox_uses_no_cpu(bench: Any) -> None:
    """By the kernel's own account, though a thread of it spins."""
    sandbox = await bench.start()
    await bench.run(sandbox, "import threading; threading.Thread(target=lambda: exec('while True: pass')).start()")
    group = bench.process(sandbox)._cgroup
    pids = (group.memory / "cgroup.procs").read_text().split()

    def used_ticks() -> int:
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
        return sum(int(stat[11]) + int(stat[12]) for stat in stats)

    before = used_ticks()
    while used_ticks() <= before:
        await asyncio.sleep(0.02)
    await sandbox.freeze()
    while not group.frozen():
        await asyncio.sleep(0.001)
    before = used_ticks()
    await asyncio.sleep(0.3)
    assert used_ticks() == before
    await sandbox.thaw()
    while used_ticks() <= before:
        await asyncio.sleep(0.02)


async def test_freezing_what_has_ended(bench: Any, api: docker.APIClient) -> None:
    sandbox = await bench.start()
    await asyncio.to_thread(api.kill, f"jl-{sandbox.sandbox_id}")
    await asyncio.wait_for(sandbox.exited, 10)
    for act in (sandbox.freeze, sandbox.thaw):
        with pytest.raises(DriverError, match="can't be"):
            await act()


async def test_killed_while_frozen(bench: Any, api: docker.APIClient) -> None:
    sandbox = await bench.start()
    await sandbox.freeze()
    before = time.perf_counter()
    await sandbox.close()
    assert time.perf_counter() - before < 5
    assert ours(api, bench) == []


async def test_kill_is_idempotent_and_leaves_nothing(bench: Any, api: docker.APIClient) -> None:
    sandbox = await bench.start()
    process = bench.process(sandbox)
    directory = bench.state_dir / "sandboxes" / sandbox.sandbox_id
    assert directory.exists()
    await asyncio.gather(process.kill(), process.kill())
    await process.kill()
    end = await process.wait()
    assert (end.signal, end.system) == (9, False)
    assert not directory.exists()
    assert ours(api, bench) == []
    assert str(bench.state_dir) not in Path("/proc/self/mountinfo").read_text()  # noqa: ASYNC240


#: Says what CPU quota it had while it initialised (the engine raises it just after the start), and what it has now.
QUOTAS = """
import os, time
def quota():
    v1 = "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"
    return int(open(v1 if os.path.exists(v1) else "/sys/fs/cgroup/cpu.max").read().split()[0])
deadline = time.monotonic() + 5
while quota() != 20_000 and time.monotonic() < deadline:
    time.sleep(0.01)
AT_INIT = quota()
def handler(event, context):
    return [AT_INIT, quota()]
"""


@needs_root
async def test_cpu_of_initialisation_and_after(bench: Any, tmp_path: Path) -> None:
    code = tmp_path / "quotas"
    code.mkdir()
    (code / "quotas.py").write_text(QUOTAS)
    sandbox = await bench.start(memory_mb=256, code_dir=code, handler="quotas.handler")
    at_init, now = json.loads((await bench.invoke(sandbox, None)).payload)
    assert at_init == 20_000, "one CPU to initialise with"
    assert now == round(cpus(256) * 20_000), "then the share of its memory"


@needs_root
async def test_memory_peak(bench: Any) -> None:
    sandbox = await bench.start(memory_mb=256)
    process = bench.process(sandbox)
    before = process.memory_peak_mb()
    await bench.run(sandbox, "x = bytearray(100 << 20)")
    assert process.memory_peak_mb() >= before + 50
    assert process.memory_peak_mb() <= 256


async def test_a_bootstrap_of_its_own(bench: Any, tmp_path: Path) -> None:
    code = tmp_path / "custom"
    code.mkdir()
    program = code / "bootstrap"
    program.write_text(textwrap.dedent("""\
        #!/bin/sh
        api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
        while true; do
            event=$(curl -sS -D /tmp/headers "$api/next")
            id=$(grep -i '^lambda-runtime-aws-request-id' /tmp/headers | tr -d '\\r' | cut -d' ' -f2)
            curl -sS -d "{\\"got\\": $event}" "$api/$id/response" > /dev/null
        done
    """))  # fmt: skip
    program.chmod(0o755)
    sandbox = await bench.start(code_dir=code, interpreter=None, handler="anything")
    outcome = await bench.invoke(sandbox, [1, 2])
    assert json.loads(outcome.payload) == {"got": [1, 2]}


async def test_layers(bench: Any, tmp_path: Path) -> None:
    for name, content in (("one", "first"), ("two", "second")):
        package = tmp_path / name / "python" / "shared"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / f"{name}.py").write_text(f"value = {content!r}")
        (package / "both.py").write_text(f"value = {content!r}")
    sandbox = await bench.start(layer_dirs=(tmp_path / "one", tmp_path / "two"))
    answer = await bench.run(sandbox, textwrap.dedent("""
        from shared import one, two, both
        result = [one.value, two.value, both.value, attempt(lambda: open("/opt/python/x", "w"))]
    """))  # fmt: skip
    assert answer[:3] == ["first", "second", "second"], "later layers win"
    assert answer[3] in ("EROFS", "EACCES")


async def test_a_cancelled_start_leaves_nothing(bench: Any, api: docker.APIClient) -> None:
    task = asyncio.ensure_future(bench.sandboxes.start(bench.spec(), lambda *_: None))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while bench.driver._undoing:
        await asyncio.sleep(0.02)
    assert ours(api, bench) == []


async def test_a_failed_start_leaves_nothing(bench: Any, api: docker.APIClient, tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="create"):
        await bench.start(code_dir=tmp_path / "nowhere")
    assert ours(api, bench) == []
    assert not list((bench.state_dir / "sandboxes").iterdir())


async def test_why_a_runtime_did_not_start_is_told(bench: Any) -> None:
    """What is written before the log is open reaches it all the same."""
    wrong = bench.spec(environment={"LD_PRELOAD": "/no/such/library.so"})
    sandbox = await bench.sandboxes.start(wrong, lambda _, data: bench.output.append(data))
    await sandbox.init()
    await bench.invoke(sandbox, {"source": "os._exit(1)"})
    assert b"/no/such/library.so" in b"".join(bench.output)


KILLED_ENGINE = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
import importlib.util
spec = importlib.util.spec_from_file_location("bench", {conftest!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

async def main():
    bench = module.Bench(Path({state!r}), {installation!r})
    await bench.driver.open()
    plain, frozen = await asyncio.gather(bench.start(network="egress"), bench.start())
    await bench.start(kind="image", image={image!r}, code_dir=None, interpreter=None)
    await frozen.freeze()
    asyncio.ensure_future(bench.start())
    await asyncio.sleep(0.03)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@needs_root
async def test_a_killed_engine_is_swept_and_nobody_else(
    make_bench: Any, api: docker.APIClient, function_image: str, tmp_path: Path
) -> None:
    state, installation = tmp_path / "killed", secrets.token_hex(16)
    other = make_bench(tmp_path / "other")
    await other.driver.open()
    bystander = await other.start(network="egress")
    source = KILLED_ENGINE.format(
        root=str(Path(__file__).parents[3]), conftest=str(Path(__file__).with_name("conftest.py")), state=str(state),
        installation=installation, image=function_image,
    )  # fmt: skip
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", source)
    assert await killed.wait() == -signal.SIGKILL
    heir = make_bench(state, installation)
    assert len(ours(api, heir)) >= 4
    before = time.perf_counter()
    await heir.driver.open()
    assert time.perf_counter() - before < 15
    try:
        assert ours(api, heir) == []
        label = {"label": f"jupyter-lambda.installation={installation}"}
        assert api.networks(filters=label) == []
        assert not api.volumes(filters=label)["Volumes"]
        assert str(state) not in Path("/proc/self/mountinfo").read_text()  # noqa: ASYNC240
        assert str(state) not in output_of("losetup", "--list")
        assert list((state / "sandboxes").iterdir()) == []
        rules = output_of("iptables", "-S")
        assert installation[:10] not in rules
        assert other.settings.installation_id[:10] in rules
        assert await other.run(bystander, "result = 'alive'") == "alive"
        assert await heir.run(await heir.start(), "result = 1") == 1
    finally:
        await heir.close()
        await other.close()
    assert ours(api, heir) == ours(api, other) == []
    assert str(tmp_path) not in output_of("losetup", "--list")


async def test_findings_of_a_driver_that_is_not_open_touch_nothing(bench: Any, make_bench: Any) -> None:
    """`doctor` runs beside an engine of the same installation."""
    sandbox = await bench.start()
    doctor = make_bench(bench.state_dir, bench.settings.installation_id)
    findings = await doctor.driver.probe()
    await doctor.driver.close()
    assert await bench.run(sandbox, "result = 'alive'") == "alive"
    by_subject = {finding.subject: finding for finding in findings}
    assert by_subject["docker"].level == "ok"
    assert all(finding.text and (finding.advice or finding.level == "ok") for finding in findings)
    assert bench.driver.limits_enforced == (by_subject["memory limit"].level == "ok")


async def test_no_docker_there(make_bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    bench = make_bench(tmp_path / "state")
    with pytest.raises(DriverError, match="can't be reached"):
        await bench.driver.open()
    (finding,) = await bench.driver.probe()
    assert finding.level == "error"
    assert "systemctl start docker" in finding.text
    await bench.driver.close()
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["packages"]
