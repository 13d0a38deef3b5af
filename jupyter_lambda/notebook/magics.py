"""``%%lambda`` and ``%lambda``. Everything heavy is imported when a magic runs, not when it is registered."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from .errors import MagicUsageError


@magics_class
class LambdaMagics(Magics):
    """AWS Lambda in the notebook."""

    @no_var_expand
    @line_cell_magic("lambda")  # type: ignore[arg-type]
    def lambda_magic(self, line: str, cell: str | None = None) -> Any:
        """AWS Lambda in the notebook: ``%%lambda NAME`` deploys a cell, ``%lambda help`` shows all else."""
        from . import options

        try:
            found = self._line(line) if cell is None else self._cell(line, cell)
            _tell_of_failures()
            return found
        except options.HelpShown:
            return None

    def _cell(self, line: str, cell: str) -> Any:
        from . import options, words
        from .cellmagic import deploy_cell

        arguments = options.cell_parser().parse_args(words.split(line))
        if not cell.strip():
            raise MagicUsageError(f"the cell of {arguments.name} is empty: write `def handler(event, context):` below")
        return deploy_cell(self.shell, arguments, cell)

    def _line(self, line: str) -> Any:
        from . import linemagic, options, words

        given = words.split(line)
        if not given:
            given = ["help"]
        if given[0] not in options.SUBCOMMANDS and not given[0].startswith("-") and _looks_like_cell(given):
            raise MagicUsageError(
                f"%lambda {given[0]}: to deploy a cell, write %%lambda with two signs in the cell's first line"
            )
        arguments = options.parse_line(given)
        run: Callable[[Any, argparse.Namespace], Any] = linemagic.COMMANDS[arguments.subcommand]
        return run(self.shell, arguments)


def _tell_of_failures() -> None:
    """Say once what failed while nobody looked; nothing where this kernel knows no engine yet."""
    from .engine import engines

    engine = engines.known()
    if engine is not None:
        from .jobs.notice import tell

        tell(engine)


def _looks_like_cell(given: list[str]) -> bool:
    return any(word in ("--pip", "--test", "--handler", "--use", "--runtime", "--dry-run") for word in given)


def register(shell: Any) -> None:
    """Add the magics and their completion to a shell, once."""
    if "lambda" in shell.magics_manager.magics["cell"]:
        known = shell.magics_manager.registry.get("LambdaMagics")
        if known is not None:
            return
    shell.register_magics(LambdaMagics)
    from .completion import install

    install(shell)
