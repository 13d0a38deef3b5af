"""``%lambda runs``: what the runs of notebook jobs left behind."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from jupyter_lambda.errors import ClientError, LambdaError, ResourceNotFoundException
from jupyter_lambda.eventsources.schedules import AtSource, CronSource, RateSource
from jupyter_lambda.eventsources.words import parse
from jupyter_lambda.notebook import render
from jupyter_lambda.notebook.engine import Engine, engines
from jupyter_lambda.notebook.errors import NotebookError
from jupyter_lambda.notebook.triggers import one_line, place_of
from jupyter_lambda.notebook.values import human_size

from . import notice
from .view import page, table

T = TypeVar("T")
_SCHEDULE = "schedule:"


def runs(shell: Any, arguments: argparse.Namespace) -> Any:
    """Show runs, or what one of them left.

    Raises:
        NotebookError: There is no such job or run.
    """
    del shell
    engine = engines.get()
    if engine.admin is None:
        raise NotebookError("%lambda runs needs an engine")
    admin = engine.admin
    if arguments.forget:
        return _forget(admin, arguments.name)
    number = arguments.open or arguments.log or (arguments.save and _number(arguments.save[0]))
    found = asked(lambda: admin.runs(arguments.name, limit=max(arguments.limit, number or 0)))
    if not number:
        asked(admin.saw_runs)
        notice.seen()
        return table(found, _words(engine, found)) if found else _none(admin, arguments.name)
    if number > len(found):
        raise NotebookError(f"there is no run {number}; {_count(len(found))}")
    run = found[number - 1]
    if arguments.save:
        return _save(admin, run, Path(arguments.save[1]).expanduser())
    if arguments.log:
        return _log(admin, run)
    return _open(admin, run)


def asked(question: Callable[[], T]) -> T:
    """Ask the engine; its errors become one line."""
    with one_line():
        return question()


def _number(word: str) -> int:
    if not word.isdecimal() or not int(word):
        raise NotebookError(f"--save {word}: write the number of a run, 1 for the newest, then a folder")
    return int(word)


def _count(number: int) -> str:
    return "there are none yet" if not number else "there is one" if number == 1 else f"there are {number}"


def _none(admin: Any, name: str | None) -> render.Shown:
    text = f"No runs of {name} yet." if name else "No runs yet."
    if not asked(admin.jobs):
        text = "No notebook runs as a job yet; %lambda notebook report.ipynb makes one."
    return render.Shown(text, f"<p>{render.esc(text)}</p>")


def _forget(admin: Any, name: str | None) -> None:
    if name is None:
        raise NotebookError("%lambda runs --forget: whose runs? Name the job")
    job = next((one for one in asked(admin.jobs) if one["function_name"] == name), None)
    if job is None:
        raise NotebookError(f"{name} is no notebook job")
    asked(lambda: admin.forget_job(name))
    try:  # it stays a job as long as there is the function
        admin.put_job(name, notebook=job["notebook"], kept=job["runs_kept"])
    except ResourceNotFoundException:
        print(f"{name} and what its runs left are gone")  # noqa: T201
    except LambdaError as exc:
        raise NotebookError(exc.message) from exc
    else:
        print(f"what the runs of {name} left is gone; it goes on")  # noqa: T201


def _open(admin: Any, run: Mapping[str, Any]) -> render.Shown:
    if "report.html" in run["files"]:
        return page(run, asked(lambda: admin.artefact(run["run_id"], "report.html")).decode())
    if "notebook.ipynb" not in run["files"]:
        raise NotebookError(f"that run left no page ({run['reason'] or run['status']}); --log N shows its log")
    import nbformat

    from .inside.report import page as render_page

    data = asked(lambda: admin.artefact(run["run_id"], "notebook.ipynb"))
    content, why_not = render_page(nbformat.reads(data.decode(), as_version=4), run["notebook"])  # type: ignore[no-untyped-call]
    if content is None:
        raise NotebookError(f"that run left no page, and {why_not}; --save N FOLDER keeps its notebook")
    return page(run, content)


def _log(admin: Any, run: Mapping[str, Any]) -> render.Shown:
    text = asked(lambda: admin.artefact(run["run_id"], "log.txt")).decode("utf-8", "replace")
    return render.Shown(text, render._pre(text, f"log of {run['notebook']}"))


def _save(admin: Any, run: Mapping[str, Any], folder: Path) -> None:
    paths = save(admin, run, folder)
    total = sum(path.stat().st_size for path in paths)
    print(f"{len(paths)} files, {human_size(total)}: {paths[0].parent}/")  # noqa: T201


def save(admin: Any, run: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write all that a run left into a folder of its own below ``folder``.

    Raises:
        NotebookError: It left nothing, or it can't be written.
    """
    stem = re.sub(r"\.ipynb$", "", str(run["notebook"]))
    stamp = time.strftime("%Y-%m-%d-%H%M%S", time.localtime(float(run["started_s"])))
    target = folder / f"{run['function_name']}-{stamp}"
    names = {"notebook.ipynb": f"{stem}.ipynb", "report.html": f"{stem}.html"}
    wanted = dict.fromkeys([*run["files"], "log.txt"])
    try:
        target.mkdir(parents=True, exist_ok=True)
        written = []
        for name in wanted:
            path = target / names.get(name, name)
            path.write_bytes(asked(partial(admin.artefact, run["run_id"], name)))
            written.append(path)
    except OSError as exc:
        raise NotebookError(f"{target}: {exc.strerror or exc}") from exc
    return written


def _words(engine: Engine, found: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Source of a run → the schedule as it was written, where it is still there."""
    names = {str(run["function_name"]) for run in found if str(run["source"]).startswith(_SCHEDULE)}
    if not names or engine.connection is None:
        return {}
    place = place_of(engine)
    words: dict[str, str] = {}
    for name in names:
        try:
            function = place.function(name)
            for kind in (RateSource, CronSource, AtSource):
                for trigger in kind.found(place, function):
                    words[_SCHEDULE + parse(trigger.word).mark(function)] = trigger.word
        except ClientError:  # the function or its schedules have gone: their names do
            continue
    return words
