"""The engine's own routes, through the client that the notebook and the command line use."""

from __future__ import annotations

import json
import os
import uuid

import pytest

from jupyter_lambda.client import Admin
from jupyter_lambda.connection import Connection
from jupyter_lambda.errors import ClientError, ResourceNotFoundException


@pytest.fixture
def admin(engine) -> Admin:
    import inspect

    owner = engine.service.credentials.owner
    known = {
        "url": engine.url,
        "region": "us-east-1",
        "access_key": owner.access_key,
        "secret_key": owner.secret_key,
        "account_id": "000000000000",
        "pid": os.getpid(),
    }
    wanted = inspect.signature(Connection).parameters
    return Admin(Connection(**{k: v for k, v in known.items() if k in wanted}))


def test_status(admin):
    status = admin.status()
    assert status["driver"] == "docker"
    assert status["draining"] is False


def test_records_stats_and_logs(admin, engine, make, client, name):
    make()
    done = client.invoke(FunctionName=name, Payload=b"{}")["ResponseMetadata"]["RequestId"]
    failed = client.invoke(FunctionName=name, Payload=b'{"fail": "x"}')["ResponseMetadata"]["RequestId"]
    assert admin.invocation(done)["status"] == "success"
    assert [r["request_id"] for r in admin.invocations(name)["invocations"]] == [failed, done]
    assert [r["request_id"] for r in admin.invocations(name, status="error", limit=1)["invocations"]] == [failed]
    (row,) = admin.stats(name)["functions"]
    assert (row["invocations"], row["errors"], row["cold"]) == (2, 1, 1)
    assert row["price"] > 0
    assert admin.stats(name, since_s=4e9)["functions"] == []
    lines = [line["message"] for line in admin.logs(name, request_id=done)]
    assert any(line.startswith(f"START RequestId: {done}") for line in lines)


def test_nothing_to_stop(admin):
    assert admin.stop(str(uuid.uuid4())) is False


def test_doctor_environments_and_events(admin):
    assert admin.doctor() == [{"level": "ok", "subject": "driver", "text": "made of coroutines", "advice": ""}]
    assert isinstance(admin.environments()["environments"], list)
    assert isinstance(admin.events()["depth"], dict)


def test_what_is_wrong_is_said(admin, engine):
    with pytest.raises(ResourceNotFoundException, match="No invocation"):
        admin.invocation("none")
    with pytest.raises(ClientError, match="must be a number"):
        admin.call("GET", "/invocations", limit="many")
    with pytest.raises(ClientError, match="status must be one of"):
        admin.invocations(status="odd")
    with pytest.raises(ClientError, match="whose log"):
        admin.call("GET", "/logs")
    assert engine.signed("GET", "/_jupyter_lambda/packages/00.zip")[0] == 404
    assert engine.signed("GET", "/_jupyter_lambda/packages/../../etc/passwd")[0] == 404
    status, headers, body = engine.signed("GET", "/_jupyter_lambda/nothing")
    assert (status, headers["x-amzn-errortype"]) == (404, "UnknownOperationException")
    assert "no admin route" in json.loads(body)["message"]
