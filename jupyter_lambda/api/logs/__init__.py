"""CloudWatch Logs for the functions' groups, /aws/lambda/NAME: each function bears the name of its operation."""

from __future__ import annotations

from types import ModuleType

from jupyter_lambda.errors import InvalidParameterException

from . import events, groups, streams

MODULES: tuple[ModuleType, ...] = (groups, streams, events)
BROKEN_CONSTRAINT = InvalidParameterException
