"""HTTP APIs (apigatewayv2): the control plane by boto3, the data plane by plain HTTP, at both addresses.

Quotations are of the Amazon API Gateway Developer Guide.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys
from botocore.exceptions import ClientError

from .conftest import REGION, Engine
from .observed import invocations, service

ACCOUNT = "000000000000"
Ask = Callable[..., tuple[int, dict[str, str], Any]]
Serve = Callable[..., str]


@pytest.fixture
def gateway(engine: Engine) -> Any:
    return service(engine, "apigatewayv2")


@pytest.fixture
def serve(gateway: Any, permitted: str) -> Serve:
    """An API whose routes all lead to the test's function; its id."""

    def made(*keys: str, version: str = "2.0", stage: str = "$default", **more: Any) -> str:
        api_id: str = gateway.create_api(Name="t", ProtocolType="HTTP", **more.get("api", {}))["ApiId"]
        integration = gateway.create_integration(
            ApiId=api_id,
            IntegrationType="AWS_PROXY",
            **{"IntegrationUri": permitted, "PayloadFormatVersion": version, **more.get("integration", {})},
        )
        target = f"integrations/{integration['IntegrationId']}"
        for key in keys:
            gateway.create_route(ApiId=api_id, RouteKey=key, Target=target, **more.get("route", {}))
        gateway.create_stage(ApiId=api_id, StageName=stage, AutoDeploy=True, **more.get("stages", {}))
        return api_id

    return made


def error_of(call: Callable[..., Any], **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


# --- events and answers


def test_an_event_of_format_2(serve: Serve, ask: Ask):
    """ "Duplicate headers are combined with commas"; path variables, stage and its variables."""
    api_id = serve("ANY /pets/{id}", stage="dev", stages={"StageVariables": {"colour": "blue"}})
    status, headers, answer = ask(
        api_id, "POST", "/dev/pets/a%20b?x=1&x=2&y=", b'{"a": 1}', Content_Type="application/json", Cookie="a=1; b=2"
    )
    assert status == 200, answer
    assert headers["apigw-requestid"]
    event = answer["event"]
    context = event.pop("requestContext")
    assert {name: event[name] for name in ("version", "routeKey", "rawPath", "rawQueryString", "cookies")} == {
        "version": "2.0",
        "routeKey": "ANY /pets/{id}",
        "rawPath": "/dev/pets/a b",
        "rawQueryString": "x=1&x=2&y=",
        "cookies": ["a=1", "b=2"],
    }
    assert event["queryStringParameters"] == {"x": "1,2", "y": ""}
    assert event["pathParameters"] == {"id": "a b"}
    assert event["stageVariables"] == {"colour": "blue"}
    assert (event["body"], event["isBase64Encoded"]) == ('{"a": 1}', False)
    assert (context["accountId"], context["apiId"], context["stage"]) == (ACCOUNT, api_id, "dev")
    assert (context["http"]["method"], context["http"]["path"]) == ("POST", "/dev/pets/a b")
    assert context["domainName"] == f"{api_id}.execute-api.{REGION}.localhost"
    assert "authorizer" not in context


def test_an_event_of_format_1(serve: Serve, ask: Ask):
    """Format 1.0 has multi-value members; "All headernames are lowercased"."""
    api_id = serve("GET /pets/{id}", version="1.0")
    status, _, event = ask(api_id, "GET", "/pets/7?x=1&x=2", X_Answer="echo", X_Mixed="Case")
    assert status == 200, event
    assert event["version"] == "1.0"
    assert (event["resource"], event["path"], event["httpMethod"]) == ("/pets/{id}", "/pets/7", "GET")
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "2"]}
    assert event["multiValueHeaders"]["x-mixed"] == ["Case"]
    assert event["requestContext"]["resourceId"] == "GET /pets/{id}"
    assert event["pathParameters"] == {"id": "7"}


def test_the_path_form_of_an_address(serve: Serve, engine: Engine):
    api_id = serve("GET /a", stage="v1")
    status, _, body = engine.raw("GET", f"/_aws/execute-api/{api_id}/v1/a")
    assert status == 200
    assert json.loads(body)["event"]["rawPath"] == "/v1/a"


def test_an_answer_with_status_headers_and_cookies(serve: Serve, ask: Ask):
    api_id = serve("$default")
    answer = {"statusCode": 201, "headers": {"X-A": "b"}, "cookies": ["c=1"], "body": "aGk=", "isBase64Encoded": True}
    status, headers, body = ask(api_id, "GET", "/", X_Answer=json.dumps(answer))
    assert (status, body) == (201, b"hi")
    assert headers["x-a"] == "b"
    assert headers["set-cookie"].startswith("c=1")


def test_large_bodies_pass_both_ways(serve: Serve, ask: Ask):
    api_id = serve("$default")
    status, _, event = ask(api_id, "POST", "/", b"x" * 3_000_000, X_Answer="echo", Content_Type="text/plain")
    assert (status, event["body"]) == (200, "x" * 3_000_000)


@pytest.mark.parametrize("ordered", ['{"statusCode": "abc"}', "fail:it broke", '{"statusCode": 200, "headers": 3}'])
def test_a_malformed_answer_is_500(serve: Serve, ask: Ask, ordered: str):
    api_id = serve("$default")
    status, _, body = ask(api_id, "GET", "/", X_Answer=ordered)
    assert (status, body) == (500, {"message": "Internal Server Error"})


# --- routing


def test_routes_by_precedence(serve: Serve, ask: Ask):
    """ "1. Full match for a route and method. 2. Match for a route and method with a greedy path variable. 3. The
    $default route." The requests are the guide's own."""
    api_id = serve("GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}", "ANY /{proxy+}", "$default")

    def key(method: str, path: str) -> str:
        found: str = ask(api_id, method, path)[2]["event"]["routeKey"]
        return found

    assert key("GET", "/pets/dog/1") == "GET /pets/dog/1"
    assert key("GET", "/pets/dog/2") == "GET /pets/dog/{id}"
    assert key("GET", "/pets/cat/1") == "GET /pets/{proxy+}"
    assert key("POST", "/test/5") == "ANY /{proxy+}"
    assert key("GET", "/") == "$default"


def test_what_no_route_or_stage_has_is_404(serve: Serve, ask: Ask):
    api_id = serve("GET /a", stage="v1")
    for method, path in (("POST", "/v1/a"), ("GET", "/v1/b"), ("GET", "/a"), ("GET", "/v1/a/")):
        assert ask(api_id, method, path)[::2] == (404, {"message": "Not Found"}), path
    assert ask("nosuchapi0", "GET", "/")[::2] == (404, {"message": "Not Found"})


def test_a_disabled_endpoint_is_404(serve: Serve, ask: Ask, gateway: Any):
    api_id = serve("$default")
    assert ask(api_id, "GET", "/")[0] == 200
    gateway.update_api(ApiId=api_id, DisableExecuteApiEndpoint=True)
    assert ask(api_id, "GET", "/")[0] == 404


def test_a_stage_serves_what_is_deployed(gateway: Any, serve: Serve, ask: Ask):
    api_id = serve("GET /a", stage="auto")
    gateway.create_stage(ApiId=api_id, StageName="fixed")
    assert ask(api_id, "GET", "/fixed/a")[0] == 404
    deployment = gateway.create_deployment(ApiId=api_id, StageName="fixed", Description="first")
    assert deployment["DeploymentStatus"] == "DEPLOYED"
    target = gateway.get_routes(ApiId=api_id)["Items"][0]["Target"]
    gateway.create_route(ApiId=api_id, RouteKey="GET /b", Target=target)
    assert [ask(api_id, "GET", f"/{stage}/b")[0] for stage in ("auto", "fixed")] == [200, 404]
    assert ask(api_id, "GET", "/fixed/a")[0] == 200
    assert gateway.get_stage(ApiId=api_id, StageName="auto")["LastDeploymentStatusMessage"]


# --- limits and permissions


def test_without_permission_it_is_500(gateway: Any, serve: Serve, ask: Ask, client: Any, name: str):
    """The function's policy must allow apigateway.amazonaws.com with the API's ARN."""
    api_id = serve("GET /pets/{id}", stage="v1")
    client.remove_permission(FunctionName=name, StatementId="api")
    assert ask(api_id, "GET", "/v1/pets/1")[::2] == (500, {"message": "Internal Server Error"})
    for number, (resource, status) in enumerate(
        [("*/*/cats/*", 500), ("v2/GET/pets/*", 500), ("*/*/pets/{id}", 200), ("v1/GET/pets/1", 200)]
    ):
        client.add_permission(
            FunctionName=name,
            StatementId=f"s{number}",
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn=f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api_id}/{resource}",
        )
        assert ask(api_id, "GET", "/v1/pets/1")[0] == status, resource
        client.remove_permission(FunctionName=name, StatementId=f"s{number}")


def test_a_deleted_function_leaves_500(serve: Serve, ask: Ask, client: Any, name: str):
    api_id = serve("$default")
    client.delete_function(FunctionName=name)
    assert ask(api_id, "GET", "/")[::2] == (500, {"message": "Internal Server Error"})


def test_the_integration_has_a_time_limit(serve: Serve, ask: Ask):
    api_id = serve("$default", integration={"TimeoutInMillis": 50})
    assert ask(api_id, "GET", "/", X_Answer="slow")[::2] == (503, {"message": "Service Unavailable"})


def test_ten_megabytes_are_the_most(serve: Serve, ask: Ask):
    api_id = serve("$default")
    status, _, body = ask(api_id, "POST", "/", bytes(10 * 1024 * 1024 + 1))
    assert (status, body) == (413, {"message": "Request Entity Too Large"})


def test_throttling(serve: Serve, ask: Ask):
    api_id = serve(
        "GET /a",
        "GET /b",
        stages={"RouteSettings": {"GET /a": {"ThrottlingBurstLimit": 2, "ThrottlingRateLimit": 0.01}}},
    )
    assert [ask(api_id, "GET", "/a")[0] for _ in range(3)] == [200, 200, 429]
    assert ask(api_id, "GET", "/a")[2] == {"message": "Too Many Requests"}
    assert ask(api_id, "GET", "/b")[0] == 200


# --- CORS

CORS = {
    "AllowOrigins": ["https://www.example.com"],
    "AllowMethods": ["GET", "POST"],
    "AllowHeaders": ["x-a", "content-type"],
    "ExposeHeaders": ["x-b"],
    "MaxAge": 60,
    "AllowCredentials": True,
}


def test_a_preflight_is_answered_by_the_api(serve: Serve, ask: Ask):
    """ "API Gateway automatically sends a response to preflight OPTIONS requests, even if there isn't an OPTIONS route
    configured for your API"."""
    api_id = serve("GET /a", api={"CorsConfiguration": CORS})
    status, headers, _ = ask(
        api_id, "OPTIONS", "/a", Origin="https://www.example.com", Access_Control_Request_Method="GET"
    )
    assert status == 204
    assert headers["access-control-allow-origin"] == "https://www.example.com"
    assert headers["access-control-allow-methods"] == "GET,POST"
    assert headers["access-control-allow-headers"] == "x-a,content-type"
    assert headers["access-control-max-age"] == "60"
    assert headers["access-control-allow-credentials"] == "true"
    status, headers, _ = ask(
        api_id, "OPTIONS", "/a", Origin="https://evil.example", Access_Control_Request_Method="GET"
    )
    assert status == 204
    assert "access-control-allow-origin" not in headers


def test_cors_headers_of_the_function_are_passed_over(serve: Serve, ask: Ask, gateway: Any):
    """ "API Gateway ignores CORS headers returned from your backend integration"."""
    api_id = serve("GET /a", api={"CorsConfiguration": CORS})
    answer = json.dumps({"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "*"}, "body": ""})
    _, headers, _ = ask(api_id, "GET", "/a", Origin="https://www.example.com", X_Answer=answer)
    assert headers["access-control-allow-origin"] == "https://www.example.com"
    assert headers["access-control-expose-headers"] == "x-b"
    _, headers, _ = ask(api_id, "GET", "/a", Origin="https://evil.example", X_Answer=answer)
    assert "access-control-allow-origin" not in headers
    gateway.delete_cors_configuration(ApiId=api_id)
    _, headers, _ = ask(api_id, "GET", "/a", Origin="https://evil.example", X_Answer=answer)
    assert headers["access-control-allow-origin"] == "*"


# --- authorizers


@pytest.fixture
def guarded(gateway: Any, serve: Serve, permitted: str) -> Callable[..., str]:
    """An API with one route behind a Lambda authorizer, which is the test's function too."""

    def made(**more: Any) -> str:
        api_id = serve()
        authorizer = gateway.create_authorizer(
            ApiId=api_id,
            AuthorizerType="REQUEST",
            Name="a",
            **{
                "IdentitySource": ["$request.header.Authorization"],
                "AuthorizerPayloadFormatVersion": "2.0",
                "AuthorizerUri": invocations(permitted),
                **more,
            },
        )
        target = f"integrations/{gateway.get_integrations(ApiId=api_id)['Items'][0]['IntegrationId']}"
        route = {"AuthorizationType": "CUSTOM", "AuthorizerId": authorizer["AuthorizerId"]}
        gateway.create_route(ApiId=api_id, RouteKey="GET /a/{id}", Target=target, **route)
        return api_id

    return made


def test_a_simple_verdict(guarded: Callable[..., str], ask: Ask):
    api_id = guarded(EnableSimpleResponses=True, AuthorizerResultTtlInSeconds=0)
    assert ask(api_id, "GET", "/a/1")[::2] == (401, {"message": "Unauthorized"})
    yes = json.dumps({"isAuthorized": True, "context": {"who": "me", "list": [1]}})
    status, _, event = ask(api_id, "GET", "/a/1", Authorization="x", X_Verdict=yes, X_Answer="echo")
    assert status == 200
    assert event["requestContext"]["authorizer"] == {"lambda": {"who": "me", "list": [1]}}
    no = json.dumps({"isAuthorized": False})
    assert ask(api_id, "GET", "/a/1", Authorization="x", X_Verdict=no)[::2] == (403, {"message": "Forbidden"})
    for broken in ('{"isAuthorized": "yes"}', "{}", "fail:oh"):
        answer = ask(api_id, "GET", "/a/1", Authorization="x", X_Verdict=broken)
        assert answer[::2] == (500, {"message": "Internal Server Error"}), broken


def test_a_policy_as_verdict(guarded: Callable[..., str], ask: Ask):
    api_id = guarded(AuthorizerPayloadFormatVersion="1.0", AuthorizerResultTtlInSeconds=0)

    def verdict(effect: str, resource: str) -> str:
        statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": resource}
        document = {"Version": "2012-10-17", "Statement": [statement]}
        return json.dumps({"principalId": "me", "policyDocument": document, "context": {"n": 1}})

    base = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api_id}/$default/GET"
    status, _, answer = ask(api_id, "GET", "/a/1", Authorization="x", X_Verdict=verdict("Allow", f"{base}/a/*"))
    assert status == 200
    assert answer["event"]["requestContext"]["authorizer"] == {"lambda": {"n": 1, "principalId": "me"}}
    for refused in (verdict("Allow", f"{base}/b"), verdict("Deny", "*")):
        assert ask(api_id, "GET", "/a/1", Authorization="x", X_Verdict=refused)[0] == 403


def test_verdicts_are_kept_by_their_identity(guarded: Callable[..., str], ask: Ask, gateway: Any):
    """ "API Gateway uses the identity sources as cache key"; in the time to live the function isn't asked again."""
    api_id = guarded(EnableSimpleResponses=True, AuthorizerResultTtlInSeconds=300)
    yes, no = (json.dumps({"isAuthorized": answer}) for answer in (True, False))
    assert ask(api_id, "GET", "/a/1", Authorization="x", X_Verdict=yes)[0] == 200
    assert ask(api_id, "GET", "/a/2", Authorization="x", X_Verdict=no)[0] == 200
    assert ask(api_id, "GET", "/a/1", Authorization="y", X_Verdict=no)[0] == 403
    gateway.reset_authorizers_cache(ApiId=api_id, StageName="$default")
    assert ask(api_id, "GET", "/a/1", Authorization="x", X_Verdict=no)[0] == 403


def test_a_signature_for_execute_api(serve: Serve, engine: Engine, ask: Ask):
    api_id = serve("GET /a", route={"AuthorizationType": "AWS_IAM"})
    assert ask(api_id, "GET", "/a")[::2] == (403, {"message": "Forbidden"})
    keys = engine.service.credentials.owner
    host = f"{api_id}.execute-api.{REGION}.localhost:{engine.url.rpartition(':')[2]}"
    request = AWSRequest("GET", f"http://{host}/a", headers={"Host": host})
    SigV4Auth(Keys(keys.access_key, keys.secret_key), "execute-api", REGION).add_auth(request)
    status, _, body = engine.raw("GET", "/a", b"", dict(request.headers.items()))
    assert status == 200, body
    event = json.loads(body)["event"]
    assert "authorization" not in event["headers"], "a signature is nothing for the function"
    iam = event["requestContext"]["authorizer"]["iam"]
    assert iam["accessKey"] == keys.access_key
    assert iam["userArn"] == keys.principal


def test_a_function_signs_with_its_own_key(serve: Serve, engine: Engine, name: str):
    """Functions may call APIs only where function_permissions has execute-api:Invoke; by default it has not."""
    api_id = serve("GET /a", route={"AuthorizationType": "AWS_IAM"})
    version = engine.service.store.functions.get(name).latest
    keys = engine.service.credentials.issue(version)
    host = f"{api_id}.execute-api.{REGION}.localhost:{engine.url.rpartition(':')[2]}"
    request = AWSRequest("GET", f"http://{host}/a", headers={"Host": host})
    SigV4Auth(Keys(keys.access_key, keys.secret_key, keys.token), "execute-api", REGION).add_auth(request)
    status, _, body = engine.raw("GET", "/a", b"", dict(request.headers.items()))
    assert (status, json.loads(body)) == (403, {"message": "Forbidden"})


# --- the control plane


def test_quick_create(gateway: Any, permitted: str, ask: Ask):
    """ "API with an integration, a default catch-all route, and a default stage which is configured to automatically
    deploy changes"."""
    api = gateway.create_api(Name="quick", ProtocolType="HTTP", Target=permitted)
    assert api["ApiEndpoint"].startswith(f"http://{api['ApiId']}.execute-api.{REGION}.localhost:")
    assert ask(api["ApiId"], "PUT", "/what/ever")[2]["event"]["routeKey"] == "$default"
    stage = gateway.get_stage(ApiId=api["ApiId"], StageName="$default")
    assert (stage["AutoDeploy"], stage["ApiGatewayManaged"]) == (True, True)
    gateway.update_api(ApiId=api["ApiId"], RouteKey="GET /only")
    assert [ask(api["ApiId"], "GET", path)[0] for path in ("/only", "/other")] == [200, 404]


def test_what_is_not_built_says_so_by_name(gateway: Any):
    code, status, text = error_of(gateway.create_api, Name="w", ProtocolType="WEBSOCKET")
    assert (code, status) == ("NotImplemented", 501)
    assert "WebSocket" in text
    for operation, params in (
        ("import_api", {"Body": "{}"}),
        ("get_domain_names", {}),
        ("create_vpc_link", {"Name": "v", "SubnetIds": ["s"]}),
    ):
        code, status, text = error_of(getattr(gateway, operation), **params)
        assert (code, status) == ("NotImplemented", 501)
        assert operation.replace("_", "") in text.lower()


def test_errors_of_the_control_plane(gateway: Any, serve: Serve):
    api_id = serve("GET /a")
    target = gateway.get_routes(ApiId=api_id)["Items"][0]["Target"]
    cases = [
        (gateway.get_api, {"ApiId": "none"}, "NotFoundException", 404),
        (gateway.get_route, {"ApiId": api_id, "RouteId": "none"}, "NotFoundException", 404),
        (gateway.get_stage, {"ApiId": api_id, "StageName": "none"}, "NotFoundException", 404),
        (gateway.create_route, {"ApiId": api_id, "RouteKey": "GET /a"}, "ConflictException", 409),
        (gateway.create_route, {"ApiId": api_id, "RouteKey": "get a"}, "BadRequestException", 400),
        (gateway.create_route, {"ApiId": api_id, "RouteKey": "GET /{a+}/b"}, "BadRequestException", 400),
        (gateway.create_route, {"ApiId": api_id, "RouteKey": "GET /b", "Target": "integrations/x"},
         "BadRequestException", 400),
        (gateway.create_route, {"ApiId": api_id}, "BadRequestException", 400),
        (gateway.create_stage, {"ApiId": api_id, "StageName": "$default"}, "ConflictException", 409),
        (gateway.create_stage, {"ApiId": api_id, "StageName": "a b"}, "BadRequestException", 400),
        (gateway.create_integration, {"ApiId": api_id, "IntegrationType": "MOCK"}, "BadRequestException", 400),
        (gateway.delete_integration, {"ApiId": api_id, "IntegrationId": target.partition("/")[2]},
         "ConflictException", 409),
        (gateway.get_apis, {"NextToken": "nonsense"}, "BadRequestException", 400),
        (gateway.get_apis, {"MaxResults": "many"}, "BadRequestException", 400),
        (gateway.create_api, {"Name": "", "ProtocolType": "HTTP"}, "BadRequestException", 400),
    ]  # fmt: skip
    for call, params, code, status in cases:
        assert error_of(call, **params)[:2] == (code, status), params


def test_pages(gateway: Any):
    made = {gateway.create_api(Name=f"p{number}", ProtocolType="HTTP")["ApiId"] for number in range(5)}
    found: list[str] = []
    token = {}
    while True:
        page = gateway.get_apis(MaxResults="2", **token)
        assert len(page["Items"]) <= 2
        found += [api["ApiId"] for api in page["Items"]]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert made <= set(found)
    assert len(found) == len(set(found))


def test_tags(gateway: Any, serve: Serve):
    api_id = serve("GET /a", api={"Tags": {"a": "1"}}, stages={"Tags": {"s": "1"}})
    arn = f"arn:aws:apigateway:{REGION}::/apis/{api_id}"
    gateway.tag_resource(ResourceArn=arn, Tags={"b": "2"})
    gateway.untag_resource(ResourceArn=arn, TagKeys=["a", "c"])
    assert gateway.get_tags(ResourceArn=arn)["Tags"] == {"b": "2"}
    assert gateway.get_api(ApiId=api_id)["Tags"] == {"b": "2"}
    assert gateway.get_tags(ResourceArn=f"{arn}/stages/$default")["Tags"] == {"s": "1"}


def test_as_terraform_does(gateway: Any, permitted: str, ask: Ask):
    """The calls of aws_apigatewayv2_api, _integration, _route, _deployment and _stage, made, changed and destroyed."""
    api = gateway.create_api(
        Name="tf", ProtocolType="HTTP", CorsConfiguration={"AllowOrigins": ["*"]}, Tags={"by": "terraform"}
    )
    api_id = api["ApiId"]
    assert gateway.get_api(ApiId=api_id)["CreatedDate"].year >= 2025
    integration = gateway.create_integration(
        ApiId=api_id,
        IntegrationType="AWS_PROXY",
        ConnectionType="INTERNET",
        IntegrationMethod="POST",
        IntegrationUri=invocations(permitted),
        PayloadFormatVersion="2.0",
        TimeoutInMillis=30000,
    )
    integration_id = integration["IntegrationId"]
    assert gateway.get_integration(ApiId=api_id, IntegrationId=integration_id)["TimeoutInMillis"] == 30000
    route = gateway.create_route(
        ApiId=api_id, RouteKey="GET /tf", Target=f"integrations/{integration_id}", AuthorizationType="NONE",
        ApiKeyRequired=False,
    )  # fmt: skip
    assert gateway.get_route(ApiId=api_id, RouteId=route["RouteId"])["RouteKey"] == "GET /tf"
    deployment = gateway.create_deployment(ApiId=api_id)
    found = gateway.get_deployment(ApiId=api_id, DeploymentId=deployment["DeploymentId"])
    assert found["DeploymentStatus"] == "DEPLOYED"
    gateway.create_stage(ApiId=api_id, StageName="prod", DeploymentId=deployment["DeploymentId"])
    assert ask(api_id, "GET", "/prod/tf")[0] == 200
    gateway.update_stage(ApiId=api_id, StageName="prod", StageVariables={"a": "1"}, AutoDeploy=False)
    gateway.update_stage(ApiId=api_id, StageName="prod", StageVariables={"a": "", "b": "2"})
    assert gateway.get_stage(ApiId=api_id, StageName="prod")["StageVariables"] == {"b": "2"}
    gateway.update_route(ApiId=api_id, RouteId=route["RouteId"], RouteKey="GET /other")
    gateway.update_integration(ApiId=api_id, IntegrationId=integration_id, TimeoutInMillis=1000)
    error = error_of(gateway.delete_deployment, ApiId=api_id, DeploymentId=deployment["DeploymentId"])
    assert error[:2] == ("BadRequestException", 400)
    gateway.delete_stage(ApiId=api_id, StageName="prod")
    gateway.delete_deployment(ApiId=api_id, DeploymentId=deployment["DeploymentId"])
    gateway.delete_route(ApiId=api_id, RouteId=route["RouteId"])
    gateway.delete_integration(ApiId=api_id, IntegrationId=integration_id)
    gateway.delete_api(ApiId=api_id)
    assert error_of(gateway.get_api, ApiId=api_id)[0] == "NotFoundException"


def test_the_record_names_the_trigger(serve: Serve, ask: Ask, engine: Engine):
    api_id = serve("GET /thumb/{id}")
    ask(api_id, "GET", "/thumb/1")
    _, _, body = engine.signed("GET", "/_jupyter_lambda/invocations?limit=5")
    assert "http:GET /thumb/{id}" in [one["source"] for one in json.loads(body)["invocations"]]


def test_the_routes_of_a_function(serve: Serve, ask: Ask, engine: Engine, client: Any, name: str):
    """The admin route that the notebook and JupyterLab ask: what leads to a function, by which addresses."""
    api_id = serve("GET /a/{id}", "$default", stage="v1", route={"AuthorizationType": "NONE"})

    def routes() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(engine.signed("GET", f"/_jupyter_lambda/apis?function={name}")[2])[
            "routes"
        ]
        return found

    first, second = routes()
    assert (first["route"], first["method"], first["stage"]) == ("GET /a/{id}", "GET", "v1")
    assert first["path_url"] == f"{engine.url}/_aws/execute-api/{api_id}/v1/a/{{id}}"
    assert first["url"].startswith(f"http://{api_id}.execute-api.{REGION}.localhost:")
    assert (second["route"], second["method"]) == ("$default", "ANY")
    ask(api_id, "GET", "/v1/a/1", X_Answer="fail:it broke")
    assert "it broke" in routes()[0]["problem"]
    ask(api_id, "GET", "/v1/a/1")
    assert routes()[0]["problem"] is None
    assert json.loads(engine.signed("GET", "/_jupyter_lambda/apis?function=other")[2]) == {"routes": []}
