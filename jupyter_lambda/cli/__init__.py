"""The command line: ``jupyter lambda serve|start|stop|status|env|doctor|list|invoke|logs``."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the console script ``jupyter-lambda`` and of ``python -m jupyter_lambda.cli``."""
    import sys

    from jupyter_core.application import NoStart

    from .app import LambdaApp

    try:
        app = LambdaApp.instance()
        app.initialize(None if argv is None else list(argv))
        app.start()
    except NoStart:
        return
    except KeyboardInterrupt:
        sys.exit(130)
