"""AWS's query protocol: parameters as a form, results as XML.

Source: Smithy specification, "AWS query protocol".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape  # xml.sax.saxutils imports half of urllib
from typing import Any
from urllib.parse import parse_qsl

from jupyter_lambda.api.scalars import Shape, TimestampShape
from jupyter_lambda.api.shapes import ListShape, MapShape, StructureShape
from jupyter_lambda.errors import LambdaError, SerializationException
from jupyter_lambda.http1 import Request, Response

from .rpc import RpcOperation, Wordings

_FORM = "application/x-www-form-urlencoded"
#: Fields of one request; parts of one field's name.
_FIELDS_MAX, _DEPTH_MAX = 20_000, 32
#: What XML 1.0 can't carry, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Tree = dict[str, Any]


class Query:
    """The protocol for one service."""

    name = "query"

    def __init__(self, wordings: Wordings) -> None:
        self._wordings = wordings

    def means(self, request: Request) -> bool:
        """Whether a request is in this protocol: a form, or an Action in the address."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        return kind == _FORM or (request.path == "/" and "Action=" in request.query)

    def operation(self, request: Request) -> str:
        """The form's Action."""
        return _fields(request).get("Action", "")

    def parse(self, operation: RpcOperation, request: Request) -> dict[str, Any]:
        """See ``RpcProtocol.parse``."""
        if operation.input is None:
            return {}
        decoded: dict[str, Any] = _decode(operation.input, _tree(_fields(request)))
        return decoded

    def respond(self, operation: RpcOperation, result: Mapping[str, Any], request_id: str) -> Response:
        """See ``RpcProtocol.respond``."""
        inner = ""
        if operation.output is not None:
            wrapper = operation.result_wrapper or f"{operation.name}Result"
            inner = f"<{wrapper}>{_members(operation.output, result)}</{wrapper}>"
        metadata = f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        body = f"<{operation.name}Response{self._namespace}>{inner}{metadata}</{operation.name}Response>"
        return self._xml(200, body, request_id)

    def refuse(self, error: LambdaError, request_id: str) -> Response:
        """AWS's ErrorResponse document."""
        wording = self._wordings.of(error)
        body = (
            f"<ErrorResponse{self._namespace}><Error><Type>{wording.fault}</Type>"
            f"<Code>{_text(wording.query_code)}</Code><Message>{_text(wording.message)}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        status = 400 if wording.query_code == "InvalidAction" else wording.status or error.http_status
        return self._xml(status, body, request_id)

    @property
    def _namespace(self) -> str:
        return f' xmlns="{self._wordings.xml_namespace}"' if self._wordings.xml_namespace else ""

    @staticmethod
    def _xml(status: int, body: str, request_id: str) -> Response:
        return Response(status, [("x-amzn-RequestId", request_id), ("Content-Type", "text/xml")], body.encode())


def _fields(request: Request) -> dict[str, str]:
    """Names and values of the form, or of the address of a GET.

    Raises:
        SerializationException: It is no form.
    """
    try:
        text = request.query if request.method == "GET" else request.body.decode("ascii")
        return dict(
            parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MAX, encoding="utf-8", errors="strict")
        )
    except (ValueError, RecursionError) as exc:
        raise SerializationException(f"Could not parse request body as a form: {exc}"[:512]) from None


def _tree(fields: Mapping[str, str]) -> Tree:
    """``Dimensions.member.1.Name=x`` → {"Dimensions": {"member": {"1": {"Name": "x"}}}}."""
    tree: Tree = {}
    for name, value in fields.items():
        parts = name.split(".", _DEPTH_MAX)
        node = tree
        for part in parts[:-1]:
            following = node.setdefault(part, {})
            if not isinstance(following, dict):
                raise SerializationException(f"The field {name[:128]} contradicts another one")
            node = following
        if isinstance(node.get(parts[-1]), dict):
            raise SerializationException(f"The field {name[:128]} contradicts another one")
        node[parts[-1]] = value
    return tree


def _decode(shape: Shape, node: Any) -> Any:
    if isinstance(shape, StructureShape):
        branch = _branch(shape, node)
        return {
            name: _decode(member, branch[wire])
            for name, (wire, member) in shape.members.items()
            if branch.get(wire) is not None
        }
    if isinstance(shape, ListShape):
        if node == "":
            return []
        branch = _branch(shape, node)
        return [_decode(shape.member, item) for item in _numbered(_branch(shape, branch.get("member", branch)))]
    if isinstance(shape, MapShape):
        entries = _numbered(_branch(shape, _branch(shape, node).get("entry", {})))
        pairs = [_branch(shape, entry) for entry in entries]
        return {str(pair.get("key", "")): _decode(shape.value, pair.get("value", "")) for pair in pairs}
    if not isinstance(node, str):
        raise SerializationException("A structure can not be converted to a String")
    return shape.decode_text(node)


def _branch(shape: Shape, node: Any) -> Tree:
    if not isinstance(node, dict):
        raise SerializationException(f"STRING_VALUE can not be converted to a {shape.kind}")
    return node


def _numbered(items: Tree) -> list[Any]:
    """The items of a list in the order of their numbers."""
    try:
        ordered = sorted(items, key=int)
    except ValueError:
        raise SerializationException("A list's items must be numbered: member.1, member.2") from None
    return [items[number] for number in ordered]


def _members(shape: StructureShape, value: Mapping[str, Any]) -> str:
    parts = []
    for name, (wire, member) in shape.members.items():
        item = value.get(name)
        if item is not None:
            parts.append(f"<{wire}>{_encode(member, item)}</{wire}>")
    return "".join(parts)


def _encode(shape: Shape, value: Any) -> str:
    if isinstance(shape, StructureShape):
        return _members(shape, value)
    if isinstance(shape, ListShape):
        return "".join(f"<member>{_encode(shape.member, item)}</member>" for item in value)
    if isinstance(shape, MapShape):
        entries = (
            f"<entry><key>{_text(key)}</key><value>{_encode(shape.value, item)}</value></entry>"
            for key, item in value.items()
        )
        return "".join(entries)
    if isinstance(shape, TimestampShape):
        return iso_time(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return _text(str(shape.encode(value)))


def iso_time(seconds: float) -> str:
    """2026-11-24T03:28:00Z; milliseconds where there are some."""
    moment = datetime.fromtimestamp(seconds, UTC)
    form = "%Y-%m-%dT%H:%M:%SZ" if not moment.microsecond else "%Y-%m-%dT%H:%M:%S.%fZ"
    return moment.strftime(form)


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("�", text), quote=False)
