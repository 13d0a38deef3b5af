"""Bodies in frames of aws-chunked: ``SIZE;chunk-signature=…``, the data, and at the end maybe trailers.

Source: Amazon S3 API Reference, "Signature calculations for the Authorization header: transferring payload in multiple
chunks", and the same "with trailing headers".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from jupyter_lambda.api.sigv4 import EMPTY_SHA256, MISMATCH, SigningKey
from jupyter_lambda.errors import InvalidSignatureException, SerializationException

if TYPE_CHECKING:
    from hashlib import _Hash

#: Bytes of one frame's first line, and of all trailers.
_LINE_MAX_BYTES, _TRAILERS_MAX_BYTES = 1024, 16 * 1024


class ChunkSigner:
    """Each chunk's signature covers the one before it; the first covers the request's own."""

    def __init__(self, key: SigningKey, stamp: str, scope_text: str, seed: str) -> None:
        self._key, self._head, self._previous = key, f"{stamp}\n{scope_text}", seed
        self._data: _Hash = hashlib.sha256()

    def update(self, data: bytes) -> None:
        """A part of the chunk's data."""
        self._data.update(data)

    def check_chunk(self, signature: str) -> None:
        """The chunk is whole.

        Raises:
            InvalidSignatureException: It is not what was signed.
        """
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{self._head}\n{self._previous}\n{EMPTY_SHA256}\n{self._data.hexdigest()}"
        self._check(text, signature)
        self._data = hashlib.sha256()

    def check_trailers(self, trailers: list[tuple[str, str]], signature: str) -> None:
        """All trailers but their signature have come.

        Raises:
            InvalidSignatureException: They are not what was signed.
        """
        lines = "".join([f"{name}:{value}\n" for name, value in sorted(trailers)])
        hashed = hashlib.sha256(lines.encode()).hexdigest()
        self._check(f"AWS4-HMAC-SHA256-TRAILER\n{self._head}\n{self._previous}\n{hashed}", signature)

    def _check(self, text: str, signature: str) -> None:
        expected = self._key.sign(text)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise InvalidSignatureException(MISMATCH)
        self._previous = expected


class _Source:
    """Lines and runs of bytes out of parts of whatever size."""

    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts
        self._held = b""

    async def line(self, most_bytes: int) -> bytes:
        """Up to and with the next line break."""
        while (end := self._held.find(b"\r\n")) < 0:
            if len(self._held) > most_bytes:
                raise SerializationException("a line of the aws-chunked body is too long")
            self._held += await self._next()
        line, self._held = self._held[: end + 2], self._held[end + 2 :]
        return line

    async def some(self, most_bytes: int) -> bytes:
        """At least one byte."""
        if not self._held:
            self._held = await self._next()
        data, self._held = self._held[:most_bytes], self._held[most_bytes:]
        return data

    async def _next(self) -> bytes:
        async for part in self._parts:
            if part:
                return part
        raise SerializationException("the aws-chunked body ends too early")


async def chunks(parts: AsyncIterator[bytes], signer: ChunkSigner | None, *, framed: bool) -> AsyncIterator[bytes]:
    """The body, verified frame by frame; the last frame comes only after all is verified.

    Args:
        signer: None where only the head is signed.
        framed: Whether frames are passed on or taken off.
    Raises:
        InvalidSignatureException: A frame is not what was signed.
        SerializationException: Not in such frames.
    """
    source = _Source(parts)
    while True:
        first = await source.line(_LINE_MAX_BYTES)
        size, signature = _frame(first)
        if size == 0:
            break
        if framed:
            yield first
        while size:
            data = await source.some(size)
            size -= len(data)
            if signer is not None:
                signer.update(data)
            yield data
        if await source.line(2) != b"\r\n":
            raise SerializationException("a chunk of the aws-chunked body is longer than it says")
        if signer is not None:
            signer.check_chunk(signature)
        if framed:
            yield b"\r\n"
    if signer is not None:
        signer.check_chunk(signature)
    trailers = await _trailers(source, signer)
    if framed:
        yield first + trailers


def _frame(line: bytes) -> tuple[int, str]:
    size, _, rest = line.strip().decode("latin-1").partition(";")
    try:
        return int(size, 16), rest.partition("chunk-signature=")[2].strip()
    except ValueError:
        raise SerializationException(f"{size[:32]!r} is not the size of a chunk") from None


async def _trailers(source: _Source, signer: ChunkSigner | None) -> bytes:
    """What stands after the last chunk, up to and with the empty line."""
    lines: list[bytes] = []
    fields: list[tuple[str, str]] = []
    signature = ""
    while (line := await source.line(_LINE_MAX_BYTES)) != b"\r\n":
        lines.append(line)
        if sum(map(len, lines)) > _TRAILERS_MAX_BYTES:
            raise SerializationException("the trailers of the aws-chunked body are too large")
        name, _, value = line.decode("latin-1").strip().partition(":")
        if name.strip().lower() == "x-amz-trailer-signature":
            signature = value.strip()
        elif name.strip():
            fields.append((name.strip().lower(), value.strip()))
    if signer is not None and (fields or signature):
        signer.check_trailers(fields, signature)
    return b"".join(lines) + b"\r\n"
