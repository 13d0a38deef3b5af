"""awsJson 1.0 and 1.1: the operation in X-Amz-Target, parameters and results as one JSON object.

Source: Smithy specification, "AWS JSON 1.0 protocol" and "AWS JSON 1.1 protocol".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.rest_json import parse_json
from jupyter_lambda.errors import ClientError, LambdaError, NotImplementedException, SerializationException
from jupyter_lambda.http1 import Request, Response

from .rpc import RpcOperation, Wordings


class AwsJson:
    """The protocol for one service."""

    name = "json"

    def __init__(self, target_prefix: str, version: str, wordings: Wordings) -> None:
        """
        Args:
            version: "1.0" or "1.1".
        """
        self._prefix = target_prefix
        self._content_type = f"application/x-amz-json-{version}"
        self._wordings = wordings

    def means(self, request: Request) -> bool:
        """Whether a request is in this protocol."""
        return "x-amz-target" in request.headers

    def operation(self, request: Request) -> str:
        """The name after the dot of X-Amz-Target; "" for another service's."""
        prefix, _, name = request.headers["x-amz-target"].rpartition(".")
        return name if prefix == self._prefix and request.method == "POST" else ""

    def parse(self, operation: RpcOperation, request: Request) -> dict[str, Any]:
        """See ``RpcProtocol.parse``."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ("application/x-amz-json-1.0", "application/x-amz-json-1.1", "application/json"):
            raise SerializationException(f"Content-Type must be {self._content_type}, not '{kind[:64]}'")
        document = parse_json(request.body)
        decoded: dict[str, Any] = operation.input.decode(document) if operation.input else {}
        return decoded

    def respond(self, operation: RpcOperation, result: Mapping[str, Any], request_id: str) -> Response:
        """See ``RpcProtocol.respond``. An operation without output answers an empty body, as AWS does."""
        body = b""
        if operation.output is not None:
            document = operation.output.encode(result)
            body = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
        return Response(200, self._headers(request_id), body)

    def refuse(self, error: LambdaError, request_id: str) -> Response:
        """``__type`` is the error's shape; every mistake of the client is 400 unless the description says otherwise."""
        wording = self._wordings.of(error)
        headers = self._headers(request_id)
        headers.append(("x-amzn-ErrorType", wording.shape))
        if self._wordings.query_compatible:
            headers.append(("x-amzn-query-error", f"{wording.query_code};{wording.fault}"))
        body = json.dumps({"__type": wording.shape, "message": wording.message}, separators=(",", ":")).encode()
        status = wording.status or json_status(error)
        return Response(status, headers, body)

    def _headers(self, request_id: str) -> list[tuple[str, str]]:
        return [("x-amzn-RequestId", request_id), ("Content-Type", self._content_type)]


def json_status(error: LambdaError) -> int:
    """The HTTP status of an error whose shape names none: 400, or 500 and above for our own failures."""
    if isinstance(error, NotImplementedException):
        return error.http_status
    return 400 if isinstance(error, ClientError) else error.http_status
