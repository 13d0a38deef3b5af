"""An SQS queue is read: batches, order, failures, throttles.

Source: AWS Lambda Developer Guide, "Using Lambda with Amazon SQS".
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self

import pytest

from jupyter_lambda.errors import InvalidParameterValueException, ServiceUnavailableException, TooManyRequestsException
from jupyter_lambda.model.arn import Account
from jupyter_lambda.model.invocation import Invocation
from jupyter_lambda.model.mapping import EventSourceMapping, Options
from jupyter_lambda.triggers.mappings.context import Context, SourceProblem
from jupyter_lambda.triggers.mappings.sqs import SqsPoller


class Raised(Exception):
    """The function's own."""


Function = Callable[[dict[str, Any]], Any]


@dataclass
class Service:
    """Runs ``function`` for each event."""

    function: Function
    runs_s: float = 0.0
    timeout_s: int = 3
    draining: bool = False
    account: Account = field(default_factory=Account)
    events: list[dict[str, Any]] = field(default_factory=list)
    #: Raised in place of the next invocations, one each.
    refusals: list[Exception] = field(default_factory=list)
    running: int = 0
    most: int = 0
    groups: set[str] = field(default_factory=set)

    def resolve(self, name: Any, qualifier: Any = None) -> Any:
        return SimpleNamespace(name=name.name, version="$LATEST", timeout_s=self.timeout_s, role="r")

    async def invoke(self, invocation: Invocation, version: Any) -> Any:
        if self.refusals:
            raise self.refusals.pop(0)
        event = json.loads(invocation.payload)
        assert invocation.source.startswith("sqs:")
        mine = {r["attributes"].get("MessageGroupId") for r in event["Records"]} - {None}
        assert not mine & self.groups, "a group in two batches at once"
        self.groups |= mine
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.runs_s)
            self.events.append(event)
            answer, error = self.function(event), None
        except Raised:
            answer, error = {"errorMessage": "bad"}, "Unhandled"
        finally:
            self.running -= 1
            self.groups -= mine
        record = SimpleNamespace(request_id=invocation.request_id)
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return SimpleNamespace(payload=data, function_error=error, executed_version="$LATEST", record=record)

    @property
    def bodies(self) -> list[list[str]]:
        return [[r["body"] for r in event["Records"]] for event in self.events]


class Rows:
    def __init__(self) -> None:
        self.results: list[str] = []

    def result(self, uuid: str, result: str) -> None:
        self.results.append(result)


class Counts:
    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.queue_depth = None
        self.iterator_age_ms = None

    def add(self, name: str, count: int) -> None:
        self.totals[name] = self.totals.get(name, 0) + count

    def batch(self, size: int) -> None:
        self.add("InvokedEventCount", size)


class Run:
    """One poller at work."""

    def __init__(self, cloud: Any, queue: Any, service: Service, **options: Any) -> None:
        mapping = EventSourceMapping(
            "u", "sqs", queue.arn, "f", None, Options(**{"batch_size": 10, **options}), "Enabled", "", 0.0
        )
        self.rows, self.counts, self.service = Rows(), Counts(), service
        context: Any = Context(
            mapping,
            service=service,  # type: ignore[arg-type]
            rows=self.rows,  # type: ignore[arg-type]
            cloud=cloud,
            counts=self.counts,  # type: ignore[arg-type]
            **_more(),
        )
        self.context = context
        self.poller = SqsPoller(context)

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.poller.run())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.context.stopping.set()
        await asyncio.wait_for(self.task, 600)


def _more() -> dict[str, Any]:
    """What contexts want beside."""
    import inspect

    known = inspect.signature(Context.__init__).parameters
    return {name: None for name in ("deliver", "destinations") if name in known}


async def until(condition: Callable[[], Any], seconds: float = 300) -> None:
    deadline_s = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline_s, "it did not happen"
        await asyncio.sleep(0.05)


def now() -> float:
    return asyncio.get_running_loop().time()


def test_messages_are_deleted_after_the_function_succeeded(virtual, cloud):
    async def main():
        queue = cloud.queue("q")
        attributes = {
            "word": {"DataType": "String", "StringValue": "x"},
            "blob": {"DataType": "Binary", "BinaryValue": b"\0\1"},
        }
        queue.send("hello", **attributes)
        async with Run(cloud, queue, Service(lambda event: None)) as run:
            await until(lambda: not queue.messages)
        record = run.service.events[0]["Records"][0]
        assert record["messageId"] == "m1"
        assert record["receiptHandle"] == "m1-1"
        assert record["body"] == "hello"
        assert record["md5OfBody"] == "5d41402abc4b2a76b9719d911017c592"
        assert record["attributes"]["ApproximateReceiveCount"] == "1"
        assert record["eventSource"] == "aws:sqs"
        assert record["eventSourceARN"] == queue.arn
        assert record["awsRegion"] == "us-east-1"
        assert record["messageAttributes"] == {
            "word": {"stringValue": "x", "stringListValues": [], "binaryListValues": [], "dataType": "String"},
            "blob": {"binaryValue": "AAE=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
        }
        assert run.counts.totals["DeletedEventCount"] == 1
        assert run.rows.results == ["OK"]

    virtual(main())


def test_a_batch_waits_for_its_window_or_its_size(virtual, cloud):
    async def main():
        queue = cloud.queue("q")
        async with Run(cloud, queue, Service(lambda e: None), batch_size=25, batching_window_s=20) as run:
            for n in range(12):
                queue.send(str(n))
            began_s = now()
            await until(lambda: run.service.events)
            assert 19 <= now() - began_s <= 21
            assert len(run.service.bodies[0]) == 12
            for n in range(25):
                queue.send(str(n))
            began_s = now()
            await until(lambda: len(run.service.events) == 2)
            assert now() - began_s < 3
            assert len(run.service.bodies[1]) == 25

    virtual(main())


def test_a_window_longer_than_the_visibility_timeout_keeps_messages_invisible(virtual, cloud):
    async def main():
        queue = cloud.queue("q", visibility_s=10)
        async with Run(cloud, queue, Service(lambda e: None), batch_size=100, batching_window_s=60) as run:
            queue.send("a")
            await until(lambda: run.service.events)
            await until(lambda: not queue.messages)
            assert run.service.bodies == [["a"]]

    virtual(main())


def test_a_function_that_runs_longer_than_the_visibility_timeout_sees_a_message_once(virtual, cloud):
    async def main():
        queue = cloud.queue("q", visibility_s=5)
        queue.send("a")
        async with Run(cloud, queue, Service(lambda e: None, runs_s=60)) as run:
            await until(lambda: not queue.messages)
        assert run.service.bodies == [["a"]]
        assert ("visibility", ["m1"], 10) in queue.asked

    virtual(main())


def test_a_payload_has_at_most_6_mb(virtual, cloud):
    async def main():
        queue = cloud.queue("q")
        for _ in range(30):
            queue.send("x" * 256 * 1024)
        async with Run(cloud, queue, Service(lambda e: None), batch_size=30, batching_window_s=5) as run:
            await until(lambda: not queue.messages)
        assert sum(map(len, run.service.bodies)) == 30
        assert max(map(len, run.service.bodies)) == 23
        assert all(len(json.dumps(event)) <= 6 * 1024 * 1024 + 10_000 for event in run.service.events)

    virtual(main())


def test_after_an_error_messages_come_again_when_their_visibility_has_run_out_and_then_go_where_the_queue_says(
    virtual, cloud
):
    async def main():
        queue, dead = cloud.queue("q", visibility_s=30), cloud.queue("dead")
        queue.redrive = dead, 3
        queue.send("poison")
        times = []

        def function(event):
            times.append(now())
            raise Raised

        async with Run(cloud, queue, Service(function)) as run:
            await until(lambda: dead.messages)
        assert len(times) == 3
        assert [round((b - a) / 30) for a, b in itertools.pairwise(times)] == [1, 1]
        assert run.rows.results[-1] == "PROBLEM: Function call failed"
        assert [r["attributes"]["ApproximateReceiveCount"] for e in run.service.events for r in e["Records"]] == [
            "1",
            "2",
            "3",
        ]

    virtual(main())


def test_reported_failures_return_and_the_rest_is_deleted(virtual, cloud):
    async def main():
        queue = cloud.queue("q", visibility_s=30)
        for n in range(5):
            queue.send(str(n))
        bad = ["m2", "m4"]

        def function(event):
            ids = [r["messageId"] for r in event["Records"]]
            told = [{"itemIdentifier": one} for one in bad if one in ids]
            if len(run.service.events) == 2:
                told = []
            return {"batchItemFailures": told}

        async with Run(cloud, queue, Service(function), reports_failures=True) as run:
            await until(lambda: not queue.messages)
        assert run.service.bodies == [["0", "1", "2", "3", "4"], ["1", "3"]]
        assert run.counts.totals["FailedInvokeEventCount"] == 2

    virtual(main())


def test_filtered_messages_are_deleted_unseen(virtual, cloud):
    async def main():
        queue = cloud.queue("q")
        queue.send('{"kind": "a"}')
        queue.send('{"kind": "b"}')
        queue.send("plain")
        filters = ('{"body": {"kind": ["a"]}}',)
        async with Run(cloud, queue, Service(lambda e: None), filters=filters) as run:
            await until(lambda: not queue.messages)
        assert run.service.bodies == [['{"kind": "a"}']]
        assert run.counts.totals["FilteredOutEventCount"] == 2

    virtual(main())


def test_a_throttled_function_is_tried_again_then_its_messages_go_back_and_polling_slows_down(virtual, cloud):
    async def main():
        queue = cloud.queue("q", visibility_s=30)
        queue.send("a")
        refusals = [TooManyRequestsException("slow down", reason="ConcurrentInvocationLimitExceeded")] * 3
        async with Run(cloud, queue, Service(lambda e: None, refusals=list(refusals))) as run:
            await until(lambda: not queue.messages)
        # A short throttle costs no reception.
        assert run.service.events[0]["Records"][0]["attributes"]["ApproximateReceiveCount"] == "1"
        queue.send("b")
        many = list(refusals) * 10
        async with Run(cloud, queue, Service(lambda e: None, refusals=many)) as run:
            await until(lambda: not queue.messages)
        assert ("visibility", ["m2"], 0) in queue.asked
        assert int(run.service.events[0]["Records"][0]["attributes"]["ApproximateReceiveCount"]) > 1
        assert any(result.startswith("PROBLEM: Function call was throttled") for result in run.rows.results)
        assert run.rows.results[-1] == "OK"

    virtual(main())


def test_a_throttled_fifo_group_is_not_received_over_and_over(virtual, cloud):
    async def main():
        queue = cloud.queue("q.fifo", visibility_s=30)
        for n in range(4):
            queue.send(str(n), group="a")
        refusals = [TooManyRequestsException("slow down", reason="ConcurrentInvocationLimitExceeded")] * 25
        began_s = now()
        async with Run(cloud, queue, Service(lambda e: None, refusals=refusals), batch_size=2) as run:
            await until(lambda: not queue.messages)
        assert [body for batch in run.service.bodies for body in batch] == ["0", "1", "2", "3"]
        receives = int(run.service.events[0]["Records"][0]["attributes"]["ApproximateReceiveCount"])
        assert 1 < receives <= (now() - began_s) / 15 + 1

    virtual(main())


def test_batches_at_once_grow_with_success_up_to_maximum_concurrency(virtual, cloud):
    async def main():
        queue = cloud.queue("q", visibility_s=600)
        for n in range(400):
            queue.send(str(n))
        async with Run(cloud, queue, Service(lambda e: None, runs_s=5), maximum_concurrency=8) as run:
            await until(lambda: not queue.messages)
        assert run.service.most == 8
        assert sorted(int(body) for batch in run.service.bodies for body in batch) == list(range(400))

    virtual(main())


def test_an_idle_queue_costs_one_poll_at_a_time(virtual, cloud):
    async def main():
        queue = cloud.queue("q")
        async with Run(cloud, queue, Service(lambda e: None)):
            await asyncio.sleep(600)
        receives = [1 for _, operation, _ in cloud.calls if operation == "ReceiveMessage"]
        assert len(receives) <= 301  # of two seconds each; of 20 on AWS

    virtual(main())


def test_on_aws_a_poll_takes_twenty_seconds_and_a_stop_ends_it(virtual, cloud):
    async def main():
        cloud.home = "aws"
        queue = cloud.queue("q")
        async with Run(cloud, queue, Service(lambda e: None)):
            await asyncio.sleep(595)
            began_s = now()
        assert now() == began_s
        waits = {params["WaitTimeSeconds"] for _, operation, params in cloud.calls if operation == "ReceiveMessage"}
        assert waits == {20}

    virtual(main())


def test_an_engine_that_ends_with_its_cloud_does_not_wait_for_polls(virtual, cloud):
    async def main():
        queue = cloud.queue("q")
        async with Run(cloud, queue, Service(lambda e: None)) as run:
            await asyncio.sleep(3)
            run.service.draining = True
            began_s = now()
        assert now() == began_s

    virtual(main())


def test_fifo_groups_run_side_by_side_and_each_in_order(virtual, cloud):
    async def main():
        queue = cloud.queue("q.fifo")
        for n in range(60):
            queue.send(f"{n}", group=f"g{n % 3}")
        async with Run(cloud, queue, Service(lambda e: None, runs_s=1), batch_size=4) as run:
            await until(lambda: not queue.messages)
        seen: dict[str, list[int]] = {}
        for event in run.service.events:
            for record in event["Records"]:
                seen.setdefault(record["attributes"]["MessageGroupId"], []).append(int(record["body"]))
        assert all(numbers == sorted(numbers) for numbers in seen.values())
        assert sum(map(len, seen.values())) == 60

    virtual(main())


@pytest.mark.parametrize("careless", [False, True])
def test_a_failure_holds_its_fifo_group_back_and_no_other(virtual, cloud, careless):
    async def main():
        queue = cloud.queue("q.fifo", visibility_s=30)
        queue.careless = careless
        for n in range(6):
            queue.send(f"a{n}", group="a")
            queue.send(f"b{n}", group="b")
        failures = 2
        done: list[str] = []

        def function(event):
            nonlocal failures
            for record in event["Records"]:
                if record["body"] == "a1" and failures:
                    failures -= 1
                    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
                done.append(record["body"])
            return {"batchItemFailures": []}

        async with Run(cloud, queue, Service(function), batch_size=3, reports_failures=True):
            await until(lambda: not queue.messages)
        # What the function had not come to was not deleted, and nothing overtook.
        assert [x for x in done if x[0] == "a"] == [f"a{n}" for n in range(6)]
        assert [x for x in done if x[0] == "b"] == [f"b{n}" for n in range(6)]
        assert done.index("b5") < done.index("a5")

    virtual(main())


def test_messages_left_by_a_killed_engine_come_in_order_even_from_a_careless_server(virtual, cloud):
    async def main():
        queue = cloud.queue("q.fifo", visibility_s=30)
        queue.careless = True
        for n in range(5):
            queue.send(str(n), group="a")
        assert len(queue.receive(10)) == 5  # and the one who received them died
        await asyncio.sleep(31)
        async with Run(cloud, queue, Service(lambda e: None)) as run:
            await until(lambda: not queue.messages)
        assert [body for batch in run.service.bodies for body in batch] == ["0", "1", "2", "3", "4"]

    virtual(main())


def test_a_queue_that_is_gone_is_said_to_be(virtual, cloud):
    async def main():
        queue = cloud.queue("q")
        run = Run(cloud, queue, Service(lambda e: None))
        async with asyncio.timeout(60):
            task = asyncio.create_task(run.poller.run())
            await asyncio.sleep(1)
            del cloud.queues["q"]
            with pytest.raises(SourceProblem, match="the queue arn:aws:sqs:us-east-1:000000000000:q does not exist"):
                await task
        with pytest.raises(SourceProblem, match="does not exist"):
            await run.poller.check()

    virtual(main())


def test_a_cloud_that_does_not_answer_is_a_problem_of_the_source(virtual, cloud):
    async def main():
        queue = cloud.queue("q")
        cloud.failures.append(ServiceUnavailableException("sqs does not answer"))
        with pytest.raises(SourceProblem, match="sqs does not answer"):
            await Run(cloud, queue, Service(lambda e: None)).poller.check()

    virtual(main())


def test_a_visibility_timeout_shorter_than_the_functions_timeout_is_refused(virtual, cloud):
    async def main():
        queue = cloud.queue("q", visibility_s=30)
        run = Run(cloud, queue, Service(lambda e: None, timeout_s=60))
        with pytest.raises(
            InvalidParameterValueException,
            match="Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds",
        ):
            await run.poller.check()

    virtual(main())


def test_a_delete_that_fails_is_tried_again(virtual, cloud):
    async def main():
        queue = cloud.queue("q")
        queue.send("a")
        whole, away = queue.delete, [ServiceUnavailableException("away")] * 2

        def delete(entries):
            if away:
                raise away.pop()
            return whole(entries)

        queue.delete = delete
        async with Run(cloud, queue, Service(lambda e: None)) as run:
            await until(lambda: not queue.messages, 20)
        assert len(run.service.events) == 1

    virtual(main())


def test_what_is_in_flight_at_a_stop_finishes(virtual, cloud):
    async def main():
        queue = cloud.queue("q")
        queue.send("a")
        async with Run(cloud, queue, Service(lambda e: None, runs_s=20)) as run:
            await until(lambda: run.service.running)
        assert run.service.bodies == [["a"]]
        assert not queue.messages

    virtual(main())
