# ruff: noqa: N803 - the names of arguments are boto3's
"""AWS in memory: what event sources ask of it, with AWS's codes where it refuses. Every call is kept."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from typing import Any

from botocore.exceptions import ClientError

from jupyter_lambda.connection import Connection
from jupyter_lambda.errors import ResourceNotFoundException
from jupyter_lambda.eventsources.place import Place

ACCOUNT, REGION = "000000000000", "us-east-1"


def refuse(code: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


def function_arn(name: str) -> str:
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"


class Service:
    """Keeps what was called; ``made`` names the changing calls."""

    def __init__(self, calls: list[str]) -> None:
        self._calls = calls

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not name.startswith("_") and callable(found):
            self._calls.append(name)
        return found


class Lambda(Service):
    def __init__(self, calls: list[str], functions: Any) -> None:
        super().__init__(calls)
        self._functions = functions
        self._policies: dict[str, dict[str, Any]] = defaultdict(dict)
        self._tags: dict[str, dict[str, str]] = defaultdict(dict)
        self._urls: dict[str, dict[str, Any]] = {}
        self._mappings: dict[str, dict[str, Any]] = {}
        self._numbers = itertools.count()

    def get_function_configuration(self, FunctionName: str) -> dict[str, Any]:
        if FunctionName not in self._functions:
            raise refuse("ResourceNotFoundException")
        return {"FunctionName": FunctionName, "FunctionArn": function_arn(FunctionName)}

    def list_functions(self, Marker: str = "0") -> dict[str, Any]:
        names = list(self._functions)
        at = int(Marker)
        page = [{"FunctionName": name, "FunctionArn": function_arn(name)} for name in names[at : at + 1]]
        return {"Functions": page} | ({"NextMarker": str(at + 1)} if at + 1 < len(names) else {})

    def add_permission(self, FunctionName: str, StatementId: str, **params: Any) -> dict[str, Any]:
        if StatementId in self._policies[FunctionName]:
            raise refuse("ResourceConflictException")
        self._policies[FunctionName][StatementId] = params
        return {}

    def remove_permission(self, FunctionName: str, StatementId: str) -> dict[str, Any]:
        if self._policies[FunctionName].pop(StatementId, None) is None:
            raise refuse("ResourceNotFoundException")
        return {}

    def get_policy(self, FunctionName: str) -> dict[str, Any]:
        if not self._policies[FunctionName]:
            raise refuse("ResourceNotFoundException")
        statements = [
            {
                "Sid": sid,
                "Effect": "Allow",
                "Principal": one["Principal"] if one["Principal"] == "*" else {"Service": one["Principal"]},
                "Action": one["Action"],
                "Condition": {"ArnLike": {"AWS:SourceArn": one["SourceArn"]}} if "SourceArn" in one else {},
            }
            for sid, one in self._policies[FunctionName].items()
        ]
        return {"Policy": json.dumps({"Statement": statements})}

    def list_tags(self, Resource: str) -> dict[str, Any]:
        return {"Tags": dict(self._tags[Resource])}

    def tag_resource(self, Resource: str, Tags: dict[str, str]) -> dict[str, Any]:
        self._tags[Resource].update(Tags)
        return {}

    def untag_resource(self, Resource: str, TagKeys: list[str]) -> dict[str, Any]:
        for key in TagKeys:
            self._tags[Resource].pop(key, None)
        return {}

    def create_function_url_config(self, FunctionName: str, **params: Any) -> dict[str, Any]:
        url = f"https://abc.lambda-url.{REGION}.on.aws/"
        self._urls[FunctionName] = {"FunctionUrl": url, **params}
        return self._urls[FunctionName]

    def update_function_url_config(self, FunctionName: str, **params: Any) -> dict[str, Any]:
        self._urls[FunctionName].update(params)
        return self._urls[FunctionName]

    def get_function_url_config(self, FunctionName: str) -> dict[str, Any]:
        if FunctionName not in self._urls:
            raise refuse("ResourceNotFoundException")
        return self._urls[FunctionName]

    def delete_function_url_config(self, FunctionName: str) -> dict[str, Any]:
        if self._urls.pop(FunctionName, None) is None:
            raise refuse("ResourceNotFoundException")
        return {}

    def create_event_source_mapping(self, FunctionName: str, EventSourceArn: str, **params: Any) -> dict[str, Any]:
        uuid = str(next(self._numbers))
        default = 10 if ":sqs:" in EventSourceArn else 100
        self._mappings[uuid] = {
            "UUID": uuid,
            "EventSourceArn": EventSourceArn,
            "FunctionArn": function_arn(FunctionName),
            "State": "Enabled",
            "BatchSize": default,
            "MaximumBatchingWindowInSeconds": 0,
            "LastProcessingResult": "No records processed",
            **params,
        }
        return self._mappings[uuid]

    def get_event_source_mapping(self, UUID: str) -> dict[str, Any]:
        return self._mappings[UUID]

    def update_event_source_mapping(self, UUID: str, Enabled: bool | None = None, **params: Any) -> dict[str, Any]:
        if Enabled is not None:
            self._mappings[UUID]["State"] = "Enabled" if Enabled else "Disabled"
        self._mappings[UUID].update(params)
        return self._mappings[UUID]

    def delete_event_source_mapping(self, UUID: str) -> dict[str, Any]:
        return self._mappings.pop(UUID)

    def list_event_source_mappings(self, FunctionName: str) -> dict[str, Any]:
        arn = function_arn(FunctionName)
        return {"EventSourceMappings": [one for one in self._mappings.values() if one["FunctionArn"] == arn]}


class ApiGateway(Service):
    def __init__(self, calls: list[str]) -> None:
        super().__init__(calls)
        self._apis: list[dict[str, Any]] = []
        self._routes: dict[str, dict[str, Any]] = {}
        self._integrations: dict[str, dict[str, Any]] = {}
        self._stages: list[str] = []
        self._numbers = itertools.count()

    def get_apis(self, **_: Any) -> dict[str, Any]:
        return {"Items": self._apis}

    def create_api(self, **params: Any) -> dict[str, Any]:
        made = {"ApiId": "a1", "ApiEndpoint": f"https://a1.execute-api.{REGION}.amazonaws.com", **params}
        self._apis.append(made)
        return made

    def create_stage(self, StageName: str, **_: Any) -> dict[str, Any]:
        self._stages.append(StageName)
        return {}

    def get_routes(self, ApiId: str, **_: Any) -> dict[str, Any]:
        return {"Items": list(self._routes.values())}

    def create_route(self, ApiId: str, **params: Any) -> dict[str, Any]:
        if any(one["RouteKey"] == params["RouteKey"] for one in self._routes.values()):
            raise refuse("ConflictException")
        route_id = f"r{next(self._numbers)}"
        self._routes[route_id] = {"RouteId": route_id, **params}
        return self._routes[route_id]

    def update_route(self, ApiId: str, RouteId: str, **params: Any) -> dict[str, Any]:
        self._routes[RouteId].update(params)
        return self._routes[RouteId]

    def delete_route(self, ApiId: str, RouteId: str) -> dict[str, Any]:
        del self._routes[RouteId]
        return {}

    def get_integrations(self, ApiId: str, **_: Any) -> dict[str, Any]:
        return {"Items": list(self._integrations.values())}

    def get_integration(self, ApiId: str, IntegrationId: str) -> dict[str, Any]:
        if IntegrationId not in self._integrations:
            raise refuse("NotFoundException")
        return self._integrations[IntegrationId]

    def create_integration(self, ApiId: str, **params: Any) -> dict[str, Any]:
        integration_id = f"i{next(self._numbers)}"
        self._integrations[integration_id] = {"IntegrationId": integration_id, **params}
        return self._integrations[integration_id]

    def delete_integration(self, ApiId: str, IntegrationId: str) -> dict[str, Any]:
        del self._integrations[IntegrationId]
        return {}


class Scheduler(Service):
    def __init__(self, calls: list[str]) -> None:
        super().__init__(calls)
        self._schedules: dict[str, dict[str, Any]] = {}

    def create_schedule(self, Name: str, **params: Any) -> dict[str, Any]:
        if Name in self._schedules:
            raise refuse("ConflictException")
        self._schedules[Name] = {"Name": Name, "GroupName": "default", **params}
        return {}

    def update_schedule(self, Name: str, **params: Any) -> dict[str, Any]:
        if Name not in self._schedules:
            raise refuse("ResourceNotFoundException")
        self._schedules[Name] = {"Name": Name, "GroupName": "default", **params}
        return {}

    def get_schedule(self, Name: str) -> dict[str, Any]:
        if Name not in self._schedules:
            raise refuse("ResourceNotFoundException")
        return dict(self._schedules[Name])

    def delete_schedule(self, Name: str) -> dict[str, Any]:
        if self._schedules.pop(Name, None) is None:
            raise refuse("ResourceNotFoundException")
        return {}

    def list_schedules(self, NamePrefix: str) -> dict[str, Any]:
        own = [one for name, one in self._schedules.items() if name.startswith(NamePrefix)]
        return {"Schedules": [{"Name": one["Name"], "Target": {"Arn": one["Target"]["Arn"]}} for one in own]}


class S3(Service):
    def __init__(self, calls: list[str]) -> None:
        super().__init__(calls)
        self._buckets: dict[str, dict[str, Any]] = {}

    def create_bucket(self, Bucket: str) -> dict[str, Any]:
        self._buckets[Bucket] = {}
        return {}

    def head_bucket(self, Bucket: str) -> dict[str, Any]:
        if Bucket not in self._buckets:
            raise refuse("404", "Not Found")
        return {}

    def get_bucket_notification_configuration(self, Bucket: str) -> dict[str, Any]:
        if Bucket not in self._buckets:
            raise refuse("NoSuchBucket")
        return {"ResponseMetadata": {}, **self._buckets[Bucket]}

    def put_bucket_notification_configuration(
        self, Bucket: str, NotificationConfiguration: dict[str, Any]
    ) -> dict[str, Any]:
        self._buckets[Bucket] = NotificationConfiguration
        return {}


class Sqs(Service):
    def __init__(self, calls: list[str]) -> None:
        super().__init__(calls)
        self._queues: set[str] = set()

    def create_queue(self, QueueName: str, **_: Any) -> dict[str, Any]:
        self._queues.add(QueueName)
        return {}

    def get_queue_url(self, QueueName: str) -> dict[str, Any]:
        if QueueName not in self._queues:
            raise refuse("AWS.SimpleQueueService.NonExistentQueue")
        return {"QueueUrl": f"http://sqs/{ACCOUNT}/{QueueName}"}

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: list[str]) -> dict[str, Any]:
        return {"Attributes": {"QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{QueueUrl.rpartition('/')[2]}"}}


class Sns(Service):
    def __init__(self, calls: list[str]) -> None:
        super().__init__(calls)
        self._topics: dict[str, dict[str, dict[str, Any]]] = {}

    def create_topic(self, Name: str) -> dict[str, Any]:
        self._topics[f"arn:aws:sns:{REGION}:{ACCOUNT}:{Name}"] = {}
        return {}

    def get_topic_attributes(self, TopicArn: str) -> dict[str, Any]:
        if TopicArn not in self._topics:
            raise refuse("NotFound")
        return {}

    def subscribe(self, TopicArn: str, **params: Any) -> dict[str, Any]:
        arn = f"{TopicArn}:{len(self._topics[TopicArn])}"
        self._topics[TopicArn][arn] = {"SubscriptionArn": arn, **params}
        return {"SubscriptionArn": arn}

    def unsubscribe(self, SubscriptionArn: str) -> dict[str, Any]:
        for subscriptions in self._topics.values():
            subscriptions.pop(SubscriptionArn, None)
        return {}

    def list_subscriptions_by_topic(self, TopicArn: str) -> dict[str, Any]:
        if TopicArn not in self._topics:
            raise refuse("NotFound")
        return {"Subscriptions": list(self._topics[TopicArn].values())}

    def get_subscription_attributes(self, SubscriptionArn: str) -> dict[str, Any]:
        for subscriptions in self._topics.values():
            if SubscriptionArn in subscriptions:
                return {"Attributes": subscriptions[SubscriptionArn].get("Attributes", {})}
        raise refuse("NotFound")

    def set_subscription_attributes(
        self, SubscriptionArn: str, AttributeName: str, AttributeValue: str
    ) -> dict[str, Any]:
        for subscriptions in self._topics.values():
            if SubscriptionArn in subscriptions:
                subscriptions[SubscriptionArn].setdefault("Attributes", {})[AttributeName] = AttributeValue
        return {}


class Kinesis(Service):
    def __init__(self, calls: list[str]) -> None:
        super().__init__(calls)
        self._streams: set[str] = set()

    def create_stream(self, StreamName: str, ShardCount: int = 1) -> dict[str, Any]:
        self._streams.add(StreamName)
        return {}

    def describe_stream_summary(self, StreamName: str) -> dict[str, Any]:
        if StreamName not in self._streams:
            raise refuse("ResourceNotFoundException")
        return {"StreamDescriptionSummary": {"StreamARN": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{StreamName}"}}


class DynamoDb(Service):
    def __init__(self, calls: list[str]) -> None:
        super().__init__(calls)
        self._tables: dict[str, dict[str, Any]] = {}

    def create_table(self, TableName: str, **params: Any) -> dict[str, Any]:
        self._tables[TableName] = {"TableName": TableName}
        return {}

    def describe_table(self, TableName: str) -> dict[str, Any]:
        if TableName not in self._tables:
            raise refuse("ResourceNotFoundException")
        return {"Table": self._tables[TableName]}

    def update_table(self, TableName: str, StreamSpecification: dict[str, Any]) -> dict[str, Any]:
        arn = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{TableName}/stream/2026-01-01T00:00:00.000"
        self._tables[TableName] |= {"StreamSpecification": StreamSpecification, "LatestStreamArn": arn}
        return {"TableDescription": self._tables[TableName]}


class Events(Service):
    def __init__(self, calls: list[str]) -> None:
        super().__init__(calls)
        self._rules: dict[str, dict[str, Any]] = {}
        self._targets: dict[str, dict[str, str]] = defaultdict(dict)

    def put_rule(self, Name: str, **params: Any) -> dict[str, Any]:
        self._rules[Name] = {"Name": Name, **params}
        return {}

    def describe_rule(self, Name: str) -> dict[str, Any]:
        if Name not in self._rules:
            raise refuse("ResourceNotFoundException")
        return self._rules[Name]

    def delete_rule(self, Name: str) -> dict[str, Any]:
        assert not self._targets[Name]
        del self._rules[Name]
        return {}

    def put_targets(self, Rule: str, Targets: list[dict[str, str]]) -> dict[str, Any]:
        self._targets[Rule] |= {one["Id"]: one["Arn"] for one in Targets}
        return {"FailedEntryCount": 0, "FailedEntries": []}

    def remove_targets(self, Rule: str, Ids: list[str]) -> dict[str, Any]:
        for one in Ids:
            self._targets[Rule].pop(one)
        return {}

    def list_rule_names_by_target(self, TargetArn: str) -> dict[str, Any]:
        return {"RuleNames": [name for name, targets in self._targets.items() if TargetArn in targets.values()]}

    def enable_rule(self, Name: str) -> dict[str, Any]:
        self._rules[Name]["State"] = "ENABLED"
        return {}

    def disable_rule(self, Name: str) -> dict[str, Any]:
        self._rules[Name]["State"] = "DISABLED"
        return {}


class Admin:
    """The engine's own routes of folders."""

    connection = Connection("http://127.0.0.1:1", "us-east-1", "AK", "SK")

    def __init__(self) -> None:
        self.folders: dict[tuple[str, str, str], dict[str, Any]] = {}
        #: Notifications that are paused, as they were named.
        self.held: list[dict[str, Any]] = []

    def notifications(self, function: str) -> list[dict[str, Any]]:
        return [one | {"last_result": "OK"} for one in self.held if one["function"] == function]

    def set_notifications_paused(self, function: str, *, paused: bool, **which: str) -> None:
        self.held = [one for one in self.held if not which.items() <= one.items()]
        self.held.append({"function": function, "state": "paused" if paused else "on", **which})

    def call(self, method: str, path: str, **query: Any) -> dict[str, Any]:
        assert path == "/folders"
        if method == "GET":
            return {"folders": [one for key, one in self.folders.items() if key[0] == query["function"]]}
        key = (query["function"], query["folder"], query["pattern"])
        if method == "DELETE" or "paused" in query:
            if key not in self.folders:
                raise ResourceNotFoundException("not watched")
            if method == "DELETE":
                return {"folder": self.folders.pop(key)}
            self.folders[key]["state"] = "paused" if query["paused"] == "true" else "on"
            return {"folder": self.folders[key], "action": "changed"}
        if "missing" in key[1]:
            raise ResourceNotFoundException(
                f"there is no folder {key[1]} where the engine runs; make it: mkdir {key[1]}"
            )
        action = "unchanged" if key in self.folders else "made"
        self.folders[key] = {
            "folder": key[1],
            "pattern": key[2],
            "deleted": query["deleted"] == "true",
            "content": query["content"] == "true",
            "settle_s": float(query["settle"]),
            "state": "on",
            "result": "",
        }
        return {"folder": self.folders[key], "action": action, "notes": []}


class Aws:
    """All of it."""

    def __init__(self, functions: Any = ("f", "g"), *, at_aws: bool = False) -> None:
        self.calls: list[str] = []
        self.lambda_ = Lambda(self.calls, functions)
        self.apigatewayv2 = ApiGateway(self.calls)
        self.scheduler = Scheduler(self.calls)
        self.s3, self.sqs, self.sns = S3(self.calls), Sqs(self.calls), Sns(self.calls)
        self.kinesis, self.dynamodb, self.events = Kinesis(self.calls), DynamoDb(self.calls), Events(self.calls)
        self.admin = None if at_aws else Admin()
        self.place = Place(
            lambda service: getattr(self, {"lambda": "lambda_"}.get(service, service)),
            region=REGION,
            account_id=ACCOUNT,
            url=None if at_aws else "http://127.0.0.1:9",
            admin=self.admin,  # type: ignore[arg-type]
            profile="work" if at_aws else None,
        )

    def everything(self) -> None:
        """One of each thing that words of the tests name."""
        self.s3.create_bucket("photos")
        self.sqs.create_queue("jobs")
        self.sqs.create_queue("jobs.fifo")
        self.sns.create_topic("news")
        self.kinesis.create_stream("clicks")
        self.dynamodb.create_table("orders")
        self.calls.clear()

    def changes(self) -> list[str]:
        """The changing calls since they were last asked for."""
        reading = ("get_", "list_", "describe_", "head_")
        found = [call for call in self.calls if not call.startswith(reading)]
        self.calls.clear()
        return found
