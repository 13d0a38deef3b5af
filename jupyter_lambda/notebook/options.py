"""What can be written after ``%%lambda`` and ``%lambda``: every option and subcommand, with its help."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable
from typing import Any, NoReturn

from jupyter_lambda.model import limits

from . import words
from .errors import MagicUsageError
from .jobs import options as jobs

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: What ``%lambda trigger`` does.
TRIGGER_ACTS = ("add", "rm", "list", "pause", "resume")


class HelpShown(Exception):
    """Help was printed; there is nothing more to do."""


class _Parser(argparse.ArgumentParser):
    """argparse whose errors are one line and whose help doesn't end the kernel."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        unknown = re.search(r"unrecognized arguments: (\S+)", message)
        invalid = re.search(r"invalid choice: '(\S+?)'", message)
        hint = ""
        if unknown:
            hint = _nearest(unknown[1], [o for action in self._actions for o in action.option_strings])
            message = f"unknown option {unknown[1]}" if unknown[1].startswith("-") else f"unexpected {unknown[1]}"
        elif invalid and "argument SUBCOMMAND" in message:
            hint = _nearest(invalid[1], SUBCOMMANDS)
            message = f"there is no %lambda {invalid[1]}"
        raise MagicUsageError(f"{self.prog}: {message}{hint} ({self.prog} --help shows all)")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise HelpShown


def _nearest(word: str, candidates: list[str]) -> str:
    near = difflib.get_close_matches(word, candidates, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def function_name(word: str) -> str:
    """A function's name, as AWS allows it."""
    if not _NAME.fullmatch(word):
        raise argparse.ArgumentTypeError(f"{word!r} can't be a function's name: letters, digits, - and _, at most 64")
    return word


def identifier(word: str) -> str:
    """A Python variable's name."""
    if not word.isidentifier():
        raise argparse.ArgumentTypeError(f"{word!r} can't be a variable's name")
    return word


def _memory(word: str) -> int:
    try:
        value = words.megabytes(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r} is not a size; write 512 or 2GB") from None
    if not limits.MEMORY_MIN_MB <= value <= limits.MEMORY_MAX_MB:
        raise argparse.ArgumentTypeError(
            f"{value} MB is outside {limits.MEMORY_MIN_MB} to {limits.MEMORY_MAX_MB} MB, which Lambda allows"
        )
    return value


def _timeout(word: str) -> int:
    value = _seconds(word)
    if not 1 <= value <= limits.TIMEOUT_MAX_S:
        raise argparse.ArgumentTypeError(f"{word} is outside 1 s to {limits.TIMEOUT_MAX_S} s, which Lambda allows")
    return round(value)


def _seconds(word: str) -> float:
    try:
        return words.seconds(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r} is not a duration; write 60, 60s or 5m") from None


def _positive(word: str) -> int:
    if not word.isdigit() or not int(word):
        raise argparse.ArgumentTypeError(f"{word!r} is not a number above 0")
    return int(word)


def _configuration(parser: argparse.ArgumentParser) -> None:
    """Options that ``%%lambda`` and ``%lambda config`` share."""
    parser.add_argument("--memory", type=_memory, metavar="MB", help="memory: 512, or 2GB (default 512)")
    parser.add_argument("--timeout", type=_timeout, metavar="SECONDS", help="longest run: 60, 60s or 5m (default 30)")
    parser.add_argument(
        "--env", action="append", metavar="K=V", help="environment variable; may be given several times; V may be $var"
    )
    parser.add_argument("--network", choices=("none", "egress"), help="none: no network but the AWS endpoint")


def cell_parser() -> argparse.ArgumentParser:
    """The parser of ``%%lambda NAME [options]``."""
    parser = _Parser(
        prog="%%lambda",
        usage="%%%%lambda NAME [options]",
        description="Deploy this cell as the Lambda function NAME, and bind it in the notebook.",
    )
    parser.add_argument("name", type=function_name, metavar="NAME", help="name of the function")
    _configuration(parser)
    parser.add_argument("--runtime", help="AWS runtime, e.g. python3.12 (default: this notebook's Python)")
    parser.add_argument("--handler", metavar="NAME", help="the function to call (default: handler, or the only one)")
    parser.add_argument(
        "--pip", nargs="+", action="extend", metavar="PKG", help="packages the function needs, as pip names them"
    )
    parser.add_argument("-r", "--requirements", metavar="FILE", help="packages from a requirements file")
    parser.add_argument(
        "--use", nargs="+", action="extend", metavar="NAME", help="names to bring in that the cell doesn't mention"
    )
    parser.add_argument(
        "--trigger",
        action="append",
        metavar="WORD",
        help="what fires it: http:/path, 'rate:5 minutes', s3:bucket, queue:name, folder:data/*.csv, …; may be given "
        "several times (`%%lambda trigger --help` lists all kinds)",
    )
    parser.add_argument("--test", metavar="EVENT", help="call it with this event once deployed: JSON, $var or @file")
    parser.add_argument("--out", type=identifier, metavar="VAR", help="keep the result of --test in this variable")
    parser.add_argument("--as", dest="bind", type=identifier, metavar="VAR", help="bind it as VAR instead of NAME")
    parser.add_argument("--dry-run", action="store_true", help="show the code that would be deployed; change nothing")
    parser.add_argument("--no-deploy", action="store_true", help="build NAME.zip beside the notebook; deploy nothing")
    parser.add_argument("--profile", metavar="AWSPROFILE", help="deploy to AWS itself, with this profile")
    parser.add_argument("--role", metavar="ARN", help="execution role, for --profile")
    parser.add_argument("-q", "--quiet", action="store_true", help="show nothing but errors and results")
    return parser


def _show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", metavar="PATTERN", help="only names that contain it")


def _invoke(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("event", nargs="?", metavar="EVENT", help="JSON, $var, {expression} or @file (default {})")
    parser.add_argument("--out", type=identifier, metavar="VAR", help="keep the result in this variable")
    parser.add_argument("--qualifier", metavar="Q", help="version or alias")
    parser.add_argument("--async", dest="send", action="store_true", help="queue it and don't wait for the result")
    parser.add_argument("-q", "--quiet", action="store_true", help="show nothing but errors")


def _map(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("events", metavar="EVENTS", help="list of events: $var, JSON or @file")
    parser.add_argument("--max-parallel", type=_positive, default=50, metavar="N", help="at one time (default 50)")
    parser.add_argument("--out", type=identifier, metavar="VAR", help="keep the results in this variable")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


def _logs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--request-id", metavar="ID", help="of one invocation")
    parser.add_argument("--since", type=_seconds, metavar="AGO", help="how far back: 90s, 5m, 2h")
    parser.add_argument("--pattern", metavar="TEXT", help="only lines that contain it")
    parser.add_argument("--limit", type=_positive, default=200, metavar="N", help="newest lines shown (default 200)")


def _config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    _configuration(parser)
    parser.add_argument("--concurrency", metavar="N", help="reserved concurrency, or none")


def _sizes(word: str) -> list[int]:
    return [_memory(part) for part in word.split(",")]


def _tune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "--memory", type=_sizes, metavar="MB,MB…", help="sizes to try (default 128,256,512,1024,1769)", default=None
    )
    parser.add_argument("--n", type=_positive, default=20, metavar="N", help="warm runs of each size (default 20)")
    parser.add_argument("--event", metavar="EVENT", help="JSON, $var, {expression} or @file (default {})")
    parser.add_argument(
        "--strategy", choices=("cost", "speed", "balanced"), default="balanced", help="what is best (default balanced)"
    )
    parser.add_argument("--apply", action="store_true", help="give the function the size that was chosen")
    parser.add_argument("--out", type=identifier, metavar="VAR", help="keep what was found in this variable")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


def _rm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME")


def _clean(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="every function of the engine, not only this notebook's")
    parser.add_argument("--cache", action="store_true", help="the cached builds of --pip as well")


def _versions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--publish", action="store_true", help="publish the present code as a version first")


def _rollback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("version", nargs="?", metavar="VERSION", help="default: the one before the present")


def _stats(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("--since", type=_seconds, metavar="AGO", help="how far back: 5m, 2h, 1d (default: all)")


def _bill(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", type=_seconds, metavar="AGO", default=7 * 86_400.0, help="how far back (7d)")
    parser.add_argument("--by", choices=("function", "day", "both"), default="function", help="what lines are for")


def _trigger(parser: argparse.ArgumentParser) -> None:
    from jupyter_lambda.eventsources.words import KINDS

    parser.add_argument("act", choices=TRIGGER_ACTS, metavar="|".join(TRIGGER_ACTS), help="what to do")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the function; list without one: all functions")
    parser.add_argument(
        "triggers", nargs="*", metavar="TRIGGER", help="KIND:WHERE; for rm, pause and resume a KIND alone will do"
    )
    width = max(len(kind.usage) for kind in KINDS.values()) + 2
    lines = [f"  {kind.usage:{width}}{kind.summary}" for kind in KINDS.values()]
    parser.epilog = "Triggers:\n" + "\n".join(lines).replace("%", "%%")


def _fire(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("trigger", metavar="TRIGGER", help="a kind (s3), or a trigger's whole word (s3:bucket/prefix)")
    parser.add_argument("--event", metavar="EVENT", help="another event: JSON, $var, {expression} or @file")
    parser.add_argument("--show", action="store_true", help="only show the event that would be sent")
    parser.add_argument("--out", type=identifier, metavar="VAR", help="keep the result in this variable")
    parser.add_argument("-q", "--quiet", action="store_true", help="show nothing but errors")


def _stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME_OR_REQUEST_ID", help="all that run of a function, or one invocation")


def _doctor(parser: argparse.ArgumentParser) -> None:
    del parser


def _help(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", nargs="?", metavar="SUBCOMMAND")


_DEFINITIONS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "list": ("the functions, with state, calls and last change", _list),
    "show": ("one function: configuration, what it carries, how to call it", _show),
    "invoke": ("call a function and show what came of it", _invoke),
    "map": ("call a function with each of a list of events", _map),
    "logs": ("what a function wrote", _logs),
    "config": ("show or change memory, timeout, environment, network, concurrency", _config),
    "tune": ("run a function at several memory sizes and choose one by cost or speed", _tune),
    "trigger": ("add, remove, list, pause or resume what fires a function", _trigger),
    "fire": ("send a function the event that a kind of trigger would send", _fire),
    "rm": ("delete functions and their triggers", _rm),
    "clean": ("delete the functions this notebook deployed", _clean),
    "versions": ("the published versions", _versions),
    "rollback": ("put an earlier version's code and configuration back", _rollback),
    "stats": ("calls, errors, GB-seconds and price", _stats),
    "bill": ("what AWS would charge, by function or day", _bill),
    "stop": ("stop what is running", _stop),
    "notebook": ("run a whole notebook as a job: on a schedule, or now", jobs.notebook),
    "runs": ("what notebook jobs did: status, pages, logs, failures", jobs.runs),
    "doctor": ("check the engine and say what to do about each finding", _doctor),
    "help": ("this overview, or the help of one subcommand", _help),
}
SUBCOMMANDS = list(_DEFINITIONS)
#: Subcommands whose first argument is a function's name.
TAKES_NAME = frozenset(
    {"show", "invoke", "map", "logs", "config", "tune", "fire", "rm", "versions", "rollback", "runs", "stats", "stop"}
)


def line_parser() -> argparse.ArgumentParser:
    """The parser of ``%lambda SUBCOMMAND …``."""
    parser = _Parser(
        prog="%lambda",
        usage="%%lambda SUBCOMMAND …",
        description="AWS Lambda in the notebook. %%lambda NAME at the top of a cell deploys it.",
    )
    children = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True, parser_class=_Parser)
    for name, (summary, define) in _DEFINITIONS.items():
        child = children.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        child.prog = f"%lambda {name}"
        define(child)
    return parser


def parse_line(words: list[str]) -> argparse.Namespace:
    """What stands after ``%lambda``; a mistake after a subcommand is told by that subcommand's own parser.

    Raises:
        MagicUsageError: It makes no sense; one line that says why.
    """
    if not words or words[0] not in _DEFINITIONS:
        return line_parser().parse_args(words)
    return subcommand_parser(words[0]).parse_args(words[1:], argparse.Namespace(subcommand=words[0]))


def subcommand_parser(name: str) -> argparse.ArgumentParser:
    """The parser of one subcommand alone, for its help and completion."""
    summary, define = _DEFINITIONS[name]
    parser = _Parser(prog=f"%lambda {name}", description=summary[0].upper() + summary[1:] + ".")
    define(parser)
    return parser


def option_strings(parser: argparse.ArgumentParser) -> list[str]:
    """Every option of a parser, short ones and ``--help`` included."""
    return [option for action in parser._actions for option in action.option_strings]
