"""Generic sandboxes of the process driver: adopted, one is in everything what a fresh one would have been."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.base import GenericSpec
from jupyter_lambda.sandbox.sandbox import Sandbox

from .conftest import Kit

VARIABLES = {"LANG": "en_US.UTF-8", "TZ": ":UTC", "COLOUR": "blue"}
APP = """
import os, resource, sys, time
def handler(event, context):
    if event:
        scope = {}
        exec(event, globals(), scope)
        return scope["result"]
    print("said")
    return {
        "environ": {k: v for k, v in os.environ.items() if "AWS_" not in k}, "cwd": os.getcwd(), "path": sys.path,
        "argv": sys.argv, "flags": repr(sys.flags), "zone": time.tzname,
        "limits": [resource.getrlimit(r) for r in (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)],
        "finders": [getattr(f, "__name__", type(f).__name__) for f in sys.meta_path],
        "modules": sorted(n for n in sys.modules if n != "_lambda_runtime.generic"),
    }
"""


def generic(**changes: Any) -> GenericSpec:
    return GenericSpec(secrets.token_hex(8), Path(sys.executable), "none", 256, **changes)


async def adopt(kit: Kit, box: Sandbox, files: Any = APP, **changes: Any) -> None:
    spec = kit.spec(files, **{"environment": VARIABLES, **changes})
    spec = type(spec)(**{name: getattr(spec, name) for name in spec.__slots__} | {"sandbox_id": box.sandbox_id})
    await box.adopt(spec, lambda request_id, data: kit.written.append((request_id, data)))
    outcome = await box.init(20)
    assert outcome.kind == "ready", (outcome, kit.log)


def without(text: bytes, *parts: str) -> Any:
    for part in parts:
        text = text.replace(part.encode(), b"#")
    return json.loads(text)


async def test_as_a_fresh_start(kit: Kit) -> None:
    fresh = await kit.ready(APP, environment=VARIABLES)
    seen = await kit.invoke(fresh)
    box = await kit.sandboxes.prepare(generic())
    await adopt(kit, box)
    also = await kit.invoke(box)
    told = [without(outcome.payload, s.sandbox_id, s.spec.code_dir.name) for outcome, s in ((seen, fresh), (also, box))]
    assert told[0] == told[1]
    assert kit.log == "said\nsaid\n"


async def test_adopted_once(kit: Kit) -> None:
    box = await kit.sandboxes.prepare(generic())
    await adopt(kit, box)
    with pytest.raises(DriverError, match="has its function already"):
        await adopt(kit, box)


async def test_layers(kit: Kit) -> None:
    layer = kit.package({"python/shared.py": "WHO = 'layer'"})
    box = await kit.sandboxes.prepare(generic())
    await adopt(kit, box, layer_dirs=(layer,))
    outcome = await kit.invoke(box, "import shared; result = shared.WHO")
    assert outcome.payload == b'"layer"'


async def test_a_package_with_libraries_starts_afresh(kit: Kit) -> None:
    """The linker would not find them: it was told where to look when the process started."""
    spec = kit.spec({"app.py": APP, "lib/libown.so.1": "elf"}, environment=VARIABLES)
    assert not kit.sandboxes.can_adopt(spec, ())
    assert kit.sandboxes.can_adopt(kit.spec(APP, environment=VARIABLES), ())
    box = await kit.sandboxes.prepare(generic())
    with pytest.raises(DriverError, match="the linker would not find"):
        await adopt(kit, box, {"app.py": APP, "lib/libown.so.1": "elf"})


async def test_it_dies_while_it_waits(kit: Kit) -> None:
    box = await kit.sandboxes.prepare(generic())
    os.killpg(box._process.pid, signal.SIGKILL)
    await asyncio.wait_for(box.exited, 10)
    with pytest.raises(DriverError, match="can't be adopted"):
        await adopt(kit, box)


async def test_memory_limit_is_the_functions(kit: Kit) -> None:
    box = await kit.sandboxes.prepare(generic())
    await adopt(kit, box, memory_mb=64)
    outcome = await kit.invoke(box, "import time; x = bytearray(120_000_000); time.sleep(5); result = 1")
    assert outcome.kind == "oom"


async def test_imports_are_learned_and_imported_ahead(kit: Kit) -> None:
    app = {"app.py": "import own, numpy.fft, asyncio\n" + APP, "own.py": "import decimal"}
    fresh = await kit.start(app, environment=VARIABLES)
    learned = await fresh.init(30)
    assert "own" not in learned.imports
    assert [name for name in learned.imports if name in ("numpy", "asyncio")] == ["numpy", "asyncio"]
    box = await kit.sandboxes.prepare(generic(imports=(*learned.imports, "no.such.module")))
    await adopt(kit, box, app)
    both = [await kit.invoke(s, "result = sorted(m for m in sys.modules if 'generic' not in m)") for s in (fresh, box)]
    assert json.loads(both[0].payload) == json.loads(both[1].payload)
    assert kit.log == ""


async def test_a_module_of_the_functions_own_is_never_overlooked(kit: Kit) -> None:
    """In a fresh sandbox a file of this name would be found before the standard library's."""
    box = await kit.sandboxes.prepare(generic(imports=("asyncio",)))
    clean = kit.spec(APP, environment=VARIABLES)
    assert kit.sandboxes.can_adopt(clean, ("asyncio",))
    # Loaded by asyncio.
    shadowing = kit.spec({"app.py": APP, "selectors.py": ""}, environment=VARIABLES)
    assert kit.sandboxes.can_adopt(shadowing, ())
    assert not kit.sandboxes.can_adopt(shadowing, ("asyncio",))
    with pytest.raises(DriverError, match="start it afresh"):
        await adopt(kit, box, {"app.py": APP, "selectors.py": ""})
    await box.close()


async def test_what_imports_print_goes_nowhere(kit: Kit, capfd: pytest.CaptureFixture[str]) -> None:
    """`this` prints a poem when it is imported."""
    box = await kit.sandboxes.prepare(generic(imports=("this",)))
    await adopt(kit, box)
    await kit.invoke(box)
    assert kit.log == "said\n"
    assert "Zen" not in capfd.readouterr().out


@pytest.mark.parametrize("log_format", ["Text", "JSON"])
async def test_logging_is_set_up_for_the_function(kit: Kit, log_format: str) -> None:
    """Also where a module that was imported ahead has imported logging."""
    variables = {**VARIABLES, "AWS_LAMBDA_LOG_FORMAT": log_format, "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    app = "import asyncio, logging\ndef handler(e, c): logging.info('hello'); return len(logging.getLogger().handlers)"
    for imports in ((), ("asyncio",)):
        box = await kit.sandboxes.prepare(generic(imports=imports))
        await adopt(kit, box, app, environment=variables)
        assert (await kit.invoke(box)).payload == b"1"
        assert kit.log.count("hello") == 1
        assert kit.log.startswith("{" if log_format == "JSON" else "[INFO]")
        kit.written.clear()


async def test_the_engine_goes_while_it_waits(kit: Kit) -> None:
    """Without its engine a waiting runtime ends by itself."""
    box = await kit.sandboxes.prepare(generic())
    await box._server.close()
    end = await asyncio.wait_for(box.exited, 10)
    assert end.code == 0


async def test_private_routes_are_closed_to_functions(kit: Kit) -> None:
    box = await kit.sandboxes.prepare(generic())
    await adopt(kit, box)
    ask = """
import http.client
c = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
result = []
for method, path, body in (
    ("POST", "assignment", '{"modules": [], "failed": []}'), ("POST", "imports", '{"imports": [], "import_ms": 1}'),
    ("GET", "assignment", ""), ("POST", "other", "{}"), ("POST", "imports", "x" * 70000), ("POST", "imports", "no"),
):
    c.request(method, "/_sandbox/" + path, body)
    answer = c.getresponse(); answer.read()
    result.append(answer.status)
"""
    assert json.loads((await kit.invoke(box, ask)).payload) == [403, 403, 404, 404, 413, 400]
