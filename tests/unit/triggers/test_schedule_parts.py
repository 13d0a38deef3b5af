"""Rules and schedules over the real service: what a tick fires, whose permission is asked, what is told of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jupyter_lambda.engine.credentials import Credentials
from jupyter_lambda.engine.runtimes import Runtimes
from jupyter_lambda.engine.service import LambdaService
from jupyter_lambda.engine.settings import EngineSettings
from jupyter_lambda.errors import ResourceNotFoundException, ValidationException
from jupyter_lambda.model.function import Function, FunctionVersion
from jupyter_lambda.model.rule import Rule, RuleTarget
from jupyter_lambda.model.scheduled import ScheduledTarget
from jupyter_lambda.store import Store
from jupyter_lambda.triggers.schedules.host import Schedules
from jupyter_lambda.triggers.schedules.simulated import SimulatedTime

ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"
DEAD = "arn:aws:sqs:us-east-1:000000000000:dead"
START_S = datetime(2026, 11, 25, 8, 0, tzinfo=ZoneInfo("UTC")).timestamp()


class World:
    """The part over a real store and a service that runs nothing; time stands still until it is told."""

    def __init__(self, part: Schedules, service: Any, store: Store, time: SimulatedTime) -> None:
        self.part, self.service, self.store, self.time = part, service, store, time

    async def schedule(self, expression: str, **changes: Any) -> ScheduledTarget:
        target = {"Arn": ARN, "RoleArn": "r", "RetryPolicy": {}, **changes.pop("target", {})}
        now_s = self.time.now()
        one = ScheduledTarget("default", "s", expression, "UTC", "ENABLED", target, now_s, now_s)
        one = replace(one, **changes)
        await self.store.schedules.put(one, self.part.scheduler.timer(one), None)
        return one

    async def run(self, minutes: float) -> list[Any]:
        """Go on in time; the events that are in the queue then, the oldest first."""
        await self.time.run(self.part.clockwork, self.store.timers, self.time.now() + minutes * 60)
        return await self.store.events.lease(self.time.now() + 1, 100, 10.0)

    def last_result(self, kind: Any, place: str, name: str) -> str | None:
        timer = self.store.timers.get(kind, place, name)
        return timer.last_result if timer else None


@pytest.fixture
async def world(tmp_path):
    store = await Store.open(tmp_path / "state")
    time = SimulatedTime(START_S)
    settings = EngineSettings(memory_budget_mb=1_000)
    credentials = Credentials.load(tmp_path / "state", account=settings.account)
    nothing: Any = None
    service = LambdaService(settings, store, nothing, nothing, credentials, Runtimes(settings), clock=time.now)
    service.entered = lambda events: store.events.entered(len(events))  # type: ignore[method-assign]
    version = FunctionVersion(
        name="f",
        version="$LATEST",
        role="r",
        last_modified="",
        revision_id="1",
        code_sha256="0" * 64,
        package_type="Image",
        image_uri="i",
        timeout_s=3,
    )
    await store.functions.create(Function("f", version))
    yield World(Schedules(service, nothing), service, store, time)
    await store.close()


async def test_schedulers_own_event(world):
    """EventBridge Scheduler's event where there is no Input: source aws.scheduler, its detail a text."""
    await world.schedule("at(2026-11-25T08:05:00)")
    (event,) = await world.run(10)
    assert (event.function_name, event.qualifier, event.source) == ("f", "$LATEST", "schedule:s")
    body = json.loads(event.payload)
    assert body.pop("id")
    assert body == {
        "version": "0",
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": "000000000000",
        "time": "2026-11-25T08:05:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:scheduler:us-east-1:000000000000:schedule/default/s"],
        "detail": "{}",
    }


async def test_rates_of_scheduler_begin_at_once_and_those_of_rules_one_period_later(world):
    await world.schedule("rate(10 minutes)")
    assert len(await world.run(0)) == 1
    rule = Rule("default", "r", schedule="rate(10 minutes)")
    timer = world.part.rules.timer(rule)
    assert timer.tick_s == START_S + 600


@pytest.mark.parametrize(
    ("start_min", "end_min", "expected"),
    [
        (15, None, [15, 25, 35, 45, 55]),
        (None, 25, [0, 10, 20]),
        (15, 35, [15, 25, 35]),
        (-15, None, [5, 15, 25, 35, 45, 55]),
    ],
)
async def test_start_and_end(world, start_min, end_min, expected):
    """ "you use the StartDate property to set the first occurrence of the schedule"."""
    dates = {
        "start_s": None if start_min is None else START_S + start_min * 60,
        "end_s": None if end_min is None else START_S + end_min * 60,
    }
    await world.schedule("rate(10 minutes)", target={"Input": '"<aws.scheduler.scheduled-time>"'}, **dates)
    events = await world.run(59)
    minutes = [int(json.loads(event.payload)[14:16]) for event in events]
    assert minutes == expected


async def test_a_cron_schedule_waits_for_its_start(world):
    await world.schedule("cron(0/10 * * * ? *)", start_s=START_S + 1200)
    assert len(await world.run(45)) == 3  # 08:20, 08:30, 08:40


async def test_a_function_that_is_gone(world):
    await world.schedule("rate(10 minutes)", target={"Arn": f"{ARN}2", "DeadLetterConfig": {"Arn": DEAD}})
    assert await world.run(0) == []
    (sending,) = world.store.deliveries.due(world.time.now(), 10)
    told = sending.delivery.details["Attributes"]
    assert sending.delivery.arn == DEAD
    assert told["ERROR_CODE"] == "ResourceNotFoundException"
    assert told["SCHEDULE_ARN"].endswith(":schedule/default/s")
    assert world.last_result("schedule", "default", "s").startswith("to the dead-letter queue: ResourceNotFound")


async def scheduled_rule(world, **settings: Any) -> None:
    rule = Rule("default", "r", schedule="rate(1 minute)")
    await world.store.rules.put_rule(rule, world.part.rules.timer(rule))
    target = {"Id": "1", "Arn": ARN, **settings}
    await world.store.rules.change_targets("default", "r", put=[RuleTarget("1", ARN, target)])


async def permit(world, source_arn: str) -> None:
    statement = {
        "Sid": "1",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": ARN,
        "Condition": {"ArnLike": {"AWS:SourceArn": source_arn}},
    }
    await world.store.functions.put_policy(ARN, {"Statement": [statement], "RevisionId": "1"})


async def test_a_scheduled_rule_needs_the_functions_permission(world):
    await scheduled_rule(world)
    assert await world.run(1) == []
    assert world.last_result("rule", "default", "r").startswith("AccessDeniedException: the policy of")
    await permit(world, "arn:aws:events:us-east-1:000000000000:rule/r")
    (event,) = await world.run(1)
    body = json.loads(event.payload)
    assert (body["detail-type"], body["source"], body["time"]) == (
        "Scheduled Event",
        "aws.events",
        "2026-11-25T08:02:00Z",
    )
    assert body["resources"] == ["arn:aws:events:us-east-1:000000000000:rule/r"]
    assert body["detail"] == {}
    assert event.source == "rule:r"
    assert world.last_result("rule", "default", "r") == "fired"


async def test_what_is_not_json_reaches_no_function(world):
    template = {"InputPathsMap": {}, "InputTemplate": "not json"}
    await scheduled_rule(world, InputTransformer=template)
    await permit(world, "arn:aws:events:us-east-1:000000000000:rule/*")
    assert await world.run(1) == []
    assert "not JSON" in world.last_result("rule", "default", "r")


async def test_a_rule_without_targets_ticks_and_says_so(world):
    rule = Rule("default", "r", schedule="rate(1 minute)")
    await world.store.rules.put_rule(rule, world.part.rules.timer(rule))
    await world.run(1)
    assert world.last_result("rule", "default", "r") == "the rule has no target"


async def test_the_engines_own_events(world):
    """Destinations of asynchronous invocations may speak for AWS's services; buses that aren't there are told."""
    rule = Rule("default", "r", pattern='{"source":["lambda","aws.s3"]}')
    await world.store.rules.put_rule(rule)
    await world.store.rules.change_targets("default", "r", put=[RuleTarget("1", ARN, {"Id": "1", "Arn": ARN})])
    await permit(world, "arn:aws:events:us-east-1:000000000000:rule/r")
    entry = {"EventBusName": "default", "Source": "aws.s3", "DetailType": "t", "Detail": '{"n":1}', "Resources": ["x"]}
    await world.part.put_event(entry)
    (event,) = await world.run(0)
    assert json.loads(event.payload)["detail"] == {"n": 1}
    with pytest.raises(ResourceNotFoundException, match="Event bus none does not exist"):
        await world.part.put_event({**entry, "EventBusName": "none"})
    with pytest.raises(ValidationException, match="MalformedDetail"):
        await world.part.put_event({**entry, "Detail": "text"})


async def test_status(world):
    assert world.part.status() == {}
    await world.schedule("at(2026-11-25T09:00:00)")
    assert world.part.status() == {"ticking": 1, "next_due_s": START_S + 3600, "deliveries": 0}
