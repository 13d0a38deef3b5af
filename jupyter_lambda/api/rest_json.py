"""AWS's rest-json protocol: requests to parameters, results to responses, errors to bodies; compiled per operation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs

from jupyter_lambda.errors import LambdaError, SerializationException, UnknownOperationException, ValidationException
from jupyter_lambda.http1 import Request, Response

from .routing import Router
from .scalars import Shape
from .shapes import Shapes, StructureShape

_JSON = ("Content-Type", "application/json")
#: Of one address: combinations of headers whose parameters are kept, and characters of one.
_KNOWN_MAX, _KNOWN_MAX_CHARS = 16, 512
#: Error codes that AWS answers with ``Message`` although the description has no shape for them.
_MESSAGE_KEYS = {"AccessDeniedException": "Message"}


class Operation:
    """One operation: how its requests are read and its results are written."""

    def __init__(
        self,
        name: str,
        spec: Mapping[str, Any],
        shapes: Shapes,
        broken_constraint: type[LambdaError] = ValidationException,
    ) -> None:
        """
        Args:
            broken_constraint: What the service's servers answer where a constraint of the description is broken.
        """
        self.name = name
        self.method: str = spec["http"]["method"]
        self.template: str = spec["http"]["requestUri"]
        #: True where the operation leaves everything as it was.
        self.readonly = bool(spec.get("readonly")) or self.method == "GET"
        self._spec = spec
        self._shapes = shapes
        self._broken_constraint = broken_constraint

    @cached_property
    def input(self) -> Input:
        """Compiled when the operation is first used."""
        name = self._spec.get("input", {}).get("shape")
        return Input(self._shapes, name, self._broken_constraint)

    @cached_property
    def output(self) -> Output:
        """Compiled when the operation is first used."""
        name = self._spec.get("output", {}).get("shape")
        return Output(self._shapes, name, self._spec["http"].get("responseCode", 200))

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the request's members."""
        return tuple(self.input.shape.members) if self.input.shape else ()


class Input:
    """Reads one operation's parameters out of a request."""

    def __init__(self, shapes: Shapes, name: str | None, broken_constraint: type[LambdaError]) -> None:
        self._broken_constraint = broken_constraint
        self.shape: StructureShape | None = shapes.structure(name) if name else None
        spec = shapes.spec(name) if name else {}
        self.payload: str | None = spec.get("payload")
        self._uri: list[tuple[str, str, Shape]] = []
        self._query: list[tuple[str, str, Shape]] = []
        #: The member that takes all query parameters which no other member has.
        self._query_rest: str | None = None
        self._headers: list[tuple[str, str, Shape]] = []
        self._body: list[tuple[str, str, Shape]] = []
        places = {"uri": self._uri, "querystring": self._query, "header": self._headers}
        for member, ref in spec.get("members", {}).items():
            wire, shape = ref.get("locationName", member), shapes[ref["shape"]]
            place = ref.get("location")
            if place == "header":
                wire = wire.lower()
            if place is None and member == self.payload:
                continue
            if place == "querystring" and shape.kind == "map":
                self._query_rest = member
                continue
            places.get(place, self._body).append((member, wire, shape))
        self._free = self.shape is None or self.shape.free
        self._wires = tuple(wire for _, wire, _ in self._headers)
        #: The structure that the body is as a whole; None where it is bytes, or its members are parameters.
        self._document: Shape | None = None
        if self.payload and shapes[spec["members"][self.payload]["shape"]].kind == "structure":
            self._document = shapes[spec["members"][self.payload]["shape"]]
        #: The member that is the body as it stands, if nothing is demanded of it: address and headers say the rest.
        self._as_it_stands = self.payload
        if self.payload and not shapes[spec["members"][self.payload]["shape"]].free:
            self._as_it_stands = None

    def parse(
        self, request: Request, labels: Mapping[str, str], known: dict[Any, dict[str, Any]] | None = None
    ) -> dict[str, Any]:
        """The parameters, checked.

        Args:
            known: Kept by the caller for each address (labels and query): what was read of earlier requests.
        Raises:
            SerializationException: The body is not JSON, or a member has another type.
            ValidationException: A constraint of the description is broken; AWS's sentences.
        """
        payload = self._as_it_stands
        if known is None or payload is None:
            return self._read(request, labels)
        headers = request.headers
        key = tuple([headers.get(wire) for wire in self._wires])
        params = known.get(key)
        if params is None:
            params = self._read(request, labels)
            if len(known) < _KNOWN_MAX and sum(len(text) for text in key if text) <= _KNOWN_MAX_CHARS:
                known[key] = {name: value for name, value in params.items() if name != payload}
            return params
        return {**params, payload: request.body}

    def _read(self, request: Request, labels: Mapping[str, str]) -> dict[str, Any]:
        params: dict[str, Any] = {}
        for member, wire, shape in self._uri:
            params[member] = shape.decode_text(labels[wire])
        if self._headers:
            headers = request.headers
            for member, wire, shape in self._headers:
                text = headers.get(wire)
                if text is not None:
                    params[member] = shape.decode_text(text)
        if request.query and (self._query or self._query_rest):
            self._parse_query(request.query, params)
        if self.payload:
            params[self.payload] = (
                request.body if self._document is None else self._document.decode(parse_json(request.body))
            )
        elif self._body:
            self._parse_body(request.body, params)
        if not self._free and self.shape:
            found: list[str] = []
            self.shape.check(params, "", found)
            if found:
                raise self._broken_constraint(sentences(found))
        return params

    def _parse_query(self, query: str, params: dict[str, Any]) -> None:
        try:
            given = parse_qs(query, keep_blank_values=True, max_num_fields=1000)
        except ValueError:
            raise SerializationException("the query string has more than 1000 parameters") from None
        for member, wire, shape in self._query:
            texts = given.get(wire)
            if texts is None:
                continue
            params[member] = shape.decode(texts) if shape.kind == "list" else shape.decode_text(texts[-1])
        if self._query_rest:
            named = {wire for _, wire, _ in self._query}
            params[self._query_rest] = {name: texts[-1] for name, texts in given.items() if name not in named}

    def _parse_body(self, body: bytes, params: dict[str, Any]) -> None:
        document = parse_json(body)
        for member, wire, shape in self._body:
            value = document.get(wire)
            if value is not None:
                params[member] = shape.decode(value)


class Output:
    """Writes one operation's result as a response."""

    def __init__(self, shapes: Shapes, name: str | None, status: int) -> None:
        spec = shapes.spec(name) if name else {}
        self.status = status
        self.payload: str | None = spec.get("payload")
        self.status_member: str | None = None
        #: An event stream says by itself what it is.
        streams = self.payload and shapes.spec(spec["members"][self.payload]["shape"]).get("eventstream")
        self._payload_type: list[tuple[str, str]] = [] if streams else [_JSON]
        self._headers: list[tuple[str, str]] = []
        self._body: list[tuple[str, str, Shape]] = []
        for member, ref in spec.get("members", {}).items():
            wire = ref.get("locationName", member)
            match ref.get("location"):
                case "statusCode":
                    self.status_member = member
                case "header":
                    self._headers.append((member, wire))
                case _ if member != self.payload:
                    self._body.append((member, wire, shapes[ref["shape"]]))

    def write(self, result: Mapping[str, Any], headers: list[tuple[str, str]]) -> Response:
        """The response; members that are None or missing are left out, as AWS does."""
        status = result.get(self.status_member, self.status) if self.status_member else self.status
        for member, wire in self._headers:
            value = result.get(member)
            if value is not None:
                headers.append((wire, str(value)))
        if self.payload:
            headers += self._payload_type
            return Response(status, headers, result.get(self.payload) or b"")
        if status == 204 or not self._body:
            return Response(status, headers)
        document = {}
        for member, wire, shape in self._body:
            value = result.get(member)
            if value is not None:
                document[wire] = shape.encode(value)
        headers.append(_JSON)
        return Response(status, headers, json.dumps(document, separators=(",", ":")).encode())


class RestJson:
    """All operations of one service that speaks rest-json."""

    def __init__(
        self, description: Mapping[str, Any], broken_constraint: type[LambdaError] = ValidationException
    ) -> None:
        """
        Args:
            broken_constraint: What the service's servers answer where a constraint of the description is broken.
        """
        self.signing_name: str = description["metadata"].get("signingName") or description["metadata"]["endpointPrefix"]
        self.title: str = description["metadata"]["serviceFullName"]
        shapes = Shapes(description)
        self.operations = {
            n: Operation(n, spec, shapes, broken_constraint) for n, spec in description["operations"].items()
        }
        self._router: Router[Operation] = Router()
        for operation in self.operations.values():
            self._router.add(operation.method, operation.template, operation)
        #: Error code → what its shape calls the message.
        self._message_keys = dict(_MESSAGE_KEYS)
        #: Error code → HTTP status, as this service has it.
        self._statuses: dict[str, int | None] = {}
        for name, spec in description["shapes"].items():
            if spec.get("exception"):
                keys = [r.get("locationName", m) for m, r in spec.get("members", {}).items() if m.lower() == "message"]
                self._message_keys[name] = keys[0] if keys else "message"
                self._statuses[name] = (spec.get("error") or {}).get("httpStatusCode")
        self._with_type = {n for n, s in description["shapes"].items() if "Type" in s.get("members", {})}

    def find(self, request: Request) -> tuple[Operation, dict[str, str]]:
        """The operation that a request means, and the labels in its path.

        Raises:
            UnknownOperationException: There is none.
        """
        found = self._router.find(request.method, request.path, request.query)
        if found is None:
            raise UnknownOperationException(f"{self.title} has no operation at {request.method} {request.path[:256]}")
        return found

    def refuse(self, error: LambdaError, headers: list[tuple[str, str]]) -> Response:
        """An error as AWS writes it: its code in a header, its message under the name that its shape gives it."""
        code = error.code
        body: dict[str, str] = {}
        if code in self._with_type:
            body["Type"] = error.fault
        body[self._message_keys.get(code, "message")] = error.message
        reason = getattr(error, "reason", None)
        if reason:
            body["Reason"] = reason
        retry_after_s = getattr(error, "retry_after_s", None)
        if retry_after_s is not None:
            headers.append(("Retry-After", str(retry_after_s)))
        headers.append(("x-amzn-ErrorType", code))
        headers.append(_JSON)
        status = self._statuses.get(code) or error.http_status
        return Response(status, headers, json.dumps(body, separators=(",", ":")).encode())


def sentences(found: list[str]) -> str:
    """AWS's joined text for broken constraints."""
    plural = "s" if len(found) > 1 else ""
    return f"{len(found)} validation error{plural} detected: {'; '.join(found)}"


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
decode_json: Callable[[str], Any] = _decoder.decode
#: One value that begins at a position: itself, and where it ends.
scan_json: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once  # type: ignore[attr-defined]  # typeshed lacks it


def parse_json(body: bytes) -> dict[str, Any]:
    """A request body that must be one JSON object; an empty body is an empty one.

    Raises:
        SerializationException: It is not.
    """
    if not body:
        return {}
    try:
        document = decode_json(body.decode())
    except (ValueError, RecursionError) as exc:
        raise SerializationException(f"Could not parse request body into json: {exc}"[:512]) from None
    if not isinstance(document, dict):
        raise SerializationException("Could not parse request body into json: it is not an object")
    return document
