"""What rules and schedules send beyond this engine: to queues, topics, streams and buses; retried, given up, kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jupyter_lambda.errors import NotImplementedException, ServiceUnavailableException, ValidationException
from jupyter_lambda.model.scheduled import Delivery
from jupyter_lambda.store import Store
from jupyter_lambda.triggers.schedules import inputs
from jupyter_lambda.triggers.schedules.deliveries import Deliveries
from jupyter_lambda.triggers.schedules.simulated import SimulatedTime
from jupyter_lambda.triggers.schedules.targets import kind_of

QUEUE = "arn:aws:sqs:us-east-1:000000000000:jobs"
DEAD = "arn:aws:sqs:us-east-1:000000000000:dead"
RULE = "arn:aws:events:us-east-1:000000000000:rule/r"


class Refused(Exception):
    """Looks like botocore's ClientError."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code, "Message": "no"}}


class Cloud:
    """Records calls; fails as it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Mapping[str, Any]]] = []
        self.failures: list[Exception] = []

    async def call(self, service: str, operation: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        if operation == "GetQueueUrl":
            assert params is not None
            return {"QueueUrl": f"http://queue/{params['QueueName']}"}
        if self.failures:
            raise self.failures.pop(0)
        self.calls.append((service, operation, dict(params or {})))
        return {}


class World:
    def __init__(self, store: Store, time: SimulatedTime) -> None:
        self.store, self.time, self.cloud = store, time, Cloud()
        self.worker = Deliveries(store.deliveries, self.cloud, time.now)

    async def give(self, **changes: Any) -> None:
        values: dict[str, Any] = {
            "source": "rule:r",
            "arn": QUEUE,
            "payload": b'{"a":1}',
            "first_s": self.time.now(),
            "source_arn": RULE,
        }
        await self.store.rules.accept([], [Delivery(**(values | changes))], lambda events: None)

    async def go_on(self, until_s: float) -> None:
        """Whatever is due up to a time."""
        while (due_s := self.store.deliveries.next_due_s()) is not None and due_s <= until_s:
            self.time.now_s = max(self.time.now_s, due_s)
            await self.worker.send_due()
        self.time.now_s = until_s


@pytest.fixture
async def world(tmp_path: Path):
    store = await Store.open(tmp_path / "state")
    yield World(store, SimulatedTime(1_000.0))
    await store.close()


@pytest.mark.parametrize(
    ("arn", "details", "call"),
    [
        (QUEUE, {}, ("sqs", "SendMessage", {"QueueUrl": "http://queue/jobs", "MessageBody": '{"a":1}'})),
        (
            f"{QUEUE}.fifo",
            {"MessageGroupId": "g"},
            (
                "sqs",
                "SendMessage",
                {"QueueUrl": "http://queue/jobs.fifo", "MessageBody": '{"a":1}', "MessageGroupId": "g"},
            ),
        ),
        (
            "arn:aws:sns:us-east-1:000000000000:topic",
            {},
            ("sns", "Publish", {"TopicArn": "arn:aws:sns:us-east-1:000000000000:topic", "Message": '{"a":1}'}),
        ),
        (
            "arn:aws:kinesis:us-east-1:000000000000:stream/clicks",
            {"PartitionKey": "k"},
            ("kinesis", "PutRecord", {"StreamName": "clicks", "Data": b'{"a":1}', "PartitionKey": "k"}),
        ),
        (
            "arn:aws:events:eu-west-1:111111111111:event-bus/far",
            {"Event": {"source": "s", "detail-type": "t", "detail": {"n": 1}, "resources": []}},
            (
                "events",
                "PutEvents",
                {
                    "Entries": [
                        {
                            "EventBusName": "arn:aws:events:eu-west-1:111111111111:event-bus/far",
                            "Source": "s",
                            "DetailType": "t",
                            "Detail": '{"n": 1}',
                            "Resources": [],
                        }
                    ]
                },
            ),
        ),
    ],
)
async def test_each_kind_of_target(world, arn, details, call):
    await world.give(arn=arn, details=details)
    await world.worker.send_due()
    assert world.cloud.calls == [call]
    assert world.store.deliveries.count() == 0
    assert world.store.deliveries.next_due_s() is None


async def test_a_target_that_does_not_answer_is_tried_again(world):
    world.cloud.failures = [ServiceUnavailableException("no cloud"), Refused("Throttling"), OSError("reset")]
    await world.give()
    await world.go_on(1_000.5)
    assert world.cloud.calls == []
    assert world.store.deliveries.count() == 1
    await world.go_on(1_100.0)
    assert [operation for _, operation, _ in world.cloud.calls] == ["SendMessage"]
    assert world.store.deliveries.count() == 0


async def test_after_the_last_attempt_the_dead_letter_queue_gets_it(world):
    """EventBridge User Guide, "Using dead-letter queues": the attributes of a message there."""
    world.cloud.failures = [Refused("Throttling")] * 3
    await world.give(retries_max=2, dead_letter_arn=DEAD)
    await world.go_on(2_000.0)
    (call,) = world.cloud.calls
    assert call[2]["QueueUrl"] == "http://queue/dead"
    assert call[2]["MessageBody"] == '{"a":1}'
    told = {key: value["StringValue"] for key, value in call[2]["MessageAttributes"].items()}
    assert told == {
        "RULE_ARN": RULE,
        "TARGET_ARN": QUEUE,
        "ERROR_CODE": "Throttling",
        "ERROR_MESSAGE": "no",
        "RETRY_ATTEMPTS": "2",
        "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
    }
    assert world.store.deliveries.count() == 0


async def test_what_is_too_old_is_given_up(world):
    world.cloud.failures = [Refused("Throttling")] * 100
    await world.give(age_max_s=60.0)
    await world.go_on(1_200.0)
    assert world.store.deliveries.count() == 0
    assert world.cloud.calls == []


async def test_where_a_retry_can_not_help_it_is_given_up_at_once(world):
    world.cloud.failures = [Refused("AWS.SimpleQueueService.NonExistentQueue")]
    await world.give(dead_letter_arn=DEAD)
    await world.worker.send_due()
    assert world.cloud.calls[0][2]["QueueUrl"] == "http://queue/dead"
    assert "EXHAUSTED_RETRY_CONDITION" not in world.cloud.calls[0][2]["MessageAttributes"]


async def test_over_a_restart_it_is_still_there(tmp_path):
    store = await Store.open(tmp_path / "state")
    first = World(store, SimulatedTime(1_000.0))
    first.cloud.failures = [Refused("Throttling")]
    await first.give()
    await first.worker.send_due()
    await store.close()
    store = await Store.open(tmp_path / "state")
    second = World(store, SimulatedTime(1_010.0))
    await second.worker.send_due()
    assert len(second.cloud.calls) == 1
    await store.close()


async def test_the_worker_wakes_for_what_is_new_and_finishes_before_it_stops(world):
    await world.worker.start()
    await world.give()
    for _ in range(200):
        if world.cloud.calls and world.store.deliveries.count() == 0:
            break
        await world.store._database.write(lambda connection: connection.execute("SELECT 1").fetchone())
    await world.worker.stop(1.0)
    assert len(world.cloud.calls) == 1
    assert world.store.deliveries.count() == 0


@pytest.mark.parametrize(
    ("arn", "error"),
    [
        ("text", ValidationException),
        ("arn:aws:scheduler:::aws-sdk:sqs:sendMessage", NotImplementedException),
        ("arn:aws:ecs:us-east-1:0:cluster/c", NotImplementedException),
        ("arn:aws:events:us-east-1:0:api-destination/x", NotImplementedException),
    ],
)
def test_other_targets_are_refused_by_name(arn, error):
    with pytest.raises(error) as caught:
        kind_of(arn, "EventBridge's rules")
    assert arn in caught.value.message


# ── what a target gets ───────────────────────────────────────────────────────────────────────────────────────────────

EVENT = {
    "version": "0",
    "detail-type": "customerCreated",
    "time": "2024-03-26T15:48:35Z",
    "detail": {"command": "display-message", "payload": "baz", "items": [{"id": 7}], "quote": 'say "hi"\n'},
}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, EVENT),
        ({"Input": '{"x": 1}'}, {"x": 1}),
        ({"InputPath": "$.detail.payload"}, "baz"),
        ({"InputPath": "$.detail.items[0].id"}, 7),
        ({"InputPath": "$"}, EVENT),
        ({"InputPath": "$.nothing"}, {}),
    ],
)
def test_inputs(settings, expected):
    """Recorded answers of AWS, and EventBridge User Guide, "Amazon EventBridge input transformation"."""
    assert json.loads(inputs.payload(settings, EVENT, {})) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (
            '"Event of <detail-type> type, at time <timestamp>, info extracted from detail <command>"',
            '"Event of customerCreated type, at time 2024-03-26T15:48:35Z, info extracted from detail display-message"',
        ),
        ('"info extracted from detail <missing>"', '"info extracted from detail "'),
        ('{"c": <command>, "i": <items>, "m": <missing>}', '{"c": "display-message", "i": [{"id":7}], "m": ""}'),
        ('{"text": "<quote>"}', '{"text": "say \\"hi\\"\\n"}'),
        ('"<items> and <aws.events.rule-name>"', '"[{\\"id\\":7}] and r"'),
        (
            '{"all": <aws.events.event>}',
            '{"all": {"version":"0","detail-type":"customerCreated","time":"2024-03-26T15:48:35Z"}}',
        ),
    ],
)
def test_templates(template, expected):
    """The first two are recorded answers of AWS."""
    paths = {
        "detail-type": "$.detail-type",
        "timestamp": "$.time",
        "command": "$.detail.command",
        "items": "$.detail.items",
        "quote": "$.detail.quote",
        "missing": "$.detail.notinmessage",
    }
    settings = {"InputTransformer": {"InputPathsMap": paths, "InputTemplate": template}}
    inputs.check_transformer(settings["InputTransformer"])
    assert inputs.payload(settings, EVENT, {"aws.events.rule-name": "r"}).decode() == expected
