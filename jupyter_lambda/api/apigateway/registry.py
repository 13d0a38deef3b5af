"""Where the operations' functions are."""

from __future__ import annotations

from types import ModuleType

from jupyter_lambda.errors import BadRequestException

from . import (
    account,
    authorizers,
    deployments,
    integrations,
    keys,
    methods,
    resources,
    rest_apis,
    stages,
    tags,
    testing,
    usage_plans,
)

MODULES: tuple[ModuleType, ...] = (
    rest_apis,
    resources,
    methods,
    integrations,
    deployments,
    stages,
    authorizers,
    tags,
    account,
    testing,
    keys,
    usage_plans,
)
BROKEN_CONSTRAINT = BadRequestException
