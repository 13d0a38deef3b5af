"""Real kernels, started with nothing but an environment variable, against a real engine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client import KernelManager
from nbclient import NotebookClient

LESSON = Path(__file__).parents[2] / "notebooks" / "01-first-function.ipynb"
HOOK = "get_ipython().run_line_magic('load_ext', 'jupyter_lambda')"
READY_S, ANSWER_S = 60, 60


def serve(state_dir: Path, driver: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "jupyter_lambda.cli", "serve", "--state-dir", str(state_dir), "--driver", driver]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + READY_S
    while not (state_dir / "engine.json").exists():
        assert process.poll() is None, "the engine ended"
        assert time.monotonic() < deadline, "the engine is not ready"
        time.sleep(0.05)
    return process


@pytest.fixture(scope="module", params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def state_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("state")
    process = serve(folder, request.param)
    yield folder
    process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(60) == 0
    finally:
        process.kill()


class Kernel:
    """A kernel of its own process, and what its cells show."""

    def __init__(self, state_dir: Path, folder: Path) -> None:
        self.manager = KernelManager()
        self.manager.start_kernel(env={**os.environ, "JUPYTER_LAMBDA_STATE_DIR": str(state_dir)}, cwd=str(folder))
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=READY_S)
        self.run(HOOK)

    def run(self, cell: str, *, interrupt_after_s: float | None = None) -> str:
        """Text that a cell showed; of an error, its rendering without colours."""
        request = self.client.execute(cell)
        if interrupt_after_s is not None:
            time.sleep(interrupt_after_s)
            self.manager.interrupt_kernel()
        shown: list[str] = []
        while True:
            message = self.client.get_iopub_msg(timeout=ANSWER_S)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return "\n".join(shown)
            if kind == "stream":
                shown.append(content["text"])
            elif kind == "error":
                shown.append(re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(content["traceback"])))
            elif "data" in content:
                shown.append(content["data"].get("text/plain", ""))

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture(scope="module")
def kernel(state_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    made = Kernel(state_dir, tmp_path_factory.mktemp("notebooks"))
    yield made
    made.stop()


def outputs(notebook: Any) -> str:
    return json.dumps([cell.get("outputs", []) for cell in notebook.cells])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_first_lesson_runs(state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_LAMBDA_STATE_DIR", str(state_dir))
    notebook = nbformat.read(LESSON, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(HOOK))
    client = NotebookClient(notebook, timeout=ANSWER_S, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    shown = outputs(notebook)
    for expected in ("created", "unchanged", "HELLO!!!", "KeyError", "line 3, in handler", "FROM BOTO3!", "(5, 5)"):
        assert expected in shown


def test_remote_tracebacks_name_the_cell(kernel: Kernel) -> None:
    kernel.run("def helper(x):\n    # a comment\n    return 1 / x")
    kernel.run("%%lambda fails --memory 256\n\ndef handler(event, context):\n    return helper(event['x'])")
    shown = kernel.run("fails({'x': 0})")
    assert re.search(r"ZeroDivisionError: division by zero\n  In \[\d+\], line 4, in handler\n", shown)
    assert re.search(r"In \[\d+\], line 3, in helper\n      return 1 / x", shown)
    assert "botocore" not in shown


def test_interrupting_the_cell_stops_the_invocation(kernel: Kernel, state_dir: Path) -> None:
    kernel.run("%%lambda slow --timeout 60\nimport time\ndef handler(event):\n    time.sleep(50)")
    began = time.monotonic()
    shown = kernel.run("slow({})", interrupt_after_s=1.5)
    assert shown == "KeyboardInterrupt: slow interrupted; its invocation was stopped"
    shown = kernel.run("slow.map([{}] * 4, max_parallel=2, progress=False)", interrupt_after_s=1.5)
    assert shown.startswith("KeyboardInterrupt: slow interrupted; 2 running stopped, 0 of 4 done")
    assert time.monotonic() - began < 20
    kernel.run("import time\nwhile slow.engine.admin.invocations()['running']: time.sleep(0.05)")
    statuses = kernel.run("sorted(one['status'] for one in slow.engine.admin.invocations('slow')['invocations'])")
    assert statuses == "['cancelled', 'cancelled', 'cancelled']"
    assert "nothing of slow was running" in kernel.run("%lambda stop slow")


def test_classes_and_data_of_the_notebook_work_in_the_function(kernel: Kernel) -> None:
    kernel.run(
        "from dataclasses import dataclass\nimport numpy as np\n"
        "@dataclass\nclass P:\n    x: int\n    def twice(self): return 2 * self.x\n"
        "points = [P(i) for i in range(3)]\ngrid = np.arange(6).reshape(2, 3)"
    )
    kernel.run("%%lambda shapes --memory 512\n[[p.twice() for p in points], grid.sum().item(), list(grid.shape)]")
    assert kernel.run("shapes({})") == "[[0, 2, 4], 15, [2, 3]]"


def test_a_map_with_a_progress_bar_while_the_kernel_is_busy(kernel: Kernel) -> None:
    kernel.run("%%lambda inc --memory 256\nevent['n'] + 1")
    shown = kernel.run("inc.map([{'n': i} for i in range(20)] + [{}], max_parallel=4)")
    assert "IntProgress" in shown
    assert "21 events" in shown
    assert "1 failed" in shown
    assert kernel.run("inc.last_map.results[:3]") == "[1, 2, 3]"


def test_versions_and_rollback(kernel: Kernel) -> None:
    kernel.run("%%lambda twover --memory 256\n'first'")
    kernel.run("%%lambda twover --memory 512\n'second'")
    assert kernel.run("twover({})") == "'second'"
    assert "version 1 again" in kernel.run("%lambda rollback twover")
    assert kernel.run("twover({})") == "'first'"
    assert kernel.run("twover.configuration()['MemorySize']") == "256"
