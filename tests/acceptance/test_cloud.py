"""The embedded cloud behind the engine's own endpoint, with both implementations: started on demand, watched, kept."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from .cloud import Cloud, cloud  # noqa: F401 - a fixture

pytestmark = pytest.mark.timeout(180)


def test_nothing_is_started_before_it_is_needed_and_status_says_so(cloud: Cloud) -> None:  # noqa: F811
    from jupyter_lambda.client import Admin

    status: Any = Admin(cloud.connection).status()
    assert status["triggers"]["cloud"]["server"] == cloud.server
    assert "not started" in status["triggers"]["cloud"]["state"]
