"""AWS Signature Version 4, the server's side: who signed a request, and is it what they signed.

Both forms are verified, the Authorization header and the presigned query. The server rebuilds the canonical request
from what came over the wire; where clients are known to disagree about its text (raw or re-encoded query, UTF-8 or
Latin-1 header values) the other spelling is tried before the request is refused.

Source: AWS IAM User Guide, "Create a signed AWS API request" and "Troubleshoot Signature Version 4 signing".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Generic, NamedTuple, Protocol, TypeVar
from urllib.parse import parse_qsl, quote

from jupyter_lambda.errors import (
    ExpiredTokenException,
    IncompleteSignatureException,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
)
from jupyter_lambda.http1 import Request

from . import canonical
from .canonical import SIGNATURE_PARAMETER

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"
#: Seconds by which a client's clock may differ.
SKEW_S = 300
#: Seconds for which a presigned request can be valid.
PRESIGNED_MAX_S = 604_800
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/([^/,\s]+)/([^/,\s]+)/([^/,\s]+)/([^/,\s]+),\s*"
    r"SignedHeaders=([^,\s]+),\s*"
)
_STAMP = re.compile(r"\d{8}T\d{6}Z")
_INVALID = "The security token included in the request is invalid."
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
#: Entries of each cache, which is dropped whole when full; characters of a key, so that strangers can't fill memory.
_CACHE_MAX, _CACHED_MAX_CHARS = 1024, 1024


class Credential(Protocol):
    """What the verifier needs of a credential."""

    @property
    def access_key(self) -> str: ...  # noqa: D102
    @property
    def secret_key(self) -> str: ...  # noqa: D102
    @property
    def token(self) -> str | None: ...  # noqa: D102


C = TypeVar("C", bound=Credential)
C_co = TypeVar("C_co", bound=Credential, covariant=True)


class Credentials(Protocol[C_co]):
    """Where credentials are found."""

    def lookup(self, access_key: str) -> C_co | None:
        """The credential, or None."""

    def expired(self, access_key: str) -> bool:
        """True when this key was known and is no longer valid."""


class Scope(NamedTuple):
    """The parts of a Credential: who, which day, where and what for."""

    access_key: str
    date: str
    region: str
    service: str
    terminator: str

    @classmethod
    def parse(cls, text: str) -> Scope:
        """Read ``keyid/date/region/service/term``.

        Raises:
            IncompleteSignatureException: Not five parts.
        """
        parts = text.split("/")
        if len(parts) != 5:
            raise IncompleteSignatureException(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
                f"got '{text[:256]}'"
            )
        return cls(*parts)

    @property
    def text(self) -> str:
        """What is signed of it."""
        return f"{self.date}/{self.region}/{self.service}/{self.terminator}"


class _Claim(NamedTuple):
    """What a request says of its own signature."""

    scope: Scope
    signed_headers: str
    signature: str
    #: 20261123T091500Z
    stamp: str
    token: str | None
    #: Seconds of validity of a presigned request; None for the header form.
    expires_s: int | None


class Verifier(Generic[C]):
    """Verifies requests for one region."""

    def __init__(self, credentials: Credentials[C], region: str, services: frozenset[str]) -> None:
        self._credentials = credentials
        self._region = region
        self._services = services
        self._day_keys: dict[tuple[str, str, str], bytes] = {}
        self._paths: dict[str, str] = {}
        self._claims: dict[str, tuple[Scope, str]] = {}
        self._signed: set[tuple[str, str]] = set()
        self._stamps: tuple[str, float] = ("", 0.0)

    def verify(self, request: Request, body_sha256: str, now_s: float) -> tuple[C, str]:
        """Establish who is asking.

        Args:
            body_sha256: Of the request's body, hex, as computed here.
            now_s: Seconds since the epoch.
        Returns:
            The credential and the service that the request is signed for.
        Raises:
            SignatureError: One of its subclasses, with AWS's code and text.
        """
        headers = request.headers
        authorization = headers.get("authorization")
        if authorization is not None:
            claim = self._usual_claim(authorization, headers) or _header_claim(authorization, headers)
        elif SIGNATURE_PARAMETER in request.query:
            claim = _query_claim(request.query)
        else:
            raise MissingAuthenticationTokenException("Missing Authentication Token")
        credential = self._credential(claim)
        self._check_scope(claim)
        self._check_time(claim, now_s)
        self._check_signed_headers(claim.signed_headers, headers)
        if claim.token != credential.token:
            raise UnrecognizedClientException(_INVALID)
        given = headers.get("x-amz-content-sha256")
        if given is not None and given != body_sha256:
            raise InvalidSignatureException(_MISMATCH)  # UNSIGNED-PAYLOAD too: only S3 has it
        key = self._day_key(credential.secret_key, claim.scope)
        for rebuilt in self._canonical_requests(request, claim, body_sha256):
            text = f"{ALGORITHM}\n{claim.stamp}\n{claim.scope.text}\n{hashlib.sha256(rebuilt).hexdigest()}"
            expected = hmac.digest(key, text.encode(), "sha256").hex()
            if hmac.compare_digest(expected.encode(), claim.signature.encode()):
                return credential, claim.scope.service
        raise InvalidSignatureException(_MISMATCH)

    def _usual_claim(self, authorization: str, headers: dict[str, str]) -> _Claim | None:
        """The claim as every SDK writes it; what stands before the signature is the same for all of a client's day."""
        head, _, signature = authorization.rpartition("Signature=")
        at = headers.get("x-amz-date")
        if at is None:
            return None
        known = self._claims.get(head)
        if known is None:
            found = _AUTHORIZATION.fullmatch(head)
            if found is None:
                return None
            known = (Scope(*found.groups()[:5]), found[6])
            if len(self._claims) >= _CACHE_MAX:
                self._claims.clear()
            if len(head) <= _CACHED_MAX_CHARS:
                self._claims[head] = known
        if not _STAMP.fullmatch(at):
            return None
        return _Claim(known[0], known[1], signature, at, headers.get("x-amz-security-token"), None)

    def _credential(self, claim: _Claim) -> C:
        access_key = claim.scope.access_key
        credential = self._credentials.lookup(access_key)
        if credential is None:
            if self._credentials.expired(access_key):
                raise ExpiredTokenException("The security token included in the request is expired")
            raise UnrecognizedClientException(_INVALID)
        return credential

    def _check_scope(self, claim: _Claim) -> None:
        scope = claim.scope
        found = []
        if scope.region != self._region:
            found.append(f"Credential should be scoped to a valid region, not '{scope.region[:64]}'. ")
        if scope.service not in self._services:
            names = "' or '".join(sorted(self._services))
            found.append(f"Credential should be scoped to correct service: '{names}'. ")
        if scope.terminator != TERMINATOR:
            found.append(
                f"Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{scope.terminator[:64]}'. "
            )
        if scope.date != claim.stamp[:8]:
            found.append(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
                f"'{scope.date[:64]}' != '{claim.stamp[:8]}', from '{claim.stamp}'."
            )
        if found:
            raise InvalidSignatureException("".join(found))

    def _check_signed_headers(self, signed: str, headers: dict[str, str]) -> None:
        """Host and every x-amz- header that came must be signed: an unsigned one could be anybody's."""
        at = (signed, ";".join(headers))
        if at in self._signed:
            return
        names = signed.split(";")
        if "host" not in names:
            raise InvalidSignatureException("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
        for name in headers:
            if name.startswith("x-amz-") and name not in names:
                raise InvalidSignatureException(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")
        if len(self._signed) >= _CACHE_MAX:
            self._signed.clear()
        if len(signed) + len(at[1]) <= _CACHED_MAX_CHARS:
            self._signed.add(at)

    def _check_time(self, claim: _Claim, now_s: float) -> None:
        signed_s = self._seconds(claim.stamp)
        if signed_s - now_s > SKEW_S:
            raise InvalidSignatureException(
                f"Signature not yet current: {claim.stamp} is still later than {stamp(now_s + SKEW_S)} "
                f"({stamp(now_s)} + 5 min.)"
            )
        if claim.expires_s is not None:
            if signed_s + claim.expires_s < now_s:
                raise InvalidSignatureException(
                    f"Signature expired: {stamp(signed_s + claim.expires_s)} is now earlier than {stamp(now_s)}"
                )
        elif now_s - signed_s > SKEW_S:
            raise InvalidSignatureException(
                f"Signature expired: {claim.stamp} is now earlier than {stamp(now_s - SKEW_S)} "
                f"({stamp(now_s)} - 5 min.)"
            )

    def _seconds(self, text: str) -> float:
        known, seconds = self._stamps  # most requests of one second carry the same stamp
        if text != known:
            try:
                seconds = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
            except ValueError:
                raise IncompleteSignatureException(_bad_date(text)) from None
            self._stamps = (text, seconds)
        return seconds

    def _day_key(self, secret_key: str, scope: Scope) -> bytes:
        at = (secret_key, scope.date, scope.service)
        key = self._day_keys.get(at)
        if key is None:
            key = signing_key(secret_key, scope.date, scope.region, scope.service)
            if len(self._day_keys) >= _CACHE_MAX:
                self._day_keys.clear()
            self._day_keys[at] = key
        return key

    def _canonical_requests(self, request: Request, claim: _Claim, body_sha256: str) -> Iterator[bytes]:
        """The canonical request, and after it the other spellings where there are any."""
        path = self._paths.get(request.path)
        if path is None:
            path = canonical.canonical_path(request.path)
            if len(self._paths) >= _CACHE_MAX:
                self._paths.clear()
            if len(request.path) <= _CACHED_MAX_CHARS:
                self._paths[request.path] = path
        raw_query = canonical.raw_query(request.query)
        names = claim.signed_headers.split(";")
        headers = request.headers
        lines = "".join([f"{name}:{canonical.trim(headers.get(name, ''))}\n" for name in names])
        tail = f"\n{claim.signed_headers}\n{body_sha256}"
        text = f"{request.method}\n{path}\n{raw_query}\n{lines}{tail}"
        yield text.encode()
        encoded_query = canonical.encoded_query(request.query)
        if encoded_query != raw_query:
            yield f"{request.method}\n{path}\n{encoded_query}\n{lines}{tail}".encode()
        if not lines.isascii():
            raw_lines = canonical.raw_header_lines(request, names)
            for query in dict.fromkeys((raw_query, encoded_query)):
                yield f"{request.method}\n{path}\n{query}\n".encode() + raw_lines + tail.encode()


def stamp(seconds: float) -> str:
    """Seconds since the epoch as AWS writes times in signatures."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


def signing_key(secret_key: str, date: str, region: str, service: str) -> bytes:
    """The key of one day, region and service, derived from the secret."""
    key = f"AWS4{secret_key}".encode()
    for part in (date, region, service, TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def presign(
    credential: Credential,
    method: str,
    host: str,
    path: str,
    *,
    region: str,
    service: str,
    now_s: float,
    expires_s: int,
) -> str:
    """Path and query of a presigned request; ``path`` must be percent-encoded already."""
    at = stamp(now_s)
    scope = Scope(credential.access_key, at[:8], region, service, TERMINATOR)
    fields = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{credential.access_key}/{scope.text}",
        "X-Amz-Date": at,
        "X-Amz-Expires": str(expires_s),
        "X-Amz-SignedHeaders": "host",
    }
    if credential.token:
        fields["X-Amz-Security-Token"] = credential.token
    query = "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in sorted(fields.items()))
    signed = f"{method}\n{canonical.canonical_path(path)}\n{query}\nhost:{host}\n\nhost\n{EMPTY_SHA256}"
    text = f"{ALGORITHM}\n{at}\n{scope.text}\n{hashlib.sha256(signed.encode()).hexdigest()}"
    key = signing_key(credential.secret_key, scope.date, region, service)
    return f"{path}?{query}&{SIGNATURE_PARAMETER}={hmac.digest(key, text.encode(), 'sha256').hex()}"


def _header_claim(authorization: str, headers: dict[str, str]) -> _Claim:
    """Parts in another order, or the exact complaint about what is missing."""
    algorithm, _, rest = authorization.strip().partition(" ")
    hashed = b64encode(hashlib.sha256(authorization.encode()).digest()).decode()
    hint = f"(Hashed with SHA-256 and encoded with Base64) Authorization={hashed}"
    if algorithm != ALGORITHM and algorithm.startswith("AWS4"):
        raise IncompleteSignatureException(f"Unsupported AWS 'algorithm': '{algorithm[:64]}'. {hint}")
    pieces = [piece.strip().partition("=") for piece in rest.split(",")]
    if algorithm != ALGORITHM or not all(equals for _, equals, _ in pieces):
        raise IncompleteSignatureException(
            f"Invalid key=value pair (missing equal-sign) in Authorization header {hint}."
        )
    parts = {name: value for name, _, value in pieces}
    at = headers.get("x-amz-date") or headers.get("date") or ""
    missing = [
        f"Authorization header requires '{name}' parameter. "
        for name in ("Credential", "Signature", "SignedHeaders")
        if not parts.get(name)
    ]
    if not at:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
    if missing:
        raise IncompleteSignatureException("".join(missing) + hint)
    if not _STAMP.fullmatch(at):
        raise IncompleteSignatureException(_bad_date(at))
    token = headers.get("x-amz-security-token")
    return _Claim(Scope.parse(parts["Credential"]), parts["SignedHeaders"], parts["Signature"], at, token, None)


def _query_claim(query: str) -> _Claim:
    try:
        fields = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=1000))
    except ValueError:
        raise IncompleteSignatureException("the query string has more than 1000 parameters") from None
    names = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date")
    missing = [f"AWS query-string parameters must include '{name}'. " for name in names if not fields.get(name)]
    if missing:
        raise IncompleteSignatureException("".join(missing) + "Re-examine the query-string parameters.")
    if fields["X-Amz-Algorithm"] != ALGORITHM:
        raise IncompleteSignatureException(f"Unsupported AWS 'algorithm': '{fields['X-Amz-Algorithm'][:64]}'.")
    at = fields["X-Amz-Date"]
    if not _STAMP.fullmatch(at):
        raise IncompleteSignatureException(_bad_date(at))
    expires = fields.get("X-Amz-Expires", "")
    # AWS lets a presigned request without X-Amz-Expires live as long as a signed header does.
    expires_s = int(expires) if expires.isdecimal() and len(expires) <= 6 else (SKEW_S if not expires else -1)
    if not 1 <= expires_s <= PRESIGNED_MAX_S:
        raise IncompleteSignatureException(f"X-Amz-Expires must be a number from 1 to {PRESIGNED_MAX_S} (seconds).")
    return _Claim(
        Scope.parse(fields["X-Amz-Credential"]),
        fields["X-Amz-SignedHeaders"],
        fields["X-Amz-Signature"],
        at,
        fields.get("X-Amz-Security-Token"),
        expires_s,
    )


def _bad_date(text: str) -> str:
    return f"Date must be in ISO-8601 'basic format'. Got '{text[:64]}'. See http://en.wikipedia.org/wiki/ISO_8601"
