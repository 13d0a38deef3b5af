"""What S3 has of its own: bodies in signed chunks (AWS's own example), unsigned ones, paths as they are, old URLs."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_lambda.api.forward.chunked import ChunkSigner, chunks
from jupyter_lambda.api.forward.s3_signature import S3Verifier
from jupyter_lambda.api.sigv4 import SigningKey
from jupyter_lambda.engine.credentials import Credential
from jupyter_lambda.errors import (
    AccessDeniedException,
    InvalidSignatureException,
    NotImplementedException,
    SerializationException,
    UnrecognizedClientException,
)
from jupyter_lambda.http1 import Request

#: Amazon S3 API Reference, "Signature calculations … multiple chunks": its example, 65 kB of "a" in two chunks.
SECRET, STAMP, SCOPE = (
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "20130524T000000Z",
    "20130524/us-east-1/s3/aws4_request",
)
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
FIRST = "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
SECOND = "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
LAST = "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
BODY = (
    f"10000;chunk-signature={FIRST}\r\n".encode() + b"a" * 65536 + b"\r\n"
    + f"400;chunk-signature={SECOND}\r\n".encode() + b"a" * 1024 + b"\r\n"
    + f"0;chunk-signature={LAST}\r\n\r\n".encode()
)  # fmt: skip


def signer() -> ChunkSigner:
    return ChunkSigner(SigningKey(SECRET, "20130524", "us-east-1", "s3"), STAMP, SCOPE, SEED)


async def split(data: bytes, size: int) -> AsyncIterator[bytes]:
    for i in range(0, len(data), size):
        yield data[i : i + size]


async def collect(parts: AsyncIterator[bytes], into: list[bytes]) -> None:
    async for part in parts:
        into += [part]


async def read(data: bytes, signed: ChunkSigner | None, *, size: int = 1000, framed: bool = False) -> bytes:
    return b"".join([part async for part in chunks(split(data, size), signed, framed=framed)])


@pytest.mark.parametrize("size", [1, 7, 1000, 70_000])
async def test_awss_own_example(size: int) -> None:
    assert await read(BODY, signer(), size=size) == b"a" * 66560
    assert await read(BODY, signer(), size=size, framed=True) == BODY


async def test_a_changed_byte_or_order_is_found_before_the_end_is_passed_on() -> None:
    for wrong in (BODY.replace(b"aaaa\r\n400", b"aaab\r\n400"), BODY.replace(LAST.encode(), FIRST.encode())):
        passed: list[bytes] = []
        with pytest.raises(InvalidSignatureException):
            await collect(chunks(split(wrong, 5000), signer(), framed=True), passed)
        assert b"\r\n0;" not in b"".join(passed)


@pytest.mark.parametrize("cut", [10, 500, 65_700, len(BODY) - 2, len(BODY) - 100])
async def test_a_body_that_ends_early_is_never_whole(cut: int) -> None:
    with pytest.raises(SerializationException):
        await read(BODY[:cut], signer())


async def test_trailers() -> None:
    plain = b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n"
    assert await read(plain, None, size=2) == b"abc"
    assert await read(plain, None, framed=True) == plain
    for nonsense in (b"zz\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"1" * 5000):
        with pytest.raises(SerializationException):
            await read(nonsense, None)
    key = SigningKey(SECRET, "20130524", "us-east-1", "s3")
    empty = hashlib.sha256(b"").hexdigest()
    one = key.sign(f"AWS4-HMAC-SHA256-PAYLOAD\n{STAMP}\n{SCOPE}\n{SEED}\n{empty}\n{hashlib.sha256(b'abc').hexdigest()}")
    last = key.sign(f"AWS4-HMAC-SHA256-PAYLOAD\n{STAMP}\n{SCOPE}\n{one}\n{empty}\n{empty}")
    hashed = hashlib.sha256(b"x-amz-checksum-crc32:NSRBwg==\n").hexdigest()
    trailer = key.sign(f"AWS4-HMAC-SHA256-TRAILER\n{STAMP}\n{SCOPE}\n{last}\n{hashed}")
    body = (
        f"3;chunk-signature={one}\r\nabc\r\n0;chunk-signature={last}\r\n"
        f"x-amz-checksum-crc32:NSRBwg==\r\nx-amz-trailer-signature:{trailer}\r\n\r\n"
    ).encode()
    assert await read(body, signer()) == b"abc"
    with pytest.raises(InvalidSignatureException):
        await read(body.replace(b"NSRBwg==", b"NSRBwg=="[::-1]), signer())
    with pytest.raises(InvalidSignatureException):
        await read(body.replace(f"x-amz-trailer-signature:{trailer}\r\n".encode(), b""), signer())


# --- heads

OWNER = Credential("AKIAEXAMPLE", "secret/+=", None, "arn:aws:iam::000000000000:root", None)
FUNCTION = Credential("ASIAEXAMPLE", "other", "token+/=", "arn:aws:sts::000000000000:assumed-role/r/f", "f")
KNOWN = {c.access_key: c for c in (OWNER, FUNCTION)}
ENDPOINT = "http://127.0.0.1:9001"


def verifier() -> S3Verifier[Credential]:
    credentials: Any = SimpleNamespace(lookup=KNOWN.get, expired=lambda key: False)
    return S3Verifier(credentials, "us-east-1")


def now() -> float:
    return datetime.now(UTC).timestamp()


def sent(signed: AWSRequest, body: bytes = b"") -> Request:
    prepared = signed.prepare()
    parts = urlsplit(prepared.url)
    headers = [(b"Host", b"127.0.0.1:9001")]
    headers += [(k.encode(), v if isinstance(v, bytes) else str(v).encode()) for k, v in prepared.headers.items()]
    connection: Any = None
    return Request(signed.method, parts.path, parts.query, headers, body, "127.0.0.1", connection)


KEYS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=20)


@settings(max_examples=40, deadline=None)
@given(key=KEYS, value=st.text(max_size=10), credential=st.sampled_from([OWNER, FUNCTION]))
def test_what_botocore_signs_is_verified_whatever_the_key(key: str, value: str, credential: Credential) -> None:
    url = f"{ENDPOINT}/pictures/{quote(key, safe='/~')}?prefix={quote(value, safe='-_.~')}"
    keys = Keys(credential.access_key, credential.secret_key, credential.token)
    for auth in (S3SigV4Auth(keys, "s3", "us-east-1"), S3SigV4QueryAuth(keys, "s3", "us-east-1")):
        request = AWSRequest("PUT", url, data=b"body" if type(auth) is S3SigV4Auth else None)
        auth.add_auth(request)
        seen = sent(request, b"body")
        verified = verifier().verify_head(seen, seen.path, now())
        assert verified.credential is credential
        other = sent(request, b"body")
        other.path += "x"
        with pytest.raises(InvalidSignatureException):
            verifier().verify_head(other, other.path, now())


async def test_a_hashed_body_is_checked_and_an_unsigned_one_is_not() -> None:
    request = AWSRequest("PUT", f"{ENDPOINT}/pictures/k", data=b"body")
    S3SigV4Auth(Keys(OWNER.access_key, OWNER.secret_key), "s3", "us-east-1").add_auth(request)
    seen = sent(request, b"body")
    verified = verifier().verify_head(seen, seen.path, now())
    assert b"".join([part async for part in verified.body(split(b"body", 2), framed=True)]) == b"body"
    passed: list[bytes] = []
    with pytest.raises(InvalidSignatureException):
        await collect(verified.body(split(b"b0dy", 2), framed=True), passed)
    assert passed == [b"b0"], "the end is held back, so that nothing false is ever whole"
    presigned = AWSRequest("PUT", f"{ENDPOINT}/pictures/k")
    S3SigV4QueryAuth(Keys(OWNER.access_key, OWNER.secret_key), "s3", "us-east-1").add_auth(presigned)
    seen = sent(presigned, b"anything")
    verified = verifier().verify_head(seen, seen.path, now())
    assert b"".join([part async for part in verified.body(split(b"anything", 3), framed=True)]) == b"anything"


def test_ways_to_sign_that_are_not_built_are_named() -> None:
    request = AWSRequest("PUT", f"{ENDPOINT}/pictures/k", data=b"")
    S3SigV4Auth(Keys(OWNER.access_key, OWNER.secret_key), "s3", "us-east-1").add_auth(request)
    seen = sent(request)
    seen.raw_headers = [
        (name, b"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD" if name.lower() == b"x-amz-content-sha256" else value)
        for name, value in seen.raw_headers
    ]
    with pytest.raises(NotImplementedException, match="ECDSA"):
        verifier().verify_head(seen, seen.path, now())
    seen._headers = None
    seen.raw_headers = [(n, v) for n, v in seen.raw_headers if n.lower() != b"x-amz-content-sha256"]
    with pytest.raises(InvalidSignatureException):
        verifier().verify_head(seen, seen.path, now())


@settings(max_examples=40, deadline=None)
@given(key=KEYS, credential=st.sampled_from([OWNER, FUNCTION]))
def test_urls_presigned_the_old_way(key: str, credential: Credential) -> None:
    keys = Keys(credential.access_key, credential.secret_key, credential.token)
    request = AWSRequest("GET", f"{ENDPOINT}/pictures/{quote(key, safe='/~')}?versionId=7&other=1")
    HmacV1QueryAuth(keys, expires=60).add_auth(request)
    seen = sent(request)
    assert verifier().verify_head(seen, seen.path, now()).credential is credential
    with pytest.raises(AccessDeniedException, match="expired"):
        verifier().verify_head(seen, seen.path, now() + 120)
    for wrong in ("AKIAEXAMPLE", "ASIAEXAMPLE"):
        stranger = sent(request)
        stranger.query = stranger.query.replace(wrong, "AKIASTRANGER")
        if stranger.query != seen.query:
            with pytest.raises(UnrecognizedClientException):
                verifier().verify_head(stranger, stranger.path, now())
    seen.query = seen.query.replace("versionId=7", "versionId=8")
    with pytest.raises(InvalidSignatureException):
        verifier().verify_head(seen, seen.path, now())
