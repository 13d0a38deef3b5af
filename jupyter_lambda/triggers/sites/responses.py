"""What a function answers as an HTTP response: AWS's formats 2.0 and 1.0, and what is malformed in each.

Source: Amazon API Gateway Developer Guide, "Working with AWS Lambda proxy integrations for HTTP APIs", "Lambda function
response format"; "Output format of a Lambda function for proxy integration".
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.http1 import Response

_JSON = ("Content-Type", "application/json")
#: The server's own business, whatever a function says; its length is counted here.
HOP_HEADERS = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade", "trailer"})
_FORMAT_1_MEMBERS = frozenset({"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"})
#: Characters of a header's name (RFC 9110, "token").
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Malformed(Exception):
    """A function's answer is no response; the caller answers 502 (HTTP APIs: 500) and says in a log why."""


def from_format_2(payload: bytes) -> Response:
    """An answer of format 2.0. What has no ``statusCode`` is the body of a 200 in JSON.

    Raises:
        Malformed: It can't be sent.
    """
    answer = _parsed(payload)
    if not isinstance(answer, dict) or "statusCode" not in answer:
        body = (
            answer.encode("utf-8", "replace")
            if isinstance(answer, str)
            else json.dumps(answer, separators=(",", ":")).encode()
        )
        return Response(200, [_JSON], body)
    headers = _single(answer.get("headers"))
    cookies = answer.get("cookies")
    if cookies is not None and not (isinstance(cookies, list) and all(isinstance(one, str) for one in cookies)):
        raise Malformed("cookies must be a list of strings")
    headers += [("Set-Cookie", _value("Set-Cookie", cookie)) for cookie in cookies or ()]
    return _response(answer, _with_type(headers))


def from_format_1(payload: bytes) -> Response:
    """An answer of format 1.0. No member is required; ``headers`` and ``multiValueHeaders`` are merged, the latter's
    values win.

    Raises:
        Malformed: It is no object, has members of other names, or can't be sent.
    """
    answer = _parsed(payload)
    if not isinstance(answer, dict):
        raise Malformed("the answer must be an object")
    strange = answer.keys() - _FORMAT_1_MEMBERS
    if strange:
        raise Malformed(f"the answer has members that no response has: {', '.join(sorted(strange)[:5])}")
    multi = answer.get("multiValueHeaders") or {}
    if not isinstance(multi, dict) or not all(isinstance(values, list) for values in multi.values()):
        raise Malformed("multiValueHeaders must be an object of lists")
    named = {name.lower() for name in multi}
    headers = [(n, v) for n, v in _single(answer.get("headers")) if n.lower() not in named]
    for name, values in multi.items():
        headers += _single_pairs([(name, value) for value in values])
    return _response(answer, _with_type(headers))


def prelude(answer: Any) -> Response:
    """Status, headers and cookies that stand before a streamed body; the body is empty.

    Raises:
        Malformed: They can't be sent.
    """
    if not isinstance(answer, dict):
        raise Malformed("the prelude must be an object")
    headers = _single(answer.get("headers"))
    cookies = answer.get("cookies") or []
    if not isinstance(cookies, list) or not all(isinstance(one, str) for one in cookies):
        raise Malformed("cookies must be a list of strings")
    headers += [("Set-Cookie", _value("Set-Cookie", cookie)) for cookie in cookies]
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/octet-stream"))
    return Response(_status(answer), headers)


def bad_gateway() -> Response:
    """What a Function URL answers where the function has failed, or its answer is malformed."""
    return Response(502, [_JSON], b"Internal Server Error")


def _parsed(payload: bytes) -> Any:
    try:
        return json.loads(payload) if payload else None
    except (ValueError, RecursionError) as exc:
        raise Malformed(f"the answer is no JSON: {exc}") from None


def _status(answer: Mapping[str, Any]) -> int:
    status = answer.get("statusCode", 200)
    if isinstance(status, str) and status.isascii() and status.isdigit():
        status = int(status)
    if isinstance(status, float) and status.is_integer():
        status = int(status)
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599:
        raise Malformed(f"statusCode must be a number from 200 to 599, not {status!r:.64}")
    return status


def _response(answer: Mapping[str, Any], headers: list[tuple[str, str]]) -> Response:
    body = answer.get("body")
    if body is None:
        data = b""
    elif isinstance(body, str):
        data = body.encode("utf-8", "replace")
    elif isinstance(body, dict | list | int | float):
        raise Malformed("body must be a string: json.dumps it")
    if body and _truth(answer.get("isBase64Encoded")):
        try:
            data = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            raise Malformed("isBase64Encoded is true and body is no base64") from None
    return Response(_status(answer), headers, data)


def _truth(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _single(headers: Any) -> list[tuple[str, str]]:
    if headers is None:
        return []
    if not isinstance(headers, dict):
        raise Malformed("headers must be an object")
    return _single_pairs(list(headers.items()))


def _single_pairs(pairs: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    checked = []
    for name, value in pairs:
        if not name or not set(name) <= _TOKEN:
            raise Malformed(f"{name[:64]!r} is no name of a header")
        if name.lower() not in HOP_HEADERS and value is not None:
            checked.append((name, _value(name, value)))
    return checked


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        raise Malformed(f"the value of header {name[:64]} must be a string")
    text = str(value)
    if "\r" in text or "\n" in text or "\0" in text:
        raise Malformed(f"the value of header {name[:64]} has a line break")
    return text.encode("utf-8", "replace").decode("latin-1")


def _with_type(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(_JSON)
    return headers
