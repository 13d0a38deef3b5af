"""What is idle is frozen, what is wanted is thawed."""

import asyncio

import pytest

from jupyter_lambda.engine.freezer import Freezable, Freezer, Frost
from jupyter_lambda.errors import DriverError

from .test_invoker import invocation


class Sandbox:
    def __init__(self) -> None:
        self.sandbox_id = "s"
        self.calls: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = False

    async def freeze(self) -> None:
        self.calls.append("freeze")
        await self.gate.wait()
        if self.fails:
            raise DriverError("no freezer")

    async def thaw(self) -> None:
        self.calls.append("thaw")
        if self.fails:
            raise DriverError("gone")


class Clock:
    """The timers of an event loop, fired by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.timers: list[tuple[float, object]] = []


@pytest.fixture
async def frozen_time(monkeypatch):
    loop = asyncio.get_running_loop()
    clock = Clock()

    class Handle:
        def __init__(self, due):
            self.due = due

        def cancel(self):
            clock.timers.remove(self.due)

    def call_later(delay_s, call):
        due = (clock.now_s + delay_s, call)
        clock.timers.append(due)
        return Handle(due)

    def advance(by_s):
        clock.now_s += by_s
        for due in [d for d in clock.timers if d[0] <= clock.now_s]:
            clock.timers.remove(due)
            due[1]()

    clock.advance = advance
    clock.tasks = []
    clock.spawn = lambda work, name: clock.tasks.append(loop.create_task(work))
    freezer = Freezer(0.1, spawn=clock.spawn)

    class Loop:
        time = staticmethod(lambda: clock.now_s)
        create_future = staticmethod(loop.create_future)

    Loop.call_later = staticmethod(call_later)
    freezer._loop = Loop
    clock.freezer = freezer
    yield clock
    for task in clock.tasks:
        task.cancel()
    await asyncio.gather(*clock.tasks, return_exceptions=True)


async def run(clock):
    await asyncio.gather(*clock.tasks)
    clock.tasks.clear()


async def test_one_timer_for_all_and_none_while_nothing_is_idle(frozen_time):
    items = [Freezable(Sandbox()) for _ in range(3)]
    for item in items:
        frozen_time.freezer.idle(item)
    assert len(frozen_time.timers) == 1
    frozen_time.advance(0.05)
    frozen_time.freezer.busy(items[0])
    frozen_time.freezer.idle(items[0])
    frozen_time.advance(0.06)
    await run(frozen_time)
    assert [item.frost for item in items] == [Frost.THAWED, Frost.FROZEN, Frost.FROZEN]
    assert len(frozen_time.timers) == 1
    frozen_time.advance(0.1)
    await run(frozen_time)
    assert items[0].frost is Frost.FROZEN
    assert frozen_time.timers == []


async def test_wanted_while_it_freezes(frozen_time):
    item = Freezable(Sandbox())
    item.sandbox.gate.clear()
    frozen_time.freezer.idle(item)
    frozen_time.advance(0.2)
    await asyncio.sleep(0)
    assert item.frost is Frost.FREEZING
    frozen_time.freezer.busy(item)
    thawing = asyncio.ensure_future(frozen_time.freezer.thaw(item))
    await asyncio.sleep(0)
    assert not thawing.done()
    item.sandbox.gate.set()
    await thawing
    assert item.sandbox.calls == ["freeze", "thaw"]
    assert item.frost is Frost.THAWED


async def test_wanted_before_its_turn_is_never_frozen(frozen_time):
    first, second = Freezable(Sandbox()), Freezable(Sandbox())
    first.sandbox.gate.clear()
    for item in (first, second):
        frozen_time.freezer.idle(item)
    frozen_time.advance(0.2)
    await asyncio.sleep(0)
    assert second.frost is Frost.DUE
    frozen_time.freezer.busy(second)
    first.sandbox.gate.set()
    await run(frozen_time)
    assert second.sandbox.calls == []


async def test_a_freeze_that_fails_is_undone(frozen_time):
    item = Freezable(Sandbox())
    item.sandbox.fails = True
    frozen_time.freezer.idle(item)
    frozen_time.advance(0.2)
    await run(frozen_time)
    item.sandbox.fails = False
    await frozen_time.freezer.thaw(item)
    assert item.sandbox.calls == ["freeze", "thaw"]


async def test_never(frozen_time):
    freezer = Freezer(None, spawn=frozen_time.spawn)
    freezer.idle(Freezable(Sandbox()))
    assert freezer._idle == {}


async def frozen(service):
    while not all(row["frozen"] for row in service.environments()):
        await asyncio.sleep(0)


async def test_an_idle_environment_is_frozen_and_answers_again(make_service, sandboxes, function):
    service = await make_service(freeze_delay_s=0.0)
    await service.invoke(invocation())
    await frozen(service)
    assert sandboxes.started[0].frozen
    result = await service.invoke(invocation())
    assert result.function_error is None
    assert not result.record.cold
    assert len(sandboxes.started) == 1


async def test_one_that_can_t_be_thawed_is_replaced_unseen(make_service, sandboxes, function):
    service = await make_service(freeze_delay_s=0.0)
    await service.invoke(invocation())
    await frozen(service)
    sandboxes.thaw_errors.append(DriverError("gone"))
    result = await service.invoke(invocation())
    assert result.function_error is None
    assert len(sandboxes.started) == 2
    assert sandboxes.started[0].closed
