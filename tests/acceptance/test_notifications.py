"""Buckets and topics fire functions through the engine's endpoint, on both servers of an embedded cloud."""

from __future__ import annotations

import json
import struct
import time
import zlib
from typing import Any

import pytest
from botocore.exceptions import ClientError

from jupyter_lambda.client import Admin

from .cloud import Cloud, cloud  # noqa: F401 - a fixture

pytestmark = pytest.mark.timeout(180)

#: Appends each event to an object of its own in the bucket "seen".
WITNESS = """
import boto3, json, os
def handler(event, context):
    key = f"{context.function_name}/{context.aws_request_id}"
    boto3.client("s3").put_object(Bucket="seen", Key=key, Body=json.dumps(event).encode())
"""
#: A thumbnail of 8-bit RGB: every fourth pixel of every fourth row.
THUMBNAIL = """
import boto3, struct, zlib
from urllib.parse import unquote_plus

def rows(data):
    width, height, packed, at = 0, 0, b"", 8
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        chunk, at = data[at + 8:at + 8 + size], at + 12 + size
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", chunk[:10])
            assert (depth, colour) == (8, 2)
        elif kind == b"IDAT":
            packed += chunk
    raw, step = zlib.decompress(packed), 3 * width + 1
    for y in range(height):
        row = raw[y * step:(y + 1) * step]
        assert row[0] == 0
        yield row[1:]

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

def handler(event, context):
    s3 = boto3.client("s3")
    for record in event["Records"]:
        bucket, key = record["s3"]["bucket"]["name"], unquote_plus(record["s3"]["object"]["key"])
        whole = list(rows(s3.get_object(Bucket=bucket, Key=key)["Body"].read()))[::4]
        small = [b"".join(row[x:x + 3] for x in range(0, len(row), 12)) for row in whole]
        head = struct.pack(">IIBBBBB", len(small[0]) // 3, len(small), 8, 2, 0, 0, 0)
        body = zlib.compress(b"".join(b"\\0" + row for row in small))
        png = b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
        s3.put_object(Bucket=bucket, Key="thumbs/" + key.split("/", 1)[1], Body=png, ContentType="image/png")
"""


def png(width: int, height: int) -> bytes:
    """A red picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress((b"\0" + b"\xff\0\0" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def bucket(cloud: Cloud, name: str) -> None:  # noqa: F811
    if name not in [one["Name"] for one in cloud.client("s3").list_buckets()["Buckets"]]:
        cloud.client("s3").create_bucket(Bucket=name)


def allow(cloud: Cloud, function: str, service: str, arn: str) -> None:  # noqa: F811
    cloud.client("lambda").add_permission(
        FunctionName=function,
        StatementId=service,
        Action="lambda:InvokeFunction",
        Principal=f"{service}.amazonaws.com",
        SourceArn=arn,
    )


def seen(cloud: Cloud, function: str) -> list[dict[str, Any]]:  # noqa: F811
    s3 = cloud.client("s3")
    listed = s3.list_objects_v2(Bucket="seen", Prefix=f"{function}/").get("Contents", [])
    return [json.loads(s3.get_object(Bucket="seen", Key=one["Key"])["Body"].read()) for one in listed]


def entry(arn: str, *, prefix: str = "", suffix: str = "", events: str = "s3:ObjectCreated:*", **more: Any) -> Any:
    rules = [{"Name": n, "Value": v} for n, v in (("prefix", prefix), ("suffix", suffix)) if v]
    made = {"LambdaFunctionArn": arn, "Events": [events], **more}
    return made | ({"Filter": {"Key": {"FilterRules": rules}}} if rules else {})


def test_an_image_put_into_a_bucket_becomes_a_thumbnail(cloud: Cloud) -> None:  # noqa: F811
    s3 = cloud.client("s3")
    bucket(cloud, "pictures")
    arn = cloud.deploy("thumb", THUMBNAIL)
    allow(cloud, "thumb", "s3", "arn:aws:s3:::pictures")
    s3.put_bucket_notification_configuration(
        Bucket="pictures",
        NotificationConfiguration={"LambdaFunctionConfigurations": [entry(arn, prefix="in/", suffix=".png")]},
    )
    s3.put_object(Bucket="pictures", Key="in/a red+one (1) ü.png", Body=png(64, 32))
    s3.put_object(Bucket="pictures", Key="in/notes.txt", Body=b"no picture")

    def made() -> bytes | None:
        found = s3.list_objects_v2(Bucket="pictures", Prefix="thumbs/").get("Contents")
        return s3.get_object(Bucket="pictures", Key=found[0]["Key"])["Body"].read() if found else None

    thumbnail = cloud.until(made)
    assert struct.unpack(">II", thumbnail[16:24]) == (16, 8)
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket="pictures", Prefix="thumbs/")["Contents"]]
    assert keys == ["thumbs/a red+one (1) ü.png"]


def test_events_have_awss_shape_and_each_configuration_its_own(cloud: Cloud) -> None:  # noqa: F811
    s3 = cloud.client("s3")
    bucket(cloud, "seen")
    s3.create_bucket(Bucket="letters")
    s3.put_bucket_versioning(Bucket="letters", VersioningConfiguration={"Status": "Enabled"})
    made, gone = cloud.deploy("made", WITNESS), cloud.deploy("gone", WITNESS)
    for name in ("made", "gone"):
        allow(cloud, name, "s3", "arn:aws:s3:::letters")
    jobs = cloud.client("sqs").create_queue(QueueName="letters-too")["QueueUrl"]
    configuration = {
        "LambdaFunctionConfigurations": [
            entry(made, prefix="a/", Id="new"),
            entry(gone, events="s3:ObjectRemoved:*", Id="old"),
        ],
        "QueueConfigurations": [
            {
                "Id": "theirs",
                "QueueArn": "arn:aws:sqs:us-east-1:000000000000:letters-too",
                "Events": ["s3:ObjectCreated:*"],
                "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "b/"}]}},
            }
        ],
    }
    s3.put_bucket_notification_configuration(Bucket="letters", NotificationConfiguration=configuration)
    told = s3.get_bucket_notification_configuration(Bucket="letters")
    assert [(one["Id"], one["LambdaFunctionArn"]) for one in told["LambdaFunctionConfigurations"]] == [
        ("new", made),
        ("old", gone),
    ]
    assert [one["Id"] for one in told["QueueConfigurations"]] == ["theirs"]
    urls = cloud.client("sqs").list_queues().get("QueueUrls", [])
    assert jobs in urls
    assert not any("jupyter-lambda-own-" in url for url in urls)

    version = s3.put_object(Bucket="letters", Key="a/b c+d/é.txt", Body=b"hello")["VersionId"]
    s3.put_object(Bucket="letters", Key="b/other", Body=b"not a/")
    cloud.until(lambda: seen(cloud, "made"))
    event = seen(cloud, "made")
    assert len(event) == 1
    record = event[0]["Records"][0]
    assert record["eventSource"] == "aws:s3"
    assert record["awsRegion"] == "us-east-1"
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["eventTime"].endswith("Z")
    assert set(record) >= {"eventVersion", "userIdentity", "requestParameters", "responseElements"}
    assert record["s3"]["configurationId"] == "new"
    assert record["s3"]["bucket"]["name"] == "letters"
    assert record["s3"]["bucket"]["arn"] == "arn:aws:s3:::letters"
    thing = record["s3"]["object"]
    assert thing["key"] == "a/b+c%2Bd/%C3%A9.txt"
    assert thing["size"] == 5
    assert thing["eTag"] == "5d41402abc4b2a76b9719d911017c592"
    assert thing["sequencer"]
    assert thing.get("versionId", version) == version
    # moto tells of no delete markers.
    which = {"VersionId": version} if cloud.server == "moto" else {}
    s3.delete_object(Bucket="letters", Key="a/b c+d/é.txt", **which)
    removed = cloud.until(lambda: seen(cloud, "gone"))[0]["Records"][0]
    assert removed["eventName"].startswith("ObjectRemoved:")
    body = cloud.until(
        lambda: [
            one["Body"]
            for one in cloud.client("sqs").receive_message(QueueUrl=jobs, WaitTimeSeconds=1).get("Messages", [])
            if "Records" in one["Body"]
        ]
    )
    assert json.loads(body[0])["Records"][0]["s3"]["object"]["key"].startswith("b")
    s3.put_bucket_notification_configuration(Bucket="letters", NotificationConfiguration={})
    assert "LambdaFunctionConfigurations" not in s3.get_bucket_notification_configuration(Bucket="letters")
    cloud.until(lambda: "letters" not in json.dumps(_status(cloud)))


def _status(cloud: Cloud) -> Any:  # noqa: F811
    status: Any = Admin(cloud.connection).status()
    return status["triggers"].get("notifications", {})


def test_what_s3_refuses(cloud: Cloud) -> None:  # noqa: F811
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="strict")
    arn = cloud.deploy("strict", WITNESS)

    def refused(*entries: Any) -> tuple[str, str]:
        with pytest.raises(ClientError) as caught:
            s3.put_bucket_notification_configuration(
                Bucket="strict", NotificationConfiguration={"LambdaFunctionConfigurations": list(entries)}
            )
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]

    unable = "Unable to validate the following destination configurations"
    assert refused(entry(arn)) == ("InvalidArgument", unable)  # nobody has allowed S3 to invoke it
    assert refused(entry(f"{arn}-not")) == ("InvalidArgument", unable)
    allow(cloud, "strict", "s3", "arn:aws:s3:::another")
    assert refused(entry(arn)) == ("InvalidArgument", unable)
    cloud.client("lambda").remove_permission(FunctionName="strict", StatementId="s3")
    allow(cloud, "strict", "s3", "arn:aws:s3:::strict")
    overlap = "Configurations overlap. Configurations on the same bucket cannot share a common event type."
    assert refused(entry(arn), entry(arn, events="s3:ObjectCreated:Put")) == ("InvalidArgument", overlap)
    ambiguous = (
        "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are "
        "overlapping for the same event type."
    )
    assert refused(entry(arn, prefix="a/", suffix=".x"), entry(arn, prefix="a/b")) == ("InvalidArgument", ambiguous)
    assert refused(entry(arn, events="s3:Nothing:*"))[0] in ("InvalidArgument", "MalformedXML")
    s3.put_bucket_notification_configuration(
        Bucket="strict",
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [entry(arn, prefix="a/"), entry(arn, prefix="b/"), entry(arn, suffix=".c", events="s3:ObjectRemoved:*")]  # noqa: E501
        },
    )  # fmt: skip
    with pytest.raises(ClientError) as caught:
        s3.put_bucket_notification_configuration(
            Bucket="no-such-bucket", NotificationConfiguration={"LambdaFunctionConfigurations": []}
        )
    assert caught.value.response["Error"]["Code"] == "NoSuchBucket"


def test_a_topic_fans_out_to_functions_by_their_filters(cloud: Cloud) -> None:  # noqa: F811
    sns, sqs = cloud.client("sns"), cloud.client("sqs")
    bucket(cloud, "seen")
    topic = sns.create_topic(Name="fan")["TopicArn"]
    everything, urgent = cloud.deploy("everything", WITNESS), cloud.deploy("urgent", WITNESS)
    for name in ("everything", "urgent"):
        allow(cloud, name, "sns", topic)
    jobs = sqs.create_queue(QueueName="fan-too")["QueueUrl"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:000000000000:fan-too")
    first = sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=everything)["SubscriptionArn"]
    second = sns.subscribe(
        TopicArn=topic, Protocol="lambda", Endpoint=urgent, Attributes={"FilterPolicy": '{"level": ["urgent"]}'}
    )["SubscriptionArn"]
    assert first.startswith(topic)
    assert sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=everything)["SubscriptionArn"] == first
    listed = {one["SubscriptionArn"]: one for one in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]}
    assert listed[first]["Protocol"] == "lambda"
    assert listed[first]["Endpoint"] == everything
    assert sorted(one["Protocol"] for one in listed.values()) == ["lambda", "lambda", "sqs"]
    assert listed.keys() <= {one["SubscriptionArn"] for one in sns.list_subscriptions()["Subscriptions"]}
    attributes = sns.get_subscription_attributes(SubscriptionArn=second)["Attributes"]
    assert attributes["Endpoint"] == urgent
    assert attributes["Protocol"] == "lambda"
    assert attributes["PendingConfirmation"] == "false"
    assert json.loads(attributes["FilterPolicy"]) == {"level": ["urgent"]}

    level = {"level": {"DataType": "String", "StringValue": "urgent"}}
    sns.publish(TopicArn=topic, Message="calm", Subject="About")
    published = sns.publish(TopicArn=topic, Message="now", MessageAttributes=level)["MessageId"]
    cloud.until(lambda: len(seen(cloud, "everything")) == 2 and len(seen(cloud, "urgent")) == 1)
    record = seen(cloud, "urgent")[0]["Records"][0]
    assert record["EventSource"] == "aws:sns"
    assert record["EventVersion"] == "1.0"
    assert record["EventSubscriptionArn"] == second
    told = record["Sns"]
    assert told["MessageId"] == published
    assert (told["Type"], told["Message"], told["TopicArn"], told["Subject"]) == ("Notification", "now", topic, None)
    assert told["MessageAttributes"] == {"level": {"Type": "String", "Value": "urgent"}}
    assert set(told) >= {"Timestamp", "Signature", "SignatureVersion", "SigningCertUrl", "UnsubscribeUrl"}
    subjects = [event["Records"][0]["Sns"]["Subject"] for event in seen(cloud, "everything")]
    assert sorted(subjects, key=str) == ["About", None]
    assert sqs.receive_message(QueueUrl=jobs, WaitTimeSeconds=2)["Messages"]

    sns.set_subscription_attributes(
        SubscriptionArn=first, AttributeName="FilterPolicy", AttributeValue='{"level": ["none"]}'
    )
    with pytest.raises(ClientError, match="does not support raw message delivery"):
        sns.set_subscription_attributes(
            SubscriptionArn=first, AttributeName="RawMessageDelivery", AttributeValue="true"
        )
    sns.unsubscribe(SubscriptionArn=second)
    sns.publish(TopicArn=topic, Message="again", MessageAttributes=level)
    left = [one["Protocol"] for one in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]]
    assert sorted(left) == ["lambda", "sqs"]
    with pytest.raises(ClientError) as caught:
        sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint="arn:aws:lambda:nowhere")
    assert caught.value.response["Error"]["Code"] == "InvalidParameter"
    with pytest.raises(ClientError) as caught:
        sns.subscribe(TopicArn=f"{topic}-not", Protocol="lambda", Endpoint=everything)
    assert caught.value.response["Error"]["Code"] == "NotFound"
    sns.delete_topic(TopicArn=topic)
    cloud.until(lambda: "sns:fan" not in json.dumps(_status(cloud)))
    assert len(seen(cloud, "urgent")) == 1


def test_notifications_come_back_with_the_engine(cloud: Cloud) -> None:  # noqa: F811
    bucket(cloud, "seen")
    cloud.client("s3").create_bucket(Bucket="lasting")
    topic = cloud.client("sns").create_topic(Name="lasting")["TopicArn"]
    arn = cloud.deploy("lasting", WITNESS)
    cloud.client("lambda").add_permission(
        FunctionName="lasting", StatementId="a", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com"
    )
    allow(cloud, "lasting", "sns", topic)
    cloud.client("s3").put_bucket_notification_configuration(
        Bucket="lasting", NotificationConfiguration={"LambdaFunctionConfigurations": [entry(arn, suffix=".txt")]}
    )
    subscribed = cloud.client("sns").subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn)["SubscriptionArn"]
    if cloud.persists:
        time.sleep(4)  # what a kill may cost the server
    cloud.kill()
    cloud.start()
    bucket(cloud, "seen")
    if not cloud.persists:  # a server that forgets: the bucket and the topic have to come back first
        cloud.client("s3").create_bucket(Bucket="lasting")
        cloud.client("sns").create_topic(Name="lasting")
    cloud.client("s3").put_object(Bucket="lasting", Key="a.txt", Body=b"x")
    cloud.client("sns").publish(TopicArn=topic, Message="still there")
    cloud.until(lambda: len(seen(cloud, "lasting")) >= 2)
    records = [event["Records"][0] for event in seen(cloud, "lasting")]
    assert sorted(one.get("eventSource", one.get("EventSource")) for one in records) == ["aws:s3", "aws:sns"]
    found = cloud.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert [one["Endpoint"] for one in found] == [arn]
    assert not cloud.persists or found[0]["SubscriptionArn"] == subscribed
    cloud.client("s3").delete_object(Bucket="lasting", Key="a.txt")
    cloud.client("s3").delete_bucket(Bucket="lasting")
    cloud.until(lambda: "s3:lasting" not in json.dumps(_status(cloud)))


def test_a_pause_holds_what_comes_through_a_kill(cloud: Cloud) -> None:  # noqa: F811
    bucket(cloud, "seen")
    bucket(cloud, "holding")
    topic = cloud.client("sns").create_topic(Name="holding")["TopicArn"]
    arn = cloud.deploy("holding", WITNESS)
    allow(cloud, "holding", "s3", "arn:aws:s3:::holding")
    allow(cloud, "holding", "sns", topic)
    configuration = {"LambdaFunctionConfigurations": [entry(arn, prefix="in/")]}  # without an Id
    cloud.client("s3").put_bucket_notification_configuration(Bucket="holding", NotificationConfiguration=configuration)
    cloud.client("sns").subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn)

    def fire(number: int) -> None:
        cloud.client("s3").put_object(Bucket="holding", Key=f"in/{number}", Body=b"x")
        cloud.client("sns").publish(TopicArn=topic, Message=str(number))

    def numbers() -> list[str]:
        records = [event["Records"][0] for event in seen(cloud, "holding")]
        return sorted(one["s3"]["object"]["key"] if "s3" in one else one["Sns"]["Message"] for one in records)

    fire(0)
    cloud.until(lambda: numbers() == ["0", "in/0"])
    for which in ({"bucket": "holding"}, {"topic": "holding"}):
        [held] = Admin(cloud.connection).set_notifications_paused("holding", paused=True, **which)
        assert held["state"] == "paused"
    for number in range(1, 4):
        fire(number)
    cloud.client("s3").put_bucket_notification_configuration(Bucket="holding", NotificationConfiguration=configuration)
    if cloud.persists:
        time.sleep(4)  # what a kill may cost the server
    cloud.kill()
    cloud.start()
    if not cloud.persists:  # a server that forgets
        for name in ("seen", "holding"):
            bucket(cloud, name)
        cloud.client("sns").create_topic(Name="holding")
    expected = range(1, 6) if cloud.persists else range(4, 6)
    fire(4)
    fire(5)
    time.sleep(4)  # longer than two polls
    assert numbers() == (["0", "in/0"] if cloud.persists else [])
    told = Admin(cloud.connection).notifications("holding")
    assert [(one["state"], one["delivered"]) for one in told] == [("paused", 0)] * 2
    # S3's test events wait, too.
    assert all(one["queue_depth"] >= len(expected) for one in told)
    for which in ({"bucket": "holding"}, {"topic": "holding"}):
        Admin(cloud.connection).set_notifications_paused("holding", paused=False, **which)
    first = ["0", "in/0"] if cloud.persists else []
    wanted = sorted([*first, *map(str, expected), *(f"in/{number}" for number in expected)])
    cloud.until(lambda: len(numbers()) >= len(wanted))
    fire(6)
    cloud.until(lambda: {"6", "in/6"} <= set(numbers()))
    assert numbers() == sorted([*wanted, "6", "in/6"])
    assert {one["last_result"] for one in Admin(cloud.connection).notifications("holding")} == {"OK"}


def test_a_bucket_tells_eventbridge_and_a_rule_fires_the_function(cloud: Cloud) -> None:  # noqa: F811
    bucket(cloud, "seen")
    bucket(cloud, "bussed")
    arn = cloud.deploy("bussed", WITNESS)
    events = cloud.client("events")
    # moto tells of tags with every object that is put.
    wanted = {"source": ["aws.s3"], "detail-type": [{"anything-but": {"prefix": "Object Tags"}}]}
    pattern = wanted | {"detail": {"bucket": {"name": ["bussed"]}}}
    rule = events.put_rule(Name="bussed", EventPattern=json.dumps(pattern))["RuleArn"]
    events.put_targets(Rule="bussed", Targets=[{"Id": "f", "Arn": arn}])
    allow(cloud, "bussed", "events", rule)
    cloud.client("s3").put_bucket_notification_configuration(
        Bucket="bussed", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    found = cloud.client("s3").get_bucket_notification_configuration(Bucket="bussed")
    assert found["EventBridgeConfiguration"] == {}
    assert "QueueConfigurations" not in found
    cloud.client("s3").put_object(Bucket="bussed", Key="in/é b+c", Body=b"hello")
    cloud.until(lambda: seen(cloud, "bussed"))
    cloud.client("s3").delete_object(Bucket="bussed", Key="in/é b+c")
    cloud.until(lambda: len(seen(cloud, "bussed")) >= 2)
    made, gone = sorted(seen(cloud, "bussed"), key=lambda one: one["detail-type"])
    assert (made["source"], made["detail-type"], made["account"]) == ("aws.s3", "Object Created", "000000000000")
    assert made["resources"] == ["arn:aws:s3:::bussed"]
    thing = made["detail"]["object"]
    assert (thing["key"], thing["size"]) == ("in/é b+c", 5)
    assert thing["etag"] == "5d41402abc4b2a76b9719d911017c592"
    assert made["detail"]["reason"] == "PutObject"
    assert (gone["detail-type"], gone["detail"]["deletion-type"]) == ("Object Deleted", "Permanently Deleted")
    assert gone["detail"]["object"]["key"] == "in/é b+c"
