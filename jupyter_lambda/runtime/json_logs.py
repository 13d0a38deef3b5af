"""The JSON log format (AWS_LAMBDA_LOG_FORMAT=JSON): one object a line, with AWS's members."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Attributes of a log record that are not the caller's own ``extra``.
_OWN = frozenset(
    {"name", "msg", "args", "levelname", "levelno", "pathname", "filename", "module", "exc_info", "exc_text"}
    | {"stack_info", "lineno", "funcName", "created", "msecs", "relativeCreated", "thread", "threadName"}
    | {"processName", "process", "taskName", "aws_request_id"}
)


def formatter(logging: Any) -> Any:
    """A formatter for the given ``logging`` module, which is loaded by the function and not by the runtime."""

    class JsonFormatter(logging.Formatter):  # type: ignore[misc]
        def format(self, record: Any) -> str:
            plain = isinstance(record.msg, dict) and not record.args
            line = {
                "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
                "level": record.levelname,
                "message": record.msg if plain else record.getMessage(),
                "logger": record.name,
                "requestId": record.aws_request_id,
            }
            if record.exc_info and record.exc_info[0]:
                import traceback

                kind, value, tb = record.exc_info
                line["stackTrace"] = traceback.format_tb(tb)
                line["errorType"], line["errorMessage"] = kind.__name__, str(value)
                line["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
            line.update((k, v) for k, v in vars(record).items() if k not in _OWN and k not in line)
            return json.dumps(line, ensure_ascii=False, default=str) + "\n"

    return JsonFormatter()
