"""``pip install .`` into a fresh environment, and out again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: Executed in a kernel: is %%lambda there without anything said before, and what did that cost?
PROBE = """
import json, sys
shell = get_ipython()
heavy = sorted({"boto3", "botocore", "docker", "ipywidgets"} & set(sys.modules))
names = [name for name in shell.user_ns if "jupyter_lambda" in name]
print(json.dumps([
    "lambda" in shell.magics_manager.magics["cell"], "lambda" in shell.magics_manager.magics["line"], heavy, names,
]))
"""


def files(prefix: Path) -> set[str]:
    return {str(path.relative_to(prefix)) for path in prefix.rglob("*")}


def run(*command: Any, **kwargs: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, **kwargs)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that sees the dependencies of this one, but not this project."""
    prefix = tmp_path_factory.mktemp("install") / "env"
    venv.create(prefix, with_pip=True, symlinks=True)
    site = Path(run(sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    own = Path(run(prefix / "bin/python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # Read as a plain directory: .pth files in it, and so an editable install of this project, have no effect.
    (own / "dependencies.pth").write_text(f"{site}\n")
    return prefix


@pytest.fixture(scope="module")
def before(fresh: Path) -> set[str]:
    return files(fresh)


@pytest.fixture(scope="module")
def installed(fresh: Path, before: set[str]) -> Path:
    wheels = fresh.parent / "wheels"
    pip = [fresh / "bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run(*pip, "wheel", "--no-deps", "--wheel-dir", wheels, ROOT)
    (wheel,) = wheels.glob("*.whl")
    run(*pip, "install", "--no-deps", "--no-index", "--ignore-installed", wheel)
    return fresh


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A user who has just arrived."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON", "PYTHON"))}
    return kept | {"HOME": str(tmp_path), "JUPYTER_PLATFORM_DIRS": "0"}


def test_the_package_has_all_its_files(installed):
    wanted = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "jupyter_lambda").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    site = next((installed / "lib").glob("python*")) / "site-packages"
    assert wanted <= files(site)
    assert any(name.endswith(".sql") for name in wanted)
    assert any(name.endswith(".json") for name in wanted)


def test_the_server_extension_is_enabled(installed, environment):
    done = subprocess.run(
        [installed / "bin/python", "-m", "jupyter_server", "extension", "list"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = done.stdout + done.stderr
    assert "jupyter_lambda" in lines.partition("Validating jupyter_lambda")[0]
    assert "OK" in lines.partition("Validating jupyter_lambda")[2].partition("- Validating")[0]


def test_the_jupyterlab_extension_is_enabled(installed, environment):
    if not (ROOT / "labextension/built/package.json").exists():
        pytest.skip("npm was out of reach when this package was built")
    done = subprocess.run(
        [installed / "bin/python", "-m", "jupyterlab.labextensions", "list"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    (line,) = [one for one in (done.stdout + done.stderr).splitlines() if "jupyter-lambda" in one]
    assert "enabled" in line
    assert "OK" in line


def test_the_magics_are_in_every_notebook_with_nothing_to_load(installed, environment, tmp_path):
    (tmp_path / "probe.ipynb").write_text(
        json.dumps(
            {
                "cells": [
                    {
                        "cell_type": "code",
                        "source": PROBE,
                        "metadata": {},
                        "outputs": [],
                        "execution_count": None,
                        "id": "a",
                    }
                ],
                "metadata": {},
                "nbformat": 4,
                "nbformat_minor": 5,
            }
        )
    )
    run(
        installed / "bin/python",
        "-c",
        "from nbclient.cli import main; main()",
        "--inplace",
        "--kernel_name=python3",
        tmp_path / "probe.ipynb",
        env=environment | {"PATH": f"{installed / 'bin'}:{os.environ['PATH']}"},
        cwd=tmp_path,
    )
    (output,) = json.loads((tmp_path / "probe.ipynb").read_text())["cells"][0]["outputs"]
    cell, line, heavy, names = json.loads("".join(output["text"]))
    assert cell
    assert line
    assert heavy == []
    assert names == []


def test_jupyter_lambda_is_a_command(installed, environment):
    path = {"PATH": f"{installed / 'bin'}:{os.environ['PATH']}"}
    assert (
        "serve"
        in subprocess.run(
            ["jupyter-lambda", "--help"], env=environment | path, capture_output=True, text=True, timeout=30
        ).stdout
    )


def test_uninstalling_leaves_nothing_behind(installed, before, environment, tmp_path):
    run(installed / "bin/python", "-c", "import jupyter_lambda.config, jupyter_lambda.client", env=environment)
    run(installed / "bin/python", "-m", "pip", "uninstall", "--yes", "--quiet", "jupyter-lambda")
    left = files(installed) - before
    assert not any("lambda" in name for name in left)
    # pip keeps directories that other packages share; the interpreter compiles pip itself meanwhile.
    shared = {"etc", "etc/ipython", "etc/jupyter", "share", "share/jupyter", "share/jupyter/labextensions"}
    assert {name for name in left if "__pycache__" not in name} <= shared
