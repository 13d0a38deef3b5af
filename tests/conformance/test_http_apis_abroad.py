"""HTTP APIs that speak to others: tokens of an issuer, and HTTP_PROXY integrations; both servers are real ones here."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from .conftest import Engine
from .observed import service

Ask = Callable[..., tuple[int, dict[str, str], Any]]
KEY = RSAKey.generate_key(2048, {"kid": "k", "use": "sig"})


@pytest.fixture
def gateway(engine: Engine) -> Any:
    return service(engine, "apigatewayv2")


@pytest.fixture
def server() -> Iterator[str]:
    """An issuer of tokens, and a server that tells what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path == "/.well-known/openid-configuration":
                document: Any = {"jwks_uri": f"{url}/keys"}
            elif self.path == "/keys":
                document = KeySet([KEY]).as_dict(private=False)
            else:
                if self.path.startswith("/slow"):
                    time.sleep(0.3)
                headers = {name.lower(): value for name, value in self.headers.items()}
                document = {"method": self.command, "path": self.path, "body": body.decode(), "headers": headers}
            data = json.dumps(document).encode()
            self.send_response(203)
            self.send_header("X-Own", "yes")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_args: Any) -> None:
            pass

    for method in ("GET", "POST"):
        setattr(Handler, f"do_{method}", Handler.answer)
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield url
    listening.shutdown()
    thread.join()
    listening.server_close()


def token(issuer: str, **claims: Any) -> str:
    body = {"iss": issuer, "aud": "app", "exp": int(time.time()) + 60, "sub": "me", **claims}
    return "Bearer " + jwt.encode({"alg": "RS256", "kid": "k"}, body, KEY)


@pytest.fixture
def guarded(gateway: Any, permitted: str, server: str) -> str:
    """Id of an API with GET /a for whoever has a token, and GET /b for the scopes x or y."""
    api_id: str = gateway.create_api(Name="jwt", ProtocolType="HTTP")["ApiId"]
    integration = gateway.create_integration(
        ApiId=api_id, IntegrationType="AWS_PROXY", IntegrationUri=permitted, PayloadFormatVersion="2.0"
    )
    authorizer = gateway.create_authorizer(
        ApiId=api_id,
        AuthorizerType="JWT",
        Name="j",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Issuer": server, "Audience": ["app"]},
    )
    route = {
        "ApiId": api_id,
        "Target": f"integrations/{integration['IntegrationId']}",
        "AuthorizationType": "JWT",
        "AuthorizerId": authorizer["AuthorizerId"],
    }
    gateway.create_route(RouteKey="GET /a", **route)
    gateway.create_route(RouteKey="GET /b", AuthorizationScopes=["x", "y"], **route)
    gateway.create_stage(ApiId=api_id, StageName="$default", AutoDeploy=True)
    return api_id


def test_a_token(guarded: str, ask: Ask, server: str):
    """ "API Gateway passes the claims in the token to the API route's integration"."""
    status, headers, body = ask(guarded, "GET", "/a")
    assert (status, body, headers["www-authenticate"]) == (401, {"message": "Unauthorized"}, "Bearer")
    status, headers, body = ask(guarded, "GET", "/a", Authorization=token("https://other"))
    assert (status, body) == (401, {"message": "Unauthorized"})
    assert 'error="invalid_token"' in headers["www-authenticate"]
    status, _, answer = ask(guarded, "GET", "/a", Authorization=token(server, groups=["a", "b"]))
    assert status == 200, answer
    authorizer = answer["event"]["requestContext"]["authorizer"]["jwt"]
    assert authorizer["scopes"] is None
    assert (authorizer["claims"]["sub"], authorizer["claims"]["groups"]) == ("me", "[a b]")


def test_scopes(guarded: str, ask: Ask, server: str):
    """ "scope or scp – The token must include at least one of the scopes in the route's authorizationScopes"."""
    status, headers, body = ask(guarded, "GET", "/b", Authorization=token(server, scope="z"))
    assert (status, body) == (403, {"message": "Forbidden"})
    assert 'error="insufficient_scope"' in headers["www-authenticate"]
    _, _, answer = ask(guarded, "GET", "/b", Authorization=token(server, scope="z y"))
    assert answer["event"]["requestContext"]["authorizer"]["jwt"]["scopes"] == ["y"]


@pytest.fixture
def proxied(gateway: Any, server: str) -> Callable[..., str]:
    def made(key: str, uri: str, method: str = "ANY", **more: Any) -> str:
        api_id: str = gateway.create_api(Name="proxy", ProtocolType="HTTP")["ApiId"]
        integration = gateway.create_integration(
            ApiId=api_id, IntegrationType="HTTP_PROXY", IntegrationUri=server + uri, IntegrationMethod=method, **more
        )
        gateway.create_route(ApiId=api_id, RouteKey=key, Target=f"integrations/{integration['IntegrationId']}")
        gateway.create_stage(ApiId=api_id, StageName="$default", AutoDeploy=True)
        return api_id

    return made


def test_a_request_is_passed_on(proxied: Callable[..., str], ask: Ask):
    api_id = proxied("ANY /things/{id}", "/elsewhere/{id}?own=1")
    status, headers, seen = ask(api_id, "POST", "/things/a%2Fb?q=2", b"hello", X_Custom="x")
    assert (status, headers["x-own"]) == (203, "yes")
    assert (seen["method"], seen["path"], seen["body"]) == ("POST", "/elsewhere/a/b?own=1&q=2", "hello")
    assert seen["headers"]["x-custom"] == "x"
    assert "execute-api" not in seen["headers"]["host"]
    assert f"host={api_id}.execute-api" in seen["headers"]["forwarded"]


def test_default_passes_the_path_on(proxied: Callable[..., str], ask: Ask):
    """ "When the $default route receives a request, API Gateway sends the full request path to the integration"."""
    api_id = proxied("$default", "/base", "GET")
    assert ask(api_id, "PUT", "/x/y?z=1")[2]["path"] == "/base/x/y?z=1"
    assert ask(api_id, "PUT", "/x")[2]["method"] == "GET"


def test_a_server_that_is_slow_or_away(proxied: Callable[..., str], ask: Ask, gateway: Any):
    api_id = proxied("$default", "/slow", TimeoutInMillis=50)
    assert ask(api_id, "GET", "/")[::2] == (503, {"message": "Service Unavailable"})
    integration = gateway.get_integrations(ApiId=api_id)["Items"][0]["IntegrationId"]
    gateway.update_integration(ApiId=api_id, IntegrationId=integration, IntegrationUri="http://127.0.0.1:1")
    assert ask(api_id, "GET", "/")[::2] == (500, {"message": "Internal Server Error"})


@pytest.mark.parametrize("uri", ["http://127.0.0.1:99999/", "http://[::1/"])
def test_an_address_that_is_none(proxied: Callable[..., str], ask: Ask, engine: Engine, gateway: Any, uri: str):
    api_id = proxied("ANY /a", "/")
    integration = gateway.get_integrations(ApiId=api_id)["Items"][0]["IntegrationId"]
    gateway.update_integration(ApiId=api_id, IntegrationId=integration, IntegrationUri=uri)
    assert ask(api_id, "GET", "/a")[::2] == (500, {"message": "Internal Server Error"})
    assert "is no address" in str(engine.triggers.apis.problem(api_id, "ANY /a"))


@pytest.mark.parametrize("path", ["/in/%2e%2e/secret", "/in/a/%2E./../x", "/in/a%2f..%2f..%2fx"])
def test_no_path_leads_out_of_what_the_integration_names(proxied: Callable[..., str], ask: Ask, path: str):
    assert ask(proxied("ANY /in/{rest+}", "/public/{rest}"), "GET", path)[0] == 500
    assert ask(proxied("$default", "/public"), "GET", path)[0] == 500


def test_without_the_extra_a_jwt_authorizer_says_what_to_install(gateway: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("jupyter_lambda.triggers.sites.jwt.available", lambda: False)
    api_id = gateway.create_api(Name="jwt", ProtocolType="HTTP")["ApiId"]
    with pytest.raises(gateway.exceptions.BadRequestException, match=r"pip install 'jupyter-lambda\[jwt\]'"):
        gateway.create_authorizer(
            ApiId=api_id,
            AuthorizerType="JWT",
            Name="j",
            IdentitySource=["$request.header.Authorization"],
            JwtConfiguration={"Issuer": "https://issuer.example", "Audience": ["app"]},
        )
