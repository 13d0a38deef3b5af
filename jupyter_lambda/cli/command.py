"""What all commands share: ``--state-dir``, finding the engine, and errors as one line."""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any, NoReturn

from jupyter_core.application import JupyterApp
from traitlets import TraitError, Unicode, default
from traitlets.config.loader import _DASH_REPLACEMENT, KVArgParseConfigLoader, _KVArgParser

from jupyter_lambda import __version__
from jupyter_lambda.config import LambdaEngine, LambdaServer
from jupyter_lambda.connection import Connection, connect, default_state_dir
from jupyter_lambda.errors import ClientError, LambdaError, ServiceUnavailableException

#: Exit codes: a failure, a command line that makes no sense, and Ctrl-C.
EXIT_FAILURE, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
#: Options of the engine that are short enough to be typed.
ENGINE_ALIASES = {
    "port": "LambdaEngine.port",
    "driver": "LambdaEngine.driver",
    "region": "LambdaEngine.region",
    "account-id": "LambdaEngine.account_id",
}


class _UsageError(Exception):
    """The command line makes no sense."""


class _Parser(_KVArgParser):
    """Jupyter's parser; argparse's own way with an error prints every option there is."""

    def error(self, message: str) -> NoReturn:
        """One line, said by the command."""
        raise _UsageError(message)


class _Loader(KVArgParseConfigLoader):
    """Jupyter's command-line loader, but a mistyped option is an error, and ``-`` a value."""

    parser_class = _Parser

    def _handle_unrecognized_alias(self, arg: str) -> None:
        known = [key for keys in (*self.aliases, *self.flags) for key in ((keys,) if isinstance(keys, str) else keys)]
        near = difflib.get_close_matches(arg, known, 1)
        dashes = "-" if len(arg) == 1 else "--"
        raise _UsageError(f"unknown option {dashes}{arg}" + (f"; did you mean --{near[0]}?" if near else ""))

    def _convert_to_config(self) -> None:
        for name, value in vars(self.parsed_data).items():
            if value == _DASH_REPLACEMENT:
                setattr(self.parsed_data, name, "-")
        super()._convert_to_config()


class LambdaCommand(JupyterApp):
    """One subcommand."""

    version = __version__
    classes = [LambdaEngine, LambdaServer]
    #: How many words follow the options: least and most.
    words = (0, 0)
    #: What they are called in messages.
    words_help = ""

    state_dir = Unicode(
        help="Directory of the engine's functions, logs and queue. Default: JUPYTER_LAMBDA_STATE_DIR, else `lambda` in "
        "Jupyter's data directory.",
    ).tag(config=True)
    aliases: dict[Any, Any] = {"state-dir": "LambdaCommand.state_dir"}
    flags: dict[Any, Any] = {}

    @default("config_file_name")
    def _default_config_file_name(self) -> str:
        return "jupyter_lambda_config"

    @default("state_dir")
    def _default_state_dir(self) -> str:
        return str(default_state_dir())

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Add what every command takes to the options of this one."""
        super().__init_subclass__(**kwargs)
        cls.examples = dedent(str(cls.examples)).strip()
        cls.aliases = {"config": "JupyterApp.config_file", **LambdaCommand.aliases, **cls.aliases}
        cls.flags = {
            "debug": ({"Application": {"log_level": 10}}, "Say more."),
            "generate-config": (
                {"JupyterApp": {"generate_config": True}},
                "Write a configuration file with every option, commented out.",
            ),
            **cls.flags,
        }

    @property
    def directory(self) -> Path:
        """The state directory, absolute."""
        return Path(self.state_dir).expanduser().absolute()

    def connection(self) -> Connection:
        """The running engine: of ``--state-dir``, or elsewhere by JUPYTER_LAMBDA_ENGINE_URL.

        Raises:
            ServiceUnavailableException: None runs.
        """
        chosen = "state_dir" in self.cli_config.get("LambdaCommand", {})
        return connect(
            self.directory if chosen or not os.environ.get("JUPYTER_LAMBDA_ENGINE_URL") else None, start=False
        )

    def passed_on(self) -> list[str]:
        """What was said of the engine on this command line, for serve; configuration files it reads by itself."""
        given = self.cli_config.get("LambdaEngine", {})
        passed = [f"--LambdaEngine.{name}={value}" for name, value in given.items()]
        return [*passed, f"--config={Path(self.config_file).absolute()}"] if self.config_file else passed

    def parse_command_line(self, argv: Any = None) -> None:
        """As traitlets does it; a mistake is one line and exit code 2."""
        try:
            super().parse_command_line(argv)
        except _UsageError as exc:
            self.fail(f"{exc}; see --help", EXIT_USAGE)

    def update_config(self, config: Any) -> None:
        """As traitlets does it; a value that does not fit is one line and exit code 2."""
        try:
            super().update_config(config)
        except TraitError as exc:
            self.fail(str(exc), EXIT_USAGE)

    def start(self) -> None:
        """Run, and turn what goes wrong into one line and an exit code."""
        super().start()  # --generate-config, --show-config
        least, most = self.words
        if not least <= len(self.extra_args) <= most:
            extra = " ".join(self.extra_args[most:]) if len(self.extra_args) > most else ""
            self.fail(
                f"{extra!r} is one word too many" if extra else f"{self.words_help} is missing",
                EXIT_USAGE,
            )
        try:
            code = self.run()
            sys.stdout.flush()
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
        except BrokenPipeError:
            code = _broken_pipe()
        except LambdaError as exc:
            self.fail(exc.message)
        except TraitError as exc:
            self.fail(str(exc), EXIT_USAGE)
        self.exit(code)

    def run(self) -> int:
        """What the command does; returns the exit code."""
        raise NotImplementedError(type(self).__name__)

    def fail(self, message: str, code: int = EXIT_FAILURE) -> NoReturn:
        """Say what is wrong and end."""
        with contextlib.suppress(BrokenPipeError):
            print(f"{self.name.replace('-', ' ', 2)}: {message}", file=sys.stderr)
        sys.exit(code)

    def _create_loader(self, argv: Any, aliases: Any, flags: Any, classes: Any) -> _Loader:
        return _Loader(argv, aliases, flags, classes=classes, log=self.log, subcommands=self.subcommands)


def _broken_pipe() -> int:
    """The reader of our output has gone (``| head``): end quietly, also when Python flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13


def table(rows: list[list[str]], *, right: frozenset[int] = frozenset()) -> str:
    """Columns by width; those in ``right`` flush right. The first row is the heading."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


@contextlib.contextmanager
def aws_errors() -> Iterator[None]:
    """Turn botocore's errors into ours.

    Raises:
        ClientError: AWS's code and message.
        ServiceUnavailableException: The engine does not answer.
    """
    from botocore.exceptions import BotoCoreError
    from botocore.exceptions import ClientError as AwsError

    try:
        yield
    except AwsError as exc:
        error = exc.response.get("Error", {})
        raise ClientError(f"{error.get('Code', 'error')}: {error.get('Message', exc)}") from exc
    except BotoCoreError as exc:
        raise ServiceUnavailableException(f"the engine does not answer: {exc}") from exc
