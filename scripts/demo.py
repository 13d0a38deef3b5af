"""`make demo`: execute notebooks/01-first-function.ipynb for real, and show each cell and what came of it.

Usage: python scripts/demo.py [DIRECTORY]. The engine's state and the executed notebook go there; default: .demo
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from jupyter_lambda.connection import connect
from jupyter_lambda.errors import LambdaError

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "01-first-function.ipynb"
#: Seconds for one cell: the first one may have to make the sandbox's image.
CELL_TIMEOUT_S = 300
_COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def main() -> int:
    """Returns the exit code: 1 when a cell failed that should not."""
    work = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / ".demo").absolute()
    work.mkdir(parents=True, exist_ok=True)
    try:
        engine = connect(work / "state", owner_pid=os.getpid())
    except LambdaError as exc:
        print(f"demo: {exc.message}", file=sys.stderr)
        return 1
    if engine.isolated:
        print(f"demo: functions run in Docker containers ({engine.url})")
    else:
        print(f"demo: no Docker engine answers, so functions run as plain processes, NOT isolated ({engine.url})")
    # The kernel must find this engine, and start no other.
    os.environ["JUPYTER_LAMBDA_STATE_DIR"] = str(work / "state")
    os.environ["JUPYTER_LAMBDA_OWNER_PID"] = str(os.getpid())
    print(f"demo: executing {os.path.relpath(NOTEBOOK)}", flush=True)
    return execute(NOTEBOOK, work / NOTEBOOK.name)


def execute(source: Path, executed: Path) -> int:
    """Execute a notebook cell by cell, printing as it goes, and save it with its outputs."""
    notebook = nbformat.read(source, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(source.parent)}},
        extra_arguments=["--log-level=ERROR"],  # the kernel's remarks on its own transport
        on_cell_start=lambda cell, cell_index: show_source(cell),
        on_cell_executed=lambda cell, cell_index, execute_reply: show_outputs(cell),
    )
    code = 0
    try:
        client.execute()
    except CellExecutionError:
        print("\ndemo: the cell above failed, and should not have", file=sys.stderr)
        code = 1
    except (CellTimeoutError, DeadKernelError, RuntimeError) as exc:  # RuntimeError: the kernel did not start
        print(f"\ndemo: {exc}", file=sys.stderr)
        code = 1
    nbformat.write(notebook, executed)
    print(f"\ndemo: saved with its outputs as {os.path.relpath(executed)}")
    print("demo: to go on by hand: .venv/bin/jupyter lab notebooks/01-first-function.ipynb")
    return code


def show_source(cell: Any) -> None:
    """Code as it stands; text as text."""
    if not cell.source.strip():
        return
    print()
    if cell.cell_type == "markdown":
        print(style(cell.source.strip(), "1"))
    else:
        print(style(textwrap.indent(cell.source.rstrip(), "│ ", lambda line: True), "36"), flush=True)


def show_outputs(cell: Any) -> None:
    """As a terminal can: text, or the name of what can't be shown."""
    for output in cell.get("outputs", []):
        text = plain(output).rstrip()
        if text:
            print(text, flush=True)


def plain(output: Any) -> str:
    """The text of one output; "" where a picture or a widget has none."""
    kind = output.output_type
    if kind == "stream":
        text = output.text
    elif kind == "error":
        text = "\n".join(output.traceback) or f"{output.ename}: {output.evalue}"
    else:
        text = output.data.get("text/plain", f"({', '.join(output.data)})")
    lines = "".join(text).split("\n")
    # A progress line that was written over and over shows its last state.
    text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)
    return text if _COLOUR else _ANSI.sub("", text)


def style(text: str, code: str) -> str:
    """Colour where a person looks."""
    return f"\x1b[{code}m{text}\x1b[0m" if _COLOUR else text


if __name__ == "__main__":
    sys.exit(main())
