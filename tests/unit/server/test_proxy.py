from __future__ import annotations

import json

import pytest

ROUTES = [
    ("lambda/api/engine", "GET"),
    ("lambda/api/engine", "POST"),
    *(("lambda/engine/2015-03-31/functions", method) for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")),
]


@pytest.mark.parametrize(("path", "method"), ROUTES)
async def test_every_route_refuses_who_did_not_log_in(serve, engine, path, method):
    server = await serve()
    answer = await server.fetch(path, method, token=False)
    assert answer.code == 403
    assert engine.requests == []
    assert engine.starts == 0


@pytest.mark.parametrize(("path", "method"), ROUTES)
async def test_every_route_serves_who_did(serve, path, method):
    server = await serve()
    assert (await server.fetch(path, method)).code == 200


@pytest.mark.parametrize(("path", "method"), [route for route in ROUTES if route[1] not in ("GET", "HEAD")])
async def test_a_cookie_alone_changes_nothing(serve, engine, path, method):
    """Another site's page can send the cookie, but not the XSRF token."""
    server = await serve()
    login = await server.fetch("tree?token=t0ken", token=False)
    cookies = "; ".join(value.partition(";")[0] for value in login.headers.get_list("Set-Cookie"))
    assert "username" in cookies
    refused = await server.fetch(path, method, token=False, headers={"Cookie": cookies})
    assert refused.code in (403, 404)
    assert engine.requests == []
    xsrf = cookies.partition("_xsrf=")[2].partition(";")[0]
    allowed = await server.fetch(path, method, token=False, headers={"Cookie": cookies, "X-XSRFToken": xsrf})
    assert allowed.code == 200


async def test_what_reaches_the_engine_is_signed_and_carries_no_secret_of_the_server(serve, engine):
    server = await serve()
    sent = {
        "Cookie": "username=me",
        "X-Amz-Invocation-Type": "Event",
        "X-Amz-Date": "20200101T000000Z",
        "X-Amz-Security-Token": "forged",
        "X-Forwarded-For": "10.0.0.1",
        "Origin": f"http://127.0.0.1:{server.app.port}",
    }
    path = "lambda/engine/2015-03-31/functions/a%3A1/invocations?Qualifier=%24LATEST"
    await server.fetch(path, "POST", headers=sent, body=b'{"n": 3}')
    (seen,) = engine.requests
    assert seen.path == "/2015-03-31/functions/a%3A1/invocations?Qualifier=%24LATEST"
    assert seen.body == b'{"n": 3}'
    headers = {name.lower(): value for name, value in seen.headers.items()}
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIAOWNER/")
    assert headers["x-amz-invocation-type"] == "Event"
    assert not headers["x-amz-date"].startswith("2020")
    assert not {"cookie", "origin", "x-forwarded-for", "x-amz-security-token"} & headers.keys()
    assert "t0ken" not in str(headers)


async def test_the_answer_comes_back_as_it_is_but_is_no_page_of_the_server(serve, engine):
    server = await serve()
    body = [b"<script>", b"x" * 100_000]
    engine.answer = (
        201,
        {"Content-Type": "text/html", "X-Amz-Function-Error": "Unhandled", "Set-Cookie": "a=b", "Server": "evil"},
        body,
    )
    answer = await server.fetch("lambda/engine/2015-03-31/functions/f/invocations", "POST")
    assert answer.code == 201
    assert answer.body == b"".join(body)
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.headers["X-Amz-Function-Error"] == "Unhandled"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "a=b" not in answer.headers.get("Set-Cookie", "")
    assert "evil" not in answer.headers.get("Server", "")


async def test_streams(serve, engine):
    server = await serve()
    pieces = []
    engine.answer = (200, {}, [b"one", b"two", b"three"])
    await server.fetch("lambda/engine/x", streaming_callback=pieces.append)
    assert b"".join(pieces) == b"onetwothree"


async def test_refuses_what_is_too_large(serve, engine):
    server = await serve(max_body_mb=1)
    answer = await server.fetch("lambda/engine/x", "POST", body=b"x" * (1024 * 1024 + 1))
    assert answer.code == 413
    assert "max_body_mb" in json.loads(answer.body)["message"]
    assert engine.requests == []


async def test_an_engine_that_does_not_answer_is_a_502(serve, engine):
    server = await serve()
    await server.fetch("lambda/engine/x")
    from dataclasses import replace

    server.keeper._connection = replace(server.keeper._connection, url="http://127.0.0.1:1")
    answer = await server.fetch("lambda/engine/x")
    assert answer.code == 502
    assert "did not answer" in json.loads(answer.body)["message"]
    assert (await server.fetch("lambda/engine/x")).code == 200  # looked for again


async def test_no_route_shows_a_secret(serve, engine):
    server = await serve()
    await server.fetch("lambda/api/engine", "POST")
    answer = await server.fetch("lambda/api/engine")
    state = json.loads(answer.body)
    assert state["state"] == "ready"
    assert state["isolated"] is False
    assert "s3cret" not in answer.body.decode()
    assert "AKIAOWNER" not in answer.body.decode()
