"""Where the operations' functions are."""

from __future__ import annotations

from types import ModuleType

from jupyter_lambda.errors import InvalidParameterException

from . import events, groups, streams

MODULES: tuple[ModuleType, ...] = (groups, streams, events)
BROKEN_CONSTRAINT = InvalidParameterException
