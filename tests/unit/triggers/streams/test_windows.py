"""Tumbling windows, in simulated time.

Source: AWS Lambda Developer Guide, "Implementing stateful Kinesis Data Streams processing in Lambda".
"""

from __future__ import annotations

import asyncio


def aggregate(event):
    state = event["state"]
    for record in event["Records"]:
        key = record["kinesis"]["partitionKey"]
        state[key] = state.get(key, 0) + 1
    return {"state": state}


def finals(world):
    return [event["state"] for event in world.service.events if event["isFinalInvokeForWindow"]]


def test_a_window_adds_up_and_closes(virtual, world):
    async def story():
        w = world(aggregate, tumbling_window_s=60, batch_size=3)
        running = asyncio.create_task(w.poller().run())
        # Windows are of the wall clock: begin at one's start.
        await asyncio.sleep(60 - w.cloud.now() % 60)
        for n in range(10):
            w.cloud.put("ab"[n % 2])
            await asyncio.sleep(1)
        assert finals(w) == []
        await asyncio.sleep(60)
        assert finals(w) == [{"a": 5, "b": 5}]
        final = w.service.events[-1]
        assert final["Records"] == []
        assert final["isWindowTerminatedEarly"] is False
        w.cloud.put("a")
        await asyncio.sleep(70)
        assert finals(w) == [{"a": 5, "b": 5}, {"a": 1}], "a new window, a fresh state"
        w.context.stop()
        await running

    virtual(story())


def test_windows_of_old_records_close_one_after_another(virtual, world):
    async def story():
        w = world(aggregate, tumbling_window_s=60)
        start_s = w.cloud.now() // 60 * 60 - 600
        for n in range(300):
            w.cloud.put("k", at_s=start_s + n)
        await w.run_for(30)
        assert finals(w) == [{"k": 60}] * 5
        spans = [(event["window"]["start"], event["isFinalInvokeForWindow"]) for event in w.service.events]
        assert spans == sorted(spans), "each window's final invocation comes before the next window"

    virtual(story())


def test_a_state_survives_kills(virtual, world):
    async def story():
        w = world(aggregate, tumbling_window_s=300, batch_size=5)
        await asyncio.sleep(300 - w.cloud.now() % 300)
        for _ in range(50):
            w.cloud.put("k")
        w.service.took_s = 0.2
        for _ in range(8):
            await w.kill_after(0.5)
        await w.run_for(400)
        assert finals(w) == [{"k": 50}]

    virtual(story())


def test_an_answer_without_a_state_is_a_failure(virtual, world):
    """ "If the response does not contain a state property, Lambda considers this a failed invocation."""

    async def story():
        w = world(lambda event: {"batchItemFailures": []}, tumbling_window_s=60, maximum_retry_attempts=1)
        w.cloud.put("k")
        await w.run_for(20)
        assert w.rows.results[-1] == "PROBLEM: Function call failed"
        assert w.counts.totals["DroppedEventCount"] == 1

    virtual(story())


def test_a_final_invocation_that_fails_holds_the_shard(virtual, world):
    """ "If invocation is unsuccessful, your Lambda function suspends further processing until a successful one."""

    async def story():
        failing = [True]

        def handler(event):
            if event["isFinalInvokeForWindow"] and failing[0]:
                raise ValueError("not yet")
            return aggregate(event)

        w = world(handler, tumbling_window_s=60)
        w.cloud.put("a", at_s=w.cloud.now() - 300)
        w.cloud.put("b", at_s=w.cloud.now() - 100)
        await w.run_for(60)
        assert all(event["state"].keys() <= {"a"} for event in w.service.events)
        failing[0] = False
        await w.run_for(100)
        assert finals(w)[-2:] == [{"a": 1}, {"b": 1}]

    virtual(story())


def test_a_state_that_grows_too_large_ends_its_window_early(virtual, world):
    async def story():
        w = world(lambda event: {"state": {"text": "x" * 1_100_000}}, tumbling_window_s=3600)
        await asyncio.sleep(3600 - w.cloud.now() % 3600)
        w.cloud.put("k")
        await w.run_for(5)
        first, final = w.service.events
        assert not first["isWindowTerminatedEarly"]
        assert final["isFinalInvokeForWindow"]
        assert final["isWindowTerminatedEarly"]

    virtual(story())


def test_a_window_ends_with_its_shard(virtual, world):
    """ "When the shard ends, Lambda considers the window closed, and the child shards start their own window."""

    async def story():
        w = world(aggregate, tumbling_window_s=3600)
        await asyncio.sleep(3600 - w.cloud.now() % 3600)
        w.cloud.put("a")
        for child in w.cloud.split("shardId-000000000000"):
            w.cloud.put("b", shard=child)
        await w.run_for(60)
        assert finals(w) == [{"a": 1}]
        # The handler adds to what it is given: a fresh state each.
        children = [event["state"] for event in w.service.events if event["shardId"] != "shardId-000000000000"]
        assert children == [{"b": 1}, {"b": 1}]

    virtual(story())
