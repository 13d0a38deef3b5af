"""AWS Signature Version 4, the server's side: who signed a request, and is it what they signed.

Both forms are verified, the Authorization header and the presigned query. The server rebuilds the canonical request
from what came over the wire; where clients are known to disagree about its text (raw or re-encoded query, UTF-8 or
Latin-1 header values) the other spelling is tried before the request is refused.

Each request's signature is computed anew. What is kept between requests is only what does not depend on them: what the
unchanging part of a client's Authorization header says, and its day's key as two half-fed SHA-256 states.

Source: AWS IAM User Guide, "Create a signed AWS API request" and "Troubleshoot Signature Version 4 signing".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from urllib.parse import quote

from jupyter_lambda.errors import (
    ExpiredTokenException,
    IncompleteSignatureException,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
)
from jupyter_lambda.http1 import Request
from jupyter_lambda.signing import ALGORITHM, TERMINATOR, signing_key

from . import canonical
from .canonical import SIGNATURE_PARAMETER
from .claims import SKEW_S, STAMP, Claim, Scope, bad_date, header_claim, query_claim, usual_head

if TYPE_CHECKING:
    from hashlib import _Hash

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_INVALID = "The security token included in the request is invalid."
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
#: Entries of each cache, which is dropped whole when full; characters of a key, so that strangers can't fill memory.
_CACHE_MAX, _CACHED_MAX_CHARS = 1024, 1024
_INNER_PAD, _OUTER_PAD = bytes(x ^ 0x36 for x in range(256)), bytes(x ^ 0x5C for x in range(256))


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


class Layout:
    """What the requests of one client, day and set of signed headers have in common."""

    __slots__ = ("_sets", "credential", "key", "names", "scope", "scope_text", "signed_headers")

    def __init__(self, scope: Scope, signed_headers: str) -> None:
        self.scope, self.scope_text = scope, scope.text
        self.signed_headers = signed_headers
        self.names = signed_headers.split(";")
        #: Whose key ``key`` is.
        self.credential: object = None
        self.key: SigningKey | None = None
        self._sets: set[str] = set()

    def check(self, headers: dict[str, str]) -> None:
        """Host and every x-amz- header that came must be signed: an unsigned one could be anybody's.

        Raises:
            InvalidSignatureException: One is not.
        """
        came = ";".join(headers)
        if came in self._sets:
            return
        if "host" not in self.names:
            raise InvalidSignatureException("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
        for name in headers:
            if name.startswith("x-amz-") and name not in self.names:
                raise InvalidSignatureException(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")
        if len(self._sets) < _CACHE_MAX and len(came) <= _CACHED_MAX_CHARS:
            self._sets.add(came)


class SigningKey:
    """The key of one day, region and service. Signs at a third of what HMAC costs anew: its pads are hashed once."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret_key: str, date: str, region: str, service: str) -> None:
        key = signing_key(secret_key, date, region, service).ljust(64, b"\0")
        self._inner: _Hash = hashlib.sha256(key.translate(_INNER_PAD))
        self._outer: _Hash = hashlib.sha256(key.translate(_OUTER_PAD))

    def sign(self, text: str) -> str:
        """HMAC-SHA256 of the text, hex (RFC 2104)."""
        inner = self._inner.copy()
        inner.update(text.encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()


class OtherWay(Exception):
    """A request is signed for a service that has its own way of signing."""


class Verifier(Generic[C]):
    """Verifies requests for one region."""

    def __init__(
        self,
        credentials: Credentials[C],
        region: str,
        services: frozenset[str],
        other_way: frozenset[str] = frozenset(),
    ) -> None:
        """
        Args:
            other_way: Services for which ``verify`` raises ``OtherWay``.
        """
        self._credentials = credentials
        self._region = region
        self._services = services
        self._other_way = other_way
        self._layouts: dict[str, Layout] = {}
        self._paths: dict[str, str] = {}
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
        claim, layout, credential, key = self.identify(request, now_s)
        given = request.headers.get("x-amz-content-sha256")
        if given is not None and given != body_sha256:
            raise InvalidSignatureException(MISMATCH)  # UNSIGNED-PAYLOAD too: only S3 has it
        signature = claim.signature.encode()
        for rebuilt in self._canonical_requests(request, layout, body_sha256):
            hashed = hashlib.sha256(rebuilt).hexdigest()
            expected = key.sign(f"{ALGORITHM}\n{claim.stamp}\n{layout.scope_text}\n{hashed}")
            if hmac.compare_digest(expected.encode(), signature):
                return credential, claim.scope.service
        raise InvalidSignatureException(MISMATCH)

    def identify(self, request: Request, now_s: float) -> tuple[Claim, Layout, C, SigningKey]:
        """Who a request says it is from, when and what for, all as it must be; its signature is still to be looked at.

        Raises:
            SignatureError: One of its subclasses, with AWS's code and text.
            OtherWay: It is for a service of that kind.
        """
        headers = request.headers
        claim, layout = self._claim(request, headers)
        scope = claim.scope
        credential = self._credentials.lookup(scope.access_key)
        if credential is None:
            if scope.service in self._other_way:
                raise OtherWay
            raise self._unknown(scope.access_key)
        self._check_scope(claim)
        self._check_time(claim, now_s)
        layout.check(headers)
        if claim.token != credential.token:
            raise UnrecognizedClientException(_INVALID)
        key = layout.key
        if key is None or layout.credential is not credential:
            key = layout.key = SigningKey(credential.secret_key, scope.date, scope.region, scope.service)
            layout.credential = credential
        return claim, layout, credential, key

    def _claim(self, request: Request, headers: dict[str, str]) -> tuple[Claim, Layout]:
        authorization = headers.get("authorization")
        if authorization is None:
            if SIGNATURE_PARAMETER not in request.query:
                if self._other_way and "AWSAccessKeyId=" in request.query:
                    raise OtherWay  # an older way yet, which S3 alone has
                raise MissingAuthenticationTokenException("Missing Authentication Token")
            claim = query_claim(request.query)
            return claim, Layout(claim.scope, claim.signed_headers)
        # What stands before the signature is the same for all of a client's day.
        head, _, signature = authorization.rpartition("Signature=")
        layout = self._layouts.get(head) or self._read_layout(head)
        at = headers.get("x-amz-date")
        if layout is None or at is None or not (at == self._stamps[0] or STAMP.fullmatch(at)):
            claim = header_claim(authorization, headers)
            return claim, Layout(claim.scope, claim.signed_headers)
        token = headers.get("x-amz-security-token")
        return Claim(layout.scope, layout.signed_headers, signature, at, token, None), layout

    def _read_layout(self, head: str) -> Layout | None:
        known = usual_head(head)
        if known is None:
            return None
        layout = Layout(*known)
        # Only what belongs to a credential: strangers get nothing kept.
        if len(head) <= _CACHED_MAX_CHARS and self._credentials.lookup(layout.scope.access_key) is not None:
            if len(self._layouts) >= _CACHE_MAX:
                self._layouts.clear()
            self._layouts[head] = layout
        return layout

    def _unknown(self, access_key: str) -> UnrecognizedClientException | ExpiredTokenException:
        if self._credentials.expired(access_key):
            return ExpiredTokenException("The security token included in the request is expired")
        return UnrecognizedClientException(_INVALID)

    def _check_scope(self, claim: Claim) -> None:
        scope = claim.scope
        if (
            scope.region == self._region
            and scope.service in self._services
            and scope.terminator == TERMINATOR
            and claim.stamp.startswith(scope.date)
            and len(scope.date) == 8
        ):
            return
        if scope.service in self._other_way:
            raise OtherWay
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
        raise InvalidSignatureException("".join(found))

    def _check_time(self, claim: Claim, now_s: float) -> None:
        known, signed_s = self._stamps  # most requests of one second carry the same stamp
        if claim.stamp != known:
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
        try:
            seconds = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        except ValueError:
            raise IncompleteSignatureException(bad_date(text)) from None
        self._stamps = (text, seconds)
        return seconds

    def _canonical_requests(self, request: Request, layout: Layout, body_sha256: str) -> Iterator[bytes]:
        """The canonical request, and after it the other spellings where there are any."""
        path = self._paths.get(request.path)
        if path is None:
            path = canonical.canonical_path(request.path)
            if len(self._paths) >= _CACHE_MAX:
                self._paths.clear()
            if len(request.path) <= _CACHED_MAX_CHARS:
                self._paths[request.path] = path
        query = request.query
        raw_query = canonical.raw_query(query) if query else ""
        get, names = request.headers.get, layout.names
        lines = "".join([f"{name}:{get(name, '')}\n" for name in names])
        if not lines.isascii() or "  " in lines or ": " in lines or " \n" in lines or "\t" in lines:
            lines = "".join([f"{name}:{canonical.trim(get(name, ''))}\n" for name in names])
        tail = f"\n{layout.signed_headers}\n{body_sha256}"
        yield f"{request.method}\n{path}\n{raw_query}\n{lines}{tail}".encode()
        encoded_query = canonical.encoded_query(query)
        if encoded_query != raw_query:
            yield f"{request.method}\n{path}\n{encoded_query}\n{lines}{tail}".encode()
        if not lines.isascii():
            raw_lines = canonical.raw_header_lines(request, names)
            for spelling in dict.fromkeys((raw_query, encoded_query)):
                yield f"{request.method}\n{path}\n{spelling}\n".encode() + raw_lines + tail.encode()


def stamp(seconds: float) -> str:
    """Seconds since the epoch as AWS writes times in signatures."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


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
