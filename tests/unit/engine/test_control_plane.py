"""The control plane where requests meet: one change at a time, nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import io
import zipfile
from dataclasses import replace

import pytest

from jupyter_lambda.engine import aliases, concurrency, functions, layers, versions
from jupyter_lambda.engine.control import ControlPlane, read_marker, write_marker
from jupyter_lambda.engine.functions import Changes, CodeSource
from jupyter_lambda.errors import (
    InvalidParameterValueException,
    LambdaError,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from jupyter_lambda.model import limits
from jupyter_lambda.model.function import ImageConfig


def zipped(text: str = "def handler(event, context): return event") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", text)
    return buffer.getvalue()


@pytest.fixture
def plane(service) -> ControlPlane:
    return ControlPlane(service)


@pytest.fixture
def wanted(service) -> Changes:
    runtime = service.runtimes.available()[0]
    return Changes(role="arn:aws:iam::000000000000:role/r", runtime=runtime, handler="app.handler")


@pytest.fixture
async def made(plane, wanted):
    return await functions.create(plane, "f", CodeSource(zipped()), wanted)


def kinds(outcomes: list[object]) -> list[str]:
    return sorted(type(outcome).__name__ for outcome in outcomes)


async def test_of_many_creations_one_wins(plane, wanted):
    outcomes = await asyncio.gather(
        *(functions.create(plane, "f", CodeSource(zipped(str(n))), wanted) for n in range(5)), return_exceptions=True
    )
    assert kinds(outcomes) == ["FunctionVersion"] + ["ResourceConflictException"] * 4


async def test_of_many_changes_of_one_revision_one_wins(plane, made):
    outcomes = await asyncio.gather(
        *(functions.configure(plane, "f", Changes(description=str(n)), revision_id=made.revision_id) for n in range(5)),
        functions.update_code(plane, "f", CodeSource(zipped("x")), revision_id=made.revision_id),
        return_exceptions=True,
    )
    assert kinds(outcomes) == ["FunctionVersion"] + ["PreconditionFailedException"] * 5


async def test_changes_at_once_are_all_kept(plane, made):
    await asyncio.gather(
        functions.configure(plane, "f", Changes(memory_mb=256)),
        functions.configure(plane, "f", Changes(timeout_s=9)),
        functions.tag(plane, "f", {"a": "b"}),
        concurrency.reserve(plane, "f", 5),
        functions.update_code(plane, "f", CodeSource(zipped("x"))),
    )
    function = plane.function("f")
    assert (function.latest.memory_mb, function.latest.timeout_s) == (256, 9)
    assert (function.tags, function.reserved_concurrency) == ({"a": "b"}, 5)
    assert function.latest.code_sha256 != made.code_sha256


async def test_publications_at_once_are_one_version(plane, made):
    published = await asyncio.gather(*(versions.publish(plane, "f") for _ in range(5)))
    assert {version.version for version in published} == {"1"}


async def test_reservations_at_once_leave_the_minimum(plane, wanted):
    for name in ("a", "b", "c"):
        await functions.create(plane, name, CodeSource(zipped()), wanted)
    outcomes = await asyncio.gather(
        *(concurrency.reserve(plane, name, 400) for name in ("a", "b", "c")), return_exceptions=True
    )
    assert kinds(outcomes) == ["InvalidParameterValueException", "NoneType", "NoneType"]
    assert plane.service.store.functions.total_reserved() == 800


async def test_what_is_deleted_while_it_is_changed(plane, made):
    outcomes = await asyncio.gather(
        functions.delete(plane, "f"),
        functions.configure(plane, "f", Changes(memory_mb=256)),
        aliases.create(plane, "f", "live", "$LATEST"),
        return_exceptions=True,
    )
    assert kinds(outcomes) == ["NoneType", "ResourceNotFoundException", "ResourceNotFoundException"]
    assert plane.service.store.functions.aliases("f", None, None, 10) == []


async def test_a_refused_change_changes_nothing(plane, made):
    refused = [
        Changes(environment={"AWS_REGION": "x"}),
        Changes(environment={"AA": "a\0b"}),
        Changes(handler="a.\0"),
        Changes(runtime="go1.x"),
        Changes(layers=("arn:aws:lambda:us-east-1:000000000000:layer:none:1",)),
        Changes(interpreter="/bin/sh"),
        Changes(image_config=ImageConfig(command=("a\0",))),
    ]
    for changes in refused:
        with pytest.raises(InvalidParameterValueException):
            await functions.configure(plane, "f", replace(changes, memory_mb=512))
    assert plane.function("f").latest == made


async def test_code_and_layers_together_have_a_limit(plane, made, monkeypatch):
    layer = await layers.publish(plane, "l", zipped("x" * 1000))
    arn = plane.account.layer_arn("l", layer.version)
    monkeypatch.setattr(limits, "UNZIPPED_MAX_BYTES", 1000)
    with pytest.raises(InvalidParameterValueException, match="Function code combined with layers exceeds"):
        await functions.configure(plane, "f", Changes(layers=(arn,)))
    monkeypatch.setattr(limits, "UNZIPPED_MAX_BYTES", 100_000)
    await functions.configure(plane, "f", Changes(layers=(arn,)))
    monkeypatch.setattr(limits, "UNZIPPED_MAX_BYTES", 1100)
    with pytest.raises(InvalidParameterValueException, match="Function code combined with layers exceeds"):
        await functions.update_code(plane, "f", CodeSource(zipped("y" * 500)))


async def test_code_must_fit_the_package_type(plane, wanted, made):
    cases: list[tuple[CodeSource, type[LambdaError]]] = [
        (CodeSource(), InvalidParameterValueException),
        (CodeSource(image_uri="x"), InvalidParameterValueException),
    ]
    for code, error in cases:
        with pytest.raises(error):
            await functions.create(plane, "g", code, wanted)
        with pytest.raises(error):
            await functions.update_code(plane, "f", code)


async def test_a_version_in_an_aliases_routing_can_not_be_deleted(plane, made):
    await versions.publish(plane, "f")
    await functions.configure(plane, "f", Changes(description="x"))
    await versions.publish(plane, "f")
    await aliases.create(plane, "f", "live", "1", routing={"2": 0.1})
    for version in ("1", "2"):
        with pytest.raises(ResourceConflictException, match=r"aliases reference it: \[live\]"):
            await functions.delete(plane, "f", version)
    await aliases.update(plane, "f", "live", routing={})
    await functions.delete(plane, "f", "2")
    with pytest.raises(ResourceNotFoundException):
        plane.version("f", "2")


async def test_environments_of_old_code_are_retired(service, plane, made, monkeypatch):
    retired: list[tuple[str, str | None]] = []

    async def retire(name: str, version: str | None = None) -> None:
        retired.append((name, version))

    monkeypatch.setattr(service, "retire", retire)
    await versions.publish(plane, "f")
    await functions.tag(plane, "f", {"a": "b"})
    assert retired == []
    await functions.configure(plane, "f", Changes(memory_mb=256))
    await functions.update_code(plane, "f", CodeSource(zipped("x")), dry_run=True)
    await functions.update_code(plane, "f", CodeSource(zipped("x")))
    await functions.delete(plane, "f", "1")
    await functions.delete(plane, "f")
    assert retired == [("f", "$LATEST"), ("f", "$LATEST"), ("f", "1"), ("f", None)]


async def test_a_stale_revision_of_an_alias(plane, made):
    alias = await aliases.create(plane, "f", "live", "$LATEST")
    await aliases.update(plane, "f", "live", description="x", revision_id=alias.revision_id)
    with pytest.raises(PreconditionFailedException):
        await aliases.update(plane, "f", "live", description="y", revision_id=alias.revision_id)


def test_markers():
    assert read_marker(write_marker("f", "1"), str, str) == ("f", "1")
    assert read_marker(None, str) is None
    for marker, expected in ((write_marker("f"), (int,)), (write_marker("f"), (str, str)), ("%", (str,))):
        with pytest.raises(InvalidParameterValueException):
            read_marker(marker, *expected)
