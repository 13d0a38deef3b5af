from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import pytest

from jupyter_lambda.errors import ServiceUnavailableException
from jupyter_lambda.server import keeper as keeper_module
from jupyter_lambda.server.keeper import EngineKeeper, KeeperSettings

log = logging.getLogger("test_keeper")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(keeper_module, "WATCH_S", 0.02)
    monkeypatch.setattr(keeper_module, "BACKOFF_S", 0.01)
    monkeypatch.setattr(keeper_module, "BACKOFF_MAX_S", 0.02)
    monkeypatch.setattr(keeper_module, "STOP_WAIT_S", 1.0)


@pytest.fixture
async def keep(engine):
    kept: list[EngineKeeper] = []

    async def start(**settings: Any) -> EngineKeeper:
        keeper = EngineKeeper(KeeperSettings(engine.state_dir, **settings), log, start=settings_start)
        kept.append(keeper)
        await keeper.open()
        return keeper

    def settings_start(*args: Any, **kwargs: Any) -> Any:
        return engine.start(*args, **kwargs)

    yield start
    for keeper in kept:
        await keeper.close()


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_starts_nothing_until_it_is_needed(keep, engine):
    keeper = await keep()
    await asyncio.sleep(0.1)
    assert (keeper.state, engine.starts) == ("stopped", 0)
    first, second = await asyncio.gather(keeper.connection(), keeper.connection())
    assert first is second
    assert (keeper.state, engine.starts) == ("ready", 1)


async def test_starts_with_the_server_when_told(keep, engine):
    keeper = await keep(autostart="always")
    await until(lambda: keeper.state == "ready")
    assert engine.starts == 1


async def test_never_starts_one_when_told(keep, engine):
    keeper = await keep(autostart="never")
    with pytest.raises(ServiceUnavailableException, match="autostart is 'never'"):
        await keeper.connection()
    engine.start()
    assert (await keeper.connection()).url == engine.url
    assert engine.starts == 1


async def test_starts_it_again_when_it_dies(keep, engine, caplog):
    keeper = await keep()
    before = await keeper.connection()
    engine.die()
    await until(lambda: keeper.restarts == 1 and keeper.state == "ready")
    assert (await keeper.connection()).epoch != before.epoch
    assert "died and is started again" in caplog.text
    assert "it burned" in caplog.text


async def test_gives_up_on_one_that_dies_again_and_again(keep, engine):
    keeper = await keep(restart_limit=2)
    await keeper.connection()
    for restarts in (1, 2):
        engine.die()
        await until(lambda n=restarts: keeper.restarts == n and keeper.state == "ready")
    engine.die()
    await until(lambda: keeper.state == "failed")
    assert "died 3 times" in keeper.message
    assert "it burned" in keeper.message
    with pytest.raises(ServiceUnavailableException, match="died 3 times"):
        await keeper.connection()
    keeper.retry()
    await until(lambda: keeper.state == "ready")


async def test_does_not_start_again_what_was_stopped(keep, engine):
    keeper = await keep()
    await keeper.connection()
    (engine.state_dir / "engine.json").unlink()
    engine.process.kill()
    engine.process.wait()
    await until(lambda: keeper.state == "stopped")
    await asyncio.sleep(0.1)
    assert engine.starts == 1
    await keeper.connection()
    assert engine.starts == 2


async def test_takes_over_what_a_kernel_started(keep, engine):
    keeper = await keep()
    engine.start(owner_pid=os.getpid())
    await until(lambda: keeper.state == "ready")
    assert engine.starts == 1


async def test_says_why_it_can_not_start(keep, engine):
    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise ServiceUnavailableException("no room")

    keeper = await keep()
    keeper._start = fail
    with pytest.raises(ServiceUnavailableException, match="no room"):
        await keeper.connection()
    assert keeper.state == "failed"
    assert "no room" in keeper.describe()["message"]


async def test_stops_its_engine_with_the_server(keep, engine):
    keeper = await keep()
    await keeper.connection()
    await keeper.close()
    assert engine.process.wait(5) == -15


@pytest.mark.parametrize(("stop_engine", "owner"), [(False, os.getpid()), (True, 1)])
async def test_leaves_others_engines_and_its_own_if_told(keep, engine, stop_engine, owner):
    keeper = await keep(stop_engine=stop_engine)
    await keeper.connection()
    engine.announce(owner_pid=owner)
    await keeper.close()
    assert engine.process.poll() is None
