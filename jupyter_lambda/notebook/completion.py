"""Tab completion of subcommands, options and function names; it never waits for the engine."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

#: Seconds for which a list of names is good, and the longest a key press waits for a new one.
_FRESH_S, _PATIENCE_S = 5.0, 0.12
_LINE = re.compile(r"^\s*(?:[\w.]+\s*=\s*)?%lambda(?:\s+(?P<rest>.*))?$", re.DOTALL)
_CELL = re.compile(r"^\s*%%lambda(?:\s+(?P<rest>.*))?$", re.DOTALL)


class FunctionNames:
    """Names of the deployed functions, fetched in the background."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._fetched_s = float("-inf")
        self._thread: threading.Thread | None = None

    def get(self) -> list[str]:
        """What is known; waits a moment for news, never longer."""
        if time.monotonic() - self._fetched_s > _FRESH_S:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._fetch, name="lambda-names", daemon=True)
                self._thread.start()
            self._thread.join(_PATIENCE_S)
        return list(self._names)

    def _fetch(self) -> None:
        from .deploy import functions
        from .engine import engines
        from .errors import NotebookError

        engine = engines.known()
        if engine is None:  # completion starts no engine
            engine = _running()
        if engine is None:
            return
        try:
            self._names = [str(one["FunctionName"]) for one in functions(engine)]
        except NotebookError:
            return
        self._fetched_s = time.monotonic()


def _running() -> Any:
    from jupyter_lambda.errors import LambdaError

    from .engine import engines

    try:
        from jupyter_lambda.connection import elsewhere, find

        return engines.get() if elsewhere() or find() else None
    except LambdaError:
        return None


class Completions:
    """The matcher that IPython's completer asks."""

    def __init__(self, shell: Any, names: FunctionNames | None = None) -> None:
        self._shell = shell
        self._names = names or FunctionNames()

    def matches(self, text: str) -> list[str]:
        """Continuations of the last word of what stands before the cursor; [] where it isn't ours."""
        cell = _CELL.match(text)
        if cell:
            return self._of_cell(cell["rest"])
        line = _LINE.match(text)
        return self._of_line(line["rest"]) if line else []

    def _of_cell(self, rest: str | None) -> list[str]:
        from . import options

        words, last = _split(rest)
        if last.startswith("-"):
            return _starting(options.option_strings(options.cell_parser()), last)
        if not words:
            return _starting(self._known(), last)
        return self._value(words[-1], last)

    def _of_line(self, rest: str | None) -> list[str]:
        from . import options

        words, last = _split(rest)
        if not words:
            return _starting(options.SUBCOMMANDS, last)
        subcommand = words[0]
        if subcommand not in options.SUBCOMMANDS:
            return []
        if last.startswith("-"):
            return _starting(options.option_strings(options.subcommand_parser(subcommand)), last)
        if subcommand == "help":
            return _starting(options.SUBCOMMANDS, last)
        if subcommand == "trigger":
            return self._of_trigger(words, last)
        if subcommand == "fire" and len(words) == 2:
            return _starting(_kinds(""), last)
        if subcommand in options.TAKES_NAME and (len(words) == 1 or subcommand == "rm"):
            return _starting(self._known(), last)
        return self._value(words[-1], last)

    def _of_trigger(self, words: list[str], last: str) -> list[str]:
        from . import options

        if len(words) == 1:
            return _starting(list(options.TRIGGER_ACTS), last)
        if len(words) == 2:
            return _starting(self._known(), last)
        return _starting(_kinds(":"), last) if words[1] != "list" else []

    def _value(self, before: str, last: str) -> list[str]:
        if last.startswith("$"):
            names = [f"${name}" for name in self._shell.user_ns if not name.startswith("_")]
            return _starting(sorted(names), last)
        if before == "--network":
            return _starting(["none", "egress"], last)
        if before == "--trigger":
            return _starting(_kinds(":"), last)
        if before in ("--use", "--handler"):
            return _starting(sorted(n for n in self._shell.user_ns if not n.startswith("_")), last)
        return []

    def _known(self) -> list[str]:
        from .cellmagic import deployed

        return sorted({*self._names.get(), *deployed(self._shell)})


def _kinds(sign: str) -> list[str]:
    from jupyter_lambda.eventsources.words import KINDS

    return [kind + sign for kind in KINDS]


def _split(rest: str | None) -> tuple[list[str], str]:
    """Whole words before the cursor, and the word it stands in."""
    words = (rest or "").split()
    if not rest or rest[-1].isspace():
        return words, ""
    return words[:-1], words[-1]


def _starting(candidates: list[str], start: str) -> list[str]:
    return [candidate for candidate in candidates if candidate.startswith(start)]


def install(shell: Any) -> None:
    """Add the matcher to a shell's completer."""
    completer = getattr(shell, "Completer", None)
    if completer is None:
        return
    completions = Completions(shell)

    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher(priority=200, identifier="jupyter_lambda")  # type: ignore[untyped-decorator]
    def lambda_matcher(context: Any) -> Any:
        found = completions.matches(context.line_with_cursor[: context.cursor_position])
        return {
            "completions": [SimpleCompletion(text=text, type="magic") for text in found],
            "suppress": bool(found),
            "matched_fragment": _split(context.line_with_cursor[: context.cursor_position])[1],
        }

    completer.custom_matchers.append(lambda_matcher)
