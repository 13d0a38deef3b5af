"""AWS's signature version 4: its words and keys, and a signer for the requests whose speed matters.

Everything else is signed by botocore; ``api/sigv4.py`` verifies.

Source: AWS General Reference, "Signature Version 4 signing process".
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from types import MappingProxyType

ALGORITHM, TERMINATOR = "AWS4-HMAC-SHA256", "aws4_request"
_NONE: Mapping[str, str] = MappingProxyType({})


def signing_key(secret_key: str, date: str, region: str, service: str) -> bytes:
    """The key of one day (YYYYMMDD), region and service, derived from the secret."""
    key = f"AWS4{secret_key}".encode()
    for part in (date, region, service, TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


class Signer:
    """Signs requests of one caller to one host and service. The day's key is derived once."""

    def __init__(
        self,
        access_key: str,
        secret_key: str,
        session_token: str | None,
        *,
        host: str,
        region: str,
        service: str = "lambda",
    ) -> None:
        """
        Args:
            host: As in the Host header, with the port where it is not the scheme's own.
        """
        self._access_key, self._secret_key, self._token = access_key, secret_key, session_token
        self._host, self._region, self._service = host, region, service
        self._day = ""
        self._key = b""
        self._scope = ""

    def headers(
        self,
        method: str,
        path: str,
        query: str,
        body: bytes,
        amz: Mapping[str, str] = _NONE,
        *,
        now_s: float | None = None,
    ) -> str:
        """The header lines that sign a request: Host, X-Amz-Date, Authorization, ``amz`` and the session token.

        Args:
            path: Of unreserved characters and slashes only, so that its canonical form is itself.
            query: "" or one parameter, NAME=VALUE, encoded.
            amz: More headers that AWS wants signed: lower-case names that begin with ``x-amz-``, and their values.
            now_s: Seconds since the epoch; None: now.
        """
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
        day = stamp[:8]
        if day != self._day:
            self._key = signing_key(self._secret_key, day, self._region, self._service)
            self._day, self._scope = day, f"{day}/{self._region}/{self._service}/{TERMINATOR}"
        signed = {"host": self._host, "x-amz-date": stamp, **amz}
        if self._token:
            signed["x-amz-security-token"] = self._token
        names = sorted(signed)
        lines = "".join([f"{name}:{signed[name]}\n" for name in names])
        list_of_names = ";".join(names)
        digest = hashlib.sha256(body).hexdigest()
        canonical = f"{method}\n{path}\n{query}\n{lines}\n{list_of_names}\n{digest}"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"{ALGORITHM}\n{stamp}\n{self._scope}\n{hashed}"
        signature = hmac.digest(self._key, text.encode(), "sha256").hex()
        sent = "".join([f"{name}: {signed[name]}\r\n" for name in names])
        return (
            f"{sent}authorization: {ALGORITHM} Credential={self._access_key}/{self._scope}, "
            f"SignedHeaders={list_of_names}, Signature={signature}\r\n"
        )
