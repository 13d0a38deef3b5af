"""One AWS operation as bytes and back, by botocore's own models, serialisers and parsers; no client, no thread.

What botocore's clients add in handlers of their own is added here where the operations need it: idempotency tokens,
and the checksum that some operations of S3 require.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import threading
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

#: Responses above this are parsed in a thread.
_INLINE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Message:
    """One request, not signed."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def target(self) -> str:
        """As it goes over the wire."""
        return f"{self.path}?{self.query}" if self.query else self.path


class Wire:
    """One service."""

    def __init__(self, service: str) -> None:
        """Reads the service's description: some 50 ms, in a thread please."""
        import botocore.parsers
        import botocore.serialize
        from botocore.loaders import Loader
        from botocore.model import ServiceModel

        description = Loader().load_service_model(service, "service-2")
        self.service = service
        self.model = ServiceModel(description, service)
        protocol = self.model.resolved_protocol
        self._serializer = botocore.serialize.create_serializer(protocol, include_validation=True)
        self._parser = botocore.parsers.create_parser(protocol)

    @property
    def signing_name(self) -> str:
        """In a credential's scope."""
        return str(self.model.signing_name)

    def write(self, operation: str, params: dict[str, Any]) -> Message:
        """The request of an operation.

        Raises:
            botocore.exceptions.ParamValidationError: The parameters don't fit.
            botocore.model.OperationNotFoundError: No such operation.
        """
        model = self.model.operation_model(operation)
        given = {name: str(uuid.uuid4()) for name in model.idempotent_members if name not in params} | params
        made = self._serializer.serialize_to_request(given, model)
        body = made["body"]
        if isinstance(body, dict):
            body = urlencode(body)
        if isinstance(body, str):
            body = body.encode()
        headers = {str(name): _text(value) for name, value in made["headers"].items()}
        if "content-type" not in {name.lower() for name in headers} and self.model.metadata["protocol"] == "query":
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
        if _needs_checksum(model) and body:
            headers["Content-MD5"] = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        query = made["query_string"]
        if isinstance(query, dict):
            query = _query(query)
        path, _, fixed = made["url_path"].partition("?")
        return Message(made["method"], path or "/", "&".join(filter(None, (fixed, query))), headers, body)

    async def read(self, operation: str, status: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        """What an answer says; large ones are parsed in a thread.

        Raises:
            botocore.exceptions.ClientError: The service's error.
        """
        if len(body) > _INLINE_BYTES:
            return await asyncio.to_thread(self._read, operation, status, headers, body)
        return self._read(operation, status, headers, body)

    def _read(self, operation: str, status: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        from botocore.exceptions import ClientError

        model = self.model.operation_model(operation)
        streaming = model.has_streaming_output and status < 300
        content = io.BytesIO(body) if streaming else body  # bytes it would take for text
        answer = {"status_code": status, "headers": _Headers(headers), "body": content, "context": {}}
        parsed: dict[str, Any] = self._parser.parse(answer, model.output_shape)
        if status >= 300:
            raise ClientError(parsed, operation)
        if streaming:
            parsed[model.output_shape.serialization["payload"]] = body
        return parsed


class _Headers(dict[str, str]):
    """Found by names in whatever case, as botocore's parsers expect it."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in values.items()})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def get(self, name: str, default: Any = None) -> Any:
        """As a dict's."""
        return super().get(name.lower(), default)


def _needs_checksum(model: Any) -> bool:
    return bool(model.http_checksum_required or (model.http_checksum or {}).get("requestChecksumRequired"))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _query(values: dict[str, Any]) -> str:
    pairs = []
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            text = str(one).lower() if isinstance(one, bool) else str(one)
            pairs.append(f"{quote(str(name), safe='-_.~')}={quote(text, safe='-_.~')}")
    return "&".join(pairs)


_wires: dict[str, Wire] = {}
_reading = threading.Lock()


async def wire(service: str) -> Wire:
    """The service by botocore's name of it, read once.

    Raises:
        botocore.exceptions.UnknownServiceError: No such service.
    """
    known = _wires.get(service)
    return known if known is not None else await asyncio.to_thread(_load, service)


def _load(service: str) -> Wire:
    with _reading:
        if service not in _wires:
            _wires[service] = Wire(service)
        return _wires[service]
