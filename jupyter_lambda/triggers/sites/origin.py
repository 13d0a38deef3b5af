"""What keeps a function's web pages apart from Jupyter and from each other.

A site addressed by name is another origin and, to a browser, another site: nothing but the Domain of its cookies has to
be held. A site addressed by path shares the engine's host, and cookies know no ports: those of a Jupyter server on this
host would be sent to it, and it could overwrite them. There,

- cookies are kept under names of the site's own (``jl-ID-NAME``) and below its path: the function sees and sets them
  by their plain names, and no others;
- every answer carries ``Content-Security-Policy: sandbox …`` without allow-same-origin: a page has an origin that it
  shares with nothing, can't read the cookies or storage of this host, and its requests carry none of another site;
- headers that act on the whole host are taken away.
"""

from __future__ import annotations

from collections.abc import Iterable

from jupyter_lambda.http1 import Response

from .visit import Visit

SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-downloads"
#: Request headers that a signature is made of and a function doesn't get.
_SIGNING = frozenset({b"authorization", b"x-amz-security-token"})
#: Response headers that act on the host as a whole, or on the connection, which is the engine's.
_DROPPED = frozenset(
    {"clear-site-data", "service-worker-allowed", "alt-svc", "strict-transport-security", "report-to", "nel"}
)


def cookie_prefix(site_id: str) -> str:
    """What a browser's names of a path site's cookies begin with."""
    return f"jl-{site_id}-"


def own_cookies(raw_headers: list[tuple[bytes, bytes]], site_id: str) -> list[tuple[bytes, bytes]]:
    """Headers of a request to a path site, with its own cookies only, under the names that the function gave them."""
    mark = cookie_prefix(site_id).encode()
    kept: list[tuple[bytes, bytes]] = []
    for name, value in raw_headers:
        if name.lower() != b"cookie":
            kept.append((name, value))
            continue
        cookies = [part.strip() for part in value.split(b";")]
        own = b"; ".join(cookie[len(mark) :] for cookie in cookies if cookie.startswith(mark))
        if own:
            kept.append((name, own))
    return kept


def unsigned(raw_headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers without an AWS signature and its session token: they are good for the same request again, and a function
    has no business with them. Other authorizations (Bearer …) are the function's own affair."""
    if not any(name.lower() == b"authorization" and value.startswith(b"AWS4-") for name, value in raw_headers):
        return raw_headers
    return [header for header in raw_headers if header[0].lower() not in _SIGNING]


def guarded(response: Response, visit: Visit) -> Response:
    """The answer as a browser may have it."""
    dropped = _DROPPED | {"x-content-type-options"} if visit.prefix else _DROPPED
    headers = [
        (name, _scoped(value, visit) if name.lower() == "set-cookie" else value)
        for name, value in response.headers
        if name.lower() not in dropped
    ]
    if visit.prefix:
        headers += [("Content-Security-Policy", SANDBOX), ("X-Content-Type-Options", "nosniff")]
    response.headers = headers
    return response


def _scoped(cookie: str, visit: Visit) -> str:
    pair, *attributes = [part.strip() for part in cookie.split(";")]
    kept = _without(attributes, ("domain",))
    if not visit.prefix:
        return "; ".join([pair, *kept])
    wanted = next((a.partition("=")[2].strip() for a in kept if a.lower().startswith("path=")), "")
    path = visit.prefix + (wanted if wanted.startswith("/") else "/")
    name, equals, value = pair.partition("=")
    if not equals:  # RFC 6265bis: a cookie without a name
        name, value = "", pair
    return "; ".join([f"{cookie_prefix(visit.id)}{name}={value}", *_without(kept, ("path",)), f"Path={path}"])


def _without(attributes: Iterable[str], names: tuple[str, ...]) -> list[str]:
    return [a for a in attributes if a and a.partition("=")[0].strip().lower() not in names]
