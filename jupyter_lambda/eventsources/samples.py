"""Events as AWS's services send them, for ``%lambda fire``.

Source: AWS Lambda Developer Guide, the sample events of each service's page; Amazon API Gateway Developer Guide,
"AWS Lambda proxy integrations for HTTP APIs".
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from .place import Place, last


def _now() -> datetime:
    return datetime.now(UTC)


def _iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def _variables(path: str) -> tuple[str, dict[str, str]]:
    """A path with its variables filled in by their own names, and these."""
    found = {}
    parts = []
    for segment in path.split("/"):
        if segment.startswith("{"):
            name = segment.strip("{+}")
            found[name] = name
            segment = name
        parts.append(segment)
    return "/".join(parts), found


def http(method: str, path: str, route_key: str, place: Place) -> dict[str, Any]:
    """A request in payload format 2.0, as function URLs and HTTP APIs send it."""
    shown, variables = _variables(path)
    now = _now()
    body = json.dumps({"n": 3}) if method in ("POST", "PUT", "PATCH") else None
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key if route_key != "/" else "$default",
        "rawPath": shown,
        "rawQueryString": "",
        "headers": {"accept": "*/*", "host": "sample.localhost", "user-agent": "jupyter-lambda-sample"},
        "requestContext": {
            "accountId": place.account_id,
            "apiId": "sample",
            "domainName": "sample.localhost",
            "domainPrefix": "sample",
            "http": {
                "method": method,
                "path": shown,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "jupyter-lambda-sample",
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": route_key if route_key != "/" else "$default",
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now.timestamp() * 1000),
        },
        "isBase64Encoded": False,
    }
    if variables:
        event["pathParameters"] = variables
    if body is not None:
        event["body"] = body
        event["headers"]["content-type"] = "application/json"
    return event


def http_v1(method: str, path: str, route_key: str, place: Place) -> dict[str, Any]:
    """The same in payload format 1.0."""
    shown, variables = _variables(path)
    now = _now()
    headers = {"Accept": "*/*", "Host": "sample.localhost"}
    return {
        "version": "1.0",
        "resource": path,
        "path": shown,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": variables or None,
        "stageVariables": None,
        "requestContext": {
            "accountId": place.account_id,
            "apiId": "sample",
            "domainName": "sample.localhost",
            "httpMethod": method,
            "identity": {"sourceIp": "127.0.0.1"},
            "path": shown,
            "protocol": "HTTP/1.1",
            "requestId": str(uuid.uuid4()),
            "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "requestTimeEpoch": int(now.timestamp() * 1000),
            "resourcePath": route_key,
            "stage": "$default",
        },
        "body": None,
        "isBase64Encoded": False,
    }


def scheduled(arn: str, place: Place) -> dict[str, Any]:
    """A firing of EventBridge Scheduler to which no input was given."""
    return event_bus("aws.scheduler", "Scheduled Event", {}, place, resources=[arn])


def event_bus(
    source: str, detail_type: str, detail: dict[str, Any], place: Place, resources: list[str] | None = None
) -> dict[str, Any]:
    """An event of EventBridge."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": place.account_id,
        "time": _now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": place.region,
        "resources": resources or [],
        "detail": detail,
    }


def bucket(name: str, key: str, event_name: str, place: Place) -> dict[str, Any]:
    """A notification of S3."""
    from urllib.parse import quote_plus

    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": place.region,
                "eventTime": _iso(_now()),
                "eventName": event_name,
                "userIdentity": {"principalId": "EXAMPLE"},
                "requestParameters": {"sourceIPAddress": "127.0.0.1"},
                "responseElements": {"x-amz-request-id": "EXAMPLE123456789", "x-amz-id-2": "EXAMPLE"},
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "sample",
                    "bucket": {
                        "name": name,
                        "ownerIdentity": {"principalId": "EXAMPLE"},
                        "arn": place.arn("s3", name, bare=True),
                    },
                    "object": {
                        "key": quote_plus(key, safe="/"),
                        "size": 1024,
                        "eTag": "0123456789abcdef0123456789abcdef",
                        "sequencer": "0A1B2C3D4E5F678901",
                    },
                },
            }
        ]
    }


def table(stream_arn: str, place: Place) -> dict[str, Any]:
    """A change of a DynamoDB table."""
    return {
        "Records": [
            {
                "eventID": uuid.uuid4().hex,
                "eventName": "INSERT",
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": place.region,
                "dynamodb": {
                    "ApproximateCreationDateTime": int(time.time()),
                    "Keys": {"id": {"S": "1"}},
                    "NewImage": {"id": {"S": "1"}, "amount": {"N": "3"}},
                    "SequenceNumber": "111",
                    "SizeBytes": 26,
                    "StreamViewType": "NEW_AND_OLD_IMAGES",
                },
                "eventSourceARN": stream_arn,
            }
        ]
    }


def stream(arn: str, place: Place, role_arn: str) -> dict[str, Any]:
    """A record of a Kinesis stream."""
    import base64

    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": "1",
                    "sequenceNumber": "49590338271490256608559692538361571095921575989136588898",
                    "data": base64.b64encode(b'{"n": 3}').decode(),
                    "approximateArrivalTimestamp": round(time.time(), 3),
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": "shardId-000000000000:49590338271490256608559692538361571095921575989136588898",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": role_arn,
                "awsRegion": place.region,
                "eventSourceARN": arn,
            }
        ]
    }


def queue(arn: str, place: Place) -> dict[str, Any]:
    """A message of an SQS queue."""
    body = json.dumps({"n": 3})
    now_ms = str(int(time.time() * 1000))
    return {
        "Records": [
            {
                "messageId": str(uuid.uuid4()),
                "receiptHandle": "sample",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": now_ms,
                    "SenderId": place.account_id,
                    "ApproximateFirstReceiveTimestamp": now_ms,
                },
                "messageAttributes": {},
                "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
                "eventSource": "aws:sqs",
                "eventSourceARN": arn,
                "awsRegion": place.region,
            }
        ]
    }


def topic(arn: str, place: Place) -> dict[str, Any]:
    """A notification of an SNS topic."""
    return {
        "Records": [
            {
                "EventVersion": "1.0",
                "EventSubscriptionArn": f"{arn}:{uuid.uuid4()}",
                "EventSource": "aws:sns",
                "Sns": {
                    "SignatureVersion": "1",
                    "Timestamp": _iso(_now()),
                    "Signature": "sample",
                    "SigningCertUrl": "sample",
                    "MessageId": str(uuid.uuid4()),
                    "Message": '{"n": 3}',
                    "MessageAttributes": {},
                    "Type": "Notification",
                    "UnsubscribeUrl": "sample",
                    "TopicArn": arn,
                    "Subject": f"A sample of {last(arn)}",
                },
            }
        ]
    }


def folder(path: str, name: str) -> dict[str, Any]:
    """A file that appeared in a watched folder, as this engine tells of it."""
    text = "n\n3\n"
    return {
        "version": "1.0",
        "source": "jupyter-lambda.folder",
        "id": str(uuid.uuid4()),
        "time": _iso(_now()),
        "type": "created",
        "folder": path,
        "file": {
            "path": name,
            "name": name.rpartition("/")[2],
            "size": len(text),
            "modified": _iso(_now()),
            "content_type": "text/csv" if name.endswith(".csv") else "text/plain",
            "content": text,
            "encoding": "utf-8",
        },
    }
