"""smithy's rpc-v2-cbor: the operation in the path, parameters and results as one CBOR map.

Source: Smithy specification, "Smithy RPC v2 CBOR protocol".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from jupyter_lambda.api.scalars import BlobShape, NumberShape, Shape, TimestampShape
from jupyter_lambda.api.shapes import ListShape, MapShape, StructureShape
from jupyter_lambda.errors import LambdaError, SerializationException
from jupyter_lambda.http1 import Request, Response

from . import cbor
from .rpc import RpcOperation, Wordings

_PROTOCOL = ("Smithy-Protocol", "rpc-v2-cbor")
_CONTENT_TYPE = "application/cbor"


class RpcV2Cbor:
    """The protocol for one service."""

    name = "smithy-rpc-v2-cbor"

    def __init__(self, target_prefix: str, wordings: Wordings) -> None:
        self._path = f"/service/{target_prefix}/operation/"
        self._wordings = wordings

    def means(self, request: Request) -> bool:
        """Whether a request is in this protocol."""
        return request.headers.get("smithy-protocol") == _PROTOCOL[1]

    def operation(self, request: Request) -> str:
        """The last segment of the path; "" for another service's."""
        head, name = request.path[: len(self._path)], request.path[len(self._path) :]
        return name if head == self._path and request.method == "POST" else ""

    def parse(self, operation: RpcOperation, request: Request) -> dict[str, Any]:
        """See ``RpcProtocol.parse``."""
        if operation.input is None or not request.body:
            return {}
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != _CONTENT_TYPE:
            raise SerializationException(f"Content-Type must be {_CONTENT_TYPE}, not '{kind[:64]}'")
        try:
            document = cbor.loads(request.body)
        except cbor.CborError as exc:
            raise SerializationException(f"Could not parse request body into CBOR: {exc}") from None
        if not isinstance(document, dict):
            raise SerializationException("Could not parse request body into CBOR: it is not a map")
        decoded: dict[str, Any] = operation.input.decode(document)
        return decoded

    def respond(self, operation: RpcOperation, result: Mapping[str, Any], request_id: str) -> Response:
        """See ``RpcProtocol.respond``."""
        headers = [("x-amzn-RequestId", request_id), _PROTOCOL]
        if operation.output is None:
            return Response(200, headers)
        headers.append(("Content-Type", _CONTENT_TYPE))
        return Response(200, headers, cbor.dumps(encode(operation.output, result)))

    def refuse(self, error: LambdaError, request_id: str) -> Response:
        """``__type`` is the error's shape, in CBOR."""
        wording = self._wordings.of(error)
        headers = [("x-amzn-RequestId", request_id), _PROTOCOL, ("Content-Type", _CONTENT_TYPE)]
        if self._wordings.query_compatible:
            headers.append(("x-amzn-query-error", f"{wording.query_code};{wording.fault}"))
        body = cbor.dumps({"__type": wording.shape, "message": wording.message})
        return Response(wording.status or error.http_status, headers, body)


def encode(shape: Shape, value: Any) -> Any:
    """A result's value as ``cbor.dumps`` wants it: times marked, integers and doubles told apart."""
    if isinstance(shape, StructureShape):
        return {
            wire: encode(member, value[name])
            for name, (wire, member) in shape.members.items()
            if value.get(name) is not None
        }
    if isinstance(shape, ListShape):
        return [encode(shape.member, item) for item in value]
    if isinstance(shape, MapShape):
        return {key: encode(shape.value, item) for key, item in value.items()}
    if isinstance(shape, TimestampShape):
        return cbor.EpochTime(value)
    if isinstance(shape, NumberShape):
        return int(value) if shape.whole else _double(value)
    return bytes(value) if isinstance(shape, BlobShape) else value


def _double(value: float) -> float:
    number = float(value)
    if math.isnan(number):
        raise ValueError("a result holds NaN")
    return number
