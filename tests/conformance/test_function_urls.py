"""Function URLs: the control plane by boto3, requests by plain HTTP, at both addresses.

Quotations are of the AWS Lambda Developer Guide; bodies and headers of refusals are recorded answers of AWS.
"""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys

from jupyter_lambda.model.limits import PAYLOAD_MAX_BYTES
from jupyter_lambda.triggers.sites.origin import SANDBOX

from .conftest import REGION, Engine

FUNCTION_ARN = f"arn:aws:lambda:{REGION}:000000000000:function:"
FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
Ask = Callable[..., tuple[int, dict[str, str], Any]]


@pytest.fixture
def open_url(make: Callable[..., Any], client: Any, name: str) -> Callable[..., str]:
    """A URL of the test's function that everybody may use; its id."""

    def create(qualifier: str | None = None, **config: Any) -> str:
        make()
        made = client.create_function_url_config(FunctionName=name, **({"AuthType": "NONE"} | config))
        allow(client, name)
        return str(made["FunctionUrl"]).partition("://")[2].partition(".")[0]

    return create


def allow(client: Any, name: str, **more: Any) -> None:
    """Both permissions: "new function URLs will require both lambda:InvokeFunctionUrl and lambda:InvokeFunction"."""
    given = {"FunctionName": name, "Principal": "*"} | more
    client.add_permission(**given, StatementId="url", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE")
    client.add_permission(**given, StatementId="via", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True)


@pytest.fixture
def ask(engine: Engine) -> Ask:
    """One request by the URL's own name: status, headers, and the body, of JSON its document."""

    def send(url_id: str, method: str = "GET", path: str = "/", body: bytes = b"", **headers: str) -> Any:
        port = engine.url.rpartition(":")[2]
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["Host"] = f"{url_id}.lambda-url.{REGION}.localhost:{port}"
        return _read(engine.raw(method, path, body, named))

    return send


def _read(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, dict[str, str], Any]:
    status, headers, data = answer
    try:
        return status, headers, json.loads(data)
    except ValueError:
        return status, headers, data


# --- the control plane


def test_a_configuration_from_its_making_to_its_end(engine, make, client, refused, name):
    make()
    missing = ("ResourceNotFoundException", 404, "The resource you requested does not exist.")
    assert refused("get_function_url_config", FunctionName=name) == missing
    assert refused("delete_function_url_config", FunctionName=name) == missing
    assert refused("update_function_url_config", FunctionName=name, AuthType="NONE") == missing
    made = client.create_function_url_config(FunctionName=name, AuthType="NONE")
    address = urlsplit(made["FunctionUrl"])
    assert address.hostname.endswith(f".lambda-url.{REGION}.localhost")
    assert (address.port, address.path) == (urlsplit(engine.url).port, "/")
    assert made["FunctionArn"] == FUNCTION_ARN + name
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert not {"InvokeMode", "Cors"} & made.keys()  # as recorded
    assert refused("create_function_url_config", FunctionName=name, AuthType="NONE") == (
        "ResourceConflictException",
        409,
        (
            f"Failed to create function url config for [functionArn = {FUNCTION_ARN}{name}]. Error message:  "
            "FunctionUrlConfig exists for this Lambda function"
        ),
    )
    cors = {"AllowOrigins": ["https://example.com"], "MaxAge": 5}
    client.update_function_url_config(FunctionName=name, AuthType="AWS_IAM", Cors=cors, InvokeMode="RESPONSE_STREAM")
    kept = client.update_function_url_config(FunctionName=name)
    got = client.get_function_url_config(FunctionName=name)
    for one in (kept, got):
        assert (one["AuthType"], one["Cors"], one["InvokeMode"]) == ("AWS_IAM", cors, "RESPONSE_STREAM")
        assert one["FunctionUrl"] == made["FunctionUrl"]
        assert one["LastModifiedTime"] > one["CreationTime"] == made["CreationTime"]
    client.delete_function_url_config(FunctionName=name)
    assert refused("get_function_url_config", FunctionName=name) == missing


def test_urls_of_aliases_are_listed_with_the_functions_and_go_with_their_alias(make, client, refused, name):
    make(Publish=True)
    for alias in ("blue", "green"):
        client.create_alias(FunctionName=name, Name=alias, FunctionVersion="1")
        client.create_function_url_config(FunctionName=name, Qualifier=alias, AuthType="NONE")
    client.create_function_url_config(FunctionName=name, AuthType="NONE")
    assert refused("create_function_url_config", FunctionName=name, Qualifier="none", AuthType="NONE") == (
        "ResourceNotFoundException",
        404,
        "Function does not exist",
    )
    first = client.list_function_url_configs(FunctionName=name, MaxItems=2)
    rest = client.list_function_url_configs(FunctionName=name, MaxItems=2, Marker=first["NextMarker"])
    assert "NextMarker" not in rest
    found = [one["FunctionArn"] for page in (first, rest) for one in page["FunctionUrlConfigs"]]
    assert found == [FUNCTION_ARN + name, f"{FUNCTION_ARN}{name}:blue", f"{FUNCTION_ARN}{name}:green"]
    client.delete_alias(FunctionName=name, Name="blue")
    assert len(client.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]) == 2
    client.delete_function(FunctionName=name)
    assert refused("list_function_url_configs", FunctionName=name)[2] == "Function does not exist"
    make()
    assert client.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"] == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"AuthType": "OPEN"}, "ValidationException"),
        ({"AuthType": "NONE", "InvokeMode": "UNKNOWN"}, "ValidationException"),
        ({"AuthType": "NONE", "Qualifier": "1"}, "ValidationException"),
        ({"AuthType": "NONE", "Cors": {"AllowMethods": ["FETCH"]}}, "InvalidParameterValueException"),
    ],
)
def test_what_is_not_valid(make, refused, name, wrong, code):
    make()
    assert refused("create_function_url_config", FunctionName=name, **wrong)[:2] == (code, 400)


# --- requests


def test_the_event_of_a_request(open_url, ask, name):
    """Source: "Invoking Lambda function URLs", "Request payload format"."""
    url_id = open_url()
    status, headers, event = ask(
        url_id,
        "POST",
        "/my/p%20ath?a=1&a=2&b=x%20y&c",
        b'{"n": 1}',
        X_Answer="echo",
        Content_Type="application/json",
        Cookie="one=1; two=2",
        X_Twice="v",
        User_Agent="test/1",
    )
    assert status == 200, event
    assert headers["x-amzn-requestid"] == event["requestContext"]["requestId"]
    assert (event["version"], event["routeKey"], event["rawPath"]) == ("2.0", "$default", "/my/p%20ath")
    assert event["rawQueryString"] == "a=1&a=2&b=x%20y&c"
    assert event["queryStringParameters"] == {"a": "1,2", "b": "x y", "c": ""}
    assert event["cookies"] == ["one=1", "two=2"]
    assert "cookie" not in event["headers"]
    assert (event["headers"]["x-twice"], event["headers"]["x-forwarded-for"]) == ("v", "127.0.0.1")
    assert (event["body"], event["isBase64Encoded"]) == ('{"n": 1}', False)
    context = event["requestContext"]
    assert (context["accountId"], context["apiId"], context["domainPrefix"]) == ("anonymous", url_id, url_id)
    assert context["domainName"] == f"{url_id}.lambda-url.{REGION}.localhost"
    assert context["http"] == {
        "method": "POST",
        "path": "/my/p%20ath",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "test/1",
    }
    assert abs(context["timeEpoch"] / 1000 - time.time()) < 60
    assert not {"authorizer", "pathParameters"} & (context.keys() | event.keys())


@pytest.mark.parametrize(
    ("content_type", "body", "encoded"),
    [
        ("text/plain; charset=utf-8", "grüß".encode(), False),
        ("application/json", b"{}", False),
        ("application/x-www-form-urlencoded", b"a=1", True),
        ("application/octet-stream", b"\x00\xff", True),
        ("text/plain", b"\xff\xfe", True),
        (None, b"plain", True),
    ],
)
def test_bodies_are_text_or_base64(open_url, ask, content_type, body, encoded):
    url_id = open_url()
    headers = {"Content_Type": content_type} if content_type else {}
    event = ask(url_id, "POST", "/", body, X_Answer="echo", **headers)[2]
    assert event["isBase64Encoded"] is encoded
    got = base64.b64decode(event["body"]) if encoded else event["body"].encode()
    assert got == body


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        ('{"hello": "world"}', b'{"hello":"world"}'),
        ('["hello", 3, true]', b'["hello",3,true]'),
        ('"hello"', b"hello"),
        ("3", b"3"),
        ("3.1", b"3.1"),
        ("true", b"true"),
        ('{"statusCode": 200, "body": "body123"}', b"body123"),
    ],
)
def test_answers_without_a_status(engine, open_url, ask, answer, body):
    """As recorded: body, length and type."""
    url_id = open_url()
    port = engine.url.rpartition(":")[2]
    host = f"{url_id}.lambda-url.{REGION}.localhost:{port}"
    status, headers, data = engine.raw("GET", "/", headers={"Host": host, "X-Answer": answer})
    assert (status, headers["content-type"], data) == (200, "application/json", body)


def test_an_answer_with_everything(engine, open_url, ask):
    url_id = open_url()
    answer = {
        "statusCode": 418,
        "headers": {"Content-Type": "image/png", "X-Own": "ü", "Connection": "close", "Content-Length": 3},
        "cookies": ["a=1; Secure", "b=2; Domain=us-east-1.localhost; Path=/x"],
        "body": base64.b64encode(b"\x89PNG").decode(),
        "isBase64Encoded": True,
    }
    host = f"{url_id}.lambda-url.{REGION}.localhost"
    status, headers, data = engine.raw("GET", "/", headers={"Host": host, "X-Answer": json.dumps(answer)})
    assert (status, data) == (418, b"\x89PNG")
    assert headers["content-type"] == "image/png"
    assert headers["content-length"] == "4"
    assert headers["x-own"].encode("latin-1").decode() == "ü"
    assert "content-security-policy" not in headers


MALFORMED = (
    '{"statusCode": "many"}',
    '{"statusCode": 99}',
    '{"statusCode": 200, "body": {"not": "text"}}',
    '{"statusCode": 200, "headers": ["a"]}',
    '{"statusCode": 200, "headers": {"a b": "c"}}',
    '{"statusCode": 200, "headers": {"a": "b\\r\\nc: d"}}',
    '{"statusCode": 200, "cookies": "a=1"}',
    '{"statusCode": 200, "body": "%", "isBase64Encoded": true}',
)


def test_errors_of_functions_and_malformed_answers(open_url, ask):
    """As recorded: 502, "Internal Server Error"."""
    url_id = open_url()
    for answer in ("fail:no", *MALFORMED):
        status, headers, body = ask(url_id, X_Answer=answer)
        assert (status, body) == (502, b"Internal Server Error"), answer
        assert "x-amzn-requestid" in headers


def test_an_unknown_url(ask):
    """As recorded."""
    status, headers, body = ask("0123456789abcdefghijklmnopqrstuv")
    assert (status, headers["x-amzn-errortype"], body) == (403, "AccessDeniedException", {"Message": None})


@pytest.mark.parametrize("kept", ["", "url", "via"])
def test_without_both_permissions(make, client, ask, name, kept):
    make()
    made = client.create_function_url_config(FunctionName=name, AuthType="NONE")
    allow(client, name)
    for statement in {"url", "via"} - {kept}:
        client.remove_permission(FunctionName=name, StatementId=statement)
    url_id = made["FunctionUrl"].partition("://")[2].partition(".")[0]
    status, headers, body = ask(url_id)
    assert (status, headers["x-amzn-errortype"], body) == (403, "AccessDeniedException", {"Message": FORBIDDEN})


def test_the_permission_must_be_of_the_alias(make, client, ask, name):
    make(Publish=True)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    made = client.create_function_url_config(FunctionName=name, Qualifier="live", AuthType="NONE")
    url_id = made["FunctionUrl"].partition("://")[2].partition(".")[0]
    allow(client, name)
    assert ask(url_id)[0] == 403
    allow(client, name, Qualifier="live")
    status, _, answer = ask(url_id)
    assert (status, answer["arn"], answer["version"]) == (200, f"{FUNCTION_ARN}{name}:live", "1")


def test_throttles_are_429(open_url, client, ask, name):
    url_id = open_url()
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    status, headers, body = ask(url_id)
    assert (status, headers["x-amzn-errortype"], body) == (
        429,
        "TooManyRequestsException",
        {"message": "Rate Exceeded."},
    )


def test_requests_larger_than_6_mb(open_url, ask):
    url_id = open_url()
    assert ask(url_id, "POST", "/", b"x" * (PAYLOAD_MAX_BYTES + 1), Content_Type="text/plain")[0] == 413
    assert ask(url_id, "POST", "/", b"x" * (PAYLOAD_MAX_BYTES - 10_000), Content_Type="text/plain")[0] == 200


@pytest.mark.parametrize("query", ["AWSAccessKeyId=x", "X-Amz-Credential=x%2Fs3%2Faws4_request"])
def test_bodies_come_whole(engine, open_url, query):
    """Requests presigned for S3 are handed on before they are whole; one for a site only looks like one."""
    url_id, body = open_url(), b"x" * 1_000_000
    headers = {"X-Answer": "echo", "Content-Type": "text/plain"}
    host = {"Host": f"{url_id}.lambda-url.{REGION}.localhost"}
    for path, more in ((f"/_aws/lambda-url/{url_id}/", {}), ("/", host)):
        status, _, answer = engine.raw("POST", f"{path}?{query}", body, headers | more)
        assert status == 200, answer
        assert len(json.loads(answer)["body"]) == len(body)


def test_a_client_that_leaves_is_no_failure(engine, open_url, caplog):
    url_id = open_url()
    with socket.create_connection(("127.0.0.1", int(engine.url.rpartition(":")[2]))) as client:
        head = f"POST /_aws/lambda-url/{url_id}/?AWSAccessKeyId=x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999999"
        client.sendall(f"{head}\r\n\r\nbegun".encode())
        time.sleep(0.1)
    time.sleep(0.2)
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


# --- AWS_IAM


def signed(engine: Engine, host: str, path: str = "/", credential: Any = None, service: str = "lambda") -> Any:
    keys = credential or engine.service.credentials.owner
    request = AWSRequest("GET", f"http://{host}{path}", headers={"X-Answer": "echo"})
    SigV4Auth(Keys(keys.access_key, keys.secret_key, keys.token), service, REGION).add_auth(request)
    return _read(engine.raw("GET", path, headers=dict(request.headers.items()) | {"Host": host}))


@pytest.fixture
def closed_url(make: Callable[..., Any], client: Any, name: str) -> str:
    make()
    made = client.create_function_url_config(FunctionName=name, AuthType="AWS_IAM")
    return str(made["FunctionUrl"]).partition("://")[2].rstrip("/")


def test_signed_requests_of_the_owner(engine, closed_url):
    status, _, event = signed(engine, closed_url, "/a%20b?x=1")
    assert status == 200, event
    owner = engine.service.credentials.owner
    assert event["requestContext"]["accountId"] == "000000000000"
    assert event["requestContext"]["authorizer"]["iam"] == {
        "accessKey": owner.access_key,
        "accountId": "000000000000",
        "callerId": "000000000000",
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": "arn:aws:iam::000000000000:root",
        "userId": "000000000000",
    }
    assert "authorization" not in event["headers"]


def test_signed_requests_by_the_path(engine, closed_url):
    url_id = closed_url.partition(".")[0]
    host = engine.url.removeprefix("http://")
    status, _, event = signed(engine, host, f"/_aws/lambda-url/{url_id}/deep/er")
    assert (status, event["rawPath"]) == (200, "/deep/er")


def test_unsigned_and_wrongly_signed_requests(engine, closed_url, ask):
    assert ask(closed_url.partition(".")[0])[2] == {"Message": FORBIDDEN}
    status, headers, body = signed(engine, closed_url, service="s3")
    assert (status, headers["x-amzn-errortype"]) == (403, "InvalidSignatureException")
    assert "message" in body


def test_signed_requests_of_a_function(engine, closed_url, name):
    function = engine.service.store.functions.get(name)
    credential = engine.service.credentials.issue(function.latest)
    status, _, event = signed(engine, closed_url, credential=credential)
    assert status == 200, event  # both actions are among what functions may do by default
    assert event["requestContext"]["authorizer"]["iam"]["userArn"] == credential.principal
    assert "x-amz-security-token" not in event["headers"]


def test_a_function_whose_credentials_do_not_allow_it_needs_the_policy(engine, closed_url, client, name, monkeypatch):
    settings = replace(engine.service.settings, function_permissions=("lambda:InvokeFunction",))
    monkeypatch.setattr(engine.service, "settings", settings)
    credential = engine.service.credentials.issue(engine.service.store.functions.get(name).latest)
    assert signed(engine, closed_url, credential=credential)[0] == 403
    client.add_permission(
        FunctionName=name,
        StatementId="peer",
        Principal="arn:aws:iam::000000000000:role/lambda",
        Action="lambda:InvokeFunctionUrl",
        FunctionUrlAuthType="AWS_IAM",
    )
    assert signed(engine, closed_url, credential=credential)[0] == 200


# --- CORS

CORS = {
    "AllowOrigins": ["https://example.com"],
    "AllowMethods": ["GET", "PUT"],
    "AllowHeaders": ["X-Own"],
    "ExposeHeaders": ["X-Told"],
    "MaxAge": 600,
    "AllowCredentials": True,
}


def test_preflights_are_answered_by_the_url_itself(open_url, client, ask, name):
    url_id = open_url(Cors=CORS)
    for statement in ("url", "via"):  # nobody may invoke, and nobody does
        client.remove_permission(FunctionName=name, StatementId=statement)
    asked = {"Origin": "https://example.com", "Access_Control_Request_Method": "PUT"}
    status, headers, body = ask(url_id, "OPTIONS", **asked)
    assert (status, body) == (200, b"")
    allowed = {k: v for k, v in headers.items() if k.startswith("access-control-")}
    assert allowed == {
        "access-control-allow-origin": "https://example.com",
        "access-control-allow-methods": "GET,PUT",
        "access-control-allow-headers": "X-Own",
        "access-control-allow-credentials": "true",
        "access-control-max-age": "600",
    }
    other = ask(url_id, "OPTIONS", **asked | {"Origin": "https://other.example"})
    assert (other[0], [k for k in other[1] if k.startswith("access-control-")]) == (200, [])


def test_answers_carry_the_urls_cors_headers_instead_of_the_functions(open_url, ask):
    url_id = open_url(Cors=CORS)
    answer = json.dumps({"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "*"}, "body": ""})
    headers = ask(url_id, X_Answer=answer, Origin="https://example.com")[1]
    assert headers["access-control-allow-origin"] == "https://example.com"
    assert headers["access-control-expose-headers"] == "X-Told"
    assert "access-control-allow-origin" not in ask(url_id, X_Answer=answer, Origin="https://other.example")[1]


def test_without_cors_settings_preflights_go_to_the_function(open_url, ask):
    event = ask(open_url(), "OPTIONS", X_Answer="echo", Origin="https://a", Access_Control_Request_Method="GET")[2]
    assert event["requestContext"]["http"]["method"] == "OPTIONS"


# --- browsers


def test_by_path_a_site_sees_and_sets_only_its_own_cookies(engine, open_url):
    url_id = open_url()
    path = f"/_aws/lambda-url/{url_id}/page"
    cookies = f"_xsrf=secret; username-localhost-8888=secret; jl-{url_id}-own=1; jl-other-own=2; jl-{url_id}-two=2"
    event = json.loads(engine.raw("GET", path, headers={"X-Answer": "echo", "Cookie": cookies})[2])
    assert event["cookies"] == ["own=1", "two=2"]
    assert "secret" not in json.dumps(event)
    answer = {
        "statusCode": 200,
        "cookies": ["_xsrf=evil; Path=/; Domain=localhost; HttpOnly"],
        "headers": {"Clear-Site-Data": '"cookies"', "Service-Worker-Allowed": "/", "Content-Type": "text/html"},
        "body": "<p>",
    }
    status, headers, _ = engine.raw("GET", path, headers={"X-Answer": json.dumps(answer)})
    assert status == 200
    assert headers["set-cookie"] == f"jl-{url_id}-_xsrf=evil; HttpOnly; Path=/_aws/lambda-url/{url_id}/"
    assert headers["content-security-policy"] == SANDBOX
    assert headers["x-content-type-options"] == "nosniff"
    assert not {"clear-site-data", "service-worker-allowed"} & headers.keys()


def test_by_name_cookies_keep_their_names_and_lose_their_domain(engine, open_url):
    url_id = open_url()
    host = f"{url_id}.lambda-url.{REGION}.localhost"
    answer = {"statusCode": 200, "cookies": ["sid=1; Domain=us-east-1.localhost; Path=/a"]}
    headers = engine.raw("GET", "/", headers={"Host": host, "X-Answer": json.dumps(answer)})[1]
    assert headers["set-cookie"] == "sid=1; Path=/a"
    assert "content-security-policy" not in headers


def test_paths_that_lead_out_of_a_site_are_no_site(engine, open_url):
    url_id = open_url()
    for path in (f"lambda-url/{url_id}/../../2015-03-31/functions", f"lambda-url/../{url_id}", f"other/{url_id}/"):
        assert engine.raw("GET", f"/_aws/{path}")[0] == 403


@pytest.mark.parametrize("host", ["evil.example", "x.lambda-url.us-east-1.localhost.evil.example"])
def test_other_names_are_refused(engine, host):
    status, _, body = engine.raw("GET", "/", headers={"Host": host})
    assert status == 403
    assert b"is not addressed as" in body
