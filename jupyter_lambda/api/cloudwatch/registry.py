"""Where the operations' functions are."""

from __future__ import annotations

from types import ModuleType

from jupyter_lambda.errors import ValidationException

from . import data, listing, publish, statistics

MODULES: tuple[ModuleType, ...] = (data, statistics, listing, publish)
BROKEN_CONSTRAINT = ValidationException
