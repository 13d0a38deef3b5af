"""Finds the functions of all families by their operations' names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from jupyter_lambda.api.call import Handler

from . import (
    account,
    aliases,
    concurrency,
    functions,
    invoke,
    invoke_configs,
    layers,
    management,
    mappings,
    policies,
    tags,
    urls,
    versions,
)

MODULES: tuple[ModuleType, ...] = (
    functions,
    versions,
    aliases,
    invoke,
    concurrency,
    invoke_configs,
    layers,
    tags,
    policies,
    account,
    management,
    mappings,
    urls,
)
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def function_name(operation: str) -> str:
    """GetFunction → get_function."""
    return _WORD.sub("_", operation).lower()


def handlers(operations: Iterable[str], modules: Iterable[ModuleType] = MODULES) -> dict[str, Handler]:
    """The operations that are built, with the functions that answer them.

    Args:
        modules: Where to look, another service's for example.
    """
    modules = tuple(modules)
    found: dict[str, Handler] = {}
    for operation in operations:
        for module in modules:
            handler: Any = getattr(module, function_name(operation), None)
            if handler is not None and handler.__module__ == module.__name__:
                found[operation] = handler
    return found


def without_effect(modules: Iterable[ModuleType] = MODULES) -> Mapping[str, Mapping[str, str]]:
    """Operation → parameter → why it changes nothing."""
    merged: dict[str, Mapping[str, str]] = {}
    for module in modules:
        merged.update(getattr(module, "WITHOUT_EFFECT", {}))
    return merged
