"""Packages asked for: where they are read from, the cache, and what an installer's failure becomes."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from jupyter_lambda.notebook import dependencies, deploy
from jupyter_lambda.notebook.dependencies import Requirements, build, requirements
from jupyter_lambda.notebook.errors import DependencyError

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
BLOCK = '# /// script\n# requires-python = ">=3.9"\n# dependencies = [\n#   "b>=1",\n# ]\n# ///\nimport b\n'
#: Stands for the installer: writes a package into its target, or fails.
INSTALLER = """
import pathlib, sys
words = sys.argv[1:]
target = pathlib.Path(words[words.index("--target") + 1])
print("Resolved 1 package")
if "bad" in words:
    print("  x No solution found when resolving dependencies:")
    print("  error: bad was not found")
    sys.exit(1)
(target / "thing").mkdir(parents=True)
(target / "thing" / "__init__.py").write_text("VALUE = 1")
(target / "thing" / "fast.so").write_bytes(b"elf")
(target / "bin").mkdir()
(target / "bin" / "tool").write_text("x")
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUPYTER_LAMBDA_CACHE_DIR", str(tmp_path / "cache"))
    installer = tmp_path / "installer.py"
    installer.write_text(INSTALLER)

    def command(wanted: Requirements, target: Path) -> list[str]:
        return [sys.executable, str(installer), "--target", str(target)]

    monkeypatch.setattr(dependencies, "_installer", command)
    return tmp_path / "cache"


def test_gathered_from_everywhere(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("c==1  # why\n\n-r more.txt\n")
    (tmp_path / "more.txt").write_text("d\n")
    found = requirements(BLOCK, ["a", "a"], str(tmp_path / "r.txt"), python=PYTHON)
    assert found
    assert found.packages == ("a", "c==1", "d", "b>=1")
    assert requirements("x = 1", [], None, python=PYTHON) is None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (BLOCK.replace("]", ""), "isn't TOML"),
        (BLOCK + BLOCK, "allows one"),
        (BLOCK.replace(">=3.9", ">=3.99"), "requires Python >=3.99"),
        ('# /// script\n# dependencies = "b"\n# ///\n', "must be a list"),
    ],
)
def test_blocks_that_are_wrong(source: str, message: str) -> None:
    with pytest.raises(DependencyError, match=message):
        requirements(source, [], None, python="3.11")


def test_the_key_is_of_what_decides() -> None:
    one = Requirements(("a", "b"), "3.11", "x86_64")
    assert one.key == Requirements(("b", "a"), "3.11", "x86_64").key
    others = (
        [("a",), "3.11", "x86_64", False],
        [("a", "b"), "3.12", "x86_64", False],
        [("a", "b"), "3.11", "x86_64", True],
    )
    assert len({one.key, *(Requirements(*other).key for other in others)}) == 4


def test_built_once_and_packed_as_a_layer(cache: Path) -> None:
    said: list[str] = []
    wanted = Requirements(("thing",), PYTHON, "x86_64")
    first = build(wanted, said.append)
    assert said == ["Resolved 1 package"]
    assert build(wanted, said.append) == first
    assert len(said) == 1
    with zipfile.ZipFile(first.zips[0]) as archive:
        assert archive.namelist() == ["python/thing/__init__.py", "python/thing/fast.so"]
        assert archive.getinfo("python/thing/fast.so").external_attr >> 16 & 0o111
    assert dependencies.clear_cache() > 0
    build(wanted, said.append)
    assert len(said) == 2


def test_a_failure_is_the_installers_own_line_and_leaves_nothing(cache: Path) -> None:
    with pytest.raises(DependencyError, match=r"--pip bad: .*bad was not found") as caught:
        build(Requirements(("bad",), PYTHON, "x86_64"), lambda _: None)
    assert "\n" not in caught.value.message
    assert list((cache / "layers").iterdir()) == []


def test_large_packages_are_spread_over_layers(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "_LAYER_BYTES", 300)
    target = tmp_path / "target"
    for name in "abc":
        (target / name).mkdir(parents=True)
        (target / name / "__init__.py").write_text(name * 10)
    zips = list(dependencies._pack(target))
    assert 1 < len(zips) <= 3
    monkeypatch.setattr(dependencies, "UNZIPPED_MAX_BYTES", 10)
    with pytest.raises(DependencyError, match="container image"):
        list(dependencies._pack(target))


def test_layers_are_published_once(cache: Path) -> None:
    published: list[str] = []

    class Client:
        def list_layer_versions(self, LayerName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
            return {"LayerVersions": [{"LayerVersionArn": f"arn:{LayerName}:1"}] if LayerName in published else []}

        def publish_layer_version(self, LayerName: str, **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
            published.append(LayerName)
            return {"LayerVersionArn": f"arn:{LayerName}:1"}

    from jupyter_lambda.notebook.engine import Engine

    built = build(Requirements(("thing",), PYTHON, "x86_64"), lambda _: None)
    engine = Engine(Client())
    first = deploy.layer_arns(engine, built, "python3.11")
    assert deploy.layer_arns(engine, built, "python3.11") == first
    assert published == [f"jupyter-lambda-{built.key}"]
