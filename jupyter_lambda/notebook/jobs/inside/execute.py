"""Runs a notebook's cells in a kernel of its own, within the time that is left, and tells what happens meanwhile."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbclient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat.v4 import new_output

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
#: Seconds for a kernel to be up.
STARTUP_S = 120
#: Seconds for a kernel to end by itself, once asked to.
SHUTDOWN_S = 1.5
#: Characters of one text that a cell wrote that go into the log.
_LOGGED_CHARS = 20_000

Say = Callable[[str], None]


@dataclass
class Outcome:
    """How a run of the cells ended."""

    #: "success", "error", "timeout" or "kernel died".
    status: str = "success"
    cells: int = 0
    executed: int = 0
    #: Number of the code cell that failed, from 1.
    failed_cell: int | None = None
    error_type: str | None = None
    error: str | None = None
    seconds: float = 0.0


class _Client(nbclient.NotebookClient):
    """Also tells what cells write while they run, and owns a kernel that others made, which thus ends with the run."""

    say: Say = staticmethod(print)
    manager: AsyncKernelManager

    def create_kernel_manager(self) -> AsyncKernelManager:
        """The kernel to be."""
        self.km = self.manager
        return self.manager

    def output(self, outs: list[Any], msg: dict[str, Any], display_id: str | None, cell_index: int) -> Any:
        """An output arrived."""
        if msg["msg_type"] == "stream":
            text = str(msg["content"].get("text", ""))[:_LOGGED_CHARS].rstrip()
            if text:
                self.say(text)
        return super().output(outs, msg, display_id, cell_index)


class Execution:
    """One run."""

    def __init__(
        self, notebook: Any, folder: Path, deadline_s: float, *, say: Say, changed: Callable[[], None]
    ) -> None:
        """
        Args:
            folder: Where the kernel runs, with ``work`` for the notebook's files.
            deadline_s: Of ``time.monotonic``: when the last cell must have ended.
            changed: Called after each cell.
        """
        self._notebook = notebook
        self._folder = folder
        self._deadline_s = deadline_s
        self._say = say
        self._changed = changed
        self._began_s = 0.0
        #: Index of the cell that was begun last.
        self._current = next((i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"), None)
        self._numbers = {
            index: number
            for number, index in enumerate((i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"), 1)
        }
        self.outcome = Outcome(cells=len(self._numbers))

    def run(self) -> Outcome:
        """Execute all cells; the notebook holds what came of them, whatever that is."""
        began_s = time.monotonic()
        for cell in self._notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        client = _Client(
            self._notebook,
            timeout_func=lambda _cell: max(1.0, self._deadline_s - time.monotonic()),
            startup_timeout=STARTUP_S,
            extra_arguments=["--HistoryManager.enabled=False"],
            resources={"metadata": {"path": str(self._folder / "work")}},
            on_cell_execute=self._begins,
            on_cell_executed=self._ended,
        )
        client.say, client.manager = self._say, self._manager()
        before = Path.cwd()
        os.chdir(self._folder / "work")
        try:
            client.execute(env=self._environment())
        except CellExecutionError as exc:
            self._failed("error", exc.ename, exc.evalue)
        except CellTimeoutError:
            why = "the function's time was nearly over: a function may run for 15 minutes at most, as on AWS"
            self._failed("timeout", "TimeoutError", why, shown=True)
        except DeadKernelError:
            why = "the kernel died; too little memory is the usual reason (--memory)"
            self._failed("kernel died", "DeadKernelError", why, shown=True)
        except Exception as exc:  # noqa: BLE001 - a kernel that doesn't come up fails in many ways
            self._failed("kernel died", type(exc).__name__, f"the kernel could not be used: {exc}", shown=True)
        finally:
            os.chdir(before)
        self.outcome.seconds = round(time.monotonic() - began_s, 3)
        return self.outcome

    def _manager(self) -> AsyncKernelManager:
        """A kernel of this very Python, whatever specifications exist; its sockets are files: no port, no network."""
        specs = KernelSpecManager(kernel_dirs=[], ensure_native_kernel=True)
        manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs, transport="ipc")
        runtime = self._folder / "runtime"
        runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        manager.connection_file = str(runtime / "kernel.json")
        # As seen from the folder where both processes are: a socket's whole path may be too long for an address.
        manager.ip = "../runtime/kernel"
        manager.shutdown_wait_time = SHUTDOWN_S
        return manager

    def _environment(self) -> dict[str, str]:
        """For the kernel: this function's variables and packages; whatever writes does so below the run's folder."""
        folder, path = self._folder, [entry for entry in sys.path if entry]
        settings = {name: str(folder / name.lower()) for name in ("IPYTHONDIR", "MPLCONFIGDIR", "JUPYTER_CONFIG_DIR")}
        address = os.environ.get("AWS_ENDPOINT_URL")
        engine = {"JUPYTER_LAMBDA_ENGINE_URL": address} if address else {}
        return {
            **os.environ,
            **settings,
            **engine,
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "PYTHONPATH": os.pathsep.join(dict.fromkeys([str(folder / "work"), *path])),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }

    # --- as it happens

    def _begins(self, cell: Any, cell_index: int) -> None:
        self._current, self._began_s = cell_index, time.monotonic()

    def _ended(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        number = self._numbers.get(cell_index, 0)
        self.outcome.executed += 1
        content = execute_reply["content"] if execute_reply else {}
        failed = content.get("status") == "error" and f": {content.get('ename')}: {content.get('evalue')}"
        took_s = time.monotonic() - self._began_s
        self._say(f"[job] cell {number} of {self.outcome.cells}, {took_s:.2f} s{failed or ''}")
        self._changed()

    def _failed(self, status: str, error_type: str, error: str, *, shown: bool = False) -> None:
        """Note why it ended; ``shown``: also in the notebook, where the kernel could not."""
        outcome = self.outcome
        outcome.status, outcome.error_type, outcome.error = status, error_type, _COLOURS.sub("", error)
        index = self._current
        outcome.failed_cell = self._numbers.get(index) if index is not None else None
        if shown and index is not None:
            text = f"{error_type}: {error}"
            made = new_output("error", ename=error_type, evalue=error, traceback=[text])  # type: ignore[no-untyped-call]
            self._notebook.cells[index].outputs.append(made)
            self._say(f"[job] cell {outcome.failed_cell} of {outcome.cells}: {text}")
