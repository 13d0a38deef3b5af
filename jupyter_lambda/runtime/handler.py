"""Finding the handler: the import path, and AWS's errors for every way in which it can't be found."""

from __future__ import annotations

import os
import sys

from .errors import Fault

TYPE_CHECKING = False  # `typing` is not imported: every cold start would wait for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .context import LambdaContext
    from .settings import Settings


def load_handler(name: str) -> Callable[[Any, LambdaContext], Any]:
    """Import the module of "module.function" and return the function.

    Raises:
        Fault: With AWS's error type for each way in which this fails.
    """
    module_name, dot, attribute = name.rpartition(".")
    if not dot:
        reason = "not enough values to unpack (expected 2, got 1)"
        raise Fault("Runtime.MalformedHandlerName", f"Bad handler '{name}': {reason}")
    if module_name.split(".")[0] in sys.builtin_module_names:
        message = f"Cannot use built-in module {module_name} as a handler module"
        raise Fault("Runtime.BuiltInModuleConflict", message)
    dotted = module_name.replace("/", ".")
    try:
        __import__(dotted)
    except ImportError as exc:
        raise Fault("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {exc}") from exc
    except SyntaxError as exc:
        trace = [f'  File "{exc.filename}" Line {exc.lineno}\n    {exc.text}']
        message = f"Syntax error in module '{module_name}': {exc}"
        raise Fault("Runtime.UserCodeSyntaxError", message, trace) from exc
    except ValueError as exc:
        # "" or a relative name: not a module name at all.
        if dotted.strip(".") == dotted and dotted:
            raise
        raise Fault("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {exc}") from exc
    try:
        return getattr(sys.modules[dotted], attribute)  # type: ignore[no-any-return]
    except AttributeError as exc:
        message = f"Handler '{attribute}' missing on module '{module_name}'"
        raise Fault("Runtime.HandlerNotFound", message) from exc


def set_paths(settings: Settings) -> None:
    """Put the function's code and its layers on the import path, in AWS's order, and read their ``.pth`` files."""
    site = sys.modules.get("site")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    layers = [f"{settings.opt}/python/lib/{version}/site-packages", f"{settings.opt}/python"]
    own = os.environ.get("PYTHONPATH")
    # As on AWS: who sets PYTHONPATH says by that where else to look.
    more = [path for path in own.split(os.pathsep) if path] if own is not None else layers
    sys.path[:0] = [settings.task_root, *more]
    known = set(sys.path)
    for directory in (settings.task_root, *layers, *filter(None, settings.site.split(os.pathsep))):
        if site is not None and os.path.isdir(directory):
            site.addsitedir(directory, known)
