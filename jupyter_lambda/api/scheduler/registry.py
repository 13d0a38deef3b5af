"""Where the operations' functions are."""

from __future__ import annotations

from types import ModuleType

from jupyter_lambda.errors import ValidationException

from . import groups, schedules, tags

MODULES: tuple[ModuleType, ...] = (schedules, groups, tags)
BROKEN_CONSTRAINT = ValidationException
