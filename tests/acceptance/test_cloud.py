"""The embedded cloud behind the engine's own endpoint, with both implementations: started on demand, watched, kept."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import os
import zlib
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from jupyter_lambda.signing import signing_key

from .cloud import Cloud, cloud  # noqa: F401 - a fixture
from .engine import package

pytestmark = pytest.mark.timeout(180)


def test_nothing_is_started_before_it_is_needed_and_status_says_so(cloud: Cloud) -> None:  # noqa: F811
    from jupyter_lambda.client import Admin

    status: Any = Admin(cloud.connection).status()
    assert status["triggers"]["cloud"]["server"] == cloud.server
    assert "not started" in status["triggers"]["cloud"]["state"]


def test_every_service_answers_through_the_engine(cloud: Cloud) -> None:  # noqa: F811
    s3, sqs, sns = cloud.client("s3"), cloud.client("sqs"), cloud.client("sns")
    s3.create_bucket(Bucket="letters")
    s3.put_object(Bucket="letters", Key="a b/ü+c~(1).txt", Body=b"hello", Metadata={"from": "me"})
    found = s3.get_object(Bucket="letters", Key="a b/ü+c~(1).txt")
    assert (found["Body"].read(), found["Metadata"], found["ContentLength"]) == (b"hello", {"from": "me"}, 5)
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="letters")["Contents"]] == ["a b/ü+c~(1).txt"]
    assert s3.head_object(Bucket="letters", Key="a b/ü+c~(1).txt")["ContentLength"] == 5
    assert s3.get_object(Bucket="letters", Key="a b/ü+c~(1).txt", Range="bytes=1-3")["Body"].read() == b"ell"

    queue = sqs.create_queue(QueueName="jobs")["QueueUrl"]
    assert queue == f"{cloud.connection.url}/000000000000/jobs"
    sqs.send_message(QueueUrl=queue, MessageBody="one")
    assert sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=2)["Messages"][0]["Body"] == "one"
    ordered = sqs.create_queue(QueueName="jobs.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    for body in "123":
        sqs.send_message(QueueUrl=ordered, MessageBody=body, MessageGroupId="g", MessageDeduplicationId=body)
    messages = sqs.receive_message(QueueUrl=ordered, MaxNumberOfMessages=10)["Messages"]
    assert [one["Body"] for one in messages] == ["1", "2", "3"]

    topic = sns.create_topic(Name="news")["TopicArn"]
    assert topic == "arn:aws:sns:us-east-1:000000000000:news"
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:000000000000:jobs")
    sns.publish(TopicArn=topic, Message="published")
    told = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5, MaxNumberOfMessages=10)["Messages"]
    assert any(json.loads(one["Body"])["Message"] == "published" for one in told if one["Body"].startswith("{"))


def test_streams_and_tables(cloud: Cloud) -> None:  # noqa: F811
    kinesis, tables, changes = cloud.client("kinesis"), cloud.client("dynamodb"), cloud.client("dynamodbstreams")
    kinesis.create_stream(StreamName="clicks", ShardCount=2)
    cloud.until(
        lambda: (
            kinesis.describe_stream_summary(StreamName="clicks")["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE"
        )
    )
    kinesis.put_record(StreamName="clicks", Data=b"\x00\xff", PartitionKey="k")
    shards = kinesis.list_shards(StreamName="clicks")["Shards"]
    records: list[Any] = []
    for shard in shards:
        iterator = kinesis.get_shard_iterator(
            StreamName="clicks", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        records += kinesis.get_records(ShardIterator=iterator)["Records"]
    assert [one["Data"] for one in records] == [b"\x00\xff"]

    made = tables.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]
    tables.put_item(TableName="orders", Item={"id": {"S": "1"}, "n": {"N": "2"}})
    assert tables.get_item(TableName="orders", Key={"id": {"S": "1"}})["Item"]["n"] == {"N": "2"}
    [shard] = changes.describe_stream(StreamArn=made["LatestStreamArn"])["StreamDescription"]["Shards"]
    iterator = changes.get_shard_iterator(
        StreamArn=made["LatestStreamArn"], ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    [change] = changes.get_records(ShardIterator=iterator)["Records"]
    assert change["dynamodb"]["NewImage"]["n"] == {"N": "2"}


def test_objects_in_parts_presigned_and_of_many_megabytes(cloud: Cloud) -> None:  # noqa: F811
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="big-things")
    data = os.urandom(1024 * 1024) * 24
    s3.put_object(Bucket="big-things", Key="whole", Body=data)
    assert s3.get_object(Bucket="big-things", Key="whole")["Body"].read() == data
    s3.upload_fileobj(io.BytesIO(data), "big-things", "parts")  # multipart, several parts at once
    assert s3.get_object(Bucket="big-things", Key="parts")["Body"].read() == data
    for version in ("s3", "s3v4"):
        signing = cloud.client("s3", signature_version=version)
        put = signing.generate_presigned_url("put_object", Params={"Bucket": "big-things", "Key": "pre signed"})
        assert requested("PUT", put, b"by url")[0] == 200
        get = signing.generate_presigned_url("get_object", Params={"Bucket": "big-things", "Key": "pre signed"})
        status, headers, body = requested("GET", get)
        assert (status, body) == (200, b"by url")
        assert headers["content-security-policy"].startswith("sandbox")
        status, _, body = requested("GET", get.replace("pre%20signed", "whole"))
        assert (status, b"SignatureDoesNotMatch" in body) == (403, True)
        assert requested("GET", get.replace("AKIA", "AKIB"))[0] == 403


def requested(method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Any:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=60)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, headers or {})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_destinations_and_dead_letter_queues(cloud: Cloud) -> None:  # noqa: F811
    """AWS Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations": SQS, SNS, S3 on failure."""
    sqs, sns, s3, functions = (cloud.client(name) for name in ("sqs", "sns", "s3", "lambda"))
    arn = "arn:aws:{}:us-east-1:000000000000:{}".format
    records, letters = (sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("records", "letters-dead"))
    topic = sns.create_topic(Name="successes")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn("sqs", "records"))
    s3.create_bucket(Bucket="failures")
    code = "def handler(event, context):\n    if event.get('fail'): raise ValueError('no good')\n    return event\n"
    cloud.deploy("to-topic", code)
    functions.put_function_event_invoke_config(
        FunctionName="to-topic",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnSuccess": {"Destination": topic}, "OnFailure": {"Destination": "arn:aws:s3:::failures"}},
    )
    cloud.deploy("to-queue", code, DeadLetterConfig={"TargetArn": arn("sqs", "letters-dead")})
    functions.put_function_event_invoke_config(FunctionName="to-queue", MaximumRetryAttempts=0)
    for name, event in (("to-topic", {"n": 1}), ("to-topic", {"fail": 1}), ("to-queue", {"fail": 2})):
        functions.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event))

    [told] = cloud.until(lambda: sqs.receive_message(QueueUrl=records, WaitTimeSeconds=2).get("Messages"))
    record = json.loads(json.loads(told["Body"])["Message"])
    assert (record["requestContext"]["condition"], record["responsePayload"]) == ("Success", {"n": 1})
    [stored] = cloud.until(lambda: s3.list_objects_v2(Bucket="failures").get("Contents"))
    assert stored["Key"].startswith("aws/lambda/async/to-topic/20")
    record = json.loads(s3.get_object(Bucket="failures", Key=stored["Key"])["Body"].read())
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["responsePayload"]["errorMessage"] == "no good"
    [letter] = cloud.until(
        lambda: sqs.receive_message(QueueUrl=letters, WaitTimeSeconds=2, MessageAttributeNames=["All"]).get("Messages")
    )
    assert json.loads(letter["Body"]) == {"fail": 2}
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert attributes.pop("RequestID")
    assert attributes == {"ErrorCode": "200", "ErrorMessage": "no good"}


def test_an_event_bus_is_a_destination(cloud: Cloud) -> None:  # noqa: F811
    """The record is an event of the source "lambda"; a rule takes it to a queue."""
    bus = "arn:aws:events:us-east-1:000000000000:event-bus/default"
    events, functions, sqs = (cloud.client(name) for name in ("events", "lambda", "sqs"))
    queue = sqs.create_queue(QueueName="from-the-bus")["QueueUrl"]
    pattern = {"source": ["lambda"], "detail": {"requestContext": {"condition": ["Success"]}}}
    events.put_rule(Name="results", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="results", Targets=[{"Id": "q", "Arn": "arn:aws:sqs:us-east-1:000000000000:from-the-bus"}])
    cloud.deploy("to-bus", "def handler(event, context): return event\n")
    functions.put_function_event_invoke_config(
        FunctionName="to-bus", DestinationConfig={"OnSuccess": {"Destination": bus}}
    )
    functions.invoke(FunctionName="to-bus", InvocationType="Event", Payload=b'{"n": 3}')
    [told] = cloud.until(lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5).get("Messages"))
    event = json.loads(told["Body"])
    assert event["detail-type"] == "Lambda Function Invocation Result - Success"
    assert event["detail"]["responsePayload"] == {"n": 3}
    assert event["resources"][0] == bus


def test_a_destination_that_comes_late_gets_its_record(cloud: Cloud) -> None:  # noqa: F811
    functions = cloud.client("lambda")
    cloud.deploy("early", "def handler(event, context): return event\n")
    functions.put_function_event_invoke_config(
        FunctionName="early",
        DestinationConfig={"OnSuccess": {"Destination": "arn:aws:sqs:us-east-1:000000000000:late"}},
    )
    functions.invoke(FunctionName="early", InvocationType="Event", Payload=b"7")
    cloud.until(lambda: "destination arn:aws:sqs:us-east-1:000000000000:late" in cloud.engine.output)
    queue = cloud.client("sqs").create_queue(QueueName="late")["QueueUrl"]
    [told] = cloud.until(lambda: cloud.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=5).get("Messages"))
    assert json.loads(told["Body"])["responsePayload"] == 7


def test_functions_use_buckets_and_tables_without_configuration(cloud: Cloud) -> None:  # noqa: F811
    code = """
import boto3
def handler(event, context):
    s3, tables = boto3.client("s3"), boto3.client("dynamodb")
    s3.create_bucket(Bucket="of-a-function")
    s3.put_object(Bucket="of-a-function", Key="k", Body=b"x" * 9_000_000)
    size = len(s3.get_object(Bucket="of-a-function", Key="k")["Body"].read())
    names = tables.list_tables()["TableNames"]
    try:
        s3.put_bucket_notification_configuration(Bucket="of-a-function", NotificationConfiguration={})
    except Exception as error:
        refused = str(error)
    try:
        boto3.client("sns").subscribe(TopicArn="arn:aws:sns:us-east-1:000000000000:t", Protocol="http", Endpoint="http://127.0.0.1")
    except Exception as error:
        refused += str(error)
    return [size, names, refused]
"""
    cloud.deploy("user", code, MemorySize=512)
    answer = cloud.client("lambda").invoke(FunctionName="user")
    size, _, refused = json.loads(answer["Payload"].read())
    assert size == 9_000_000
    assert "not authorized to perform: s3:PutBucketNotificationConfiguration" in refused
    assert "not authorized to perform: sns:Subscribe" in refused


def test_code_comes_from_a_bucket(cloud: Cloud) -> None:  # noqa: F811
    s3, functions = cloud.client("s3"), cloud.client("lambda")
    s3.create_bucket(Bucket="packages")
    s3.put_object(Bucket="packages", Key="v1.zip", Body=package("def handler(event, context): return 1\n"))
    s3.put_object(Bucket="packages", Key="v2.zip", Body=package("def handler(event, context): return 2\n"))
    cloud.deploy("from-s3", "", Code={"S3Bucket": "packages", "S3Key": "v1.zip"})
    assert functions.invoke(FunctionName="from-s3")["Payload"].read() == b"1"
    functions.update_function_code(FunctionName="from-s3", S3Bucket="packages", S3Key="v2.zip")
    assert functions.invoke(FunctionName="from-s3")["Payload"].read() == b"2"
    layer = functions.publish_layer_version(LayerName="l", Content={"S3Bucket": "packages", "S3Key": "v1.zip"})
    assert layer["Content"]["CodeSize"] == len(package("def handler(event, context): return 1\n"))
    with pytest.raises(functions.exceptions.InvalidParameterValueException, match="S3 Error Code: NoSuchKey"):
        functions.update_function_code(FunctionName="from-s3", S3Bucket="packages", S3Key="v3.zip")


def signed(
    cloud: Cloud,  # noqa: F811
    method: str,
    url: str,
    payload: str,
    headers: dict[str, str],
) -> tuple[dict[str, str], Any]:
    """Headers of a request signed for S3 with any x-amz-content-sha256, and what chunks are signed with."""
    connection = cloud.connection

    class Auth(S3SigV4Auth):
        def payload(self, request: Any) -> str:
            return payload

    request = AWSRequest(method, url, data=b"", headers=headers)
    auth = Auth(Credentials(connection.access_key, connection.secret_key), "s3", connection.region)
    auth.add_auth(request)
    made = dict(request.headers.items())
    stamp = made["X-Amz-Date"]
    scope = f"{stamp[:8]}/{connection.region}/s3/aws4_request"
    key = signing_key(connection.secret_key, stamp[:8], connection.region, "s3")
    seed = made["Authorization"].rpartition("Signature=")[2]
    return made, (key, stamp, scope, seed)


def in_signed_chunks(parts: list[bytes], key: bytes, stamp: str, scope: str, seed: str) -> bytes:
    """Source: Amazon S3 API Reference, "Signature calculations … multiple chunks"."""
    body, empty = b"", hashlib.sha256(b"").hexdigest()
    for part in [*parts, b""]:
        hashed = hashlib.sha256(part).hexdigest()
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{stamp}\n{scope}\n{seed}\n{empty}\n{hashed}"
        seed = hmac.digest(key, text.encode(), "sha256").hex()
        body += f"{len(part):x};chunk-signature={seed}\r\n".encode() + part + b"\r\n"
    return body


def test_bodies_in_chunks_are_verified_and_taken_off_their_frames(cloud: Cloud) -> None:  # noqa: F811
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="in-chunks")
    parts = [os.urandom(200_000), os.urandom(200_000), b"end"]
    decoded = {"X-Amz-Decoded-Content-Length": str(sum(map(len, parts))), "Content-Encoding": "aws-chunked"}
    url = f"{cloud.connection.url}/in-chunks/signed"
    headers, material = signed(cloud, "PUT", url, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", decoded)
    body = in_signed_chunks(parts, *material)
    assert requested("PUT", url, body, headers)[0] == 200
    assert s3.get_object(Bucket="in-chunks", Key="signed")["Body"].read() == b"".join(parts)
    changed = body.replace(b"end", b"END")
    status, _, answer = requested("PUT", url, changed, headers)
    assert (status, b"SignatureDoesNotMatch" in answer) == (403, True)
    assert s3.get_object(Bucket="in-chunks", Key="signed")["Body"].read() == b"".join(parts), "nothing was stored"

    url = f"{cloud.connection.url}/in-chunks/unsigned"
    trailer = decoded | {"X-Amz-Trailer": "x-amz-checksum-crc32"}
    headers, _ = signed(cloud, "PUT", url, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", trailer)
    checksum = base64.b64encode(zlib.crc32(b"".join(parts)).to_bytes(4, "big"))
    framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    framed += b"0\r\nx-amz-checksum-crc32:%s\r\n\r\n" % checksum
    assert requested("PUT", url, framed, headers)[0] == 200
    assert s3.get_object(Bucket="in-chunks", Key="unsigned")["Body"].read() == b"".join(parts)


def test_buckets_are_addressed_by_name_too(cloud: Cloud) -> None:  # noqa: F811
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="by-name")
    s3.put_object(Bucket="by-name", Key="a b", Body=b"found")
    port = cloud.connection.url.rpartition(":")[2]
    for host in (f"by-name.s3.localhost:{port}", f"by-name.s3.us-east-1.localhost:{port}", f"by-name.localhost:{port}"):
        headers, _ = signed(cloud, "GET", f"http://{host}/a%20b", hashlib.sha256(b"").hexdigest(), {"Host": host})
        status, _, body = requested("GET", f"{cloud.connection.url}/a%20b", b"", headers)
        assert (status, body) == (200, b"found"), host
    headers, _ = signed(cloud, "GET", f"http://x.example.com:{port}/a%20b", "UNSIGNED-PAYLOAD", {})
    headers["Host"] = f"by-name.s3.example.com:{port}"
    assert requested("GET", f"{cloud.connection.url}/a%20b", b"", headers)[0] == 403
