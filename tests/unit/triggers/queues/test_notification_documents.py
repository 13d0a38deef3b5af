"""Buckets' configurations and events as S3 has them. Source: Amazon S3 User Guide, "Amazon S3 Event Notifications"."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jupyter_lambda.errors import ResourceNotFoundException
from jupyter_lambda.model.notification import Notification, notification_from
from jupyter_lambda.triggers.notifications import s3_events, sns_events
from jupyter_lambda.triggers.notifications import xml_documents as xml
from jupyter_lambda.triggers.notifications.errors import (
    InvalidArgument,
    InvalidParameterException,
    MalformedXML,
    from_cloud,
)
from jupyter_lambda.triggers.notifications.s3_rules import matches, rules_of

ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"
CONFIGURATION = f"""<?xml version="1.0"?>
<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <CloudFunctionConfiguration><Id>one</Id><CloudFunction>{ARN}</CloudFunction>
    <Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:Delete</Event>
    <Filter><S3Key><FilterRule><Name>prefix</Name><Value>a &amp; b/</Value></FilterRule>
      <FilterRule><Name>suffix</Name><Value>.csv</Value></FilterRule></S3Key></Filter>
  </CloudFunctionConfiguration>
  <QueueConfiguration><Queue>arn:aws:sqs:us-east-1:0:q</Queue><Event>s3:ObjectAcl:Put</Event></QueueConfiguration>
  <EventBridgeConfiguration/>
</NotificationConfiguration>""".encode()


def document(*rules: Any) -> dict[str, Any]:
    made = []
    for events, prefix, suffix, *name in rules:
        filters = [{"Name": n, "Value": v} for n, v in (("prefix", prefix), ("suffix", suffix)) if v]
        made.append({"LambdaFunctionArn": ARN, "Events": events.split(), "Filter": {"Key": {"FilterRules": filters}}})
        if name:
            made[-1]["Id"] = name[0]
    return {"LambdaFunctionConfigurations": made}


def test_configurations_are_read_and_written_as_s3_has_them():
    read = xml.read_configuration(CONFIGURATION)
    assert read["LambdaFunctionConfigurations"] == [
        {
            "Id": "one",
            "LambdaFunctionArn": ARN,
            "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:Delete"],
            "Filter": {
                "Key": {
                    "FilterRules": [{"Name": "prefix", "Value": "a & b/"}, {"Name": "suffix", "Value": ".csv"}],
                }
            },
        }
    ]
    assert read["QueueConfigurations"] == [{"QueueArn": "arn:aws:sqs:us-east-1:0:q", "Events": ["s3:ObjectAcl:Put"]}]
    assert read["EventBridgeConfiguration"] == {}
    again = xml.read_configuration(xml.write_configuration(read))
    rules = rules_of(again)["LambdaFunctionConfigurations"]
    assert [(one.name, one.events, one.prefix, one.suffix) for one in rules] == [
        ("one", ("s3:ObjectCreated:*", "s3:ObjectRemoved:Delete"), "a & b/", ".csv")
    ]
    assert xml.read_configuration(b"<NotificationConfiguration/>") == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Other/>",
        b"<NotificationConfiguration>",
        b"<NotificationConfiguration><Strange/></NotificationConfiguration>",
        b'<!DOCTYPE x [<!ENTITY a "aa">]><NotificationConfiguration>&a;</NotificationConfiguration>',
        '<!DOCTYPE x [<!ENTITY a "aa">]><NotificationConfiguration>&a;</NotificationConfiguration>'.encode("utf-16"),
    ],
)
def test_what_is_no_configuration_is_malformed(body):
    with pytest.raises(MalformedXML):
        xml.read_configuration(body)


@pytest.mark.parametrize(
    "rules",
    [
        (("s3:ObjectCreated:*", "", ""), ("s3:ObjectCreated:Put", "", "")),
        (("s3:ObjectCreated:*", "images/", ""), ("s3:ObjectCreated:*", "", ".jpg")),
        (("s3:ObjectCreated:*", "images/", ".jpg"), ("s3:ObjectCreated:Copy", "images/2026", ".jpg")),
        (("s3:ObjectCreated:*", "", ".jpg"), ("s3:ObjectCreated:*", "", "pg")),
    ],
)
def test_rules_that_overlap_are_refused(rules):
    with pytest.raises(InvalidArgument, match="overlap"):
        rules_of(document(*rules))


@pytest.mark.parametrize(
    "rules",
    [
        (("s3:ObjectCreated:*", "", ""), ("s3:ObjectRemoved:*", "", "")),
        (("s3:ObjectCreated:*", "images/", ""), ("s3:ObjectCreated:*", "logs/", "")),
        (("s3:ObjectCreated:*", "images/", ".jpg"), ("s3:ObjectCreated:*", "images/", ".png")),
        (("s3:ObjectCreated:Put", "", ""), ("s3:ObjectCreated:Copy", "", "")),
    ],
)
def test_rules_that_do_not_overlap_are_taken(rules):
    assert len(rules_of(document(*rules))["LambdaFunctionConfigurations"]) == 2


def test_other_refusals():
    with pytest.raises(InvalidArgument, match="IDs must be unique"):
        rules_of(document(("s3:ObjectCreated:*", "a", "", "x"), ("s3:ObjectRemoved:*", "", "", "x")))
    with pytest.raises(InvalidArgument, match="not supported"):
        rules_of(document(("s3:ObjectEaten:*", "", "")))
    broken = document(("s3:ObjectCreated:*", "", ""))
    rules = broken["LambdaFunctionConfigurations"][0]["Filter"]["Key"]["FilterRules"]
    rules += [{"Name": "prefix", "Value": "a"}, {"Name": "Prefix", "Value": "b"}]
    with pytest.raises(InvalidArgument, match="more than one prefix rule"):
        rules_of(broken)
    rules[1] = {"Name": "infix", "Value": "b"}
    with pytest.raises(InvalidArgument, match="must be either prefix or suffix"):
        rules_of(broken)
    rules[1] = {"Name": "suffix", "Value": "é" * 513}
    with pytest.raises(InvalidArgument, match="cannot exceed 1024 bytes"):
        rules_of(broken)


def test_names_of_events():
    assert matches(["s3:ObjectCreated:*"], "s3:ObjectCreated:Put")
    assert matches(["s3:ObjectCreated:Put"], "s3:ObjectCreated:Put")
    assert not matches(["s3:ObjectCreated:Put"], "s3:ObjectCreated:Copy")
    assert not matches(["s3:ObjectCreated:*"], "s3:ObjectRemoved:Delete")


def notification(**changes: Any) -> Notification:
    known = {"events": ("s3:ObjectCreated:*",), "name": "one", "prefix": "a/", "suffix": ".txt"}
    return Notification("n", "s3", "b", ARN, "q", **(known | changes))


def moto_record(key: str, event: str = "ObjectCreated:Put") -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-25T10:00:00.000Z",
        "eventName": event,
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "?",
            "bucket": {"name": "b", "arn": "arn:aws:s3:::b"},
            "object": {"key": key, "size": 5, "eTag": "e"},
        },
    }


def records(body: Any, given: Notification | None = None) -> list[dict[str, Any]]:
    return s3_events.records(json.dumps(body), given or notification(), message_id="ab-cd", sent_ms=1_700_000_000_000)


def test_keys_are_escaped_as_aws_does_and_what_is_missing_is_filled_in():
    [record] = records({"Records": [moto_record("a%2Fb+c%2Bd%2F%C3%A9%281%29.txt")]})
    assert record["s3"]["object"]["key"] == "a/b+c%2Bd/%C3%A9%281%29.txt"
    assert record["s3"]["configurationId"] == "one"
    assert len(record["s3"]["object"]["sequencer"]) >= 16
    assert set(record) == {
        *("eventVersion", "eventSource", "awsRegion", "eventTime", "eventName"),
        *("userIdentity", "requestParameters", "responseElements", "s3"),
    }
    assert records({"Records": [moto_record("a%2Fx.txt")]}) == records({"Records": [moto_record("a%2Fx.txt")]})


def test_records_of_other_events_and_keys_are_not_this_notifications():
    assert records({"Records": [moto_record("a/x.png")]}) == []
    assert records({"Records": [moto_record("b/x.txt")]}) == []
    assert records({"Records": [moto_record("a/x.txt", "ObjectRemoved:Delete")]}) == []
    assert records({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}) == []


def test_a_removed_object_has_no_size():
    given = notification(events=("s3:ObjectRemoved:*",))
    [record] = records({"Records": [moto_record("a/x.txt", "ObjectRemoved:Delete")]}, given)
    assert set(record["s3"]["object"]) == {"key", "sequencer"}


@pytest.mark.parametrize("body", ["nothing", "[]", "{}", '"text"'])
def test_what_is_no_event_is_said_to_be_none(body):
    with pytest.raises(ValueError):
        s3_events.records(body, notification(), message_id="m", sent_ms=0)
    with pytest.raises(ValueError):
        sns_events.event(body, notification())


def test_a_topics_event():
    given = Notification("n", "sns", "arn:aws:sns:us-east-1:0:t", ARN, "q", subscription_arn="arn:sub")
    told = {
        "Type": "Notification",
        "MessageId": "m",
        "TopicArn": "arn:aws:sns:us-east-1:0:t",
        "Message": "hi",
        "Timestamp": "2026-11-25T10:00:00.000Z",
        "SignatureVersion": "1",
        "Signature": "s",
        "SigningCertURL": "https://cert",
        "UnsubscribeURL": "https://unsubscribe",
    }
    [record] = sns_events.event(json.dumps(told), given)["Records"]
    assert record["EventSubscriptionArn"] == "arn:sub"
    assert record["Sns"] == {
        "Type": "Notification",
        "MessageId": "m",
        "TopicArn": "arn:aws:sns:us-east-1:0:t",
        "Subject": None,
        "Message": "hi",
        "Timestamp": "2026-11-25T10:00:00.000Z",
        "SignatureVersion": "1",
        "Signature": "s",
        "SigningCertUrl": "https://cert",
        "UnsubscribeUrl": "https://unsubscribe",
        "MessageAttributes": {},
    }


def test_errors_on_the_wire():
    refused = xml.s3_refusal(InvalidArgument("no <such>", {"ArgumentName": "Event"}), "/b", "r")
    assert refused.status == 400
    assert b"<Code>InvalidArgument</Code><Message>no &lt;such&gt;</Message><ArgumentName>Event" in refused.body
    refused = xml.sns_refusal(InvalidParameterException("Invalid parameter: x"), "r")
    assert b"<Type>Sender</Type><Code>InvalidParameter</Code>" in refused.body
    from botocore.exceptions import ClientError

    told = {"Error": {"Code": "NoSuchBucket", "Message": "gone"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
    error = from_cloud(ClientError(told, "X"))
    assert (error.code, error.http_status, error.message) == ("NoSuchBucket", 404, "gone")
    with pytest.raises(ResourceNotFoundException):
        from_cloud(ResourceNotFoundException("ours"))


def test_notifications_are_kept_whole():
    given = notification(attributes={"FilterPolicy": "{}"}, created_s=1.0)
    assert notification_from(json.loads(json.dumps(given.body() | {"of a newer release": 1}))) == given
    assert given.trigger == "s3:b"
    assert given.source_arn == "arn:aws:s3:::b"
