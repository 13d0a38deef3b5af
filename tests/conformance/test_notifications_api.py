"""Buckets' notification configurations and topics' subscriptions by boto3, on the embedded cloud.

Quoted: Amazon S3 API Reference, "PutBucketNotificationConfiguration"; Amazon SNS API Reference, "Subscribe".
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from prometheus_client.parser import text_string_to_metric_families

from .conftest import REGION, Engine

ACCOUNT = "000000000000"


@pytest.fixture
def aws(engine: Engine) -> Callable[[str], Any]:
    """boto3's client of a service at the engine's endpoint."""

    def client(service: str) -> Any:
        keys = engine.service.credentials.owner
        return boto3.client(
            service,
            endpoint_url=engine.url,
            region_name=REGION,
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            config=Config(proxies={}, retries={"total_max_attempts": 1}, parameter_validation=False),
        )

    if engine.triggers.cloud.available() is not None:
        pytest.skip("no server of an embedded cloud is installed")
    return client


@pytest.fixture
def bucket(aws: Any, name: str) -> str:
    made = name.lower().replace("_", "-")[:60].strip("-")
    aws("s3").create_bucket(Bucket=made)
    return made


@pytest.fixture
def function(make: Any, client: Any) -> str:
    """ARN of the test's function, which S3 and SNS may invoke."""
    made = make()
    for service in ("s3", "sns"):
        client.add_permission(
            FunctionName=made["FunctionName"],
            StatementId=service,
            Action="lambda:InvokeFunction",
            Principal=f"{service}.amazonaws.com",
        )
    return str(made["FunctionArn"])


def put(aws: Any, bucket: str, *entries: dict[str, Any], **more: Any) -> None:
    configuration = {"LambdaFunctionConfigurations": list(entries)} if entries else {}
    aws("s3").put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration, **more)


def get(aws: Any, bucket: str) -> dict[str, Any]:
    found: dict[str, Any] = aws("s3").get_bucket_notification_configuration(Bucket=bucket)
    del found["ResponseMetadata"]
    return found


def created(arn: str, **more: Any) -> dict[str, Any]:
    return {"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"], **more}


def refusal(call: Callable[..., Any], *args: Any, **params: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        call(*args, **params)
    found: dict[str, Any] = caught.value.response["Error"]
    return found


def test_put_replaces_and_an_empty_configuration_turns_notifications_off(aws, bucket, function):
    """ "By default, your bucket has no event notifications configured … This action replaces the existing …"""
    assert get(aws, bucket) == {}
    put(aws, bucket, created(function, Id="a"))
    put(aws, bucket, created(function, Id="b"))
    assert [one["Id"] for one in get(aws, bucket)["LambdaFunctionConfigurations"]] == ["b"]
    put(aws, bucket)
    assert get(aws, bucket) == {}


def test_an_id_is_made_where_none_is_given(aws, bucket, function):
    """ "An optional unique identifier … If you don't provide one, Amazon S3 will assign an ID." """
    put(aws, bucket, created(function))
    [found] = get(aws, bucket)["LambdaFunctionConfigurations"]
    assert found["Id"]
    assert found["LambdaFunctionArn"] == function


def test_versions_have_permissions_of_their_own(aws, bucket, function, client, name):
    """The policy of a function says nothing of its versions and aliases."""
    version = client.publish_version(FunctionName=name)["FunctionArn"]
    told = refusal(put, aws, bucket, created(version))
    assert told["Code"] == "InvalidArgument"
    assert told["Message"] == "Unable to validate the following destination configurations"
    assert told["ArgumentName1"] == version
    client.add_permission(
        FunctionName=name,
        Qualifier="1",
        StatementId="s3",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceAccount=ACCOUNT,
        SourceArn=f"arn:aws:s3:::{bucket}",
    )
    put(aws, bucket, created(version))
    assert get(aws, bucket)["LambdaFunctionConfigurations"][0]["LambdaFunctionArn"] == version


def test_validation_of_destinations_can_be_skipped(aws, bucket, make, name):
    """ "Skips validation of Amazon SQS, Amazon SNS, and AWS Lambda destinations. True or false value." """
    arn = make()["FunctionArn"]
    assert refusal(put, aws, bucket, created(arn))["Code"] == "InvalidArgument"
    put(aws, bucket, created(arn), SkipDestinationValidation=True)
    assert get(aws, bucket)["LambdaFunctionConfigurations"][0]["LambdaFunctionArn"] == arn


def test_destinations_that_are_none(aws, bucket, function):
    for arn in (f"{function}x", function.replace(REGION, "eu-west-1"), function.replace(ACCOUNT, "1" * 12), "f"):
        told = refusal(put, aws, bucket, created(arn))
        assert (told["Code"], told["ArgumentName1"]) == ("InvalidArgument", arn)
    assert get(aws, bucket) == {}


def test_a_body_that_is_no_configuration(engine, aws, bucket, function):
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    keys = engine.service.credentials.owner
    request = AWSRequest("PUT", f"{engine.url}/{bucket}?notification", data=b"<Nothing/>")
    S3SigV4Auth(Credentials(keys.access_key, keys.secret_key), "s3", REGION).add_auth(request)
    status, _, body = engine.raw("PUT", f"/{bucket}?notification", b"<Nothing/>", dict(request.headers.items()))
    assert status == 400
    assert b"<Code>MalformedXML</Code>" in body


def test_targets_of_all_kinds_side_by_side(aws, bucket, function, name):
    sqs, sns = aws("sqs"), aws("sns")
    queue = sqs.create_queue(QueueName=name[:70])["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name=name)["TopicArn"]
    configuration = {
        "LambdaFunctionConfigurations": [created(function, Id="f")],
        "QueueConfigurations": [{"Id": "q", "QueueArn": queue_arn, "Events": ["s3:ObjectRemoved:*"]}],
        "TopicConfigurations": [{"Id": "t", "TopicArn": topic, "Events": ["s3:ObjectTagging:*"]}],
        "EventBridgeConfiguration": {},
    }
    aws("s3").put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
    assert get(aws, bucket) == configuration
    overlapping = {**configuration, "TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectCreated:Put"]}]}
    told = refusal(
        aws("s3").put_bucket_notification_configuration, Bucket=bucket, NotificationConfiguration=overlapping
    )
    assert told["Message"].startswith("Configurations overlap.")
    assert get(aws, bucket) == configuration


def test_subscriptions_are_confirmed_and_told_as_the_functions(aws, function, name):
    """ "lambda – delivery of JSON-encoded message to an Lambda function" """
    sns = aws("sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    arn = sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)["SubscriptionArn"]
    assert arn.startswith(f"{topic}:")
    [found] = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert found == {
        "SubscriptionArn": arn,
        "Owner": ACCOUNT,
        "Protocol": "lambda",
        "Endpoint": function,
        "TopicArn": topic,
    }
    attributes = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert attributes["PendingConfirmation"] == "false"
    assert attributes["ConfirmationWasAuthenticated"] == "true"
    policy = '{"kind":["a"]}'
    sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="FilterPolicy", AttributeValue=policy)
    assert sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]["FilterPolicy"] == policy
    # "If the requester already owns a subscription with the same endpoint": its ARN, or an error where they differ.
    assert sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)["SubscriptionArn"] == arn
    told = refusal(
        sns.subscribe,
        TopicArn=topic,
        Protocol="lambda",
        Endpoint=function,
        Attributes={"FilterPolicy": '{"kind":["b"]}'},
    )
    assert told["Code"] == "InvalidParameter"
    assert told["Message"].endswith("Subscription already exists with different attributes")
    sns.unsubscribe(SubscriptionArn=arn)
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []


def test_what_a_function_can_not_be_subscribed_with(aws, function, name):
    sns = aws("sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    ordered = sns.create_topic(Name=f"{name}.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    raw = {"RawMessageDelivery": "true"}
    cases = [
        ({"TopicArn": topic, "Endpoint": "arn:aws:lambda:us-east-1:f"}, "Invalid parameter: Lambda endpoint ARN"),
        ({"TopicArn": ordered, "Endpoint": function}, "Invalid parameter: Invalid protocol type: lambda"),
        (
            {"TopicArn": topic, "Endpoint": function, "Attributes": raw},
            "Invalid parameter: Attributes Reason: Delivery protocol [lambda] does not support raw message delivery.",
        ),
    ]
    for params, message in cases:
        told = refusal(sns.subscribe, Protocol="lambda", **params)
        assert (told["Code"], told["Message"]) == ("InvalidParameter", message)
    assert refusal(sns.subscribe, TopicArn=f"{topic}-not", Protocol="lambda", Endpoint=function)["Code"] == "NotFound"


def test_own_queues_are_nobody_elses(aws, bucket, function):
    put(aws, bucket, created(function))
    sqs = aws("sqs")
    assert not [url for url in sqs.list_queues().get("QueueUrls", []) if "jupyter-lambda-own" in url]


def owner(engine: Engine, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    data = json.dumps(body).encode() if body is not None else b""
    status, _, answer = engine.signed(method, f"/_jupyter_lambda/notifications{path}", data)
    return status, json.loads(answer)


def told(engine: Engine, name: str) -> list[dict[str, Any]]:
    status, answer = owner(engine, "GET", f"?function={name}")
    assert status == 200
    found: list[dict[str, Any]] = answer["notifications"]
    return found


def until(look: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not look():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def series(engine: Engine, notification: str) -> dict[str, float]:
    """What Prometheus is told of one notification."""
    keys = engine.service.credentials.owner
    basic = base64.b64encode(f"{keys.access_key}:{keys.secret_key}".encode()).decode()
    _, _, page = engine.raw("GET", "/_jupyter_lambda/metrics", b"", {"Authorization": f"Basic {basic}"})
    return {
        sample.name.removeprefix("jupyter_lambda_notification_"): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if sample.labels.get("notification") == notification
    }


def test_a_paused_configuration_stays_so_when_it_is_put_again(engine, aws, bucket, function, name):
    put(aws, bucket, created(function, Filter={"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}}))
    [before] = told(engine, name)
    assert (before["state"], before["bucket"], before["prefix"], before["dropped"]) == ("on", bucket, "in/", 0)
    status, answer = owner(engine, "POST", "/pause", {"function": name, "bucket": bucket})
    assert (status, [one["state"] for one in answer["notifications"]]) == (200, ["paused"])
    aws("s3").put_object(Bucket=bucket, Key="in/a", Body=b"x")
    # Without an Id: S3 makes a new one, and the configuration is the same all the same.
    again = created(function, Filter={"Key": {"FilterRules": [{"Name": "Prefix", "Value": "in/"}]}})
    put(aws, bucket, again)
    [after] = told(engine, name)
    assert (after["id"], after["state"], after["delivered"]) == (before["id"], "paused", 0)
    assert after["queue_depth"] >= 1  # S3's test events wait there, too
    [shown] = get(aws, bucket)["LambdaFunctionConfigurations"]
    assert after["configuration"] == shown["Id"]
    # One that is not the same is another.
    put(aws, bucket, again, {"LambdaFunctionArn": function, "Events": ["s3:ObjectRemoved:*"], "Id": "gone"})
    states = {one["id"]: (one["state"], one["configuration"] == "gone") for one in told(engine, name)}
    assert states.pop(before["id"]) == ("paused", False)
    assert list(states.values()) == [("on", True)]
    status, answer = owner(engine, "POST", "/resume", {"function": name, "configuration": before["id"]})
    assert (status, [one["state"] for one in answer["notifications"]]) == (200, ["on"])
    until(lambda: [one["delivered"] for one in told(engine, name) if one["id"] == before["id"]] == [1])


def test_a_paused_subscription(engine, aws, function, name):
    sns = aws("sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    arn = sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)["SubscriptionArn"]
    status, answer = owner(engine, "POST", "/pause", {"function": name, "topic": name})
    assert (status, answer["notifications"][0]["subscription"]) == (200, arn)
    sns.publish(TopicArn=topic, Message="a")
    sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="FilterPolicy", AttributeValue="{}")
    assert sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)["SubscriptionArn"] == arn
    [one] = told(engine, name)
    assert (one["state"], one["queue_depth"], one["delivered"]) == ("paused", 1, 0)
    assert owner(engine, "POST", "/resume", {"function": function, "topic": topic, "configuration": arn})[0] == 200
    until(lambda: told(engine, name)[0]["delivered"] == 1)
    assert told(engine, name)[0]["last_result"] == "OK"
    until(lambda: series(engine, one["id"])["queue_depth"] == 0)
    assert series(engine, one["id"]) == {"invocations_total": 1, "failures_total": 0, "queue_depth": 0, "paused": 0}
    owner(engine, "POST", "/pause", {"function": name, "topic": name})
    assert series(engine, one["id"])["paused"] == 1
    sns.unsubscribe(SubscriptionArn=arn)
    until(lambda: series(engine, one["id"]) == {})


def test_what_is_asked_of_pauses_and_is_not_there(engine, aws, bucket, function, name):
    put(aws, bucket, created(function))
    for body in (
        {"function": name, "bucket": f"{bucket}-not"},
        {"function": f"{name[:50]}-not", "bucket": bucket},
        {"function": name, "topic": bucket},
        {"function": name, "configuration": "none"},
    ):
        status, answer = owner(engine, "POST", "/pause", body)
        assert (status, "There is no" in answer["Message"]) == (404, True)
    both = {"function": name, "bucket": bucket, "topic": bucket}
    for wrong in ([], {"function": name}, {"bucket": bucket}, {"function": name, "bucket": 1}, {"x": "y"}, both):
        assert owner(engine, "POST", "/pause", wrong)[0] == 400
    assert [one["state"] for one in told(engine, name)] == ["on"]


def test_eventbridge_is_told_of_a_bucket(engine, aws, bucket, function, client, name):
    """ "Object Created: An object was created. The reason field … indicates which S3 API was used" """
    events, s3 = aws("events"), aws("s3")
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [bucket]}, "object": {"key": [{"prefix": "in/"}]}}}
    rule = events.put_rule(Name=name[:60], EventPattern=json.dumps(pattern))["RuleArn"]
    events.put_targets(Rule=name[:60], Targets=[{"Id": "f", "Arn": function}])
    client.add_permission(
        FunctionName=name,
        StatementId="events",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule,
    )
    configuration = {"EventBridgeConfiguration": {}, "LambdaFunctionConfigurations": [created(function, Id="too")]}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
    assert get(aws, bucket) == configuration
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
    s3.put_object(Bucket=bucket, Key="out/a", Body=b"x")
    s3.put_object(Bucket=bucket, Key="in/a b", Body=b"x")

    def sources() -> list[str]:
        _, _, answer = engine.signed("GET", f"/_jupyter_lambda/invocations?function={name}")
        return sorted(one["source"] for one in json.loads(answer)["invocations"])

    until(lambda: sources() == [f"rule:{name[:60]}", f"s3:{bucket}", f"s3:{bucket}"])
    put(aws, bucket, created(function, Id="too"))
    assert get(aws, bucket) == {"LambdaFunctionConfigurations": [created(function, Id="too")]}
    s3.put_object(Bucket=bucket, Key="in/b", Body=b"x")
    until(lambda: len(sources()) == 4)
    assert sources().count(f"rule:{name[:60]}") == 1
