"""Asynchronous invocations: durable, retried, handed on; nothing accepted is lost."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import replace

import pytest

from jupyter_lambda.engine.destinations import Delivery, UndeliverableError
from jupyter_lambda.errors import DriverError, ServiceException, ServiceUnavailableException
from jupyter_lambda.model.function import EventInvokeConfig, Function
from jupyter_lambda.model.invocation import AsyncEvent
from jupyter_lambda.sandbox.base import SandboxOutcome

from .conftest import answer, version_of


def event(payload: object = None, *, name: str = "f", age_s: float = 0.0) -> AsyncEvent:
    data = json.dumps(payload or {}).encode()
    return AsyncEvent(str(uuid.uuid4()), name, "$LATEST", data, "sdk", time.time() - age_s)


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


def failing(times: int):
    count = {"n": 0}

    async def behaviour(sandbox, runtime_event):
        count["n"] += 1
        if count["n"] <= times:
            return SandboxOutcome("error", b'{"errorType":"E","errorMessage":"no"}', 1.0, "E")
        return answer({"attempt": count["n"]})

    return behaviour, count


async def test_success_leaves_the_queue_and_stands_in_the_ledger(service, function, store):
    one = event()
    await service.invoke_async(one)
    await until(lambda: store.ledger.get(one.request_id))
    assert sum(store.events.depth().values()) == 0
    assert store.ledger.get(one.request_id).status == "success"


async def test_two_retries_after_function_errors(service, function, store, sandboxes):
    sandboxes.behaviour, count = failing(2)
    one = event()
    await service.invoke_async(one)
    await until(lambda: count["n"] == 3)
    await until(lambda: sum(store.events.depth().values()) == 0)
    assert store.ledger.get(one.request_id).attempt == 3


async def test_after_the_last_retry_the_failure_destination_gets_awss_record(service, function, store, sandboxes):
    await store.functions.create(Function("sink", version_of("sink")))
    arn = service.account.function_arn("sink")
    await store.functions.put_invoke_config(EventInvokeConfig("f", "$LATEST", 0.0, 1, 3600, None, arn))
    seen = []

    async def behaviour(sandbox, runtime_event):
        if sandbox.spec.function_name == "sink":
            seen.append(json.loads(runtime_event.payload))
            return answer(None)
        return SandboxOutcome("error", b'{"errorType":"E"}', 1.0, "E")

    sandboxes.behaviour = behaviour
    one = event({"n": 1})
    await service.invoke_async(one)
    await until(lambda: seen)
    record = seen[0]
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["requestContext"]["requestId"] == one.request_id
    assert record["requestPayload"] == {"n": 1}
    assert record["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    assert record["responsePayload"] == {"errorType": "E"}
    await until(lambda: sum(store.events.depth().values()) == 0)


async def test_success_destination(service, function, store, sandboxes):
    await store.functions.create(Function("sink", version_of("sink")))
    arn = service.account.function_arn("sink")
    await store.functions.put_invoke_config(EventInvokeConfig("f", "$LATEST", 0.0, 2, 3600, arn, None))
    seen = []

    async def behaviour(sandbox, runtime_event):
        if sandbox.spec.function_name == "sink":
            seen.append(json.loads(runtime_event.payload))
        return answer("fine")

    sandboxes.behaviour = behaviour
    await service.invoke_async(event())
    await until(lambda: seen)
    assert seen[0]["requestContext"]["condition"] == "Success"
    assert seen[0]["responsePayload"] == "fine"


async def test_dead_letter_function_gets_the_event_itself(service, store, sandboxes):
    arn = service.account.function_arn("sink")
    await store.functions.create(Function("sink", version_of("sink")))
    await store.functions.create(Function("f", version_of(dead_letter_arn=arn)))
    seen = []

    async def behaviour(sandbox, runtime_event):
        if sandbox.spec.function_name == "sink":
            seen.append(json.loads(runtime_event.payload))
            return answer(None)
        return SandboxOutcome("error", b"{}", 1.0, "E")

    sandboxes.behaviour = behaviour
    await service.invoke_async(event({"n": 7}))
    await until(lambda: seen)
    assert seen == [{"n": 7}]


async def test_a_destination_that_is_not_built_keeps_the_event_and_says_so(service, store, sandboxes):
    queue = "arn:aws:sqs:us-east-1:000000000000:q"
    await store.functions.create(Function("f", version_of(dead_letter_arn=queue)))
    sandboxes.behaviour, _ = failing(9)
    one = event()
    await service.invoke_async(one)
    await until(lambda: store.events.dead(10))
    assert store.events.depth()["dead"] == 1


async def test_throttled_event_backs_off_and_runs_when_it_may(service, function, store):
    await store.functions.put(replace(function, reserved_concurrency=0))
    one = event()
    await service.invoke_async(one)
    await until(lambda: store.ledger.stats() or False)
    assert store.ledger.get(one.request_id) is None
    await store.functions.put(function)
    await until(lambda: store.ledger.get(one.request_id))
    assert store.ledger.get(one.request_id).attempt == 1, "a throttle does not count as a retry"


async def test_system_failure_is_tried_again(service, function, store, sandboxes):
    sandboxes.start_errors = [DriverError("docker is gone")] * 3
    one = event()
    await service.invoke_async(one)
    await until(lambda: store.ledger.get(one.request_id))
    assert store.ledger.get(one.request_id).status == "success"


async def test_an_event_that_is_too_old_is_given_up(service, function, store, sandboxes):
    one = event(age_s=30_000)
    await service.invoke_async(one)
    await until(lambda: store.events.dead(10))
    assert not sandboxes.started


async def test_event_of_a_deleted_function_is_kept_as_dead(service, function, store):
    await store.functions.delete("f")
    await service.invoke_async(event())
    await until(lambda: store.events.dead(10))
    assert "deleted" in store.events.dead(10)[0]["reason"]


async def test_a_flood_runs_bounded_and_all_of_it(make_service, function, store, sandboxes):
    service = await make_service(event_concurrency=8)
    most = {"n": 0}

    async def behaviour(sandbox, runtime_event):
        most["n"] = max(most["n"], sum(s.busy for s in sandboxes.started))
        await asyncio.sleep(0)
        return answer(None)

    sandboxes.behaviour = behaviour
    events = [event() for _ in range(300)]
    await asyncio.gather(*(service.invoke_async(e) for e in events))
    await until(lambda: sum(store.events.depth().values()) == 0)
    assert all(store.ledger.get(e.request_id) for e in events)
    assert most["n"] <= 8


async def test_stop_keeps_what_does_not_finish(make_service, function, store, sandboxes):
    service = await make_service()

    async def hang(sandbox, runtime_event):
        await asyncio.Event().wait()

    sandboxes.behaviour = hang
    one = event()
    await service.invoke_async(one)
    await until(lambda: any(s.busy for s in sandboxes.started))
    await service.drain(0.05)
    with pytest.raises(ServiceUnavailableException):
        await service.invoke_async(event())
    assert sum(store.events.depth().values()) == 1
    assert store.events.get(one.request_id) is not None


class FakeOutlet:
    def __init__(self) -> None:
        self.refusals: list[Exception] = []
        self.delivered: list[Delivery] = []

    async def deliver(self, delivery: Delivery) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.delivered.append(delivery)


async def test_an_outcome_is_offered_until_its_destination_takes_it(service, store, sandboxes):
    outlet = FakeOutlet()
    outlet.refusals = [ServiceException("no such queue")] * 3
    service.bring_outlet(outlet)
    queue = "arn:aws:sqs:us-east-1:000000000000:q"
    await store.functions.create(Function("f", version_of()))
    await store.functions.put_invoke_config(EventInvokeConfig("f", "$LATEST", 0.0, 0, 3600, queue, None))
    one = event({"n": 1})
    await service.invoke_async(one)
    await until(lambda: outlet.delivered)
    [delivery] = outlet.delivered
    assert (delivery.destination_arn, delivery.success, delivery.request_id) == (queue, True, one.request_id)
    assert delivery.function_arn == service.account.function_arn("f", "$LATEST")
    assert json.loads(delivery.body)["requestPayload"] == {"n": 1}
    await until(lambda: sum(store.events.depth().values()) == 0)


async def test_a_dead_letter_queue_gets_the_event_byte_for_byte_and_why(service, store, sandboxes):
    outlet = FakeOutlet()
    service.bring_outlet(outlet)
    await store.functions.create(Function("f", version_of(dead_letter_arn="arn:aws:sqs:us-east-1:000000000000:q")))

    async def behaviour(sandbox, runtime_event):
        return SandboxOutcome("error", b'{"errorMessage": "no good", "errorType": "E"}', 1.0, "E")

    sandboxes.behaviour = behaviour
    await service.invoke_async(replace(event(), payload=b'{"n" :  1}'))
    await until(lambda: outlet.delivered)
    [delivery] = outlet.delivered
    assert (delivery.body, delivery.success, delivery.error_message) == ('{"n" :  1}', None, "no good")


async def test_what_can_never_be_delivered_is_kept_as_dead_with_why(service, store, sandboxes):
    outlet = FakeOutlet()
    outlet.refusals = [UndeliverableError("a FIFO queue can't be a destination")]
    service.bring_outlet(outlet)
    queue = "arn:aws:sqs:us-east-1:000000000000:q.fifo"
    await store.functions.create(Function("f", version_of()))
    await store.functions.put_invoke_config(EventInvokeConfig("f", "$LATEST", 0.0, 0, 3600, queue, None))
    await service.invoke_async(event())
    await until(lambda: store.events.dead(10))
    assert store.events.dead(10)[0]["reason"] == f"destination {queue}: a FIFO queue can't be a destination"
