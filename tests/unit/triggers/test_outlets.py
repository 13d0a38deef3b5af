"""What destinations beyond functions are given, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from jupyter_lambda.engine.destinations import Delivery, UndeliverableError
from jupyter_lambda.errors import ServiceException
from jupyter_lambda.triggers.outlets import Outlets

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST"
RECORD = json.dumps({"version": "1.0", "requestContext": {"condition": "Success"}})


class Cloud:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.refuses: set[str] = set()

    async def call(self, service: str, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        self.calls.append((service, operation, dict(params)))
        if operation in self.refuses:
            raise ClientError({"Error": {"Code": "QueueDoesNotExist", "Message": "no such queue"}}, operation)
        return {"QueueUrl": "http://localhost/000000000000/q"} if operation == "GetQueueUrl" else {}


def delivery(arn: str, *, success: bool | None = True, body: str = RECORD) -> Delivery:
    return Delivery(arn, "f", FUNCTION, "request-1", body, success, "no good")


async def test_a_queue_gets_the_record_as_its_message() -> None:
    cloud = Cloud()
    outlets = Outlets(cloud)
    for _ in range(2):
        await outlets.deliver(delivery("arn:aws:sqs:us-east-1:000000000000:q"))
    assert [operation for _, operation, _ in cloud.calls] == ["GetQueueUrl", "SendMessage", "SendMessage"]
    assert cloud.calls[1][2] == {"QueueUrl": "http://localhost/000000000000/q", "MessageBody": RECORD}


async def test_a_dead_letter_queue_gets_the_event_and_awss_three_attributes() -> None:
    """ "RequestID (String), ErrorCode (Number), ErrorMessage (String): the first 1 KB of the error message"."""
    cloud = Cloud()
    for arn in ("arn:aws:sqs:us-east-1:000000000000:q", "arn:aws:sns:us-east-1:000000000000:t"):
        await Outlets(cloud).deliver(delivery(arn, success=None, body='{"n": 1}'))
        params = cloud.calls[-1][2]
        assert params.get("MessageBody", params.get("Message")) == '{"n": 1}'
        assert params["MessageAttributes"] == {
            "RequestID": {"DataType": "String", "StringValue": "request-1"},
            "ErrorCode": {"DataType": "Number", "StringValue": "200"},
            "ErrorMessage": {"DataType": "String", "StringValue": "no good"},
        }


async def test_a_bus_gets_an_event() -> None:
    entries: list[Mapping[str, Any]] = []

    async def put_event(entry: Mapping[str, Any]) -> None:
        entries.append(entry)

    bus = "arn:aws:events:us-east-1:000000000000:event-bus/default"
    outlets = Outlets(Cloud())
    with pytest.raises(UndeliverableError, match="no event buses"):
        await outlets.deliver(delivery(bus))
    outlets.put_event = put_event
    for success, word in ((True, "Success"), (False, "Failure")):
        await outlets.deliver(delivery(bus, success=success))
        assert entries[-1] == {
            "EventBusName": "default",
            "Source": "lambda",
            "DetailType": f"Lambda Function Invocation Result - {word}",
            "Detail": RECORD,
            "Resources": [bus, FUNCTION],
        }


async def test_a_bucket_gets_failures_under_awss_key() -> None:
    cloud = Cloud()
    outlets = Outlets(cloud, clock=lambda: 1_764_115_200.0)
    await outlets.deliver(delivery("arn:aws:s3:::failures", success=False))
    [(_, operation, params)] = cloud.calls
    assert (operation, params["Bucket"], params["Body"]) == ("PutObject", "failures", RECORD.encode())
    assert params["Key"].startswith("aws/lambda/async/f/2025/11/26/2025-11-26T00.00.00-")


@pytest.mark.parametrize(
    ("arn", "success"),
    [
        ("arn:aws:sqs:us-east-1:000000000000:q.fifo", True),
        ("arn:aws:sns:us-east-1:000000000000:t.fifo", False),
        ("arn:aws:s3:::failures", True),
        ("arn:aws:s3:::failures", None),
        ("arn:aws:events:us-east-1:000000000000:event-bus/default", None),
        ("arn:aws:kinesis:us-east-1:000000000000:stream/s", True),
        ("nonsense", True),
    ],
)
async def test_what_can_not_be_a_destination_is_said_for_good(arn: str, success: bool | None) -> None:
    with pytest.raises(UndeliverableError):
        await Outlets(Cloud()).deliver(delivery(arn, success=success))


async def test_a_queue_that_was_deleted_is_looked_up_again() -> None:
    cloud = Cloud()
    outlets = Outlets(cloud)
    cloud.refuses.add("SendMessage")
    with pytest.raises(ServiceException, match=r"sqs did not accept it: .*no such queue"):
        await outlets.deliver(delivery("arn:aws:sqs:us-east-1:000000000000:q"))
    cloud.refuses.clear()
    await outlets.deliver(delivery("arn:aws:sqs:us-east-1:000000000000:q"))
    assert [operation for _, operation, _ in cloud.calls][2:] == ["GetQueueUrl", "SendMessage"]
