"""Canonical requests: the text that a client hashed and signed, rebuilt from what came over the wire.

Source: AWS IAM User Guide, "Create a signed AWS API request".
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from jupyter_lambda.http1 import Request

#: The query parameter that is not signed: the signature itself.
SIGNATURE_PARAMETER = "X-Amz-Signature"
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+/?|/")


def canonical_path(path: str) -> str:
    """The path as it is signed: normal, and percent-encoded once more."""
    if _PLAIN_PATH.fullmatch(path):
        return path
    return quote(normal_path(path).encode("latin-1", "replace"), safe="/~") or "/"


def normal_path(path: str) -> str:
    """The path without dot segments and double slashes. Requests are routed by this too: else a signature made for one
    path would be good for another that is routed elsewhere."""
    if _PLAIN_PATH.fullmatch(path):
        return path
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    start = "/" if path.startswith("/") or not path else ""
    end = "/" if path.endswith("/") and kept else ""
    return f"{start}{'/'.join(kept)}{end}"


def raw_query(query: str) -> str:
    """The query as it was sent, sorted; what botocore signs."""
    if not query:
        return ""
    pairs = []
    for piece in query.split("&"):
        name, _, value = piece.partition("=")
        if name != SIGNATURE_PARAMETER:
            pairs.append((name, value))
    pairs.sort()
    return "&".join([f"{name}={value}" for name, value in pairs])


def encoded_query(query: str) -> str:
    """The query decoded and encoded again as RFC 3986 has it; what the specification says."""
    pairs = []
    for piece in query.split("&") if query else ():
        if not piece:
            continue
        name, _, value = piece.partition("=")
        encoded = quote(unquote_to_bytes(name.encode("latin-1")), safe="-_.~")
        if encoded != SIGNATURE_PARAMETER:
            pairs.append((encoded, quote(unquote_to_bytes(value.encode("latin-1")), safe="-_.~")))
    pairs.sort()
    return "&".join([f"{name}={value}" for name, value in pairs])


def trim(value: str) -> str:
    """A header's value without spaces around it, and with single ones inside."""
    return " ".join(value.split()) if "  " in value or "\t" in value else value.strip()


def raw_header_lines(request: Request, names: list[str]) -> bytes:
    """Canonical header lines of the bytes that were sent."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in request.raw_headers:
        values.setdefault(name.lower(), []).append(b" ".join(value.split()))
    return b"".join(n.encode() + b":" + b",".join(values.get(n.encode(), [b""])) + b"\n" for n in names)
