"""What the person at the notebook did wrong, in one line and without a traceback.

IPython asks an exception for ``_render_traceback_`` before it renders one itself; so an error stops the cell (and "Run
all"), yet reads as one line.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from jupyter_lambda.errors import LambdaError

_RED, _BOLD, _OFF = "\x1b[31m", "\x1b[1m", "\x1b[0m"


class NotebookError(LambdaError, status=400):
    """Something the user can mend; the message says how."""

    def _render_traceback_(self) -> list[str]:
        return [f"{_RED}{_BOLD}{type(self).__name__}{_OFF}: {self.message}"]


class MagicUsageError(NotebookError):
    """A magic line can't be read: unknown subcommand, option or value."""


class CaptureError(NotebookError):
    """A cell can't become a function as it stands; the message names the line and what would fix it."""


class DeployError(NotebookError):
    """The engine or AWS refused to create or change the function."""


class DependencyError(NotebookError):
    """The packages asked for can't be installed."""


class Interrupted(KeyboardInterrupt):
    """The cell was interrupted; says in one line what became of the invocation."""

    def _render_traceback_(self) -> list[str]:
        return [f"{_RED}{_BOLD}KeyboardInterrupt{_OFF}: {self}"]


# Front ends know an interrupt by this name.
Interrupted.__name__ = "KeyboardInterrupt"


class EngineUnavailable(NotebookError):
    """No engine answers and none could be started."""


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """What the engine, AWS or a trigger's word refuses, as the notebook's own error."""
    try:
        yield
    except NotebookError:
        raise
    except LambdaError as exc:
        raise NotebookError(exc.message) from exc
