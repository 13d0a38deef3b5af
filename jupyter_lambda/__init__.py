"""AWS Lambda inside the notebook.

Importing this costs next to nothing: the public names are looked up when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

if TYPE_CHECKING:
    from .client import aws
    from .connection import connect
    from .notebook.decorator import lambda_function
    from .notebook.function import LambdaFunction
    from .notebook.invocation import FunctionError, Invocation

#: Public name → module that has it.
_PUBLIC = {
    "FunctionError": ".notebook.invocation",
    "Invocation": ".notebook.invocation",
    "LambdaFunction": ".notebook.function",
    "aws": ".client",
    "connect": ".connection",
    "lambda_function": ".notebook.decorator",
}
__all__ = ["FunctionError", "Invocation", "LambdaFunction", "__version__", "aws", "connect", "lambda_function"]


def __getattr__(name: str) -> Any:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(module, __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext jupyter_lambda``, and what the start-up hook calls: the magics are there, nothing heavy is loaded."""
    from .notebook.magics import register

    register(ipython)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Where jupyter_server finds the extension."""
    from .server import _jupyter_server_extension_points as points

    return points()
