"""The AWS CLI as people use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROLE, RUNTIME, zipped


@pytest.fixture
def aws(engine, tmp_path):
    owner = engine.service.credentials.owner
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": engine.url,
        "AWS_ACCESS_KEY_ID": owner.access_key,
        "AWS_SECRET_ACCESS_KEY": owner.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
    program = Path(sys.executable).with_name("aws")

    def call(*words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, program, "lambda", *words],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
            cwd=tmp_path,
        )
        return done.returncode, done.stdout, done.stderr

    return call


def test_create_invoke_delete(aws, name, tmp_path):
    (tmp_path / "code.zip").write_bytes(zipped())
    create = ["create-function", "--function-name", name, "--role", ROLE, "--runtime", RUNTIME]
    status, out, err = aws(*create, "--handler", "app.handler", "--zip-file", "fileb://code.zip", "--publish")
    assert status == 0, err
    assert json.loads(out)["Version"] == "1"
    words = ["--function-name", name, "--payload", '{"n": 3}', "--log-type", "Tail", "answer.json"]
    status, out, err = aws("invoke", *words)
    assert status == 0, err
    assert json.loads(out)["StatusCode"] == 200
    assert json.loads((tmp_path / "answer.json").read_text())["event"] == {"n": 3}
    status, out, err = aws("invoke", "--function-name", f"{name}:9", "answer.json")
    assert status != 0
    assert "(ResourceNotFoundException) when calling the Invoke operation" in err
    assert aws("delete-function", "--function-name", name)[0] == 0
