"""What a stage of a REST API may be called."""

from __future__ import annotations

import re

from jupyter_lambda.errors import BadRequestException

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


def check_stage_name(name: str) -> None:
    """Refuse what is no name of a stage.

    Raises:
        BadRequestException: AWS's text.
    """
    if not _NAME.fullmatch(name):
        raise BadRequestException("Stage name only allows a-zA-Z0-9_-")
