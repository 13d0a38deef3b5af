"""Signature version 4 as S3 has it: paths encoded once and as they are, bodies unsigned, or signed in chunks.

Source: Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote, unquote_to_bytes

from jupyter_lambda.api import canonical
from jupyter_lambda.api.claims import Claim
from jupyter_lambda.api.sigv4 import MISMATCH, Credential, Credentials, SigningKey, Verifier
from jupyter_lambda.errors import InvalidSignatureException, NotImplementedException
from jupyter_lambda.http1 import Request
from jupyter_lambda.signing import ALGORITHM

from . import presigned_v2
from .chunked import ChunkSigner, chunks

C = TypeVar("C", bound=Credential)
UNSIGNED = "UNSIGNED-PAYLOAD"
_HASH = "x-amz-content-sha256"
_SIGNED_CHUNKS = frozenset({"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"})
_UNSIGNED_CHUNKS = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


@dataclass(frozen=True, slots=True)
class Verified(Generic[C]):
    """A request whose head is what its sender signed; the body is verified as it is read."""

    credential: C
    #: The value of x-amz-content-sha256, or UNSIGNED.
    payload: str
    claim: Claim | None
    key: SigningKey | None

    @property
    def in_chunks(self) -> bool:
        """Whether the body is in frames of aws-chunked."""
        return self.payload in _SIGNED_CHUNKS or self.payload == _UNSIGNED_CHUNKS

    async def body(self, source: AsyncIterator[bytes], *, framed: bool) -> AsyncIterator[bytes]:
        """The body as it is read. Its end is held back until it is verified, so that nothing false is ever whole.

        Args:
            framed: Whether frames of aws-chunked are passed on or taken off.
        Raises:
            InvalidSignatureException: It is not what was signed.
        """
        if self.in_chunks:
            signer = None
            if self.payload in _SIGNED_CHUNKS and self.claim is not None and self.key is not None:
                signer = ChunkSigner(self.key, self.claim.stamp, self.claim.scope.text, self.claim.signature)
            async for part in chunks(source, signer, framed=framed):
                yield part
            return
        hashed = hashlib.sha256()
        held = b""
        async for part in source:
            if self.payload != UNSIGNED:
                hashed.update(part)
            if held:
                yield held
            held = part
        if self.payload != UNSIGNED and not hmac.compare_digest(hashed.hexdigest(), self.payload):
            raise InvalidSignatureException(
                "The provided 'x-amz-content-sha256' header does not match what was computed."
            )
        if held:
            yield held


class S3Verifier(Verifier[C]):
    """Verifies requests signed for S3."""

    def __init__(self, credentials: Credentials[C], region: str) -> None:
        super().__init__(credentials, region, frozenset({"s3"}))

    def verify_head(self, request: Request, path: str, now_s: float) -> Verified[C]:
        """Establish who is asking; the body is still to be verified.

        Args:
            path: In path style, /BUCKET/KEY; the request's own is without the bucket if its host names it.
        Raises:
            SignatureError: One of its subclasses.
            NotImplementedException: A way to sign bodies that is not built.
        """
        if presigned_v2.MARK in request.query and "authorization" not in request.headers:
            return Verified(presigned_v2.verify(self._credentials, request, path, now_s), UNSIGNED, None, None)
        claim, layout, credential, key = self.identify(request, now_s)
        payload = request.headers.get(_HASH)
        if payload is None:
            if claim.expires_s is None:
                raise InvalidSignatureException("Missing required header for this request: x-amz-content-sha256")
            payload = UNSIGNED
        if payload.startswith("STREAMING-") and payload not in _SIGNED_CHUNKS and payload != _UNSIGNED_CHUNKS:
            raise NotImplementedException(f"bodies signed as {payload[:64]!r} are not built")
        lines = "".join([f"{name}:{canonical.trim(request.headers.get(name, ''))}\n" for name in layout.names])
        tail = f"\n{layout.signed_headers}\n{payload}"
        expected = claim.signature.encode()
        encoded = quote(unquote_to_bytes(request.path.encode("latin-1")), safe="/-_.~")
        queries = dict.fromkeys((canonical.raw_query(request.query), canonical.encoded_query(request.query)))
        for spelling in dict.fromkeys((encoded, request.path)):
            for query in queries:
                text = f"{request.method}\n{spelling}\n{query}\n{lines}{tail}"
                hashed = hashlib.sha256(text.encode()).hexdigest()
                computed = key.sign(f"{ALGORITHM}\n{claim.stamp}\n{layout.scope_text}\n{hashed}")
                if hmac.compare_digest(computed.encode(), expected):
                    return Verified(credential, payload, claim, key)
        raise InvalidSignatureException(MISMATCH)
