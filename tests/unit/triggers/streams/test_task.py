"""A mapping's task: states, problems that are told, and stopping."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

from jupyter_lambda.model.mapping import EventSourceMapping, Options
from jupyter_lambda.triggers.mappings.context import SourceProblem, Stopped, describe
from jupyter_lambda.triggers.mappings.task import MappingTask


class Rows:
    """One mapping, in memory."""

    def __init__(self, state: str) -> None:
        self.mapping: EventSourceMapping | None = EventSourceMapping(
            "u", "kinesis", "arn:aws:kinesis:r:a:stream/s", "f", None, Options(1), state, "User action", 0.0
        )
        self.told: list[tuple[str, str]] = []
        self.results: list[str] = []

    def get(self, uuid):
        return self.mapping

    async def move(self, uuid, before, after, reason):
        await asyncio.sleep(0.001)
        if self.mapping is None or self.mapping.state != before:
            return False
        self.mapping = replace(self.mapping, state=after, reason=reason)
        self.told.append((after, reason))
        return True

    async def remove(self, uuid):
        self.mapping = None

    def result(self, uuid, text):
        self.results.append(text)


class Poller:
    """Fails as it is told to, then reads until it is asked to stop."""

    def __init__(self, context, log):
        self.context, self.log = context, log

    async def check(self):
        self.log.append("check")
        if self.context.problems:
            raise self.context.problems.pop(0)

    async def prepare(self):
        self.log.append("prepare")

    async def run(self):
        self.log.append("run")
        await self.context.stopping.wait()
        await asyncio.sleep(self.context.finishing_s)
        self.log.append("finished")


class Life:
    def __init__(self, state: str, problems=(), why=None, finishing_s: float = 1.0) -> None:
        self.rows, self.log = Rows(state), []
        self.problems, self.why, self.finishing_s = list(problems), why, finishing_s
        self.task = MappingTask("u", self.rows, self.context, lambda kind, context: Poller(context, self.log))

    def context(self, mapping):
        stopping = asyncio.Event()

        def check_cloud():
            if self.why:
                raise SourceProblem(self.why)

        return SimpleNamespace(
            stopping=stopping,
            stop=stopping.set,
            check_cloud=check_cloud,
            problems=self.problems,
            finishing_s=self.finishing_s,
        )

    async def change(self, **changes):
        assert self.rows.mapping is not None
        self.rows.mapping = replace(self.rows.mapping, **changes)
        self.task.changed.set()
        await asyncio.sleep(5)


def test_from_creating_to_deleted(virtual):
    async def story():
        life = Life("Creating")
        running = asyncio.create_task(life.task.run())
        await asyncio.sleep(1)
        assert life.rows.mapping.state == "Enabled"
        await life.change(state="Updating")
        await life.change(state="Disabling")
        assert life.rows.mapping.state == "Disabled"
        await life.change(state="Enabling")
        assert life.rows.mapping.state == "Enabled"
        await life.change(state="Deleting")
        await running
        assert life.rows.mapping is None
        turn = ["check", "prepare", "run", "finished"]
        assert life.log == turn * 3, "what is in flight is finished before each change"

    virtual(story())


def test_a_problem_is_told_and_tried_again(virtual):
    async def story():
        life = Life("Creating", [SourceProblem("it is gone"), OSError("no route")])
        running = asyncio.create_task(life.task.run())
        await asyncio.sleep(30)
        assert life.rows.told == [
            ("Creating", "PROBLEM: it is gone"),
            ("Creating", "PROBLEM: no route"),
            ("Enabled", "User action"),
        ]
        life.task.stop()
        await running
        assert life.log[-1] == "finished"

    virtual(story())


def test_without_a_cloud_it_waits_for_one(virtual):
    async def story():
        life = Life("Enabled", why="no cloud")
        running = asyncio.create_task(life.task.run())
        await asyncio.sleep(30)
        assert life.rows.told == [("Enabled", "PROBLEM: no cloud")]
        life.why = None
        await asyncio.sleep(120)
        assert life.rows.told[-1] == ("Enabled", "User action")
        life.task.stop()
        await running

    virtual(story())


def test_pauses_between_attempts_grow(virtual):
    async def story():
        life = Life("Creating", [OSError("no route")] * 1000)
        running = asyncio.create_task(life.task.run())
        await asyncio.sleep(600)
        assert life.log.count("check") < 30
        life.task.stop()
        await running

    virtual(story())


def test_cancelled_it_cancels_its_poller(virtual):
    async def story():
        life = Life("Enabled", finishing_s=1e6)
        running = asyncio.create_task(life.task.run())
        await asyncio.sleep(1)
        life.task.stop()
        await asyncio.sleep(10)
        assert not running.done()
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled()
        assert "finished" not in life.log

    virtual(story())


def test_stopped_is_no_problem(virtual):
    async def story():
        life = Life("Enabled", [Stopped()])
        running = asyncio.create_task(life.task.run())
        await asyncio.sleep(5)
        assert life.rows.told == []
        life.task.stop()
        await running

    virtual(story())


def test_a_failure_of_the_engines_own_is_told_and_does_not_end_the_task(virtual, caplog):
    """A pattern, say, that was good for the engine that took it and is none for this one."""

    async def scenario():
        life = Life("Enabled")
        context, failures = life.context, [ValueError("no pattern"), KeyError("x")]

        def failing(mapping):
            if failures:
                raise failures.pop()
            return context(mapping)

        life.task._context = failing
        running = asyncio.create_task(life.task.run())
        await asyncio.sleep(5)
        assert life.log == ["check", "run"]
        assert life.rows.results == ["PROBLEM: 'x'", "PROBLEM: no pattern"]
        life.task.stop()
        await running

    virtual(scenario())
    assert "failed in the engine" in caplog.text


def test_an_error_is_told_in_one_line():
    error = Exception()
    error.response = {"Error": {"Code": "500", "Message": "<!doctype html>\n<title>500</title>"}}
    assert describe(error) == "500: <!doctype html>"
