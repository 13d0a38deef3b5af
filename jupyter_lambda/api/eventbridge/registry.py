"""Where the operations' functions are."""

from __future__ import annotations

from types import ModuleType

from jupyter_lambda.errors import ValidationException

from . import buses, events, policies, rules, tags, targets

MODULES: tuple[ModuleType, ...] = (buses, policies, rules, targets, events, tags)
BROKEN_CONSTRAINT = ValidationException
