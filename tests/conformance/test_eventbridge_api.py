"""EventBridge as boto3 sees it: buses, rules, targets, events; the texts are recorded answers of AWS."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from .conftest import REGION, Engine

ACCOUNT = "000000000000"


@pytest.fixture
def aws(engine: Engine) -> Callable[[str], Any]:
    keys = engine.service.credentials.owner

    def client(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=engine.url,
            region_name=REGION,
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False, proxies={}),
        )

    return client


@pytest.fixture
def events(aws: Callable[[str], Any]) -> Iterator[Any]:
    """EventBridge; what a test leaves on it is removed."""
    client = aws("events")
    yield client
    for bus in client.list_event_buses()["EventBuses"]:
        for rule in client.list_rules(EventBusName=bus["Name"])["Rules"]:
            targets = client.list_targets_by_rule(Rule=rule["Name"], EventBusName=bus["Name"])["Targets"]
            if targets:
                ids = [target["Id"] for target in targets]
                client.remove_targets(Rule=rule["Name"], EventBusName=bus["Name"], Ids=ids)
            client.delete_rule(Name=rule["Name"], EventBusName=bus["Name"])
        if bus["Name"] != "default":
            client.delete_event_bus(Name=bus["Name"])


@pytest.fixture
def refuses(events: Any) -> Callable[..., tuple[str, str]]:
    """Code and message of an operation that must fail."""

    def call(operation: str, **params: Any) -> tuple[str, str]:
        with pytest.raises(events.exceptions.ClientError) as caught:
            getattr(events, operation)(**params)
        error = caught.value.response
        return error["Error"]["Code"], error["Error"]["Message"]

    return call


def received(engine: Engine, name: str, count: int, timeout_s: float = 10.0) -> list[dict[str, Any]]:
    """Records of what rules and schedules have invoked the function for."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        engine.run(engine.service.store.ledger.flush())
        found = [r for r in engine.service.store.ledger.recent(name, limit=100) if ":" in r.source]
        if len(found) >= count:
            return [{"source": r.source, "status": r.status, "request_id": r.request_id} for r in found]
        time.sleep(0.02)
    raise AssertionError(f"{name} was not invoked {count} times")


def permit(client: Any, name: str, rule_arn: str) -> None:
    client.add_permission(
        FunctionName=name,
        StatementId=str(uuid.uuid4()),
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule_arn,
    )


PATTERN = {"source": ["my.app"], "detail": {"n": [{"numeric": [">", 1]}]}}


def entry(**detail: Any) -> dict[str, Any]:
    return {"Source": "my.app", "DetailType": "order", "Detail": json.dumps(detail), "Resources": ["arn:a"]}


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rule_from_birth_to_death(events, name, refuses):
    """EventBridge API Reference, "PutRule", "DescribeRule" …; shapes as in recorded answers."""
    arn = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{name}"
    made = events.put_rule(
        Name=name, EventPattern=json.dumps(PATTERN), Description="d", Tags=[{"Key": "a", "Value": "b"}]
    )
    assert made["RuleArn"] == arn
    described = events.describe_rule(Name=name)
    del described["ResponseMetadata"]
    assert described == {
        "Name": name,
        "Arn": arn,
        "EventPattern": json.dumps(PATTERN),
        "State": "ENABLED",
        "Description": "d",
        "EventBusName": "default",
        "CreatedBy": ACCOUNT,
    }
    events.disable_rule(Name=name)
    assert events.describe_rule(Name=name)["State"] == "DISABLED"
    events.enable_rule(Name=name)
    events.put_rule(Name=name, ScheduleExpression="rate(1 minute)")
    listed = events.list_rules(NamePrefix=name)["Rules"]
    assert [rule["ScheduleExpression"] for rule in listed] == ["rate(1 minute)"]
    assert "EventPattern" not in listed[0]
    assert events.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    events.tag_resource(ResourceARN=arn, Tags=[{"Key": "c", "Value": "d"}])
    events.untag_resource(ResourceARN=arn, TagKeys=["a"])
    assert events.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "c", "Value": "d"}]
    events.delete_rule(Name=name)
    assert refuses("describe_rule", Name=name) == (
        "ResourceNotFoundException",
        f"Rule {name} does not exist on EventBus default.",
    )
    events.delete_rule(Name=name)  # once more is no mistake


@pytest.mark.parametrize(
    "expression",
    [
        "rate(10 seconds)",
        "rate(1 minutes)",
        "rate(10 minute)",
        "rate(0 minutes)",
        "rate(10 MINUTES)",
        " rate(10 minutes)",
        "cron(0 1 * * * *)",
        "cron(7 20 * * NOT *)",
        "cron(INVALID)",
        "cron(71 8 1 * ? *)",
        "at(2030-01-01T00:00:00)",
    ],
)
def test_schedules_that_aws_refuses(refuses, name, expression):
    """Recorded answers of AWS to PutRule."""
    assert refuses("put_rule", Name=name, ScheduleExpression=expression) == (
        "ValidationException",
        "Parameter ScheduleExpression is not valid.",
    )


@pytest.mark.parametrize(
    "expression",
    ["cron(0 2 ? * SAT#3 *)", "cron(15 10 ? * 6L 2002-2005)", "cron(0/5 5 ? JAN 1-5 2022)", "rate(5 minutes)"],
)
def test_schedules_that_aws_takes(events, name, expression):
    """Recorded answers of AWS to PutRule."""
    events.put_rule(Name=name, ScheduleExpression=expression)
    assert events.describe_rule(Name=name)["ScheduleExpression"] == expression


def test_rules_that_can_not_be(events, name, refuses):
    assert refuses("put_rule", Name=name) == (
        "ValidationException",
        "Parameter(s) EventPattern or ScheduleExpression must be specified.",
    )
    code, message = refuses("put_rule", Name=name, EventPattern='{"source": "x"}')
    assert code == "InvalidEventPatternException"
    assert message.startswith(
        'Event pattern is not valid. Reason: "source" must be an object or an array\n at [Source:'
    )
    events.create_event_bus(Name="other")
    assert refuses("put_rule", Name=name, EventBusName="other", ScheduleExpression="rate(1 minute)") == (
        "ValidationException",
        "ScheduleExpression is supported only on the default event bus.",
    )
    assert refuses("put_rule", Name=name, EventBusName="none", EventPattern="{}") == (
        "ResourceNotFoundException",
        "Event bus none does not exist.",
    )


def test_pages_of_rules(events, name):
    made = sorted(f"{name[:50]}-{n}" for n in range(6))
    for one in made:
        events.put_rule(Name=one, EventPattern=json.dumps(PATTERN))
    first = events.list_rules(NamePrefix=name[:50], Limit=4)
    rest = events.list_rules(NamePrefix=name[:50], Limit=4, NextToken=first["NextToken"])
    assert [rule["Name"] for rule in first["Rules"] + rest["Rules"]] == made
    assert "NextToken" not in rest


def test_buses(events, refuses):
    """Recorded answers of AWS."""
    arn = events.create_event_bus(Name="one", Description="d")["EventBusArn"]
    assert arn == f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/one"
    assert refuses("create_event_bus", Name="one") == (
        "ResourceAlreadyExistsException",
        "Event bus one already exists.",
    )
    assert {bus["Name"] for bus in events.list_event_buses()["EventBuses"]} == {"default", "one"}
    assert [bus["Name"] for bus in events.list_event_buses(NamePrefix="on")["EventBuses"]] == ["one"]
    events.update_event_bus(Name="one", Description="e")
    assert events.describe_event_bus(Name="one")["Description"] == "e"
    assert events.describe_event_bus()["Name"] == "default"
    assert refuses("delete_event_bus", Name="default") == ("ValidationException", "Cannot delete event bus default.")
    events.put_rule(Name="r", EventBusName="one", EventPattern=json.dumps(PATTERN))
    assert refuses("delete_event_bus", Name="one")[0] == "ValidationException"
    assert events.describe_rule(Name="r", EventBusName=arn)["Arn"].endswith(":rule/one/r")
    events.delete_rule(Name="r", EventBusName="one")
    events.delete_event_bus(Name="one")
    assert refuses("describe_event_bus", Name="one") == (
        "ResourceNotFoundException",
        "Event bus one does not exist.",
    )


@pytest.mark.parametrize("bus", ["default", "custom"])
def test_policies_of_buses(events, refuses, bus):
    """Recorded answers of AWS to PutPermission, RemovePermission and DescribeEventBus."""
    if bus != "default":
        events.create_event_bus(Name=bus)
    arn = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{bus}"
    for sid, principal in (("a", "111111111111"), ("b", "*")):
        events.put_permission(EventBusName=bus, Action="events:PutEvents", Principal=principal, StatementId=sid)
    allowed = {"Effect": "Allow", "Action": "events:PutEvents", "Resource": arn}
    assert json.loads(events.describe_event_bus(Name=bus)["Policy"]) == {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "a", "Principal": {"AWS": "arn:aws:iam::111111111111:root"}, **allowed},
            {"Sid": "b", "Principal": "*", **allowed},
        ],
    }
    events.remove_permission(EventBusName=bus, StatementId="a")
    none = ("ResourceNotFoundException", "Statement with the provided id does not exist.")
    assert refuses("remove_permission", EventBusName=bus, StatementId="a") == none
    events.remove_permission(EventBusName=bus, RemoveAllPermissions=True)
    assert "Policy" not in events.describe_event_bus(Name=bus)
    policy = {"Version": "2012-10-17", "Statement": [{"Sid": "x", "Effect": "Allow"}]}
    events.put_permission(EventBusName=bus, Policy=json.dumps(policy))
    assert json.loads(events.describe_event_bus(Name=bus)["Policy"]) == policy
    events.remove_permission(EventBusName=bus, StatementId="x")
    assert refuses("put_permission", EventBusName="none", Policy="{}") == (
        "ResourceNotFoundException",
        "Event bus none does not exist.",
    )


# ── targets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_targets(events, name, make, refuses):
    function = make()["FunctionArn"]
    events.put_rule(Name=name, EventPattern=json.dumps(PATTERN))
    target = {"Id": "1", "Arn": function, "Input": '{"a":1}', "RetryPolicy": {"MaximumRetryAttempts": 3}}
    answer = events.put_targets(Rule=name, Targets=[target])
    assert (answer["FailedEntryCount"], answer["FailedEntries"]) == (0, [])
    assert events.list_targets_by_rule(Rule=name)["Targets"] == [target]
    assert events.list_rule_names_by_target(TargetArn=function)["RuleNames"] == [name]
    assert refuses("delete_rule", Name=name) == (
        "ValidationException",
        "Rule can't be deleted since it has targets.",
    )
    more = [{"Id": str(n), "Arn": function} for n in range(2, 7)]
    assert refuses("put_targets", Rule=name, Targets=more) == (
        "LimitExceededException",
        "The requested resource exceeds the maximum number allowed.",
    )
    events.remove_targets(Rule=name, Ids=["1", "never-there"])
    assert events.list_targets_by_rule(Rule=name)["Targets"] == []


@pytest.mark.parametrize(
    ("target", "code", "text"),
    [
        ({"Input": "{}", "InputPath": "$.detail"}, "ValidationException", "Only one of Input, InputPath"),
        ({"Input": "{"}, "ValidationException", "JSON syntax error in input for target t"),
        ({"InputPath": "detail"}, "ValidationException", "Invalid JSON path"),
        (
            {"InputTransformer": {"InputPathsMap": {}, "InputTemplate": '"<missing>"'}},
            "ValidationException",
            "placeholder <missing> is not defined",
        ),
        ({"Id": "!@#"}, "ValidationException", "Value '!@#' at 'targets.1.member.id' failed to satisfy constraint"),
        ({"Arn": "nonsense"}, "ValidationException", "Provided Arn is not in correct format"),
        ({"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:q.fifo"}, "ValidationException", "SqsParameters must be specified"),
        (
            {"Arn": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:x"},
            "NotImplemented",
            "targets of states are not built",
        ),
    ],
)
def test_targets_that_can_not_be(events, name, make, refuses, target, code, text):
    events.put_rule(Name=name, EventPattern=json.dumps(PATTERN))
    found = refuses("put_targets", Rule=name, Targets=[{"Id": "t", "Arn": make()["FunctionArn"], **target}])
    assert found[0] == code
    assert text in found[1]


# ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_event_reaches_the_function_in_awss_envelope(engine, events, client, name, make):
    """EventBridge User Guide, "AWS service event metadata"; members as in recorded events."""
    function = make()["FunctionArn"]
    rule = events.put_rule(Name=name, EventPattern=json.dumps(PATTERN))["RuleArn"]
    permit(client, name, rule)
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": function}])
    answer = events.put_events(Entries=[entry(n=2), entry(n=1), {**entry(n=3), "EventBusName": "nowhere"}])
    assert answer["FailedEntryCount"] == 0
    (record,) = received(engine, name, 1)
    assert record["source"] == f"rule:{name}"
    assert record["status"] == "success"


def test_what_a_target_gets(engine, events, make, name, client):
    """Input, InputPath, InputTransformer: seen by what a rule hands to the queue."""
    function = make()["FunctionArn"]
    rule = events.put_rule(Name=name, EventPattern=json.dumps(PATTERN))["RuleArn"]
    permit(client, name, rule)
    template = {
        "InputPathsMap": {"who": "$.detail.who", "n": "$.detail.n", "none": "$.detail.none"},
        "InputTemplate": '{"to": <who>, "text": "<who> has <n><none>", "rule": "<aws.events.rule-name>", '
        '"all": <aws.events.event.json>}',
    }
    targets = [
        {"Id": "all", "Arn": function},
        {"Id": "const", "Arn": function, "Input": '{"c":1}'},
        {"Id": "path", "Arn": function, "InputPath": "$.detail"},
        {"Id": "made", "Arn": function, "InputTransformer": template},
    ]
    events.put_targets(Rule=name, Targets=targets)
    seen: list[Any] = []
    real = engine.service.store.events.enter
    engine.service.store.events.enter = lambda c, events: (seen.extend(events), real(c, events))[1]  # type: ignore[method-assign]
    try:
        event_id = events.put_events(Entries=[{**entry(n=2, who='"Ann"'), "Time": 1_700_000_000}])["Entries"][0][
            "EventId"
        ]
    finally:
        engine.service.store.events.enter = real  # type: ignore[method-assign]
    got = [json.loads(one.payload) for one in {one.request_id: one for one in seen}.values()]
    envelope = {
        "version": "0",
        "id": event_id,
        "detail-type": "order",
        "source": "my.app",
        "account": ACCOUNT,
        "time": "2023-11-14T22:13:20Z",
        "region": REGION,
        "resources": ["arn:a"],
        "detail": {"n": 2, "who": '"Ann"'},
    }
    assert got[0] == envelope
    assert list(got[0]) == list(envelope)
    assert got[1] == {"c": 1}
    assert got[2] == {"n": 2, "who": '"Ann"'}
    assert got[3] == {"to": '"Ann"', "text": '"Ann" has 2', "rule": name, "all": envelope}
    received(engine, name, 4)


def test_without_permission_the_function_is_not_invoked(engine, events, make, name, client):
    """AWS Lambda Developer Guide: a service principal needs the function's resource policy."""
    function = make()["FunctionArn"]
    rule = events.put_rule(Name=name, EventPattern=json.dumps(PATTERN))["RuleArn"]
    permit(client, name, rule + "-other")
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": function}])
    assert events.put_events(Entries=[entry(n=2)])["FailedEntryCount"] == 0
    permit(client, name, rule)
    events.put_events(Entries=[entry(n=3)])
    assert len(received(engine, name, 1)) == 1


def test_from_bus_to_bus(engine, events, make, name, client):
    function = make()["FunctionArn"]
    other = events.create_event_bus(Name="second")["EventBusArn"]
    events.put_rule(Name="forward", EventPattern=json.dumps({"source": [{"prefix": "my."}]}))
    events.put_targets(Rule="forward", Targets=[{"Id": "1", "Arn": other}])
    events.put_rule(Name="back", EventBusName="second", EventPattern=json.dumps({"source": [{"prefix": "my."}]}))
    home = events.describe_event_bus()["Arn"]
    events.put_targets(Rule="back", EventBusName="second", Targets=[{"Id": "1", "Arn": home}])
    rule = events.put_rule(Name=name, EventBusName="second", EventPattern=json.dumps(PATTERN))["RuleArn"]
    permit(client, name, rule)
    events.put_targets(Rule=name, EventBusName="second", Targets=[{"Id": "1", "Arn": function}])
    events.put_events(Entries=[entry(n=2)])
    # Round and round, but not for ever.
    assert 1 <= len(received(engine, name, 1)) <= 5


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"Source": None}, "InvalidArgument", "Parameter Source is not valid. Reason: Source is a required argument."),
        ({"Detail": None}, "InvalidArgument", "Parameter Detail is not valid. Reason: Detail is a required argument."),
        (
            {"DetailType": None},
            "InvalidArgument",
            "Parameter DetailType is not valid. Reason: DetailType is a required argument.",
        ),
        ({"Detail": "text"}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": "[1]"}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": '"text"'}, "MalformedDetail", "Detail is malformed."),
        ({"Source": "aws.ec2"}, "NotAuthorizedForSourceException", "Not authorized for the source."),
    ],
)
def test_entries_that_aws_refuses(events, change, code, message):
    """Recorded answers of AWS: the others of the request are taken, in their order."""
    bad = {key: value for key, value in {**entry(n=1), **change}.items() if value is not None}
    answer = events.put_events(Entries=[entry(n=1), bad])
    assert answer["FailedEntryCount"] == 1
    assert "EventId" in answer["Entries"][0]
    assert answer["Entries"][1] == {"ErrorCode": code, "ErrorMessage": message}


def test_too_much_at_once(events, refuses):
    """Recorded answers of AWS."""
    assert refuses("put_events", Entries=[entry(text="x" * 262_144)]) == (
        "ValidationException",
        "Total size of the entries in the request is over the limit.",
    )
    code, message = refuses("put_events", Entries=[entry(n=1)] * 11)
    assert code == "ValidationException"
    assert message.endswith(
        "at 'entries' failed to satisfy constraint: Member must have length less than or equal to 10"
    )


def test_patterns_are_tried(events, refuses):
    event = {
        "id": "1", "account": ACCOUNT, "source": "my.app", "time": "2026-01-01T00:00:00Z", "region": REGION,
        "resources": [], "detail-type": "order", "detail": {"n": 2},
    }  # fmt: skip
    tried = events.test_event_pattern(EventPattern=json.dumps(PATTERN), Event=json.dumps(event))
    assert tried["Result"] is True
    event["source"] = "other"
    assert not events.test_event_pattern(EventPattern=json.dumps(PATTERN), Event=json.dumps(event))["Result"]
    assert refuses("test_event_pattern", EventPattern=json.dumps(PATTERN), Event="text") == (
        "ValidationException",
        "Parameter Event is not valid.",
    )


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("create_archive", {"ArchiveName": "a", "EventSourceArn": "arn:aws:events:us-east-1:000000000000:event-bus/x"}),
        ("create_connection", {"Name": "c", "AuthorizationType": "API_KEY", "AuthParameters": {}}),
        ("list_replays", {}),
    ],
)
def test_what_is_not_built_says_so(refuses, operation, params):
    code, message = refuses(operation, **params)
    assert code == "NotImplemented"
    assert "is not built" in message


def test_what_a_function_answers_reaches_a_rule(engine, events, client, name, make):
    """A destination of asynchronous invocations is a bus; a rule of it invokes another function.

    Source: AWS Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations".
    """
    first = make()["FunctionName"]
    second = f"{name[:50]}-then"
    function = make(FunctionName=second)["FunctionArn"]
    pattern = {"source": ["lambda"], "detail": {"responsePayload": {"event": {"n": [7]}}}}
    rule = events.put_rule(Name=name, EventPattern=json.dumps(pattern))["RuleArn"]
    permit(client, second, rule)
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": function}])
    bus = events.describe_event_bus()["Arn"]
    client.put_function_event_invoke_config(
        FunctionName=first, DestinationConfig={"OnSuccess": {"Destination": bus}, "OnFailure": {}}
    )
    client.invoke(FunctionName=first, InvocationType="Event", Payload=b'{"n": 7}')
    assert received(engine, second, 1)[0]["source"] == f"rule:{name}"
