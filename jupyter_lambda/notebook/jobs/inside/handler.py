"""One event, one run: ``{"parameters": {…}}``; an event of any other form runs the notebook with its own parameters."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nbformat

from .execute import Execution, Outcome
from .parameters import inject
from .report import page
from .upload import UploadError, Uploads

_HERE = Path(__file__).resolve().parent
#: Where the package keeps the job's description, its notebook and the files beside it.
JOB, NOTEBOOK, FILES = _HERE / "job.json", _HERE / "notebook.ipynb", _HERE / "files"
#: Share of the function's time, and the most and least seconds, that is kept for writing down what a run did; half of
#: a time that is too short for that.
RESERVE, RESERVE_MAX_S, RESERVE_MIN_S = 0.1, 20.0, 5.0
#: Seconds between two looks that others can take at a run under way.
SHOW_EVERY_S = 5.0


class NotebookFailed(Exception):
    """A cell failed; the executed notebook shows which and why."""


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Run the notebook once.

    Raises:
        NotebookFailed: A cell failed, its time was over, or the kernel died. What there is has been kept.
        TypeError: The event's parameters are none.
    """
    began_s = time.monotonic()
    left_s = context.get_remaining_time_in_millis() / 1000
    job = json.loads(JOB.read_text(encoding="utf-8"))
    parameters = {**job["parameters"], **_given(event)}
    run = _Run(context.aws_request_id, str(job["notebook"]), code=bool(job["code"]))
    run.uploads.put_json("parameters.json", parameters)
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    inject(notebook, parameters)
    reserve_s = min(RESERVE_MAX_S, max(RESERVE_MIN_S, left_s * RESERVE), left_s / 2)
    folder = Path(tempfile.mkdtemp(prefix="job-"))
    try:
        _copy(FILES, folder / "work")
        run.say(f"[job] {job['notebook']} begins; parameters {json.dumps(parameters, default=str)}")
        execution = Execution(
            notebook, folder, began_s + left_s - reserve_s, say=run.say, changed=lambda: run.show(notebook)
        )
        outcome = execution.run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return run.finish(notebook, outcome)


def _copy(source: Path, target: Path) -> None:
    """Copy what was packaged; not its permissions, which in a sandbox let nobody write."""
    target.mkdir()
    for path in sorted(source.rglob("*")):
        copied = target / path.relative_to(source)
        if path.is_dir():
            copied.mkdir()
        else:
            shutil.copyfile(path, copied)


def _given(event: Any) -> Mapping[str, Any]:
    given = event.get("parameters") if isinstance(event, dict) else None
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise TypeError(f'"parameters" must be an object of names and values, not {given!r}')
    return given


def _bytes(notebook: Any) -> bytes:
    return str(nbformat.writes(notebook)).encode()  # type: ignore[no-untyped-call]


class _Run:
    """What is kept of one run, sent as it comes to be."""

    def __init__(self, request_id: str, name: str, *, code: bool) -> None:
        self.uploads = Uploads(request_id)
        self._request_id = request_id
        self._name = name
        self._code = code
        self._lines: list[str] = []
        self._shown_s = float("-inf")

    def say(self, line: str) -> None:
        """One entry of the log, CloudWatch's and the run's own."""
        self._lines.append(line)
        print(line, flush=True)  # noqa: T201 - the function's log

    def show(self, notebook: Any) -> None:
        """Send the notebook as far as it has come, now and then: a run that is killed leaves that."""
        if time.monotonic() - self._shown_s >= SHOW_EVERY_S:
            self._shown_s = time.monotonic()
            self._send("notebook.ipynb", _bytes(notebook))

    def finish(self, notebook: Any, outcome: Outcome) -> dict[str, Any]:
        """Send everything, and answer or raise."""
        where = f"cell {outcome.failed_cell}: " if outcome.failed_cell else ""
        failure = f"{where}{outcome.error_type}: {outcome.error}" if outcome.status != "success" else ""
        self.say(f"[job] {self._name} {'failed: ' + failure if failure else f'done in {outcome.seconds:.1f} s'}")
        self._send("notebook.ipynb", _bytes(notebook))
        self.uploads.put_json("result.json", {**asdict(outcome), "failure": failure})
        # What failed is looked for in the code.
        html, why_not = page(notebook, Path(self._name).stem, code=self._code or bool(failure))
        if html is not None:
            self._send("report.html", html.encode())
        else:
            self.say(f"[job] {why_not}")
        self._send("log.txt", "\n".join([*self._lines, ""]).encode())
        if failure:
            raise NotebookFailed(failure)
        return {"run": self._request_id, "cells": outcome.cells, "seconds": outcome.seconds}

    def _send(self, name: str, data: bytes) -> None:
        """Send an artefact; one that the engine doesn't take is missing, and the log says so."""
        try:
            self.uploads.put(name, data)
        except UploadError as exc:
            self.say(f"[job] {exc}")
