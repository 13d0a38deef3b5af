"""HTTP requests as the events that functions get: AWS's payload formats 2.0 and 1.0.

Source: Amazon API Gateway Developer Guide, "Working with AWS Lambda proxy integrations for HTTP APIs" and "Lambda proxy
integrations in API Gateway"; AWS Lambda Developer Guide, "Invoking Lambda function URLs".
"""

from __future__ import annotations

import base64
import contextlib
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from .visit import Visit

#: Media types whose bodies are text in format 2.0; all others are base64.
_TEXT = ("application/json", "application/javascript", "application/xml")
#: Header in which a client tells of its trace; added where there is none.
TRACE_HEADER = "x-amzn-trace-id"
_PROTOCOL = "HTTP/1.1"


def headers_of(visit: Visit) -> list[tuple[str, str]]:
    """The request's headers, names as they came, with those that AWS's front door adds."""
    found = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in visit.raw_headers]
    present = {name.lower() for name, _ in found}
    forwarded = ", ".join([v for n, v in found if n.lower() == "x-forwarded-for"] + [source_ip(visit)])
    kept = [(n, v) for n, v in found if n.lower() != "x-forwarded-for"]
    kept.append(("X-Forwarded-For", forwarded))
    if "x-forwarded-proto" not in present:
        kept.append(("X-Forwarded-Proto", "http"))
    if "x-forwarded-port" not in present:
        port = (visit.header("host") or "").rpartition(":")[2]
        kept.append(("X-Forwarded-Port", port if port.isdigit() else "80"))
    if TRACE_HEADER not in present:
        kept.append(("X-Amzn-Trace-Id", visit.trace_id))
    return kept


def new_trace(now_s: float) -> str:
    """A trace that begins here."""
    return f"Root=1-{int(now_s):08x}-{secrets.token_hex(12)}"


def source_ip(visit: Visit) -> str:
    """Where the request came from; a sandbox on this host counts as this host."""
    return "127.0.0.1" if visit.peer.startswith("sandbox:") or visit.peer == "unix" else visit.peer


def query_pairs(query: str) -> list[tuple[str, str]]:
    """The query's parameters, decoded, in their order."""
    pairs = []
    for piece in query.split("&"):
        if piece:
            name, _, value = piece.partition("=")
            pairs.append((unquote_plus(name), unquote_plus(value)))
    return pairs


def cookies_of(visit: Visit) -> list[str]:
    """``["name=value", …]``."""
    found = []
    for name, value in visit.raw_headers:
        if name.lower() == b"cookie":
            found += [part.strip() for part in value.decode("latin-1").split(";")]
    return [cookie for cookie in found if cookie]


def is_text(content_type: str | None) -> bool:
    """Whether format 2.0 has a body of this type as text."""
    media = (content_type or "").partition(";")[0].strip().lower()
    return media.startswith("text/") or media in _TEXT


def body_of(visit: Visit, *, text: bool) -> tuple[str | None, bool]:
    """The body, and whether it is base64; None where there is none. What is no UTF-8 is base64 whatever it claims."""
    if not visit.body:
        return None, False
    if text:
        with contextlib.suppress(UnicodeDecodeError):
            return visit.body.decode(), False
    return base64.b64encode(visit.body).decode(), True


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for name, value in pairs:
        merged[name] = f"{merged[name]},{value}" if name in merged else value
    return merged


def _multi(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    merged: dict[str, list[str]] = {}
    for name, value in pairs:
        merged.setdefault(name, []).append(value)
    return merged


def time_text(now_s: float) -> str:
    """12/Mar/2020:19:03:58 +0000"""
    return datetime.fromtimestamp(now_s, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")


def format_2(
    visit: Visit,
    *,
    now_s: float,
    account_id: str,
    path: str,
    route_key: str = "$default",
    stage: str = "$default",
    authorizer: Mapping[str, Any] | None = None,
    path_parameters: Mapping[str, str] | None = None,
    stage_variables: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """An event of format 2.0.

    Args:
        account_id: "anonymous" for a Function URL whose caller is nobody.
        path: ``rawPath`` and the context's path.
        authorizer: The context's member of that name; None: left out.
    """
    named = [(n.lower(), v) for n, v in headers_of(visit)]
    headers = _joined([(n, v) for n, v in named if n != "cookie"])
    cookies, query = cookies_of(visit), _joined(query_pairs(visit.query))
    body, is_base64 = body_of(visit, text=is_text(headers.get("content-type")))
    context = {
        "accountId": account_id,
        "apiId": visit.id,
        **({"authorizer": dict(authorizer)} if authorizer is not None else {}),
        "domainName": visit.domain_name,
        "domainPrefix": visit.id,
        "http": {
            "method": visit.method,
            "path": path,
            "protocol": _PROTOCOL,
            "sourceIp": source_ip(visit),
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": visit.request_id,
        "routeKey": route_key,
        "stage": stage,
        "time": time_text(now_s),
        "timeEpoch": int(now_s * 1000),
    }
    return {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": visit.query,
        **({"cookies": cookies} if cookies else {}),
        "headers": headers,
        **({"queryStringParameters": query} if query else {}),
        "requestContext": context,
        **({"body": body} if body is not None else {}),
        **({"pathParameters": dict(path_parameters)} if path_parameters else {}),
        "isBase64Encoded": is_base64,
        **({"stageVariables": dict(stage_variables)} if stage_variables else {}),
    }


def format_1(
    visit: Visit,
    *,
    now_s: float,
    resource: str,
    path: str,
    stage: str,
    context: Mapping[str, Any],
    path_parameters: Mapping[str, str] | None = None,
    stage_variables: Mapping[str, str] | None = None,
    text: bool = True,
    version: str | None = None,
) -> dict[str, Any]:
    """An event of format 1.0, which REST APIs have and HTTP APIs can choose.

    Args:
        resource: As it is configured: "/things/{id}", or a route's key.
        path: The event's ``path``, without the stage.
        context: Members of ``requestContext`` beyond those of the request itself: accountId, resourceId, authorizer,
            identity's own, …
        text: False: the body is base64, as the API's binary media types say.
        version: "1.0" for HTTP APIs; None: left out, as REST APIs do.
    """
    headers, query = headers_of(visit), query_pairs(visit.query)
    body, is_base64 = body_of(visit, text=text)
    return {
        **({"version": version} if version else {}),
        "resource": resource,
        "path": path,
        "httpMethod": visit.method,
        "headers": dict(headers),
        "multiValueHeaders": _multi(headers),
        "queryStringParameters": dict(query) or None,
        "multiValueQueryStringParameters": _multi(query) or None,
        "requestContext": {
            "resourcePath": resource,
            "httpMethod": visit.method,
            "extendedRequestId": visit.request_id,
            "requestTime": time_text(now_s),
            "path": f"/{stage}{path}" if stage != "$default" else path,
            "protocol": _PROTOCOL,
            "stage": stage,
            "domainPrefix": visit.id,
            "domainName": visit.domain_name,
            "requestTimeEpoch": int(now_s * 1000),
            "requestId": visit.request_id,
            "apiId": visit.id,
            **context,
            "identity": _identity(visit, context.get("identity", {})),
        },
        "pathParameters": dict(path_parameters) if path_parameters else None,
        "stageVariables": dict(stage_variables) if stage_variables else None,
        "body": body,
        "isBase64Encoded": is_base64,
    }


def _identity(visit: Visit, own: Mapping[str, Any]) -> dict[str, Any]:
    """Of format 1.0: who asks, as far as it is known."""
    return {
        **dict.fromkeys(("accessKey", "accountId", "caller", "cognitoAuthenticationProvider")),
        **dict.fromkeys(("cognitoAuthenticationType", "cognitoIdentityId", "cognitoIdentityPoolId")),
        "principalOrgId": None,
        "sourceIp": source_ip(visit),
        **dict.fromkeys(("user", "userArn")),
        **own,
        "userAgent": visit.header("user-agent"),
    }
