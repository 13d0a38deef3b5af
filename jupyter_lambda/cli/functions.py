"""``list`` and ``invoke``."""

from __future__ import annotations

import base64
import json
import sys
import uuid
from pathlib import Path
from typing import Any

from traitlets import Bool, Unicode

from jupyter_lambda.client import Admin, lambda_client, with_headers
from jupyter_lambda.errors import InvalidParameterValueException

from .command import EXIT_FAILURE, EXIT_INTERRUPTED, LambdaCommand, aws_errors, table


class ListCommand(LambdaCommand):
    """List functions with their counts, errors, GB-seconds and price."""

    name = "jupyter-lambda-list"
    description = (
        "jupyter lambda list [--since 24h] [--json]: functions with their invocations, errors, throttles, GB-seconds "
        "and price in US dollars."
    )
    examples = """
    jupyter lambda list
    jupyter lambda list --since 24h --json
    """
    since = Unicode("", help="Count only from this long ago on, e.g. 30m, 24h, 7d. Default: from the beginning.").tag(
        config=True
    )
    as_json = Bool(False, help="Print JSON.").tag(config=True)
    aliases = {"since": "ListCommand.since"}
    flags = {"json": ({"ListCommand": {"as_json": True}}, "Print JSON.")}

    def run(self) -> int:
        """One line for each function, those that were never invoked too, then the total."""
        import time

        connection = self.connection()
        since_s = time.time() - duration_s(self.since) if self.since else None
        stats = {row["function_name"]: row for row in _rows(Admin(connection).stats(since_s=since_s))}
        with aws_errors():
            pages = lambda_client(connection).get_paginator("list_functions").paginate()
            functions = [function for page in pages for function in page["Functions"]]
        rows = [_row(function, stats.get(function["FunctionName"], {})) for function in functions]
        if self.as_json:
            print(json.dumps(rows, indent=2))
        elif not rows:
            print("no functions yet; %%lambda in a notebook makes one")
        else:
            print(_table(rows))
        return 0


class InvokeCommand(LambdaCommand):
    """Invoke a function."""

    name = "jupyter-lambda-invoke"
    description = (
        "jupyter lambda invoke NAME [-p JSON|@FILE|-] [--async] [--log]: invoke a function and print its answer. "
        "NAME may carry a version or alias (name:2). Exit code 1 when the function fails."
    )
    examples = """
    jupyter lambda invoke clean -p '{"n": 3}'
    jupyter lambda invoke clean -p @event.json --log
    echo '{"n": 3}' | jupyter lambda invoke clean -p -
    jupyter lambda invoke clean --async
    """
    words = (1, 1)
    words_help = "the function's name"
    payload = Unicode("{}", help="The event: JSON, @FILE, or - for standard input. Default {}.").tag(config=True)
    asynchronous = Bool(False, help="Queue the event and don't wait.").tag(config=True)
    log_too = Bool(False, help="Print the log of the invocation too, to standard error.").tag(config=True)
    aliases = {("p", "payload"): "InvokeCommand.payload"}
    flags = {
        "async": ({"InvokeCommand": {"asynchronous": True}}, "Queue the event and don't wait."),
        "log": ({"InvokeCommand": {"log_too": True}}, "Print the log of the invocation too, to standard error."),
    }

    def run(self) -> int:
        """The answer goes to stdout as the function gave it, all else to stderr."""
        body = read_payload(self.payload)
        connection = self.connection()
        client = with_headers(lambda_client(connection, pool=1))
        request_id = str(uuid.uuid4())
        options: dict[str, Any] = {
            "FunctionName": self.extra_args[0],
            "Payload": body,
            "_Headers": {"X-Jupyter-Lambda-Request-Id": request_id},
        }
        if self.asynchronous:
            options["InvocationType"] = "Event"
        elif self.log_too:
            options["LogType"] = "Tail"
        try:
            with aws_errors():
                answer = client.invoke(**options)
                payload = answer["Payload"].read()
        except KeyboardInterrupt:
            stopped = Admin(connection).stop(request_id)
            print("interrupted; the invocation was stopped" if stopped else "interrupted", file=sys.stderr)
            return EXIT_INTERRUPTED
        if self.asynchronous:
            print(f"queued: request {answer['ResponseMetadata'].get('RequestId', '?')}")
            return 0
        if tail := answer.get("LogResult"):
            print(base64.b64decode(tail).decode("utf-8", "replace").rstrip(), file=sys.stderr)
        print(payload.decode("utf-8", "replace"))
        if error := answer.get("FunctionError"):
            print(f"the function failed ({error})", file=sys.stderr)
            return EXIT_FAILURE
        return 0


def read_payload(text: str) -> bytes:
    """JSON from the command line, a file (@name) or standard input (-).

    Raises:
        InvalidParameterValueException: It can't be read, or is not JSON.
    """
    try:
        if text == "-":
            body = sys.stdin.buffer.read()
        elif text.startswith("@"):
            body = Path(text[1:]).expanduser().read_bytes()
        else:
            body = text.encode()
        json.loads(body)
    except OSError as exc:
        raise InvalidParameterValueException(f"the payload can't be read: {exc}") from exc
    except ValueError as exc:
        raise InvalidParameterValueException(f"the payload is not JSON: {exc}; quote it: -p '{{\"n\": 3}}'") from exc
    return body


def duration_s(text: str) -> float:
    """Seconds of "90", "45s", "10m", "2h" or "7d".

    Raises:
        InvalidParameterValueException: None of these.
    """
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        value = float(number) * units[unit]
    except ValueError:
        value = -1
    if not 0 <= value < 1e10:
        raise InvalidParameterValueException(f"{text!r} is not a length of time; write 45s, 10m, 2h or 7d")
    return value


def _rows(stats: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = stats.get("functions", [])
    return rows


def _row(function: dict[str, Any], stats: dict[str, Any]) -> dict[str, Any]:
    return {
        "function": function["FunctionName"],
        "runtime": function.get("Runtime") or function.get("PackageType", ""),
        "memory_mb": function.get("MemorySize", 0),
        "invocations": int(stats.get("invocations", 0)),
        "errors": int(stats.get("errors", 0)),
        "throttles": int(stats.get("throttles", 0)),
        "gb_s": round(float(stats.get("gb_s", 0.0)), 6),
        "price_usd": round(float(stats.get("price", 0.0)), 9),
    }


def _table(rows: list[dict[str, Any]]) -> str:
    total: dict[str, Any] = {"function": "total", "runtime": "", "memory_mb": ""}
    for name in ("invocations", "errors", "throttles", "gb_s", "price_usd"):
        total[name] = sum(row[name] for row in rows)
    heading = ["function", "runtime", "memory MB", "invocations", "errors", "throttles", "GB-s", "price USD"]
    lines = [heading]
    for row in [*rows, total] if len(rows) > 1 else rows:
        *words, gb_s, price = row.values()
        lines.append([*map(str, words), f"{gb_s:.3f}", f"{price:.8f}"])
    return table(lines, right=frozenset(range(2, 8)))
