"""Function URLs in the store: kept over a restart, gone with their function or alias."""

from __future__ import annotations

import pytest

from jupyter_lambda.errors import ResourceNotFoundException
from jupyter_lambda.model.arn import LATEST
from jupyter_lambda.model.function import Alias
from jupyter_lambda.model.function_url import FunctionUrl
from jupyter_lambda.store import Store

URL = FunctionUrl("f", LATEST, "abc", "NONE", "then", "now", "RESPONSE_STREAM", {"AllowOrigins": ["*"], "MaxAge": 5})
OF_ALIAS = FunctionUrl("f", "live", "def", "AWS_IAM", "then", "now")


@pytest.fixture
async def urls(store: Store, make_function, make_version):
    await store.functions.create(make_function())
    await store.functions.publish(make_function(next_version=2), make_version(version="1"))
    await store.functions.put_alias(Alias("f", "live", "1", "", "r", {}))
    for url in (URL, OF_ALIAS):
        await store.urls.put(url)
    return store.urls


async def test_they_come_back(urls, store):
    assert urls.get("f", LATEST) == urls.by_id("abc") == URL
    await store.close()
    again = await Store.open(store.state_dir)
    assert again.urls.by_id("abc") == URL
    assert again.urls.get("f", "live") == OF_ALIAS
    assert again.urls.by_id("none") is None
    await again.close()


async def test_pages(urls):
    assert list(urls.of("f", None, 5)) == [URL, OF_ALIAS]
    assert list(urls.of("f", LATEST, 5)) == [OF_ALIAS]
    assert list(urls.of("g", None, 5)) == []


async def test_they_go_with_what_they_are_of(urls, store):
    alias = store.functions.alias("f", "live")
    await store.functions.put_alias(alias)  # changed, not deleted
    assert urls.by_id("def") == OF_ALIAS
    await store.functions.delete_alias("f", "live")
    assert urls.by_id("def") is None
    await store.functions.delete("f")
    assert urls.by_id("abc") is None


async def test_none_is_made_for_what_is_not_there(urls):
    for name, qualifier in (("g", LATEST), ("f", "other")):
        with pytest.raises(ResourceNotFoundException, match="Function does not exist"):
            await urls.put(FunctionUrl(name, qualifier, "x", "NONE", "then", "now"))
    await urls.delete("f", LATEST)
    await urls.delete("f", LATEST)
    assert urls.by_id("abc") is None
