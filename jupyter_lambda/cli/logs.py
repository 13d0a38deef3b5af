"""``logs``: show or follow what a function wrote."""

from __future__ import annotations

import difflib
import sys
import time
from datetime import datetime
from typing import Any

from traitlets import Bool, Int, Unicode

from jupyter_lambda.client import Admin, lambda_client
from jupyter_lambda.errors import ResourceNotFoundException

from .command import LambdaCommand, aws_errors
from .functions import duration_s

#: Seconds between looks while following.
FOLLOW_S = 0.5


class LogsCommand(LambdaCommand):
    """Show or follow a function's log."""

    name = "jupyter-lambda-logs"
    description = (
        "jupyter lambda logs NAME [-f] [--request-id ID] [--since 10m] [--filter TEXT] [-n 1000]: show or follow what "
        "a function wrote, with START, END and REPORT lines as AWS writes them."
    )
    examples = """
    jupyter lambda logs clean --since 10m
    jupyter lambda logs clean -f
    jupyter lambda logs clean --filter ERROR
    """
    words = (1, 1)
    words_help = "the function's name"
    follow = Bool(False, help="Go on with what comes, until Ctrl-C.").tag(config=True)
    request_id = Unicode("", help="Only lines of this invocation.").tag(config=True)
    since = Unicode("", help="Only lines from this long ago on: 45s, 10m, 2h, 7d. Default: all that is kept.").tag(
        config=True
    )
    pattern = Unicode("", help="Only lines that contain this text.").tag(config=True)
    lines = Int(1000, min=1, help="The newest so many lines. Default 1000.").tag(config=True)
    aliases = {
        "request-id": "LogsCommand.request_id",
        "since": "LogsCommand.since",
        "filter": "LogsCommand.pattern",
        ("n", "lines"): "LogsCommand.lines",
    }
    flags = {("f", "follow"): ({"LogsCommand": {"follow": True}}, "Go on with what comes, until Ctrl-C.")}

    def run(self) -> int:
        """Oldest first. While following, a line is known by its place in the last look, not by its time alone."""
        admin = Admin(self.connection())
        since_s = time.time() - duration_s(self.since) if self.since else None
        shown = self._look(admin, since_s)
        if not shown:
            self._explain(admin)
        for line in shown:
            print(_text(line))
        while self.follow:
            time.sleep(FOLLOW_S)
            newest_ms = shown[-1]["timestamp_ms"] if shown else None
            known = [line for line in shown if line["timestamp_ms"] == newest_ms]
            found = self._look(admin, newest_ms / 1000 if newest_ms is not None else since_s)
            fresh = [line for line in found if line not in known]
            for line in fresh:
                print(_text(line), flush=True)
            if fresh:
                shown = [*known, *fresh]
        return 0

    def _explain(self, admin: Admin) -> None:
        """Say why there is nothing to show, on standard error.

        Raises:
            ResourceNotFoundException: There is no such function, or no such invocation.
        """
        name = self.extra_args[0]
        with aws_errors():
            pages = lambda_client(self.connection()).get_paginator("list_functions").paginate()
            names = [str(function["FunctionName"]) for page in pages for function in page["Functions"]]
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            there = f"; there are {', '.join(names[:10])}" if names else "; none is deployed yet"
            raise ResourceNotFoundException(
                f"there is no function {name}" + (f"; did you mean {near[0]}?" if near else there)
            )
        if self.request_id:
            record = admin.invocation(self.request_id)  # raises where none is known
            if record.get("function_name") != name:
                raise ResourceNotFoundException(
                    f"{self.request_id} is an invocation of {record.get('function_name')}, not of {name}"
                )
        chosen = self.request_id or self.since or self.pattern
        print(f"{name} wrote nothing that matches" if chosen else f"{name} wrote nothing yet", file=sys.stderr)

    def _look(self, admin: Admin, since_s: float | None) -> list[dict[str, Any]]:
        return admin.logs(
            self.extra_args[0],
            request_id=self.request_id or None,
            since_s=since_s,
            pattern=self.pattern or None,
            limit=self.lines,
        )


def _text(line: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(line["timestamp_ms"] / 1000).astimezone()
    return f"{at:%Y-%m-%d %H:%M:%S}.{line['timestamp_ms'] % 1000:03d}  {line['message'].rstrip()}"
