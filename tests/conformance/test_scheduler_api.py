"""EventBridge Scheduler as boto3 and the AWS CLI see it; the texts are recorded answers of AWS."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as Keys
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import REGION, Engine

ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/scheduler"
OFF = {"Mode": "OFF"}


def arn_of(name: str, group: str = "default") -> str:
    return f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/{group}/{name}"


@pytest.fixture
def scheduler(engine: Engine) -> Iterator[Any]:
    """EventBridge Scheduler; what a test leaves is removed."""
    keys = engine.service.credentials.owner
    client = boto3.client(
        "scheduler",
        endpoint_url=engine.url,
        region_name=REGION,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False, proxies={}),
    )
    yield client
    for one in client.list_schedules()["Schedules"]:
        client.delete_schedule(Name=one["Name"], GroupName=one["GroupName"])
    for group in client.list_schedule_groups()["ScheduleGroups"]:
        if group["Name"] != "default":
            client.delete_schedule_group(Name=group["Name"])


@pytest.fixture
def create(scheduler: Any, name: str) -> Callable[..., str]:
    """Create the test's schedule with what is given; its ARN."""

    def make(**changes: Any) -> str:
        params = {
            "Name": name,
            "ScheduleExpression": "rate(5 minutes)",
            "FlexibleTimeWindow": OFF,
            "Target": {"Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:none", "RoleArn": ROLE},
        }
        given = {key: value for key, value in (params | changes).items() if value is not None}
        arn: str = scheduler.create_schedule(**given)["ScheduleArn"]
        return arn

    return make


@pytest.fixture
def refuses(scheduler: Any) -> Callable[..., tuple[str, int, str]]:
    """Code, status and message of something that must fail."""

    def call(work: Callable[..., Any], **params: Any) -> tuple[str, int, str]:
        with pytest.raises(scheduler.exceptions.ClientError) as caught:
            work(**params)
        response = caught.value.response
        return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]

    return call


def runs(engine: Engine, function: str, count: int, timeout_s: float = 10.0) -> list[str]:
    """Sources of the function's invocations, once there are so many."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        engine.run(engine.service.store.ledger.flush())
        found = [record.source for record in engine.service.store.ledger.recent(function, limit=100)]
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{function} did not run {count} times")


def test_a_schedule_from_birth_to_death(scheduler, create, name, refuses):
    """Members and defaults as in recorded answers of AWS to GetSchedule."""
    assert create(State="DISABLED", Description="d") == arn_of(name)
    found = scheduler.get_schedule(Name=name)
    del found["ResponseMetadata"]
    assert abs(found.pop("CreationDate") - datetime.now(UTC)) < timedelta(seconds=30)
    assert abs(found.pop("LastModificationDate") - datetime.now(UTC)) < timedelta(seconds=30)
    assert found == {
        "ActionAfterCompletion": "NONE",
        "Arn": arn_of(name),
        "Description": "d",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "GroupName": "default",
        "Name": name,
        "ScheduleExpression": "rate(5 minutes)",
        "ScheduleExpressionTimezone": "UTC",
        "State": "DISABLED",
        "Target": {
            "Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:none",
            "RoleArn": ROLE,
            "RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185},
        },
    }
    end = datetime(2030, 1, 1, tzinfo=UTC)
    scheduler.update_schedule(
        Name=name,
        ScheduleExpression="cron(0 9 ? * MON-FRI *)",
        ScheduleExpressionTimezone="Europe/London",
        FlexibleTimeWindow={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15},
        Target={"Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:none", "RoleArn": ROLE},
        EndDate=end,
    )
    found = scheduler.get_schedule(Name=name)
    assert (found["State"], found["EndDate"], found["ScheduleExpressionTimezone"]) == ("ENABLED", end, "Europe/London")
    assert found["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    assert "Description" not in found
    scheduler.delete_schedule(Name=name)
    gone = ("ResourceNotFoundException", 404, f"Schedule {name} does not exist.")
    assert refuses(scheduler.get_schedule, Name=name) == gone
    assert refuses(scheduler.delete_schedule, Name=name) == gone


@pytest.mark.parametrize(
    "expression",
    [
        "cron(0 1 * * * *)",
        "cron(7 20 * * NOT *)",
        "cron(INVALID)",
        "cron(0 dummy ? * MON-FRI *)",
        "cron(71 8 1 * ? *)",
        "cron()",
        "rate(10 seconds)",
        "rate(10 years)",
        "rate()",
        "rate(10)",
        "rate(10 minutess)",
        "rate(foo minutes)",
        "rate(-10 minutes)",
        "rate( 10 minutes )",
        " rate(10 minutes)",
        "at(2021-12-31T23:59:59Z)",
        "at(2021-12-31)",
    ],
)
def test_expressions_that_aws_refuses(create, refuses, expression):
    """Recorded answers of AWS to CreateSchedule."""
    assert refuses(create, ScheduleExpression=expression) == (
        "ValidationException",
        400,
        f"Invalid Schedule Expression {expression}.",
    )


@pytest.mark.parametrize("expression", ["at(2022-12-31T23:59:59)", "rate(2 minute)", "cron(30 2 * * ?)"])
def test_expressions_that_aws_takes(create, expression):
    """Recorded answers; the year is optional by EventBridge Scheduler's guide. A time that is over never comes."""
    create(ScheduleExpression=expression)


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"ScheduleExpressionTimezone": "Europe/Lundon"}, "ValidationException", "Invalid ScheduleExpressionTimezone"),
        ({"GroupName": "none"}, "ResourceNotFoundException", "Schedule group none does not exist."),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "ValidationException", "MaximumWindowInMinutes must be set"),
        ({"StartDate": 2e9, "EndDate": 1.9e9}, "ValidationException", "StartDate must be before the EndDate"),
        ({"State": "ON"}, "ValidationException", "Value 'ON' at 'state' failed to satisfy constraint"),
        ({"Name": "no/slash"}, "ValidationException", "at 'name' failed to satisfy constraint"),
        (
            {"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", "RoleArn": ROLE}},
            "NotImplemented",
            "universal",
        ),
        ({"Target": {"Arn": "arn:aws:ecs:us-east-1:1:cluster/x", "RoleArn": ROLE}}, "NotImplemented", "targets of ecs"),
        ({"Target": {"Arn": "nonsense", "RoleArn": ROLE}}, "ValidationException", "not in correct format"),
        (
            {"Target": {"Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f", "RoleArn": ROLE, "Input": "{"}},
            "ValidationException",
            "well-formed JSON",
        ),
    ],
)
def test_schedules_that_can_not_be(create, refuses, changes, code, text):
    found = refuses(create, **changes)
    assert found[0] == code
    assert text in found[2]


def test_the_same_name_twice(create, refuses, name):
    create()
    assert refuses(create) == ("ConflictException", 409, f"Schedule {name} already exists.")


def test_a_client_token_makes_a_request_count_once(create, refuses, scheduler, name):
    """CreateSchedule: "Unique, case-sensitive identifier you provide to ensure the idempotency of the request"."""
    assert create(ClientToken="t1") == create(ClientToken="t1")
    assert refuses(create, ClientToken="t1", Description="other")[0] == "ConflictException"
    scheduler.delete_schedule(Name=name, ClientToken="t2")
    scheduler.delete_schedule(Name=name, ClientToken="t2")


def test_groups(scheduler, create, name, refuses):
    made = scheduler.create_schedule_group(Name="reports", Tags=[{"Key": "a", "Value": "b"}])
    arn = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/reports"
    assert made["ScheduleGroupArn"] == arn
    assert refuses(scheduler.create_schedule_group, Name="reports")[:2] == ("ConflictException", 409)
    assert scheduler.get_schedule_group(Name="reports")["State"] == "ACTIVE"
    assert [one["Name"] for one in scheduler.list_schedule_groups()["ScheduleGroups"]] == ["default", "reports"]
    scheduler.tag_resource(ResourceArn=arn, Tags=[{"Key": "c", "Value": "d"}])
    scheduler.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert scheduler.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "c", "Value": "d"}]
    create(GroupName="reports")
    create()
    assert [one["Arn"] for one in scheduler.list_schedules(GroupName="reports")["Schedules"]] == [
        arn_of(name, "reports")
    ]
    scheduler.delete_schedule_group(Name="reports")
    assert [one["GroupName"] for one in scheduler.list_schedules()["Schedules"]] == ["default"]
    assert refuses(scheduler.delete_schedule_group, Name="default")[0] == "ValidationException"


def test_lists_have_pages(scheduler, create):
    made = sorted(f"s{n}" for n in range(7))
    for one in made:
        create(Name=one, State="DISABLED" if one == "s3" else "ENABLED", ScheduleExpression="rate(9 days)")
    first = scheduler.list_schedules(MaxResults=4, NamePrefix="s")
    rest = scheduler.list_schedules(MaxResults=4, NamePrefix="s", NextToken=first["NextToken"])
    assert [one["Name"] for one in first["Schedules"] + rest["Schedules"]] == made
    assert "NextToken" not in rest
    assert [one["Name"] for one in scheduler.list_schedules(State="DISABLED")["Schedules"]] == ["s3"]


# ── firing ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rate_begins_at_once(engine, create, make, name):
    """EventBridge Scheduler User Guide, "Rate-based schedules": without a StartDate it starts immediately."""
    create(Target={"Arn": make()["FunctionArn"], "RoleArn": ROLE})
    assert runs(engine, name, 1) == [f"schedule:{name}"]


def test_once_and_gone(engine, scheduler, create, make, name):
    """ActionAfterCompletion DELETE; context attributes are filled in; no resource policy is asked: a role acts."""
    at = datetime.now(UTC) + timedelta(seconds=2)
    seen: list[Any] = []
    queue = engine.service.store.events
    real = queue.enter
    queue.enter = lambda connection, events: (seen.extend(events), real(connection, events))[1]  # type: ignore[method-assign]
    try:
        create(
            ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
            ActionAfterCompletion="DELETE",
            Target={
                "Arn": make()["FunctionArn"],
                "RoleArn": ROLE,
                "Input": '{"at":"<aws.scheduler.scheduled-time>","by":"<aws.scheduler.schedule-arn>",'
                '"try":<aws.scheduler.attempt-number>,"id":"<aws.scheduler.execution-id>"}'.replace(
                    "<aws.scheduler.attempt-number>", '"<aws.scheduler.attempt-number>"'
                ),
            },
        )
        assert runs(engine, name, 1) == [f"schedule:{name}"]
    finally:
        queue.enter = real  # type: ignore[method-assign]
    event = json.loads(seen[0].payload)
    assert (event["at"], event["by"], event["try"]) == (f"{at:%Y-%m-%dT%H:%M:%S}Z", arn_of(name), "1")
    assert scheduler.list_schedules(NamePrefix=name)["Schedules"] == []


def test_the_admin_route_tells_when(engine, scheduler, create, make, name):
    function = make()["FunctionArn"]
    create(
        ScheduleExpression="cron(0 9 ? * MON-FRI *)",
        ScheduleExpressionTimezone="Europe/London",
        Target={"Arn": function, "RoleArn": ROLE},
    )
    create(Name=f"{name[:50]}-other", Target={"Arn": function.replace(name, "other"), "RoleArn": ROLE})
    status, _, body = engine.signed("GET", f"/_jupyter_lambda/schedules?function={name}")
    assert status == 200
    (told,) = json.loads(body)["schedules"]
    assert told["trigger"] == f"schedule:{name}"
    assert told["words"] == "every weekday at 09:00, Europe/London"
    assert len(told["next_s"]) == 3
    assert told["next_s"] == sorted(told["next_s"])
    assert (told["state"], told["last_fired_s"], told["function"]) == ("ENABLED", None, name)
    status, _, body = engine.signed("GET", "/_jupyter_lambda/schedules")
    assert len(json.loads(body)["schedules"]) >= 2


def test_the_aws_cli(engine, scheduler, make, name, tmp_path):
    """`aws scheduler …` and `aws events …` work unchanged."""
    keys = engine.service.credentials.owner
    environment = {
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": engine.url,
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def aws(*arguments: str) -> dict[str, Any]:
        command = [sys.executable, str(Path(sys.executable).with_name("aws")), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout)) if done.stdout.strip() else {}

    target = json.dumps({"Arn": make()["FunctionArn"], "RoleArn": ROLE})
    made = aws(
        "scheduler", "create-schedule", "--name", name, "--schedule-expression", "cron(0 9 ? * MON-FRI *)",
        "--schedule-expression-timezone", "America/New_York", "--flexible-time-window", '{"Mode": "OFF"}',
        "--target", target, "--start-date", "2026-01-01T00:00:00Z",
    )  # fmt: skip
    assert made["ScheduleArn"] == arn_of(name)
    assert aws("scheduler", "get-schedule", "--name", name)["StartDate"] == 1_767_225_600.0
    aws("scheduler", "delete-schedule", "--name", name)
    rule = aws("events", "put-rule", "--name", name, "--schedule-expression", "rate(1 day)")
    assert rule["RuleArn"].endswith(f":rule/{name}")
    aws("events", "delete-rule", "--name", name)


#: Whatever else a schedule may be asked to be.
ODD = st.sampled_from(
    ["rate(1 minute)", "cron(0 9 ? * 2#1 2199)", "at(2199-12-31T23:59:59)", "at(1970-01-01T00:00:00)", "Europe/London"]
) | st.text(max_size=12)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "ScheduleExpression": ODD,
            "ScheduleExpressionTimezone": st.sampled_from(["UTC", "Asia/Kathmandu", "..", "GMT"]) | ODD,
            "StartDate": st.floats(allow_nan=False) | st.integers(-(2**60), 2**60),
            "EndDate": st.floats(allow_nan=False) | st.integers(-(2**60), 2**60),
            "FlexibleTimeWindow": st.fixed_dictionaries(
                {"Mode": ODD}, optional={"MaximumWindowInMinutes": st.integers()}
            ),
            "State": st.sampled_from(["ENABLED", "DISABLED"]),
            "ClientToken": ODD,
            "GroupName": st.sampled_from(["default", "none"]),
            "ActionAfterCompletion": st.sampled_from(["NONE", "DELETE"]),
        },
    )
)
def test_whatever_is_asked_no_answer_is_a_500(engine, changes):
    target = {"Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:none", "RoleArn": ROLE}
    body = {"ScheduleExpression": "rate(9 days)", "FlexibleTimeWindow": OFF, "Target": target} | changes
    keys = engine.service.credentials.owner
    for method, path in (("POST", "/schedules/fuzz"), ("PUT", "/schedules/fuzz"), ("GET", "/schedules/fuzz")):
        data = json.dumps(body).encode() if method != "GET" else b""
        request = AWSRequest(method, engine.url + path, data=data, headers={"Content-Type": "application/json"})
        SigV4Auth(Keys(keys.access_key, keys.secret_key), "scheduler", REGION).add_auth(request)
        status, _, answer = engine.raw(method, path, data, dict(request.headers.items()))
        assert status < 500, (body, answer)
