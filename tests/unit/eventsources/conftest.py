"""AWS in memory."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

_spec = importlib.util.spec_from_file_location("eventsources_fake_aws", Path(__file__).with_name("fake_aws.py"))
assert _spec
assert _spec.loader
fake_aws = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake_aws)


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """With one bucket, queue, topic, stream and table."""
    monkeypatch.chdir(tmp_path)
    made = fake_aws.Aws()
    made.everything()
    return made


@pytest.fixture
def real_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same, reached by a profile: no engine's own routes."""
    monkeypatch.chdir(tmp_path)
    made = fake_aws.Aws(at_aws=True)
    made.everything()
    return made
