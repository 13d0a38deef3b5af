"""``runs``: what notebook jobs did."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from traitlets import Bool, Int, Unicode

from jupyter_lambda.client import Admin
from jupyter_lambda.errors import ResourceNotFoundException

from .command import EXIT_FAILURE, LambdaCommand, table


class RunsCommand(LambdaCommand):
    """Show what notebook jobs did, and save what they left."""

    name = "jupyter-lambda-runs"
    description = (
        "jupyter lambda runs [JOB] [--limit N] [--json] [--save N --to FOLDER]: the runs of notebook jobs, newest "
        "first; --save keeps all that run N left (notebook, page, log, parameters). Exit code 1 where a scheduled run "
        "has failed since somebody last looked in a notebook."
    )
    examples = """
    jupyter lambda runs
    jupyter lambda runs report --limit 5
    jupyter lambda runs report --save 1 --to ./kept
    """
    words = (0, 1)
    limit = Int(20, min=1, max=1000, help="Runs shown. Default 20.").tag(config=True)
    save = Int(0, min=0, help="Number of a run whose files are saved; 1 is the newest. Default 0: none.").tag(
        config=True
    )
    to = Unicode(".", help="Folder for --save. Default: this one.").tag(config=True)
    as_json = Bool(False, help="Print JSON.").tag(config=True)
    aliases = {"limit": "RunsCommand.limit", "save": "RunsCommand.save", "to": "RunsCommand.to"}
    flags = {"json": ({"RunsCommand": {"as_json": True}}, "Print JSON.")}

    def run(self) -> int:
        """A table, JSON, or files."""
        admin = Admin(self.connection())
        name = self.extra_args[0] if self.extra_args else None
        runs = admin.runs(name, limit=max(self.limit, self.save))
        if self.save:
            return self._save(admin, runs)
        if self.as_json:
            print(json.dumps(runs, indent=2))
        elif not runs:
            print("no runs yet; %lambda notebook report.ipynb in a notebook makes a job")
        else:
            print(table([["run", "job", "status", "began", "seconds", "fired by", "why"], *map(_row, _numbered(runs))]))
        return EXIT_FAILURE if admin.failed_runs()["runs"] else 0

    def _save(self, admin: Admin, runs: list[dict[str, Any]]) -> int:
        if self.save > len(runs):
            raise ResourceNotFoundException(f"there is no run {self.save}; there are {len(runs)}")
        run = runs[self.save - 1]
        stamp = time.strftime("%Y-%m-%d-%H%M%S", time.localtime(run["started_s"]))
        folder = Path(self.to).expanduser() / f"{run['function_name']}-{stamp}"
        folder.mkdir(parents=True, exist_ok=True)
        for name in dict.fromkeys([*run["files"], "log.txt"]):
            (folder / name).write_bytes(admin.artefact(run["run_id"], name))
        print(folder)
        return 0


def _numbered(runs: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    return list(enumerate(runs, 1))


def _row(numbered: tuple[int, dict[str, Any]]) -> list[str]:
    number, run = numbered
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run["started_s"]))
    took = "" if run["ended_s"] is None else f"{max(0.0, run['ended_s'] - run['started_s']):.1f}"
    return [str(number), run["function_name"], run["status"], began, took, run["source"], run["reason"][:100]]
