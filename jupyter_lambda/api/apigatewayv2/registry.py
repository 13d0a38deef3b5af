"""Where the operations' functions are."""

from __future__ import annotations

from types import ModuleType

from jupyter_lambda.errors import BadRequestException

from . import apis, authorizers, deployments, integrations, routes, stages, tags

MODULES: tuple[ModuleType, ...] = (apis, routes, integrations, authorizers, stages, deployments, tags)
BROKEN_CONSTRAINT = BadRequestException
