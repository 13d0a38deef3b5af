"""Doctor's line about the cloud."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from jupyter_lambda.cli.cloud import check_cloud
from jupyter_lambda.config import LambdaEngine
from jupyter_lambda.triggers.cloud import embedded


def test_each_home_is_told_with_what_becomes_of_its_data(tmp_path: Path) -> None:
    kept = check_cloud(LambdaEngine(), tmp_path)
    assert (kept.level, "ministack" in kept.text, str(tmp_path / "cloud") in kept.text) == ("ok", True, True)
    forgets = check_cloud(LambdaEngine(cloud_server="moto"), tmp_path)
    assert forgets.level == "warning"
    assert "forgets everything" in forgets.text
    aws = check_cloud(LambdaEngine(cloud="aws", aws_profile="work", region="eu-west-1"), tmp_path)
    assert "eu-west-1" in aws.text
    assert "profile work" in aws.text
    assert check_cloud(LambdaEngine(cloud="none"), tmp_path).text.startswith("none")
    assert not list(tmp_path.iterdir()), "nothing is started or made for it"


def test_an_endpoint_is_tried(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert check_cloud(LambdaEngine(aws_endpoint_url=url), tmp_path).level == "ok"
    silent = check_cloud(LambdaEngine(aws_endpoint_url=url), tmp_path)
    assert (silent.level, "does not answer" in silent.text) == ("warning", True)


def test_what_was_asked_for_and_is_missing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "MODULES", {})
    assert check_cloud(LambdaEngine(), tmp_path).level == "ok"
    missing = check_cloud(LambdaEngine(cloud="embedded"), tmp_path)
    assert (missing.level, "pip install jupyter-lambda[cloud]" in missing.text) == ("error", True)
