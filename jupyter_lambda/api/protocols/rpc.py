"""What the RPC protocols share: operations by name, and what a protocol must be able to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from jupyter_lambda.api.shapes import Shapes, StructureShape
from jupyter_lambda.errors import ClientError, LambdaError
from jupyter_lambda.http1 import Request, Response


class RpcOperation:
    """One operation: what it takes and what it answers."""

    def __init__(self, name: str, spec: Mapping[str, Any], shapes: Shapes) -> None:
        self.name = name
        self._spec = spec
        self._shapes = shapes
        #: The XML element around a result in the query protocol.
        self.result_wrapper: str | None = spec.get("output", {}).get("resultWrapper")

    @cached_property
    def input(self) -> StructureShape | None:
        """Compiled when the operation is first used; None where it takes nothing."""
        return self._structure("input")

    @cached_property
    def output(self) -> StructureShape | None:
        """Compiled when the operation is first used; None where it answers nothing."""
        return self._structure("output")

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the request's members."""
        return tuple(self.input.members) if self.input else ()

    def _structure(self, side: str) -> StructureShape | None:
        name = self._spec.get(side, {}).get("shape")
        return self._shapes.structure(name) if name else None


@dataclass(frozen=True, slots=True)
class Wording:
    """An error as it is told on the wire."""

    #: Name of the error's shape, "InvalidParameterValueException": what JSON and CBOR clients read.
    shape: str
    #: Code of the query protocol, "InvalidParameterValue"; also x-amzn-query-error's.
    query_code: str
    #: "Sender" or "Receiver".
    fault: str
    #: HTTP status by the description; None where it says nothing.
    status: int | None
    message: str


#: Codes of the query protocol for what every service can answer. Source: CloudWatch API Reference, "Common Errors".
_COMMON_CODES = {
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "UnrecognizedClientException": "InvalidClientTokenId",
    "ExpiredTokenException": "ExpiredToken",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "IncompleteSignatureException": "IncompleteSignature",
    "AccessDeniedException": "AccessDenied",
    "UnknownOperationException": "InvalidAction",
    "ValidationException": "ValidationError",
    "SerializationException": "MalformedInput",
    "ServiceException": "InternalFailure",
    "ServiceUnavailableException": "ServiceUnavailable",
}


class Wordings:
    """Words errors as one service's description has them."""

    def __init__(self, description: Mapping[str, Any] | None) -> None:
        """
        Args:
            description: None where the service isn't known (yet): a request that nobody can have signed.
        """
        shapes: Mapping[str, Any] = description["shapes"] if description else {}
        self._errors = {n: s.get("error") or {} for n, s in shapes.items() if s.get("exception")}
        metadata = description["metadata"] if description else {}
        #: Whether clients of the former query protocol are told its codes in a header.
        self.query_compatible = "awsQueryCompatible" in metadata
        self.xml_namespace: str = metadata.get("xmlNamespace", "")

    def of(self, error: LambdaError) -> Wording:
        """One error's wording."""
        described = self._errors.get(error.code, {})
        return Wording(
            shape=error.code,
            query_code=described.get("code") or _COMMON_CODES.get(error.code, error.code),
            fault="Sender" if isinstance(error, ClientError) else "Receiver",
            status=described.get("httpStatusCode"),
            message=error.message,
        )


class RpcProtocol(Protocol):
    """What each protocol's class does."""

    #: As the description's ``protocols`` names it.
    name: str

    def means(self, request: Request) -> bool:
        """Whether a request is in this protocol."""

    def operation(self, request: Request) -> str:
        """The name of the operation that a request means; "" where it says none."""

    def parse(self, operation: RpcOperation, request: Request) -> dict[str, Any]:
        """The parameters, of the right types; constraints are not checked yet.

        Raises:
            SerializationException: The body is not of this protocol, or a member has another type.
        """

    def respond(self, operation: RpcOperation, result: Mapping[str, Any], request_id: str) -> Response:
        """The response; members that are None or missing are left out."""

    def refuse(self, error: LambdaError, request_id: str) -> Response:
        """The error as AWS writes it in this protocol."""
