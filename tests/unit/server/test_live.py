"""The websocket of each page: who may have it, what it tells, and that it goes on where it stopped."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from jupyter_lambda.server import feed as feed_module
from jupyter_lambda.server.feed import merged

LIVE = "/_jupyter_lambda/live"
SNAPSHOT = {"seq": 4, "epoch": "e1", "reset": {"totals": {"f": {"invocations": 2}}}}


def ended(number: int, **values: Any) -> dict[str, Any]:
    told = {"kind": "ended", "function": "f", "request_id": f"r{number}", "status": "success", "cold": False}
    return {**told, "run_ms": 2.0, **values}


def lines(*batches: dict[str, Any]) -> tuple[int, dict[str, str], list[bytes]]:
    return 200, {"Content-Type": "application/x-ndjson"}, [json.dumps(batch).encode() + b"\n" for batch in batches]


async def opened(server: Any, query: str = "", **headers: str) -> WebSocketClientConnection:
    url = f"ws://127.0.0.1:{server.app.port}{server.app.base_url}lambda/api/live{query}"
    return await websocket_connect(HTTPRequest(url, headers=headers))


async def heard(page: WebSocketClientConnection, wanted: Any) -> dict[str, Any]:
    """The first message that satisfies."""
    async with asyncio.timeout(10):
        while True:
            text = await page.read_message()
            assert text is not None, "it was closed"
            if wanted(message := json.loads(text)):
                return message


AUTH = {"Authorization": "token t0ken"}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "token wrong"}])
async def test_strangers_are_refused(serve, engine, headers):
    server = await serve()
    with pytest.raises(HTTPClientError) as refused:
        await opened(server, **headers)
    assert refused.value.code == 403
    assert engine.requests == []


async def test_a_page_of_another_site_is_refused_with_the_users_own_cookie(serve):
    server = await serve()
    login = await server.fetch("tree?token=t0ken", token=False)
    cookies = "; ".join(value.partition(";")[0] for value in login.headers.get_list("Set-Cookie"))
    with pytest.raises(HTTPClientError) as refused:
        await opened(server, Cookie=cookies, Origin="http://elsewhere.example")
    assert refused.value.code == 403
    page = await opened(server, Cookie=cookies, Origin=f"http://127.0.0.1:{server.app.port}")
    assert await page.read_message()
    page.close()


async def test_a_page_tells_the_engines_state_and_starts_none(serve, engine):
    server = await serve()
    page = await opened(server, **AUTH)
    said = await heard(page, lambda message: "keeper" in message)
    assert said["keeper"]["state"] == "stopped"
    await asyncio.sleep(0.1)
    assert engine.starts == 0
    assert "s3cret" not in json.dumps(said)
    page.close()


async def test_changes_reach_all_pages_by_one_subscription_and_a_page_goes_on(serve, engine, monkeypatch):
    monkeypatch.setattr(feed_module, "LOOK_S", 0.02)
    server = await serve()
    batch = {"seq": 6, "events": [ended(1), ended(2)], "running": {"f": 0}}
    engine.answers[LIVE] = lines(SNAPSHOT, batch)
    assert (await server.fetch("lambda/engine/x")).code == 200
    first = await opened(server, **AUTH)
    told = await heard(first, lambda message: message.get("seq") == 6)
    second = await opened(server, **AUTH)
    whole = await heard(second, lambda message: "reset" in message)
    assert whole["seq"] == 6
    assert whole["reset"] == SNAPSHOT["reset"]
    assert [event["request_id"] for event in whole["events"]] == ["r1", "r2"]
    assert told["events"][-1]["request_id"] == "r2"
    first.close()
    engine.answers[LIVE] = lines({"seq": 6, "epoch": "e1"}, {"seq": 7, "events": [ended(3)]})
    back = await opened(server, "?after=6&epoch=e1", **AUTH)
    after = await heard(back, lambda message: "seq" in message)
    assert after["seq"] == 7
    assert [event["request_id"] for event in after["events"]] == ["r3"]
    asked = [seen.path for seen in engine.requests if seen.path.startswith(LIVE)]
    assert asked[0] == LIVE
    assert set(asked[1:]) <= {f"{LIVE}?after=6&epoch=e1", f"{LIVE}?after=7&epoch=e1"}
    for page in (second, back):
        page.close()


async def test_what_an_engine_has_not_kept_any_more_is_a_new_snapshot(serve, engine, monkeypatch):
    monkeypatch.setattr(feed_module, "LOOK_S", 0.02)
    server = await serve()
    engine.answers[LIVE] = lines(SNAPSHOT)
    assert (await server.fetch("lambda/engine/x")).code == 200
    page = await opened(server, "?after=3&epoch=gone", **AUTH)
    assert await heard(page, lambda message: "seq" in message) == SNAPSHOT
    page.close()


def test_a_page_that_was_slow_gets_one_message():
    one = {"seq": 1, "events": [ended(1)], "running": {"f": 2}}
    sums = {"f": {"ended": 300, "run_ms_max": 9}}
    two = {"seq": 2, "events": [{"kind": "schedules"}], "sums": sums, "running": {"f": 1}}
    assert json.loads(merged([json.dumps(one), json.dumps(two)])) == {
        "seq": 2,
        "events": [ended(1), {"kind": "schedules"}],
        "sums": {"f": {"ended": 300, "run_ms_max": 9}},
        "running": {"f": 1},
    }
    many = {"seq": 3, "events": [ended(n, run_ms=float(n), status="error") for n in range(201)]}
    whole = json.loads(merged([json.dumps(two), json.dumps(many)]))
    assert whole["events"] == [{"kind": "schedules"}]
    assert whole["sums"]["f"] == {"ended": 501, "errors": 201, "cold": 0, "run_ms": sum(range(201)), "run_ms_max": 200}
