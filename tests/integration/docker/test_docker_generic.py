"""Generic containers: adopted, one is in everything that a function can see what a fresh one would have been."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.base import GenericSpec, SandboxSpec
from jupyter_lambda.sandbox.docker.cgroup import Cgroup
from jupyter_lambda.sandbox.docker.scratch import MB
from jupyter_lambda.sandbox.sandbox import Sandbox

from .conftest import OBEDIENT, Bench

pytestmark = pytest.mark.docker
needs_root = pytest.mark.skipif("os.geteuid() != 0", reason="control groups and mounts need root")
VARIABLES = {"LANG": "en_US.UTF-8", "TZ": ":UTC", "COLOUR": "blue", "AWS_SECRET_ACCESS_KEY": "hush"}
#: All that a function can see of where it is.
LOOK = """
import locale, logging, resource, signal, threading
result = {
    "environ": dict(os.environ), "cwd": os.getcwd(), "path": sys.path, "argv": sys.argv, "flags": repr(sys.flags),
    "listing": {p: sorted(os.listdir(p)) for p in ("/", "/var/task", "/opt", "/tmp", "/run/jl", "/var/runtime")},
    "writing": {p: attempt(lambda: open(p + "/x", "w")) for p in ("/", "/var/task", "/opt", "/run/jl", "/var/runtime")},
    "limits": {k: resource.getrlimit(getattr(resource, k)) for k in dir(resource) if k.startswith("RLIMIT_")},
    "status": [l for l in open("/proc/self/status") if l.startswith(("Cap", "NoNew", "Seccomp:", "Umask"))],
    "oom": open("/proc/self/oom_score_adj").read(), "cmdline": open("/proc/self/cmdline").read(),
    "mounts": sorted(set(l.split()[1] for l in open("/proc/mounts")) - {"/opt"}),  # generic: always its own
    "sizes": {p: os.statvfs(p).f_blocks * os.statvfs(p).f_frsize for p in ("/tmp", "/dev/shm")},
    "descriptors": sorted(os.readlink(f"/proc/self/fd/{n}").partition(":")[0] for n in os.listdir("/proc/self/fd")
                          if os.path.exists(f"/proc/self/fd/{n}") and not "anon" in os.readlink(f"/proc/self/fd/{n}")),
    "threads": threading.active_count(), "signals": {s.name: str(signal.getsignal(s)) for s in signal.Signals},
    "locale": [locale.setlocale(locale.LC_CTYPE), sys.stdout.encoding, sys.getfilesystemencoding(), time.tzname],
    "finders": [getattr(f, "__name__", type(f).__name__) for f in sys.meta_path],
    "logging": [type(h).__name__ for h in logging.getLogger().handlers], "level": logging.getLogger().level,
    "modules": sorted(n for n in sys.modules if n != "_lambda_runtime.generic"),
}
"""


def generic(**changes: Any) -> GenericSpec:
    values: dict[str, Any] = {
        "sandbox_id": secrets.token_hex(8), "interpreter": Path(sys.executable), "network": "none", "memory_mb": 256,
        **changes,
    }  # fmt: skip
    return GenericSpec(**values)


async def adopt(bench: Bench, box: Sandbox, **changes: Any) -> SandboxSpec:
    spec = bench.spec(**{"sandbox_id": box.sandbox_id, "environment": VARIABLES, **changes})
    await box.adopt(spec, lambda _, data: bench.output.append(data))
    outcome = await box.init()
    assert outcome.kind == "ready", (outcome, bench.output)
    return spec


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    path = tmp_path / "state/packages/layer"
    (path / "python").mkdir(parents=True)
    (path / "python/shared.py").write_text("WHO = 'layer'")
    (path / "bin").mkdir()
    return path


async def test_as_a_fresh_start(bench: Bench, layer: Path) -> None:
    """Everything a function can see is the same, whichever way its container came to it."""
    for changes in ({"memory_mb": 512}, {"memory_mb": 128, "layer_dirs": (layer,)}):
        fresh = await bench.start(environment=VARIABLES, **changes)
        seen = await bench.run(fresh, LOOK)
        box = await bench.sandboxes.prepare(generic())
        await adopt(bench, box, **changes)
        also = await bench.run(box, LOOK)
        for name, value in seen.items():
            assert also[name] == value, name
        assert also["environ"]["COLOUR"] == "blue"
        assert set(also["writing"].values()) == {"EROFS"}
        await asyncio.gather(fresh.close(), box.close())


async def test_several_layers(bench: Bench, layer: Path) -> None:
    other = layer.parent / "other"
    (other / "python").mkdir(parents=True)
    (other / "python/second.py").write_text("WHO = 'other'")
    box = await bench.sandboxes.prepare(generic())
    await adopt(bench, box, layer_dirs=(layer, other))
    assert await bench.run(box, "import shared, second; result = [shared.WHO, second.WHO]") == ["layer", "other"]


@needs_root
async def test_limits_are_the_functions(bench: Bench, api: docker.APIClient) -> None:
    """Memory and CPU, read from the control group; up, down, and enforced."""
    for memory_mb in (128, 3008):
        box = await bench.sandboxes.prepare(generic(memory_mb=512))
        await adopt(bench, box, memory_mb=memory_mb)
        group: Cgroup = bench.process(box)._cgroup
        assert int(group.limit_file.read_text()) == memory_mb * MB
        if group.version == 1:
            assert int((group.memory / "memory.memsw.limit_in_bytes").read_text()) == memory_mb * MB
            assert int(group.quota_file.read_text()) == round(memory_mb / 1769 * 20_000)
            assert int((group.cpu / "cpu.shares").read_text()) == round(memory_mb / 1769 * 1024)
        if memory_mb == 128:
            outcome = await bench.invoke(box, {"source": "x = bytearray(200_000_000); result = sum(x)"})
            assert outcome.kind == "oom"
            assert outcome.memory_used_mb == 128
        await box.close()


@needs_root
async def test_peak_memory_is_the_functions(bench: Bench, tmp_path: Path) -> None:
    """What importing ahead used for a moment does not count."""
    box = await bench.sandboxes.prepare(generic(memory_mb=512))
    before = bench.process(box).memory_peak_mb()
    await adopt(bench, box, memory_mb=512)
    outcome = await bench.invoke(box, {"source": "x = bytearray(60_000_000); result = len(x)"})
    assert outcome.memory_used_mb is not None
    assert before + 50 <= outcome.memory_used_mb <= before + 80


async def test_adopted_once(bench: Bench) -> None:
    box = await bench.sandboxes.prepare(generic())
    await adopt(bench, box)
    with pytest.raises(DriverError, match="has its function already"):
        await adopt(bench, box)
    with pytest.raises(DriverError, match="has its function already"):
        await bench.process(box).adopt(bench.spec(sandbox_id=box.sandbox_id))
    fresh = await bench.start()
    with pytest.raises(DriverError, match="has its function already"):
        await adopt(bench, fresh)


async def test_only_by_functions_of_its_kind(bench: Bench) -> None:
    box = await bench.sandboxes.prepare(generic())
    for changes in (
        {"sandbox_id": secrets.token_hex(8)}, {"ephemeral_storage_mb": 1024}, {"network": "egress"},
        {"interpreter": Path("/usr/bin/python3")}, {"environment": {**VARIABLES, "LD_PRELOAD": "x.so"}},
    ):  # fmt: skip
        with pytest.raises(DriverError, match=r"start it afresh|another kind"):
            await adopt(bench, box, **changes)
    await adopt(bench, box)  # a refusal leaves it as it was


async def test_libraries_of_the_package_are_found(bench: Bench, layer: Path) -> None:
    """The linker remembers which directories were not there when the process started."""
    source = next(Path("/usr/lib").rglob("libz.so.1"))  # noqa: ASYNC240
    package = bench.state_dir / "packages/libraries"
    (package / "lib").mkdir(parents=True)
    (package / "app.py").write_text(OBEDIENT)
    (package / "lib/libfirst.so").write_bytes(source.resolve().read_bytes())
    (layer / "lib").mkdir()
    (layer / "lib/libsecond.so").write_bytes(source.resolve().read_bytes())
    (package / "libthird.so").write_bytes(source.resolve().read_bytes())
    box = await bench.sandboxes.prepare(generic())
    await adopt(bench, box, code_dir=package, layer_dirs=(layer,))
    for name in ("libfirst.so", "libsecond.so", "libthird.so"):
        assert await bench.run(box, f"ctypes.CDLL({name!r}); result = 1") == 1


async def test_libraries_for_certain_processors_start_afresh(bench: Bench) -> None:
    package = bench.state_dir / "packages/hardware"
    (package / "lib/glibc-hwcaps/x86-64-v3").mkdir(parents=True)
    assert not bench.sandboxes.can_adopt(bench.spec(code_dir=package, environment=VARIABLES), ())
    box = await bench.sandboxes.prepare(generic())
    with pytest.raises(DriverError, match="start it afresh"):
        await adopt(bench, box, code_dir=package)


async def test_it_dies_while_it_waits(bench: Bench, api: docker.APIClient) -> None:
    box = await bench.sandboxes.prepare(generic())
    api.kill(f"jl-{box.sandbox_id}")
    await asyncio.wait_for(box.exited, 10)
    with pytest.raises(DriverError, match="can't be adopted"):
        await adopt(bench, box)


async def test_it_never_becomes_ready(bench: Bench, api: docker.APIClient) -> None:
    """A module that ends the process ends the preparation, and nothing is left."""
    with pytest.raises(DriverError, match="ended before it was ready"):
        await bench.sandboxes.prepare(generic(imports=("antigravity_that_is_not_there", "ctypes.util"), memory_mb=6))
    label = f"jupyter-lambda.installation={bench.settings.installation_id}"
    assert api.containers(all=True, filters={"label": label}) == []


async def test_nothing_to_be_had_on_the_private_routes(bench: Bench) -> None:
    """A function can't get another assignment, nor report imports once it runs; what others were told is not there."""
    box = await bench.sandboxes.prepare(generic())
    await adopt(bench, box)
    fresh = await bench.start()
    for sandbox in (box, fresh):
        for path, body in (("assignment", {"modules": [], "failed": []}), ("imports", {"imports": [], "import_ms": 1})):
            source = f"""
import http.client
connection = http.client.HTTPConnection("127.0.0.1", 9001)
connection.request("POST", "/_sandbox/{path}", {json.dumps(json.dumps(body))})
answer = connection.getresponse()
result = [answer.status, answer.read().decode()]
"""
            status, text = await bench.run(sandbox, source)
            assert status == 403
            assert "hush" not in text
    # What it was started with, before there was a function, holds nothing of one either.
    assert "hush" not in await bench.run(box, "result = open('/proc/self/environ').read()")
    assert "hush" not in await bench.run(box, "result = open('/proc/1/environ').read()")


async def test_imports_are_learned_and_paid_once(bench: Bench) -> None:
    """A function that imports pandas: the first reports it, the next finds it imported."""
    pytest.importorskip("pandas")
    package = bench.state_dir / "packages/pandas"
    package.mkdir(parents=True)
    (package / "app.py").write_text("import pandas\n" + OBEDIENT)
    spec = bench.spec(code_dir=package, environment=VARIABLES)
    fresh = await bench.sandboxes.start(spec, lambda _, data: None)
    learned = await fresh.init()
    assert {"numpy", "pandas"} <= set(learned.imports), learned
    assert learned.import_ms > 20
    wanted = generic(imports=learned.imports)
    box = await bench.sandboxes.prepare(wanted)
    function = bench.spec(code_dir=package, environment=VARIABLES)
    assert bench.sandboxes.can_adopt(function, wanted.imports)
    await adopt(bench, box, code_dir=package)
    both = [await bench.run(b, LOOK + "result['pandas'] = pandas.Series([1, 2]).sum().item()") for b in (fresh, box)]
    for result in both:
        result.pop("modules")  # those of the other's LOOK itself, at another time
    assert both[0] == both[1]
    assert bench.output == []
    with_threads = bench.spec(code_dir=package, environment={**VARIABLES, "OMP_NUM_THREADS": "1"})
    assert not bench.sandboxes.can_adopt(with_threads, wanted.imports)
    assert bench.sandboxes.can_adopt(with_threads, ())


async def test_a_frozen_one_can_be_adopted(bench: Bench) -> None:
    box = await bench.sandboxes.prepare(generic())
    await box.freeze()
    await adopt(bench, box)
    assert await bench.run(box, "result = 1") == 1


@needs_root
async def test_without_mounting(bench: Bench, layer: Path) -> None:
    """As for an engine that is not root: links into the slot, limits through Docker."""
    fresh = await bench.start(environment=VARIABLES, layer_dirs=(layer,))
    seen = await bench.run(fresh, LOOK)
    adopter = bench.driver._adopter
    bench.driver._adopter = type(adopter)(adopter.client, adopter.layers, None)
    box = await bench.sandboxes.prepare(generic())
    bench.process(box)._control = None
    await adopt(bench, box, layer_dirs=(layer,), memory_mb=256)
    also = await bench.run(box, LOOK)
    assert also == seen
    assert int(bench.process(box)._cgroup.limit_file.read_text()) == 256 * MB


async def test_egress(bench: Bench) -> None:
    box = await bench.sandboxes.prepare(generic(network="egress"))
    await adopt(bench, box, network="egress")
    assert await bench.run(box, "result = sorted(os.listdir('/sys/class/net'))") == ["eth0", "lo"]


@needs_root
async def test_nothing_is_mounted_on_the_host(make_bench: Callable[..., Bench], tmp_path: Path) -> None:
    """So that an engine that is killed leaves nothing to unmount."""
    bench = make_bench(tmp_path / "state")
    await bench.driver.open()
    try:
        box = await bench.sandboxes.prepare(generic())
        await adopt(bench, box)
        assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()  # noqa: ASYNC240
    finally:
        await bench.close()


KILLED_ENGINE = """
import asyncio, os, pathlib, signal, sys
sys.path.insert(0, {root!r})
from tests.integration.docker import test_docker_generic as t
from tests.integration.docker.conftest import Bench

async def main():
    bench = Bench(pathlib.Path({state!r}), {installation!r})
    await bench.driver.open()
    waiting, adopted = [await bench.sandboxes.prepare(t.generic()) for _ in "12"]
    await t.adopt(bench, adopted)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@needs_root
async def test_a_killed_engine_leaves_nothing_mounted(
    make_bench: Callable[..., Bench], api: docker.APIClient, tmp_path: Path
) -> None:
    state, installation = tmp_path / "killed", secrets.token_hex(16)
    root = str(Path(__file__).parents[3])
    source = KILLED_ENGINE.format(root=root, state=str(state), installation=installation)
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", source)
    assert await killed.wait() == -signal.SIGKILL
    heir = make_bench(state, installation)
    label = f"jupyter-lambda.installation={installation}"
    # At once, before anybody has swept.
    assert str(state) not in Path("/proc/self/mountinfo").read_text()  # noqa: ASYNC240
    await heir.driver.open()
    try:
        assert api.containers(all=True, filters={"label": label}) == []
        assert list((state / "sandboxes").iterdir()) == []
    finally:
        await heir.close()
