"""REST APIs (apigateway): the control plane by boto3, the data plane by plain HTTP.

Quotations are of the Amazon API Gateway Developer Guide.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys
from botocore.exceptions import ClientError

from .conftest import REGION, Engine
from .observed import invocations, service

ACCOUNT = "000000000000"
FAILED = {"message": "Internal server error"}
Ask = Callable[..., tuple[int, dict[str, str], Any]]
Serve = Callable[..., str]


@pytest.fixture
def gateway(engine: Engine) -> Any:
    return service(engine, "apigateway")


@pytest.fixture
def serve(gateway: Any, permitted: str) -> Serve:
    """An API deployed to the stage "dev" whose methods all lead to the test's function; its id."""

    def made(*keys: str, **more: Any) -> str:
        api = gateway.create_rest_api(name="t", **more.get("api", {}))
        api_id: str = api["id"]
        ids = {"/": api["rootResourceId"]}
        for key in keys:
            verb, _, path = key.partition(" ")
            resource_id = resource(gateway, api_id, path, ids)
            method = {"authorizationType": "NONE", **more.get("method", {})}
            gateway.put_method(restApiId=api_id, resourceId=resource_id, httpMethod=verb, **method)
            gateway.put_integration(
                restApiId=api_id,
                resourceId=resource_id,
                httpMethod=verb,
                **{
                    "type": "AWS_PROXY",
                    "integrationHttpMethod": "POST",
                    "uri": invocations(permitted),
                    **more.get("integration", {}),
                },
            )
        gateway.create_deployment(restApiId=api_id, stageName="dev", **more.get("deployment", {}))
        return api_id

    return made


def resource(gateway: Any, api_id: str, path: str, ids: dict[str, str]) -> str:
    """Id of the resource of a path, made with all above it where there is none."""
    if path not in ids:
        parent, _, part = path.rpartition("/")
        parent_id = resource(gateway, api_id, parent or "/", ids)
        ids[path] = gateway.create_resource(restApiId=api_id, parentId=parent_id, pathPart=part)["id"]
    return ids[path]


def error_of(call: Callable[..., Any], **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


# --- events and answers


def test_an_event(serve: Serve, ask: Ask):
    """ "Input format of a Lambda function for proxy integration"."""
    api_id = serve("ANY /pets/{id}", deployment={"variables": {"colour": "blue"}})
    status, headers, event = ask(api_id, "POST", "/dev/pets/7?x=1&x=2", b"hello", X_Answer="echo", User_Agent="me/1")
    assert status == 200, event
    assert headers["x-amzn-requestid"]
    context = event["requestContext"]
    assert "version" not in event
    assert (event["resource"], event["path"], event["httpMethod"]) == ("/pets/{id}", "/pets/7", "POST")
    assert event["headers"]["X-Answer"] == "echo"
    assert event["queryStringParameters"] == {"x": "2"}
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "2"]}
    assert event["pathParameters"] == {"id": "7"}
    assert event["stageVariables"] == {"colour": "blue"}
    assert (event["body"], event["isBase64Encoded"]) == ("hello", False)
    assert (context["path"], context["resourcePath"], context["stage"]) == ("/dev/pets/7", "/pets/{id}", "dev")
    assert context["identity"]["sourceIp"] == "127.0.0.1"
    assert context["identity"]["userAgent"] == "me/1"
    assert context["resourceId"]
    assert context["accountId"] == ACCOUNT
    assert context["apiId"] == api_id


def test_binary_media_types(serve: Serve, ask: Ask):
    """ "To return binary media ... the Accept header must match binaryMediaTypes"."""
    api_id = serve("POST /", api={"binaryMediaTypes": ["image/*"]})
    png = bytes(range(256))
    _, _, event = ask(api_id, "POST", "/dev", png, X_Answer="echo", Content_Type="image/png")
    assert event["isBase64Encoded"] is True
    answer = json.dumps({"statusCode": 200, "isBase64Encoded": True, "body": "aGk="})
    assert ask(api_id, "POST", "/dev", X_Answer=answer, Accept="image/png")[2] == b"hi"
    assert ask(api_id, "POST", "/dev", X_Answer=answer, Accept="text/html")[2] == b"aGk="


@pytest.mark.parametrize("ordered", ["[1]", '{"statusCode": "abc"}', '{"status": 200}', "fail:it broke"])
def test_a_malformed_answer_is_502(serve: Serve, ask: Ask, ordered: str):
    api_id = serve("GET /")
    assert ask(api_id, "GET", "/dev", X_Answer=ordered)[::2] == (502, FAILED)


def test_what_no_method_has_is_403(serve: Serve, ask: Ask):
    api_id = serve("GET /a", "ANY /b/{proxy+}")
    for method, path in (("GET", "/dev/c"), ("POST", "/dev/a"), ("GET", "/dev/b"), ("GET", "/dev")):
        status, headers, body = ask(api_id, method, path)
        assert (status, body) == (403, {"message": "Missing Authentication Token"}), path
        assert headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"
    assert ask(api_id, "GET", "/other/a")[::2] == (403, {"message": "Forbidden"})
    assert ask(api_id, "GET", "/dev/a/", X_Answer="echo")[0] == 200
    assert ask(api_id, "PATCH", "/dev/b/c/d", X_Answer="echo")[0] == 200


# --- limits and permissions


def test_the_time_limit_is_504(serve: Serve, ask: Ask):
    api_id = serve("GET /", integration={"timeoutInMillis": 50})
    assert ask(api_id, "GET", "/dev", X_Answer="slow")[::2] == (504, {"message": "Endpoint request timed out"})


def test_without_permission_it_is_500(serve: Serve, ask: Ask, client: Any, name: str):
    api_id = serve("GET /a/{id}")
    client.remove_permission(FunctionName=name, StatementId="api")
    assert ask(api_id, "GET", "/dev/a/1", X_Answer="echo")[::2] == (500, FAILED)
    client.add_permission(
        FunctionName=name,
        StatementId="s",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn=f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api_id}/*/GET/a/*",
    )
    assert ask(api_id, "GET", "/dev/a/1", X_Answer="echo")[0] == 200


def test_throttling_by_method_settings(serve: Serve, gateway: Any, ask: Ask):
    api_id = serve("GET /a", "GET /b")
    patches = [
        {"op": "replace", "path": "/~1a/GET/throttling/rateLimit", "value": "0.01"},
        {"op": "replace", "path": "/~1a/GET/throttling/burstLimit", "value": "1"},
        {"op": "replace", "path": "/*/*/logging/loglevel", "value": "INFO"},
    ]
    settings = gateway.update_stage(restApiId=api_id, stageName="dev", patchOperations=patches)["methodSettings"]
    assert settings["~1a/GET"]["throttlingRateLimit"] == 0.01
    assert [ask(api_id, "GET", "/dev/a", X_Answer="echo")[0] for _ in range(2)] == [200, 429]
    assert ask(api_id, "GET", "/dev/b", X_Answer="echo")[0] == 200


# --- authorizers


@pytest.fixture
def guarded(gateway: Any, serve: Serve, permitted: str) -> Callable[..., str]:
    def made(kind: str, source: str, ttl_s: int = 0) -> str:
        api_id = serve("GET /a/{id}")
        authorizer = gateway.create_authorizer(
            restApiId=api_id,
            name="a",
            type=kind,
            authorizerUri=invocations(permitted),
            identitySource=source,
            authorizerResultTtlInSeconds=ttl_s,
        )
        found = next(one for one in gateway.get_resources(restApiId=api_id)["items"] if one["path"] == "/a/{id}")
        gateway.update_method(
            restApiId=api_id,
            resourceId=found["id"],
            httpMethod="GET",
            patchOperations=[
                {"op": "replace", "path": "/authorizationType", "value": "CUSTOM"},
                {"op": "replace", "path": "/authorizerId", "value": authorizer["id"]},
            ],
        )
        gateway.create_deployment(restApiId=api_id, stageName="dev")
        return api_id

    return made


def policy(effect: str, resource: str = "*") -> str:
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": resource}
    return json.dumps(
        {"principalId": "me", "policyDocument": {"Statement": [statement]}, "context": {"n": 1, "yes": True}}
    )


def test_a_token_authorizer(guarded: Callable[..., str], ask: Ask):
    api_id = guarded("TOKEN", "method.request.header.X-Token")
    assert ask(api_id, "GET", "/dev/a/1")[::2] == (401, {"message": "Unauthorized"})
    status, _, event = ask(api_id, "GET", "/dev/a/1", X_Token=policy("Allow"), X_Answer="echo")
    assert status == 200
    assert event["requestContext"]["authorizer"] == {"n": "1", "yes": "true", "principalId": "me"}
    status, _, body = ask(api_id, "GET", "/dev/a/1", X_Token=policy("Deny"))
    assert (status, body) == (403, {"Message": "User is not authorized to access this resource with an explicit deny"})
    status, _, body = ask(api_id, "GET", "/dev/a/1", X_Token=policy("Allow", "arn:aws:execute-api:*:*:other/*"))
    assert (status, body) == (403, {"Message": "User is not authorized to access this resource"})
    assert ask(api_id, "GET", "/dev/a/1", X_Token="fail:Unauthorized")[0] == 401
    assert ask(api_id, "GET", "/dev/a/1", X_Token="fail:oh")[0] == 500


def test_a_request_authorizer_is_kept_by_its_sources(guarded: Callable[..., str], ask: Ask, gateway: Any):
    source = "method.request.header.X-Who, method.request.querystring.q"
    api_id = guarded("REQUEST", source, 300)
    assert ask(api_id, "GET", "/dev/a/1", X_Who="me")[0] == 401
    allowed = policy("Allow", f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api_id}/dev/GET/a/1")
    assert ask(api_id, "GET", "/dev/a/1?q=1", X_Who="me", X_Verdict=allowed, X_Answer="echo")[0] == 200
    # The policy that is kept says nothing of this one.
    assert ask(api_id, "GET", "/dev/a/2?q=1", X_Who="me", X_Verdict=policy("Allow"), X_Answer="echo")[0] == 403
    gateway.flush_stage_authorizers_cache(restApiId=api_id, stageName="dev")
    assert ask(api_id, "GET", "/dev/a/2?q=1", X_Who="me", X_Verdict=policy("Allow"), X_Answer="echo")[0] == 200


def test_a_signature_for_execute_api(serve: Serve, engine: Engine, ask: Ask):
    api_id = serve("GET /a", method={"authorizationType": "AWS_IAM"})
    assert ask(api_id, "GET", "/dev/a")[::2] == (403, {"message": "Missing Authentication Token"})
    keys = engine.service.credentials.owner
    host = f"{api_id}.execute-api.{REGION}.localhost:{engine.url.rpartition(':')[2]}"
    request = AWSRequest("GET", f"http://{host}/dev/a", headers={"Host": host, "X-Answer": "echo"})
    SigV4Auth(Keys(keys.access_key, keys.secret_key), "execute-api", REGION).add_auth(request)
    status, _, body = engine.raw("GET", "/dev/a", b"", dict(request.headers.items()))
    assert status == 200, body
    assert json.loads(body)["requestContext"]["identity"]["userArn"] == keys.principal


# --- API keys


def test_keys_and_usage_plans(gateway: Any, serve: Serve, ask: Ask):
    """The calls of aws_api_gateway_api_key, _usage_plan and _usage_plan_key, and what they bring about."""
    api_id = serve("GET /a", "GET /b", method={"apiKeyRequired": True})
    key = gateway.create_api_key(name="me", enabled=True)
    assert ask(api_id, "GET", "/dev/a")[::2] == (403, {"message": "Forbidden"})
    assert ask(api_id, "GET", "/dev/a", x_api_key=key["value"])[0] == 403, "it is in no plan"
    plan = gateway.create_usage_plan(
        name="p", apiStages=[{"apiId": api_id, "stage": "dev"}], quota={"limit": 3, "period": "MONTH"}
    )
    member = gateway.create_usage_plan_key(usagePlanId=plan["id"], keyId=key["id"], keyType="API_KEY")
    assert member["value"] == key["value"]
    status, _, event = ask(api_id, "GET", "/dev/a", x_api_key=key["value"], X_Answer="echo")
    assert status == 200
    identity = event["requestContext"]["identity"]
    assert (identity["apiKey"], identity["apiKeyId"]) == (key["value"], key["id"])
    statuses = [ask(api_id, "GET", "/dev/b", x_api_key=key["value"], X_Answer="echo")[0] for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert ask(api_id, "GET", "/dev/b", x_api_key=key["value"])[2] == {"message": "Limit Exceeded"}
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    usage = gateway.get_usage(usagePlanId=plan["id"], startDate=today, endDate=today)
    assert usage["items"] == {key["id"]: [[3, 0]]}

    patches = [
        {"op": "remove", "path": "/quota"},
        {"op": "replace", "path": "/throttle/rateLimit", "value": "0.01"},
        {"op": "replace", "path": "/throttle/burstLimit", "value": "1"},
    ]
    changed = gateway.update_usage_plan(usagePlanId=plan["id"], patchOperations=patches)
    assert (changed["throttle"], "quota" in changed) == ({"rateLimit": 0.01, "burstLimit": 1}, False)
    statuses = [ask(api_id, "GET", "/dev/b", x_api_key=key["value"], X_Answer="echo")[0] for _ in range(2)]
    assert statuses == [200, 429]
    patches = [
        {"op": "replace", "path": f"/apiStages/{api_id}:dev/throttle/~1a~1GET/{name}", "value": "5"}
        for name in ("rateLimit", "burstLimit")
    ]
    gateway.update_usage_plan(usagePlanId=plan["id"], patchOperations=patches)
    assert ask(api_id, "GET", "/dev/a", x_api_key=key["value"], X_Answer="echo")[0] == 200

    patches = [{"op": "replace", "path": "/enabled", "value": "false"}]
    gateway.update_api_key(apiKey=key["id"], patchOperations=patches)
    assert ask(api_id, "GET", "/dev/a", x_api_key=key["value"])[0] == 403
    assert "value" not in gateway.get_api_key(apiKey=key["id"])
    assert gateway.get_api_key(apiKey=key["id"], includeValue=True)["value"] == key["value"]
    assert [one["id"] for one in gateway.get_api_keys(nameQuery="m")["items"]] == [key["id"]]
    assert gateway.get_usage_plan_keys(usagePlanId=plan["id"])["items"][0]["id"] == key["id"]
    assert error_of(gateway.delete_usage_plan, usagePlanId=plan["id"])[0] == "ConflictException"
    patches = [{"op": "remove", "path": "/apiStages", "value": f"{api_id}:dev"}]
    gateway.update_usage_plan(usagePlanId=plan["id"], patchOperations=patches)
    gateway.delete_usage_plan_key(usagePlanId=plan["id"], keyId=key["id"])
    gateway.delete_usage_plan(usagePlanId=plan["id"])
    gateway.delete_api_key(apiKey=key["id"])
    assert error_of(gateway.get_api_key, apiKey=key["id"])[0] == "NotFoundException"
    assert error_of(gateway.create_api_key, value="short")[:2] == ("BadRequestException", 400)


# --- MOCK


def test_a_mock_preflight(gateway: Any, serve: Serve, ask: Ask):
    """What tools make for CORS: OPTIONS with a MOCK integration."""
    api_id = serve("GET /a")
    found = next(one for one in gateway.get_resources(restApiId=api_id)["items"] if one["path"] == "/a")
    at = {"restApiId": api_id, "resourceId": found["id"], "httpMethod": "OPTIONS"}
    gateway.put_method(**at, authorizationType="NONE")
    gateway.put_integration(**at, type="MOCK", requestTemplates={"application/json": "{statusCode: 204}"})
    header = "method.response.header.Access-Control-Allow-Origin"
    gateway.put_method_response(**at, statusCode="204", responseParameters={header: True})
    gateway.put_integration_response(**at, statusCode="204", responseParameters={header: "'*'"})
    gateway.create_deployment(restApiId=api_id, stageName="dev")
    path = f"/responseParameters/{header}"
    patches = [{"op": "replace", "path": path, "value": "'http://x'"}]
    gateway.update_integration_response(**at, statusCode="204", patchOperations=patches)
    gateway.create_deployment(restApiId=api_id, stageName="dev")
    assert ask(api_id, "OPTIONS", "/dev/a")[1]["access-control-allow-origin"] == "http://x"
    gateway.update_integration_response(
        **at, statusCode="204", patchOperations=[{"op": "replace", "path": path, "value": "'*'"}]
    )
    patches = [{"op": "add", "path": "/responseParameters/method.response.header.X", "value": "true"}]
    changed = gateway.update_method_response(**at, statusCode="204", patchOperations=patches)
    assert changed["responseParameters"] == {header: True, "method.response.header.X": True}
    gateway.create_deployment(restApiId=api_id, stageName="dev")
    status, headers, _ = ask(api_id, "OPTIONS", "/dev/a", Origin="http://x")
    assert status == 204
    assert headers["access-control-allow-origin"] == "*"
    velocity = {"application/json": '#set($x = 1){"statusCode": 200}'}
    code, _, text = error_of(gateway.put_integration, **at, type="MOCK", requestTemplates=velocity)
    assert code == "NotImplemented"
    assert "Velocity" in text


# --- the control plane


def test_a_stage_serves_what_is_deployed(gateway: Any, serve: Serve, ask: Ask):
    api_id = serve("GET /a")
    first = gateway.get_stage(restApiId=api_id, stageName="dev")["deploymentId"]
    found = next(one for one in gateway.get_resources(restApiId=api_id)["items"] if one["path"] == "/a")
    gateway.delete_resource(restApiId=api_id, resourceId=found["id"])
    assert ask(api_id, "GET", "/dev/a", X_Answer="echo")[0] == 200
    summary = gateway.get_deployment(restApiId=api_id, deploymentId=first, embed=["apisummary"])["apiSummary"]
    assert summary == {"/a": {"GET": {"authorizationType": "NONE", "apiKeyRequired": False}}}
    error = error_of(gateway.delete_deployment, restApiId=api_id, deploymentId=first)
    assert error == ("BadRequestException", 400, "Active stages pointing to this deployment must be moved or deleted")


def test_the_account(gateway: Any):
    role = "arn:aws:iam::000000000000:role/logs"
    patches = [{"op": "replace", "path": "/cloudwatchRoleArn", "value": role}]
    gateway.update_account(patchOperations=patches)
    account = gateway.get_account()
    assert (account["cloudwatchRoleArn"], account["throttleSettings"]["burstLimit"]) == (role, 5000)


def test_a_method_is_tried_without_deployment(gateway: Any, serve: Serve, ask: Ask):
    """TestInvokeMethod asks the method as it is configured now, and no authorizer."""
    api_id = serve("GET /a")
    ids = {one["path"]: one["id"] for one in gateway.get_resources(restApiId=api_id)["items"]}
    uri = gateway.get_integration(restApiId=api_id, resourceId=ids["/a"], httpMethod="GET")["uri"]
    child = resource(gateway, api_id, "/a/{id}", ids)
    at = {"restApiId": api_id, "resourceId": child, "httpMethod": "POST"}
    gateway.put_method(**at, authorizationType="AWS_IAM")
    gateway.put_integration(**at, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
    tried = gateway.test_invoke_method(
        **at,
        pathWithQueryString="/a/7?q=1",
        body="hi",
        headers={"X-Answer": "echo"},
        stageVariables={"colour": "red"},
    )
    event = json.loads(tried["body"])
    assert tried["status"] == 200
    assert (event["path"], event["pathParameters"], event["body"]) == ("/a/7", {"id": "7"}, "hi")
    assert (event["stageVariables"], event["requestContext"]["stage"]) == ({"colour": "red"}, "test-invoke-stage")
    assert ask(api_id, "POST", "/dev/a/7")[0] == 403
    failed = gateway.test_invoke_method(**at, pathWithQueryString="/a/7", headers={"X-Answer": "fail:it broke"})
    assert failed["status"] == 502
    assert "it broke" in failed["log"]
    error = error_of(gateway.test_invoke_method, **at, pathWithQueryString="/b")
    assert error[:2] == ("BadRequestException", 400)


def test_what_is_not_built_says_so_by_name(gateway: Any, serve: Serve):
    api_id = serve("GET /a")
    found = next(one for one in gateway.get_resources(restApiId=api_id)["items"] if one["path"] == "/a")
    at = {"restApiId": api_id, "resourceId": found["id"], "httpMethod": "GET"}
    for call, params, named in (
        (gateway.import_rest_api, {"body": b"{}"}, "ImportRestApi"),
        (gateway.put_rest_api, {"restApiId": api_id, "body": b"{}"}, "PutRestApi"),
        (gateway.import_api_keys, {"body": b"", "format": "csv"}, "ImportApiKeys"),
        (gateway.create_rest_api, {"name": "p", "endpointConfiguration": {"types": ["PRIVATE"]}}, "PRIVATE"),
        (gateway.put_integration, {**at, "type": "AWS", "integrationHttpMethod": "POST", "uri": "arn:x"}, "AWS"),
        (gateway.create_authorizer, {"restApiId": api_id, "name": "c", "type": "COGNITO_USER_POOLS"}, "COGNITO"),
    ):
        code, status, text = error_of(call, **params)
        assert (code, status) == ("NotImplemented", 501), named
        assert named in text


def test_errors_of_the_control_plane(gateway: Any, serve: Serve):
    api_id = serve("GET /a/{id}")
    root = gateway.get_rest_api(restApiId=api_id)["rootResourceId"]
    items = gateway.get_resources(restApiId=api_id, embed=["methods"])["items"]
    found = next(one for one in items if one["path"] == "/a/{id}")
    assert found["resourceMethods"]["GET"]["methodIntegration"]["type"] == "AWS_PROXY"
    at = {"restApiId": api_id, "resourceId": found["id"]}
    cases = [
        (gateway.get_rest_api, {"restApiId": "none"}, "NotFoundException", 404),
        (gateway.get_resource, {"restApiId": api_id, "resourceId": "none"}, "NotFoundException", 404),
        (gateway.get_method, {**at, "httpMethod": "PUT"}, "NotFoundException", 404),
        (gateway.put_method, {**at, "httpMethod": "GET", "authorizationType": "NONE"}, "ConflictException", 409),
        (gateway.put_method, {**at, "httpMethod": "GRAB", "authorizationType": "NONE"}, "BadRequestException", 400),
        (gateway.create_resource, {"restApiId": api_id, "parentId": root, "pathPart": "a"}, "ConflictException", 409),
        (
            gateway.create_resource,
            {"restApiId": api_id, "parentId": root, "pathPart": "a b"},
            "BadRequestException",
            400,
        ),
        (
            gateway.create_resource,
            {"restApiId": api_id, "parentId": found["parentId"], "pathPart": "{x}"},
            "BadRequestException",
            400,
        ),
        (gateway.delete_resource, {"restApiId": api_id, "resourceId": root}, "BadRequestException", 400),
        (
            gateway.create_stage,
            {"restApiId": api_id, "stageName": "dev", "deploymentId": "x"},
            "ConflictException",
            409,
        ),
        (
            gateway.create_stage,
            {"restApiId": api_id, "stageName": "b", "deploymentId": "x"},
            "BadRequestException",
            400,
        ),
        (
            gateway.update_rest_api,
            {"restApiId": api_id, "patchOperations": [{"op": "replace", "path": "/no"}]},
            "BadRequestException",
            400,
        ),
        (gateway.get_integration, {**at, "httpMethod": "PUT"}, "NotFoundException", 404),
    ]
    for call, params, code, status in cases:
        assert error_of(call, **params)[:2] == (code, status), params


def test_as_terraform_does(gateway: Any, permitted: str, ask: Ask):
    """The calls of aws_api_gateway_rest_api, _resource, _method, _integration, _deployment, _stage and
    _method_settings, made, changed and destroyed."""
    api = gateway.create_rest_api(name="tf", endpointConfiguration={"types": ["REGIONAL"]}, tags={"by": "terraform"})
    api_id = api["id"]
    assert gateway.get_rest_api(restApiId=api_id)["endpointConfiguration"]["types"] == ["REGIONAL"]
    root = next(one for one in gateway.get_resources(restApiId=api_id)["items"] if one["path"] == "/")
    assert root["id"] == api["rootResourceId"]
    proxy = gateway.create_resource(restApiId=api_id, parentId=root["id"], pathPart="{proxy+}")
    at = {"restApiId": api_id, "resourceId": proxy["id"], "httpMethod": "ANY"}
    gateway.put_method(**at, authorizationType="NONE", apiKeyRequired=False, requestParameters={})
    assert gateway.get_method(**at)["authorizationType"] == "NONE"
    gateway.put_integration(
        **at, type="AWS_PROXY", integrationHttpMethod="POST", uri=invocations(permitted), timeoutInMillis=29000
    )
    assert gateway.get_integration(**at)["httpMethod"] == "POST"
    deployment = gateway.create_deployment(restApiId=api_id)
    gateway.get_deployment(restApiId=api_id, deploymentId=deployment["id"])
    gateway.create_stage(restApiId=api_id, stageName="prod", deploymentId=deployment["id"], variables={"a": "1"})
    gateway.update_stage(
        restApiId=api_id,
        stageName="prod",
        patchOperations=[
            {"op": "replace", "path": "/*/*/metrics/enabled", "value": "true"},
            {"op": "replace", "path": "/variables/b", "value": "2"},
            {"op": "remove", "path": "/variables/a"},
            {"op": "replace", "path": "/description", "value": "d"},
        ],
    )
    stage = gateway.get_stage(restApiId=api_id, stageName="prod")
    assert (stage["variables"], stage["description"]) == ({"b": "2"}, "d")
    assert stage["methodSettings"]["*/*"]["metricsEnabled"] is True
    assert ask(api_id, "GET", "/prod/x/y", X_Answer="echo")[2]["pathParameters"] == {"proxy": "x/y"}
    gateway.update_rest_api(
        restApiId=api_id,
        patchOperations=[
            {"op": "add", "path": "/binaryMediaTypes/image~1png"},
            {"op": "replace", "path": "/name", "value": "tf2"},
            {"op": "replace", "path": "/endpointConfiguration/types/0", "value": "EDGE"},
        ],
    )
    api = gateway.get_rest_api(restApiId=api_id)
    assert (api["name"], api["binaryMediaTypes"]) == ("tf2", ["image/png"])
    arn = f"arn:aws:apigateway:{REGION}::/restapis/{api_id}"
    gateway.tag_resource(resourceArn=arn, tags={"a": "1"})
    gateway.untag_resource(resourceArn=arn, tagKeys=["by"])
    assert gateway.get_tags(resourceArn=arn)["tags"] == {"a": "1"}
    gateway.delete_stage(restApiId=api_id, stageName="prod")
    gateway.delete_deployment(restApiId=api_id, deploymentId=deployment["id"])
    gateway.delete_integration(**at)
    gateway.delete_method(**at)
    gateway.delete_resource(restApiId=api_id, resourceId=proxy["id"])
    gateway.delete_rest_api(restApiId=api_id)
    assert error_of(gateway.get_rest_api, restApiId=api_id)[0] == "NotFoundException"
