"""What waits in a notification's queue becomes invocations: each once, none lost."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from jupyter_lambda.errors import ResourceConflictException, ResourceNotFoundException, StoreError
from jupyter_lambda.model.arn import Account
from jupyter_lambda.model.invocation import AsyncEvent
from jupyter_lambda.model.notification import Notification
from jupyter_lambda.triggers.notifications import bus_events
from jupyter_lambda.triggers.notifications.pump import Pump
from jupyter_lambda.triggers.queue import Queue

TOPIC = "arn:aws:sns:us-east-1:000000000000:t"
ARN = Account().function_arn("f")


class Service:
    """Keeps what it is given; a policy lets SNS in."""

    def __init__(self) -> None:
        self.account = Account()
        self.taken: list[AsyncEvent] = []
        self.known: set[str] = set()
        self.done: set[str] = set()
        self.failures: list[Exception] = []
        self.exists = True
        #: Entries that the bus took.
        self.told: list[dict[str, Any]] = []
        self.draining = False
        statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "lambda:*"}
        self.policy: dict[str, Any] | None = {"Statement": [statement]}
        self.store = SimpleNamespace(
            functions=SimpleNamespace(policy=lambda arn: self.policy if arn == ARN else None),
            ledger=SimpleNamespace(flush=self._flush, get=lambda one: one if one in self.done else None),
        )

    async def _flush(self) -> None:
        return None

    def clock(self) -> float:
        return 1.0

    def runs(self, request_id: str) -> bool:
        return False

    def resolve(self, name: Any) -> Any:
        if not self.exists:
            raise ResourceNotFoundException(f"Function not found: {ARN}")

    async def put_event(self, entry: Any) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.told.append(entry)

    async def invoke_async(self, event: AsyncEvent) -> None:
        if self.failures:
            raise self.failures.pop(0)
        if event.request_id in self.known:
            raise ResourceConflictException("queued already")
        self.known.add(event.request_id)
        self.taken.append(event)


def run(virtual: Any, cloud: Any, scenario: Any, **changes: Any) -> None:
    async def main() -> None:
        notification = replace(Notification("n", "sns", TOPIC, ARN, "own", subscription_arn="arn:sub"), **changes)
        current = {"n": notification}
        held: set[str] = set()
        queue, service = cloud.queue("own"), Service()

        async def attach(_: str) -> Queue:
            return await Queue.find(cloud, queue.arn)

        pump = Pump(
            notification,
            service,  # type: ignore[arg-type]
            cloud,
            attach=attach,
            current=current.get,
            is_paused=held.__contains__,
            put_event=service.put_event,
        )
        task = asyncio.create_task(pump.run())
        await scenario(SimpleNamespace(queue=queue, service=service, pump=pump, current=current, held=held))
        pump.stop()
        await asyncio.wait_for(task, 60)

    virtual(main())


def word(text: str) -> str:
    return json.dumps({"Type": "Notification", "MessageId": text, "TopicArn": TOPIC, "Message": text})


async def until(condition: Any, seconds: float = 200) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


def test_a_message_is_deleted_once_its_invocation_is_on_disk(virtual, cloud):
    async def scenario(at):
        for n in range(25):
            at.queue.send(word(str(n)))
        await until(lambda: not at.queue.messages)
        assert sorted(int(json.loads(e.payload)["Records"][0]["Sns"]["Message"]) for e in at.service.taken) == list(
            range(25)
        )
        assert {event.source for event in at.service.taken} == {"sns:t"}
        assert at.pump.delivered == 25

    run(virtual, cloud, scenario)


def test_what_the_store_does_not_take_comes_again(virtual, cloud):
    async def scenario(at):
        at.service.failures = [StoreError("disk full")] * 2
        at.queue.send(word("a"))
        await until(lambda: not at.queue.messages)
        assert len(at.service.taken) == 1
        assert at.pump.dropped == 0

    run(virtual, cloud, scenario)


def test_what_comes_twice_is_one_invocation(virtual, cloud):
    async def scenario(at):
        whole = at.queue.delete
        at.queue.delete = lambda entries: (_ for _ in ()).throw(OSError("the engine was killed here"))
        at.queue.send(word("queued"))
        await until(lambda: at.service.taken)
        at.queue.delete = whole
        await until(lambda: not at.queue.messages)
        assert len(at.service.taken) == 1
        # The same after the invocation has run and left the queue of events.
        at.queue.delete = lambda entries: (_ for _ in ()).throw(OSError("again"))
        at.queue.send(word("done"))
        await until(lambda: len(at.service.taken) == 2)
        at.service.done, at.service.known = set(at.service.known), set()
        at.queue.delete = whole
        await until(lambda: not at.queue.messages)
        assert len(at.service.taken) == 2

    run(virtual, cloud, scenario)


def test_without_permission_or_function_a_message_is_dropped_as_on_aws(virtual, cloud, caplog):
    async def scenario(at):
        at.service.policy = None
        at.queue.send(word("a"))
        await until(lambda: at.pump.dropped == 1 and not at.queue.messages)
        at.service.policy, at.service.exists = {"Statement": []}, False
        at.queue.send(word("b"))
        at.queue.send("not a notification")
        await until(lambda: at.pump.dropped == 3 and not at.queue.messages)
        assert not at.service.taken
        assert "sns.amazonaws.com may not invoke" in caplog.text
        assert "Function not found" in caplog.text

    run(virtual, cloud, scenario)


def test_what_is_dropped_goes_to_the_subscriptions_dead_letter_queue(virtual, cloud):
    async def scenario(at):
        dead = cloud.queue("dead")
        policy = json.dumps({"deadLetterTargetArn": dead.arn})
        at.current["n"] = replace(at.current["n"], attributes={"RedrivePolicy": policy})
        at.service.exists = False
        at.queue.send(word("a"))
        await until(lambda: not at.queue.messages)
        assert [json.loads(one.body)["Message"] for one in dead.messages] == ["a"]
        del cloud.queues["dead"]
        at.queue.send(word("kept"))
        await asyncio.sleep(100)
        assert [json.loads(one.body)["Message"] for one in at.queue.messages] == ["kept"]

    run(virtual, cloud, scenario)


def test_a_queue_that_went_away_is_made_again_and_why_nothing_comes_is_told(virtual, cloud):
    async def scenario(at):
        await asyncio.sleep(1)
        del cloud.queues["own"]
        await until(lambda: at.pump.problem)
        cloud.queues["own"] = at.queue
        at.queue.send(word("a"))
        at.pump.wake.set()
        await until(lambda: not at.queue.messages and not at.pump.problem)
        assert len(at.service.taken) == 1

    run(virtual, cloud, scenario)


async def pause(at: Any) -> None:
    at.held.add("n")
    at.pump.look()
    await asyncio.wait_for(at.pump.quiet(), 60)


def test_a_pause_leaves_what_comes_in_the_queue_and_then_goes_on_with_it(virtual, cloud):
    async def scenario(at):
        at.queue.send(word("before"))
        await until(lambda: at.pump.last_result == "OK" and not at.queue.messages)
        await pause(at)
        polls = at.queue.polls
        for n in range(3):
            at.queue.send(word(str(n)))
        await asyncio.sleep(100)
        assert len(at.service.taken) == 1
        assert at.queue.polls == polls
        assert [one.receives for one in at.queue.messages] == [0, 0, 0]
        assert at.pump.depth == 3
        at.held.clear()
        at.pump.look()
        await until(lambda: not at.queue.messages and at.pump.depth == 0)
        assert len(at.service.taken) == 4

    run(virtual, cloud, scenario)


def test_what_a_poll_brings_after_the_pause_goes_back(virtual, cloud):
    async def scenario(at):
        await until(lambda: at.queue.polls)
        at.held.add("n")
        at.queue.send(word("late"))  # the poll that waits will bring it
        at.pump.look()
        await asyncio.wait_for(at.pump.quiet(), 60)
        assert not at.service.taken
        assert [one.visible_s <= at.queue.now() for one in at.queue.messages] == [True]
        at.held.clear()
        at.pump.look()
        await until(lambda: not at.queue.messages)
        assert len(at.service.taken) == 1

    run(virtual, cloud, scenario)


def test_a_pause_answers_when_what_was_received_is_worked_off(virtual, cloud):
    async def scenario(at):
        slow = asyncio.Event()
        took = at.service.invoke_async

        async def invoke_async(event: AsyncEvent) -> None:
            await slow.wait()
            await took(event)

        at.service.invoke_async = invoke_async
        at.queue.send(word("received"))
        await until(lambda: at.queue.messages[0].receives)
        at.held.add("n")
        at.pump.look()
        waiting = asyncio.ensure_future(at.pump.quiet())
        await asyncio.sleep(10)
        assert not waiting.done()
        slow.set()
        await asyncio.wait_for(waiting, 60)
        assert len(at.service.taken) == 1
        assert not at.queue.messages

    run(virtual, cloud, scenario)


def test_a_paused_pump_makes_its_queue_again_and_ends_when_told_to(virtual, cloud):
    async def scenario(at):
        await pause(at)
        del cloud.queues["own"]
        await until(lambda: at.pump.problem)
        cloud.queues["own"] = at.queue
        at.queue.send(word("a"))
        await until(lambda: not at.pump.problem and at.pump.depth == 1)
        assert not at.service.taken

    run(virtual, cloud, scenario)


def test_what_went_wrong_last_is_told(virtual, cloud):
    async def scenario(at):
        at.service.failures = [StoreError("disk full")]
        at.queue.send(word("a"))
        await until(lambda: at.pump.last_result)
        assert at.pump.last_result == "PROBLEM: an event waits: disk full"
        await until(lambda: at.pump.last_result == "OK")
        at.service.policy = None
        at.queue.send(word("b"))
        await until(lambda: at.pump.dropped)
        assert at.pump.last_result.startswith("PROBLEM: an event was given up: sns.amazonaws.com may not invoke ")

    run(virtual, cloud, scenario)


def told_by_s3(event: str, key: str, **more: Any) -> str:
    thing = {"key": key, "size": 3, "eTag": "e", "versionId": "v", "sequencer": "0A"}
    record = {
        "eventName": event,
        "eventTime": "2026-11-25T09:00:00.000Z",
        "requestParameters": {"sourceIPAddress": "1.2.3.4"},
        "responseElements": {"x-amz-request-id": "R"},
        "s3": {"bucket": {"name": "b"}, "object": thing},
    }
    return json.dumps({"Records": [record | more]})


def test_a_bucket_tells_eventbridge(virtual, cloud, caplog):
    async def scenario(at):
        at.service.failures = [StoreError("disk full")]
        at.queue.send(told_by_s3("ObjectCreated:Put", "in/a+b%2Bc"))
        await until(lambda: not at.queue.messages)
        at.queue.send(told_by_s3("ObjectRemoved:DeleteMarkerCreated", "x"))
        at.queue.send(told_by_s3("ObjectTagging:Put", "x"))
        await until(lambda: not at.queue.messages)
        created, *others = at.service.told
        assert (created["Source"], created["DetailType"], created["Time"]) == ("aws.s3", "Object Created", 1795597200.0)
        assert created["Resources"] == ["arn:aws:s3:::b"]
        assert json.loads(created["Detail"]) == {
            "version": "0",
            "bucket": {"name": "b"},
            "object": {"key": "in/a b+c", "size": 3, "etag": "e", "version-id": "v", "sequencer": "0A"},
            "request-id": "R",
            "requester": "000000000000",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        }
        removed, tagged = sorted(others, key=lambda one: one["DetailType"])
        assert json.loads(removed["Detail"])["deletion-type"] == "Delete Marker Created"
        assert (tagged["DetailType"], "reason" in json.loads(tagged["Detail"])) == ("Object Tags Added", False)
        at.queue.send(told_by_s3("ObjectCreated:Put", "late", eventTime="never"))
        await until(lambda: not at.queue.messages)
        assert (len(at.service.told), at.pump.delivered, at.pump.dropped, at.service.taken) == (3, 3, 1, [])
        assert "s3:b → EventBridge: an event is dropped" in caplog.text

    run(virtual, cloud, scenario, kind="s3", resource="b", function_arn="", events=bus_events.EVENTS, to_bus=True)
