"""What buckets and topics tell functions is kept, all or nothing."""

from __future__ import annotations

import pytest

from jupyter_lambda.model.notification import Notification
from jupyter_lambda.store import Store


def made(number: int, kind: str = "s3", resource: str = "b", **more: object) -> Notification:
    arn = "arn:aws:lambda:us-east-1:000000000000:function:f"
    return Notification(f"n{number}", kind, resource, arn, f"q{number}", created_s=float(number), **more)  # type: ignore[arg-type]


async def test_notifications_outlive_the_store(tmp_path):
    store = await Store.open(tmp_path / "state")
    topic = made(3, "sns", "arn:aws:sns:us-east-1:0:t", attributes={"FilterPolicy": "{}"}, subscription_arn="arn:s")
    await store.sources.change_notifications([made(2), made(1, events=("s3:ObjectCreated:*",), prefix="a/"), topic])
    assert [one.id for one in store.sources.notifications("s3", "b")] == ["n1", "n2"]
    await store.sources.change_notifications([made(4)], ["n2", "unknown"])
    await store.close()
    store = await Store.open(tmp_path / "state")
    try:
        assert [one.id for one in store.sources.notifications()] == ["n1", "n3", "n4"]
        assert store.sources.notification("n3") == topic
        assert store.sources.notification("n1") == made(1, events=("s3:ObjectCreated:*",), prefix="a/")
        assert store.sources.notification("n2") is None
        assert store.sources.notifications(resource="arn:aws:sns:us-east-1:0:t") == [topic]
    finally:
        await store.close()


async def test_a_change_that_fails_changes_nothing(tmp_path):
    store = await Store.open(tmp_path / "state")
    try:
        await store.sources.change_notifications([made(1)])
        broken = made(2, attributes={"x": object()})
        with pytest.raises(TypeError):
            await store.sources.change_notifications([broken], ["n1"])
        assert [one.id for one in store.sources.notifications()] == ["n1"]
    finally:
        await store.close()


async def test_a_pause_outlives_the_store_and_changes_of_the_notification(tmp_path):
    store = await Store.open(tmp_path / "state")
    await store.sources.change_notifications([made(1), made(2), made(3)])
    await store.sources.set_paused(["n1", "n2", "unknown"], paused=True)
    await store.sources.change_notifications([made(1, prefix="b/")], ["n2"])
    assert store.sources.is_paused("n1")
    await store.close()
    store = await Store.open(tmp_path / "state")
    try:
        assert [store.sources.is_paused(each) for each in ("n1", "n2", "n3", "unknown")] == [True, False, False, False]
        await store.sources.set_paused(["n1"], paused=False)
        # One that comes by the id of one that is gone isn't paused.
        await store.sources.change_notifications([made(2)])
        assert not any(store.sources.is_paused(each) for each in ("n1", "n2", "n3"))
    finally:
        await store.close()
    store = await Store.open(tmp_path / "state")
    try:
        assert not store.sources.is_paused("n1")
    finally:
        await store.close()
