"""S3's and SNS's documents: notification configurations both ways, results and errors as their clients read them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from jupyter_lambda.errors import ClientError, LambdaError
from jupyter_lambda.http1 import Response

from .errors import InvalidArgument, InvalidParameterException, MalformedXML
from .s3_rules import TARGETS, Document

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_S3 = "http://s3.amazonaws.com/doc/2006-03-01/"
_SNS = "http://sns.amazonaws.com/doc/2010-03-31/"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
#: Member of a document → elements of its configurations, and of what names the target; the first ones are written.
_ELEMENTS = {
    "TopicConfigurations": (("TopicConfiguration",), ("Topic",)),
    "QueueConfigurations": (("QueueConfiguration",), ("Queue",)),
    "LambdaFunctionConfigurations": (
        ("CloudFunctionConfiguration", "LambdaFunctionConfiguration"),
        ("CloudFunction", "LambdaFunctionArn"),
    ),
}


# ── S3 ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_configuration(body: bytes) -> Document:
    """A NotificationConfiguration.

    Raises:
        MalformedXML: It is none.
    """
    from xml.etree.ElementTree import ParseError, fromstring

    wrong = MalformedXML("The XML you provided was not well-formed or did not validate against our published schema")
    # A zero byte: UTF-16, in which the rest of this line would be written otherwise.
    if b"\0" in body or b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise wrong
    try:
        root = fromstring(body)  # noqa: S314 - nothing can be defined in it that expands
    except (ParseError, ValueError):
        raise wrong from None
    if _name(root) != "NotificationConfiguration":
        raise wrong
    document: Document = {}
    for child in root:
        if _name(child) == "EventBridgeConfiguration":
            document["EventBridgeConfiguration"] = {}
            continue
        kind = next((kind for kind, (names, _) in _ELEMENTS.items() if _name(child) in names), None)
        if kind is None:
            raise wrong
        document.setdefault(kind, []).append(_configuration(child, kind))
    return document


def _configuration(element: Element, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {"Events": []}
    for child in element:
        name, text = _name(child), (child.text or "").strip()
        if name == "Id":
            found["Id"] = text
        elif name in _ELEMENTS[kind][1]:
            found[TARGETS[kind]] = text
        elif name == "Event":
            found["Events"].append(text)
        elif name == "Filter":
            rules = [rule for rule in child.iter() if _name(rule) == "FilterRule"]
            found["Filter"] = {"Key": {"FilterRules": [{_name(one): one.text or "" for one in rule} for rule in rules]}}
    return found


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def write_configuration(document: Mapping[str, Any]) -> bytes:
    """The document as GetBucketNotificationConfiguration answers it."""
    inner = ""
    for kind, ((element, *_), (target, *_)) in _ELEMENTS.items():
        for one in document.get(kind) or ():
            inner += f"<{element}>{_tag('Id', one.get('Id', ''))}{_tag(target, one[TARGETS[kind]])}"
            inner += "".join(_tag("Event", event) for event in one["Events"])
            rules = (one.get("Filter") or {}).get("Key", {}).get("FilterRules") or ()
            if rules:
                pairs = "".join(
                    f"<FilterRule>{_tag('Name', rule['Name'].title())}{_tag('Value', rule['Value'])}</FilterRule>"
                    for rule in rules
                )
                inner += f"<Filter><S3Key>{pairs}</S3Key></Filter>"
            inner += f"</{element}>"
    if "EventBridgeConfiguration" in document:
        inner += "<EventBridgeConfiguration></EventBridgeConfiguration>"
    text = f'{_HEAD}<NotificationConfiguration xmlns="{_S3}">{inner}</NotificationConfiguration>'
    return text.encode("utf-8", "replace")


def s3_answer(body: bytes, request_id: str) -> Response:
    """Success."""
    headers = [("x-amz-request-id", request_id)] + ([("Content-Type", "application/xml")] if body else [])
    return Response(200, headers, body)


def s3_refusal(error: LambdaError, path: str, request_id: str) -> Response:
    """An error of S3's."""
    code = "ServiceUnavailable" if error.http_status == 503 else error.code
    details = error.details if isinstance(error, InvalidArgument) else {}
    inner = "".join(_tag(name, value) for name, value in details.items())
    body = (
        f"{_HEAD}<Error>{_tag('Code', code)}{_tag('Message', error.message)}{inner}{_tag('Resource', path)}"
        f"{_tag('RequestId', request_id)}</Error>"
    )
    headers = [("Content-Type", "application/xml"), ("x-amz-request-id", request_id)]
    return Response(error.http_status, headers, body.encode("utf-8", "replace"))


# ── SNS ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def sns_answer(operation: str, result: str | None, request_id: str) -> Response:
    """Success.

    Args:
        result: XML inside the result element; None where the operation has none.
    """
    inner = "" if result is None else f"<{operation}Result>{result}</{operation}Result>"
    metadata = f"<ResponseMetadata>{_tag('RequestId', request_id)}</ResponseMetadata>"
    body = f'<{operation}Response xmlns="{_SNS}">{inner}{metadata}</{operation}Response>'
    return Response(200, _sns_headers(request_id), body.encode("utf-8", "replace"))


def sns_refusal(error: LambdaError, request_id: str) -> Response:
    """An error of SNS's."""
    code = "InvalidParameter" if isinstance(error, InvalidParameterException) else error.code
    fault = "Sender" if isinstance(error, ClientError) else "Receiver"
    inner = f"{_tag('Type', fault)}{_tag('Code', code)}{_tag('Message', error.message)}"
    body = f'<ErrorResponse xmlns="{_SNS}"><Error>{inner}</Error>{_tag("RequestId", request_id)}</ErrorResponse>'
    return Response(error.http_status, _sns_headers(request_id), body.encode("utf-8", "replace"))


def members(of: list[Mapping[str, str]]) -> str:
    """A list of structures of strings."""
    return "".join(f"<member>{''.join(_tag(name, value) for name, value in one.items())}</member>" for one in of)


def entries(of: Mapping[str, str]) -> str:
    """A map of strings."""
    return "".join(f"<entry>{_tag('key', key)}{_tag('value', value)}</entry>" for key, value in of.items())


def _sns_headers(request_id: str) -> list[tuple[str, str]]:
    return [("x-amzn-RequestId", request_id), ("Content-Type", "text/xml")]


def _tag(name: str, text: str) -> str:
    return f"<{name}>{escape(str(text), quote=False)}</{name}>"
