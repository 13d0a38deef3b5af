"""What a request says of its own signature: in the Authorization header, or in a presigned query.

Source: AWS IAM User Guide, "Create a signed AWS API request" and "Troubleshoot Signature Version 4 signing".
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from typing import NamedTuple
from urllib.parse import parse_qsl

from jupyter_lambda.errors import IncompleteSignatureException
from jupyter_lambda.signing import ALGORITHM

#: Seconds by which a client's clock may differ.
SKEW_S = 300
#: Seconds for which a presigned request can be valid.
PRESIGNED_MAX_S = 604_800
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/([^/,\s]+)/([^/,\s]+)/([^/,\s]+)/([^/,\s]+),\s*"
    r"SignedHeaders=([^,\s]+),\s*"
)
#: How times are written in signatures.
STAMP = re.compile(r"\d{8}T\d{6}Z")


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


class Claim(NamedTuple):
    """What a request says of its own signature."""

    scope: Scope
    signed_headers: str
    signature: str
    #: 20261123T091500Z
    stamp: str
    token: str | None
    #: Seconds of validity of a presigned request; None for the header form.
    expires_s: int | None


def usual_head(head: str) -> tuple[Scope, str] | None:
    """Scope and signed headers of what stands before the signature, if it is written as every SDK does; else None."""
    found = _AUTHORIZATION.fullmatch(head)
    return (Scope(*found.groups()[:5]), found[6]) if found else None


def header_claim(authorization: str, headers: dict[str, str]) -> Claim:
    """The claim of an Authorization header, its parts in whatever order.

    Raises:
        IncompleteSignatureException: The exact complaint about what is missing.
    """
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
    if not STAMP.fullmatch(at):
        raise IncompleteSignatureException(bad_date(at))
    token = headers.get("x-amz-security-token")
    return Claim(Scope.parse(parts["Credential"]), parts["SignedHeaders"], parts["Signature"], at, token, None)


def query_claim(query: str) -> Claim:
    """The claim of a presigned request.

    Raises:
        IncompleteSignatureException: The exact complaint about what is missing.
    """
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
    if not STAMP.fullmatch(at):
        raise IncompleteSignatureException(bad_date(at))
    expires = fields.get("X-Amz-Expires", "")
    # AWS lets a presigned request without X-Amz-Expires live as long as a signed header does.
    expires_s = int(expires) if expires.isdecimal() and len(expires) <= 6 else (SKEW_S if not expires else -1)
    if not 1 <= expires_s <= PRESIGNED_MAX_S:
        raise IncompleteSignatureException(f"X-Amz-Expires must be a number from 1 to {PRESIGNED_MAX_S} (seconds).")
    return Claim(
        Scope.parse(fields["X-Amz-Credential"]),
        fields["X-Amz-SignedHeaders"],
        fields["X-Amz-Signature"],
        at,
        fields.get("X-Amz-Security-Token"),
        expires_s,
    )


def bad_date(text: str) -> str:
    """AWS's complaint about a time that is not one."""
    return f"Date must be in ISO-8601 'basic format'. Got '{text[:64]}'. See http://en.wikipedia.org/wiki/ISO_8601"
