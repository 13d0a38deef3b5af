"""Event source mappings by boto3, on sources that are lists.

Quoted: AWS Lambda API Reference, "CreateEventSourceMapping" and its neighbours; recorded answers of AWS.
"""

# ruff: noqa: N802, N803 - the operations and members of AWS

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from jupyter_lambda.api.prometheus import page

from .conftest import Engine

REGION, ACCOUNT = "us-east-1", "000000000000"
TABLE_STREAM = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders/stream/2026-01-01T00:00:00.000"


def stream_arn(name: str) -> str:
    return f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}"


def queue_arn(name: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


class Lists:
    """A cloud with any stream, table and queue that is not called "missing"; streams hold what is put into them."""

    def __init__(self) -> None:
        self.why: str | None = None
        self.failing: str | None = None
        self.records: dict[str, list[dict[str, Any]]] = {}
        self._iterators: dict[str, tuple[str, int]] = {}
        self._numbers = itertools.count(1)

    def available(self) -> str | None:
        return self.why

    def put(self, stream: str, text: str) -> None:
        number = next(self._numbers)
        self.records.setdefault(stream, []).append(
            {
                "SequenceNumber": str(number),
                "PartitionKey": "k",
                "Data": text.encode(),
                "ApproximateArrivalTimestamp": time.time(),
            }
        )

    async def call(self, service: str, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        name = str(params.get("StreamName") or params.get("StreamArn") or params.get("QueueName") or "")
        if "missing" in name:
            code = "AWS.SimpleQueueService.NonExistentQueue" if service == "sqs" else "ResourceNotFoundException"
            raise ClientError({"Error": {"Code": code, "Message": "none"}}, operation)
        if self.failing is not None:
            raise ClientError({"Error": {"Code": self.failing, "Message": "not today"}}, operation)
        if operation == "ReceiveMessage":
            await asyncio.sleep(min(0.2, params["WaitTimeSeconds"]))
        answer: dict[str, Any] = getattr(self, f"_{operation}")(**params)
        return {"ResponseMetadata": {"HTTPHeaders": {}}, **answer}

    def _DescribeStreamSummary(self, **_):
        return {"StreamDescriptionSummary": {"StreamStatus": "ACTIVE", "StreamCreationTimestamp": 1.0}}

    def _DescribeStream(self, StreamArn, **_):
        return {"StreamDescription": {"StreamArn": StreamArn, "StreamLabel": "l", "Shards": []}}

    def _ListShards(self, **_):
        return {"Shards": [{"ShardId": "shardId-0", "SequenceNumberRange": {"StartingSequenceNumber": "0"}}]}

    def _GetShardIterator(self, StreamName, StartingSequenceNumber="0", **_):
        token = f"i{next(self._numbers)}"
        known = self.records.get(StreamName, [])
        place = sum(int(one["SequenceNumber"]) <= int(StartingSequenceNumber) for one in known)
        self._iterators[token] = (StreamName, place)
        return {"ShardIterator": token}

    def _GetRecords(self, ShardIterator, Limit):
        name, place = self._iterators[ShardIterator]
        page = self.records.get(name, [])[place : place + Limit]
        token = f"i{next(self._numbers)}"
        self._iterators[token] = (name, place + len(page))
        return {"Records": page, "NextShardIterator": token, "MillisBehindLatest": 0}

    def _GetQueueUrl(self, QueueName, **_):
        return {"QueueUrl": f"http://queues/{QueueName}"}

    def _GetQueueAttributes(self, QueueUrl, **_):
        name = QueueUrl.rpartition("/")[2]
        fifo = str(name.endswith(".fifo")).lower()
        return {"Attributes": {"QueueArn": queue_arn(name), "VisibilityTimeout": "30", "FifoQueue": fifo}}

    def _ReceiveMessage(self, **_):
        return {"Messages": []}


@pytest.fixture
def lists(engine: Engine, client: Any) -> Iterator[Lists]:
    """In place of the engine's cloud; mappings of the test are gone afterwards."""
    mappings = engine.triggers.mappings
    before, lists = mappings._cloud, Lists()
    mappings._cloud = lists
    yield lists
    lists.why = lists.failing = None
    for one in client.list_event_source_mappings()["EventSourceMappings"]:
        settled(client, one["UUID"])
        client.delete_event_source_mapping(UUID=one["UUID"])
    until(lambda: not client.list_event_source_mappings()["EventSourceMappings"])
    mappings._cloud = before


def until(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 10
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)
    return found


def settled(client: Any, uuid: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get_event_source_mapping(UUID=uuid)
        quiet = found["State"] in ("Enabled", "Disabled") or "PROBLEM" in found["StateTransitionReason"]
        return found if quiet else None

    found: dict[str, Any] = until(look)
    return found


def plain(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in answer.items() if k != "ResponseMetadata"}


def test_a_stream_s_mapping_is_as_aws_answers_it(client, make, name, lists):
    make()
    made = client.create_event_source_mapping(
        EventSourceArn=stream_arn("clicks"), FunctionName=name, StartingPosition="LATEST"
    )
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 202
    uuid = made["UUID"]
    made.pop("LastModified")
    assert plain(made) == {
        "UUID": uuid,
        "BatchSize": 100,
        "BisectBatchOnFunctionError": False,
        "DestinationConfig": {"OnFailure": {}},
        "EventSourceArn": stream_arn("clicks"),
        "EventSourceMappingArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:event-source-mapping:{uuid}",
        "FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}",
        "FunctionResponseTypes": [],
        "LastProcessingResult": "No records processed",
        "MaximumBatchingWindowInSeconds": 0,
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
        "ParallelizationFactor": 1,
        "StartingPosition": "LATEST",
        "State": "Creating",
        "StateTransitionReason": "User action",
        "TumblingWindowInSeconds": 0,
    }
    found = settled(client, uuid)
    assert found["State"] == "Enabled"


def test_a_queue_s_mapping_is_as_aws_answers_it(client, make, name, lists):
    make()
    made = client.create_event_source_mapping(EventSourceArn=queue_arn("jobs"), FunctionName=name)
    made.pop("LastModified")
    uuid = made["UUID"]
    assert plain(made) == {
        "UUID": uuid,
        "BatchSize": 10,
        "EventSourceArn": queue_arn("jobs"),
        "EventSourceMappingArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:event-source-mapping:{uuid}",
        "FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}",
        "FunctionResponseTypes": [],
        "MaximumBatchingWindowInSeconds": 0,
        "State": "Creating",
        "StateTransitionReason": "USER_INITIATED",
    }
    assert settled(client, uuid)["State"] == "Enabled"


def test_every_option_comes_back(client, make, name, lists):
    make()
    given = {
        "BatchSize": 500,
        "MaximumBatchingWindowInSeconds": 5,
        "ParallelizationFactor": 3,
        "MaximumRecordAgeInSeconds": 3600,
        "BisectBatchOnFunctionError": True,
        "MaximumRetryAttempts": 2,
        "TumblingWindowInSeconds": 60,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "FilterCriteria": {"Filters": [{"Pattern": '{"partitionKey": ["1"]}'}]},
        "DestinationConfig": {"OnFailure": {"Destination": queue_arn("failed")}},
        "MetricsConfig": {"Metrics": ["EventCount"]},
    }
    made = client.create_event_source_mapping(
        EventSourceArn=stream_arn("clicks"),
        FunctionName=name,
        StartingPosition="AT_TIMESTAMP",
        StartingPositionTimestamp=1_700_000_000,
        **given,
    )
    found = settled(client, made["UUID"])
    assert {member: found[member] for member in given} == given
    assert found["StartingPositionTimestamp"].timestamp() == 1_700_000_000


def test_records_reach_the_function_and_the_result_is_told(client, make, name, lists, engine):
    make()
    made = client.create_event_source_mapping(
        EventSourceArn=stream_arn("clicks"), FunctionName=name, StartingPosition="TRIM_HORIZON"
    )
    lists.put("clicks", "hello")
    uuid = made["UUID"]
    until(lambda: client.get_event_source_mapping(UUID=uuid)["LastProcessingResult"] == "OK")
    totals = engine.triggers.mappings.counts(engine.triggers.mappings.get(uuid)).totals
    assert totals["InvokedEventCount"] == 1


def test_an_update_is_applied_and_keeps_the_rest(client, make, name, lists, refused):
    make()
    uuid = client.create_event_source_mapping(
        EventSourceArn=stream_arn("clicks"), FunctionName=name, StartingPosition="LATEST", MaximumRetryAttempts=5
    )["UUID"]
    settled(client, uuid)
    answer = client.update_event_source_mapping(UUID=uuid, BatchSize=7)
    assert (answer["State"], answer["BatchSize"]) == ("Updating", 7)
    settled(client, uuid)
    elsewhere = {"OnFailure": {"Destination": queue_arn("missing")}}
    code, _, message = refused("update_event_source_mapping", UUID=uuid, DestinationConfig=elsewhere)
    assert (code, message) == ("InvalidParameterValueException", "AWS.SimpleQueueService.NonExistentQueue: none")
    found = settled(client, uuid)
    assert (found["State"], found["BatchSize"], found["MaximumRetryAttempts"]) == ("Enabled", 7, 5)


def test_disabled_and_enabled_again(client, make, name, lists):
    make()
    uuid = client.create_event_source_mapping(
        EventSourceArn=stream_arn("clicks"), FunctionName=name, StartingPosition="TRIM_HORIZON"
    )["UUID"]
    settled(client, uuid)
    assert client.update_event_source_mapping(UUID=uuid, Enabled=False)["State"] == "Disabling"
    until(lambda: client.get_event_source_mapping(UUID=uuid)["State"] == "Disabled")
    lists.put("clicks", "while it is paused")
    assert client.update_event_source_mapping(UUID=uuid, Enabled=True)["State"] == "Enabling"
    until(lambda: client.get_event_source_mapping(UUID=uuid)["LastProcessingResult"] == "OK")


def test_created_disabled(client, make, name, lists):
    make()
    made = client.create_event_source_mapping(
        EventSourceArn=stream_arn("clicks"), FunctionName=name, StartingPosition="LATEST", Enabled=False
    )
    assert settled(client, made["UUID"])["State"] == "Disabled"


def test_deleted(client, make, name, lists, refused):
    make()
    uuid = client.create_event_source_mapping(EventSourceArn=queue_arn("jobs"), FunctionName=name)["UUID"]
    settled(client, uuid)
    answer = client.delete_event_source_mapping(UUID=uuid)
    assert (answer["State"], answer["ResponseMetadata"]["HTTPStatusCode"]) == ("Deleting", 202)
    until(lambda: not client.list_event_source_mappings()["EventSourceMappings"])
    missing = ("ResourceNotFoundException", 404, "The resource you requested does not exist.")
    for operation in ("get_event_source_mapping", "update_event_source_mapping", "delete_event_source_mapping"):
        assert refused(operation, UUID=uuid) == missing


def test_one_function_reads_a_source_once(client, make, name, lists, refused):
    make()
    stream, queue = stream_arn("clicks"), queue_arn("jobs")
    first = client.create_event_source_mapping(EventSourceArn=stream, FunctionName=name, StartingPosition="LATEST")
    second = client.create_event_source_mapping(EventSourceArn=queue, FunctionName=name)
    again = refused(
        "create_event_source_mapping", EventSourceArn=stream, FunctionName=name, StartingPosition="TRIM_HORIZON"
    )
    assert again == (
        "ResourceConflictException",
        409,
        (
            f'The event source arn (" {stream} ") and function (" {name} ") provided mapping already exists. Please '
            f"update or delete the existing mapping with UUID {first['UUID']}"
        ),
    )
    assert refused("create_event_source_mapping", EventSourceArn=queue, FunctionName=name) == (
        "ResourceConflictException",
        409,
        (
            f'An event source mapping with SQS arn (" {queue} ") and function (" {name} ") already exists. Please '
            f"update or delete the existing mapping with UUID {second['UUID']}"
        ),
    )


def test_a_change_under_way_is_in_the_way_of_others(client, make, name, lists, refused, engine):
    make()
    uuid = client.create_event_source_mapping(FunctionName=name, **STREAM)["UUID"]
    settled(client, uuid)
    rows = engine.triggers.mappings.rows
    before = rows._all()[uuid]
    rows._all()[uuid] = replace(before, state="Updating")
    try:
        assert refused("update_event_source_mapping", UUID=uuid, BatchSize=5) == (
            "ResourceInUseException",
            400,
            "Cannot update the event source mapping because it is in use.",
        )
        assert refused("delete_event_source_mapping", UUID=uuid)[0] == "ResourceInUseException"
    finally:
        rows._all()[uuid] = before


def test_lists_and_pages(client, make, name, lists):
    make()
    client.publish_version(FunctionName=name)
    uuids = [
        client.create_event_source_mapping(EventSourceArn=queue_arn(f"q{n}"), FunctionName=name)["UUID"]
        for n in range(3)
    ]
    qualified = client.create_event_source_mapping(EventSourceArn=queue_arn("q0"), FunctionName=f"{name}:1")
    assert qualified["FunctionArn"].endswith(f":function:{name}:1")
    pages = client.get_paginator("list_event_source_mappings").paginate(
        FunctionName=name, PaginationConfig={"PageSize": 2}
    )
    found = [[one["UUID"] for one in page["EventSourceMappings"]] for page in pages]
    assert [len(page) for page in found] == [2, 2]
    assert sorted(uuid for page in found for uuid in page) == sorted([*uuids, qualified["UUID"]])
    of_source = client.list_event_source_mappings(EventSourceArn=queue_arn("q0"))["EventSourceMappings"]
    assert len(of_source) == 2
    of_version = client.list_event_source_mappings(FunctionName=name, EventSourceArn=queue_arn("q0"))
    assert len(of_version["EventSourceMappings"]) == 2
    assert len(client.list_event_source_mappings(FunctionName=f"{name}:1")["EventSourceMappings"]) == 1


def test_tags(client, make, name, lists, refused):
    make()
    made = client.create_event_source_mapping(EventSourceArn=queue_arn("jobs"), FunctionName=name, Tags={"a": "1"})
    arn = made["EventSourceMappingArn"]
    client.tag_resource(Resource=arn, Tags={"b": "2"})
    assert client.list_tags(Resource=arn)["Tags"] == {"a": "1", "b": "2"}
    client.untag_resource(Resource=arn, TagKeys=["a"])
    assert client.list_tags(Resource=arn)["Tags"] == {"b": "2"}
    nobody = arn[:-12] + "000000000000"
    assert refused("list_tags", Resource=nobody)[:2] == ("ResourceNotFoundException", 404)


STREAM = {"EventSourceArn": stream_arn("clicks"), "StartingPosition": "LATEST"}
QUEUE = {"EventSourceArn": queue_arn("jobs")}
FIFO = {"EventSourceArn": queue_arn("jobs.fifo")}
INVALID = [
    ({}, "Unrecognized event source."),
    ({**STREAM, "StartingPositionTimestamp": 1}, "Timestamp only valid with StartingPosition AT_TIMESTAMP"),
    (
        {**STREAM, "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": -1.0},
        (
            "Received Exception while reading from provided stream. class java.lang.Long can not be converted to a "
            "Timestamp"
        ),
    ),
    (
        {"EventSourceArn": TABLE_STREAM, "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1},
        f"Unsupported starting position for arn type: {TABLE_STREAM}",
    ),
    ({**QUEUE, "StartingPosition": "LATEST"}, "StartingPosition is not valid for SQS event sources."),
    (
        {**QUEUE, "DestinationConfig": {"OnFailure": {"Destination": queue_arn("x")}}},
        "Unsupported DestinationConfig parameter for given event source mapping type.",
    ),
    (
        {**STREAM, "DestinationConfig": {"OnSuccess": {"Destination": queue_arn("x")}}},
        "Unsupported DestinationConfig parameter for given event source mapping type.",
    ),
    (
        {**STREAM, "ScalingConfig": {"MaximumConcurrency": 5}},
        "Unsupported ScalingConfig parameter for given event source mapping type.",
    ),
    (
        {**QUEUE, "BatchSize": 11},
        "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
    ),
    ({**FIFO, "MaximumBatchingWindowInSeconds": 5}, "Batching window is not supported for FIFO queues"),
    ({**STREAM, "FilterCriteria": {"Filters": [{"Pattern": '{"a": 1}'}]}}, "Invalid filter pattern definition."),
    ({**STREAM, "FilterCriteria": {"Filters": [{"Pattern": '{"data": ["a"]}'}]}}, "Invalid filter pattern definition."),
    (
        {**STREAM, "EventSourceArn": stream_arn("clicks").replace(REGION, "eu-west-1")},
        (
            f"The event source {stream_arn('clicks').replace(REGION, 'eu-west-1')} is in another region than this "
            f"engine, which is in {REGION}."
        ),
    ),
    (
        {**STREAM, "DestinationConfig": {"OnFailure": {"Destination": queue_arn("missing")}}},
        "AWS.SimpleQueueService.NonExistentQueue: none",
    ),
    ({**STREAM, "EventSourceArn": stream_arn("missing")}, f"Stream not found: {stream_arn('missing')}"),
]


def test_what_aws_refuses(make, name, lists, refused):
    make()
    for given, message in INVALID:
        answer = refused("create_event_source_mapping", FunctionName=name, **given)
        assert answer == ("InvalidParameterValueException", 400, message), given


def test_a_starting_position_is_needed_and_one_of_three(make, name, lists, refused):
    make()
    arn = stream_arn("clicks")
    assert refused("create_event_source_mapping", FunctionName=name, EventSourceArn=arn) == (
        "ValidationException",
        400,
        (
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must "
            "not be null."
        ),
    )
    wrong = refused("create_event_source_mapping", FunctionName=name, EventSourceArn=arn, StartingPosition="invalid")
    assert wrong[:2] == ("ValidationException", 400)
    assert "Value 'invalid' at 'startingPosition' failed to satisfy constraint: Member must satisfy enum" in wrong[2]


def test_a_function_that_is_not_there(lists, refused):
    answer = refused("create_event_source_mapping", FunctionName="nobody", **QUEUE)
    assert answer == ("InvalidParameterValueException", 400, "Function does not exist")


UNBUILT = [
    ({"EventSourceArn": f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/c/1", "Topics": ["t1"]}, "Kafka"),
    ({"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9092"]}}}, "Kafka"),
    ({"EventSourceArn": f"arn:aws:mq:{REGION}:{ACCOUNT}:broker:b:1"}, "Amazon MQ"),
    ({"EventSourceArn": f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:docs"}, "DocumentDB"),
    ({"EventSourceArn": stream_arn("clicks") + "/consumer/con1:1", "StartingPosition": "LATEST"}, "fan-out"),
    ({**QUEUE, "ProvisionedPollerConfig": {"MinimumPollers": 2}}, "ProvisionedPollerConfig"),
    ({**STREAM, "KMSKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k"}, "KMSKeyArn"),
]


def test_what_is_not_built_says_so_by_name(make, name, lists, refused):
    make()
    for given, named in UNBUILT:
        code, status, message = refused("create_event_source_mapping", FunctionName=name, **given)
        assert (code, status) == ("NotImplemented", 501)
        assert named in message


def test_without_a_cloud_the_trigger_says_why_at_once(make, name, lists, refused):
    make()
    lists.why = "no server of an embedded cloud is installed"
    code, status, message = refused("create_event_source_mapping", FunctionName=name, **QUEUE)
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert "embedded cloud" in message


def test_a_source_that_fails_is_told_and_got_over(client, make, name, lists):
    make()
    uuid = client.create_event_source_mapping(FunctionName=name, **STREAM)["UUID"]
    settled(client, uuid)
    lists.failing = "AccessDeniedException"
    client.update_event_source_mapping(UUID=uuid, BatchSize=9)
    found = until(lambda: told(client, uuid, "PROBLEM: AccessDeniedException"))
    assert found["State"] == "Updating"
    # A change that can't come to its end may be followed by another one.
    client.update_event_source_mapping(UUID=uuid, BatchSize=10)
    lists.failing = None
    found = until(lambda: told(client, uuid, "User action"))
    until(lambda: client.get_event_source_mapping(UUID=uuid)["State"] == "Enabled")
    assert found["BatchSize"] == 10


def told(client: Any, uuid: str, reason: str) -> dict[str, Any] | None:
    found: dict[str, Any] = client.get_event_source_mapping(UUID=uuid)
    return found if found["StateTransitionReason"].startswith(reason) else None


def test_metrics_of_a_mapping(client, make, name, lists, engine):
    make()
    uuid = client.create_event_source_mapping(
        FunctionName=name,
        EventSourceArn=stream_arn("measured"),
        StartingPosition="TRIM_HORIZON",
        MetricsConfig={"Metrics": ["EventCount"]},
    )["UUID"]
    lists.put("measured", json.dumps({"n": 1}))
    until(lambda: client.get_event_source_mapping(UUID=uuid)["LastProcessingResult"] == "OK")
    rows = {(key.name, key.dimensions): counted.total for key, _, counted in engine.service.metrics.take()}
    assert rows["PolledEventCount", (("EventSourceMappingUUID", uuid),)] == 1
    assert rows["InvokedEventCount", (("EventSourceMappingUUID", uuid),)] == 1
    assert rows["IteratorAge", (("FunctionName", name),)] >= 0
    text = page(engine.service)
    labels = f'mapping="{uuid}",trigger="kinesis:measured"'
    assert f'jupyter_lambda_event_source_events_total{{{labels},event="polled"}} 1' in text
    assert f"jupyter_lambda_event_source_batches_total{{{labels}}} 1" in text
    assert f"jupyter_lambda_event_source_iterator_age_seconds{{{labels}}} " in text
