"""APIs and their parts: together or not at all, in their order, there after a restart."""

from __future__ import annotations

import pytest

from jupyter_lambda.store import Store
from jupyter_lambda.store.http import ACCOUNT, PartChange


async def test_an_api_and_its_parts(store: Store):
    apis = store.http_apis
    await apis.put(
        "http", "b", {"ApiId": "b"}, [PartChange("route", "2", {"n": 1}), PartChange("route", "1", {"n": 2})]
    )
    await apis.put("rest", "a", {"id": "a"})
    assert (apis.kind_of("a"), apis.kind_of("b"), apis.kind_of("c")) == ("rest", "http", None)
    assert apis.api("http", "b") == {"ApiId": "b"}
    assert apis.api("rest", "b") is None
    assert [part["n"] for part in apis.parts("b", "route")] == [1, 2], "in the order in which they were made"
    await apis.put("http", "b", None, [PartChange("route", "2", {"n": 3}), PartChange("stage", "2", {"n": 4})])
    assert [part["n"] for part in apis.parts("b", "route")] == [3, 2], "a change keeps its place"
    assert apis.part("b", "stage", "2") == {"n": 4}
    await apis.put("http", "b", None, [PartChange("route", "2", None)])
    assert apis.part("b", "route", "2") is None
    await apis.delete("b")
    assert (apis.api("http", "b"), list(apis.parts("b", "route"))) == (None, [])
    assert apis.apis("rest") == [{"id": "a"}]


async def test_a_change_that_fails_leaves_all_as_it_was(store: Store):
    apis = store.http_apis
    await apis.put("http", "b", {"v": 1})
    with pytest.raises(TypeError):
        await apis.put("http", "b", {"v": 2}, [PartChange("route", "1", {"bad": object()})])
    assert apis.api("http", "b") == {"v": 1}
    assert list(apis.parts("b", "route")) == []


async def test_usage_is_counted_by_key_and_day(store: Store):
    apis = store.http_apis
    for key, day in (("k", "2026-11-24"), ("k", "2026-11-25"), ("k", "2026-11-25"), ("other", "2026-11-25")):
        apis.count("p", key, day)
    assert await apis.usage("p", "2026-11-25", "2026-11-25") == [("k", "2026-11-25", 2), ("other", "2026-11-25", 1)]
    assert apis.used("p", "k", "2026-11-24") == 3
    assert apis.used("p", "k", "2026-11-26") == 0


async def test_what_the_account_has_is_no_api(store: Store):
    apis = store.http_apis
    await apis.put("rest", ACCOUNT, None, [PartChange("api_key", "k", {"id": "k"})])
    assert apis.part(ACCOUNT, "api_key", "k") == {"id": "k"}
    assert list(apis.apis("rest")) == []
