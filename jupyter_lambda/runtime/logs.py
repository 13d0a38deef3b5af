"""The function's log: ``logging`` set up as AWS does it."""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False  # `typing` is not imported: every cold start would wait for it
if TYPE_CHECKING:
    from typing import Any

#: The id of the running invocation, for log records.
request_id = ""


def write_log(text: str) -> None:
    """Write to the log at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def configure_logging(logging: Any) -> None:
    """Give the root logger AWS's handler and format."""

    class LambdaLoggerHandler(logging.Handler):  # type: ignore[misc]
        def emit(self, record: Any) -> None:
            try:
                write_log(self.format(record))
            except Exception:
                self.handleError(record)

    class LambdaLoggerFilter(logging.Filter):  # type: ignore[misc]
        def filter(self, record: Any) -> bool:
            record.aws_request_id = request_id
            return True

    logging.Formatter.converter = time.gmtime
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON":
        from .json_logs import formatter as json_formatter

        formatter = json_formatter(logging)
    else:
        formatter = logging.Formatter(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S"
        )
    handler = LambdaLoggerHandler()
    handler.setFormatter(formatter)
    handler.addFilter(LambdaLoggerFilter())
    root = logging.getLogger()
    root.addHandler(handler)
    global _handler
    _handler = handler
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    level = "DEBUG" if level == "TRACE" else "CRITICAL" if level == "FATAL" else level
    if level in ("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL"):
        root.setLevel(level)


#: The handler that `configure_logging` gave the root logger, and where it stands there.
_handler: Any = None


def forget() -> None:
    """Take back the configuration, so that `install` makes it anew for other variables of the environment."""
    global _handler
    logging = sys.modules.get("logging")
    if logging is not None and _handler is not None:
        logging.getLogger().removeHandler(_handler)
    _handler = None
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, LoggingHook)]


def install() -> None:
    """Configure ``logging`` now if it is loaded (by a ``.pth`` file), else when the function's code imports it."""
    logging = sys.modules.get("logging")
    if logging is not None:
        configure_logging(logging)
    else:
        sys.meta_path.insert(0, LoggingHook())


class LoggingHook:
    """Configures ``logging`` when the function's code imports it: importing it here would cost every cold start."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Part of the import system's protocol."""
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                _configure_after(spec)
                return spec
        return None


def _configure_after(spec: Any) -> None:
    execute = spec.loader.exec_module

    def exec_module(module: Any) -> None:
        execute(module)
        # Named "logging" by the function's own code: not ours to touch.
        if hasattr(module, "getLogger") and hasattr(module, "Formatter"):
            configure_logging(module)

    spec.loader.exec_module = exec_module
