"""The background collector: what it does at once, what it says, what it survives."""

from __future__ import annotations

import pytest

from jupyter_lambda.cli.doctor import check_cap
from jupyter_lambda.engine import storage
from jupyter_lambda.errors import StoreError


async def test_status_and_doctor_tell_what_is_in_use(service):
    assert service.status()["state"] == {"cap_mb": service.settings.state_cap_mb}
    assert check_cap(service.status()) == []
    await storage.tidy(service.store, service.settings.state_cap_mb)
    state = service.status()["state"]
    assert state["problem"] == ""
    assert 8 <= state["used_mb"] < 64
    (finding,) = check_cap(service.status())
    assert (finding.level, finding.text) == ("ok", f"{state['used_mb']:.0f} MB of 20480 MB in use")


async def test_what_can_not_be_removed_is_told_with_what_to_do(service, caplog):
    await storage.tidy(service.store, 1)
    assert "can't be removed" in caplog.text
    text = storage.problem(service.store, 1)
    assert "1 MB allowed (state_cap_mb)" in text
    assert "delete functions or versions, or allow more" in text
    (finding,) = check_cap({"state": storage.report(service.store, 1)})
    assert finding.level == "warning"


async def test_a_failure_is_told_and_nothing_else_happens(service, caplog, monkeypatch):
    async def fail(*_):
        raise StoreError("the disk is full")

    monkeypatch.setattr(service.store.packages, "collect", fail)
    await storage.tidy(service.store, 1)
    assert "can't be looked after: the disk is full" in caplog.text


async def test_logs_that_grow_bring_the_next_look_forward(service, monkeypatch):
    looks: list[int] = []
    slept: list[float] = []

    async def tidy(store, cap_mb):
        looks.append(store.logs.written_bytes)
        if len(looks) == 3:
            raise StopLooking

    async def sleep(delay_s):
        slept.append(delay_s)
        if len(slept) == 4:
            service.store.logs.written_bytes += 2 * 1024 * 1024
        if len(slept) == 6:
            service.store.logs.written_bytes += 1024

    class StopLooking(Exception):
        pass

    monkeypatch.setattr(storage, "tidy", tidy)
    monkeypatch.setattr(storage.asyncio, "sleep", sleep)
    monkeypatch.setattr(storage.time, "monotonic", lambda: 1000.0 * len(slept))
    with pytest.raises(StopLooking):
        await storage.keep_small(service.store, 64)
    # At the start; after four sleeps, when 2 MB had come; then for want of growth after an hour of this clock.
    assert looks == [0, 2 * 1024 * 1024, 2 * 1024 * 1024 + 1024]
