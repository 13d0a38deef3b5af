"""`make demo`, but for making the virtual environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]


def demo(work: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER_LAMBDA")}
    return subprocess.run(
        [sys.executable, ROOT / "scripts/demo.py", work],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=110,
        stdin=subprocess.DEVNULL,
    )


def check(done: subprocess.CompletedProcess[str], work: Path) -> None:
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "\x1b[" not in done.stdout  # not a terminal
    executed = nbformat.read(work / "01-first-function.ipynb", as_version=4)
    ran = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in ran)
    first = next(cell for cell in ran if cell.source.startswith("%%lambda"))
    assert first.source.splitlines()[0] in done.stdout
    assert any(cell.outputs for cell in ran)


@pytest.mark.docker
def test_in_docker(tmp_path):
    done = demo(tmp_path)
    check(done, tmp_path)
    assert "demo: functions run in Docker containers" in done.stdout


def test_without_docker_it_says_so(tmp_path):
    done = demo(tmp_path, DOCKER_HOST="unix:///no/such/socket")
    check(done, tmp_path)
    assert "NOT isolated" in done.stdout.partition("demo: executing")[0]
