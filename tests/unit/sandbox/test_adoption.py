"""Who may adopt a generic sandbox, and the private routes by which its runtime is told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from jupyter_lambda import http1
from jupyter_lambda.errors import DriverError
from jupyter_lambda.sandbox.adoption import (
    IMPORTS_MAX,
    VARIABLES,
    Adoption,
    AdoptionState,
    can_adopt,
    check_match,
    covers,
    shadows,
)
from jupyter_lambda.sandbox.base import Assignment, GenericSpec, SandboxSpec


def spec(tmp_path: Path, variables: dict[str, str] | None = None, **changes: Any) -> SandboxSpec:
    values: dict[str, Any] = {
        "sandbox_id": "0" * 16, "function_name": "f", "version": "1", "memory_mb": 128, "ephemeral_storage_mb": 512,
        "handler": "app.handler", "environment": {**VARIABLES, **(variables or {})}, "code_dir": tmp_path,
        "interpreter": Path("/usr/bin/python3"), **changes,
    }  # fmt: skip
    return SandboxSpec(**values)


GENERIC = GenericSpec("0" * 16, Path("/usr/bin/python3"), "none", 128)


class Connection:
    closed = False


def request(path: str, body: Any, method: str = "POST") -> http1.Request:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return http1.Request(method, f"/_sandbox/{path}", "", [], data, "unix", Connection(), [])  # type: ignore[arg-type]


async def ask(adoption: Adoption, path: str, body: Any, *, started: bool = False, method: str = "POST") -> int:
    return (await adoption.handle(request(path, body, method), started=started)).status


READY = {"modules": ["numpy"], "failed": ["nonsense: ModuleNotFoundError: no"]}


# --- who may


@pytest.mark.parametrize(
    ("variables", "bare", "preloaded"),
    [
        ({}, True, True),
        ({"COLOUR": "blue", "PATHS": "x", "LDAP": "x"}, True, True),
        ({"LD_PRELOAD": "x"}, False, False),
        ({"PYTHONHASHSEED": "1"}, False, False),
        ({"MALLOC_ARENA_MAX": "1"}, False, False),
        ({"GLIBC_TUNABLES": "x"}, False, False),
        ({"LC_ALL": "C"}, False, False),
        ({"LANG": "C"}, False, False),
        ({"AWS_LAMBDA_EXEC_WRAPPER": "/opt/w"}, False, False),
        ({"TZ": "Europe/Berlin"}, True, False),
        ({"OMP_NUM_THREADS": "1"}, True, False),
        ({"OPENBLAS_NUM_THREADS": "1"}, True, False),
        ({"MPLBACKEND": "agg"}, True, False),
        ({"NUMPY_EXPERIMENTAL": "1"}, True, False),
        ({"SKLEARN_X": "1"}, True, True),
    ],
)
def test_variables_that_act_when_it_is_too_late(
    tmp_path: Path, variables: dict[str, str], bare: bool, preloaded: bool
) -> None:
    assert can_adopt(spec(tmp_path, variables), ()) is bare
    assert can_adopt(spec(tmp_path, variables), ("numpy.fft",)) is preloaded


@pytest.mark.parametrize(
    "changes", [{"kind": "image"}, {"interpreter": None}, {"code_dir": None}, {"working_directory": "/x"}]
)
def test_functions_that_are_not_run_so(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert not can_adopt(spec(tmp_path, **changes), ())


def test_a_package_that_brings_the_module_itself(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/numpy.py").touch()
    assert can_adopt(spec(tmp_path, code_dir=tmp_path / "code"), ("pandas",))
    assert not can_adopt(spec(tmp_path, code_dir=tmp_path / "code"), ("pandas", "numpy.fft"))


@pytest.mark.parametrize(
    "place", ["python/six.py", "python/six/__init__.py", "python/lib/python3.11/site-packages/six.py"]
)
def test_a_layer_that_does(tmp_path: Path, place: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.touch()
    function = spec(tmp_path / "code", layer_dirs=(tmp_path,))
    assert shadows(function, {"six"})
    assert not shadows(function, {"numpy"})


@pytest.mark.parametrize(
    ("preloaded", "learned", "covered"),
    [
        ((), (), True),
        (("numpy",), ("pandas", "numpy"), True),
        (("numpy",), ("numpy.fft",), True),
        (("numpy.fft",), ("numpy",), False),
        (("pandas",), ("numpy",), False),
        (("pandas",), (), False),
    ],
)
def test_covers(preloaded: tuple[str, ...], learned: tuple[str, ...], covered: bool) -> None:
    assert covers(preloaded, learned) is covered


# --- the routes


async def test_told_once(tmp_path: Path) -> None:
    adoption = Adoption(generic=True)
    with pytest.raises(DriverError, match="it is starting"):
        adoption.check()
    first = asyncio.create_task(adoption.handle(request("assignment", READY), started=False))
    assert await adoption.waiting == {"numpy"}
    assert await ask(adoption, "assignment", READY) == 403  # a second that waits
    check_match(GENERIC, spec(tmp_path), adoption)
    adoption.take()
    adoption.assign(Assignment({"A": "b"}, "/var/task"))
    assert json.loads((await first).body) == {"environment": {"A": "b"}, "directory": "/var/task"}
    assert await ask(adoption, "assignment", READY) == 403
    with pytest.raises(DriverError, match="it is adopted"):
        adoption.take()


async def test_a_function_of_another_kind_leaves_it_waiting(tmp_path: Path) -> None:
    adoption = Adoption(generic=True)
    waiting = asyncio.create_task(adoption.handle(request("assignment", READY), started=False))
    await adoption.waiting
    with pytest.raises(DriverError, match="another kind"):
        check_match(GENERIC, spec(tmp_path, ephemeral_storage_mb=1024), adoption)
    with pytest.raises(DriverError, match="start it afresh"):
        check_match(GENERIC, spec(tmp_path, {"LD_PRELOAD": "x"}), adoption)
    assert adoption.state is AdoptionState.WAITING
    adoption.end()
    assert (await waiting).status == 403


async def test_its_runtime_has_gone(tmp_path: Path) -> None:
    adoption = Adoption(generic=True)
    asked = request("assignment", READY)
    waiting = asyncio.create_task(adoption.handle(asked, started=False))
    await adoption.waiting
    asked.connection.closed = True  # type: ignore[union-attr]
    with pytest.raises(DriverError, match="has gone"):
        adoption.check()
    adoption.end()
    await waiting


async def test_it_ends_before_it_is_ready() -> None:
    adoption = Adoption(generic=True)
    adoption.end()
    with pytest.raises(DriverError, match="ended before"):
        await adoption.waiting
    assert adoption.state is AdoptionState.ENDED


async def test_imports_are_reported_once_and_before_the_first_event() -> None:
    adoption = Adoption(generic=False)
    assert await ask(adoption, "imports", {"imports": ["numpy"]}) == 400
    assert await ask(adoption, "imports", {"imports": "numpy", "import_ms": 1}) == 400
    names = ["numpy", "numpy", "../x", "a b", 7, "x" * 300, "numpy.fft", *(f"m{n}" for n in range(500))]
    assert await ask(adoption, "imports", {"imports": names, "import_ms": 30}, started=True) == 403
    assert await ask(adoption, "imports", {"imports": names, "import_ms": 30}) == 202
    assert adoption.report is not None
    assert adoption.report.imports[:3] == ("numpy", "numpy.fft", "m0")
    assert len(adoption.report.imports) == IMPORTS_MAX
    assert await ask(adoption, "imports", {"imports": [], "import_ms": 30}) == 403


async def test_what_is_not_served() -> None:
    adoption = Adoption(generic=False)
    assert await ask(adoption, "assignment", READY) == 403  # started for its function
    assert await ask(Adoption(generic=True), "assignment", {"modules": []}) == 400
    assert await ask(adoption, "assignment", READY, method="GET") == 404
    assert await ask(adoption, "secrets", {}) == 404
    assert await ask(adoption, "imports", b"{") == 400
    assert await ask(adoption, "imports", b"x" * 70_000) == 413
