"""HTTP APIs (apigatewayv2): the control plane by boto3, the data plane by plain HTTP, at both addresses.

Quotations are of the Amazon API Gateway Developer Guide.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as Keys
from botocore.exceptions import ClientError

from .conftest import REGION, Engine

ACCOUNT = "000000000000"
Ask = Callable[..., tuple[int, dict[str, str], Any]]


@pytest.fixture
def gateway(engine: Engine) -> Any:
    keys = engine.service.credentials.owner
    return boto3.client(
        "apigatewayv2",
        endpoint_url=engine.url,
        region_name=REGION,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False, proxies={}),
    )


@pytest.fixture
def ask(engine: Engine) -> Ask:
    """One request to an API by its own name: status, headers, and the body, of JSON its document."""

    def send(api_id: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], Any]:
        port = engine.url.rpartition(":")[2]
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["Host"] = f"{api_id}.execute-api.{REGION}.localhost:{port}"
        status, answered, data = engine.raw(method, path, body, named)
        try:
            return status, answered, json.loads(data)
        except ValueError:
            return status, answered, data

    return send


@pytest.fixture
def function(make: Callable[..., dict[str, Any]], client: Any) -> str:
    """ARN of a function that API Gateway may invoke."""
    made = make()
    client.add_permission(
        FunctionName=made["FunctionName"],
        StatementId="api",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )
    arn: str = made["FunctionArn"]
    return arn


@pytest.fixture
def serve(gateway: Any, function: str) -> Callable[..., str]:
    """An API whose routes all lead to the test's function; its id."""

    def made(*keys: str, version: str = "2.0", stage: str = "$default", **changes: Any) -> str:
        api_id: str = gateway.create_api(Name="t", ProtocolType="HTTP", **changes.pop("api", {}))["ApiId"]
        integration = gateway.create_integration(
            ApiId=api_id,
            IntegrationType="AWS_PROXY",
            IntegrationUri=function,
            PayloadFormatVersion=version,
            **changes.pop("integration", {}),
        )
        target = f"integrations/{integration['IntegrationId']}"
        for key in keys:
            gateway.create_route(ApiId=api_id, RouteKey=key, Target=target, **changes.get("route", {}))
        gateway.create_stage(ApiId=api_id, StageName=stage, AutoDeploy=True, **changes.get("stage_members", {}))
        return api_id

    return made


def code_of(call: Callable[[], Any]) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call()
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


def test_an_event_of_format_2(serve: Callable[..., str], ask: Ask, engine: Engine):
    """ "Format 2.0 ... Duplicate headers are combined with commas"; path variables, stage and its variables."""
    api_id = serve("ANY /pets/{id}", stage="dev", stage_members={"StageVariables": {"colour": "blue"}})
    status, headers, answer = ask(
        api_id, "POST", "/dev/pets/a%20b?x=1&x=2&y=", b'{"a": 1}', Content_Type="application/json"
    )
    assert status == 200, answer
    event = answer["event"]
    assert headers["apigw-requestid"]
    assert (event["version"], event["routeKey"]) == ("2.0", "ANY /pets/{id}")
    assert event["rawPath"] == "/dev/pets/a b"
    assert event["rawQueryString"] == "x=1&x=2&y="
    assert event["queryStringParameters"] == {"x": "1,2", "y": ""}
    assert event["pathParameters"] == {"id": "a b"}
    assert event["body"] == '{"a": 1}' and event["isBase64Encoded"] is False
    context = event["requestContext"]
    assert context["accountId"] == ACCOUNT and context["apiId"] == api_id and context["stage"] == "dev"
    assert context["http"]["method"] == "POST" and context["http"]["path"] == "/dev/pets/a b"
    assert "authorizer" not in context
    assert event["stageVariables"] == {"colour": "blue"}
