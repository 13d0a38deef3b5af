from __future__ import annotations

import json
import os


async def test_kernels_inherit_where_the_engine_is(serve, engine):
    server = await serve()
    assert os.environ["JUPYTER_LAMBDA_STATE_DIR"] == str(engine.state_dir)
    assert os.environ["JUPYTER_LAMBDA_OWNER_PID"] == str(os.getpid())
    await server.app._cleanup()
    assert "JUPYTER_LAMBDA_STATE_DIR" not in os.environ


async def test_an_engine_that_may_outlive_the_server_has_no_owner(serve):
    await serve(stop_engine=False)
    assert os.environ["JUPYTER_LAMBDA_OWNER_PID"] == "0"


async def test_stops_with_the_server(serve, engine):
    server = await serve()
    assert (await server.fetch("lambda/engine/x")).code == 200
    assert engine.process.poll() is None
    await server.app._cleanup()
    assert engine.process.wait(5) == -15


async def test_an_engine_elsewhere_is_used_and_never_started(serve, engine, monkeypatch):
    monkeypatch.setenv("JUPYTER_LAMBDA_ACCESS_KEY_ID", "AKIASHARED")
    monkeypatch.setenv("JUPYTER_LAMBDA_SECRET_ACCESS_KEY", "other")
    server = await serve(engine_url=engine.url + "/")
    assert os.environ["JUPYTER_LAMBDA_ENGINE_URL"] == engine.url
    assert (await server.fetch("lambda/engine/2015-03-31/functions")).code == 200
    (seen,) = engine.requests
    assert "Credential=AKIASHARED/" in seen.headers["Authorization"]
    assert json.loads((await server.fetch("lambda/api/engine")).body)["state"] == "elsewhere"
    assert engine.starts == 0


async def test_an_engine_elsewhere_without_credentials_says_what_to_set(serve, engine, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    server = await serve(engine_url=engine.url)
    answer = await server.fetch("lambda/engine/x")
    assert answer.code == 503
    assert "JUPYTER_LAMBDA_ACCESS_KEY_ID" in json.loads(answer.body)["message"]
